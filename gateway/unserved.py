"""The vendors' endpoints that are not served, each with what to do instead: the one place where that is said.

Nothing of a request to one of them is sent anywhere.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from gateway.call import Refusal
from gateway.models_entry import asks_anthropic, said

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.call import Exchange, Headers, Reply

_UNGOVERNED: Final = "what it does cannot be governed call by call"
_KEPT: Final = "ids of what a provider keeps come from an operator (`objects` of a model) or from an answer"
#: First part of the path below `/v1`, and why it is not served.
UNSERVED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "realtime": f"{_UNGOVERNED}; use `/v1/responses` or `/v1/chat/completions` with `stream`",
        "live": f"{_UNGOVERNED}; use `/v1/responses` or `/v1/chat/completions` with `stream`",
        "batches": f"{_UNGOVERNED}; send the calls one by one",
        "files": _KEPT,
        "uploads": _KEPT,
        "vector_stores": _KEPT,
        "containers": _KEPT,
        "conversations": f"{_KEPT}; use `previous_response_id`, or send the whole conversation",
        "skills": _KEPT,
        "audio": "texts in sound cannot be inspected",
        "images": "use a model with the `image_generation` tool, which needs a policy line of its own",
        "videos": _UNGOVERNED,
        "fine_tuning": "train outside of the gateway, and configure the model",
        "fine-tunes": "train outside of the gateway, and configure the model",
        "evals": _UNGOVERNED,
        "assistants": "use `/v1/responses`",
        "threads": "use `/v1/responses`",
        "completions": "use `/v1/chat/completions` or `/v1/responses`",
        "complete": "use `/v1/messages`",
        "edits": "use `/v1/chat/completions` or `/v1/responses`",
        "moderations": "call a model, or a tool of an MCP server, instead",
        "organization": "the provider's administration is not reached through the gateway",
        "organizations": "the provider's administration is not reached through the gateway",
        "admin": "the provider's administration is not reached through the gateway",
    }
)


class Unserved:
    """Refuses one endpoint in the vendor's form; `why` says what to do instead."""

    def __init__(self, name: str, why: str) -> None:
        self._refusal_message = f"`/v1/{name}` is not served by this gateway: {why}. nothing was sent"

    async def answer(self, exchange: Exchange) -> Reply:
        """Return the refusal: 404, as the vendors answer for what they do not have."""
        refusal = Refusal(code="bad_request", message=self._refusal_message, status=404)
        extra = ((b"oncegate-correlation", exchange.correlation.encode()),)
        return said(refusal, extra, anthropic=asks_anthropic(exchange))

    def refuse(self, refusal: Refusal, extra: Headers) -> Reply:
        """Return the error object."""
        return said(refusal, extra, anthropic=False)


_ENTRIES: Final = {name: Unserved(name, why) for name, why in UNSERVED.items()}


def unserved(path: str) -> Unserved | None:
    """Return what refuses `path` (with or without `/v1`), `None` where no vendor has such an endpoint."""
    if path.startswith(("/v1/chat/completions/", "/chat/completions/")):
        return _STORED
    parts = path.removeprefix("/v1/").removeprefix("/").split("/")
    return _ENTRIES.get(parts[0])


_STORED: Final = Unserved("chat/completions/…", "kept completions are not read again; use `/v1/responses`")
