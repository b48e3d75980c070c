"""A tool call's identity: what of it is hashed, the key its client gave, the key its server gets.

Sources: DESIGN section 6; MCP 2026-07-28 (SEP-2322) for calls that ask back.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.call import header
from gateway.mcp.message import INVALID_PARAMS, Unanswerable

if TYPE_CHECKING:
    from gateway.call import Headers
    from gateway.config import Tool
    from gateway.mcp.message import Message

KEY_META: Final = "dev.oncegate/idempotency-key"
#: Keys of `params._meta` that belong to the protocol or to tracing; vendors' own keys count in the fingerprint.
_PROTOCOL_META: Final = ("io.modelcontextprotocol/", "progressToken", "traceparent", "tracestate", "baggage",
                         "dev.oncegate/")  # fmt: skip
#: Written by the gateway alone: its key, and its own trace context (MCP SEP-414); a caller's is not trusted.
_OWN_META: Final = frozenset({KEY_META, "traceparent", "tracestate", "baggage"})


def canonical_params(message: Message) -> bytes:
    """Return what the fingerprint covers: the arguments as sent, with vendors' own `_meta`."""
    params = {key: value for key, value in message.params.items() if key != "_meta"}
    params.setdefault("arguments", {})
    meta = message.params.get("_meta")
    if isinstance(meta, dict):
        named = cast("dict[str, object]", meta)
        own = {key: value for key, value in named.items() if not key.startswith(_PROTOCOL_META)}
        if own:
            params["_meta"] = own
    return body.canonical(params)


def explicit_key(headers: Headers, message: Message) -> str | None:
    """Return the idempotency key the client gave, `None` without one. Raises `Unanswerable`."""
    meta = message.params.get("_meta")
    named = cast("dict[str, object]", meta).get(KEY_META) if isinstance(meta, dict) else None
    if named is not None and not isinstance(named, str):
        raise Unanswerable(INVALID_PARAMS, f"`{KEY_META}` must be a string", ident=message.id)
    value = header(headers, b"idempotency-key")
    key = named if value is None else value.decode("latin-1")
    if named is not None and key != named:
        raise Unanswerable(INVALID_PARAMS, f"`Idempotency-Key` and `{KEY_META}` differ", ident=message.id)
    state = message.params.get("requestState")
    if key is None or not isinstance(state, str):
        return key
    # a call that asks back is several requests of one key: each round is a step (MCP 2026-07-28, SEP-2322)
    return f"{key}.{hashlib.sha256(state.encode()).hexdigest()[:12]}"


def with_key(tree: dict[str, object], upstream_key: str | None, tool: Tool | None) -> dict[str, object]:
    """Return the message with the step's own key, or none; the client's text and trace never leave."""
    params = tree.get("params")
    if not isinstance(params, dict):
        return tree
    sent = cast("dict[str, object]", params)
    meta = sent.get("_meta")
    known = cast("dict[str, object]", meta) if isinstance(meta, dict) else {}
    kept = {key: value for key, value in known.items() if key not in _OWN_META}
    if upstream_key is None:
        if len(kept) == len(known):
            return tree
        return tree | {"params": sent | {"_meta": kept}}
    sent = sent | {"_meta": kept | {KEY_META: upstream_key}}
    if tool is not None and tool.idempotency_argument is not None:
        given = cast("dict[str, object]", sent.get("arguments") or {})
        sent["arguments"] = given | {tool.idempotency_argument: upstream_key}
    return tree | {"params": sent}


def with_trace(tree: dict[str, object], headers: Headers) -> dict[str, object]:
    """Return the message with the trace context that `headers` carry, if they do (MCP SEP-414)."""
    own = header(headers, b"traceparent")
    params = tree.get("params")
    if own is None or not isinstance(params, dict) or "method" not in tree:
        return tree
    sent = cast("dict[str, object]", params)
    meta = sent.get("_meta")
    known = cast("dict[str, object]", meta) if isinstance(meta, dict) else {}
    return tree | {"params": sent | {"_meta": known | {"traceparent": own.decode("ascii")}}}
