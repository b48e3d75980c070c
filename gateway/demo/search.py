"""Looks for planted values in everything the gateway wrote: files as they are, and the journal's bodies decrypted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable.contents import read_bodies
from durable.seal import Keyring
from gateway.config import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def find_raw(config: Path, files: list[Path], planted: Mapping[str, str]) -> list[str]:
    """Return where which planted value (by its name) stands in the clear; the vault alone is left out.

    The gateway must have ended: its journal is read whole.
    """
    read = load(config)
    keyring = Keyring(tuple(key.read_key() for key in read.secret_keys))
    wanted = [(name, form) for name, value in planted.items() for form in _forms(value)]
    return [
        f"{name} in {place}"
        for place, content in (*_files([read.state.path, *_beside(read.state.path), *files]),
                               *read_bodies(read.state.path, keyring))
        for name, form in wanted
        if form in content
    ]  # fmt: skip


def _forms(value: str) -> set[bytes]:
    """Return how a value may be written: as it is, without its spaces, as UTF-16."""
    return {value.encode(), value.replace(" ", "").encode(), value.encode("utf-16-le")}


def _beside(database: Path) -> list[Path]:
    return [database.with_name(database.name + ending) for ending in ("-wal", "-journal")]


def _files(paths: list[Path]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        if path.exists():
            yield path.name, path.read_bytes()
