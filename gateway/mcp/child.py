"""One child process that speaks MCP over its standard streams: lines of JSON in, lines of JSON out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.call import NotSent, Sent
from gateway.mcp.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.mcp.account import Account
    from gateway.mcp.wire import Message

_log = logging.getLogger("oncegate.stdio")

LINE_BYTES_MAX: Final = 32 * 1024 * 1024
#: Of a line of standard error, where it is shown at all.
SHOWN_CHARACTERS_MAX: Final = 500
_END_SECONDS: Final = 2.0


class Child:
    """A running process. Start it with `start`; it ends by itself or by `end`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, *, show_errors: bool = False) -> None:
        self._name = name
        self._process = process
        self._show_errors = show_errors
        self._writing = asyncio.Lock()
        self.wire = Wire(name, self._write, lambda: self._signal(signal.SIGKILL))
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._drain_errors())]

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        account: Account | None = None,
        *,
        show_errors: bool = False,
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
        return cls(name, process, show_errors=show_errors)

    async def end(self) -> None:
        """End the process: its input is closed, then it is told, then it is killed."""
        self.wire.alive = False
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
        self.wire.over()

    async def _write(self, message: Message) -> None:
        stream = self._process.stdin
        if not self.wire.alive or stream is None or stream.is_closing():
            raise NotSent(f"the process of server `{self._name}` has ended")
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
        self._signal(signal.SIGKILL)
        if not self.wire.answered and self.wire.alive:
            hint = "" if self._show_errors else "; `stderr: log` shows what it says"
            _log.warning("server `%s` ended before it answered anything%s", self._name, hint)
        self.wire.over()

    def _signal(self, number: signal.Signals) -> None:
        # the whole group: a launcher (npx, uvx) is not the server itself
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            tree = body.parse(line)
        except body.MalformedBody:
            _log.warning("server `%s` sent a line that is no JSON; it is skipped", self._name)
            return
        if isinstance(tree, dict):
            self.wire.take(cast("Message", tree))

    async def _drain_errors(self) -> None:
        stream = cast("asyncio.StreamReader", self._process.stderr)
        while chunk := await stream.read(4096):
            # what a server writes there may hold its arguments: shown only where the file says so
            if not self._show_errors:
                _log.debug("server `%s` wrote %d bytes to its standard error", self._name, len(chunk))
                continue
            for line in chunk.decode("utf-8", "replace").splitlines():
                if line.strip():
                    _log.info("server `%s`: %s", self._name, _shown(line))


def _shown(line: str) -> str:
    """Return a line that can do nothing to a terminal or to the log's form."""
    kept = line[:SHOWN_CHARACTERS_MAX]
    return "".join(char if char.isprintable() else " " for char in kept)
