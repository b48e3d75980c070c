"""Planted personal data and secrets, searched for wherever evidence is kept or shown."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from tests.approvals.stand import Office

# the first test of a session starts the gateway, with its language model, on a machine that may be busy

PLANTED = ("planted.person@example.org", "4111 1111 1111 1111", "DE89370400440532013000")
SHOWN = (
    "/", "/runs", "/calls", "/approvals", "/policies", "/tools", "/agents", "/redaction", "/audit", "/audit/export",
    "/metrics", "/api/v1/audit", "/api/v1/calls", "/api/v1/overview", "/api/v1/budgets",
)  # fmt: skip


#: What questions need besides their path, by path.
NEEDED = {
    "/api/v1/tools/show": "?server=pay&name=effect",
    "/api/v1/policies/explain": "?subject=agent%3Aacme%2Fbilling&resource=mcp%2Fpay%2Ftool%2Feffect",
}


def described_questions(client: httpx.Client, base: str) -> list[str]:
    """Return every GET that the OpenAPI document describes; one that has an id of all there are."""
    described = client.get(f"{base}/api/v1/openapi.json").json()["paths"]
    found: list[str] = []
    for path in (path for path, ways in described.items() if "get" in ways):
        listing, _, name = path.partition("/{")
        if not name:
            found.append(path + NEEDED.get(path, ""))
            continue
        ids = [one["id"] for one in client.get(base + listing, params={"limit": 1000}).json()]
        found += [f"{listing}/{one}" for one in ids]
    return found


@pytest.mark.requirement("CON-14")
def test_no_planted_value_is_in_anything_that_is_shown_or_kept(desk: Office) -> None:
    async def call() -> None:
        async with desk.client() as client:
            await client.call_tool("effect", {"word": " and ".join(PLANTED)})

    async def both() -> None:
        waiting = asyncio.create_task(call())
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {desk.keys['boss']}"}, timeout=60) as people:
            api = f"http://127.0.0.1:{desk.admin}/api/v1/approvals"
            found: list[dict[str, str]] = []
            async with asyncio.timeout(90):
                while not found:
                    found = (await people.get(f"{api}?state=pending")).json()
            shown = await people.get(f"{api}/{found[0]['id']}")
            assert [value for value in PLANTED if value in shown.text] == []
            assert (await people.post(f"{api}/{found[0]['id']}/approve", json={})).status_code == 200
        await waiting

    asyncio.run(both())
    assert desk.counted()  # the tool was called
    with httpx.Client(headers={"authorization": f"Bearer {desk.keys['boss']}"}, timeout=60) as client:
        base = f"http://127.0.0.1:{desk.admin}"
        newest = client.get(f"{base}/api/v1/calls", params={"limit": 1}).json()[0]["id"]
        for path in (*SHOWN, f"/calls/{newest}"):
            answer = client.get(base + path)
            assert answer.status_code == 200
            assert [value for value in PLANTED if value in answer.text] == [], path
        asked = described_questions(client, base)
        for kind in ("approvals/", "calls/", "tools/show", "agents", "policies/explain"):
            assert any(one.startswith(f"/api/v1/{kind}") for one in asked), kind
        for path in asked:
            answer = client.get(base + path)
            assert answer.status_code == 200, (path, answer.text)
            shown = [*answer.headers.values(), answer.text]
            assert [value for value in PLANTED for one in shown if value in one] == [], path
    for file in desk.folder.rglob("*"):
        if file.is_file() and file.name != desk.effects.name:
            content = file.read_bytes()
            assert [value for value in PLANTED if value.encode() in content] == [], file.name
