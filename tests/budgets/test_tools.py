"""Limits and budgets of tools: what a model is told by an MCP server's gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from gateway.budgets.refused import RETRY_SECONDS_MAX
from tests.doubt.bank import Bank
from tests.doubt.stand import desk_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.mcp.wire import Tree


@pytest.fixture
def bank() -> Iterator[Bank]:
    running = Bank()
    yield running
    running.close()


@pytest.mark.requirement("BUD-12")
@pytest.mark.requirement("BUD-09")
def test_a_tool_past_its_lines_limit_is_answered_by_an_error_the_model_can_read(tmp_path: Path, bank: Bank) -> None:
    desk = desk_in(tmp_path, f"http://127.0.0.1:{bank.port}/mcp")
    rules = (tmp_path / "policies" / "rules.csv").read_text(encoding="utf-8")
    limited = rules.replace("mcp/bank/tool/*, call, -, allow, -", "mcp/bank/tool/*, call, -, allow, limit=2/1d")
    desk.gateway.write_policies(
        limited.replace("p, role:clerk, acme, mcp/bank/tool", "# id: twice\np, role:clerk, acme, mcp/bank/tool")
    )
    desk.gateway.start()
    try:
        for number in range(2):
            assert "error" not in desk.call("charge_mute", {"customer": "c1", "amount": number}, key=f"k{number}").last
        refused = [desk.call("charge_mute", {"customer": "c1", "amount": 9}, key="k9") for _ in range(2)]
        again = desk.call("charge_mute", {"customer": "c1", "amount": 1}, key="k1")
    finally:
        desk.gateway.stop()
    results = [cast("Tree", one.last["result"]) for one in refused]
    assert all(result["isError"] is True for result in results)
    (text,) = {str(cast("list[Tree]", result["content"])[0]["text"]) for result in results}
    assert "the budget `limit:twice@86400s` allows 2 calls and has no room for this call" in text
    assert "used=2 of=2" in refused[0].headers["oncegate-detail"]
    for result in results:
        told = cast("Tree", cast("Tree", result["_meta"])["dev.oncegate/call"])
        assert told["code"] == "limited"
        # a line's window slides: what was begun just now counts for a day, and for a sixtieth of it at most longer
        assert 86400 - 60 < (wait := cast("int", told["retryAfterSeconds"])) <= 86400 * 61 / 60
        assert told["final"] is (wait > RETRY_SECONDS_MAX)
    # what is in the journal is answered all the same
    assert cast("Tree", again.last["result"]).get("isError") is not True
    assert len(bank.charges) == 2
