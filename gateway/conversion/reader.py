"""Reads a provider's answer in its own protocol and gives it as units of the client's.

What redaction, journal and replay see is the client's protocol; only what is read here is the provider's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, cast

from gateway import body
from gateway.call import Sent, header
from gateway.conversion.answers import completion_of, message_of
from gateway.conversion.carried import CannotCarry
from gateway.conversion.chat_stream import ChatStream, counted
from gateway.conversion.messages_stream import MessagesStream
from gateway.conversion.usage import chat_error, messages_error
from gateway.sse import EventSplitter, EventTooLong, read

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from gateway.call import AnswerReader, Headers, Unit, Verdict
    from gateway.conversion.carried import Tree
    from redaction.finding import Shape

_STREAM: Final = b"text/event-stream"
_JSON: Final = b"application/json"
_DONE: Final = b"[DONE]"


class _Stream(Protocol):
    usage: Tree

    def event(self, tree: Tree) -> bytes: ...

    def done(self) -> bytes: ...


class ConvertedReader:
    """An answer in another protocol for `inner`, the client's reader; see `of_messages` and `of_chat`."""

    def __init__(
        self, inner: AnswerReader, *, stream: _Stream, answer: Callable[[Tree], Tree],
        error: Callable[[int, object], Tree], request_id: tuple[bytes, bytes],
    ) -> None:  # fmt: skip
        self._inner = inner
        self._stream = stream
        self._answer = answer
        self._error = error
        self._request_id = request_id
        self._splitter: EventSplitter | None = None
        self._plain: list[bytes] = []
        self._status = 0

    @property
    def shape(self) -> Shape:
        """The client's."""
        return self._inner.shape

    def begin(self, status: int, headers: Headers) -> None:
        """Take the answer's head; only its media type and the name of its request id are the provider's."""
        self._status = status
        streams = (header(headers, b"content-type") or b"").startswith(_STREAM)
        self._splitter = EventSplitter() if streams else None
        theirs, ours = self._request_id
        kept = [(ours if name == theirs else name, value) for name, value in headers if name != b"content-type"]
        self._inner.begin(status, ((b"content-type", _STREAM if streams else _JSON), *kept))

    def feed(self, chunk: bytes) -> list[Unit]:
        """Return the client's units that `chunk` completes."""
        said = self._read(chunk)
        return self._inner.feed(said) if said else []

    def flows(self, chunk: bytes) -> bool:
        """Return false: all of it is said in other words."""
        del chunk
        return False

    def skim(self, chunk: bytes) -> list[Unit]:
        """Return what `feed` returns, those units that may leave at once joined."""
        said = self._read(chunk)
        return self._inner.skim(said) if said else []

    def end(self) -> list[Unit]:
        """Return the rest. Raises `Sent` when the answer is incomplete, or cannot be said."""
        try:
            if self._splitter is None:
                said = body.encode(self._whole(b"".join(self._plain)))
            elif self._splitter.rest().strip():
                raise Sent("the stream ended before its last event")
            else:
                said = self._stream.done()
        except CannotCarry as error:
            raise _unsaid(error) from None
        units = self._inner.feed(said) if said else []
        return [*units, *self._inner.end()]

    def encode(self, unit: Unit, tree: object) -> bytes:
        """Return `tree` framed like `unit`."""
        return self._inner.encode(unit, tree)

    def continuation(self, key: Hashable, text: str) -> Unit:
        """Return a unit that carries `text` for slot `key`."""
        return self._inner.continuation(key, text)

    def verdict(self) -> Verdict:
        """Say what the answer proves; usage is there whether or not the client asked to see it."""
        verdict = self._inner.verdict()
        if "usage" in verdict.meta or not self._stream.usage:
            return verdict
        return replace(verdict, meta={**verdict.meta, "usage": counted(self._stream.usage)})

    def _whole(self, raw: bytes) -> Tree:
        failed = self._status >= 400  # noqa: PLR2004 - RFC 9110 section 15.5
        try:
            tree = body.parse(raw)
        except body.MalformedBody:
            if not failed:
                raise Sent("the answer is not usable JSON") from None
            tree = raw.decode("utf-8", "replace")
        if failed:
            return self._error(self._status, tree)
        if not isinstance(tree, dict):
            raise Sent("the answer is not a JSON object")
        return self._answer(cast("Tree", tree))

    def _read(self, chunk: bytes) -> bytes:
        if self._splitter is None:
            self._plain.append(chunk)
            return b""
        try:
            return b"".join([self._event(one) for one in self._splitter.split(chunk)])
        except EventTooLong:
            raise Sent("an event of the stream is too long") from None
        except CannotCarry as error:
            raise _unsaid(error) from None

    def _event(self, raw: bytes) -> bytes:
        data = read(raw).data
        if data is None:
            return raw if raw.startswith(b":") else b""
        if data.strip() == _DONE:
            return self._stream.done()
        try:
            tree = body.parse(data)
        except body.MalformedBody:
            raise Sent("an event of the stream is not usable JSON") from None
        if not isinstance(tree, dict):
            raise Sent("an event of the stream is not a JSON object")
        return self._stream.event(cast("Tree", tree))


def of_messages(inner: AnswerReader, *, created: int, shows_usage: bool) -> ConvertedReader:
    """Return the reader of a messages answer for a client of the chat protocol.

    `created` is the completion's time, seconds since the epoch; `shows_usage` whether its stream shows usage.
    """
    return ConvertedReader(
        inner, stream=ChatStream(created=created, shows_usage=shows_usage),
        answer=lambda tree: completion_of(tree, created=created), error=chat_error,
        request_id=(b"request-id", b"x-request-id"),
    )  # fmt: skip


def of_chat(inner: AnswerReader) -> ConvertedReader:
    """Return the reader of a chat answer for a client of the messages protocol."""
    return ConvertedReader(
        inner, stream=MessagesStream(), answer=message_of, error=messages_error,
        request_id=(b"x-request-id", b"request-id"),
    )  # fmt: skip


def _unsaid(error: CannotCarry) -> Sent:
    return Sent(f"the answer cannot be said in the client's protocol: {error}")
