"""Another model answers where the asked one does not: through a running gateway, decided anew, and said."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, cast

import httpx
import openai
import pytest

from gateway.resilience.fallback import both_grants, other_key
from tests.gateway.model_upstream import ModelUpstream, Script, completion
from tests.ports import free_port
from tests.resilience.stand import stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.resilience.stand import Stand


CONFIG = """models:
  first: {provider: openai_compatible, url: "%(model)s", domain: acme, fallback: [denied, asked, second, third],
          price: {input: 1.0, output: 2.0}}
  second: {provider: openai_compatible, url: "%(model)s", domain: acme, price: {input: 10.0, output: 20.0}}
  third: {provider: openai_compatible, url: "%(model)s", domain: acme}
  denied: {provider: openai_compatible, url: "%(model)s", domain: acme}
  asked: {provider: openai_compatible, url: "%(model)s", domain: acme}
  nowhere: {provider: openai_compatible, url: "http://127.0.0.1:%(closed)d/v1", domain: acme, fallback: second}
  late: {provider: openai_compatible, url: "%(model)s", domain: acme, fallback: second}
  frail: {provider: openai_compatible, url: "%(model)s", domain: acme, fallback: second}
  tried: {provider: openai_compatible, url: "%(model)s", domain: acme, fallback: second}
resilience:
  model/late: {timeout: {first_byte: 500ms, total: 20s}}
  model/frail: {breaker: {open: 10m, trip: "failures >= 1"}}
  model/tried: {retry: {attempts: 2, initial: 10ms, max_interval: 1s}}
