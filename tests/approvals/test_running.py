"""Approvals on a running gateway: official MCP clients of both eras, the admin API, the command line."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.approvals.stand import POLICY, Office, office

if TYPE_CHECKING:
    from collections.abc import Generator

pytestmark = pytest.mark.anyio
FORBIDDEN = "p, agent:billing, acme, mcp/pay/tool/effect, call, -, deny, -\n"
ADA = "charge the card of Ada Lovelace"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Generator[Office]:
    with office(tmp_path_factory.mktemp("office"), wait="1s") as running:
        yield running


async def pending(desk: Office, who: str = "cfo") -> dict[str, object]:
    async with asyncio.timeout(60):
        while not (found := await asyncio.to_thread(desk.waiting, who)):
            continue
    return found[0]


def text_of(result: Any) -> str:
    return result.content[0].text


async def in_thread(desk: Office, who: str, path: str, body: object) -> int:
    return (await asyncio.to_thread(desk.say, who, "POST", path, body)).status_code


@pytest.mark.requirement("APR-01")
async def test_a_newer_client_waits_by_itself_until_a_person_has_approved_and_the_call_is_made_once(
    desk: Office,
) -> None:
    before = len(desk.counted())
    async with desk.client() as client:
        calling = asyncio.create_task(client.call_tool("effect", {"word": ADA}))
        approval = await pending(desk)
        shown = (await asyncio.to_thread(desk.say, "cfo", "GET", f"/{approval['id']}")).json()
        # longer than one wait in the connection: the client has to come again
        until = asyncio.get_running_loop().time() + 1.5
        while asyncio.get_running_loop().time() < until:
            await asyncio.to_thread(desk.waiting)
        assert not calling.done()
        assert await in_thread(desk, "cfo", f"/{approval['id']}/approve", {"reason": "fine"}) == 200
        async with asyncio.timeout(60):
            result = await calling
    assert not result.is_error, result
    assert len(desk.counted()) == before + 1
    assert shown["arguments"] == {"word": ADA}
    assert (shown["restored"], shown["effect"]) == (True, "once")
    assert "Lovelace" not in json.dumps(desk.audited())
    deeds = [record for record in desk.audited() if record.get("approval") == approval["id"]]
    assert [record["event"] for record in deeds] == ["approval_asked", "operator", "operator"]
    assert deeds[-1]["deed"] == "approve"
    assert deeds[-1]["principal"] == "agent:acme/cfo"
    assert deeds[-1]["reason"] == "fine"


@pytest.mark.requirement("APR-02")
async def test_an_older_client_is_told_to_ask_again_joins_the_wait_and_replays_afterwards(desk: Office) -> None:
    before = len(desk.counted())
    async with desk.client("legacy") as client:
        first = await client.call_tool("effect", {"word": "older"})
        assert first.is_error
        assert "approval_pending" in text_of(first)
        assert "ask again" in text_of(first)
        approval = await pending(desk)
        calling = asyncio.create_task(client.call_tool("effect", {"word": "older"}))
        assert await in_thread(desk, "ceo", f"/{approval['id']}/approve", {}) == 200
        assert not (await calling).is_error
        again = await client.call_tool("effect", {"word": "older"})
        assert again.is_error, "without a run an equal call is a call of its own, and needs its own approval"
    assert len(desk.counted()) == before + 1
    assert len([one for one in desk.waiting() if one["id"] != approval["id"]]) == 1


@pytest.mark.requirement("APR-03")
async def test_a_denial_is_final_and_says_so(desk: Office) -> None:
    before = len(desk.counted())
    async with desk.client("legacy") as client:
        calling = asyncio.create_task(client.call_tool("effect", {"word": "denied"}))
        approval = await pending_of(desk, "denied")
        assert await in_thread(desk, "cfo", f"/{approval['id']}/deny", {}) == 422
        assert await in_thread(desk, "cfo", f"/{approval['id']}/deny", {"reason": "too much"}) == 200
        waited, again = await calling, await client.call_tool("effect", {"word": "denied"})
        assert waited.is_error
        # on a busy machine its wait was over first
        assert "denied this call" in text_of(waited) or "approval_pending" in text_of(waited)
        assert again.is_error
        assert "denied this call" in text_of(again)
    assert len(desk.counted()) == before


async def pending_of(desk: Office, word: str) -> dict[str, object]:
    async with asyncio.timeout(60):
        while True:
            for one in await asyncio.to_thread(desk.waiting):
                shown = (await asyncio.to_thread(desk.say, "cfo", "GET", f"/{one['id']}")).json()
                if shown["arguments"] == {"word": word}:
                    return one


@pytest.mark.requirement("APR-04")
async def test_only_the_group_sees_and_decides_and_the_requester_never(desk: Office) -> None:
    async with desk.client("legacy") as client:
        await client.call_tool("effect", {"word": "whose"})
    approval = await pending_of(desk, "whose")
    assert approval["id"] not in [one["id"] for one in desk.waiting("clerk")]
    assert desk.say("clerk", "GET", f"/{approval['id']}").status_code == 404
    assert desk.say("clerk", "POST", f"/{approval['id']}/approve", {}).status_code == 404
    refused = desk.say("requester", "POST", f"/{approval['id']}/approve", {})
    assert refused.status_code == 403
    assert "asked for" in refused.json()["detail"]
    assert [one["state"] for one in desk.waiting() if one["id"] == approval["id"]] == ["pending"]


@pytest.mark.requirement("APR-04")
async def test_an_approval_counts_once_and_for_nothing_else(desk: Office) -> None:
    before = len(desk.counted())
    async with desk.client("legacy") as client:
        await client.call_tool("effect", {"word": "once"})
        approval = await pending_of(desk, "once")
        assert desk.say("cfo", "POST", f"/{approval['id']}/approve", {}).status_code == 200
        # other arguments while it waits to be used, then the same once more
        assert (await client.call_tool("effect", {"word": "once and more"})).is_error
        assert not (await client.call_tool("effect", {"word": "once"})).is_error
        assert (await client.call_tool("effect", {"word": "once"})).is_error
    assert len(desk.counted()) == before + 1
    again = desk.say("ceo", "POST", f"/{approval['id']}/approve", {})
    assert (again.status_code, "is used" in again.json()["detail"]) == (409, True)
    for word in ("once", "once and more"):
        assert (await pending_of(desk, word))["id"] != approval["id"]


@pytest.mark.requirement("APR-05")
async def test_four_eyes_are_two_people_also_on_the_command_line(desk: Office) -> None:
    async with desk.client("legacy") as client:
        assert (await client.call_tool("echo", {"word": "four"})).is_error
        approval = next(one for one in desk.waiting() if one["demands"] == ["acme/finance,four-eyes"])
        ident = str(approval["id"])
        listed = desk.oncegate("approvals", "list", "--state", "pending", "--json")
        assert ident in [one["id"] for one in json.loads(listed.stdout)]
        assert '"word": "four"' in desk.oncegate("approvals", "show", ident).stdout
        done = desk.oncegate("approvals", "approve", ident, "--reason", "seen", "--json")
        assert json.loads(done.stdout)["state"] == "pending"
        twice = desk.oncegate("approvals", "approve", ident)
        assert (twice.returncode, "voted already" in twice.stderr) == (1, True)
        assert desk.say("ceo", "POST", f"/{ident}/approve", {}).json()["state"] == "approved"
        assert not (await client.call_tool("echo", {"word": "four"})).is_error


@pytest.mark.requirement("APR-06")
async def test_policy_of_today_decides_after_the_approval(desk: Office) -> None:
    before = len(desk.counted())
    async with desk.client("legacy") as client:
        await client.call_tool("effect", {"word": "tightened"})
        approval = await pending_of(desk, "tightened")
        assert desk.say("cfo", "POST", f"/{approval['id']}/approve", {}).status_code == 200
        try:
            await asyncio.to_thread(desk.write_policy, POLICY + FORBIDDEN)
            assert "not allowed" in text_of(await client.call_tool("effect", {"word": "tightened"}))
        finally:
            await asyncio.to_thread(desk.write_policy, POLICY)
        assert not (await client.call_tool("effect", {"word": "tightened"})).is_error
    assert len(desk.counted()) == before + 1
