"""Refusals in the OpenAI error object, shared by the endpoints that speak it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from gateway import body, model_adapter
from gateway.sse import event

if TYPE_CHECKING:
    from gateway.call import Headers, Refusal

#: Request headers of the caller that mean something to the provider; no credential is among them.
FORWARDED: Final = frozenset({b"openai-beta", b"user-agent", b"x-client-request-id"})
#: `type` of the error object per refusal code; the official SDKs choose the class by HTTP status.
_TYPES = {
    "bad_request": "invalid_request_error",
    "too_large": "invalid_request_error",
    "not_found": "invalid_request_error",
    "key_reused": "invalid_request_error",
    "unauthenticated": "authentication_error",
    "denied": "permission_error",
    "approval_pending": "permission_error",
    "blocked": "permission_error",
    "limited": "rate_limit_error",
}
_CODES = {"not_found": "model_not_found", "unauthenticated": "invalid_api_key"}


def error_object(refusal: Refusal) -> dict[str, object]:
    """Return the error object of `refusal` (https://platform.openai.com/docs/guides/error-codes)."""
    return {
        "error": {
            "message": f"oncegate: {refusal.message}",
            "type": _TYPES.get(refusal.code, "api_error"),
            "param": None,
            "code": _CODES.get(refusal.code, refusal.code),
        }
    }


def failed_event(refusal: Refusal) -> bytes:
    """Return the `error` event of a stream of responses; it carries the error object too, which the SDKs raise on."""
    shown = error_object(refusal)
    error = cast("dict[str, object]", shown["error"])
    content = {"type": "error", "code": error["code"], "message": error["message"], "param": None, **shown}
    return event(body.encode(content), name="error")


def error_reply(refusal: Refusal, extra: Headers) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of `refusal`."""
    return model_adapter.error_reply(error_object(refusal), refusal, extra)
