"""Counts of tokens in both protocols' words, reasons to stop, and error objects.

The chat protocol counts all input and says how much of it was cached; the messages protocol counts what was
neither cached nor written to the cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from gateway.conversion.carried import CannotCarry, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.conversion.carried import Tree

_FINISH: Final = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls",
    "refusal": "content_filter", "model_context_window_exceeded": "length",
}  # fmt: skip
_STOP: Final = {
    "stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use",
    "content_filter": "refusal",
}  # fmt: skip
#: Types of the error objects by status; the SDKs choose their class by the status itself.
_CHAT_ERRORS: Final = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "invalid_request_error",
    413: "invalid_request_error", 422: "invalid_request_error", 429: "rate_limit_error",
}  # fmt: skip
_MESSAGES_ERRORS: Final = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 409: "conflict_error", 413: "request_too_large", 422: "invalid_request_error",
    429: "rate_limit_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip


def finish_reason(stop: object) -> str | None:
    """Return a stop reason as the chat protocol's finish reason. Raises `CannotCarry`."""
    return _said(stop, _FINISH, "stop_reason")


def stop_reason(finish: object) -> str | None:
    """Return a finish reason as the messages protocol's stop reason. Raises `CannotCarry`."""
    return _said(finish, _STOP, "finish_reason")


def chat_usage(usage: Mapping[str, object]) -> Tree:
    """Return usage of the messages protocol as the chat protocol's."""
    read, written = whole(usage.get("cache_read_input_tokens")), whole(usage.get("cache_creation_input_tokens"))
    given, output = whole(usage.get("input_tokens")) + read + written, whole(usage.get("output_tokens"))
    details: Tree = {"cached_tokens": read}
    if written:
        details["cache_write_tokens"] = written
    tree: Tree = {
        "prompt_tokens": given, "completion_tokens": output, "total_tokens": given + output,
        "prompt_tokens_details": details,
    }  # fmt: skip
    if thought := whole(_object(usage.get("output_tokens_details")).get("thinking_tokens")):
        tree["completion_tokens_details"] = {"reasoning_tokens": thought}
    return tree


def messages_usage(usage: Mapping[str, object]) -> Tree:
    """Return usage of the chat protocol as the messages protocol's."""
    details = _object(usage.get("prompt_tokens_details"))
    read, written = whole(details.get("cached_tokens")), whole(details.get("cache_write_tokens"))
    tree: Tree = {
        "input_tokens": max(0, whole(usage.get("prompt_tokens")) - read - written),
        "output_tokens": whole(usage.get("completion_tokens")),
        "cache_read_input_tokens": read, "cache_creation_input_tokens": written,
    }  # fmt: skip
    if thought := whole(_object(usage.get("completion_tokens_details")).get("reasoning_tokens")):
        tree["output_tokens_details"] = {"thinking_tokens": thought}
    return tree


def chat_error(status: int, error: object) -> Tree:
    """Return an error object of the messages protocol, or what came in its place, as the chat protocol's."""
    message, code = _told(error)
    kind = _CHAT_ERRORS.get(status, "api_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def messages_error(status: int, error: object) -> Tree:
    """Return an error object of the chat protocol, or what came in its place, as the messages protocol's."""
    message, code = _told(error)
    kind = _MESSAGES_ERRORS.get(status, "api_error")
    told: Tree = {"type": kind, "message": message}
    if code is not None:
        told["details"] = {"error_code": code}
    return {"type": "error", "error": told}


def _told(error: object) -> tuple[str, str | None]:
    """Return message and code of either protocol's error object."""
    if not isinstance(error, dict):
        return (error if isinstance(error, str) else "the provider gave no reason"), None
    inner = cast("Tree", error).get("error")
    if not isinstance(inner, dict):
        return (inner if isinstance(inner, str) else "the provider gave no reason"), None
    told = cast("Tree", inner)
    code = told.get("code") or _object(told.get("details")).get("error_code") or told.get("type")
    message = told.get("message")
    text = message if isinstance(message, str) else "the provider gave no reason"
    return text, code if isinstance(code, str) else None


def _said(reason: object, words: Mapping[str, str], path: str) -> str | None:
    if reason is None:
        return None
    if not isinstance(reason, str) or reason not in words:
        raise CannotCarry(path, "cannot be said in the other protocol")
    return words[reason]


def _object(value: object) -> Tree:
    return cast("Tree", value) if isinstance(value, dict) else {}
