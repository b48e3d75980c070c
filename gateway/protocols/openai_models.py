"""`/v1/models`: the configured models this principal may call, and no other (OpenAI API reference, models)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import body
from gateway.call import Refusal, Reply
from gateway.protocols.openai_error import error_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.call import Exchange, Headers
    from policy.decision import Principal


class ModelsEntry:
    """Lists and shows models; `may_call` asks policy, a condition counting as maybe."""

    def __init__(self, models: dict[str, str], may_call: Callable[[Principal, str], bool]) -> None:
        self._models = models
        self._may_call = may_call

    async def answer(self, exchange: Exchange) -> Reply:
        """Return the list, or one model."""
        if exchange.method != "GET":
            raise Refusal(code="bad_request", message="use GET", status=405)
        wanted = exchange.path.rpartition("/models")[2].removeprefix("/")
        callable_models = [name for name in sorted(self._models) if self._may_call(exchange.principal, name)]
        if not wanted:
            content: object = {"object": "list", "data": [self._show(name) for name in callable_models]}
        elif wanted in callable_models:
            content = self._show(wanted)
        else:  # not configured and not allowed look the same: a list is no oracle
            raise Refusal(code="not_found", message="no such model is configured here", status=404)
        headers = ((b"content-type", b"application/json"), (b"oncegate-correlation", exchange.correlation.encode()))
        return Reply(status=200, headers=headers, body=body.encode(content))

    def refuse(self, refusal: Refusal, extra: Headers) -> Reply:
        """Return the error object."""
        status, headers, content = error_reply(refusal, extra)
        return Reply(status=status, headers=headers, body=content)

    def _show(self, name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": 0, "owned_by": self._models[name]}
