"""A running gateway whose providers draw and speak: counted and audited or blocked, streamed, whole and replayed."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import threading
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

import anthropic
import httpx
import httpx2
import openai
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.emulator import anthropic as messages
from tests.emulator.faults import Emulator, plain, streamed
from tests.emulator.openai import event, events_of, message, response
from tests.gateway.running import RunningGateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.emulator.faults import Answer, Received

pytestmark = pytest.mark.requirement("RED-42")
Tree = dict[str, object]
_NAMES = itertools.count()

#: What stands for the bytes of a file; it comes in three pieces, each whole base64.
PIECES: Final = tuple(base64.b64encode(bytes(range(place, place + 60))).decode() for place in (0, 60, 120))
FILE: Final = "".join(PIECES)
HIDDEN: Final = ("call me: ada@exa", "mple.com or ", "laterAAAAAAAAAAAAAAAAAA")
MODELS: Final = """models:
  counted: {provider: openai, url: "%(up)s/v1", credential: "file:upstream.key", domain: acme}
  blocked: {provider: openai, url: "%(up)s/v1", credential: "file:upstream.key", domain: acme}
  shown: {provider: openai, url: "%(up)s/v1", credential: "file:upstream.key", domain: acme}
  claude: {provider: anthropic, url: "%(up)s/v1", credential: "file:upstream.key", domain: acme}
  shut: {provider: anthropic, url: "%(up)s/v1", credential: "file:upstream.key", domain: acme}
mcp_servers:
  counted: {url: "%(up)s/mcp", domain: acme}
  blocked: {url: "%(up)s/mcp", domain: acme}
