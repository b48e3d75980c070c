"""`/v1/embeddings`: texts to vectors. Tokens are texts nobody can read, so only an `off` profile lets them by.

Vectors pass as they came, as numbers or in base64; usage is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.call import Call
from gateway.model_adapter import ModelAdapter, renamed
from gateway.model_request import (
    bad_request,
    declares_retry,
    explicit_key,
    facts_of,
    find_target,
    forwarded,
    model_resource,
    read_object,
)
from gateway.protocols.openai_chat_answer import ChatReader
from gateway.protocols.openai_error import FORWARDED, error_object
from redaction.finding import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.step import Outcome
    from gateway.call import Exchange, Refusal, ToolUse, Upstream, UpstreamRequest
    from gateway.providers.target import ModelTarget

REQUEST_SHAPE: Final = Shape(keep=("model", "encoding_format"))
_ANSWER_SHAPE: Final = Shape(
    keep=("object", "model", "data.*.object", "data.*.embedding", "data.*.embedding.*")
)  # fmt: skip


class EmbeddingsAdapter(ModelAdapter):
    """Embeddings; one instance serves all configured models."""

    name: str = "openai_embeddings"

    def read(self, exchange: Exchange) -> Call:
        """Return the call in `exchange`. Raises `Refusal` (400, 404)."""
        request = read_object(exchange, self._depth_max)
        target = find_target(self.models, request.get("model"), "openai_embeddings")
        kind = _kind(request.get("input"))
        if kind is None:
            raise bad_request("`input` must be a string, a list of strings, or tokens")
        counted = {key: value for key, value in request.items() if key != "user"}
        return Call(
            exchange=exchange, adapter=self, target=target, endpoint="openai_embeddings",
            resource=model_resource(target.name), resource_domain=target.domain, action="call", kind="model",
            effect="safe", tree=request, arguments=request, shape=REQUEST_SHAPE, canonical=body.canonical(counted),
            key=explicit_key(exchange), declared_retry=declares_retry(exchange),
            facts=facts_of(target, "embeddings"), seconds_max=target.seconds_max, unhashed=frozenset({("user",)}),
            unreadable="`input` is tokens, which cannot be read; send text" if kind == "tokens" else "",
        )  # fmt: skip

    def upstream(self, call: Call) -> Upstream:
        """Return the model's upstream."""
        return _target(call).upstream

    def request(self, call: Call, tree: object, *, upstream_key: str | None) -> UpstreamRequest:
        """Return the request as sent to the provider; the original bytes when nothing changed."""
        target = _target(call)
        headers = forwarded(call.exchange, FORWARDED)
        return target.request("openai_embeddings", renamed(call, tree, target), headers=headers, key=upstream_key)

    def reader(self, call: Call) -> ChatReader:
        """Return a reader for the answer: a plain body with usage, as a completion is one."""
        return ChatReader(not_executed=_target(call).provider.not_executed, shape=_ANSWER_SHAPE)

    def refusal_frame(self, refusal: Refusal, call: Call) -> bytes:
        """Return an event of a stream that embeddings never are."""
        del call
        return b"data: " + body.encode(error_object(refusal)) + b"\n\n"

    def _error(self, refusal: Refusal) -> dict[str, object]:
        return error_object(refusal)

    def results_shown(self, tree: object) -> Sequence[ToolUse]:
        """Return nothing: no tools are called."""
        del tree
        return ()

    def tools_asked(self, outcome: Outcome) -> Sequence[ToolUse]:
        """Return nothing: no tools are asked for."""
        del outcome
        return ()


def _target(call: Call) -> ModelTarget:
    return cast("ModelTarget", call.target)


def _kind(value: object) -> str | None:
    """Return whether `input` is `text` or `tokens`, `None` when it is neither."""
    if isinstance(value, str):
        return "text"
    if not isinstance(value, list) or not value:
        return None
    items = cast("list[object]", value)
    if all(isinstance(item, str) for item in items):
        return "text"
    return "tokens" if _tokens(items) or all(_tokens(item) for item in items) else None


def _tokens(value: object) -> bool:
    if not isinstance(value, list):
        return False
    return all(isinstance(item, int) and not isinstance(item, bool) for item in cast("list[object]", value))
