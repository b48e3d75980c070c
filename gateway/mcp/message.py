"""One JSON-RPC message of MCP: what kind it is, of which era, and what policy is asked about it.

Sources: MCP 2026-07-28 and 2025-11-25 (base protocol, Streamable HTTP), JSON-RPC 2.0.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, cast

from mcp.shared.inbound import (
    ERROR_CODE_HTTP_STATUS,
    InboundLadderRejection,
    classify_inbound_request,
)
from mcp_types import PROTOCOL_VERSION_META_KEY
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from policy.resources import UnusableName, resource_name, resource_uri_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.call import Headers

Era = Literal["legacy", "modern"]
Kind = Literal["request", "notification", "response"]

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
INVALID_PARAMS: Final = -32602
HEADER_MISMATCH: Final = -32020
#: Requests that belong to the protocol itself: whoever may use anything of the server may send them.
HOUSEKEEPING: Final = frozenset({
    "initialize", "ping", "server/discover", "logging/setLevel", "subscriptions/listen", "roots/list",
    "tools/list", "prompts/list", "resources/list", "resources/templates/list",
})  # fmt: skip
#: Notifications every client may send; others are decided like unknown methods.
_TOLD: Final = frozenset({
    "notifications/initialized", "notifications/cancelled", "notifications/progress",
    "notifications/roots/list_changed", "notifications/elicitation/complete",
})  # fmt: skip
#: What a message may hold, and the members of `params` that decide about it. Some servers read names
#: without regard to case, and take the last of two: `Method` beside `method` would be another call there.
_MEMBERS: Final = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})
_DECIDING: Final = frozenset({"name", "arguments", "uri", "ref", "_meta", "notifications"})
#: Headers of which two would be read differently by two readers.
_SINGLE: Final = (b"mcp-session-id", b"mcp-protocol-version", b"mcp-method", b"mcp-name", b"content-type")
#: List results: which member holds the items, and how an item is named to policy.
LISTS: Final = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}


#: The name of a method is structure, in the audit as well: nothing that could be anybody's address or number.
_METHOD: Final = re.compile(r"(?!.*\d{9})[A-Za-z0-9_.$/\-]{1,128}")
#: `mcp/<server>/resource/<scheme>/<authority>`
_URI_PARTS_MIN: Final = 5


class Unanswerable(Exception):  # noqa: N818 - says what is known of the message
    """The message is refused before anything is asked: JSON-RPC code, HTTP status, one sentence."""

    def __init__(
        self, code: int, message: str, *, status: int = 400, data: object = None, ident: object = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.data = data
        self.ident = ident


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A parsed message. `id` is the request's own, `None` for notifications."""

    tree: dict[str, object]
    kind: Kind
    era: Era
    method: str
    id: object
    params: dict[str, object]


def read_message(tree: object, headers: Headers) -> Message:
    """Return the message in `tree`. Raises `Unanswerable`."""
    if isinstance(tree, list):
        raise Unanswerable(INVALID_REQUEST, "a batch is not accepted; send one message")
    if not isinstance(tree, dict) or cast("dict[str, object]", tree).get("jsonrpc") != "2.0":
        raise Unanswerable(INVALID_REQUEST, "expected one JSON-RPC 2.0 message")
    message = cast("dict[str, object]", tree)
    ident = message.get("id")
    if "id" in message and not _usable_id(ident):
        raise Unanswerable(INVALID_REQUEST, "`id` must be a string or a whole number")
    if not message.keys() <= _MEMBERS or ("method" in message and ("result" in message or "error" in message)):
        raise Unanswerable(INVALID_REQUEST, "a message has `method` and `params`, or `result` or `error`", ident=ident)
    params = message.get("params", {})
    if not isinstance(params, dict):
        raise Unanswerable(INVALID_PARAMS, "`params` must be an object", ident=ident)
    named = cast("dict[str, object]", params)
    if any(key.casefold() in _DECIDING and key.casefold() != key for key in named):
        raise Unanswerable(INVALID_PARAMS, "a member of `params` differs from a known one by case only", ident=ident)
    if "method" not in message and "id" in message and ("result" in message or "error" in message):
        return Message(tree=message, kind="response", era="legacy", method="", id=ident, params={})
    method = message.get("method")
    if not isinstance(method, str) or _METHOD.fullmatch(method) is None:
        raise Unanswerable(INVALID_REQUEST, "expected a `method` of 1 to 128 of A-Z a-z 0-9 _ . $ / -", ident=ident)
    kind: Kind = "request" if "id" in message else "notification"
    if kind == "notification" and not method.startswith("notifications/"):
        raise Unanswerable(INVALID_REQUEST, "a request needs an `id`")
    era = _era(message, named, headers, kind)
    return Message(tree=message, kind=kind, era=era, method=method, id=ident, params=named)


