"""The official OpenAI SDK and hostile clients against a running gateway."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import httpx
import openai
import pytest
from openai import OpenAI

from tests.gateway.model_upstream import ModelUpstream, Script, chunk, chunks_of, completion
from tests.gateway.running import POLICIES, RunningGateway
from tests.mcp.stand import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.chat import ChatCompletion, ChatCompletionChunk


ASK: dict[str, object] = {"model": "allowed", "messages": [{"role": "user", "content": "hi"}]}
TOOL = {"id": "t1", "type": "function", "function": {"name": "pay", "arguments": '{"amount": 5}'}}
PLANTED = {"email": "ada@example.com", "card": "4111 1111 1111 1111", "key": "sk-proj-abcdefghijklmnopqrstuvwx1234"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ModelUpstream]:
    server = ModelUpstream()
    yield server
    server.close()


@pytest.fixture(scope="module")
def gateway(upstream: ModelUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    running = RunningGateway(tmp_path_factory.mktemp("gateway"), f"http://127.0.0.1:{upstream.port}/v1")
    running.start()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def fresh(upstream: ModelUpstream) -> None:
    upstream.received.clear()
    upstream.authorizations.clear()
    upstream.script = lambda _: Script()


def sdk(gateway: RunningGateway, *, key: str | None = None, path: str = "/v1") -> OpenAI:
    return OpenAI(base_url=gateway.url + path, api_key=key or gateway.keys["billing"], max_retries=0)


def ask(client: OpenAI, model: str = "allowed", content: str = "hi") -> str:
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])
    return answer.choices[0].message.content or ""


@pytest.mark.requirement("GW-20")
def test_the_sdk_gets_a_plain_answer_with_every_field_and_the_upstream_never_sees_its_key(
    gateway: RunningGateway, upstream: ModelUpstream
) -> None:
    raw = sdk(gateway).chat.completions.with_raw_response.create(
        model="allowed", messages=[{"role": "user", "content": "hi"}], temperature=0.5, extra_body={"vendor": {"x": 1}}
    )
    assert raw.headers["oncegate-call"].startswith("call_")
    assert raw.headers["oncegate-correlation"]
    assert b'"vendor_extra": {"kept": 1.5}' in raw.content
    assert raw.parse().choices[0].message.content == "hello"
    (received,) = upstream.received
    assert received["model"] == "up"
    assert received["vendor"] == {"x": 1}
    assert upstream.authorizations == ["Bearer upstream-secret"]


@pytest.mark.requirement("GW-20")
def test_the_sdk_gets_a_stream_with_several_choices(gateway: RunningGateway, upstream: ModelUpstream) -> None:
    two = [json.dumps({"id": "c", "choices": [{"index": n, "delta": {"content": f"x{n}"}, "finish_reason": None}]})
           for n in (0, 1)]  # fmt: skip
    ends = [json.dumps({"id": "c", "choices": [{"index": n, "delta": {}, "finish_reason": "stop"}]}) for n in (0, 1)]
    upstream.script = lambda _: Script(chunks=[*two, *ends, "[DONE]"])
    stream = sdk(gateway).chat.completions.create(
        model="allowed", messages=[{"role": "user", "content": "hi"}], stream=True, n=2
    )
    found = {0: "", 1: ""}
    for part in stream:
        for choice in part.choices:
            found[choice.index] += choice.delta.content or ""
    assert found == {0: "x0", 1: "x1"}


@pytest.mark.requirement("GW-20")
def test_the_sdk_gets_tool_calls_plain_and_streamed(gateway: RunningGateway, upstream: ModelUpstream) -> None:
    upstream.script = lambda _: Script(body=completion("", tool_calls=[TOOL, {**TOOL, "id": "t2"}]))
    answer = sdk(gateway).chat.completions.create(model="allowed", messages=[{"role": "user", "content": "pay twice"}])
    assert [call.id for call in answer.choices[0].message.tool_calls or []] == ["t1", "t2"]
    pieces = [{"index": 0, "id": "t1", "function": {"name": "pay", "arguments": '{"amo'}},
              {"index": 0, "function": {"arguments": 'unt": 5}'}}]  # fmt: skip
    upstream.script = lambda _: Script(
        chunks=[*(chunk({"tool_calls": [piece]}) for piece in pieces), chunk({}, "tool_calls"), "[DONE]"]
    )
    stream = sdk(gateway).chat.completions.create(
        model="allowed", messages=[{"role": "user", "content": "pay"}], stream=True
    )
    arguments = "".join(
        call.function.arguments or ""
        for part in stream
        for choice in part.choices
        for call in choice.delta.tool_calls or []
        if call.function
    )
    assert json.loads(arguments) == {"amount": 5}


@pytest.mark.requirement("GW-21")
def test_only_models_that_may_be_called_are_listed(gateway: RunningGateway) -> None:
    assert [model.id for model in sdk(gateway).models.list()] == ["allowed", "careful", "closed"]
    with pytest.raises(openai.NotFoundError):
        sdk(gateway).models.retrieve("forbidden")


@pytest.mark.requirement("GW-22")
def test_the_sdk_raises_the_right_class(gateway: RunningGateway, upstream: ModelUpstream) -> None:
    with pytest.raises(openai.AuthenticationError):
        ask(sdk(gateway, key="og_nobody_aaaaaaaaaaaaaaaaaaaaaaaa"))
    with pytest.raises(openai.PermissionDeniedError) as denied:
        ask(sdk(gateway), "forbidden")
    assert "not allowed by policy (rule default)" in str(denied.value)
    with pytest.raises(openai.NotFoundError):
        ask(sdk(gateway), "unheard-of")
    with pytest.raises(openai.PermissionDeniedError) as blocked:
        ask(sdk(gateway), "closed", f"mail {PLANTED['email']}")
    assert "EMAIL at `/messages/0/content`" in str(blocked.value)
    assert PLANTED["email"] not in str(blocked.value)
    assert upstream.received == []
    upstream.script = lambda _: Script(
        status=429, body={"error": {"message": "slow"}}, headers=[(b"retry-after", b"7")]
    )
    with pytest.raises(openai.RateLimitError) as limited:
        ask(sdk(gateway))
    assert limited.value.response.headers["retry-after"] == "7"
    upstream.script = lambda _: Script(status=401, body={"error": {"message": "bad key"}})
    with pytest.raises(openai.InternalServerError) as theirs:
        ask(sdk(gateway))
    assert "the gateway's own credential" in str(theirs.value)


@pytest.mark.requirement("GW-23")
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (ASK, {"authorization": ""}, 401), (ASK, {"authorization": "Bearer nonsense"}, 401),
        (ASK, {"authorization": "Basic eDp5"}, 401), (b"{", {}, 400),
        (b'{"model":"allowed","model":"allowed"}', {}, 400),
        (b"[]", {}, 400), (ASK | {"pad": "x" * 70_000}, {}, 413), (ASK, {"host": "evil.example"}, 403),
        (ASK, {"origin": "https://evil.example"}, 403), (ASK, {"content-encoding": "gzip"}, 415),
        (ASK, {"x-long": "y" * 20_000}, 431), (ASK, {"idempotency-key": "has space"}, 400),
        (ASK, {"idempotency-key": "z" * 200}, 400), (ASK | {"messages": "no"}, {}, 400),
        (ASK | {"model": "no"}, {}, 404),
        (ASK | {"tools": [{"type": "web_search"}]}, {}, 403),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_the_protocol_and_nothing_is_executed(
    gateway: RunningGateway, upstream: ModelUpstream, body: object, headers: dict[str, str], status: int
) -> None:
    answer = gateway.chat(body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"].startswith("oncegate: ")
    assert answer.headers["oncegate-correlation"]
    assert upstream.received == []


@pytest.mark.requirement("GW-23")
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/embeddings", "/v1/responses"])
def test_nothing_but_a_post_has_an_effect(
    gateway: RunningGateway, upstream: ModelUpstream, method: str, path: str
) -> None:
    named = {"authorization": f"Bearer {gateway.keys['billing']}"}
    answer = httpx.request(method, gateway.url + path, headers=named, json=ASK, trust_env=False, timeout=60)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert upstream.received == []


@pytest.mark.requirement("GW-24")
def test_a_key_replays_its_answer_and_is_refused_for_another_request(
    gateway: RunningGateway, upstream: ModelUpstream
) -> None:
    key = {"idempotency-key": "order-1"}
    first, second = gateway.chat(ASK, headers=key), gateway.chat(ASK, headers=key)
    assert (first.status_code, second.content) == (200, first.content)
    assert "oncegate-replayed" not in first.headers
    assert second.headers["oncegate-replayed"] == "true"
    assert second.headers["oncegate-call"] == first.headers["oncegate-call"]
    other = gateway.chat(ASK | {"temperature": 1}, headers=key)
    assert other.status_code == 422
    assert other.json()["error"]["code"] == "key_reused"
    stranger = gateway.chat(ASK | {"temperature": 1}, headers=key, agent="shipping")
    assert stranger.status_code == 200  # the key is its own
    assert len(upstream.received) == 2


@pytest.mark.requirement("GW-24")
def test_concurrent_requests_with_one_key_are_one_execution(gateway: RunningGateway, upstream: ModelUpstream) -> None:
    go = threading.Event()
    upstream.script = lambda _: Script(hold=go)
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(gateway.chat, ASK, headers={"idempotency-key": "twelve"}) for _ in range(12)]
        threading.Timer(0.5, go.set).start()
        answers = [one.result() for one in asked]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(upstream.received) == 1


@pytest.mark.requirement("GW-25")
@pytest.mark.parametrize("how", ["bearer", "path", "header"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_restarted_attempt_gets_the_same_bytes_and_the_old_one_is_refused(
    gateway: RunningGateway, upstream: ModelUpstream, how: str, *, stream: bool
) -> None:
    def opened(body: dict[str, object]) -> dict[str, str]:
        return cast("dict[str, str]", gateway.open_run(body).json())

    def send(run: dict[str, str]) -> httpx.Response:
        body = json.dumps(ASK | {"stream": stream, "seed": 7}).encode()
        headers, path = {"content-type": "application/json"}, "/v1/chat/completions"
        if how == "path":
            path = f"/r/{run['token']}{path}"
        elif how == "bearer":
            headers["authorization"] = f"Bearer {run['token']}"
        else:
            headers |= {"authorization": f"Bearer {gateway.keys['billing']}", "oncegate-run": run["id"],
                        "oncegate-attempt": str(run["attempt"])}  # fmt: skip
        return httpx.post(gateway.url + path, content=body, headers=headers, timeout=60)

    first = opened({})
    assert first["attempt"] == 1
    one, two = send(first), send(first)
    assert one.status_code == two.status_code == 200
    assert len(upstream.received) == 2  # delivered to the last byte: asked again on purpose
    second = opened({"id": first["id"]})
    assert second["attempt"] == 2
    late = send(first)
    assert (late.status_code, late.json()["error"]["code"]) == (409, "attempt_superseded")
    again, more = send(second), send(second)
    assert [again.content, more.content] == [one.content, two.content]
    assert again.headers["oncegate-replayed"] == more.headers["oncegate-replayed"] == "true"
    assert len(upstream.received) == 2
    assert gateway.open_run({"id": first["id"]}, agent="shipping").status_code == 404


@pytest.mark.requirement("GW-26")
@pytest.mark.parametrize(
    ("script", "state"),
    [
        (Script(status=500, body={"error": {"message": "broken"}}), "in_doubt"),
        (Script(cut_after=0), "in_doubt"), (Script(body=completion("long" * 100), cut_after=40), "in_doubt"),
        (Script(status=429, body={"error": {"message": "slow"}}), "not_executed"),
        (Script(status=400, body={"error": {"message": "no"}}), "done"),
    ],
    ids=["500", "cut before the head", "cut in the body", "429", "400"],
)  # fmt: skip
def test_what_the_upstream_did_is_what_the_journal_says(
    gateway: RunningGateway, upstream: ModelUpstream, script: Script, state: str
) -> None:
    upstream.script = lambda _: script
    answer = gateway.chat(ASK)
    assert answer.status_code >= 400
    assert gateway.calls("--limit", "1")[0]["state"] == state


@pytest.mark.requirement("GW-26")
def test_a_stream_that_is_cut_ends_in_an_error_the_sdk_raises(gateway: RunningGateway, upstream: ModelUpstream) -> None:
    upstream.script = lambda _: Script(chunks=chunks_of(["a", "b", "c"]), cut_after=3)
    client = sdk(gateway)
    stream = client.chat.completions.create(
        model="allowed", messages=[{"role": "user", "content": "cut me"}], stream=True
    )
    with pytest.raises(openai.APIError):
        list(stream)
    assert gateway.calls("--limit", "1")[0]["state"] == "in_doubt"


@pytest.mark.requirement("GW-26")
def test_an_upstream_that_hangs_is_given_up_at_its_timeout(gateway: RunningGateway, upstream: ModelUpstream) -> None:
    go = threading.Event()
    upstream.script = lambda _: Script(hold=go)
    answer = gateway.chat(ASK | {"seed": 99})
    go.set()
    assert answer.status_code == 502
    assert gateway.calls("--limit", "1")[0]["state"] == "in_doubt"


@pytest.mark.requirement("GW-27")
def test_a_client_that_goes_away_finds_the_whole_answer_when_it_asks_again(
    gateway: RunningGateway, upstream: ModelUpstream
) -> None:
    run = gateway.open_run({}).json()
    go = threading.Event()
    upstream.script = lambda _: Script(hold=go)
    headers = {"authorization": f"Bearer {run['token']}"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{gateway.url}/v1/chat/completions", json=ASK, headers=headers, timeout=0.5)
    asked = ThreadPoolExecutor(1).submit(
        httpx.post, f"{gateway.url}/v1/chat/completions", json=ASK, headers=headers, timeout=60
    )
    threading.Timer(0.3, go.set).start()
    answer = asked.result()
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "hello"
    assert len(upstream.received) == 1


@pytest.mark.requirement("GW-28")
@pytest.mark.parametrize("stream", [False, True])
def test_planted_values_reach_the_model_as_placeholders_and_come_back_restored(
    gateway: RunningGateway, upstream: ModelUpstream, *, stream: bool
) -> None:
    said = f"I am Ada Lovelace, {PLANTED['email']}, card {PLANTED['card']}, key {PLANTED['key']}"

    def echo(request: dict[str, object]) -> Script:
        text = cast("str", cast("list[dict[str, object]]", request["messages"])[0]["content"])
        return Script(
            body=None if stream else completion(text),
            chunks=chunks_of([text[n : n + 3] for n in range(0, len(text), 3)]),
        )

    upstream.script = echo
    created = sdk(gateway).chat.completions.create(
        model="careful", messages=[{"role": "user", "content": said}], stream=stream
    )
    back: str | None
    if stream:
        parts = cast("Iterator[ChatCompletionChunk]", created)
        back = "".join(part.choices[0].delta.content or "" for part in parts)
    else:
        back = cast("ChatCompletion", created).choices[0].message.content
    assert back == said
    seen = json.dumps(upstream.received)
    for value in (*PLANTED.values(), "Ada", "Lovelace"):
        assert value not in seen
    assert "PERSON_" in seen
    database = (gateway.folder / "oncegate.db").read_bytes() + (gateway.folder / "oncegate.db-wal").read_bytes()
    for value in (*PLANTED.values(), "Lovelace"):
        assert value.encode() not in database
    assert "Lovelace" not in gateway.log.read_text(encoding="utf-8")


@pytest.mark.requirement("GW-29")
def test_a_broken_policy_file_keeps_the_last_good_set_and_a_good_one_takes_effect(gateway: RunningGateway) -> None:
    def state() -> dict[str, object]:
        return cast("dict[str, object]", httpx.get(f"{gateway.url}/readyz", timeout=60).json())

    gateway.write_policies(POLICIES.replace("allow, redact=off", "alow, redact=off"))
    assert eventually(lambda: "policies_last_reload" in state())
    assert state()["ready"] is True
    assert gateway.chat(ASK).status_code == 200
    assert "rules.csv:1" in gateway.log.read_text(encoding="utf-8")
    done = gateway.oncegate("serve")
    assert done.returncode == 2
    assert "rules.csv:1" in done.stderr
    gateway.write_policies(
        POLICIES.replace("p, role:clerk, acme, model/allowed", "p, role:nobody, acme, model/allowed")
    )
    assert eventually(lambda: gateway.chat(ASK).status_code == 403)
    gateway.write_policies(POLICIES)
    assert eventually(lambda: gateway.chat(ASK).status_code == 200)
