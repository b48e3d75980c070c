"""Adding a key to a keys file that people edit too: their text stays, one entry is added, or nothing is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from typing import TYPE_CHECKING, Final

from gateway.config.problems import ConfigInvalid, Problem
from gateway.identity.api_keys import read_keys

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

_KEYS_LINE: Final = re.compile(r"^keys:[ \t]*(\{[ \t]*\}|~|null)?[ \t]*(#[^\n]*)?$", re.MULTILINE)
EMPTY: Final = """\
# API keys of agents, hashed. `oncegate token create` adds one; take an entry out to revoke its key.
version: 1
keys:
"""


def add_key(path: Path, domains: frozenset[str], name: str, members: Mapping[str, str]) -> None:
    """Add the key `name` to the file at `path`, which speaks for `domains`; made with mode 0600 when absent.

    `members` are the entry's settings as YAML text. Raises `ConfigInvalid`, `OSError`.
    """
    with _locked(path) as text:
        entry = f"  {name}:\n" + "".join(f"    {key}: {value}\n" for key, value in members.items())
        beside = path.with_name(f".{path.name}.new")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(_with_entry(text, entry, path))
                file.flush()
                os.fsync(file.fileno())
            # what was written is read as the gateway will read it, before it takes the file's place
            read_keys(beside, str(path), domains)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def _with_entry(text: str, entry: str, path: Path) -> str:
    found = _KEYS_LINE.search(text)
    if found is not None:
        comment = f"  {found.group(2)}" if found.group(2) else ""
        return f"{text[: found.start()]}keys:{comment}\n{entry.rstrip()}{text[found.end() :]}"
    if re.search(r"^keys:", text, re.MULTILINE):
        line = text[: text.index("keys:")].count("\n") + 1
        raise ConfigInvalid([Problem(str(path), line, "expected `keys:` on a line of its own, to add a key below it")])
    return f"{text.rstrip()}\nkeys:\n{entry}"


@contextlib.contextmanager
def _locked(path: Path) -> Generator[str, None, None]:
    """Give the file's text while nobody else adds a key; the lock is on the folder, whose file is replaced."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield path.read_text(encoding="utf-8") if path.exists() else EMPTY
    finally:
        os.close(folder)
