"""Scripted outages through a running gateway: what is sent, how often, and what the agent is told."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import httpx
import openai
import pytest

from tests.doubt.bank import Bank, Way
from tests.gateway.model_upstream import ModelUpstream, Script, completion
from tests.pace import paced
from tests.ports import free_port
from tests.resilience.stand import stand_in
from tests.runs.stand import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.resilience.stand import Stand


CONFIG = """models:
  tried: {provider: openai_compatible, url: "%(model)s", domain: acme, price: {input: 1.0, output: 2.0}}
  once: {provider: openai_compatible, url: "%(model)s", domain: acme}
  nowhere: {provider: openai_compatible, url: "http://127.0.0.1:%(closed)d/v1", domain: acme}
  hasty: {provider: openai_compatible, url: "%(model)s", domain: acme}
  patient: {provider: openai_compatible, url: "%(model)s", domain: acme}
  bounded: {provider: openai_compatible, url: "%(model)s", domain: acme}
mcp_servers:
  bank:
    url: "%(bank)s"
    era: modern
    domain: acme
    tools: {charge_keyed: {effect: keyed, key_ttl: 1h}, charge_safe: {effect: safe}}
resilience:
  "**": {timeout: 60s, retry: {initial: 20ms, max_interval: 1s, attempts: 3, jitter: 0}}
  model/once: {retry: off}
  model/hasty: {timeout: {total: 60s, first_byte: 3s, between_bytes: 3s}}
  model/patient: {retry: {initial: 30s, max_interval: 60s, attempts: 3}, timeout: 120s}
  model/bounded: {timeout: 8s, retry: {initial: 5s, max_interval: 5s, attempts: 9, jitter: 0}}
