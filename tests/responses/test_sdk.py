"""The official OpenAI SDK against a running gateway."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests import typescript
from tests.emulator.faults import Answer, plain, streamed
from tests.emulator.openai import answering, error, events_of, function_call, message, reasoning, response
from tests.ports import free_port
from tests.responses.clients import sdk

if TYPE_CHECKING:
    from openai.types.responses import ResponseInputParam

    from tests.emulator.faults import Emulator, Received
    from tests.gateway.running import RunningGateway

_NAMES = itertools.count()
Tree = dict[str, object]


def fresh_name() -> str:
    return f"resp_test{next(_NAMES)}"


class Weather(BaseModel):
    city: str
    degrees: int


@pytest.mark.requirement("RESP-10")
def test_the_sdk_gets_a_response_whole_in_pieces_and_by_its_helpers(
    gateway: RunningGateway, provider: Emulator
) -> None:
    client = sdk(gateway)
    provider.script = answering(response(reasoning("so"), message("grüße, 世界")))
    assert client.responses.create(model="allowed", input="hi").output_text == "grüße, 世界"
    streamed = client.responses.create(model="allowed", input="hi", stream=True)
    pieces = [one.delta for one in streamed if one.type == "response.output_text.delta"]
    assert "".join(pieces) == "grüße, 世界"
    assert len(pieces) > 1
    with client.responses.stream(model="allowed", input="hi") as stream:
        kinds = [one.type for one in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert (final.output_text, final.usage.total_tokens if final.usage else 0) == ("grüße, 世界", 18)
    assert [one.headers.get("authorization") for one in provider.received] == ["Bearer upstream-secret"] * 3
    assert {one.tree["model"] for one in provider.received} == {"up"}


@pytest.mark.requirement("RESP-10")
def test_the_async_sdk_and_structured_output_work_as_they_do_without_a_gateway(
    gateway: RunningGateway, provider: Emulator
) -> None:
    provider.script = answering(response(message('{"city": "Ulm", "degrees": 7}')))
    parsed = sdk(gateway).responses.parse(model="allowed", input="hi", text_format=Weather)
    assert parsed.output_parsed == Weather(city="Ulm", degrees=7)

    async def both() -> tuple[str, Weather | None]:
        async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.keys["billing"]) as client:
            plainly = await client.responses.create(model="allowed", input="hi")
            async with client.responses.stream(model="allowed", input="hi", text_format=Weather) as stream:
                final = await stream.get_final_response()
            return plainly.output_text, final.output_parsed

    assert asyncio.run(both()) == ('{"city": "Ulm", "degrees": 7}', Weather(city="Ulm", degrees=7))


@pytest.mark.requirement("RESP-10")
@pytest.mark.parametrize("by_id", [False, True])
def test_a_tool_loop_runs_to_its_end(gateway: RunningGateway, provider: Emulator, by_id: bool) -> None:  # noqa: FBT001
    first, second = fresh_name(), fresh_name()

    def answer(asked: Tree) -> Tree:
        items = cast("list[Tree]", asked["input"] if isinstance(asked["input"], list) else [])
        given = [item for item in items if item.get("type") == "function_call_output"]
        if given:
            return response(message(f"it is {given[0]['output']}"), name=second)
        return response(reasoning("look", "gAAA"), function_call("look", '{"at":"Ulm"}'), name=first)

    provider.script = answering(answer)
    client = sdk(gateway)
    asked: ResponseInputParam = [{"role": "user", "content": "weather?"}]
    with client.responses.stream(model="allowed", input=asked) as stream:
        begun = stream.get_final_response()
    call = next(item for item in begun.output if item.type == "function_call")
    assert json.loads(call.arguments) == {"at": "Ulm"}
    result: ResponseInputParam = [{"type": "function_call_output", "call_id": call.call_id, "output": "7 degrees"}]
    if by_id:
        ended = client.responses.create(model="allowed", input=result, previous_response_id=begun.id)
    else:
        said = cast("ResponseInputParam", [item.model_dump(exclude_none=True) for item in begun.output])
        ended = client.responses.create(model="allowed", input=[*asked, *said, *result])
    assert ended.output_text == "it is 7 degrees"


TEXT = "grüße, 世界 " * 40
CAUSES = [
    (400, openai.BadRequestError), (401, openai.InternalServerError), (403, openai.PermissionDeniedError),
    (404, openai.NotFoundError), (409, openai.ConflictError), (422, openai.UnprocessableEntityError),
    (429, openai.RateLimitError), (500, openai.InternalServerError), (503, openai.InternalServerError),
]  # fmt: skip


@pytest.mark.requirement("RESP-11")
@pytest.mark.parametrize(("status", "raised"), CAUSES)
@pytest.mark.parametrize("stream", [False, True])
def test_the_vendors_errors_raise_the_sdks_classes(
    gateway: RunningGateway, provider: Emulator, status: int, raised: type[openai.APIStatusError], stream: bool  # noqa: FBT001
) -> None:  # fmt: skip
    provider.script = lambda _: plain(
        error("why so", code="vendor_code"), status=status, headers=(("retry-after", "7"),)
    )
    with pytest.raises(raised) as caught:
        sdk(gateway).responses.create(model="allowed", input=f"{status} {stream}", stream=stream)
    # the gateway's own credential is its own matter
    assert status == 401 or (caught.value.code, caught.value.message.endswith("'code': 'vendor_code'}}")) != (
        None,
        False,
    )
    assert status == 401 or caught.value.response.headers["retry-after"] == "7"


@pytest.mark.requirement("RESP-11")
def test_the_gateways_refusals_raise_the_sdks_classes(gateway: RunningGateway, provider: Emulator) -> None:
    client = sdk(gateway)
    with pytest.raises(openai.PermissionDeniedError, match="not allowed by policy"):
        client.responses.create(model="forbidden", input="hi")
    with pytest.raises(openai.NotFoundError, match="no such model"):
        client.responses.create(model="nothing", input="hi")
    with pytest.raises(openai.BadRequestError, match="`input` must be"):
        client.responses.create(model="allowed", input=cast("str", 5))
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="og_no_no").responses.create(model="allowed", input="hi")
    assert provider.received == []


def whole(received: Received) -> Answer:
    made = response(message(TEXT), function_call())
    return streamed(b"".join(events_of(made))) if received.tree.get("stream") else plain(made)


@pytest.mark.requirement("RESP-12")
@pytest.mark.parametrize("piece", [1, 7, 4096])
def test_a_stream_cut_anywhere_into_pieces_is_the_same_stream(
    gateway: RunningGateway, provider: Emulator, piece: int
) -> None:
    provider.script = lambda received: replace(whole(received), piece_bytes=piece)
    with sdk(gateway).responses.stream(model="allowed", input=f"piece {piece}") as stream:
        final = stream.get_final_response()
    assert final.output_text == TEXT


@pytest.mark.requirement("RESP-12")
@pytest.mark.parametrize(
    "fault",
    [Answer(cut_at=0), Answer(cut_at=100), Answer(cut_at=500), Answer(silent=True), Answer(gzipped=True)],
    ids=["cut at once", "cut early", "cut late", "silent", "encoded"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_does_not_arrive_whole_is_an_error_and_is_asked_again(
    gateway: RunningGateway, provider: Emulator, fault: Answer, stream: bool  # noqa: FBT001
) -> None:  # fmt: skip
    provider.script = lambda received: replace(
        whole(received), cut_at=fault.cut_at, silent=fault.silent, gzipped=fault.gzipped
    )
    headers = {"idempotency-key": fresh_name()}
    client = sdk(gateway)

    def ask() -> str:
        if not stream:
            return client.responses.create(model="allowed", input="hi", extra_headers=headers).output_text
        with client.responses.stream(model="allowed", input="hi", extra_headers=headers) as events:
            return events.get_final_response().output_text

    with pytest.raises(openai.APIError):
        ask()
    provider.script = whole
    assert ask() == ask() == TEXT
    assert len(provider.received) == 2


@pytest.mark.requirement("RESP-12")
def test_an_event_that_is_no_json_ends_the_stream_with_an_error_and_a_large_answer_passes(
    gateway: RunningGateway, provider: Emulator
) -> None:
    events = events_of(response())
    broken = b"".join([*events[:4], b"event: response.output_text.delta\ndata: {nonsense\n\n", *events[4:]])
    provider.script = lambda _: Answer(body=broken, media="text/event-stream")
    with pytest.raises(openai.APIError), sdk(gateway).responses.stream(model="allowed", input="broken") as stream:
        stream.get_final_response()
    text = "word " * (2 * 1024 * 1024)
    provider.script = lambda _: plain(response(message(text)))
    assert sdk(gateway).responses.create(model="allowed", input="large").output_text == text


@pytest.mark.requirement("RESP-11")
def test_a_provider_that_hangs_raises_the_sdks_time_out_or_the_gateways_own_whichever_is_shorter(
    gateway: RunningGateway, provider: Emulator
) -> None:
    on = threading.Event()
    whole = provider.script
    provider.script = lambda received: replace(whole(received), hold=on, hold_at=0)
    try:
        with pytest.raises(openai.APITimeoutError):
            sdk(gateway, timeout=0.5).responses.create(model="allowed", input="I cannot wait")
        with pytest.raises(openai.InternalServerError, match="did not answer to the end") as late:
            sdk(gateway).responses.create(model="allowed", input="I can wait")
        assert late.value.status_code == 502
    finally:
        on.set()


@pytest.mark.requirement("RESP-11")
def test_a_gateway_that_is_not_there_raises_the_sdks_connection_error(gateway: RunningGateway) -> None:
    nobody = OpenAI(base_url=f"http://127.0.0.1:{free_port()}/v1", api_key=gateway.keys["billing"], max_retries=0)
    with nobody, pytest.raises(openai.APIConnectionError):
        nobody.responses.create(model="allowed", input="hi")


@pytest.mark.requirement("RESP-10")
def test_an_agent_in_typescript_is_answered_streamed_and_refused_as_one_in_python(
    gateway: RunningGateway, provider: Emulator
) -> None:
    node, folder = typescript.clients()
    provider.script = answering(lambda _: response(message("grüße, 世界"), name=fresh_name()))
    agent = Path(__file__).parent / "node" / "agent.mjs"
    command = [str(node), str(agent), str(folder), gateway.url, gateway.keys["billing"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "plain": "grüße, 世界",
        "pieces": "grüße, 世界",
        "streamed": "grüße, 世界",
        "stranger": "BadRequestError",
        "hosted": "PermissionDeniedError",
        "missing": "NotFoundError",
    }
