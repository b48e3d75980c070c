"""Refusals in Anthropic's error object (Anthropic API reference, errors), shared by the endpoints that speak it.

The official SDKs choose the class by HTTP status, `error_code` names the cause. The correlation id is the
`request-id` header only: SDKs put the whole body into the error's text, which a model may come to see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway import body, model_adapter
from gateway.call import Refusal, header
from gateway.sse import event

if TYPE_CHECKING:
    from gateway.call import Headers

#: `type` of the error object per refusal code.
_TYPES: Final = {
    "bad_request": "invalid_request_error",
    "too_large": "request_too_large",
    "not_found": "not_found_error",
    "key_reused": "invalid_request_error",
    "unauthenticated": "authentication_error",
    "denied": "permission_error",
    "approval_pending": "permission_error",
    "blocked": "permission_error",
    "limited": "rate_limit_error",
    "in_doubt": "conflict_error",
    "in_flight": "conflict_error",
    "attempt_superseded": "conflict_error",
    "run_closed": "conflict_error",
    "call_failed": "conflict_error",
    "approval_lost": "conflict_error",
    "diverged": "conflict_error",
}


@dataclass(eq=False, slots=True, kw_only=True)
class Unthreaded(Refusal):
    """A conversation that the provider would hold: the SDKs send the whole of it when they are told this code.

    What is not in the request cannot be inspected, and shows no results.
    """


def error_object(refusal: Refusal) -> dict[str, object]:
    """Return the error object of `refusal`."""
    code = "thread_unsupported_request" if isinstance(refusal, Unthreaded) else refusal.code
    error = {
        "type": _TYPES.get(refusal.code, "api_error"),
        "message": f"oncegate: {refusal.message}",
        "details": {"error_code": code},
    }
    return {"type": "error", "error": error}


def error_reply(refusal: Refusal, extra: Headers) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of `refusal`."""
    return model_adapter.error_reply(error_object(refusal), refusal, with_request_id(extra))


def with_request_id(extra: Headers) -> Headers:
    """Return `extra` with the request id SDKs show, for where the provider's is not there."""
    correlation = header(extra, b"oncegate-correlation")
    return extra if correlation is None else (*extra, (b"request-id", correlation))


def error_event(refusal: Refusal) -> bytes:
    """Return the event on which the SDKs raise inside a stream."""
    return event(body.encode(error_object(refusal)), name="error")
