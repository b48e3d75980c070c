"""Budgets at running gateways, asked by the official SDK and by bare HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import openai
import pytest
from openai import OpenAI

from tests.budgets.stand import ask_all, asking, audited, gateway_in, pair_in
from tests.gateway.model_upstream import ModelUpstream, Script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEN = '  - {subject: "agent:acme/billing", per: 1mo, requests: 10}\n  - {subject: "*", per: 1w, model_calls: 1000}\n'


@pytest.fixture
def upstream() -> Iterator[ModelUpstream]:
    server = ModelUpstream()
    yield server
    server.close()


def url(upstream: ModelUpstream) -> str:
    return f"http://127.0.0.1:{upstream.port}/v1"


@pytest.mark.requirement("BUD-01")
def test_a_hundred_calls_at_once_against_a_budget_for_ten_on_one_instance(
    tmp_path: Path, upstream: ModelUpstream
) -> None:
    gateway = gateway_in(tmp_path / "gateway", url(upstream), TEN)
    gateway.start()
    try:
        answers = ask_all([gateway], [asking(f"question {number}") for number in range(100)])
    finally:
        gateway.stop()
    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [429] * 90
    assert len(upstream.received) == 10


@pytest.mark.requirement("BUD-01")
def test_a_hundred_calls_at_once_against_a_budget_for_ten_on_two_instances(
    tmp_path: Path, upstream: ModelUpstream, database: str
) -> None:
    pair = pair_in(tmp_path, url(upstream), TEN, database)
    try:
        for one in pair:
            one.start()
        answers = ask_all(pair, [asking(f"question {number}") for number in range(100)])
    finally:
        for one in pair:
            one.stop()
    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [429] * 90
    assert len(upstream.received) == 10


@pytest.mark.requirement("BUD-12")
def test_over_budget_is_said_in_the_protocol_with_the_same_text_and_its_end_in_headers(
    tmp_path: Path, upstream: ModelUpstream
) -> None:
    gateway = gateway_in(
        tmp_path / "gateway", url(upstream), '  - {subject: "agent:acme/billing", per: 1mo, requests: 1}\n'
    )
    gateway.start()
    try:
        client = OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.keys["billing"])
        first = client.chat.completions.create(model="allowed", messages=[{"role": "user", "content": "hi"}])
        assert first.choices[0].message.content == "hello"
        said = set[str]()
        for content in ("one", "two"):
            with pytest.raises(openai.RateLimitError) as refused:
                client.chat.completions.create(model="allowed", messages=[{"role": "user", "content": content}])
            said.add(refused.value.message)
            headers = refused.value.response.headers
            assert int(headers["retry-after"]) > 0
            assert headers["oncegate-detail"].startswith("budget=agent:acme/billing@1mo measure=requests")
            assert " used=1 of=1 " in headers["oncegate-detail"]
        assert len(said) == 1
        assert "the budget `agent:acme/billing@1mo` allows 1 calls" in said.pop()
        # somebody else's budget is none of this
        assert gateway.chat(asking(), agent="shipping").status_code == 200
        assert [one["state"] for one in gateway.calls()] == ["done", "done"]
        refusals = audited(gateway, "refusal")
    finally:
        gateway.stop()
    # a client that may not try again has asked once each time
    assert [one["code"] for one in refusals] == ["limited", "limited"]
    assert all("used=1 of=1" in str(one["detail"]) for one in refusals)
    assert len(upstream.received) == 2


@pytest.mark.requirement("BUD-05")
@pytest.mark.parametrize(
    "shared", [pytest.param(False, marks=pytest.mark.slow, id="file"), pytest.param(True, id="database")]
)
def test_a_killed_gateway_leaves_its_reservation_standing(
    tmp_path: Path, upstream: ModelUpstream, database: str, *, shared: bool
) -> None:
    budget = '  - {subject: "agent:acme/billing", per: 1mo, requests: 1, usd: 5}\n'
    if shared:
        gateway, other = pair_in(tmp_path, url(upstream), budget, database, lease="8s")  # it is waited for
    else:
        gateway = other = gateway_in(tmp_path / "gateway", url(upstream), budget)
    upstream.script = lambda _: Script()
    gateway.start(crash_point="before_outcome_commit")
    try:
        with pytest.raises(httpx.TransportError):
            pytest.fail(gateway.chat(asking(), headers={"idempotency-key": "k"}).text)
        assert gateway.died()
        other.start()
        assert other.chat(asking("another")).status_code == 429
        # the call itself is the one that the budget holds a place for
        until = 40
        status = 0
        while until and status != 200:
            status, until = other.chat(asking(), headers={"idempotency-key": "k"}).status_code, until - 1
        assert status == 200
        assert other.chat(asking("yet another")).status_code == 429
    finally:
        gateway.stop()
        other.stop()
    assert len(upstream.received) == 2
