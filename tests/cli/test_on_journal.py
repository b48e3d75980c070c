"""The admin API on the real journal: a call in doubt from its intent to its settlement and its audit."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest

from durable.chain import read_links
from durable.seal import Keyring
from durable.sqlite import open_sqlite
from durable.step import Began, Intent, Owner, Replay, RunRef, Step
from durable.verification import verify_database
from gateway.admin.api import build_admin
from tests.cli.ledger import Ledger
from tests.cli.stand import HOST, parts_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from durable.store import Store

pytestmark = pytest.mark.anyio

OWNER = Owner("acme", "billing")


def intent(run: str, number: int) -> Intent:
    step = Step(
        owner=OWNER,
        run=RunRef(run, 1),
        key=f"charge-{number}",
        fingerprint=bytes([number]) * 32,
        kind="tool",
        resource="mcp/payments/tool/charge_card",
        action="call",
        effect="once",
    )
    return Intent(step=step, request=b"{}", seconds_max=0.0)


@asynccontextmanager
async def opened(path: Path) -> AsyncGenerator[tuple[Store, httpx.AsyncClient]]:
    journal = await open_sqlite(path, keyring=Keyring((bytes(32),)))
    parts = replace(parts_of(Ledger()), runs=journal, operator=journal, write_audit=journal.write_audit)
    transport = httpx.ASGITransport(build_admin(parts, listener="tcp"))
    headers = {"host": HOST, "authorization": "Bearer operator-token"}
    try:
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}", headers=headers) as client:
            yield journal, client
    finally:
        await journal.aclose()


async def in_doubt(journal: Store, run: str, number: int) -> str:
    began = await journal.begin(intent(run, number))
    assert isinstance(began, Began)
    await journal.doubt(began, "the connection broke after sending", [])
    return began.id


@pytest.mark.requirement("CLI-06")
async def test_what_an_operator_decides_is_what_the_agent_gets_next(tmp_path: Path) -> None:
    path = tmp_path / "oncegate.db"
    async with opened(path) as (journal, client):
        run = await journal.open_run(OWNER, None, {})
        first, second, third = [await in_doubt(journal, run.id, number) for number in (1, 2, 3)]
        listed = (await client.get("/api/v1/calls?state=in_doubt")).json()
        assert {call["id"] for call in listed} == {first, second, third}
        timeline = (await client.get(f"/api/v1/runs/{run.id}")).json()["timeline"]
        assert [call["id"] for call in timeline] == [first, second, third]
        result = {"content": [{"type": "text", "text": "charged"}]}
        for call, body in (
            (first, {"verdict": "happened", "outcome": result, "reason": "seen at the bank"}),
            (second, {"verdict": "execute"}),
            (third, {"verdict": "fail", "reason": "the customer has gone"}),
        ):
            answer = await client.post(f"/api/v1/calls/{call}/resolve", json=body)
            assert answer.status_code == 200, answer.text
        again = await client.post(f"/api/v1/calls/{first}/resolve", json={"verdict": "execute"})
        assert (again.status_code, again.json()["code"]) == (409, "not_in_doubt")
        replay = await journal.begin(intent(run.id, 1))
        assert isinstance(replay, Replay)
        assert json.loads(replay.outcome.body) == result
        assert isinstance(await journal.begin(intent(run.id, 2)), Began)
        assert (await client.get(f"/api/v1/calls/{third}")).json()["state"] == "failed"
    assert verify_database(path).ok
    deeds = [json.loads(link.text) for link in read_links(path) if '"operator"' in link.text]
    assert [(deed["call"], deed["deed"]) for deed in deeds] == [
        (first, "resolve:happened"), (second, "resolve:execute"), (third, "resolve:fail"),
    ]  # fmt: skip
    assert {deed["principal"] for deed in deeds} == {"agent:acme/operator"}
    assert deeds[0]["reason"] == "seen at the bank"
