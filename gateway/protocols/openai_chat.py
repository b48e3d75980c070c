"""`/v1/chat/completions`: OpenAI's chat wire protocol, plain and streamed.

Only named paths are read or replaced; every other field, known or not, passes as it came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from durable.step import Outcome
from gateway import body
from gateway.body import parse
from gateway.call import Call, Reply, ToolUse
from gateway.conversion import bridge
from gateway.protocols import openai_chat_usage
from gateway.protocols.openai_chat_answer import ChatReader
from gateway.protocols.openai_chat_frames import frames_of
from gateway.protocols.openai_error import error_object, error_reply
from gateway.protocols.openai_hosted import hosted_resources
from gateway.protocols.openai_request import (
    bad_request,
    declares_retry,
    explicit_key,
    facts_of,
    find_target,
    forwarded,
    model_resource,
    read_object,
    read_stream,
)
from gateway.providers.objects import named
from redaction.finding import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from durable.step import Effect
    from gateway.call import AnswerReader, Exchange, Headers, Refusal, Upstream, UpstreamRequest
    from gateway.providers.target import ModelTarget

#: Left out of the fingerprint: they never change the answer's meaning, or change by themselves
#: (facts/agents.md section 5, measured over 30 framework variants).
VOLATILE: Final = frozenset({
    "metadata", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier",
    "store", "stream_options",
})  # fmt: skip

_UNHASHED: Final = frozenset((name,) for name in VOLATILE)

#: Structure of a request; every other string is scanned.
REQUEST_SHAPE: Final = Shape(
    keep=(
        "model", "stream", "messages.*.role", "messages.*.tool_calls.*.type",
        "messages.*.tool_calls.*.function.name", "messages.*.content.*.type",
        "messages.*.content.*.image_url.detail", "messages.*.content.*.input_audio.**", "messages.*.audio.id",
        "tools.*.type", "tools.*.function.name", "tools.*.function.parameters.type", "tool_choice.**",
        "response_format.type", "reasoning_effort", "service_tier", "modalities.*", "audio.**", "verbosity",
        "prompt_cache_retention",
    ),
    embedded=("messages.*.tool_calls.*.function.arguments", "messages.*.function_call.arguments"),
)  # fmt: skip


class ChatAdapter:
    """Chat completions; one instance serves all configured models."""

    name: str = "openai_chat"

    def __init__(self, models: Mapping[str, ModelTarget], *, depth_max: int = body.DEPTH_MAX) -> None:
        self._models = models
        self._depth_max = depth_max

    def read(self, exchange: Exchange) -> Call:
        """Return the call in `exchange`. Raises `Refusal` (400, 404)."""
        request = read_object(exchange, self._depth_max)
        target = find_target(self._models, request.get("model"))
        if not isinstance(request.get("messages"), list):
            raise bad_request("`messages` must be a list")
        stream = read_stream(request)
        spoken, facts = bridge.spoken_to(target, "openai_chat", request)
        hosted = hosted_resources(target.name, request)
        effect: Effect = "once" if hosted else "safe"
        return Call(
            exchange=exchange, adapter=self, target=target, endpoint="openai_chat",
            resource=model_resource(target.name), resource_domain=target.domain, action="call", kind="model",
            effect=effect, tree=request, arguments=request, shape=REQUEST_SHAPE,
            canonical=_canonical(request), key=explicit_key(exchange), declared_retry=declares_retry(exchange),
            objects=target.foreign(_named_objects(request)), origin=target.origin,
            facts=facts_of(target, "chat") | facts, spoken=spoken, stream=stream, also=hosted,
            seconds_max=target.seconds_max, unhashed=_UNHASHED,
        )  # fmt: skip

    def upstream(self, call: Call) -> Upstream:
        """Return the model's upstream."""
        return _target(call).upstream

    def request(self, call: Call, tree: object, *, upstream_key: str | None) -> UpstreamRequest:
        """Return the request as sent to the provider; the original bytes when nothing changed."""
        target = _target(call)
        if call.spoken is not None:
            return target.request("anthropic_messages", bridge.said(call, "openai_chat", tree), key=upstream_key)
        unchanged = tree is call.tree and target.upstream_model == target.name
        if unchanged:
            sent = call.exchange.body
        else:
            sent = body.encode(cast("dict[str, object]", tree) | {"model": target.upstream_model})
        if _wants_usage(call):
            sent = openai_chat_usage.asking(sent, tree)
        return target.request("openai_chat", sent, headers=forwarded(call.exchange), key=upstream_key)

    def reader(self, call: Call) -> AnswerReader:
        """Return a reader for a plain or streamed answer."""
        own = ChatReader(
            not_executed=_target(call).provider.not_executed, hides_usage=_wants_usage(call),
            origin=_target(call).origin,
        )  # fmt: skip
        return bridge.reading(call, own)

    def head(self, call: Call, extra: Headers) -> tuple[int, Headers]:
        """Return status and headers of a stream."""
        kept = (b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")
        return 200, (*kept, *bridge.told(call), *extra)

    def present(self, call: Call, outcome: Outcome, body: bytes, extra: Headers) -> Reply:
        """Return an outcome with the status, media type and kept headers it came with.

        One that was given as a whole answer is a stream to a client that asked for a stream.
        """
        media = outcome.media.encode()
        if outcome.form == "body" and "source" in outcome.meta:
            body = bridge.given_as("openai_chat", body)
            if call.stream:
                media, body = b"text/event-stream", frames_of(cast("dict[str, object]", parse(body)))
        kept = cast("Mapping[str, str]", outcome.meta.get("headers", {}))
        named = tuple((key.encode(), value.encode()) for key, value in kept.items())
        headers = ((b"content-type", media), *named, *bridge.told(call), *extra)
        return Reply(status=outcome.status, headers=headers, body=body)

    def refuse(self, refusal: Refusal, call: Call | None, extra: Headers) -> Reply:
        """Return the error object with the refusal's status."""
        del call
        status, headers, content = error_reply(refusal, extra)
        return Reply(status=status, headers=headers, body=content)

    def refusal_outcome(self, refusal: Refusal, call: Call) -> Outcome:
        """Return the error object as the outcome of a call whose answer is withheld."""
        del call
        content = body.encode(error_object(refusal))
        return Outcome(form="body", status=refusal.status, media="application/json", body=content)

    def refusal_frame(self, refusal: Refusal, call: Call) -> bytes:
        """Return the error event OpenAI's SDKs raise on inside a stream."""
        del call
        return b"data: " + body.encode(error_object(refusal)) + b"\n\n"

    def results_shown(self, tree: object) -> Sequence[ToolUse]:
        """Return the tool calls of the conversation that have a result message."""
        if not isinstance(tree, dict):
            return ()
        messages = _list(cast("dict[str, object]", tree).get("messages"))
        answered = {message.get("tool_call_id") for message in messages if message.get("role") == "tool"}
        calls = [call for message in messages for call in _list(message.get("tool_calls"))]
        return [use for call in calls if call.get("id") in answered and (use := _tool_use(call)) is not None]

    def tools_asked(self, outcome: Outcome) -> Sequence[ToolUse]:
        """Return the tool calls of the first choice of an answer."""
        if outcome.status != 200 or b'"tool_calls"' not in outcome.body:  # noqa: PLR2004 - RFC 9110 15.3.1
            return ()
        reader = ChatReader()
        reader.begin(outcome.status, ((b"content-type", outcome.media.encode()),))
        reader.feed(outcome.body)
        reader.end()
        return [use for call in reader.tool_calls() if (use := _tool_use(call)) is not None]


def _target(call: Call) -> ModelTarget:
    return cast("ModelTarget", call.target)


def _wants_usage(call: Call) -> bool:
    """Return whether a stream is asked for its usage, for the client did not."""
    asked = call.spoken is not None or openai_chat_usage.asks(call.tree)
    return call.stream and _target(call).stream_usage and not asked


def _list(value: object) -> list[dict[str, object]]:
    if not isinstance(value, list):
        return []
    return [cast("dict[str, object]", item) for item in cast("list[object]", value) if isinstance(item, dict)]


def _named_objects(request: dict[str, object]) -> tuple[str, ...]:
    """Return the ids of files and of earlier spoken answers that a request names."""
    spoken = [message["audio"] for message in _list(request.get("messages")) if isinstance(message.get("audio"), dict)]
    audio = [str(cast("dict[str, object]", one).get("id")) for one in spoken]
    return tuple(dict.fromkeys([*named(request), *audio]))


def _canonical(request: dict[str, object]) -> bytes:
    kept = {key: value for key, value in request.items() if key not in VOLATILE}
    kept["messages"] = _twins_sorted(cast("list[object]", request["messages"]))
    return body.canonical(kept)


def _twins_sorted(messages: list[object]) -> list[object]:
    """Return `messages` with the results of equal tool calls in sorted order.

    Frameworks that run equal calls in parallel assign their results to call ids in any order.
    """
    uses: dict[str, bytes] = {}
    for message in _list(messages):
        for call in _list(message.get("tool_calls")):
            call_id, function = call.get("id"), call.get("function")
            if isinstance(call_id, str):
                uses[call_id] = body.canonical(function)
    if len(set(uses.values())) == len(uses):
        return messages
    groups: dict[bytes, list[int]] = {}
    for at, message in enumerate(messages):
        if isinstance(message, dict) and (use := uses.get(str(cast("dict[str, object]", message).get("tool_call_id")))):
            groups.setdefault(use, []).append(at)
    ordered = list(messages)
    for places in groups.values():
        contents = sorted((cast("dict[str, object]", messages[at]).get("content") for at in places), key=body.canonical)
        for at, content in zip(places, contents, strict=True):
            ordered[at] = cast("dict[str, object]", messages[at]) | {"content": content}
    return ordered


def _tool_use(call: dict[str, object]) -> ToolUse | None:
    function = call.get("function")
    if not isinstance(function, dict):
        return None
    named = cast("dict[str, object]", function)
    name, arguments = named.get("name"), named.get("arguments")
    if not isinstance(name, str) or not isinstance(arguments, str):
        return None
    try:
        return ToolUse(name=name, arguments=body.parse(arguments.encode() or b"{}"))
    except body.MalformedBody:
        return ToolUse(name=name, arguments=arguments)
