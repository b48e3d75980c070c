"""`/v1/messages` and `/v1/messages/count_tokens`: Anthropic's wire protocol, plain and streamed.

Only named paths are read or replaced; every other field, known or not, passes as it came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from gateway.call import Call, Refusal, header
from gateway.conversion import bridge
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
from gateway.protocols.anthropic_error import Unthreaded, error_event, error_object, with_request_id
from gateway.protocols.anthropic_messages_answer import MessagesReader, promised
from gateway.protocols.anthropic_messages_frames import frames_of
from gateway.protocols.anthropic_messages_request import (
    VOLATILE,
    canonical,
    escapes,
    named_objects,
    results_shown,
    shape_of,
    tool_uses,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.step import Outcome
    from gateway.call import AnswerReader, Exchange, Headers, ToolUse, Upstream, UpstreamRequest
    from gateway.providers.target import ModelTarget

_UNHASHED: Final = frozenset((name,) for name in VOLATILE)
_COUNT: Final = "/count_tokens"

#: The query the SDKs' beta endpoints send; no other is passed on.
_BETA: Final = b"beta=true"
#: Request headers of the caller that mean something to the provider; no credential is among them.
_FORWARDED: Final = frozenset({b"anthropic-version", b"anthropic-beta", b"user-agent"})
#: Who pays and for whom is settled by the gateway's credential.
_NOT_PASSED: Final = (b"anthropic-workspace-id", b"anthropic-user-profile-id")


class MessagesAdapter(ModelAdapter):
    """Messages; one instance serves all configured models."""

    name: str = "anthropic_messages"

    def read(self, exchange: Exchange) -> Call:
        """Return the call in `exchange`. Raises `Refusal` (400, 404)."""
        counts = exchange.path.endswith(_COUNT)
        if not counts and not exchange.path.endswith("/messages"):
            message = "message batches are not served here; send each request to `/v1/messages`"
            raise Refusal(code="not_found", message=message, status=404)
        request = read_object(exchange, self._depth_max)
        target = find_target(self.models, request.get("model"))
        if not isinstance(request.get("messages"), list):
            raise bad_request("`messages` must be a list")
        stream = read_stream(request)
        if request.get("thread") is not None:
            message = "conversations held by the provider are not served here; send all messages, without `thread`"
            raise Unthreaded(code="bad_request", message=message, status=400)
        if request.get("billing_policy") is not None:
            raise bad_request("`billing_policy` is not passed on: the gateway's own credential decides who pays")
        _check_headers(exchange, target)
        betas = header(exchange.headers, b"anthropic-beta") is not None
        spoken, facts = bridge.spoken_to(
            target, "anthropic_messages", request, besides=("anthropic-beta",) if betas else ()
        )
        if counts and spoken is not None:
            message = "tokens cannot be counted for this model: its provider does not count them beforehand"
            raise Refusal(code="not_found", message=message, status=404)
        also, effect = escapes(target.name, request)
        hosts, links = fetched(target.name, exchange, request)
        return Call(
            exchange=exchange, adapter=self, target=target,
            endpoint="anthropic_count_tokens" if counts else "anthropic_messages",
            resource=model_resource(target.name), resource_domain=target.domain, action="call", kind="model",
            # counting has no effect and costs nothing: it is governed, but not journaled
            effect="safe" if counts else effect, journaled=not counts,
            objects=target.foreign(named_objects(request)), origin=target.origin,
            tree=request, arguments=request, shape=shape_of(request, keeps_thinking=target.keeps_thinking),
            canonical=canonical(request), key=None if counts else explicit_key(exchange),
            declared_retry=declares_retry(exchange),
            facts=facts_of(target, "chat") | facts,
            spoken=spoken,
            stream=stream and not counts, also=(*also, *hosts, *tiers(target.name, request)), linked=links,
            seconds_max=target.seconds_max, unhashed=_UNHASHED,
        )  # fmt: skip

    def upstream(self, call: Call) -> Upstream:
        """Return the model's upstream."""
        return _target(call).upstream

    def request(self, call: Call, tree: object, *, upstream_key: str | None) -> UpstreamRequest:
        """Return the request as sent to the provider; the original bytes when nothing changed."""
        target = _target(call)
        if call.spoken is not None:
            return target.request("openai_chat", bridge.said(call, "anthropic_messages", tree), key=upstream_key)
        headers = forwarded(call.exchange, _FORWARDED)
        below = (_COUNT if _counts(call) else "") + ("?beta=true" if call.exchange.query == _BETA else "")
        return target.request(
            "anthropic_messages", renamed(call, tree, target), headers=headers, key=upstream_key, below=below
        )

    def reader(self, call: Call) -> AnswerReader:
        """Return a reader for a plain or streamed answer."""
        target = _target(call)
        kept = "keep" if target.keeps_thinking else "fixed"
        reader = MessagesReader(
            not_executed=target.provider.not_executed, shows_errors=call.effect != "once", origin=target.origin,
            thinking=kept if target.speaks("anthropic_messages") else "text", promises=promised(call.tree),
            # a request with `diagnostics` may be followed by one that names its answer
            keeps_id=bool(cast("dict[str, object]", call.tree).get("diagnostics")),
        )  # fmt: skip
        return bridge.reading(call, reader)

    def refusal_frame(self, refusal: Refusal, call: Call) -> bytes:
        """Return the error event Anthropic's SDKs raise on inside a stream."""
        del call
        return error_event(refusal)

    def _error(self, refusal: Refusal) -> dict[str, object]:
        return error_object(refusal)

    def _extra(self, extra: Headers, *, given: bool) -> Headers:
        return extra if given else with_request_id(extra)

    def _given(self, content: bytes) -> bytes:
        return bridge.given_as("anthropic_messages", content)

    def _frames(self, answer: dict[str, object]) -> bytes:
        return frames_of(answer)

    def results_shown(self, tree: object) -> Sequence[ToolUse]:
        """Return the tool calls of the conversation that have a result."""
        return results_shown(tree)

    def tools_asked(self, outcome: Outcome) -> Sequence[ToolUse]:
        """Return the tool calls an answer asks for."""
        if outcome.status != 200 or b'"tool_use"' not in outcome.body:  # noqa: PLR2004 - RFC 9110 15.3.1
            return ()
        reader = MessagesReader()
        reader.begin(outcome.status, ((b"content-type", outcome.media.encode()),))
        reader.feed(outcome.body)
        reader.end()
        return tool_uses(reader.tool_uses())


def _target(call: Call) -> ModelTarget:
    return cast("ModelTarget", call.target)


def _counts(call: Call) -> bool:
    return call.endpoint == "anthropic_count_tokens"


def _check_headers(exchange: Exchange, target: ModelTarget) -> None:
    for name in _NOT_PASSED:
        if header(exchange.headers, name) is not None:
            raise bad_request(f"the header `{name.decode()}` is not passed on: the gateway's own credential decides")
    if target.betas is None:
        return
    for key, value in exchange.headers:
        if key == b"anthropic-beta":
            asked = [beta.strip() for beta in value.decode("latin-1").split(",")]
            if refused := [beta for beta in asked if beta and beta not in target.betas]:
                raise bad_request(f"the beta `{refused[0][:100]}` is not allowed for this model (see `betas`)")
