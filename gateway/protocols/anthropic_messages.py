"""`/v1/messages` and `/v1/messages/count_tokens`: Anthropic's wire protocol, plain and streamed.

Only named paths are read or replaced; every other field, known or not, passes as it came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from durable.step import Outcome
from gateway import body
from gateway.body import parse
from gateway.call import Call, Refusal, Reply, header
from gateway.conversion import bridge
from gateway.protocols.anthropic_error import Unthreaded, error_event, error_object, error_reply
from gateway.protocols.anthropic_messages_answer import MessagesReader
from gateway.protocols.anthropic_messages_frames import frames_of
from gateway.protocols.anthropic_messages_request import (
    VOLATILE,
    bad_request,
    canonical,
    escapes,
    named_objects,
    results_shown,
    shape_of,
    tool_uses,
)
from policy.resources import UnusableName, resource_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


class MessagesAdapter:
    """Messages; one instance serves all configured models."""

    name: str = "anthropic_messages"

    def __init__(self, models: Mapping[str, ModelTarget], *, depth_max: int = body.DEPTH_MAX) -> None:
        self._models = models
        self._depth_max = depth_max

    def read(self, exchange: Exchange) -> Call:
        """Return the call in `exchange`. Raises `Refusal` (400, 404)."""
        counts = exchange.path.endswith(_COUNT)
        if not counts and not exchange.path.endswith("/messages"):
            message = "message batches are not served here; send each request to `/v1/messages`"
            raise Refusal(code="not_found", message=message, status=404)
        request = self._tree(exchange)
        model = request.get("model")
        if not isinstance(model, str) or not model:
            raise bad_request("`model` must be a string")
        target = self._models.get(model)
        if target is None:
            raise Refusal(code="not_found", message="no such model is configured here", status=404)
        if not isinstance(request.get("messages"), list):
            raise bad_request("`messages` must be a list")
        stream = request.get("stream", False)
        if not isinstance(stream, bool | None):
            raise bad_request("`stream` must be true or false")
        if request.get("thread") is not None:
            message = "conversations held by the provider are not served here; send all messages, without `thread`"
            raise Unthreaded(code="bad_request", message=message, status=400)
        _check_headers(exchange, target)
        betas = header(exchange.headers, b"anthropic-beta") is not None
        spoken, facts = bridge.spoken_to(
            target, "anthropic_messages", request, besides=("anthropic-beta",) if betas else ()
        )
        if counts and spoken is not None:
            message = "tokens cannot be counted for this model: its provider does not count them beforehand"
            raise Refusal(code="not_found", message=message, status=404)
        try:
            resource = resource_name("model", model)
        except UnusableName as error:
            raise bad_request(f"`model` cannot be used as a name: {error}") from None
        also, effect = escapes(model, request)
        return Call(
            exchange=exchange, adapter=self, target=target,
            endpoint="anthropic_count_tokens" if counts else "anthropic_messages",
            resource=resource, resource_domain=target.domain, action="call", kind="model",
            # counting has no effect and costs nothing: it is governed, but not journaled
            effect="safe" if counts else effect, journaled=not counts,
            objects=target.foreign(named_objects(request)), origin=target.origin,
            tree=request, arguments=request, shape=shape_of(request, keeps_thinking=target.keeps_thinking),
            canonical=canonical(request), key=None if counts else _explicit_key(exchange),
            declared_retry=_declares_retry(exchange),
            facts={
                "gen_ai.operation.name": "chat", "gen_ai.request.model": model,
                "gen_ai.provider.name": target.provider.convention, **facts,
            },
            spoken=spoken,
            stream=bool(stream) and not counts, also=also, seconds_max=target.seconds_max, unhashed=_UNHASHED,
        )  # fmt: skip

    def upstream(self, call: Call) -> Upstream:
        """Return the model's upstream."""
        return _target(call).upstream

    def request(self, call: Call, tree: object, *, upstream_key: str | None) -> UpstreamRequest:
        """Return the request as sent to the provider; the original bytes when nothing changed."""
        target = _target(call)
        if call.spoken is not None:
            return target.request("openai_chat", bridge.said(call, "anthropic_messages", tree), key=upstream_key)
        unchanged = tree is call.tree and target.upstream_model == target.name
        if unchanged:
            sent = call.exchange.body
        else:
            sent = body.encode(cast("dict[str, object]", tree) | {"model": target.upstream_model})
        headers = tuple(pair for pair in call.exchange.headers if pair[0] in _FORWARDED)
        below = (_COUNT if _counts(call) else "") + ("?beta=true" if call.exchange.query == _BETA else "")
        return target.request("anthropic_messages", sent, headers=headers, key=upstream_key, below=below)

    def reader(self, call: Call) -> AnswerReader:
        """Return a reader for a plain or streamed answer."""
        target = _target(call)
        kept = "keep" if target.keeps_thinking else "fixed"
        reader = MessagesReader(
            not_executed=target.provider.not_executed, shows_errors=call.effect != "once", origin=target.origin,
            thinking=kept if target.speaks("anthropic_messages") else "text",
        )  # fmt: skip
        return bridge.reading(call, reader)

    def head(self, call: Call, extra: Headers) -> tuple[int, Headers]:
        """Return status and headers of a stream."""
        kept = (b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")
        return 200, (*kept, *bridge.told(call), *_named(extra))

    def present(self, call: Call, outcome: Outcome, body: bytes, extra: Headers) -> Reply:
        """Return an outcome with the status, media type and kept headers it came with.

        One that was given as a whole answer is a stream to a client that asked for a stream.
        """
        media = outcome.media.encode()
        if outcome.form == "body" and "source" in outcome.meta:
            body = bridge.given_as("anthropic_messages", body)
            if call.stream:
                media, body = b"text/event-stream", frames_of(cast("dict[str, object]", parse(body)))
        kept = cast("Mapping[str, str]", outcome.meta.get("headers", {}))
        named = tuple((key.encode(), value.encode()) for key, value in kept.items())
        more = extra if "request-id" in kept else _named(extra)
        return Reply(
            status=outcome.status, headers=((b"content-type", media), *named, *bridge.told(call), *more), body=body
        )

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
        """Return the error event Anthropic's SDKs raise on inside a stream."""
        del call
        return error_event(refusal)

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

    def _tree(self, exchange: Exchange) -> dict[str, object]:
        try:
            tree = parse(exchange.body, depth_max=self._depth_max)
        except body.MalformedBody as error:
            raise bad_request(f"the body is not usable JSON: {error}") from None
        if not isinstance(tree, dict):
            raise bad_request("the body must be a JSON object")
        return cast("dict[str, object]", tree)


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


def _named(extra: Headers) -> Headers:
    """Return `extra` with the request id SDKs show, where the provider's is not there."""
    correlation = header(extra, b"oncegate-correlation")
    return extra if correlation is None else (*extra, (b"request-id", correlation))


def _explicit_key(exchange: Exchange) -> str | None:
    value = header(exchange.headers, b"idempotency-key")
    return None if value is None else value.decode("latin-1")


def _declares_retry(exchange: Exchange) -> bool:
    count = header(exchange.headers, b"x-stainless-retry-count")
    return count is not None and count.isdigit() and int(count) > 0