"""
RULES: Final = """p, role:clerk, acme, model/*, call, -, allow, redact=counted
p, role:clerk, acme, model/blocked, call, -, allow, redact=blocked
p, role:clerk, acme, model/shut, call, -, allow, redact=blocked
p, role:clerk, acme, model/shown, call, -, allow, redact=counted;restore=*@agent
p, role:clerk, acme, mcp/*, *, -, allow, redact=counted
p, role:clerk, acme, mcp/*/**, *, -, allow, redact=counted
p, role:clerk, acme, mcp/blocked/**, *, -, allow, redact=blocked
p, role:any, acme, run/*, create, -, allow, -
g, agent:billing, role:clerk, acme
"""
PROFILES: Final = """
"off": {inspect: false}
counted: {default: placeholder}
blocked: {default: placeholder, unscanned: block}
"""
WITHHELD: Final = "its answer holds UNSCANNED at "


@pytest.fixture(scope="module")
def provider() -> Iterator[Emulator]:
    with closing(Emulator(script=lambda _: plain({}))) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(provider: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    running = RunningGateway(tmp_path_factory.mktemp("unread"), provider.url)
    head, _, rest = running.config.read_text(encoding="utf-8").partition("models:\n")
    running.config.write_text(head + MODELS % {"up": provider.url} + rest[rest.index("redaction:") :], encoding="utf-8")
    (running.folder / "policies" / "redaction.yaml").write_text(PROFILES, encoding="utf-8")
    running.write_policies(RULES)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def sdk(gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.keys["billing"], max_retries=0) as client:
        yield client


def passed(gateway: RunningGateway, resource: str = "model/") -> Tree:
    """Return what the audit's newest record of an outcome on a resource, by its beginning, says passed unread."""
    done = gateway.oncegate("audit", "export")
    assert done.returncode == 0, done.stderr
    records = [cast("Tree", json.loads(line)) for line in done.stdout.splitlines()]
    bodies = [cast("Tree", one["record"]) for one in records if "record" in one]
    ours = [one for one in bodies if one["event"] == "outcome" and str(one["resource"]).startswith(resource)]
    return cast("Tree", ours[-1].get("passed", {}))


# -- what the provider says


def spoken(*pieces: str, transcript: str = "hello") -> Answer:
    """Return a chat's spoken answer in pieces of sound."""
    said: list[Tree] = [{"transcript": ""}, *({"data": one} for one in pieces), {"transcript": transcript}]
    deltas: list[Tree] = [{"audio": {"id": "audio_1", **one}} for one in [*said, {"expires_at": 9}]]
    head: Tree = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "up"}
    chunks: list[Tree] = [{**head, "choices": [{"index": 0, "delta": one, "finish_reason": None}]} for one in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return streamed(b"".join(b"data: %s\n\n" % json.dumps(one).encode() for one in chunks) + b"data: [DONE]\n\n")


def spoken_whole() -> Answer:
    audio = {"id": "audio_1", "data": FILE, "expires_at": 9, "transcript": "hello"}
    said = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": None, "audio": audio}}
    return plain({"id": "c1", "object": "chat.completion", "created": 1, "model": "up", "choices": [said]})


DRAWN: Final[Tree] = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": FILE}
PLOT: Final = f"data:image/png;base64,{FILE}"
RUN: Final[Tree] = {"id": "ci_1", "type": "code_interpreter_call", "status": "completed", "code": "plot()",
                    "container_id": "cntr_1", "outputs": [{"type": "image", "url": PLOT}]}  # fmt: skip


def drawn(*half: str) -> Answer:
    """Return a response that draws one picture, shown half drawn before, and plots another one."""
    whole = response(DRAWN, RUN, message("look"))
    begun, going, added, *rest = events_of(whole)
    shown = [event("response.image_generation_call.partial_image", 9, item_id="ig_1", output_index=0,
                   partial_image_index=place, partial_image_b64=one) for place, one in enumerate(half)]  # fmt: skip
    return streamed(b"".join([begun, going, added, *shown, *rest]))


def sounding(*pieces: str) -> Answer:
    """Return a response that speaks, in pieces of sound."""
    *first, last = events_of(response(message("hello")))
    sound = [event("response.audio.delta", 8, delta=one) for one in pieces]
    return streamed(b"".join([*first, *sound, event("response.audio.done", 9), last]))


DOCUMENT: Final[Tree] = {
    "type": "document", "title": "a", "citations": None,
    "source": {"type": "base64", "media_type": "application/pdf", "data": FILE},
}  # fmt: skip
FETCHED: Final[Tree] = {
    "type": "web_fetch_tool_result", "tool_use_id": "srvtoolu_1", "caller": {"type": "direct"},
    "content": {"type": "web_fetch_result", "url": "https://a.example/", "retrieved_at": None, "content": DOCUMENT},
}  # fmt: skip


def mcp(received: Received) -> Answer:
    """Answer as an MCP server whose tool shows a picture and says a sound, in an event stream."""
    asked = received.tree
    if received.method != "POST":
        return plain({}, status=405)
    if "id" not in asked:
        return plain({}, status=202)
    tool: Tree = {"name": "show", "inputSchema": {"type": "object"}}
    content = [{"type": "image", "mimeType": "image/png", "data": FILE},
               {"type": "audio", "mimeType": "audio/wav", "data": FILE}]  # fmt: skip
    info: Tree = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                  "serverInfo": {"name": "shows", "version": "1"}}  # fmt: skip
    results: Tree = {"initialize": info, "tools/list": {"tools": [tool]}, "tools/call": {"content": content}}
    head: Tree = {"jsonrpc": "2.0", "id": asked["id"]}
    result = results.get(str(asked["method"]))
    if result is None:
        return plain({**head, "error": {"code": -32601, "message": "no such method"}})
    said = json.dumps({**head, "result": result})
    return streamed(f"event: message\ndata: {said}\n\n".encode())


# -- what an agent gets of it


def heard(client: openai.OpenAI, model: str, key: str = "") -> str:
    """Return the sound of a chat's streamed answer, by the official SDK."""
    stream = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "hi"}], stream=True,
        extra_headers={"idempotency-key": key} if key else {},
    )  # fmt: skip
    choices = [one for chunk in stream for one in chunk.choices]
    return "".join(one.delta.audio.data or "" for one in choices if one.delta.audio is not None)


def seen(client: openai.OpenAI, model: str, key: str = "") -> list[str]:
    """Return the files of a streamed response, by the official SDK."""
    stream = client.responses.create(
        model=model, input="hi", stream=True, extra_headers={"idempotency-key": key} if key else {}
    )
    found: list[str] = []
    for one in stream:
        if one.type == "response.image_generation_call.partial_image":
            found.append(one.partial_image_b64)
        elif one.type == "response.audio.delta":
            found.append(one.delta)
        elif one.type == "response.completed":
            found += [item.result or "" for item in one.response.output if item.type == "image_generation_call"]
    return found


def fresh(provider: Emulator, said: Answer) -> None:
    provider.received.clear()
    provider.script = lambda _: said


def test_a_spoken_answer_in_pieces_is_counted_once_and_every_replay_is_the_same(
    gateway: RunningGateway, provider: Emulator, sdk: openai.OpenAI
) -> None:
    for model in ("counted", "shown"):
        fresh(provider, spoken(*PIECES))
        key = f"spoken-{next(_NAMES)}"
        assert heard(sdk, model, key) == FILE
        assert passed(gateway) == {"audio": 1}
        assert heard(sdk, model, key) == FILE
        assert len(provider.received) == 1


def test_a_picture_half_drawn_then_whole_then_said_again_is_one_picture(
    gateway: RunningGateway, provider: Emulator, sdk: openai.OpenAI
) -> None:
    for model in ("counted", "shown"):
        fresh(provider, drawn(*PIECES[:2]))
        key = f"drawn-{next(_NAMES)}"
        assert seen(sdk, model, key) == [*PIECES[:2], FILE]
        assert passed(gateway) == {"image": 2}  # the other one is what the code has plotted
        assert seen(sdk, model, key) == [*PIECES[:2], FILE]
        assert len(provider.received) == 1


def test_a_response_that_speaks_in_pieces_is_heard_and_counted_once(
    gateway: RunningGateway, provider: Emulator, sdk: openai.OpenAI
) -> None:
    fresh(provider, sounding(*PIECES))
    assert seen(sdk, "counted") == list(PIECES)
    assert passed(gateway) == {"audio": 1}


def test_whole_answers_count_the_same_files(gateway: RunningGateway, provider: Emulator, sdk: openai.OpenAI) -> None:
    fresh(provider, spoken_whole())
    said = sdk.chat.completions.create(model="counted", messages=[{"role": "user", "content": "hi"}])
    audio = said.choices[0].message.audio
    assert audio is not None
    assert audio.data == FILE
    assert passed(gateway) == {"audio": 1}
    fresh(provider, plain(response(DRAWN, RUN)))
    output = sdk.responses.create(model="counted", input="hi").output
    assert [one.result for one in output if one.type == "image_generation_call"] == [FILE]
    assert passed(gateway) == {"image": 2}


BLOCKED: Final[dict[str, tuple[Answer, Callable[[openai.OpenAI, str, str], object], str]]] = {
    "sound in a chat": (spoken(*PIECES), heard, "/choices/0/delta/audio/data"),
    "picture": (drawn(*PIECES), seen, "/partial_image_b64"),
    "picture that is not shown before": (drawn(), seen, "/item/result"),
    "sound in a response": (sounding(*PIECES), seen, "/delta"),
}


@pytest.mark.parametrize("what", BLOCKED)
def test_a_profile_that_blocks_ends_the_stream_before_the_first_byte_of_a_file(
    gateway: RunningGateway, provider: Emulator, sdk: openai.OpenAI, what: str
) -> None:
    said, ask, place = BLOCKED[what]
    fresh(provider, said)
    key = f"blocked-{next(_NAMES)}"
    with pytest.raises(openai.APIError, match=f"{WITHHELD}`{place}`"):
        ask(sdk, "blocked", key)
    with pytest.raises(openai.APIError, match=WITHHELD):
        ask(sdk, "blocked", key)
    assert len(provider.received) == 1
    path = "chat/completions" if ask is heard else "responses"
    asked: Tree = {"model": "blocked", "stream": True, "messages": [{"role": "user", "content": "hi"}], "input": "hi"}
    headers = {"authorization": f"Bearer {gateway.keys['billing']}"}
    raw = httpx.post(f"{gateway.url}/v1/{path}", json=asked, headers=headers, timeout=60).text
    assert WITHHELD in raw
    assert not any(one in raw for one in PIECES)


def test_a_stream_that_has_begun_ends_with_the_protocols_error_where_a_sound_begins(
    provider: Emulator, sdk: openai.OpenAI
) -> None:
    said, going_on = spoken(*PIECES), threading.Event()
    fresh(provider, replace(said, hold=going_on, hold_at=said.body.index(b'"data"')))
    stream = sdk.chat.completions.create(model="blocked", messages=[{"role": "user", "content": "hi"}], stream=True)
    assert next(stream).choices[0].delta.audio is not None
    going_on.set()
    with pytest.raises(openai.APIError, match=f"{WITHHELD}`/choices/0/delta/audio/data`"):
        next(stream)


def test_a_profile_that_blocks_withholds_whole_answers_with_files(provider: Emulator, sdk: openai.OpenAI) -> None:
    fresh(provider, spoken_whole())
    with pytest.raises(openai.PermissionDeniedError, match=f"{WITHHELD}`/choices/0/message/audio/data`"):
        sdk.chat.completions.create(model="blocked", messages=[{"role": "user", "content": "hi"}])
    for item, place in ((DRAWN, "/output/0/result"), (RUN, "/output/0/outputs/0/url")):
        fresh(provider, plain(response(item)))
        with pytest.raises(openai.PermissionDeniedError, match=f"{WITHHELD}`{place}`"):
            sdk.responses.create(model="blocked", input="hi")


def test_text_in_the_place_of_a_sound_or_picture_is_redacted_however_it_is_cut(
    gateway: RunningGateway, provider: Emulator, sdk: openai.OpenAI
) -> None:
    for model, mark in (("counted", "EMAIL_"), ("blocked", "EMAIL_")):
        fresh(provider, spoken(*HIDDEN))
        said = heard(sdk, model)
        assert said.startswith("call me: ")
        assert "ada@" not in said
        assert mark in said
        assert said.endswith(HIDDEN[2])
        fresh(provider, sounding(*HIDDEN))
        said = "".join(seen(sdk, model))
        assert "ada@" not in said
        assert mark in said
        assert passed(gateway) == {}
    fresh(provider, drawn("write to ada@example.com"))
    assert "ada@" not in seen(sdk, "counted")[0]


def test_a_sound_that_goes_on_as_text_is_withheld_under_any_profile(provider: Emulator, sdk: openai.OpenAI) -> None:
    fresh(provider, spoken("ada", "@", "example.com"))
    with pytest.raises(openai.APIError, match=f"{WITHHELD}`/choices/0/delta/audio/data`"):
        heard(sdk, "counted")
    fresh(provider, sounding(PIECES[0], "ada@example.com"))
    with pytest.raises(openai.APIError, match=f"{WITHHELD}`/delta`"):
        seen(sdk, "counted")


def test_a_fetched_document_of_a_message_is_counted_or_withheld_streamed_and_whole(
    gateway: RunningGateway, provider: Emulator
) -> None:
    whole = messages.message(messages.text("look"), FETCHED)

    def ask(client: anthropic.Anthropic, model: str, *, stream: bool) -> str:
        asked = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        if stream:
            fresh(provider, streamed(messages.stream(whole)))
            return str([one.model_dump() for one in client.messages.create(**asked, stream=True)])  # type: ignore[call-overload] - a map of its fields
        fresh(provider, plain(whole))
        return str(client.messages.create(**asked).model_dump())  # type: ignore[call-overload] - as above

    with anthropic.Anthropic(base_url=gateway.url, api_key=gateway.keys["billing"], max_retries=0) as client:
        for stream in (False, True):
            assert FILE in ask(client, "claude", stream=stream)
            assert passed(gateway) == {"document": 1}
            with pytest.raises(anthropic.APIError, match=WITHHELD):
                ask(client, "shut", stream=stream)


def test_a_picture_and_a_sound_in_a_tools_streamed_result_are_counted_or_withheld(
    gateway: RunningGateway, provider: Emulator
) -> None:
    provider.script = mcp
    headers = {"authorization": f"Bearer {gateway.keys['billing']}"}

    async def show(server: str) -> tuple[bool, str]:
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(streamable_http_client(f"{gateway.url}/mcp/{server}", http_client=http)) as client,
        ):
            result = await client.call_tool("show", {})
            return bool(result.is_error), str(result.model_dump())

    failed, said = asyncio.run(show("counted"))
    assert (failed, said.count(FILE)) == (False, 2)
    assert passed(gateway, "mcp/counted/tool/show") == {"image": 1, "audio": 1}
    failed, said = asyncio.run(show("blocked"))
    assert failed
    assert f"{WITHHELD}`/result/content/0/data`" in said
    assert FILE not in said
