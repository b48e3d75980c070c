"""Reads an answer of `/v1/responses`, plain or streamed, as it arrives (OpenAI API reference, responses streaming).

A stream says everything more than once: pieces of a text, the text, the part, the item, the response. The
pieces are slots; what repeats them is walked whole. One segmenter serves both, so they come out the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.call import Sent, Slot, Unit, Verdict, header
from gateway.protocols.openai_responses_events import FINAL, acted_on, blind_places, flat_text, flows, slots_of
from gateway.protocols.openai_responses_shape import answer_shape
from gateway.providers.objects import kept
from gateway.providers.provider import NOT_EXECUTED
from gateway.sse import EventSplitter, EventTooLong
from gateway.sse import event as sse_event
from gateway.sse import read as read_event

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from gateway.call import Headers
    from gateway.protocols.openai_responses_events import SlotKey
    from redaction.finding import Shape

_KEPT_HEADERS: Final = (b"retry-after", b"retry-after-ms", b"x-request-id", b"openai-processing-ms")
_UNKNOWN: Final = frozenset({408, 409})
_SERVER_ERROR: Final = 500
_ERROR: Final = 400
#: What of an event belongs to its own piece of a text.
_PIECES: Final = frozenset({"delta", "obfuscation", "logprobs"})
#: Codes of a failed response that say nothing about the request: the provider could not, this time.
_TRANSIENT: Final = frozenset({"server_error", "rate_limit_exceeded", "vector_store_timeout"})


class ResponsesReader:
    """Units of one answer: the whole body, or one unit per stream event."""

    def __init__(
        self, request: object = None, *, origin: str = "", not_executed: frozenset[int] = NOT_EXECUTED
    ) -> None:
        self.shape: Shape = answer_shape(request)
        self._origin = origin
        self._not_executed = not_executed
        self._status = 0
        self._media = "application/json"
        self._headers: dict[str, str] = {}
        self._splitter: EventSplitter | None = None
        self._plain: list[bytes] = []
        self._holding = self._done = self._failed = False
        self._last: dict[SlotKey, dict[str, object]] = {}
        self._open: set[SlotKey] = set()
        self._sequence = 0
        self._response: dict[str, object] = {}
        self._items: dict[int, dict[str, object]] = {}

    def begin(self, status: int, headers: Headers) -> None:
        """Take the answer's head; a stream is what says it is one."""
        self._status = status
        self._media = (header(headers, b"content-type") or b"application/json").decode("latin-1")
        self._headers = {
            name.decode(): value.decode("latin-1")
            for name in _KEPT_HEADERS
            if (value := header(headers, name)) is not None
        }
        if self._media.startswith("text/event-stream"):
            self._splitter = EventSplitter()

    def feed(self, chunk: bytes) -> list[Unit]:
        """Return the stream events that `chunk` completes; nothing before the end of a plain body."""
        return [unit for raw in self._split(chunk) for unit in self._event(raw)]

    def skim(self, chunk: bytes) -> list[Unit]:
        """Return what `feed` returns, those units that may leave at once joined to one without tree."""
        units: list[Unit] = []
        joined: list[bytes] = []
        for raw in self._split(chunk):
            read = () if not self._holding and flat_text(raw) else self._event(raw)
            if not any(unit.hold for unit in read):
                joined.append(raw)
                continue
            if joined:
                units.append(Unit(raw=b"".join(joined)))
                joined = []
            units += read
        if joined:
            units.append(Unit(raw=b"".join(joined)))
        return units

    def end(self) -> list[Unit]:
        """Return the whole body of a plain answer. Raises `Sent` when a stream ended before its end."""
        if self._splitter is None:
            return [self._whole(b"".join(self._plain))]
        if self._failed or not self._done or self._splitter.rest().strip():
            raise Sent("the stream ended before its last event")
        return []

    def encode(self, unit: Unit, tree: object) -> bytes:
        """Return `tree` framed like `unit`."""
        del unit
        encoded = body.encode(tree)
        if self._splitter is None:
            return encoded
        name = cast("dict[str, object]", tree).get("type") if isinstance(tree, dict) else None
        return sse_event(encoded, name=name if isinstance(name, str) else "")

    def continuation(self, key: Hashable, text: str) -> Unit:
        """Return an event like the slot's last one that carries `text` only."""
        known = cast("SlotKey", key)
        path = ("delta", known.field) if known.field else ("delta",)
        # none of its own: what is left of a text has no number in the provider's count
        tree = {**self._last[known], "sequence_number": self._sequence}
        tree["delta"] = {known.field: text} if known.field else text
        slot = Slot(key, path, "json" if known.is_json else "text")
        return Unit(raw=self.encode(Unit(raw=b""), tree), tree=tree, slots=(slot,), hold=self._holding)

    def verdict(self) -> Verdict:
        """Say what the answer proves. A response that failed for the provider's own reasons proves nothing."""
        status, form = self._status, "body" if self._splitter is None else "frames"
        meta = self._meta()
        if status in self._not_executed:
            return Verdict(kind="not_executed", form=form, status=status, media=self._media,
                           reason=f"upstream answered {status}", meta=meta)  # fmt: skip
        reason = f"upstream answered {status}" if status in _UNKNOWN or status >= _SERVER_ERROR else self._failure()
        if reason:
            return Verdict(kind="unknown", form=form, status=status, media=self._media, reason=reason, meta=meta)
        return Verdict(kind="outcome", form=form, status=status, media=self._media, meta=meta)

    def output(self) -> list[dict[str, object]]:
        """Return the items of the answer, whole."""
        whole = _objects(self._response.get("output"))
        return whole or [self._items[place] for place in sorted(self._items)]

    # -- inside

    def _split(self, chunk: bytes) -> Iterator[bytes]:
        if self._splitter is None:
            self._plain.append(chunk)
            return
        try:
            yield from self._splitter.split(chunk)
        except EventTooLong:
            raise Sent("an event of the stream is too long") from None

    def _whole(self, raw: bytes) -> Unit:
        try:
            tree: object = body.parse(raw)
        except body.MalformedBody:
            if self._status < _ERROR:  # an error page need not be JSON, a response must
                raise Sent("the answer is not usable JSON") from None
            return Unit(raw=raw, tree={"error": {"message": raw.decode("utf-8", "replace"), "type": "api_error"}},
                        hold=True, final=True)  # fmt: skip
        blind: tuple[tuple[str | int, ...], ...] = ()
        if isinstance(tree, dict):
            self._response = cast("dict[str, object]", tree)
            blind = blind_places(self._response)
        return Unit(raw=raw, tree=cast("object", tree), blind=blind, hold=True, final=True)

    def _event(self, raw: bytes) -> tuple[Unit, ...]:
        data = read_event(raw).data
        if data is None:
            return (Unit(raw=raw, hold=self._holding),)
        if data.strip() == b"[DONE]":
            return (Unit(raw=raw, closes=self._closed_all(), hold=True),)
        try:
            tree = body.parse(data)
        except body.MalformedBody:
            raise Sent("an event of the stream is not usable JSON") from None
        if not isinstance(tree, dict):
            raise Sent("an event of the stream is not a JSON object")
        return self._read(raw, cast("dict[str, object]", tree))

    def _read(self, raw: bytes, tree: dict[str, object]) -> tuple[Unit, ...]:
        kind = tree.get("type")
        if kind == "error" or "error" in tree or not isinstance(kind, str):
            self._failed = self._holding = True
            return (Unit(raw=raw, tree=tree, hold=True),)
        if isinstance(number := tree.get("sequence_number"), int):
            self._sequence = number
        self._note(kind, tree)
        slots = slots_of(kind, tree)
        for slot in slots:
            key = cast("SlotKey", slot.key)
            self._open.add(key)
            self._last[key] = {name: value for name, value in tree.items() if name not in _PIECES}
        unit = Unit(raw=raw, tree=tree, slots=slots, blind=blind_places(tree, kind), hold=self._holding)
        closes = self._closed(kind, tree)
        # what is left of a text goes out before the event that says it is over, which is then walked whole
        return (Unit(raw=b"", closes=closes, hold=self._holding), unit) if closes else (unit,)

    def _note(self, kind: str, tree: dict[str, object]) -> None:
        """Take note of what an event says about the answer, and whether anything may leave after it."""
        response, place = tree.get("response"), tree.get("output_index")
        acted = "item" in tree and acted_on(tree["item"])
        if kind == "response.output_item.done" and isinstance(place, int) and isinstance(tree.get("item"), dict):
            self._items[place] = cast("dict[str, object]", tree["item"])
        if isinstance(response, dict):
            self._response = cast("dict[str, object]", response)
            output = self._response.get("output")
            acted = acted or (isinstance(output, list) and any(map(acted_on, cast("list[object]", output))))
        self._done = self._done or kind in FINAL
        # a tool call may be acted on as soon as it parses: nothing of it leaves before the journal has it
        self._holding = self._holding or acted or self._done or not flows(kind)

    def _closed(self, kind: str, tree: dict[str, object]) -> tuple[Hashable, ...]:
        closed = [key for key in self._open if key.ended_by(kind, tree)]
        for key in closed:
            self._open.remove(key)
        return tuple(closed)

    def _closed_all(self) -> tuple[Hashable, ...]:
        closed, self._open = tuple(self._open), set()
        return closed

    def _meta(self) -> dict[str, object]:
        meta: dict[str, object] = {"headers": self._headers}
        if usage := _usage(self._response):
            meta["usage"] = usage
        if isinstance(status := self._response.get("status"), str):
            details = self._response.get("incomplete_details")
            reason = cast("dict[str, object]", details).get("reason") if isinstance(details, dict) else None
            meta["finish"] = [reason if isinstance(reason, str) else status]
        made = kept(_made(self._response, self.output()))
        if made and self._status < _ERROR:
            meta["objects"] = {"origin": self._origin, "ids": made}
        return meta

    def _failure(self) -> str:
        error = self._response.get("error")
        if self._response.get("status") != "failed" or not isinstance(error, dict):
            return ""
        code = cast("dict[str, object]", error).get("code")
        return f"the response failed with `{code}`" if code in _TRANSIENT else ""


def _usage(response: dict[str, object]) -> dict[str, int]:
    usage = response.get("usage")
    if not isinstance(usage, dict):
        return {}
    named = cast("dict[str, object]", usage)
    found = {name: count for name in ("input_tokens", "output_tokens") if isinstance(count := named.get(name), int)}
    details = named.get("input_tokens_details")
    cached = cast("dict[str, object]", details).get("cached_tokens") if isinstance(details, dict) else None
    return {**found, "cached_input_tokens": cached} if isinstance(cached, int) else found


def _made(response: dict[str, object], output: list[dict[str, object]]) -> Iterator[object]:
    """Yield the ids of what the provider keeps of an answer: itself, its items, containers and their files."""
    yield response.get("id")
    for item in output:
        yield item.get("id")
        yield item.get("container_id")
        for part in _objects(item.get("content")):
            for note in _objects(part.get("annotations")):
                yield note.get("container_id")
                yield note.get("file_id")


def _objects(value: object) -> list[dict[str, object]]:
    if not isinstance(value, list):
        return []
    return [cast("dict[str, object]", item) for item in cast("list[object]", value) if isinstance(item, dict)]
