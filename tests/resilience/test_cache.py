"""Answers given again: to whom, to which requests, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable.step import Outcome
from gateway.config import Cache
from gateway.resilience.cache import AnswerStore
from tests import keys
from tests.gateway.model_upstream import ModelUpstream, Script, completion
from tests.resilience.stand import stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.resilience.stand import Stand


CONFIG = """models:
  kept: {provider: openai_compatible, url: "%(model)s", domain: acme, price: {input: 1.0, output: 2.0}}
  own: {provider: openai_compatible, url: "%(model)s", domain: acme}
  plain: {provider: openai_compatible, url: "%(model)s", domain: acme}
  everybodys: {provider: openai_compatible, url: "%(model)s", domain: acme}
  looked_at: {provider: openai_compatible, url: "%(model)s", domain: acme}
resilience:
  model/everybodys: {cache: {ttl: 1h}}
  model/looked_at: {cache: {ttl: 1h}}
  model/kept: {cache: {ttl: 1h}}
  model/own: {cache: {ttl: 1h, scope: agent, when: always}}
"""
#: another agent of the domain, by another line of the policy
RULES = """p, agent:billing, acme, model/*, call, -, allow, redact=off
p, role:clerk, acme, model/own, call, -, allow, redact=off
p, role:keeper, acme, model/kept, call, -, allow, redact=off
p, role:any, acme, run/*, create, -, allow, -
g, agent:shipping, role:clerk, acme
g, agent:shipping, role:keeper, acme
p, role:any, *, model/everybodys, call, -, allow, redact=off
p2, *, acme, model, call, allow, -
p, role:careful, acme, model/looked_at, call, -, allow, redact=looked
p, role:lax, acme, model/looked_at, call, -, allow, redact=off
g, agent:auditor, role:careful, acme
g, agent:lawyer, role:careful, acme
g, agent:jester, role:lax, acme
g, agent:clown, role:lax, acme
"""
#: `looked` looks, and would find nothing: it starts no language model.
PROFILES = """
"off": {inspect: false}
looked: {default: keep}
"""
#: Every agent is of one trust domain, and named with it where that is not `acme`.
AGENTS = {
    "acme": ("auditor", "lawyer", "jester", "clown"), "globex": ("buyer", "seller"), "initech": ("buyer", "seller"),
}  # fmt: skip


@pytest.fixture(scope="module")
def stand(upstream: ModelUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    config = CONFIG % {"model": f"http://127.0.0.1:{upstream.port}/v1"}
    folder = tmp_path_factory.mktemp("cache")
    made = stand_in(folder, config, rules=RULES, profiles=PROFILES)
    text = made.gateway.config.read_text(encoding="utf-8")
    domains = "acme: {api_keys_file: keys.yaml}"
    more = "".join(f", {domain}: {{api_keys_file: {domain}.yaml}}" for domain in AGENTS if domain != "acme")
    made.gateway.config.write_text(text.replace(domains, domains + more), encoding="utf-8")
    for domain, agents in AGENTS.items():
        file = folder / ("keys.yaml" if domain == "acme" else f"{domain}.yaml")
        made.gateway.keys |= {f"{domain}/{agent}": keys.add(file, agent, domain=domain) for agent in agents}
    made.gateway.start()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def fresh(upstream: ModelUpstream) -> None:
    upstream.received.clear()
    numbers = iter(range(1000))
    upstream.script = lambda asked: Script(body=None if asked.get("stream") else completion(f"answer {next(numbers)}"))


def ask(stand: Stand, content: str, more: dict[str, object]) -> httpx.Response:
    return stand.gateway.chat({"model": "kept", "messages": [{"role": "user", "content": content}], **more})


def cached(answer: httpx.Response) -> bool:
    assert answer.status_code == 200, answer.text
    return answer.headers.get("oncegate-cached") == "true"


@pytest.mark.requirement("RES-14")
@pytest.mark.parametrize("stream", [False, True])
def test_the_same_request_gets_the_same_answer_asks_nobody_and_costs_nothing(
    stand: Stand, upstream: ModelUpstream, *, stream: bool
) -> None:
    first, second = (ask(stand, "same", {"temperature": 0, "stream": stream}) for _ in range(2))
    assert (cached(first), cached(second)) == (False, True)
    assert second.content == first.content
    assert second.headers["content-type"] == first.headers["content-type"]
    assert second.headers["oncegate-call"] != first.headers["oncegate-call"]
    assert len(upstream.received) == 1
    record = stand.newest()
    assert record["state"] == "done"
    meta = cast("dict[str, object]", record["meta"])
    assert (meta["cached"], meta["cost_usd"], "usage" in meta) == (True, 0.0, False)
    ended = stand.outcomes()[-1]
    assert (ended["ending"], ended["cost_nanodollars"], ended["usage"]) == ("cached", 0, {})


@pytest.mark.requirement("RES-14")
@pytest.mark.parametrize(
    "more",
    [{}, {"temperature": 0.1}, {"temperature": 0, "n": 2}, {"temperature": 0, "tools": [{"type": "function"}]}],
    ids=["no temperature", "some temperature", "two choices", "tools"],
)
def test_a_request_that_wants_another_answer_gets_one(stand: Stand, more: dict[str, object]) -> None:
    assert [cached(ask(stand, "another", more)) for _ in range(2)] == [False, False]


@pytest.mark.requirement("RES-14")
def test_a_header_asks_for_a_kept_answer_or_for_a_new_one(stand: Stand) -> None:
    use, no = {"oncegate-cache": "use"}, {"oncegate-cache": "no"}
    assert [cached(stand.ask("kept", "by header", headers=use)) for _ in range(2)] == [False, True]
    assert not cached(stand.ask("kept", "by header", headers=no))
    assert not cached(stand.ask("plain", "by header", headers=use))
    assert not cached(stand.ask("plain", "by header", headers=use))


@pytest.mark.requirement("RES-14")
def test_whatever_differs_is_another_request(stand: Stand) -> None:
    asked: tuple[dict[str, object], ...] = (
        {"temperature": 0}, {"temperature": 0, "seed": 1}, {"temperature": 0, "user": "u"}, {"temperature": 0.0},
    )  # fmt: skip
    assert not any(cached(ask(stand, "differs", more)) for more in asked)
    assert not cached(stand.ask("kept", "differs ", temperature=0))


@pytest.mark.requirement("RES-14")
def test_another_line_of_the_policy_and_another_agents_scope_share_nothing(stand: Stand) -> None:
    body = {"model": "kept", "messages": [{"role": "user", "content": "whose"}], "temperature": 0}
    assert [cached(stand.gateway.chat(body, agent=agent)) for agent in ("billing", "shipping", "billing")] == [
        False, False, True,
    ]  # fmt: skip
    body["model"] = "own"
    assert [cached(stand.gateway.chat(body, agent=agent)) for agent in ("shipping", "billing", "shipping")] == [
        False, False, True,
    ]  # fmt: skip


def asked_by(stand: Stand, model: str, *agents: str) -> list[bool]:
    """Return of each agent's call, the same for all, whether its answer was kept from one before."""
    body = {"model": model, "messages": [{"role": "user", "content": "the very same"}], "temperature": 0}
    return [cached(stand.gateway.chat(body, agent=agent)) for agent in agents]


@pytest.mark.requirement("RES-14")
def test_an_answer_never_leaves_its_trust_domain_though_the_same_lines_decide(
    stand: Stand, upstream: ModelUpstream
) -> None:
    # one line allows all of them, one flow both of the other domains
    first = asked_by(stand, "everybodys", "acme/auditor", "globex/buyer", "initech/buyer")
    assert (first, len(upstream.received)) == ([False, False, False], 3)
    again = asked_by(stand, "everybodys", "acme/jester", "globex/seller", "initech/seller")
    assert (again, len(upstream.received)) == ([True, True, True], 3)


@pytest.mark.requirement("RES-14")
def test_an_answer_is_not_shared_between_redaction_profiles(stand: Stand, upstream: ModelUpstream) -> None:
    assert asked_by(stand, "looked_at", "acme/auditor", "acme/jester") == [False, False]
    assert len(upstream.received) == 2
    assert asked_by(stand, "looked_at", "acme/lawyer", "acme/clown") == [True, True]
    assert len(upstream.received) == 2


@pytest.mark.requirement("RES-14")
def test_errors_are_not_kept(stand: Stand, upstream: ModelUpstream) -> None:
    upstream.script = lambda _: Script(status=400, body={"error": {}})
    assert stand.ask("kept", "bad", temperature=0).status_code == 400
    upstream.script = lambda _: Script()
    assert not cached(stand.ask("kept", "bad", temperature=0))


@pytest.mark.requirement("RES-14")
def test_a_cached_answer_is_the_outcome_of_its_step_and_replayed(stand: Stand, upstream: ModelUpstream) -> None:
    stand.ask("kept", "in a run", temperature=0)
    run = stand.gateway.open_run({}).json()
    body = {"model": "kept", "messages": [{"role": "user", "content": "in a run"}], "temperature": 0}

    def asked(token: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"}
        return httpx.post(f"{stand.gateway.url}/v1/chat/completions", json=body, headers=headers, timeout=60)

    first = asked(run["token"])
    assert cached(first)
    again = asked(stand.gateway.open_run({"id": run["id"]}).json()["token"])
    assert (again.headers["oncegate-replayed"], again.content) == ("true", first.content)
    assert len(upstream.received) == 1


@dataclass
class Clock:
    time: float = 0.0

    def __call__(self) -> float:
        return self.time


def outcome(size: int) -> Outcome:
    return Outcome(form="body", status=200, media="application/json", body=b"x" * size)


@pytest.mark.requirement("RES-15")
def test_an_answer_is_forgotten_when_its_time_is_over() -> None:
    clock = Clock()
    store = AnswerStore(Cache(ttl_seconds=10), clock)
    store.keep(b"a", outcome(10))
    clock.time = 9.9
    assert store.find(b"a") is not None
    clock.time = 10.0
    assert store.find(b"a") is None
    assert (len(store), store.bytes) == (0, 0)


@pytest.mark.requirement("RES-15")
def test_what_was_used_longest_ago_goes_first_and_what_is_too_large_is_not_kept() -> None:
    store = AnswerStore(Cache(ttl_seconds=10, entries_max=2, bytes_max=8192), Clock())
    for key in (b"a", b"b"):
        store.keep(key, outcome(10))
    store.find(b"a")
    store.keep(b"c", outcome(10))
    assert [store.find(key) is not None for key in (b"a", b"b", b"c")] == [True, False, True]
    store.keep(b"d", outcome(8192))
    assert [store.find(key) is not None for key in (b"a", b"c", b"d")] == [True, True, False]


@pytest.mark.requirement("RES-15")
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 6000), st.floats(0, 5)), max_size=60))
def test_no_order_of_answers_grows_past_the_bounds(deeds: list[tuple[int, int, float]]) -> None:
    clock = Clock()
    store = AnswerStore(Cache(ttl_seconds=10, entries_max=4, bytes_max=10_000), clock)
    for key, size, seconds in deeds:
        clock.time += seconds
        store.find(bytes([key]))
        store.keep(bytes([key]), outcome(size))
        assert len(store) <= 4
        assert store.bytes <= 10_000
        assert (store.bytes == 0) == (len(store) == 0)
