"""Every exception class of the official SDK, raised by its cause; and answers that break on their way."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, cast

import anthropic
import httpx
import pytest

from tests.emulator.anthropic import error, event, events, message, stream, text, tool_use
from tests.emulator.faults import Answer, Received, plain, streamed
from tests.messages.stand import sdk

if TYPE_CHECKING:
    from anthropic.types import MessageParam
    from anthropic.types.beta import BetaMessageParam

    from tests.emulator.anthropic import AnthropicEmulator
    from tests.gateway.running import RunningGateway


HI: list[MessageParam] = [{"role": "user", "content": "hi"}]
ASKED: list[BetaMessageParam] = [{"role": "user", "content": "hi"}]


def ask(gateway: RunningGateway, model: str = "allowed", said: str = "hi", **more: object) -> str:
    client = sdk(gateway, key=cast("str | None", more.pop("key", None)))
    content: list[MessageParam] = [{"role": "user", "content": said}]
    answer = client.messages.create(model=model, max_tokens=9, messages=content, extra_body=more)
    return "".join(block.text for block in answer.content if block.type == "text")


def streams(gateway: RunningGateway, said: str = "hi") -> str:
    content: list[MessageParam] = [{"role": "user", "content": said}]
    with sdk(gateway).messages.stream(model="allowed", max_tokens=9, messages=content) as stream:
        return "".join(stream.text_stream)


@pytest.mark.requirement("MSG-21")
def test_the_gateways_refusals_raise_the_class_that_fits(gateway: RunningGateway, upstream: AnthropicEmulator) -> None:
    with pytest.raises(anthropic.AuthenticationError):
        ask(gateway, key="og_nobody_aaaaaaaaaaaaaaaaaaaaaaaa")
    with pytest.raises(anthropic.PermissionDeniedError) as denied:
        ask(gateway, "forbidden")
    assert "not allowed by policy (rule default)" in str(denied.value)
    assert (denied.value.type, denied.value.error_code) == ("permission_error", "denied")
    assert denied.value.request_id
    assert denied.value.request_id not in str(denied.value)
    with pytest.raises(anthropic.NotFoundError):
        ask(gateway, "unheard-of")
    with pytest.raises(anthropic.BadRequestError):
        ask(gateway, stream="yes")
    with pytest.raises(anthropic.ContentTooLargeError):
        ask(gateway, said="x" * 70_000)
    with pytest.raises(anthropic.BadRequestError, match="`b-2`"):
        sdk(gateway).beta.messages.create(model="picky", max_tokens=9, messages=ASKED, betas=["b-2"])
    with pytest.raises(anthropic.NotFoundError, match="send each request"):
        sdk(gateway).messages.batches.list()
    assert upstream.received == []
    with pytest.raises(anthropic.InternalServerError, match="could not be reached"):
        ask(gateway, "gone")


@pytest.mark.requirement("MSG-21")
@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (403, "permission_error", anthropic.PermissionDeniedError),
        (404, "not_found_error", anthropic.NotFoundError), (413, "request_too_large", anthropic.ContentTooLargeError),
        (422, "invalid_request_error", anthropic.UnprocessableEntityError),
        (429, "rate_limit_error", anthropic.RateLimitError), (500, "api_error", anthropic.InternalServerError),
        (503, "api_error", anthropic.ServiceUnavailableError), (504, "timeout_error", anthropic.GatewayTimeoutError),
        (529, "overloaded_error", anthropic.OverloadedError),
    ],
)  # fmt: skip
def test_the_providers_errors_come_as_they_are(
    gateway: RunningGateway, upstream: AnthropicEmulator, status: int, kind: str,
    expected: type[anthropic.APIStatusError],
) -> None:  # fmt: skip
    upstream.faulty = lambda _: plain(error(kind), status=status, headers=(("retry-after", "7"),))
    with pytest.raises(expected) as caught:
        ask(gateway, said=f"for {status}")
    assert type(caught.value) is expected
    assert (caught.value.type, caught.value.api_message) == (kind, "the emulator says so")
    assert caught.value.response.headers["retry-after"] == "7"
    assert len(upstream.received) == 1


@pytest.mark.requirement("MSG-21")
def test_the_gateways_own_credential_refused_is_not_the_agents_fault(
    gateway: RunningGateway, upstream: AnthropicEmulator
) -> None:
    upstream.faulty = lambda _: plain(error("authentication_error"), status=401)
    with pytest.raises(anthropic.InternalServerError, match="the gateway's own credential"):
        ask(gateway)


@pytest.mark.requirement("MSG-21")
def test_an_error_inside_a_stream_raises_with_the_providers_words(
    gateway: RunningGateway, upstream: AnthropicEmulator
) -> None:
    begun = b"".join(event(one) for one in events(message(text("hello")))[:4])
    upstream.faulty = lambda _: streamed(begun + event(error("overloaded_error")))
    with pytest.raises(anthropic.APIStatusError) as caught:
        streams(gateway)
    assert caught.value.type == "overloaded_error"


@pytest.mark.requirement("MSG-22")
@pytest.mark.parametrize(
    "answer",
    [
        Answer(silent=True),
        Answer(body=b'{"type": "message"', cut_at=9),
        Answer(body=json.dumps(message(text("hi"))).encode(), gzipped=True),
        Answer(body=b"<html>all is well"),
        Answer(body=stream(message(text("hello"))), media="text/event-stream", gzipped=True),
        streamed(stream(message(text("hello")))[:-20]),
        streamed(b"data: nonsense\n\n" + stream(message(text("hello")))),
        streamed(b"event: message_start\ndata: [1]\n\n"),
    ],
    ids=["no answer", "cut", "gzip", "no json", "gzip stream", "no last event", "nonsense", "no object"],
)  # fmt: skip
def test_a_broken_answer_is_never_taken_for_a_whole_one(
    gateway: RunningGateway, upstream: AnthropicEmulator, answer: Answer
) -> None:
    upstream.faulty = lambda _: answer
    says = streams if answer.media == "text/event-stream" else ask
    with pytest.raises(anthropic.APIStatusError, match="did not answer to the end"):
        says(gateway, said=f"broken {answer}"[:60])
    assert len(upstream.received) == 1


@pytest.mark.requirement("MSG-22")
def test_a_stream_cut_in_any_event_gives_an_error_after_what_came(
    gateway: RunningGateway, upstream: AnthropicEmulator
) -> None:
    whole = stream(message(text("héllo"), tool_use("pay", {"to": "x"})), piece=4)
    for cut_at in range(3, len(whole), 97):
        upstream.faulty = lambda _, at=cut_at: Answer(body=whole, media="text/event-stream", cut_at=at, piece_bytes=50)
        with pytest.raises(anthropic.APIStatusError, match="did not answer to the end"):
            streams(gateway, f"cut {cut_at}")


@pytest.mark.requirement("MSG-22")
def test_an_upstream_that_hangs_is_given_up_in_time(gateway: RunningGateway, upstream: AnthropicEmulator) -> None:
    hold = threading.Event()
    upstream.faulty = lambda _: Answer(hold=hold)
    with pytest.raises(anthropic.InternalServerError, match="did not answer to the end"):
        ask(gateway, said="hang")
    hold.set()


@pytest.mark.requirement("MSG-08")
def test_streams_in_pieces_of_one_byte_and_answers_of_ten_megabytes_arrive_whole(
    gateway: RunningGateway, upstream: AnthropicEmulator
) -> None:
    said = "schöne Grüße 😀"
    whole = stream(message(text(said)), piece=2)
    upstream.faulty = lambda _: Answer(body=whole, media="text/event-stream", piece_bytes=1)
    assert streams(gateway) == said
    long = "x" * 10_000_000
    upstream.faulty = lambda _: plain(message(text(long)))
    assert ask(gateway, said="long") == long


@pytest.mark.requirement("MSG-21")
def test_a_limited_call_may_be_tried_again_and_a_denied_one_not(
    gateway: RunningGateway, upstream: AnthropicEmulator
) -> None:
    def first_limited(_: Received) -> Answer | None:
        again = len(upstream.received) > 1
        return None if again else plain(error("rate_limit_error"), status=429, headers=(("retry-after", "0"),))

    upstream.faulty = first_limited
    answer = sdk(gateway, retries=2).messages.create(model="allowed", max_tokens=9, messages=HI)
    assert (answer.content[0].type, len(upstream.received)) == ("text", 2)
    named = {"x-api-key": gateway.keys["billing"]}
    asked = {"model": "forbidden", "max_tokens": 9, "messages": HI}
    refused = httpx.post(f"{gateway.url}/messages", json=asked, headers=named, timeout=60)
    assert (refused.status_code, refused.headers["x-should-retry"]) == (403, "false")


@pytest.mark.requirement("MSG-04")
def test_hosted_tools_are_refused_but_where_a_line_allows(gateway: RunningGateway, upstream: AnthropicEmulator) -> None:
    def search(*domains: str) -> dict[str, object]:
        found = {"allowed_domains": list(domains)} if domains else {}
        return {"type": "web_search_20260318", "name": "web_search", **found}

    for tools in [[search()], [search("docs.example.com", "elsewhere.example")], [search("elsewhere.example")]]:
        with pytest.raises(anthropic.PermissionDeniedError):
            ask(gateway, tools=tools)
    with pytest.raises(anthropic.PermissionDeniedError):
        ask(gateway, mcp_servers=[{"type": "url", "name": "m", "url": "https://mcp.example"}])
    assert upstream.received == []
    assert ask(gateway, tools=[search("docs.example.com")]) == "hello"
    hold = threading.Event()
    upstream.faulty = lambda _: Answer(hold=hold)
    with pytest.raises(anthropic.ConflictError, match="in_doubt"):
        ask(gateway, said="hang", tools=[search("docs.example.com")])
    hold.set()
