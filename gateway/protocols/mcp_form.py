"""How replies of MCP are written: enveloped results, errors of our own, challenges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway import body
from gateway.call import Reply

if TYPE_CHECKING:
    from gateway.call import Headers, Refusal

#: Our own JSON-RPC codes, outside the ranges the specification keeps (-32768..-32000).
_CODES: Final = {"denied": -31001, "approval_pending": -31002, "in_doubt": -31003, "in_flight": -31004,
                 "key_reused": -31005, "blocked": -31006, "unauthenticated": -31007,
                 "quarantined": -31008, "invalid_arguments": -31009}  # fmt: skip
_OTHER_CODE: Final = -31000


def challenge(refusal: Refusal) -> Headers:
    """Return the header with which a refusal asks for a credential, where it does."""
    asked = getattr(refusal, "challenge", None)
    return () if not isinstance(asked, str) else ((b"www-authenticate", asked.encode()),)


def error_object(refusal: Refusal) -> dict[str, object]:
    """Return a refusal as the `error` of a JSON-RPC response."""
    message = f"oncegate: {refusal.message}"
    return {"code": _CODES.get(refusal.code, _OTHER_CODE), "message": message, "data": shown(refusal)}


def shown(refusal: Refusal) -> dict[str, object]:
    """Return what programs are told of a refusal: its code, whether to ask again, and after how many seconds."""
    told: dict[str, object] = {"code": refusal.code, "final": refusal.final}
    if refusal.retry_after_seconds is not None:
        # MCP answers a call with 200: there is no status that `Retry-After` would belong to
        told["retryAfterSeconds"] = refusal.retry_after_seconds
    return told


def error(ident: object, refusal: Refusal) -> bytes:
    """Return a refusal as a JSON-RPC response."""
    return body.encode({"jsonrpc": "2.0", "id": ident, "error": error_object(refusal)})


def enveloped(ident: object, form: str, content: bytes) -> bytes:
    """Return a result or an error (`form`) as the response to the request `ident`."""
    return b'{"jsonrpc":"2.0","id":' + body.encode(ident) + b',"' + form.encode() + b'":' + content + b"}"


def typed(result: bytes) -> bytes:
    """Return a result with the `resultType` that clients of the newer era insist on."""
    inner = result.strip()[1:]
    return b'{"resultType":"complete"' + (b"," if inner.strip() != b"}" else b"") + inner


def json_reply(status: int, content: bytes, headers: Headers) -> Reply:
    """Return one JSON message as a reply."""
    return Reply(status=status, headers=((b"content-type", b"application/json"), *headers), body=content)
