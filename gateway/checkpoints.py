"""Signs what the audit has come to: before this instance serves, every few seconds while it writes, at its end.

Each checkpoint goes to a file first (a witness outside the store), then into the chain, from where it is
exported with everything else. What is older than its retention goes under such a statement, never without.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Final

from durable.checkpoint import CheckpointInvalid, SigningKey, read_checkpoint
from durable.journal import JournalError
from durable.stamp import MICROSECONDS, now

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from durable.checkpoint import Checkpoint, Head
    from durable.store import Store
    from gateway.config import Config

_log = logging.getLogger("oncegate.audit")

#: What is written between two checkpoints can be cut off without a trace outside the store's own copies.
EVERY_SECONDS: Final = 10.0
#: Records deleted in one transaction, and the pause after it.
ROWS_MAX: Final = 500
PAUSE_SECONDS: Final = 0.05
_PRUNE_SECONDS: Final = 3600.0
#: how much of the file's end is read for its last line
_TAIL_BYTES: Final = 1024 * 1024


def signing_key_path(config: Config) -> Path:
    """Return where this instance's audit key lies: beside the state, apart from `secret_key`."""
    return config.state.path.with_name(config.state.path.name + ".audit-key")


class Checkpoints:
    """The checkpoints of one gateway process; `open` writes the first, `aclose` the last."""

    def __init__(self, store: Store, key: SigningKey, file: Path) -> None:
        self._store = store
        self._key = key
        self._file = file
        self._number = 0
        self._previous = ""
        #: this chain's length once the newest checkpoint was linked
        self._length = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._turn = asyncio.Lock()
        self.failures = 0

    @classmethod
    async def open(cls, store: Store, config: Config, sinks: Sequence[str]) -> Checkpoints:
        """Return them, the first one written. Raises `CheckpointInvalid`, `JournalUnavailable`."""
        key = await asyncio.to_thread(SigningKey.open, signing_key_path(config))
        made = cls(store, key, config.telemetry.checkpoints)
        try:
            await made.begin()
        except OSError as error:
            why = (error.strerror or "unknown").lower()
            raise CheckpointInvalid(f"`{made._file}`: checkpoints cannot be written there ({why})") from None
        made._tasks = [
            asyncio.create_task(made._keep()),
            asyncio.create_task(made._prune_daily(config.retention.audit_seconds, sinks)),
        ]
        return made

    async def begin(self) -> None:
        """Go on after the file's newest checkpoint, and write one that names every chain there is."""
        last = await asyncio.to_thread(_last, self._file, self._key.id)
        if last is not None:
            self._number, self._previous = last.number, last.digest
        await self.write(whole=True)

    async def write(self, *, whole: bool = False) -> Checkpoint | None:
        """Write a checkpoint, unless nothing has happened since the last; `whole` names every chain there is.

        Raises `OSError`, `JournalError`.
        """
        async with self._turn:
            store, chain = self._store, self._store.audit_chain
            heads = await store.audit_heads(None if whole else chain)
            head = heads.get(chain)
            if head is None or (not whole and head.number <= self._length):
                return None
            if not whole:
                live = {f"{one.id}/{one.epoch}" for one in await store.instances() if one.ended is None}
                for other in sorted(live - {chain}):
                    heads |= await store.audit_heads(other)
            signed = await self._signed("checkpoint", heads)
            await store.note_checkpoint(signed)
            after = (await store.audit_heads(chain)).get(chain, head)
            self._length = after.number
            return signed

    async def prune(self, seconds: float, sinks: Sequence[str]) -> int:
        """Delete records older than `seconds` that every sink has, under a signed statement; returns how many."""
        old = await self._store.prunable(now() - round(seconds * MICROSECONDS), sinks)
        if old:
            await self.anchor(old)
        total = 0
        while (done := await self._store.prune_audit(ROWS_MAX)) > 0:
            total += done
            await asyncio.sleep(PAUSE_SECONDS)
        return total

    async def anchor(self, heads: Mapping[str, Head]) -> None:
        """Sign that everything up to these heads may go."""
        async with self._turn:
            signed = await self._signed("pruned", heads)
            said = [{"event": "audit_pruned", "key": signed.key, "line": signed.line}]
            await self._store.anchor_audit(signed, said)

    async def aclose(self) -> None:
        """Write the last one."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._try()

    async def _signed(self, kind: str, heads: Mapping[str, Head]) -> Checkpoint:
        signed = self._key.sign(
            "pruned" if kind == "pruned" else "checkpoint", self._store.audit_chain, self._number + 1, self._previous,
            now(), heads,
        )  # fmt: skip
        await asyncio.to_thread(_append, self._file, signed.line)
        self._number, self._previous = signed.number, signed.digest
        return signed

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            await self._try()

    async def _try(self) -> None:
        try:
            await self.write()
        except (JournalError, OSError) as error:
            self.failures += 1
            _log.warning("no checkpoint of the audit could be written: %s", error)

    async def _prune_daily(self, seconds: float, sinks: Sequence[str]) -> None:
        while True:
            await asyncio.sleep(_PRUNE_SECONDS)
            try:
                await self.prune(seconds, sinks)
            except (JournalError, OSError) as error:
                _log.warning("the audit was not pruned: %s", error)


def _append(path: Path, line: str) -> None:
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a process that ended while it wrote has left half a line
                file.write(b"\n")
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _last(path: Path, key: str) -> Checkpoint | None:
    """Return the newest checkpoint of a key in a file; others share it, and a line may be half written."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    for line in reversed(lines):
        try:
            checkpoint = read_checkpoint(line)
        except CheckpointInvalid:
            continue
        if checkpoint.key == key:
            return checkpoint
    return None
