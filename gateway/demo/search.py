"""Looks for planted values in what the gateway wrote: files as they are, and the journal's answers decrypted."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from durable.records import CallFilter
from durable.seal import Keyring
from durable.sqlite import open_sqlite
from gateway.config import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ROWS_MAX: Final = 10_000


def find_raw(config: Path, files: list[Path], planted: Mapping[str, str]) -> list[str]:
    """Return where which planted value (by its name) stands in the clear.

    Searched are the journal's files, `files`, and from a copy of the journal every outcome and run result,
    decrypted. The gateway must have ended.
    """
    read = load(config)
    keyring = Keyring(tuple(key.read_key() for key in read.secret_keys))
    wanted = [(name, form) for name, value in planted.items() for form in _forms(value)]
    contents = [*_files([*_journal(read.state.path), *files]), *asyncio.run(_bodies(read.state.path, keyring))]
    return sorted({f"{name} in {place}" for place, content in contents for name, form in wanted if form in content})


async def _bodies(path: Path, keyring: Keyring) -> list[tuple[str, bytes]]:
    # opening a journal begins an epoch, which writes: a copy leaves the original as the gateway left it
    with tempfile.TemporaryDirectory(prefix="oncegate-search-") as folder:
        for file in _journal(path):
            if file.exists():
                shutil.copyfile(file, Path(folder) / file.name)
        journal = await open_sqlite(Path(folder) / path.name, keyring=keyring)
        try:
            calls = await journal.list_calls(CallFilter(limit=_ROWS_MAX))
            runs = await journal.list_runs(limit=_ROWS_MAX, agent=None, state=None)
            outcomes = [(call.id, await journal.read_outcome(call.id)) for call in calls]
            return [
                *((f"the outcome of {name}", outcome.body) for name, outcome in outcomes if outcome is not None),
                *((f"the result of {run.id}", run.result or b"") for run in runs),
            ]
        finally:
            await journal.aclose()


def _forms(value: str) -> set[bytes]:
    """Return how a value may be written: as it is, without its spaces, as UTF-16."""
    return {value.encode(), value.replace(" ", "").encode(), value.encode("utf-16-le")}


def _journal(path: Path) -> list[Path]:
    return [path, path.with_name(path.name + "-wal")]


def _files(paths: list[Path]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        if path.exists():
            yield path.name, path.read_bytes()
