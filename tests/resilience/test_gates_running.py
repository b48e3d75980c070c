"""Breaker and bulkhead through a running gateway, shared by all its callers."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import openai
import pytest

from tests.doubt.bank import Bank, Way
from tests.gateway.model_upstream import ModelUpstream, Script
from tests.resilience.stand import stand_in
from tests.runs.stand import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.mcp.wire import Tree
    from tests.resilience.stand import Stand


CONFIG = """models:
  frail: {provider: openai_compatible, url: "%(model)s", domain: acme}
  narrow: {provider: openai_compatible, url: "%(model)s", domain: acme}
  other: {provider: openai_compatible, url: "%(model)s", domain: acme}
mcp_servers:
  bank: {url: "%(bank)s", era: modern, domain: acme}
resilience:
  model/frail: {breaker: {window: 30s, open: 6s, half_open: 1, trip: "consecutive_failures >= 3"}}
  model/narrow: {bulkhead: {in_flight: 2, queue: 1, queue_wait: 50s}}
  mcp/bank/**: {breaker: {window: 30s, open: 10m, trip: "failures >= 2"}}
"""


@pytest.fixture(scope="module")
def stand(upstream: ModelUpstream, bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    places = {"model": f"http://127.0.0.1:{upstream.port}/v1", "bank": f"http://127.0.0.1:{bank.port}/mcp"}
    made = stand_in(tmp_path_factory.mktemp("gates"), CONFIG % places)
    made.gateway.start()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def fresh(upstream: ModelUpstream, bank: Bank) -> None:
    upstream.received.clear()
    upstream.script = lambda _: Script()
    bank.fresh()


def view(stand: Stand, name: str) -> Tree:
    """Return an upstream as operators see it."""
    return next(one for one in cast("list[Tree]", stand.admin("/upstreams")) if one["upstream"] == name)


def let_through(stand: Stand) -> int:
    """Return the status of the first call that is let through again."""
    numbers = itertools.count()

    def asked() -> int | None:
        status = stand.ask("frail", f"probe {next(numbers)}").status_code
        return None if status == 503 else status

    return cast("int", eventually(asked))


@pytest.mark.requirement("RES-07", "RES-09")
def test_a_model_that_fails_is_left_alone_then_tried_then_used_again(stand: Stand, upstream: ModelUpstream) -> None:
    upstream.script = lambda _: Script(status=500, body={"error": {}})
    for number in range(3):
        assert stand.ask("frail", f"fails {number}").status_code == 500
    assert view(stand, "model/frail")["breaker"] == "open"
    with pytest.raises(openai.InternalServerError) as caught:
        stand.sdk().chat.completions.create(model="frail", messages=[{"role": "user", "content": "left alone"}])
    assert caught.value.response.status_code == 503
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 6
    assert len(upstream.received) == 3
    assert stand.newest()["state"] == "not_executed"
    assert stand.ask("other").status_code == 500  # another upstream's calls are its own
    assert let_through(stand) == 500
    assert stand.ask("frail", "again left alone").status_code == 503
    assert len(upstream.received) == 5
    upstream.script = lambda _: Script()
    assert let_through(stand) == 200
    found = view(stand, "model/frail")
    assert (found["breaker"], found["opened"], found["consecutive_failures"]) == ("closed", 2, 0)
    shown = stand.gateway.oncegate("upstreams", "list").stdout
    assert "model/frail" in shown
    assert "closed" in shown


@pytest.mark.requirement("RES-07")
def test_refusals_of_the_agents_own_making_do_not_open_it(stand: Stand, upstream: ModelUpstream) -> None:
    for status in (400, 404, 429, 400, 422):
        upstream.script = lambda _, status=status: Script(status=status, body={"error": {}})
        assert stand.ask("frail", f"own {status}").status_code == status
    assert view(stand, "model/frail")["breaker"] == "closed"


@pytest.mark.requirement("RES-07")
def test_a_server_that_fails_is_left_alone_with_all_its_tools(stand: Stand, bank: Bank) -> None:
    bank.way = Way(answer="cut")
    for amount in (1, 2):
        assert "in_doubt" in stand.call("charge", {"amount": amount}).text
    assert "nothing was executed" in stand.call("charge_other", {"amount": 3}).text
    assert bank.asked == ["charge", "charge"]


@pytest.mark.requirement("RES-08", "RES-09")
def test_a_slow_model_holds_so_many_calls_refuses_the_rest_and_slows_no_other(
    stand: Stand, upstream: ModelUpstream
) -> None:
    slow = threading.Event()
    upstream.script = lambda asked: Script(hold=slow if asked["model"] == "narrow" else None)
    with ThreadPoolExecutor(3) as pool:
        try:
            held = [pool.submit(stand.ask, "narrow", f"slow {number}") for number in range(3)]
            eventually(lambda: view(stand, "model/narrow")["waiting"] == 1)
            found = view(stand, "model/narrow")
            assert (found["in_flight"], found["waiting"]) == (2, 1)
            refused = stand.ask("narrow", "one too many")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert "as many calls under way" in refused.json()["error"]["message"]
            assert [stand.ask("other", f"quick {number}").status_code for number in range(5)] == [200] * 5
        finally:
            slow.set()
        assert [one.result().status_code for one in held] == [200] * 3
    asked = [one["model"] for one in upstream.received]
    assert (asked.count("narrow"), asked.count("other")) == (3, 5)
    assert view(stand, "model/narrow")["in_flight"] == 0
