"""Verify calls on a running gateway: the bank is asked whether a charge in doubt has happened."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.doubt.bank import Bank, Way
from tests.doubt.stand import desk_in
from tests.mcp.stand import eventually

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.doubt.stand import Desk


CUT = Way(answer="cut")
LOST = Way(happens=False, answer="cut")
ADA = {"customer": "Ada Lovelace", "amount": 12.50}


@pytest.fixture(autouse=True)
def fresh(bank: Bank) -> None:
    bank.fresh()


@pytest.fixture(scope="module")
def desk(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> Generator[Desk]:
    made = desk_in(tmp_path_factory.mktemp("verify"), f"http://127.0.0.1:{bank.port}/mcp")
    made.gateway.start()
    yield made
    made.gateway.stop()


@pytest.mark.requirement("IND-06")
def test_a_charge_that_happened_is_found_by_its_key_and_answered_with_its_record(desk: Desk, bank: Bank) -> None:
    bank.way = CUT
    assert "in_doubt" in desk.call("charge", ADA, key="by-key").text
    again = desk.call("charge", ADA, key="by-key")
    assert again.last["result"]["structuredContent"] == bank.charges[0]
    assert again.headers["oncegate-replayed"] == "true"
    assert bank.asked.count("charge") == 1
    call = desk.newest()
    assert (call["state"], call["reason"]) == ("done", "verify said it happened")
    (record,) = [one for one in desk.audited("verified") if one["call"] == call["id"]]
    asked = desk.shown(record["asked"])
    assert (record["verdict"], record["by"], record["call"]) == ("happened", "verify", call["id"])
    assert (asked["resource"], asked["agent"]) == ("mcp/bank/tool/list_charges", "billing")


@pytest.mark.requirement("IND-06")
def test_a_charge_that_did_not_happen_is_made_once_it_can_come_no_more(desk: Desk, bank: Bank) -> None:
    bank.way = LOST
    assert "in_doubt" in desk.call("charge_patient", ADA, key="absent").text
    assert "in_doubt" in desk.call("charge_patient", ADA, key="absent").text  # the call's own time is not over
    assert bank.asked.count("charge_patient") == 1
    bank.way = Way()
    assert eventually(lambda: "in_doubt" not in desk.call("charge_patient", ADA, key="absent").text)
    assert len(bank.charges) == 1
    assert bank.asked.count("charge_patient") == 2
    assert len(set(bank.keys)) == 1, "the bank sees one key"
    verdicts = [one["verdict"] for one in desk.audited("verified") if one["call"] == desk.newest()["id"]]
    assert verdicts == ["execute"]


@pytest.mark.requirement("IND-06")
def test_a_record_that_looks_like_it_proves_it_unless_another_call_has_it(desk: Desk, bank: Bank) -> None:
    bank.way = Way(keeps_key=False)
    made = desk.call("charge_like", ADA, key="like-1").last["result"]["structuredContent"]
    bank.way = LOST
    assert "in_doubt" in desk.call("charge_like", ADA, key="like-2").text
    assert "in_doubt" in desk.call("charge_like", ADA, key="like-2").text, "the record there is the first call's"
    bank.way = Way(answer="cut", keeps_key=False)
    found: list[str] = []

    def replayed() -> bool:
        answer = desk.call("charge_like", ADA, key="like-2")
        found.append(answer.text)
        return "in_doubt" not in answer.text

    assert eventually(replayed)
    assert "charge-0002" in found[-1]
    assert made["charge_id"] == "charge-0001"
    assert {"customer": ADA["customer"]} in bank.listed
    assert len(bank.charges) == 2


@pytest.mark.requirement("IND-06")
@pytest.mark.parametrize(
    "listing",
    [
        {"content": [{"type": "text", "text": "no"}], "isError": True},
        {"content": [{"type": "text", "text": "none"}]},
        {"content": [], "structuredContent": {"charges": {}}},
        {"content": [], "structuredContent": {"charges": ["charge-1"]}},
        {"content": [], "structuredContent": {"charges": [{"charge_id": "charge-1", "amount": 12.5}]}},
    ],
    ids=["an error", "no JSON", "no list", "no records", "no record with a key"],
)
def test_what_is_not_clear_cut_leaves_it_in_doubt(desk: Desk, bank: Bank, listing: dict[str, object]) -> None:
    bank.way, bank.listing = LOST, listing
    name = f"unclear-{id(listing)}"
    assert "in_doubt" in desk.call("charge", ADA, key=name).text
    asked = bank.asked.count("list_charges")
    over = float(desk.shown(desk.newest()["id"])["may_execute_from"])
    assert eventually(lambda: time.time() > over)
    answer = desk.call("charge", ADA, key=name)
    assert bank.asked.count("list_charges") > asked  # for the caller, or already by itself
    assert "in_doubt" in answer.text
    assert "ask again" in answer.text
    assert bank.asked.count("charge") == 1


@pytest.mark.requirement("IND-06")
def test_after_a_crash_it_is_asked_without_anybody_asking(desk: Desk, bank: Bank) -> None:
    run = desk.gateway.open_run({}).json()
    go = threading.Event()
    bank.way = Way(hold=go)
    with ThreadPoolExecutor(1) as others:
        cut = others.submit(desk.call, "charge_patient", {"customer": "Grace", "amount": 3}, run=run)
        assert eventually(lambda: bool(bank.charges))
        desk.gateway.kill()
        go.set()
        assert isinstance(cut.exception(60), httpx.TransportError)
    desk.gateway.start()
    assert eventually(lambda: desk.newest()["state"] == "done")
    assert bank.asked.count("charge_patient") == 1
    answer = desk.call("charge_patient", {"customer": "Grace", "amount": 3}, run=run)
    assert answer.last["result"]["structuredContent"] == bank.charges[0]


@pytest.mark.requirement("IND-06")
def test_an_agent_that_may_not_ask_the_tool_leaves_it_in_doubt(desk: Desk, bank: Bank) -> None:
    rules = (desk.gateway.folder / "policies" / "rules.csv").read_text(encoding="utf-8")
    bank.way = CUT
    assert "in_doubt" in desk.call("charge", ADA, key="forbidden").text
    try:
        desk.gateway.write_policies(rules + "p, role:clerk, acme, mcp/bank/tool/list_charges, call, -, deny, -\n")
        assert eventually(lambda: "denied" in str(desk.call("list_charges", {}).last))
        before = bank.asked.count("list_charges")
        assert "in_doubt" in desk.call("charge", ADA, key="forbidden").text
        assert bank.asked.count("list_charges") == before
    finally:
        desk.gateway.write_policies(rules)
    assert eventually(lambda: "in_doubt" not in desk.call("charge", ADA, key="forbidden").text)
    assert len(bank.charges) == 1
