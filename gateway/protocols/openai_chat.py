"""`/v1/chat/completions`: OpenAI's chat wire protocol, plain and streamed.

Only named paths are read or replaced; every other field, known or not, passes as it came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.call import Call, ToolUse
from gateway.conversion import bridge
from gateway.model_adapter import ModelAdapter, renamed
from gateway.model_answer import objects_of
from gateway.model_request import (
    bad_request,
    declares_retry,
    explicit_key,
    facts_of,
    fetched,
    find_target,
    forwarded,
    model_resource,
    read_object,
    read_stream,
    tiers,
)
from gateway.protocols import openai_chat_usage
from gateway.protocols.openai_chat_answer import ChatReader, promised
from gateway.protocols.openai_chat_frames import frames_of
from gateway.protocols.openai_error import FORWARDED, error_object
from gateway.protocols.openai_hosted import hosted_resources
from gateway.providers.objects import named
from redaction.finding import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.step import Effect, Outcome
    from gateway.call import AnswerReader, Exchange, Refusal, Upstream, UpstreamRequest
    from gateway.providers.target import ModelTarget

#: Left out of the fingerprint: they never change the answer's meaning, or change by themselves
#: (facts/agents.md section 5, measured over 30 framework variants).
VOLATILE: Final = frozenset({
    "metadata", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier",
    "store", "stream_options",
})  # fmt: skip

_UNHASHED: Final = frozenset((name,) for name in VOLATILE)

#: Structure of a request; every other string is scanned.
_CHOICE: Final = (
    "tool_choice", "tool_choice.type", "tool_choice.function.name", "tool_choice.custom.name",
    "tool_choice.allowed_tools.mode", "tool_choice.allowed_tools.tools.*.type",
    "tool_choice.allowed_tools.tools.*.function.name", "tool_choice.allowed_tools.tools.*.custom.name",
)  # fmt: skip
REQUEST_SHAPE: Final = Shape(
    keep=(
        "model", "stream", "messages.*.role", "messages.*.tool_calls.*.type",
        "messages.*.tool_calls.*.function.name", "messages.*.content.*.type",
        "messages.*.content.*.image_url.detail", "messages.*.content.*.input_audio.format", "messages.*.audio.id",
        "tools.*.type", "tools.*.function.name", "tools.*.function.parameters.type", *_CHOICE,
        "response_format.type", "reasoning_effort", "service_tier", "modalities.*", "audio.voice",
        "audio.voice.id", "audio.format", "verbosity", "prompt_cache_retention",
    ),
    embedded=("messages.*.tool_calls.*.function.arguments", "messages.*.function_call.arguments"),
)  # fmt: skip


class ChatAdapter(ModelAdapter):
    """Chat completions; one instance serves all configured models."""

    name: str = "openai_chat"

    def read(self, exchange: Exchange) -> Call:
        """Return the call in `exchange`. Raises `Refusal` (400, 404)."""
        request = read_object(exchange, self._depth_max)
        target = find_target(self.models, request.get("model"))
        if not isinstance(request.get("messages"), list):
            raise bad_request("`messages` must be a list")
        stream = read_stream(request)
        spoken, facts = bridge.spoken_to(target, "openai_chat", request)
        hosted = hosted_resources(target.name, request)
        hosts, links = fetched(target.name, exchange, request)
        effect: Effect = "once" if hosted else "safe"
        return Call(
            exchange=exchange, adapter=self, target=target, endpoint="openai_chat",
            resource=model_resource(target.name), resource_domain=target.domain, action="call", kind="model",
            effect=effect, tree=request, arguments=request, shape=REQUEST_SHAPE,
            canonical=_canonical(request), key=explicit_key(exchange), declared_retry=declares_retry(exchange),
            objects=target.foreign(_named_objects(request)), origin=target.origin,
            facts=facts_of(target, "chat") | facts, spoken=spoken, stream=stream,
            also=(*hosted, *hosts, *tiers(target.name, request)), linked=links,
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
        sent = renamed(call, tree, target)
        if _wants_usage(call):
            sent = openai_chat_usage.asking(sent, tree)
        return target.request("openai_chat", sent, headers=forwarded(call.exchange, FORWARDED), key=upstream_key)

    def reader(self, call: Call) -> AnswerReader:
        """Return a reader for a plain or streamed answer."""
        own = ChatReader(
            not_executed=_target(call).provider.not_executed, hides_usage=_wants_usage(call),
            origin=_target(call).origin, promises=promised(call.tree),
        )  # fmt: skip
        return bridge.reading(call, own)

    def refusal_frame(self, refusal: Refusal, call: Call) -> bytes:
        """Return the error event OpenAI's SDKs raise on inside a stream."""
        del call
        return b"data: " + body.encode(error_object(refusal)) + b"\n\n"

    def _error(self, refusal: Refusal) -> dict[str, object]:
        return error_object(refusal)

    def _given(self, content: bytes) -> bytes:
        return bridge.given_as("openai_chat", content)

    def _frames(self, answer: dict[str, object]) -> bytes:
        return frames_of(answer)

    def results_shown(self, tree: object) -> Sequence[ToolUse]:
        """Return the tool calls of the conversation that have a result message."""
        if not isinstance(tree, dict):
            return ()
        messages = objects_of(cast("dict[str, object]", tree).get("messages"))
        answered = {str(message.get("tool_call_id")) for message in messages if message.get("role") == "tool"}
        calls = [call for message in messages for call in objects_of(message.get("tool_calls"))]
        return [use for call in calls if str(call.get("id")) in answered and (use := _tool_use(call)) is not None]

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


def _named_objects(request: dict[str, object]) -> tuple[str, ...]:
    """Return the ids of files and of earlier spoken answers that a request names."""
    spoken = [
        message["audio"] for message in objects_of(request.get("messages")) if isinstance(message.get("audio"), dict)
    ]
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
    for message in objects_of(messages):
        for call in objects_of(message.get("tool_calls")):
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
