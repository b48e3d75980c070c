"""`/v1/responses`: OpenAI's responses wire protocol, plain and streamed, and what is kept of a response.

Only named paths are read or replaced; every other field, known or not, passes as it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.call import Call, Refusal
from gateway.model_adapter import ModelAdapter, renamed
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
from gateway.protocols.openai_error import FORWARDED, error_object, failed_event
from gateway.protocols.openai_hosted import hosted_resources
from gateway.protocols.openai_responses_answer import ResponsesReader
from gateway.protocols.openai_responses_frames import frames_of
from gateway.protocols.openai_responses_items import named_objects, results_shown, tool_uses, twins_sorted
from gateway.protocols.openai_responses_shape import KEPT_SHAPE, request_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.step import Effect, Outcome
    from gateway.call import Exchange, ToolUse, Upstream, UpstreamRequest
    from gateway.providers.target import ModelTarget

#: Left out of the fingerprint (facts/agents.md section 5); `store` stays: it decides what can be named later.
VOLATILE: Final = frozenset({
    "metadata", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier",
    "stream_options",
})  # fmt: skip
_UNHASHED: Final = frozenset((name,) for name in VOLATILE)
_METHODS: Final = {"read": "GET", "change": "DELETE", "cancel": "POST"}
_OK: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a call is sent to: the endpoint of a model, or what stands `below` it with another method."""

    model: ModelTarget
    method: str = "POST"
    below: str = ""


class ResponsesAdapter(ModelAdapter):
    """Responses; one instance serves all configured models."""

    name: str = "openai_responses"

    def read(self, exchange: Exchange) -> Call:
        """Return the call in `exchange`. Raises `Refusal` (400, 404)."""
        request = read_object(exchange, self._depth_max)
        target = find_target(self.models, request.get("model"), "openai_responses")
        if not isinstance(request.get("input"), str | list | None):
            raise bad_request("`input` must be a string or a list")
        stream = read_stream(request)
        hosted = hosted_resources(target.name, request)
        hosts, links = fetched(target.name, exchange, request)
        effect: Effect = "once" if hosted else "safe"
        return Call(
            exchange=exchange, adapter=self, target=Aim(model=target), endpoint="openai_responses",
            resource=model_resource(target.name), resource_domain=target.domain, action="call", kind="model",
            effect=effect, tree=request, arguments=request, shape=request_shape(request),
            canonical=_canonical(request), key=explicit_key(exchange), declared_retry=declares_retry(exchange),
            objects=target.foreign(named_objects(request)), origin=target.origin,
            facts=facts_of(target, "chat"), stream=stream,
            also=(*hosted, *hosts, *tiers(target.name, request)), linked=links,
            seconds_max=target.seconds_max, unhashed=_UNHASHED,
        )  # fmt: skip

    def kept(self, exchange: Exchange, *, model: str, name: str, action: str) -> Call:
        """Return the call that reads (`read`), deletes (`change`) or cancels (`cancel`) the kept response `name`.

        Repeating it changes nothing, so it is housekeeping: audited, and no step of a run.
        """
        target = find_target(self.models, model, "openai_responses")
        query = f"?{exchange.query.decode('latin-1')}" if exchange.query else ""
        below = f"/{name}/cancel" if action == "cancel" else f"/{name}"
        arguments: dict[str, object] = {"response_id": name}
        return Call(
            exchange=exchange, adapter=self, target=Aim(model=target, method=_METHODS[action], below=below + query),
            endpoint="openai_responses", resource=model_resource(target.name), resource_domain=target.domain,
            action=action, kind="other", effect="safe", tree=arguments, arguments=arguments, shape=KEPT_SHAPE,
            canonical=body.canonical(arguments), objects=(name,), origin=target.origin, journaled=False,
            facts=facts_of(target, "chat"), seconds_max=target.seconds_max,
        )  # fmt: skip

    def upstream(self, call: Call) -> Upstream:
        """Return the model's upstream."""
        return _aim(call).model.upstream

    def request(self, call: Call, tree: object, *, upstream_key: str | None) -> UpstreamRequest:
        """Return the request as sent to the provider; the original bytes when nothing changed."""
        aim, sent = _aim(call), b""
        if not aim.below:
            sent = renamed(call, tree, aim.model)
        return aim.model.request(
            "openai_responses", sent, headers=forwarded(call.exchange, FORWARDED), key=upstream_key, method=aim.method,
            below=aim.below,
        )  # fmt: skip

    def reader(self, call: Call) -> ResponsesReader:
        """Return a reader for a plain or streamed answer."""
        model = _aim(call).model
        return ResponsesReader(call.tree, origin=model.origin, not_executed=model.provider.not_executed)

    def refusal_frame(self, refusal: Refusal, call: Call) -> bytes:
        """Return the error event of a stream, with the error object the SDKs raise on."""
        del call
        return failed_event(refusal)

    def _error(self, refusal: Refusal) -> dict[str, object]:
        return error_object(refusal)

    def _frames(self, answer: dict[str, object]) -> bytes:
        return frames_of(answer)

    def results_shown(self, tree: object) -> Sequence[ToolUse]:
        """Return the tool calls of the conversation that have a result in it."""
        return results_shown(cast("dict[str, object]", tree)) if isinstance(tree, dict) else ()

    def tools_asked(self, outcome: Outcome) -> Sequence[ToolUse]:
        """Return the tool calls an answer asks for."""
        if outcome.status != _OK or b'_call"' not in outcome.body:
            return ()
        reader = ResponsesReader()
        reader.begin(outcome.status, ((b"content-type", outcome.media.encode()),))
        reader.feed(outcome.body)
        reader.end()
        return tool_uses(reader.output())


def _aim(call: Call) -> Aim:
    return cast("Aim", call.target)


def _canonical(request: dict[str, object]) -> bytes:
    kept = {key: value for key, value in request.items() if key not in VOLATILE}
    if "input" in kept:
        kept["input"] = twins_sorted(kept["input"])
    return body.canonical(kept)
