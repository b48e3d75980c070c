"""Reads an MCP server's answer: one JSON message, or a stream of them with the response as its last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from gateway import body, header_values
from gateway.call import Sent, Unit, Verdict, header
from gateway.definitions.slots import SchemaSlots
from gateway.mcp.message import LISTS
from gateway.mcp.resume import note_event
from gateway.sse import EventSplitter, EventTooLong, event, plain_name
from redaction.finding import Shape

if TYPE_CHECKING:
    from collections.abc import Hashable

    from gateway.call import Headers
    from gateway.mcp.turn import Turn
    from gateway.sse import Event

#: What a client goes by when it makes arguments or headers; names and types, never values.
_OF_A_SCHEMA: Final = (
    "$schema", "type", "required.*", "properties.*.type", "properties.*.x-mcp-header", "properties.*.$ref",
    "properties.*.format", "properties.*.required.*",
)  # fmt: skip
#: Structure of messages from a server; every other string is scanned.
ANSWER_SHAPE: Final = Shape(
    keep=(
        "jsonrpc", "id", "method", "result.resultType", "result.protocolVersion", "result.serverInfo.name",
        "result.serverInfo.version", "result.cacheScope", "result.nextCursor", "result.requestState",
        "result.supportedVersions.*",
        r"result._meta.io\.modelcontextprotocol/serverInfo.name",
        r"result._meta.io\.modelcontextprotocol/serverInfo.version",
        r"params._meta.io\.modelcontextprotocol/subscriptionId",
        "result.tools.*.name",
        *(f"result.tools.*.{schema}.{place}" for schema in ("inputSchema", "outputSchema") for place in _OF_A_SCHEMA),
        "result.prompts.*.name", "result.prompts.*.arguments.*.name",
        "result.content.*.type", "result.content.*.annotations.audience.*",
        "result.messages.*.role", "result.messages.*.content.type", "params.progressToken", "params.requestId",
        "params.messages.*.role", "params.messages.*.content.type",
        "params.mode", "params.subscriptionId", "result.inputRequests.*.method", "result.inputRequests.*.params.mode",
        *(f"{asked}params.requestedSchema.{place}"
          for asked in ("", "result.inputRequests.*.") for place in (*_OF_A_SCHEMA, "properties.*.items.type")),
    ),
    embedded=("result.content.*.text",),
)  # fmt: skip

_NOT_EXECUTED: Final = frozenset({401, 404, 405, 429})
_UNKNOWN: Final = frozenset({408, 409})
_CUT: Final = "the stream was closed before the response"
#: JSON-RPC errors with which a server says that it did not look at the request.
_UNREAD: Final = frozenset({-32700, -32600, -32020, -32021, -32022})
_KEPT_OUT: Final = "the result is withheld; do not call it again for the same purpose"


class McpReader:
    """Units of one answer: interim messages as they come, the response as the final one."""

    shape: Shape = ANSWER_SHAPE

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._status = 0
        self._media = "application/json"
        self._splitter: EventSplitter | None = None
        self._plain: list[bytes] = []
        self._final: dict[str, object] | None = None

    def begin(self, status: int, headers: Headers) -> None:
        """Take the answer's head; a session id is sealed for its principal."""
        self._status = status
        self._media = header_values.media(header(headers, b"content-type"))
        if self._media.startswith("text/event-stream"):
            self._splitter = EventSplitter()
        if (session := header(headers, b"mcp-session-id")) is not None:
            self._turn.answer_headers["mcp-session-id"] = self._turn.seal_session(session.decode("latin-1"))
        for name in (b"retry-after", b"allow"):
            if (value := header(headers, name)) is not None and header_values.passes(value):
                self._turn.answer_headers[name.decode()] = value.decode("latin-1")

    def feed(self, chunk: bytes) -> list[Unit]:
        """Return the messages that `chunk` completes."""
        if self._splitter is None:
            self._plain.append(chunk)
            return []
        if self._turn.cut:  # another stream goes on; what was left of an event in the old one comes again
            self._turn.cut, self._splitter = False, EventSplitter()
        try:
            events = self._splitter.feed(chunk)
        except EventTooLong:
            raise Sent("an event of the stream is too long") from None
        return [self._event(one) for one in events]

    def flows(self, chunk: bytes) -> bool:
        """Return false: every message may be the response."""
        del chunk
        return False

    def skim(self, chunk: bytes) -> list[Unit]:
        """Return what `feed` returns: every message may be the response."""
        return self.feed(chunk)

    def end(self) -> list[Unit]:
        """Return the one message of a plain answer. Raises `Sent` when a response is missing."""
        if self._splitter is not None:
            if self._lost:
                raise Sent(_CUT)
            return []
        content = b"".join(self._plain)
        if not content.strip():
            if self._turn.expects and self._status < 400:  # noqa: PLR2004 - an error needs no body
                raise Sent("the server answered a request with nothing")
            return [Unit(raw=b"", hold=True)]
        try:
            tree = body.parse(content)
        except body.MalformedBody:
            if self._status < 400:  # noqa: PLR2004 - an error page need not be JSON
                raise Sent("the server's answer is not usable JSON") from None
            return [Unit(raw=b"", hold=True)]
        if not isinstance(tree, dict):
            raise Sent("the server's answer is no JSON-RPC message")
        return [self._message(content, cast("dict[str, object]", tree))]

    @property
    def _lost(self) -> bool:
        """Whether the response will never come: of a stream with event ids its client may ask for the rest."""
        turn, message = self._turn, self._turn.message
        if self._final is not None or message is None or not turn.expects or turn.method == "subscriptions/listen":
            return False
        return self._status < 400 and (message.era == "modern" or turn.last_event_id is None)  # noqa: PLR2004 - an error says enough

    def encode(self, unit: Unit, tree: object) -> bytes:
        """Return `tree` framed as `unit` was."""
        encoded = body.encode(tree)
        if self._splitter is None:
            return encoded
        (as_it_came,) = EventSplitter().feed(unit.raw)
        return event(encoded, name=plain_name(as_it_came.name), event_id=as_it_came.id)

    def continuation(self, key: Hashable, text: str) -> Unit:
        """Raise: MCP messages are whole, nothing is held between them."""
        raise AssertionError(f"no slot {key!r} in a protocol of whole messages ({len(text)} characters)")

    def verdict(self) -> Verdict:
        """Say what the answer proves."""
        meta: dict[str, object] = {}
        if self._status in _NOT_EXECUTED:
            return self._verdict("not_executed", meta)
        if self._status in _UNKNOWN or self._status >= 500:  # noqa: PLR2004 - RFC 9110 section 15.6
            return self._verdict("unknown", meta)
        if self._final is None:
            if not self._turn.expects:
                return self._verdict("outcome", meta)
            return Verdict(kind="unknown", form="body", status=self._status, media=self._media, reason=_CUT)
        if "error" in self._final:
            return self._failed(self._final["error"])
        result = self._final.get("result")
        if isinstance(result, dict) and cast("dict[str, object]", result).get("isError") is True:
            meta["is_error"] = True
        return Verdict(kind="outcome", form="result", status=self._status, meta=meta)

    def _failed(self, error: object) -> Verdict:
        if self._turn.cancelled:  # how far it had come nobody says
            return self._verdict("unknown", {}, "the client cancelled the call")
        code = cast("dict[str, object]", error).get("code") if isinstance(error, dict) else None
        kind = "not_executed" if code in _UNREAD else "outcome"
        return Verdict(kind=kind, form="error", status=self._status, reason="the server did not read the request")

    def _verdict(self, kind: str, meta: dict[str, object], reason: str = "") -> Verdict:
        form = "body"
        if self._final is not None:
            form = "error" if "error" in self._final else "result"
        return Verdict(kind=kind, form=form, status=self._status, media=self._media,  # pyright: ignore[reportArgumentType] - one of the two literals
                       reason=reason or f"the server answered {self._status}", meta=meta)  # fmt: skip

    def _event(self, one: Event) -> Unit:
        raw, data = one.raw, one.data
        note_event(self._turn, raw, one.id)
        if data is None or not data.strip():
            return Unit(raw=raw)
        try:
            tree = body.parse(data)
        except body.MalformedBody:
            raise Sent("an event of the stream is not usable JSON") from None
        if not isinstance(tree, dict):
            raise Sent("an event of the stream is no JSON-RPC message")
        return self._message(raw, cast("dict[str, object]", tree))

    def _message(self, raw: bytes, tree: dict[str, object]) -> Unit:
        message = self._turn.message
        if self._turn.noticed is not None and isinstance(method := tree.get("method"), str):
            self._turn.noticed(method)
        told = None if self._turn.shown is None else self._turn.shown(self._turn, tree)
        answers = self._turn.expects and "method" not in tree and message is not None and tree.get("id") == message.id
        if not answers:
            if "method" not in tree and self._status >= 400:  # noqa: PLR2004 - an error before the id was read
                self._final = tree
                return Unit(raw=raw, tree=tree, hold=True, final=True)
            return Unit(raw=raw, tree=tree, hold=self._splitter is None, told=told)
        self._final = tree
        self._turn.answered = True
        listed = LISTS.get(self._turn.method)
        broken = self._hold_to_promise(tree)
        if broken or (listed is not None and self._filter(listed, tree)):
            raw = self.encode(Unit(raw=raw), tree)
        promised = self._turn.promised
        typed = None if promised is None else SchemaSlots(promised.schema, "/result/structuredContent")
        return Unit(raw=raw, tree=tree, typed=typed, hold=True, final=True, told=told)

    def _hold_to_promise(self, tree: dict[str, object]) -> bool:
        """Put an error in the place of structured content that is not what the server promised.

        The call was executed, and that is its outcome: asked again, it is answered with the same error.
        """
        result = tree.get("result")
        if self._turn.promised is None or not isinstance(result, dict):
            return False
        said = cast("dict[str, object]", result)
        if "structuredContent" not in said or said.get("isError") is True:
            return False
        wrong = self._turn.promised.violation(said["structuredContent"])
        if wrong is None:
            return False
        text = f"oncegate: the tool was executed, but its result does not fit its accepted schema: {wrong}. {_KEPT_OUT}"
        kept = {name: value for name, value in said.items() if name in {"resultType", "_meta"}}
        tree["result"] = {"content": [{"type": "text", "text": text}], "isError": True, **kept}
        return True

    def _filter(self, member: str, tree: dict[str, object]) -> bool:
        """Leave the items this principal may use, and say that the list is its own."""
        result = tree.get("result")
        if not isinstance(result, dict):
            return False
        shown = cast("dict[str, object]", result)
        items = shown.get(member)
        if not isinstance(items, list):
            return False
        known = [cast("dict[str, object]", item) for item in cast("list[object]", items) if isinstance(item, dict)]
        shown[member] = [item for item in known if self._turn.may_list(self._turn.method, item)]
        if "cacheScope" in shown:
            shown["cacheScope"] = "private"
        return True
