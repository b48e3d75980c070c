"""What operators see of budgets, loops stopped, streams counted, money saved: one gateway, used for all of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import pytest
from openai import OpenAI

from tests.budgets.stand import asking, audited, gateway_in, listed
from tests.gateway.model_upstream import ModelUpstream, Script, chunk, chunks_of, completion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway.running import RunningGateway

#: prices are 1 and 2 US dollars per million tokens in and out
BUDGETS = """\
  - {subject: "agent:acme/billing", per: 1mo, usd: 1, tokens: 1M, requests: 5k}
  - {subject: "domain:*", per: 7d, window: sliding, model_calls: 400}
  - {subject: "run:*", requests: 6, usd: 0.5}
  - {subject: "model/careful", per: 1d, requests: 0}
  - {subject: "mcp/**", per: 1d, tool_calls: 9}
"""
LOOPS = "loop_guard: {same_call: 2}\n"
BILLING = "agent:acme/billing@1mo"
USAGE = json.dumps({
    "id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [],
    "usage": {"prompt_tokens": 40, "completion_tokens": 30, "prompt_tokens_details": {"cached_tokens": 0}},
})  # fmt: skip


@pytest.fixture(scope="module")
def upstream() -> Iterator[ModelUpstream]:
    server = ModelUpstream()
    yield server
    server.close()


@pytest.fixture(scope="module")
def gateway(upstream: ModelUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("standing")
    running = gateway_in(folder / "gateway", f"http://127.0.0.1:{upstream.port}/v1", BUDGETS, more=LOOPS)
    rules = (running.folder / "policies" / "rules.csv").read_text(encoding="utf-8")
    limited = rules.replace("model/allowed, call, -, allow, redact=off", "model/allowed, call, -, allow, limit=300/1h")
    running.write_policies(f"{limited}p, role:clerk, acme, model/careful, call, -, allow, -\n")
    running.start()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def fresh(upstream: ModelUpstream) -> None:
    upstream.received.clear()
    upstream.script = lambda _: Script()


def standing(gateway: RunningGateway, *options: str) -> dict[tuple[str, str], dict[str, object]]:
    return {(str(one["budget"]), str(one["measure"])): one for one in listed(gateway, *options)}


def streamed(gateway: RunningGateway, text: str, **more: object) -> str:
    return gateway.chat(asking(text, stream=True, **more)).text


@pytest.mark.requirement("BUD-15")
def test_budgets_are_listed_with_what_is_spent_and_left(gateway: RunningGateway) -> None:
    before = standing(gateway)[BILLING, "tokens"]
    assert gateway.chat(asking("what is spent")).status_code == 200
    after = standing(gateway)
    spent = cast("float", after[BILLING, "tokens"]["spent"])
    assert spent - cast("float", before["spent"]) == 18
    assert after[BILLING, "tokens"]["reserved"] == 0
    assert after[BILLING, "tokens"]["remaining"] == 1_000_000 - spent
    # 11 tokens in at 1 and 7 out at 2 US dollars per million
    assert after[BILLING, "usd"]["spent"] == pytest.approx(spent / 18 * 25e-6, rel=0.9)
    assert after["mcp/**@1d", "tool_calls"]["spent"] == 0
    assert after["domain:*@7d@sliding", "model_calls"]["subject"] == "domain:acme"
    (limit,) = (one for (name, _), one in after.items() if name.startswith("limit:"))
    assert (limit["most"], limit["subject"]) == (300, "agent:acme/billing")
    assert {str(one["subject"]) for one in listed(gateway, "--subject", "agent:acme/billing")} == {"agent:acme/billing"}
    shown = gateway.oncegate("budgets", "show", BILLING)
    assert shown.returncode == 0
    assert "5000" in shown.stdout
    assert gateway.oncegate("budgets", "show", "nothing").returncode == 1


@pytest.mark.requirement("BUD-12")
def test_a_budget_of_nothing_lets_nothing_through_and_names_itself(
    gateway: RunningGateway, upstream: ModelUpstream
) -> None:
    refused = gateway.chat(asking("none") | {"model": "careful"}, agent="shipping")
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "rate_limit_error")
    assert "`model/careful@1d` allows 0 calls" in refused.json()["error"]["message"]
    assert upstream.received == []


@pytest.mark.requirement("BUD-13")
def test_a_stream_is_asked_for_its_usage_which_its_client_does_not_see(
    gateway: RunningGateway, upstream: ModelUpstream
) -> None:
    upstream.script = lambda _: Script(chunks=[*chunks_of(["hel", "lo"])[:-1], USAGE, "[DONE]"])
    before = cast("float", standing(gateway)[BILLING, "tokens"]["spent"])
    text = streamed(gateway, "a stream")
    assert upstream.received[-1]["stream_options"] == {"include_usage": True}
    assert "prompt_tokens" not in text
    assert text.rstrip().endswith("data: [DONE]")
    assert cast("float", standing(gateway)[BILLING, "tokens"]["spent"]) - before == 70
    seen = streamed(gateway, "a stream with usage", stream_options={"include_usage": True})
    assert "prompt_tokens" in seen
    # what else the client asked of the stream is kept
    streamed(gateway, "another", stream_options={"include_obfuscation": False, "include_usage": False})
    assert upstream.received[-1]["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    client = OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.keys["billing"])
    chunks = list(client.chat.completions.create(
        model="allowed", messages=[{"role": "user", "content": "by the sdk"}], stream=True
    ))  # fmt: skip
    assert "".join(one.choices[0].delta.content or "" for one in chunks) == "hello"
    assert all(one.usage is None for one in chunks)


@pytest.mark.requirement("BUD-13")
def test_missing_usage_is_estimated_and_said(gateway: RunningGateway, upstream: ModelUpstream) -> None:
    upstream.script = lambda _: Script(chunks=[chunk({"content": "no usage"}), chunk({}, "stop"), "[DONE]"])
    before = cast("float", standing(gateway)[BILLING, "tokens"]["spent"])
    body = asking("a stream without usage", stream=True, max_tokens=50)
    assert gateway.chat(body).status_code == 200
    taken = cast("float", standing(gateway)[BILLING, "tokens"]["spent"]) - before
    assert 50 < taken < 150
    outcome = audited(gateway, "outcome")[-1]
    assert outcome["usage_source"] == "estimated"
    assert cast("dict[str, int]", outcome["usage"])["output_tokens"] == 50


@pytest.mark.requirement("BUD-08")
def test_a_run_that_goes_round_in_circles_is_stopped_for_good(gateway: RunningGateway, upstream: ModelUpstream) -> None:
    run = gateway.open_run({}).json()
    headers = {"authorization": f"Bearer {run['token']}"}
    same = [gateway.chat(asking("again"), headers=headers) for _ in range(3)]
    assert [one.status_code for one in same] == [200, 200, 429]
    assert same[2].headers["x-should-retry"] == "false"
    assert "retry-after" not in same[2].headers
    assert "this run has begun this very call 2 times" in same[2].json()["error"]["message"]
    assert len(upstream.received) == 2
    assert audited(gateway, "refusal")[-1]["detail"] == "loop_guard=same_call of=2"
    # the run's own budget: six calls in all
    more = [gateway.chat(asking(f"other {number}"), headers=headers).status_code for number in range(6)]
    assert more == [200] * 4 + [429] * 2
    last = gateway.chat(asking("one more"), headers=headers)
    assert last.headers["x-should-retry"] == "false"
    assert "do not ask again in this run" in last.json()["error"]["message"]


@pytest.mark.requirement("BUD-16")
def test_a_run_shows_what_answers_from_the_journal_have_saved(gateway: RunningGateway, upstream: ModelUpstream) -> None:
    upstream.script = lambda _: Script(body=completion("dear"))
    first = gateway.open_run({}).json()
    asked = [gateway.chat(asking(f"step {at}"), headers={"authorization": f"Bearer {first['token']}"}) for at in (1, 2)]
    anew = gateway.open_run({"id": first["id"]}).json()
    before = cast("float", standing(gateway)[BILLING, "requests"]["spent"])
    again = [gateway.chat(asking(f"step {at}"), headers={"authorization": f"Bearer {anew['token']}"}) for at in (1, 2)]
    assert [one.content for one in again] == [one.content for one in asked]
    assert all(one.headers["oncegate-replayed"] == "true" for one in again)
    assert cast("float", standing(gateway)[BILLING, "requests"]["spent"]) == before
    shown = json.loads(gateway.oncegate("runs", "show", first["id"], "--json").stdout)
    assert shown["cost_usd"] == pytest.approx(50e-6)
    assert shown["saved_usd"] == pytest.approx(50e-6)
    assert "saved" in gateway.oncegate("runs", "show", first["id"]).stdout
    assert len(upstream.received) == 2
