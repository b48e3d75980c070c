"""What the adapters of all model APIs have in common: how outcomes and refusals are given to the agent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, cast

from durable.step import Outcome
from gateway import body
from gateway.call import Reply
from gateway.conversion import bridge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.call import Call, Headers, Refusal
    from gateway.providers.target import ModelTarget

_OK = 200


class ModelAdapter(ABC):
    """One endpoint of a vendor's API; one instance serves all configured models."""

    def __init__(self, models: Mapping[str, ModelTarget], *, depth_max: int = body.DEPTH_MAX) -> None:
        self.models = models
        self._depth_max = depth_max

    # -- what an endpoint says

    @abstractmethod
    def _error(self, refusal: Refusal) -> dict[str, object]:
        """Return a refusal as the vendor's error object."""

    def _extra(self, extra: Headers, *, given: bool) -> Headers:
        """Return the gateway's headers as SDKs look for them; `given`: the provider's own request id is there."""
        del given
        return extra

    def _given(self, content: bytes) -> bytes:
        """Return an outcome that was given by hand, or made for another model, in this API's form."""
        return content

    def _frames(self, answer: dict[str, object]) -> bytes:
        """Return a whole answer as the events of a stream."""
        raise NotImplementedError  # asked only of endpoints whose calls can be streams

    # -- the adapter (`gateway.call.Adapter`)

    def head(self, call: Call, extra: Headers) -> tuple[int, Headers]:
        """Return status and headers of a stream."""
        kept = (b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")
        return _OK, (*kept, *bridge.told(call), *self._extra(extra, given=False))

    def present(self, call: Call, outcome: Outcome, body: bytes, extra: Headers) -> Reply:
        """Return an outcome with the status, media type and kept headers it came with.

        One that was given as a whole answer is a stream to a client that asked for a stream.
        """
        media = outcome.media.encode()
        if outcome.form == "body" and "source" in outcome.meta:
            body = self._given(body)
            if call.stream:
                media, body = b"text/event-stream", self._frames(_object(body))
        kept = cast("Mapping[str, str]", outcome.meta.get("headers", {}))
        named = tuple((key.encode(), value.encode()) for key, value in kept.items())
        more = self._extra(extra, given="request-id" in kept)
        headers = ((b"content-type", media), *named, *bridge.told(call), *more)
        return Reply(status=outcome.status, headers=headers, body=body)

    def refuse(self, refusal: Refusal, call: Call | None, extra: Headers) -> Reply:
        """Return the error object with the refusal's status."""
        del call
        status, headers, content = error_reply(self._error(refusal), refusal, self._extra(extra, given=False))
        return Reply(status=status, headers=headers, body=content)

    def refusal_outcome(self, refusal: Refusal, call: Call) -> Outcome:
        """Return the error object as the outcome of a call whose answer is withheld."""
        del call
        content = body.encode(self._error(refusal))
        return Outcome(form="body", status=refusal.status, media="application/json", body=content)


def error_reply(error: dict[str, object], refusal: Refusal, extra: Headers) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of `refusal`, said as `error`; the headers are those the official SDKs obey."""
    headers: list[tuple[bytes, bytes]] = [(b"content-type", b"application/json"), *extra]
    if refusal.final:
        headers.append((b"x-should-retry", b"false"))
    if refusal.retry_after_seconds is not None:
        headers.append((b"retry-after", str(refusal.retry_after_seconds).encode()))
    if refusal.status == 401:  # noqa: PLR2004 - RFC 9110 section 11.6.1 wants a challenge
        challenge = getattr(refusal, "challenge", None)
        headers.append((b"www-authenticate", challenge.encode() if isinstance(challenge, str) else b"Bearer"))
    return refusal.status, tuple(headers), body.encode(error)


def renamed(call: Call, tree: object, target: ModelTarget) -> bytes:
    """Return the request's body with the model's name at its provider; the original bytes when nothing changed."""
    if tree is call.tree and target.upstream_model == target.name:
        return call.exchange.body
    return body.encode(cast("dict[str, object]", tree) | {"model": target.upstream_model})


def _object(content: bytes) -> dict[str, object]:
    return cast("dict[str, object]", body.parse(content))
