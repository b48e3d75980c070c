"""Verify calls where names are placeholders: for the bank, for the journal, or for neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.doubt.bank import Bank, Way
from tests.doubt.stand import desk_in
from tests.mcp.stand import eventually

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.doubt.stand import Desk

pytestmark = pytest.mark.requirement("IND-15")

ADA = {"customer": "Ada Lovelace", "amount": 7}


@pytest.fixture(
    scope="module",
    params=[pytest.param("restore=*@agent", marks=pytest.mark.slow), "restore=*@/customer;restore=*@agent"],
)
def desk(
    bank: Bank, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[tuple[Desk, bool]]:
    granted: str = request.param
    made = desk_in(
        tmp_path_factory.mktemp("veiled"), f"http://127.0.0.1:{bank.port}/mcp", redact=f"redact=standard;{granted}"
    )
    made.gateway.start()
    yield made, "/customer" in granted
    made.gateway.stop()


def test_the_bank_is_asked_in_the_same_placeholders_and_the_record_comes_back_restored(
    desk: tuple[Desk, bool], bank: Bank
) -> None:
    running, bank_sees_names = desk
    bank.fresh()
    bank.way = Way(answer="cut", keeps_key=False)
    run = running.gateway.open_run({}).json()
    assert "in_doubt" in running.call("charge_like", ADA, run=run).text
    assert ("Ada" in str(bank.charges)) == bank_sees_names
    found: list[object] = []

    def settled() -> bool:
        answer = running.call("charge_like", ADA, run=run)
        found.append(answer.last["result"].get("structuredContent"))
        return "in_doubt" not in answer.text

    assert eventually(settled)
    assert found[-1] == {"charge_id": "charge-0001", **ADA}
    assert bank.listed[-1] == {"customer": bank.charges[0]["customer"]}
    assert len(bank.charges) == 1
    shown = running.shown(running.newest()["id"])
    assert "Lovelace" not in str(shown)
    assert "PERSON_" in str(shown["outcome"])
    assert shown["request"]["params"]["name"] == "charge_like"


def test_an_operators_outcome_is_veiled_in_the_journal_and_restored_for_the_agent(
    desk: tuple[Desk, bool], bank: Bank
) -> None:
    running, _ = desk
    bank.fresh()
    bank.way = Way(happens=False, answer="cut")
    run = running.gateway.open_run({}).json()
    assert "in_doubt" in running.call("charge_mute", ADA, run=run).text
    call = running.newest()
    early = running.admin(f"/calls/{call['id']}/resolve", "POST", {"verdict": "execute"})
    outcome = {"content": [{"type": "text", "text": "paid by Grace Hopper"}]}
    told = {"verdict": "happened", "reason": "seen at the bank", "outcome": outcome}
    assert running.admin(f"/calls/{call['id']}/resolve", "POST", told).json()["state"] == "done"
    assert early.status_code in {200, 409}
    shown = running.shown(call["id"])
    assert "Hopper" not in str(shown["outcome"])
    assert running.call("charge_mute", ADA, run=run).text == "paid by Grace Hopper"
    assert running.admin(f"/calls/{call['id']}/resolve", "POST", told).status_code == 409
    deeds = [one for one in running.audited("operator") if one.get("call") == call["id"]]
    assert (deeds[-1]["deed"], deeds[-1]["reason"]) == ("resolve:happened", "seen at the bank")
    assert "Hopper" not in str(deeds)


def test_what_an_operator_lets_be_executed_is_shown_until_the_agent_asks(desk: tuple[Desk, bool], bank: Bank) -> None:
    running, _ = desk
    bank.fresh()
    bank.way = Way(happens=False, answer="cut")
    run = running.gateway.open_run({}).json()
    assert "in_doubt" in running.call("charge_mute", ADA, run=run).text
    call = running.newest()
    path, grant = f"/calls/{call['id']}/resolve", {"verdict": "execute", "reason": "the bank has nothing"}
    assert eventually(lambda: running.admin(path, "POST", grant).json().get("state") == "granted")
    done = running.gateway.oncegate("calls", "list", "--state", "granted")
    assert (done.returncode, str(call["id"]) in done.stdout) == (0, True)
    assert call["id"] not in [one["id"] for one in running.calls(state="in_doubt")]
    bank.way = Way()
    assert "charge-0001" in running.call("charge_mute", ADA, run=run).text
    assert running.calls(state="granted") == []
    assert len(bank.charges) == 1
    said = running.gateway.oncegate("calls", "show", str(call["id"])).stdout
    assert "request, as journaled:" in said
    assert "Lovelace" not in said
