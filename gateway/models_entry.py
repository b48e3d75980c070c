"""`/v1/models`: the configured models this principal may call, and no other, as either vendor lists them.

A client that sends `anthropic-version` gets Anthropic's form (Anthropic API reference, models), every other one
OpenAI's (OpenAI API reference, models).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway import body, refusals
from gateway.call import Refusal, Reply, header
from gateway.protocols import anthropic_error, openai_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.call import Exchange, Headers
    from policy.decision import Principal

#: What Anthropic's API says of a model whose date is not known.
_BEGINNING: Final = "1970-01-01T00:00:00Z"


class ModelsEntry:
    """Lists and shows models (`models`: name to trust domain); `may_call` asks policy, a condition counts as maybe."""

    def __init__(self, models: dict[str, str], may_call: Callable[[Principal, str], bool]) -> None:
        self._models = models
        self._may_call = may_call

    async def answer(self, exchange: Exchange) -> Reply:
        """Return the list, or one model."""
        anthropic = asks_anthropic(exchange)
        extra = ((b"oncegate-correlation", exchange.correlation.encode()),)
        try:
            content = self._content(exchange, anthropic=anthropic)
        except Refusal as refusal:
            return said(refusal, extra, anthropic=anthropic)
        return Reply(status=200, headers=((b"content-type", b"application/json"), *extra), body=body.encode(content))

    def refuse(self, refusal: Refusal, extra: Headers) -> Reply:
        """Return the error object."""
        return said(refusal, extra, anthropic=False)

    def _content(self, exchange: Exchange, *, anthropic: bool) -> dict[str, object]:
        if exchange.method != "GET":
            raise refusals.wrong_method("GET", "use GET")
        wanted = exchange.path.removeprefix("/v1").removeprefix("/models").removeprefix("/")
        allowed = [name for name in sorted(self._models) if self._may_call(exchange.principal, name)]
        show = self._as_anthropic if anthropic else self._as_openai
        if wanted:
            if wanted not in allowed:  # not configured and not allowed look the same: a list is no oracle
                raise Refusal(code="not_found", message="no such model is configured here", status=404)
            return show(wanted)
        listed: list[object] = [show(name) for name in allowed]
        if anthropic:
            ends = (allowed[0], allowed[-1]) if allowed else (None, None)
            return {"data": listed, "has_more": False, "first_id": ends[0], "last_id": ends[1]}
        return {"object": "list", "data": listed}

    def _as_openai(self, name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": 0, "owned_by": self._models[name]}

    def _as_anthropic(self, name: str) -> dict[str, object]:
        return {"type": "model", "id": name, "display_name": name, "created_at": _BEGINNING}


def asks_anthropic(exchange: Exchange) -> bool:
    """Return whether a client speaks Anthropic's protocol: its SDKs always send the version."""
    return header(exchange.headers, b"anthropic-version") is not None


def said(refusal: Refusal, extra: Headers, *, anthropic: bool) -> Reply:
    """Return a refusal in either vendor's form."""
    error_reply = anthropic_error.error_reply if anthropic else openai_error.error_reply
    status, headers, content = error_reply(refusal, extra)
    return Reply(status=status, headers=headers, body=content)
