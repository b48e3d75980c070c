"""What the answers of all model APIs have in common: a body of JSON, or a stream of events that hold JSON.

A vendor's reader says what an event means; how bytes become events, what may leave unread, and what status and
end of an answer prove is the same for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, cast

from gateway import body, header_values
from gateway.budgets.estimate import sound
from gateway.call import Sent, Unit, Verdict, header
from gateway.definitions.slots import joined
from gateway.providers.objects import kept
from gateway.providers.provider import NOT_EXECUTED
from gateway.sse import EventSplitter, EventTooLong
from gateway.sse import read as read_event

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gateway.call import Headers
    from redaction.finding import Shape

#: After these nobody knows whether the request was executed (RFC 9110 sections 15.5.9, 15.5.10).
_UNKNOWN: Final = frozenset({408, 409})
_ERROR: Final = 400
_LONG: Final = "an event of the stream is too long"
_SERVER_ERROR: Final = 500


class ModelAnswer(ABC):
    """Units of one answer: the whole body, or one unit per stream event.

    After a status of `not_executed` it is known that nothing was executed; asking again asks the same. `origin` is
    whose the objects are that the answer hands out. `_kept` names the headers worth keeping for the agent; the rest
    belongs to the connection to the provider.
    """

    _kept: tuple[bytes, ...] = ()

    def __init__(self, *, shape: Shape, origin: str = "", not_executed: frozenset[int] = NOT_EXECUTED) -> None:
        self.shape = shape
        self._origin = origin
        self._not_executed = not_executed
        self._status = 0
        self._media = "application/json"
        self._headers: dict[str, str] = {}
        self._splitter: EventSplitter | None = None
        self._plain: list[bytes] = []
        #: nothing more may leave before the outcome is journaled
        self._holding = False
        #: the last event of the stream has come
        self._done = False
        self._failed = False
        self._usage: dict[str, int] = {}
        #: ids of objects the provider has made
        self._made: list[object] = []

    # -- what a vendor's reader says

    @abstractmethod
    def _read(self, raw: bytes, tree: dict[str, object]) -> tuple[Unit, ...]:
        """Return the units of the event `raw`, whose data is `tree`."""

    @abstractmethod
    def _note_whole(self, tree: dict[str, object]) -> tuple[tuple[str | int, ...], ...]:
        """Take note of a whole answer; returns the places in it that cannot be inspected."""

    def _flows(self, raw: bytes) -> bool:
        """Return whether the event `raw` says nothing but a piece of text, so that it may leave unread."""
        return self._flowing(raw, 0) == len(raw)

    def _flowing(self, content: bytes, begin: int) -> int:
        """Return where the events end that follow one another from `begin` and of which `_flows` is true."""
        del content
        return begin

    def _learn(self, units: tuple[Unit, ...]) -> None:
        """Take what an event that was read, and may leave, tells of those that may leave unread."""
        del units

    def _marker(self, raw: bytes, data: bytes) -> Unit | None:
        """Return the unit of an event whose data is no JSON by design, `None` when `data` is none of those."""
        del raw, data
        return None

    def _schemas(self, tree: dict[str, object]) -> Mapping[str, object]:
        """Return the schemas of what stands in a whole answer, by JSON pointer."""
        del tree
        return {}

    def _used(self) -> dict[str, int]:
        """Return the tokens used, in the gateway's words."""
        return self._usage

    def _reasons(self) -> list[str]:
        """Return why the answer ended."""
        return []

    def _handed_out(self) -> Iterable[object]:
        """Return ids of what the provider keeps of the answer."""
        return self._made

    def _failure(self) -> str:
        """Return why an answer of a good status proves nothing, empty when it does."""
        return ""

    def _complete(self) -> bool:
        """Return whether the stream has said all it has to."""
        return self._done

    def _page(self, text: str) -> dict[str, object]:
        """Return an error page as an error of the vendor's form."""
        return {"error": {"message": text, "type": "api_error"}}

    # -- the reader (`gateway.call.AnswerReader`)

    def begin(self, status: int, headers: Headers) -> None:
        """Take the answer's head; a stream is what says it is one."""
        self._status = status
        self._media = header_values.media(header(headers, b"content-type"))
        self._headers = {
            name.decode(): value.decode("latin-1")
            for name in self._kept
            if (value := header(headers, name)) is not None and header_values.passes(value)
        }
        if self._media.startswith("text/event-stream"):
            self._splitter = EventSplitter()

    def feed(self, chunk: bytes) -> list[Unit]:
        """Return the units of the events that `chunk` completes; nothing before the end of a plain body."""
        return [unit for raw in self._split(chunk) for unit in self._event(raw)]

    def flows(self, chunk: bytes) -> bool:
        """Return whether `chunk`, coming next, is whole events that may leave at once; nothing of it is to be kept."""
        if self._holding or self._splitter is None or self._splitter.begun:
            return False
        return self._flowing(chunk, 0) == len(chunk)

    def skim(self, chunk: bytes) -> list[Unit]:
        """Return what `feed` returns, those units that may leave at once joined to one without tree."""
        content = None if self._holding or self._splitter is None else self._splitter.joined(chunk)
        if content is None or self._splitter is None:
            return self._skimmed((raw, not self._holding and self._flows(raw)) for raw in self._split(chunk))
        return self._skimmed(self._cut(content, self._splitter))

    def _cut(self, content: bytes, splitter: EventSplitter) -> Iterator[tuple[bytes, bool]]:
        """Yield the events of `content` and whether they flow, those that do so in a row as one; keep the rest."""
        begin = 0
        while begin < len(content):
            end = begin if self._holding else self._flowing(content, begin)
            flows = end > begin
            if not flows:
                end = content.find(b"\n\n", begin) + 2
                if end == 1:
                    break
            raw = content[begin:end]
            yield raw, flows or (not self._holding and self._flows(raw))
            begin = end
        try:
            splitter.keep(content[begin:])
        except EventTooLong:
            raise Sent(_LONG) from None

    def _skimmed(self, events: Iterable[tuple[bytes, bool]]) -> list[Unit]:
        units: list[Unit] = []
        joined: list[bytes] = []
        for raw, flows in events:
            if flows:
                joined.append(raw)
                continue
            read = self._event(raw)
            if not any(unit.hold for unit in read):
                joined += [unit.raw for unit in read]
                self._learn(read)
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
        if self._failed or not self._complete() or self._splitter.rest().strip():
            raise Sent("the stream ended before its last event")
        return []

    def verdict(self) -> Verdict:
        """Say what the answer proves."""
        status, form = self._status, "body" if self._splitter is None else "frames"
        failed = status in _UNKNOWN or status >= _SERVER_ERROR
        if status in self._not_executed:
            kind, reason = "not_executed", f"upstream answered {status}"
        elif reason := f"upstream answered {status}" if failed else self._failure():
            kind = "unknown"
        else:
            kind = "outcome"
        return Verdict(kind=kind, form=form, status=status, media=self._media, reason=reason, meta=self._meta())

    # -- for the readers

    @property
    def _streams(self) -> bool:
        return self._splitter is not None

    def _meta(self) -> dict[str, object]:
        meta: dict[str, object] = {"headers": self._headers}
        if usage := self._used():
            meta["usage"] = {name: sound(count) for name, count in usage.items()}
        if reasons := self._reasons():
            meta["finish"] = reasons
        if self._status < _ERROR and (made := kept(self._handed_out())):
            meta["objects"] = {"origin": self._origin, "ids": made}
        return meta

    def _split(self, chunk: bytes) -> Iterable[bytes]:
        if self._splitter is None:
            self._plain.append(chunk)
            return ()
        try:
            return self._splitter.split(chunk)
        except EventTooLong:
            raise Sent(_LONG) from None

    def _event(self, raw: bytes) -> tuple[Unit, ...]:
        data = read_event(raw).data
        if data is None:
            return (Unit(raw=raw, hold=self._holding),)
        if (marker := self._marker(raw, data)) is not None:
            return (marker,)
        try:
            tree = body.parse(data)
        except body.MalformedBody:
            raise Sent("an event of the stream is not usable JSON") from None
        if not isinstance(tree, dict):
            raise Sent("an event of the stream is not a JSON object")
        return self._read(raw, cast("dict[str, object]", tree))

    def _whole(self, raw: bytes) -> Unit:
        try:
            tree: object = body.parse(raw)
        except body.MalformedBody:
            if self._status < _ERROR:  # an error page need not be JSON, an answer must
                raise Sent("the answer is not usable JSON") from None
            page = self._page(raw.decode("utf-8", "replace"))
            # what is no text (compressed, of another encoding) nobody has read
            blind = () if is_utf8(raw) else (("error", "message"),)
            return Unit(raw=raw, tree=page, blind=blind, hold=True, final=True)
        if not isinstance(tree, dict):
            return Unit(raw=raw, tree=tree, hold=True, final=True)
        whole = cast("dict[str, object]", tree)
        blind, typed = self._note_whole(whole), joined(self._schemas(whole))
        return Unit(raw=raw, tree=whole, typed=typed, blind=blind, hold=True, final=True)


def is_utf8(raw: bytes) -> bool:
    """Return whether `raw` is text."""
    if raw.isascii():
        return True
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def object_of(value: object) -> dict[str, object]:
    """Return `value` where it is an object, else an empty one."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def objects_of(value: object) -> list[dict[str, object]]:
    """Return the objects of a list, none where it is no list."""
    return [one for _, one in placed_objects(value)]


def placed_objects(value: object) -> list[tuple[int, dict[str, object]]]:
    """Return the objects of a list, each with its index in it, none where it is no list."""
    items = enumerate(cast("list[object]", value) if isinstance(value, list) else ())
    return [(place, cast("dict[str, object]", item)) for place, item in items if isinstance(item, dict)]
