"""Requests of several clients over one line to a server, told apart by ids of the gateway's own.

Ids and progress tokens are replaced on the way in and put back on the way out. Whatever belongs to no
request waits for the session's GET stream. The line itself (a process, a stream and its POSTs) is another's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY

from gateway.call import NotSent, Sent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_log = logging.getLogger("oncegate.mcp")

#: Messages kept for a session's GET stream; the oldest go first.
UNSOLICITED_MAX: Final = 1000
#: Messages of one request that wait to be read.
WAITING_MAX: Final = 10_000
#: How long a cancelled request may still be answered.
CANCELLED_SECONDS_MAX: Final = 2.0
#: How long a server may take to hear that nobody waits for its answer any more.
TELL_SECONDS_MAX: Final = 2.0
#: What tells of the server rather than of a request.
_OF_THE_SESSION: Final = frozenset({
    "notifications/resources/updated", "notifications/tools/list_changed", "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
})  # fmt: skip

Message = dict[str, object]


class Pending:
    """A request under way; `messages` ends with `None` when the line has ended."""

    def __init__(self, ident: object, token: object) -> None:
        self.ident = ident
        self.token = token
        self.messages: asyncio.Queue[Message | None] = asyncio.Queue()


class Wire:
    """One line. `write` sends a message (raises `NotSent`, `Sent`), `end` drops a server that sends too much."""

    def __init__(self, name: str, write: Callable[[Message], Awaitable[None]], end: Callable[[], None]) -> None:
        self._name = name
        self._write_on = write
        self._end = end
        self._pending: dict[str, Pending] = {}
        self._number = 0
        self._unsolicited: deque[Message] = deque(maxlen=UNSOLICITED_MAX)
        self._arrival = asyncio.Event()
        self.alive = True
        #: whether a request was ever answered
        self.answered = False
        self.used = asyncio.get_running_loop().time()

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return bool(self._pending)

    async def ask(self, message: Message) -> Pending:
        """Send a request; its messages come to the `Pending`. Raises `NotSent`, `Sent`."""
        self._number += 1
        number = f"g{self._number}"
        params = message.get("params")
        token: object = None
        sent = message | {"id": number}
        if isinstance(params, dict):
            meta = cast("Message", params).get("_meta")
            if isinstance(meta, dict) and "progressToken" in meta:
                token = cast("Message", meta)["progressToken"]
                sent["params"] = cast("Message", params) | {"_meta": cast("Message", meta) | {"progressToken": number}}
        pending = self._pending[number] = Pending(message.get("id"), token)
        try:
            await self._write(sent)
        except BaseException:
            self._pending.pop(number, None)
            raise
        return pending

    async def tell(self, message: Message) -> None:
        """Send a notification or a response. Raises `NotSent`, `Sent`."""
        if message.get("method") == "notifications/cancelled":
            params = cast("Message", message.get("params") or {})
            number = next((key for key, one in self._pending.items() if one.ident == params.get("requestId")), None)
            if number is None:
                return  # of a request that is over
            message = message | {"params": params | {"requestId": number}}
            # a server that honours it answers no more (MCP cancellation); nobody waits for that for ever
            asyncio.get_running_loop().call_later(CANCELLED_SECONDS_MAX, self._give_up, number)
        await self._write(message)

    async def abandon(self, pending: Pending) -> None:
        """Stop waiting for a request; the server is told when it has not answered yet."""
        number = next((key for key, one in self._pending.items() if one is pending), None)
        if number is None or not self.alive:
            return
        del self._pending[number]
        cancelled: Message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}}
        # a server that is gone needs no telling, and nobody who has stopped waiting waits for one that hangs
        with contextlib.suppress(NotSent, Sent, TimeoutError):
            async with asyncio.timeout(TELL_SECONDS_MAX):
                await self._write(cancelled)

    async def next_unsolicited(self) -> Message | None:
        """Return the next message that belongs to no request, `None` when the line has ended."""
        while not self._unsolicited:
            if not self.alive:
                return None
            self._arrival.clear()
            await self._arrival.wait()
        return self._unsolicited.popleft()

    def take(self, message: Message) -> None:
        """Give a message of the server to whom it belongs."""
        if "method" not in message:
            pending = self._pending.pop(str(message.get("id")), None)
            self.answered = True
            if pending is not None:
                self._hand(pending, message | {"id": pending.ident})
            return
        self._relay(message)

    def over(self) -> None:
        """Take the end of the line."""
        self.alive = False
        for pending in self._pending.values():
            pending.messages.put_nowait(None)
        self._pending.clear()
        self._arrival.set()

    async def _write(self, message: Message) -> None:
        self.used = asyncio.get_running_loop().time()
        await self._write_on(message)

    def _give_up(self, number: str) -> None:
        if (pending := self._pending.pop(number, None)) is not None:
            pending.messages.put_nowait(None)

    def _hand(self, pending: Pending, message: Message) -> None:
        if pending.messages.qsize() >= WAITING_MAX:
            _log.warning("server `%s` sends more than is read; it is ended", self._name)
            self._end()
            return
        pending.messages.put_nowait(message)

    def _relay(self, message: Message) -> None:
        params = message.get("params")
        named = cast("Message", params) if isinstance(params, dict) else {}
        if message.get("method") == "notifications/progress":
            pending = self._pending.get(str(named.get("progressToken")))
            if pending is not None:
                self._hand(pending, message | {"params": named | {"progressToken": pending.token}})
            return
        meta = named.get("_meta")
        listening = cast("Message", meta).get(SUBSCRIPTION_ID_META_KEY) if isinstance(meta, dict) else None
        if listening is not None:
            if (pending := self._pending.get(str(listening))) is not None:
                tagged = cast("Message", meta) | {SUBSCRIPTION_ID_META_KEY: pending.ident}
                self._hand(pending, message | {"params": named | {"_meta": tagged}})
            return
        if self._pending and message.get("method") not in _OF_THE_SESSION:
            # nothing says which request it belongs to; the newest one is the likeliest
            self._hand(next(reversed(self._pending.values())), message)
            return
        self._unsolicited.append(message)
        self._arrival.set()
