"""Answers as messages, and messages as answers: what the bridge between the eras speaks with on either side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.call import Sent, header
from gateway.sse import EventSplitter, EventTooLong, event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from gateway.call import Headers, UpstreamResponse

Tree = dict[str, object]

STREAM: Final[Headers] = ((b"content-type", b"text/event-stream"),)
JSON: Final[Headers] = ((b"content-type", b"application/json"),)
#: Says that a stream is open.
OPEN: Final = b": open\n\n"
#: An answer that is read whole before it is passed on.
WHOLE_BYTES_MAX: Final = 16 * 1024 * 1024


@dataclass(slots=True, kw_only=True)
class Spoken:
    """An answer made here; `messages` are framed as a stream, `content` is sent as it is."""

    status: int = 200
    headers: Headers = STREAM
    messages: AsyncGenerator[Tree] | None = None
    content: bytes = b""
    #: what has to be let go of when nobody reads on
    ended: Callable[[], Awaitable[None]] | None = field(default=None)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the answer's bytes."""
        if self.content:
            yield self.content
        if self.messages is not None:
            async for message in self.messages:
                # an empty message stands for a comment: the stream is open, and nothing has happened yet
                yield event(body.encode(message), name="message") if message else OPEN

    async def aclose(self) -> None:
        """End it."""
        if self.messages is not None:
            await self.messages.aclose()
        if self.ended is not None:
            await self.ended()


def plain(message: Tree, *, status: int = 200, headers: Headers = ()) -> Spoken:
    """Return one message as a whole answer."""
    return Spoken(status=status, headers=(*JSON, *headers), content=body.encode(message))


def nothing(status: int, headers: Headers = ()) -> Spoken:
    """Return an answer without a body."""
    return Spoken(status=status, headers=headers)


def result_of(ident: object, result: Tree) -> Tree:
    """Return a response."""
    return {"jsonrpc": "2.0", "id": ident, "result": result}


def error_of(ident: object, code: int, message: str, data: object = None) -> Tree:
    """Return an error response."""
    error: Tree = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": ident, "error": error}


async def whole(response: UpstreamResponse, *, bytes_max: int = WHOLE_BYTES_MAX) -> bytes:
    """Return an answer's whole body and end it. Raises `Sent`."""
    parts: list[bytes] = []
    size = 0
    try:
        async for part in response.chunks():
            size += len(part)
            if size > bytes_max:
                raise Sent(f"the answer is longer than {bytes_max} bytes")
            parts.append(part)
    finally:
        await response.aclose()
    return b"".join(parts)


async def messages_of(response: UpstreamResponse) -> AsyncGenerator[Tree]:
    """Yield the messages of an answer, stream or not; the caller ends it. Raises `Sent`."""
    if not (header(response.headers, b"content-type") or b"").startswith(b"text/event-stream"):
        content = await whole(response)
        if content.strip():
            yield message_in(content)
        return
    splitter = EventSplitter()
    async for part in response.chunks():
        try:
            events = splitter.feed(part)
        except EventTooLong:
            raise Sent("an event of the stream is too long") from None
        for one in events:
            if one.data is not None and one.data.strip():
                yield message_in(one.data)


def message_in(content: bytes) -> Tree:
    """Return the JSON-RPC message in `content`. Raises `Sent`."""
    try:
        tree = body.parse(content)
    except body.MalformedBody:
        raise Sent("the server's answer is not usable JSON") from None
    if not isinstance(tree, dict):
        raise Sent("the server's answer is no JSON-RPC message")
    return cast("Tree", tree)


def params_of(message: Tree) -> Tree:
    """Return a message's params, empty where there are none."""
    found = message.get("params")
    return cast("Tree", found) if isinstance(found, dict) else {}


def meta_of(params: Tree) -> Tree:
    """Return the `_meta` of params or of a result, empty where there is none."""
    found = params.get("_meta")
    return cast("Tree", found) if isinstance(found, dict) else {}


def member(tree: Tree, name: str) -> Tree:
    """Return an object member, empty where there is none."""
    found = tree.get(name)
    return cast("Tree", found) if isinstance(found, dict) else {}
