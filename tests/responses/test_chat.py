"""Chat through the SDK's helpers, and what chat lets the provider do by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import openai
import pytest
from pydantic import BaseModel

from gateway.detection import Detection
from gateway.inward import Inward
from gateway.outward import Redaction, Veil
from gateway.protocols.openai_chat_answer import ChatReader
from redaction.finding import Scope
from redaction.profile import Profile, Rule
from tests.emulator.faults import plain, streamed
from tests.gateway.model_upstream import chunk, chunks_of, completion
from tests.redaction.detectors import PatternDetector
from tests.responses.clients import sdk

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

    from tests.emulator.faults import Answer, Emulator, Received
    from tests.gateway.running import RunningGateway

pytestmark = pytest.mark.anyio
PROFILE = Profile(name="all", inspects=True, default=Rule("placeholder", 0.5))
SAID: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
JSON = '{"city": "Ulm", "degrees": 7}'


class Weather(BaseModel):
    city: str
    degrees: int


def answer(received: Received) -> Answer:
    if not received.tree.get("stream"):
        return plain(completion(JSON))
    pieces = chunks_of([JSON[:9], JSON[9:]])
    return streamed("".join(f"data: {one}\n\n" for one in pieces).encode())


@pytest.mark.requirement("RESP-10")
def test_the_sdks_helpers_for_chat_parse_and_stream(gateway: RunningGateway, provider: Emulator) -> None:
    provider.script = answer
    client = sdk(gateway)
    parsed = client.chat.completions.parse(model="allowed", messages=SAID, response_format=Weather)
    assert parsed.choices[0].message.parsed == Weather(city="Ulm", degrees=7)
    with client.chat.completions.stream(model="allowed", messages=SAID, response_format=Weather) as stream:
        deltas = [one.delta for one in stream if one.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == JSON
    assert final.choices[0].message.parsed == Weather(city="Ulm", degrees=7)


@pytest.mark.requirement("RESP-07")
def test_what_chat_lets_the_provider_do_needs_a_line_of_its_own(gateway: RunningGateway, provider: Emulator) -> None:
    provider.script = answer
    client = sdk(gateway)
    assert client.chat.completions.create(model="allowed", messages=SAID, web_search_options={}).choices
    hosted = cast("ChatCompletionToolParam", {"type": "code_interpreter"})
    with pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model="allowed", messages=SAID, tools=[hosted])
    with pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model="careful", messages=SAID, web_search_options={})
    assert len(provider.received) == 1


@pytest.mark.requirement("RESP-13")
def test_a_spoken_answer_is_named_by_who_heard_it(gateway: RunningGateway, provider: Emulator) -> None:
    provider.script = lambda _: plain(completion("", audio={"id": "audio_1", "data": "AAAA", "transcript": "hi"}))
    client = sdk(gateway)
    heard: list[ChatCompletionMessageParam] = [*SAID, {"role": "assistant", "audio": {"id": "audio_1"}}]
    with pytest.raises(openai.BadRequestError, match="did not receive"):
        client.chat.completions.create(model="allowed", messages=heard)
    client.chat.completions.create(model="allowed", messages=SAID)
    assert client.chat.completions.create(model="allowed", messages=heard).choices
    with pytest.raises(openai.BadRequestError, match="did not receive"):
        sdk(gateway, "shipping").chat.completions.create(model="allowed", messages=heard)


@pytest.mark.requirement("RESP-02")
async def test_a_transcript_in_pieces_is_one_text() -> None:
    redaction = Redaction(Detection.in_process(PatternDetector(), "v1"), {"all": PROFILE}, "all")
    reader = ChatReader(origin="o")
    inward = Inward(reader, redaction, Veil(profile=PROFILE, scope=Scope(id="run/r", key=b"k" * 32), domain="default"))
    reader.begin(200, ((b"content-type", b"text/event-stream"),))
    pieces: list[dict[str, object]] = [
        {"audio": {"id": "audio_2", "transcript": piece}} for piece in ("mail ada@exa", "mple.org no", "w")
    ]
    pieces.append({"audio": {"data": "AAAA"}})
    stream = [*(f"data: {chunk(piece)}\n\n" for piece in pieces),
              f"data: {chunk({}, 'stop')}\n\n", "data: [DONE]\n\n"]  # fmt: skip
    clean = [one for piece in stream for one in await inward.take(reader.feed(piece.encode()))]
    said = [cast("dict[str, list[dict[str, dict[str, dict[str, str]]]]]", one.tree) for one in clean if one.tree]
    audio = [one["choices"][0]["delta"].get("audio", {}) for one in said]
    text = "".join(one.get("transcript", "") for one in audio)
    assert "ada@" not in text
    assert text.startswith("mail EMAIL_")
    assert text.endswith(" now")
    assert [one["data"] for one in audio if "data" in one] == ["AAAA"]
    assert reader.verdict().meta["objects"] == {"origin": "o", "ids": ["audio_2"]}
