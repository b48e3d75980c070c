"""Server-sent events, split and joined without changing a byte that need not change (WHATWG HTML 9.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: An event longer than this is not forwarded piece by piece; the stream is treated as broken.
EVENT_BYTES_MAX = 16 * 1024 * 1024
#: The name of an event as the protocols give it.
_NAME: Final = "[A-Za-z_][A-Za-z_.]{0,63}"
#: A line of an event beside its data and such a name: a comment, an id, a time, a field that nobody knows.
_BESIDE: Final = re.compile(
    rb"(?:\A|(?<=[\r\n]))(?!data[:\r\n]|event: ?" + _NAME.encode() + rb"[\r\n])[^\r\n]+(?:\r\n|\r|\n|\Z)"
)
#: Above this an event that has not ended is not looked at again from its beginning with every chunk.
_JOINED_BYTES_MAX: Final = 64 * 1024


class EventTooLong(Exception):  # noqa: N818 - says what is wrong with the stream
    """One event exceeds `EVENT_BYTES_MAX`."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its bytes as they came with the blank line, and its fields.

    `data` is the data lines joined by a newline, `None` when the event has none (comments, pings).
    """

    raw: bytes
    data: bytes | None
    name: str = ""
    id: str | None = None


#: Ends of an event; those with CR are looked for only where there is one.
_USUAL_MARKS: Final = (b"\n\n",)
_MARKS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")


class EventSplitter:
    """Cuts a byte stream into events wherever the chunks are cut; line ends LF, CRLF and CR."""

    def __init__(self) -> None:
        self._buffer = b""
        self._scanned = 0

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events completed by `chunk`. Raises `EventTooLong`."""
        return [read(raw) for raw in self.split(chunk)]

    def split(self, chunk: bytes) -> list[bytes]:
        """Return the bytes of the events completed by `chunk`, for `read`. Raises `EventTooLong`."""
        buffer = self._buffer + chunk if self._buffer else chunk
        marks = _MARKS if b"\r" in buffer else _USUAL_MARKS
        events: list[bytes] = []
        begin, scan = 0, self._scanned
        while (end := _end_of_event(buffer, scan, marks)) is not None:
            events.append(buffer[begin:end])
            begin = scan = end
        self._buffer = buffer[begin:]
        self._scanned = max(0, len(self._buffer) - 3)  # a blank line may be cut in its middle
        if len(self._buffer) > EVENT_BYTES_MAX:
            raise EventTooLong
        return events

    def joined(self, chunk: bytes) -> bytes | None:
        """Return what has arrived and not been split, `chunk` with it, for a reader that finds the ends itself.

        It is the reader's from then on, who gives back what is left (`keep`). `None`, with nothing taken, where
        that is not sound or not cheap: lines may end in CR, or an event that is long has not ended.
        """
        if b"\r" in chunk or b"\r" in self._buffer or len(self._buffer) > _JOINED_BYTES_MAX:
            return None
        content, self._buffer, self._scanned = self._buffer + chunk, b"", 0
        return content

    def keep(self, rest: bytes) -> None:
        """Take back what is left of `joined`, which ends in no whole event. Raises `EventTooLong`."""
        self._buffer = rest
        self._scanned = max(0, len(rest) - 3)
        if len(rest) > EVENT_BYTES_MAX:
            raise EventTooLong

    @property
    def begun(self) -> bool:
        """Whether a part of an event has arrived."""
        return bool(self._buffer)

    def rest(self) -> bytes:
        """Return what has arrived of an event that has not ended."""
        return self._buffer


def event(data: bytes, *, name: str = "", event_id: str | None = None) -> bytes:
    """Return the bytes of one event; `data` must hold no line end (JSON never needs one)."""
    head = f"event: {name}\n".encode() if name else b""
    if event_id is not None:
        head += f"id: {event_id}\n".encode()
    return head + b"data: " + data + b"\n\n"


def says_more(raw: bytes) -> bool:
    """Return whether the bytes of an event, or of a body of JSON, say more than its data and a plain name do."""
    if raw.startswith(b"data: ") and raw.count(b"\n") == 2 and b"\r" not in raw:  # noqa: PLR2004 - the usual form
        return False
    if raw[:1] in {b"{", b"["} and b"\ndata" not in raw and b"\rdata" not in raw:
        return False  # no line of a body begins so
    return _BESIDE.search(raw) is not None


def bare(raw: bytes) -> bytes:
    """Return the bytes of an event without what `says_more` tells of."""
    return _BESIDE.sub(b"", raw)


def plain_name(name: str) -> str:
    """Return the name of an event where it is one as the protocols give it, else none."""
    return name if re.fullmatch(_NAME, name) else ""


def _end_of_event(buffer: bytes, start: int, marks: tuple[bytes, ...]) -> int | None:
    if marks is _USUAL_MARKS:
        at = buffer.find(b"\n\n", start)
        return None if at < 0 else at + 2
    ends = [at + len(mark) for mark in marks if (at := buffer.find(mark, start)) >= 0]
    return min(ends) if ends else None


def read(raw: bytes) -> Event:
    """Return the fields of one event's bytes."""
    if raw.startswith(b"data: ") and raw.count(b"\n") == 2 and b"\r" not in raw:  # noqa: PLR2004 - the usual form
        return Event(raw, raw[6:-2])
    data: list[bytes] = []
    name, event_id = "", None
    for line in raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
        elif field == b"id":
            event_id = value.decode("utf-8", "replace")
    return Event(raw, b"\n".join(data) if data else None, name, event_id)