"""


@pytest.fixture(scope="module")
def stand(upstream: ModelUpstream, bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    places = {
        "model": f"http://127.0.0.1:{upstream.port}/v1", "bank": f"http://127.0.0.1:{bank.port}/mcp",
        "closed": free_port(),
    }  # fmt: skip
    made = stand_in(tmp_path_factory.mktemp("resilience"), CONFIG % places)
    made.gateway.start()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def fresh(upstream: ModelUpstream, bank: Bank) -> None:
    upstream.received.clear()
    upstream.script = lambda _: Script()
    bank.fresh()


def fails(upstream: ModelUpstream, *scripts: Script) -> None:
    """Let the next answers be `scripts`, and all after them good."""
    left = list(scripts)
    upstream.script = lambda _: left.pop(0) if left else Script()


@pytest.mark.requirement("RES-03")
@pytest.mark.parametrize(
    "bad",
    [Script(status=500, body={"error": {}}), Script(status=429, body={"error": {}}), Script(cut_after=20)],
    ids=["500", "429", "cut"],
)  # fmt: skip
def test_a_model_that_fails_twice_is_asked_three_times_and_its_answer_says_so(
    stand: Stand, upstream: ModelUpstream, bad: Script
) -> None:
    fails(upstream, bad, bad)
    raw = stand.sdk().chat.completions.with_raw_response.create(
        model="tried", messages=[{"role": "user", "content": "hi"}]
    )
    assert raw.parse().choices[0].message.content == "hello"
    assert raw.headers["oncegate-tries"] == "3"
    assert len(upstream.received) == 3
    record = stand.newest()
    assert (record["state"], record["attempt"]) == ("done", 1)
    assert cast("dict[str, object]", record["meta"])["tries"] == 3
    ended = stand.outcomes()[-1]
    assert (ended["ending"], ended["tries"], len(cast("list[str]", ended["failed_tries"]))) == ("executed", 3, 2)


@pytest.mark.requirement("RES-03")
def test_an_outage_longer_than_the_tries_ends_with_the_upstreams_word(stand: Stand, upstream: ModelUpstream) -> None:
    upstream.script = lambda _: Script(status=500, body={"error": {"message": "down"}})
    answer = stand.ask("tried")
    assert (answer.status_code, len(upstream.received)) == (500, 3)
    assert answer.json()["error"]["message"] == "down"
    assert answer.headers["oncegate-tries"] == "3"
    assert stand.newest()["state"] == "in_doubt"


@pytest.mark.requirement("RES-03")
def test_nothing_is_tried_again_where_it_is_off_or_the_status_is_not_named(
    stand: Stand, upstream: ModelUpstream
) -> None:
    upstream.script = lambda _: Script(status=500, body={"error": {}})
    assert stand.ask("once").status_code == 500
    assert len(upstream.received) == 1
    upstream.script = lambda _: Script(status=400, body={"error": {}})
    assert stand.ask("tried").status_code == 400
    assert len(upstream.received) == 2


@pytest.mark.requirement("RES-03")
def test_an_upstream_that_cannot_be_reached_is_tried_and_nothing_was_executed(stand: Stand) -> None:
    answer = stand.ask("nowhere")
    assert answer.status_code == 502
    assert answer.headers["oncegate-tries"] == "3"
    assert "nothing was executed" in answer.json()["error"]["message"]
    assert stand.newest()["state"] == "not_executed"


@pytest.mark.requirement("RES-01")
@pytest.mark.parametrize("way", [Way(answer="cut"), Way(status=503), Way(status=500)], ids=["cut", "503", "500"])
def test_a_once_tool_that_may_have_acted_is_called_once(stand: Stand, bank: Bank, way: Way) -> None:
    bank.way = way
    answer = stand.call("charge", {"amount": 5, "way": f"{way.answer}{way.status}"})
    assert "in_doubt" in answer.text
    assert bank.asked == ["charge"]
    assert len(bank.charges) == 1
    assert stand.newest()["state"] == "in_doubt"


@pytest.mark.requirement("RES-01")
def test_a_once_tool_that_was_refused_for_its_rate_is_called_again(stand: Stand, bank: Bank) -> None:
    bank.way = Way(happens=False, status=429, answer="error")
    stand.call("charge", {"amount": 6})
    assert bank.asked == ["charge"] * 3
    assert stand.newest()["state"] == "not_executed"


@pytest.mark.requirement("RES-01")
@pytest.mark.parametrize("tool", ["charge_keyed", "charge_safe"])
def test_a_repeatable_tool_is_called_again_with_the_same_key(stand: Stand, bank: Bank, tool: str) -> None:
    bank.way = Way(answer="cut")
    stand.call(tool, {"amount": 7})
    assert bank.asked == [tool] * 3
    assert len(set(bank.keys)) == 1


@pytest.mark.requirement("RES-02")
def test_retry_after_is_waited_for_and_one_beyond_the_longest_wait_is_passed_on(
    stand: Stand, upstream: ModelUpstream
) -> None:
    limited: dict[str, object] = {"error": {"message": "slow down"}}
    fails(upstream, Script(status=429, body=limited, headers=[(b"retry-after-ms", b"400")]))
    answer = stand.ask("tried")
    assert (answer.status_code, len(upstream.received)) == (200, 2)
    assert answer.elapsed.total_seconds() >= 0.4
    fails(upstream, Script(status=429, body=limited, headers=[(b"retry-after", b"3600")]))
    with pytest.raises(openai.RateLimitError) as caught:
        stand.sdk().chat.completions.create(model="tried", messages=[{"role": "user", "content": "again"}])
    assert caught.value.response.headers["retry-after"] == "3600"
    assert len(upstream.received) == 3


@pytest.mark.requirement("RES-04")
def test_the_calls_time_bounds_all_its_tries(stand: Stand, upstream: ModelUpstream) -> None:
    upstream.script = lambda _: Script(status=500, body={"error": {}})
    with paced() as pace:
        answer = stand.ask("bounded")
    assert (answer.status_code, len(upstream.received)) == (500, 2)
    assert pace.seconds < 8


@pytest.mark.requirement("RES-04")
@pytest.mark.parametrize("stream", [False, True])
def test_a_first_byte_that_does_not_come_in_time_is_waited_for_no_longer(
    stand: Stand, upstream: ModelUpstream, *, stream: bool
) -> None:
    never = threading.Event()
    fails(upstream, Script(hold=never))
    try:
        answer = stand.ask("hasty", f"first {stream}", stream=stream)
    finally:
        never.set()
    assert (answer.status_code, len(upstream.received)) == (200, 2)
    assert stand.outcomes()[-1]["failed_tries"] == ["no answer within 3 s"]


@pytest.mark.requirement("RES-04", "RES-05")
def test_silence_in_a_stream_ends_it_and_after_a_byte_was_given_nothing_is_tried_again(
    stand: Stand, upstream: ModelUpstream
) -> None:
    never = threading.Event()
    upstream.script = lambda _: Script(hold=never, hold_after=2)
    try:
        answer = stand.ask("hasty", "silent", stream=True)
    finally:
        never.set()
    assert "did not answer to the end" in answer.text
    assert len(upstream.received) == 1
    assert stand.newest()["reason"] == "no part of the answer for 3 s"


@pytest.mark.requirement("RES-05")
def test_a_client_that_goes_away_ends_the_waiting(stand: Stand, upstream: ModelUpstream) -> None:
    upstream.script = lambda _: Script(status=500, body={"error": {}})
    body = json.dumps({"model": "patient", "messages": [{"role": "user", "content": "bye"}]})
    with socket.create_connection(("127.0.0.1", stand.gateway.port)) as client:
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {stand.gateway.keys['billing']}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        client.sendall(f"{head}{body}".encode())
        assert eventually(lambda: bool(upstream.received))
    assert eventually(lambda: stand.newest()["state"] == "in_doubt")
    assert len(upstream.received) == 1  # half a minute before the second try


@pytest.mark.requirement("RES-03")
def test_a_clients_own_retry_of_a_call_that_is_being_tried_is_the_same_call(
    stand: Stand, upstream: ModelUpstream
) -> None:
    run = stand.gateway.open_run({}).json()
    fails(upstream, Script(status=500, body={"error": {}}), Script(status=500, body={"error": {}}))
    body = {"model": "tried", "messages": [{"role": "user", "content": "twice"}]}

    def asked(count: int) -> bytes:
        named = {"authorization": f"Bearer {run['token']}", "x-stainless-retry-count": str(count)}
        return httpx.post(f"{stand.gateway.url}/v1/chat/completions", json=body, headers=named, timeout=60).content

    with ThreadPoolExecutor(2) as pool:
        begun = pool.submit(asked, 0)
        # else the retry could come first, and the call itself be a twin
        assert eventually(lambda: bool(upstream.received))
        again = pool.submit(asked, 1)
        first, second = begun.result(), again.result()
    assert first == second
    assert b"hello" in first
    assert len(upstream.received) == 3
    assert completion()["id"] == "chatcmpl-1"