"""
RULES = """p, role:clerk, acme, model/*, call, -, allow, redact=off
p, role:clerk, acme, model/denied, call, -, deny, -
p, role:clerk, acme, model/asked, call, -, allow, approval=chiefs
p, role:any, acme, run/*, create, -, allow, -
g, agent:billing, role:clerk, acme
"""


@pytest.fixture(scope="module")
def stand(upstream: ModelUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    places = {"model": f"http://127.0.0.1:{upstream.port}/v1", "closed": free_port()}
    made = stand_in(tmp_path_factory.mktemp("fallback"), CONFIG % places, rules=RULES)
    made.gateway.start()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def fresh(upstream: ModelUpstream) -> None:
    upstream.received.clear()
    upstream.script = lambda _: Script()


def down(upstream: ModelUpstream, *models: str, status: int = 500) -> None:
    """Let these models fail, and the others answer with their name."""
    upstream.script = lambda asked: (
        Script(status=status, body={"error": {"message": "down"}})
        if asked["model"] in models
        else Script(body=completion(f"from {asked['model']}")) if not asked.get("stream") else Script()
    )  # fmt: skip


def asked(upstream: ModelUpstream) -> list[object]:
    return [one["model"] for one in upstream.received]


@pytest.mark.requirement("RES-10", "RES-11")
@pytest.mark.parametrize("status", [500, 429, 401, 503])
def test_the_next_model_that_policy_allows_answers_and_is_paid(
    stand: Stand, upstream: ModelUpstream, status: int
) -> None:
    down(upstream, "first", status=status)
    raw = stand.sdk().chat.completions.with_raw_response.create(
        model="first", messages=[{"role": "user", "content": f"hi {status}"}]
    )
    assert raw.parse().choices[0].message.content == "from second"
    assert (raw.headers["oncegate-model"], raw.headers["oncegate-tries"]) == ("second", "2")
    assert asked(upstream) == ["first", "second"]
    record = stand.newest()
    assert (record["resource"], record["state"]) == ("model/first", "done")
    meta = cast("dict[str, object]", record["meta"])
    assert (meta["answered_by"], meta["cost_usd"]) == ("model/second", round((11 * 10 + 7 * 20) / 1e6, 9))
    ended = stand.outcomes()[-1]
    assert (ended["resource"], ended["answered_by"], ended["answered_rule"]) == (
        "model/first", "model/second", "rules.csv:1",
    )  # fmt: skip
    assert ended["failed_tries"] == [
        f"model/first: upstream answered {status}", "model/denied: not allowed by policy (rule rules.csv:2)",
        "model/asked: not allowed by policy (rule rules.csv:3)",
    ]  # fmt: skip


@pytest.mark.requirement("RES-10")
def test_every_model_of_the_chain_is_asked_once_and_the_last_ones_word_is_given(
    stand: Stand, upstream: ModelUpstream
) -> None:
    down(upstream, "first", "second", "third")
    with pytest.raises(openai.InternalServerError) as caught:
        stand.sdk().chat.completions.create(model="first", messages=[{"role": "user", "content": "all down"}])
    assert caught.value.response.headers["oncegate-model"] == "third"
    assert asked(upstream) == ["first", "second", "third"]
    assert stand.newest()["state"] == "in_doubt"


@pytest.mark.requirement("RES-10")
def test_a_request_that_the_model_refuses_is_not_asked_elsewhere(stand: Stand, upstream: ModelUpstream) -> None:
    down(upstream, "first", status=400)
    assert stand.ask("first", "bad").status_code == 400
    assert asked(upstream) == ["first"]


@pytest.mark.requirement("RES-10")
def test_an_upstream_not_reached_late_or_left_alone_is_stood_in_for(stand: Stand, upstream: ModelUpstream) -> None:
    answer = stand.ask("nowhere", "unreachable")
    assert (answer.status_code, answer.headers["oncegate-model"]) == (200, "second")
    never = threading.Event()
    upstream.script = lambda one: Script(hold=never if one["model"] == "late" else None)
    try:
        answer = stand.ask("late", "too late")
    finally:
        never.set()
    assert (answer.status_code, answer.headers["oncegate-model"]) == (200, "second")
    down(upstream, "frail")
    stand.ask("frail", "opens it")
    upstream.received.clear()
    answer = stand.ask("frail", "left alone")
    assert (answer.headers["oncegate-model"], "oncegate-tries" in answer.headers) == ("second", False)
    assert asked(upstream) == ["second"]


@pytest.mark.requirement("RES-10")
def test_its_own_tries_come_before_another_model(stand: Stand, upstream: ModelUpstream) -> None:
    down(upstream, "tried")
    assert stand.ask("tried", "own first").json()["choices"][0]["message"]["content"] == "from second"
    assert asked(upstream) == ["tried", "tried", "second"]


@pytest.mark.requirement("RES-10")
def test_a_stream_turns_to_another_model_before_its_first_byte_and_not_after(
    stand: Stand, upstream: ModelUpstream
) -> None:
    down(upstream, "first")
    parts = stand.sdk().chat.completions.create(
        model="first", messages=[{"role": "user", "content": "stream"}], stream=True
    )
    assert "".join(part.choices[0].delta.content or "" for part in parts) == "hello"
    assert asked(upstream) == ["first", "second"]
    upstream.script = lambda _: Script(cut_after=3)
    upstream.received.clear()
    assert "did not answer to the end" in stand.ask("first", "cut in the middle", stream=True).text
    assert asked(upstream) == ["first"]


@pytest.mark.requirement("RES-11")
def test_the_step_stays_what_it_is_and_its_replay_names_who_answered(stand: Stand, upstream: ModelUpstream) -> None:
    run = stand.gateway.open_run({}).json()
    down(upstream, "first")
    body = {"model": "first", "messages": [{"role": "user", "content": "in a run"}]}

    def again(token: str) -> httpx.Response:
        url = f"{stand.gateway.url}/v1/chat/completions"
        return httpx.post(url, json=body, headers={"authorization": f"Bearer {token}"}, timeout=60)

    first = again(run["token"])
    down(upstream)  # all is well again, and nobody is asked
    upstream.received.clear()
    second = again(stand.gateway.open_run({"id": run["id"]}).json()["token"])
    assert second.content == first.content
    assert (second.headers["oncegate-replayed"], second.headers["oncegate-model"]) == ("true", "second")
    assert asked(upstream) == []


@pytest.mark.requirement("RES-12")
def test_the_agent_sees_no_original_that_not_both_decisions_let_it_see() -> None:
    everything, people, cards = frozenset[str](), frozenset({"PERSON"}), frozenset({"CARD"})
    assert both_grants(None, everything) is None
    assert both_grants(everything, people) == people
    assert both_grants(everything, everything) == everything
    assert both_grants(people, people | cards) == people
    assert both_grants(people, cards) is None


@pytest.mark.requirement("RES-11")
def test_another_model_gets_a_key_of_its_own_and_always_the_same() -> None:
    key = other_key("0" * 64, "model/second")
    assert key == other_key("0" * 64, "model/second")
    assert len({key, other_key("0" * 64, "model/third"), "0" * 64}) == 3


REDACTED = """models:
  kind: {provider: openai_compatible, url: "%(model)s", domain: acme, fallback: strict}
  strict: {provider: openai_compatible, url: "%(model)s", domain: acme}
"""
REDACTED_RULES = """p, role:clerk, acme, model/kind, call, -, allow, redact=off;restore=*@agent
p, role:clerk, acme, model/strict, call, -, allow, redact=standard
g, agent:billing, role:clerk, acme
"""


@pytest.mark.requirement("RES-12")
def test_another_model_gets_placeholders_where_its_own_decision_demands_them(
    upstream: ModelUpstream, tmp_path: Path
) -> None:
    made = stand_in(
        tmp_path, REDACTED % {"model": f"http://127.0.0.1:{upstream.port}/v1"}, rules=REDACTED_RULES,
        profiles='"off": {inspect: false}\nstandard: {default: placeholder}\n',
    )  # fmt: skip
    made.gateway.start()
    try:
        upstream.script = lambda one: (
            Script(status=500, body={"error": {}})
            if one["model"] == "kind"
            else Script(body=completion(cast("str", cast("list[dict[str, object]]", one["messages"])[0]["content"])))
        )
        answer = made.ask("kind", "write to ada@example.com")
    finally:
        made.close()
    kind, strict = (json.dumps(one) for one in upstream.received)
    assert "ada@example.com" in kind
    assert "ada@example.com" not in strict
    assert "ada@example.com" not in answer.text
    assert answer.headers["oncegate-model"] == "strict"
