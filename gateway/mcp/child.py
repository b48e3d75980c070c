"""One child process that speaks MCP over its standard streams: lines of JSON in, lines of JSON out.

Ids and progress tokens are replaced on the way in and put back on the way out, so that several clients
can share a process. Whatever belongs to no request waits for the session's GET stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY

from gateway import body
from gateway.call import NotSent, Sent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.mcp.account import Account

_log = logging.getLogger("oncegate.stdio")

LINE_BYTES_MAX: Final = 32 * 1024 * 1024
#: Messages kept for a session's GET stream; the oldest go first.
UNSOLICITED_MAX: Final = 1000
#: Messages of one request that wait to be read.
WAITING_MAX: Final = 10_000
#: How long a cancelled request may still be answered.
CANCELLED_SECONDS_MAX: Final = 2.0
_END_SECONDS: Final = 2.0
#: What tells of the server rather than of a request.
_OF_THE_SESSION: Final = frozenset({
    "notifications/resources/updated", "notifications/tools/list_changed", "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
})  # fmt: skip

Message = dict[str, object]


class Pending:
    """A request under way in the child; `messages` ends with `None` when the child has died."""

    def __init__(self, ident: object, token: object) -> None:
        self.ident = ident
        self.token = token
        self.messages: asyncio.Queue[Message | None] = asyncio.Queue()


class Child:
    """A running process. Start it with `start`; it ends by itself or by `end`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self._name = name
        self._process = process
        self._pending: dict[str, Pending] = {}
        self._number = 0
        self._unsolicited: deque[Message] = deque(maxlen=UNSOLICITED_MAX)
        self._arrival = asyncio.Event()
        self._writing = asyncio.Lock()
        self.alive = True
        #: whether it has ever answered a request
        self.answered = False
        self.used = asyncio.get_running_loop().time()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._drain_errors())]

    @classmethod
    async def start(
        cls, name: str, command: Sequence[str], environment: Mapping[str, str], account: Account | None = None
    ) -> Child:
        """Start the process, without a shell, as `account` where there is one. Raises `NotSent`."""
        switch: dict[str, object] = {}
        if account is not None:
            switch = {"user": account.uid, "group": account.gid, "extra_groups": sorted(account.groups)}
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                env=dict(environment), limit=LINE_BYTES_MAX, start_new_session=True, **switch,  # pyright: ignore[reportArgumentType] - as `subprocess.Popen` takes them
            )  # fmt: skip
        except (OSError, ValueError):
            raise NotSent(f"the command of server `{name}` could not be started") from None
        return cls(name, process)

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

    def _give_up(self, number: str) -> None:
        if (pending := self._pending.pop(number, None)) is not None:
            pending.messages.put_nowait(None)

    async def abandon(self, pending: Pending) -> None:
        """Stop waiting for a request; the child is told when it has not answered yet."""
        number = next((key for key, one in self._pending.items() if one is pending), None)
        if number is None or not self.alive:
            return
        del self._pending[number]
        cancelled: Message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}}
        with contextlib.suppress(NotSent, Sent):  # a child that is gone needs no telling
            await self._write(cancelled)

    async def next_unsolicited(self) -> Message | None:
        """Return the next message that belongs to no request, `None` when the child has died."""
        while not self._unsolicited:
            if not self.alive:
                return None
            self._arrival.clear()
            await self._arrival.wait()
        return self._unsolicited.popleft()

    async def end(self) -> None:
        """End the process: its input is closed, then it is told, then it is killed."""
        self.alive = False
        if self._process.stdin is not None:
            self._process.stdin.close()
        for stop in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _END_SECONDS)
            if self._process.returncode is not None:
                break
            self._signal(stop)
        await self._process.wait()
        self._signal(signal.SIGKILL)  # what it may have left behind
        for task in self._tasks:
            task.cancel()
        self._over()

    async def _write(self, message: Message) -> None:
        stream = self._process.stdin
        if not self.alive or stream is None or stream.is_closing():
            raise NotSent(f"the process of server `{self._name}` has ended")
        self.used = asyncio.get_running_loop().time()
        async with self._writing:
            stream.write(body.encode(message) + b"\n")
            try:
                await stream.drain()
            except (ConnectionError, RuntimeError):
                raise Sent(f"the process of server `{self._name}` ended while it was written to") from None

    async def _read(self) -> None:
        stream = cast("asyncio.StreamReader", self._process.stdout)
        while True:
            try:
                line = await stream.readline()
            except (ValueError, ConnectionError):
                _log.warning("server `%s` sent a line longer than %d bytes; it is ended", self._name, LINE_BYTES_MAX)
                break
            if not line:
                break
            self._take(line)
        self.alive = False
        self._signal(signal.SIGKILL)
        self._over()

    def _signal(self, number: signal.Signals) -> None:
        # the whole group: a launcher (npx, uvx) is not the server itself
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _hand(self, pending: Pending, message: Message) -> None:
        if pending.messages.qsize() >= WAITING_MAX:
            _log.warning("server `%s` sends more than is read; it is ended", self._name)
            self._signal(signal.SIGKILL)
            return
        pending.messages.put_nowait(message)

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            tree = body.parse(line)
        except body.MalformedBody:
            _log.warning("server `%s` sent a line that is no JSON; it is skipped", self._name)
            return
        if not isinstance(tree, dict):
            return
        message = cast("Message", tree)
        if "method" not in message:
            pending = self._pending.pop(str(message.get("id")), None)
            self.answered = True
            if pending is not None:
                self._hand(pending, message | {"id": pending.ident})
            return
        self._relay(message)

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
            # over stdio nothing says which request it belongs to; the newest one is the likeliest
            self._hand(next(reversed(self._pending.values())), message)
            return
        self._unsolicited.append(message)
        self._arrival.set()

    def _over(self) -> None:
        for pending in self._pending.values():
            pending.messages.put_nowait(None)
        self._pending.clear()
        self._arrival.set()

    async def _drain_errors(self) -> None:
        stream = cast("asyncio.StreamReader", self._process.stderr)
        while chunk := await stream.read(4096):
            # what a server writes there may hold its arguments: counted, and shown only when debugging
            _log.debug("server `%s` wrote %d bytes to its standard error", self._name, len(chunk))
