"""Which budgets cover a call, and what each is charged; no store, no process."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable.step import Guard, Intent, Owner, RunRef, Spent, Step
from gateway.body import parse
from gateway.budgets.charging import Budgets, spent
from gateway.budgets.estimate import TOKENS_MAX, estimate
from gateway.budgets.refused import unpriced
from gateway.call import Call, Refusal
from gateway.config import ConfigInvalid, load
from gateway.prices import price_of
from gateway.protocols.openai_chat import REQUEST_SHAPE, ChatAdapter
from gateway.protocols.openai_chat_answer import ChatReader
from policy.decision import Decision, Limit, Obligations
from tests.gateway.exchange import BILLING, exchange

if TYPE_CHECKING:
    from pathlib import Path

    from durable.step import Charge
    from policy.decision import Principal

START = """version: 1
trust_domains: {acme: {}, other: {}}
models:
  dear: {provider: openai, url: "https://api.openai.com/v1", price: {input: 10, cached_input: 1, output: 20}}
  cheap: {provider: openai, url: "https://api.openai.com/v1", price: {input: 1, output: 2}, output_tokens_assumed: 100}
"""
ANN = replace(BILLING, user="ann")
REQUEST = b"x" * 400


def budgets_of(folder: Path, lines: str) -> Budgets:
    (folder / "oncegate.yaml").write_text(START + lines, encoding="utf-8")
    config = load(folder / "oncegate.yaml")
    return Budgets(config, price_of(config.models))


def called(
    resource: str = "model/dear",
    kind: str = "model",
    *,
    who: Principal = BILLING,
    run: str | None = None,
    **asked: object,
) -> Call:
    tree: dict[str, object] = {"model": "dear", "messages": [], **asked}
    return Call(
        exchange=exchange(tree, principal=who, run=None if run is None else RunRef(run, 1)), adapter=ChatAdapter({}),
        target=None, endpoint="openai_chat", resource=resource, resource_domain="acme", action="call",
        kind="tool" if kind == "tool" else "model", effect="safe", tree=tree, arguments=tree, shape=REQUEST_SHAPE,
        canonical=b"",
    )  # fmt: skip


def charges(budgets: Budgets, call: Call, *limits: Limit) -> list[Charge]:
    principal = call.exchange.principal
    step = Step(
        owner=Owner(principal.domain, principal.agent), run=call.exchange.run, key=None, fingerprint=b"f" * 32,
        kind=call.kind, resource=call.resource, action="call", effect="safe",
    )  # fmt: skip
    decision = Decision(effect="allow", reason="", digest="", obligations=Obligations(limits=limits))
    return list(budgets.charged(Intent(step=step, request=REQUEST), call, decision).charges)


@pytest.mark.requirement("BUD-11")
@pytest.mark.parametrize(
    ("subject", "call", "counted"),
    [
        ("agent:acme/billing", called(), "agent:acme/billing"),
        ("agent:acme/shipping", called(), None),
        ("agent:other/billing", called(), None),
        ("agent:acme/*", called(), "agent:acme/billing"),
        ("agent:*", called(), "agent:acme/billing"),
        ("user:acme/ann", called(who=ANN), "user:acme/ann"),
        ("user:acme/*", called(who=ANN), "user:acme/ann"),
        ("user:*", called(), None),
        ("domain:acme", called(), "domain:acme"),
        ("domain:*", called(), "domain:acme"),
        ("domain:other", called(), None),
        ("run:*", called(run="run_1"), "run:run_1"),
        ("run:*", called(), None),
        ("model/**", called(), "model/**"),
        ("model/cheap", called(), None),
        ("mcp/pay/tool/*", called("mcp/pay/tool/charge", "tool"), "mcp/pay/tool/*"),
        ("mcp/pay/tool/*", called(), None),
        ("*", called(who=ANN), "*"),
    ],
)
def test_a_budget_covers_the_calls_of_its_subject(
    tmp_path: Path, subject: str, call: Call, counted: str | None
) -> None:
    found = charges(budgets_of(tmp_path, f'budgets: [{{subject: "{subject}", per: 1d, requests: 5}}]\n'), call)
    assert [one.subject for one in found] == ([] if counted is None else [counted])
    assert all((one.measure, one.amount, one.most) == ("requests", 1, 5) for one in found)


@pytest.mark.requirement("BUD-11")
def test_all_budgets_that_cover_a_call_are_charged_each_measure_on_its_own(tmp_path: Path) -> None:
    budgets = budgets_of(
        tmp_path,
        'budgets:\n  - {subject: "agent:acme/billing", per: 1d, usd: 20, tokens: 2M, requests: 5k, tool_calls: 7}\n'
        '  - {subject: "run:*", model_calls: 3, run_seconds: 2h}\n',
    )
    model = {
        (one.budget, one.measure): (one.amount, one.most) for one in charges(budgets, called(run="r", max_tokens=50))
    }
    assert model == {
        ("agent:acme/billing@1d", "requests"): (1, 5000),
        ("agent:acme/billing@1d", "tokens"): (150, 2_000_000),
        ("agent:acme/billing@1d", "usd"): (2_000_000, 20_000_000_000),
        ("run:*", "model_calls"): (1, 3),
    }
    tool = {one.measure for one in charges(budgets, called("mcp/pay/tool/charge", "tool"))}
    assert tool == {"requests", "tool_calls"}
    step = Step(
        owner=Owner("acme", "billing"), run=RunRef("r", 1), key=None, fingerprint=b"", kind="model",
        resource="model/dear", action="call", effect="safe",
    )  # fmt: skip
    decision = Decision(effect="allow", reason="", digest="")
    guarded = budgets.charged(Intent(step=step, request=b""), called(run="r"), decision)
    assert guarded.guard == Guard(same_call_max=500, run_calls_max=20_000, run_seconds_max=7200.0)


@pytest.mark.requirement("BUD-11")
def test_nothing_is_charged_and_nothing_asked_where_no_budget_covers_the_call(tmp_path: Path) -> None:
    assert charges(budgets_of(tmp_path, ""), called()) == []


@pytest.mark.requirement("BUD-09")
def test_a_limit_is_counted_for_its_line_and_its_caller(tmp_path: Path) -> None:
    budgets = budgets_of(tmp_path, "")
    limits = (
        Limit(calls=3, seconds=60, line="a"), Limit(calls=3, seconds=60, line="b"),
        Limit(calls=9, seconds=3600, line="c", of_user=True),
    )  # fmt: skip
    found = {(one.budget, one.subject): one.most for one in charges(budgets, called(who=ANN), *limits)}
    assert found == {
        ("limit:a@60s", "agent:acme/billing"): 3, ("limit:b@60s", "agent:acme/billing"): 3,
        ("limit:c@3600s", "user:acme/ann"): 9,
    }  # fmt: skip
    assert len({one.counter for one in charges(budgets, called(who=ANN), *limits)}) == 3


@pytest.mark.requirement("BUD-08")
def test_outside_a_run_the_same_call_is_counted_by_the_hour_where_the_file_says_so(tmp_path: Path) -> None:
    (one,) = charges(budgets_of(tmp_path, "loop_guard: {same_call_an_hour: 60, same_call: off}\n"), called())
    assert (one.budget, one.most) == ("loop_guard", 60)
    assert charges(budgets_of(tmp_path, "loop_guard: {same_call_an_hour: 60}\n"), called(run="r")) == []


@pytest.mark.requirement("BUD-13")
@pytest.mark.parametrize(
    ("tree", "output"),
    [
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 70, "n": 3}, 210),
        ({"n": 2}, 200),
        ("no object", 100),
        # what lenient servers read as numbers counts as such
        ({"max_tokens": "5000", "n": "2"}, 10_000),
        (parse(b'{"max_tokens": 5e3, "best_of": 2.0}'), 10_000),
        # and what they take for no bound bounds nothing
        ({"max_tokens": 0}, 100), ({"max_tokens": -1, "n": -3}, 100), ({"max_tokens": True}, 100),
        ({"max_tokens": [1]}, 100), ({"max_tokens": "NaN"}, TOKENS_MAX), ({"max_tokens": 10**40}, TOKENS_MAX),
        ({"n": 10**40}, TOKENS_MAX),
    ],
)  # fmt: skip
def test_output_is_estimated_by_what_the_request_bounds(tree: object, output: int) -> None:
    assert estimate(b"{}", tree, assumed=100).output_tokens == output


@pytest.mark.requirement("BUD-13")
@pytest.mark.parametrize(
    ("endpoint", "word"),
    [("openai_chat", "max_tokens"), ("openai_responses", "max_output_tokens"), ("anthropic_messages", "max_tokens")],
)
def test_a_bound_in_another_protocols_word_bounds_nothing_for_servers_ignore_it(endpoint: str, word: str) -> None:
    words = {"max_tokens": 1, "max_output_tokens": 1, "maxTokens": 1, "num_predict": 1}
    assert estimate(b"{}", words | {word: 90}, assumed=100, endpoint=endpoint).output_tokens == 90
    del words[word]
    assert estimate(b"{}", words, assumed=100, endpoint=endpoint).output_tokens == 100


@pytest.mark.requirement("BUD-13")
@pytest.mark.parametrize("count", [-(10**30), -1, 10**30])
def test_usage_that_cannot_be_neither_gives_budget_back_nor_breaks_the_sums(count: int) -> None:
    reader = ChatReader()
    reader.begin(200, ())
    reader.feed(b'{"choices": [], "usage": {"prompt_tokens": %d, "completion_tokens": 2}}' % count)
    reader.end()
    usage = cast("dict[str, int]", reader.verdict().meta["usage"])
    settled = spent(200, usage, None).tokens
    assert settled is not None
    assert 2 <= settled <= TOKENS_MAX + 2


@pytest.mark.requirement("BUD-13")
def test_input_is_estimated_by_its_bytes_and_media_by_their_number() -> None:
    assert estimate(b"x" * 401, {}, assumed=0).input_tokens == 101
    picture = "data:image/png;base64," + "A" * 1_000_000
    request = b'{"a":"' + picture.encode() + b'"}'
    assert estimate(request, {"a": [{"url": picture}]}, assumed=0).input_tokens == 2002
    for prose in ("word " * 2000, "字" * 10_000, "a" * 10_000):  # no text is a picture, however it looks
        for key in ("content", "url"):
            if key == "url" and prose.isascii() and " " not in prose:
                continue
            assert estimate(prose.encode(), {key: prose}, assumed=0).input_tokens == -(-len(prose.encode()) // 4)


@pytest.mark.requirement("BUD-13")
def test_usage_settles_errors_cost_nothing_and_silence_keeps_the_estimate() -> None:
    usage = {"input_tokens": 30, "output_tokens": 12}
    assert spent(200, usage, 0.0000000014) == Spent(tokens=42, nanodollars=2)
    assert spent(200, usage, None) == Spent(tokens=42, nanodollars=None)
    assert spent(400, {}, None) == Spent(tokens=0, nanodollars=0)
    assert spent(200, {}, None) == Spent()


@pytest.mark.requirement("BUD-13")
@given(tokens=st.integers(0, 10**7), cost=st.floats(0, 10**6))
def test_what_is_settled_is_never_below_what_was_said(tokens: int, cost: float) -> None:
    settled = spent(200, {"input_tokens": tokens, "output_tokens": 1}, cost)
    assert settled.tokens == tokens + 1
    assert settled.nanodollars is not None
    assert settled.nanodollars >= cost * 1e9 * (1 - 1e-12)


@pytest.mark.requirement("BUD-14")
def test_money_is_not_spent_where_no_price_is_known(tmp_path: Path) -> None:
    budgets = budgets_of(tmp_path, 'budgets: [{subject: "*", per: 1d, usd: 5}]\n')
    with pytest.raises(Refusal) as caught:
        charges(budgets, called("model/new"))
    assert str(caught.value.message) == unpriced("*@1d").message


@pytest.mark.requirement("BUD-14")
@pytest.mark.parametrize(
    ("budget", "found"),
    [
        ('{subject: "agent:acme/b", requests: 1}', "only the budget of each run can do without `per`"),
        ('{subject: "agent:acme/b", per: 1d}', "expected at least one of"),
        ('{subject: "agent:acme/b", per: 2d, requests: 1}', "a calendar has"),
        ('{subject: "agent:acme/b", per: 1mo, window: sliding, requests: 1}', "needs a `per` of fixed length"),
        ('{subject: "*", per: 1d, window: sliding, time_zone: Europe/Berlin, requests: 1}', "needs no time zone"),
        ('{subject: "*", per: 1d, time_zone: Europe/Berlim, requests: 1}', "a time zone that this machine knows"),
        ('{subject: "*", per: 1y, requests: 1}', "expected a period"),
        ('{subject: "*", per: 1d, tokens: 5m}', "expected a whole number"),
        ('{subject: "agent:nowhere/b", per: 1d, requests: 1}', "trust domain `nowhere` is not among"),
        ('{subject: "billing", per: 1d, requests: 1}', "expected whose calls"),
        ('{subject: "mcp/../x", per: 1d, requests: 1}', "is no resource pattern"),
        ('{subject: "mcp/**", per: 1d, usd: 1}', "only calls of models have tokens and a price"),
        ('{subject: "agent:acme/b", per: 1d, run_seconds: 1h}', "bounds how long a run goes on"),
        ('{subject: "*", per: 1d, requests: 1}, {subject: "*", per: 1d, tokens: 1}', "join them"),
    ],
)
def test_a_budget_that_could_not_be_kept_is_refused_with_its_line(tmp_path: Path, budget: str, found: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        budgets_of(tmp_path, f"budgets: [{budget}]\n")
    first = refused.value.problems[0]
    assert found in str(first)
    assert first.line == 6


@pytest.mark.requirement("BUD-14")
@pytest.mark.parametrize(("subject", "refused"), [("*", True), ("model/free", True), ("model/dear", False)])
def test_a_budget_of_money_needs_the_price_of_every_model_it_covers(
    tmp_path: Path, subject: str, *, refused: bool
) -> None:
    lines = '  free: {provider: openai, url: "https://api.openai.com/v1"}\n'
    lines += f'budgets: [{{subject: "{subject}", per: 1d, usd: 5}}]\n'
    if not refused:
        budgets_of(tmp_path, lines)
        return
    with pytest.raises(ConfigInvalid, match="model `free` has no `price`"):
        budgets_of(tmp_path, lines)