def demand_single(headers: Headers) -> None:
    """Refuse two headers of a name that decides. Raises `Unanswerable`."""
    names = [name for name, _ in headers]
    for name in _SINGLE:
        if names.count(name) > 1:
            raise Unanswerable(HEADER_MISMATCH, f"the header `{name.decode()}` stands twice")


def subjects_of(server: str, message: Message) -> tuple[str, str, tuple[str, ...]]:
    """Return resource and action that policy decides for `message`, and further resources. Raises `Unanswerable`."""
    try:
        if message.method == "subscriptions/listen" and (uris := _watched(message.params)):
            first, *more = [resource_uri_name(server, uri) for uri in uris]
            return first, "read", tuple(more)
        if message.kind == "response" or message.method in HOUSEKEEPING or message.method in _TOLD:
            return resource_name("mcp", server), "list", ()
        return *_subject(server, message), ()
    except UnusableName as error:
        raise Unanswerable(INVALID_PARAMS, f"the name cannot be used: {error}", ident=message.id) from None


def shown_name(resource: str, key: bytes) -> str:
    """Return a resource as audit and traces show it: of a URI its scheme and a keyed digest, for it is content."""
    parts = resource.split("/")
    if len(parts) < _URI_PARTS_MIN or parts[2] != "resource":
        return resource
    digest = hmac.new(key, resource.encode(), hashlib.sha256).hexdigest()[:32]
    return "/".join((*parts[:4], f"~{digest}"))


def item_subject(server: str, method: str, item: Mapping[str, object]) -> tuple[str, str] | None:
    """Return (resource, action) of an item in a list result, `None` when it has no usable name."""
    try:
        if method == "tools/list":
            return resource_name("mcp", server, "tool", str(item["name"])), "call"
        if method == "prompts/list":
            return resource_name("mcp", server, "prompt", str(item["name"])), "get"
        return resource_uri_name(server, str(item.get("uri", item.get("uriTemplate", "")))), "read"
    except (KeyError, UnusableName):
        return None


def _subject(server: str, message: Message) -> tuple[str, str]:
    method, params = message.method, message.params
    match method:
        case "tools/call":
            return resource_name("mcp", server, "tool", _text(params, "name")), "call"
        case "prompts/get":
            return resource_name("mcp", server, "prompt", _text(params, "name")), "get"
        case "resources/read":
            return resource_uri_name(server, _text(params, "uri")), "read"
        case "resources/subscribe" | "resources/unsubscribe" if message.era == "legacy":
            return resource_uri_name(server, _text(params, "uri")), "read"
        case "completion/complete":
            return _completed(server, params.get("ref"))
        case _:
            return resource_name("mcp", server, "method", *method.split("/")), "call"


def _completed(server: str, ref: object) -> tuple[str, str]:
    named = cast("dict[str, object]", ref) if isinstance(ref, dict) else {}
    if named.get("type") == "ref/prompt":
        return resource_name("mcp", server, "prompt", _text(named, "name")), "get"
    return resource_uri_name(server, _text(named, "uri")), "read"


def _watched(params: Mapping[str, object]) -> list[str]:
    """Return the resources a `subscriptions/listen` asks to hear of (MCP 2026-07-28)."""
    asked = params.get("notifications")
    uris = cast("dict[str, object]", asked).get("resourceSubscriptions") if isinstance(asked, dict) else None
    if uris is None:
        return []
    if not isinstance(uris, list) or not all(isinstance(uri, str) for uri in cast("list[object]", uris)):
        raise UnusableName("`resourceSubscriptions` must be a list of strings")
    return cast("list[str]", uris)


def _text(params: Mapping[str, object], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str):
        raise UnusableName(f"`{name}` must be a string")
    return value


def _era(message: dict[str, object], params: dict[str, object], headers: Headers, kind: Kind) -> Era:
    ident = message.get("id")
    # optional white space around a value is no part of it (RFC 9110 section 5.5)
    plain = {name.decode("latin-1"): value.strip(b" \t").decode("latin-1") for name, value in headers}
    meta = params.get("_meta")
    enveloped = isinstance(meta, dict) and PROTOCOL_VERSION_META_KEY in cast("dict[str, object]", meta)
    if plain.get("mcp-protocol-version") not in MODERN_PROTOCOL_VERSIONS and not enveloped:
        return "legacy"
    if kind == "request":
        found = classify_inbound_request(message, headers=plain)
        if isinstance(found, InboundLadderRejection):
            status = ERROR_CODE_HTTP_STATUS.get(found.code, 400)
            raise Unanswerable(found.code, found.message, status=status, data=found.data, ident=ident)
    return "modern"


def _usable_id(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))
