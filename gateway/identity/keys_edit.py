"""Changing a keys file that people edit too: their text stays, one entry is added, ended or gone, or nothing is."""

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

    from gateway.identity.api_keys import ApiKey

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
        _write(path, domains, _with_entry(text, _entry(name, members), path))


def remove_key(path: Path, domains: frozenset[str], name: str) -> ApiKey:
    """Take the key `name` out of the file; returns what it was.

    Raises `LookupError` when there is none, `ConfigInvalid` where the text around it cannot be told, `OSError`.
    """
    with _locked(path) as text:
        before = _known(path, domains, name)
        begin, end = _place(text, name, path)
        _write(path, domains, text[:begin] + text[end:], gone=name)
    return before


def replace_key(
    path: Path, domains: frozenset[str], name: str, *, until: str, fresh: str, members: Mapping[str, str]
) -> ApiKey:
    """Add the key `fresh` and let `name` stop at `until`; returns what `name` was. Raises as `remove_key`."""
    with _locked(path) as text:
        before = _known(path, domains, name)
        begin, end = _place(text, name, path)
        old = text[begin:end]
        if re.search(r"^    expires:.*$", old, re.MULTILINE):
            old = re.sub(r"^    expires:.*$", f"    expires: {until}", old, count=1, flags=re.MULTILINE)
        else:
            old = f"{old.rstrip()}\n    expires: {until}\n"
        _write(path, domains, text[:begin] + old + _entry(fresh, members) + text[end:])
    return before


def _write(path: Path, domains: frozenset[str], text: str, *, gone: str = "") -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # what was written is read as the gateway will read it, before it takes the file's place
        left = read_keys(beside, str(path), domains)
        there = frozenset(read_keys(path, str(path), domains)) if path.exists() else frozenset[str]()
        lost = there - left.keys() - {gone}
        if lost or gone in left:
            raise ConfigInvalid([Problem(str(path), 0, "the key's entry cannot be told from the others; edit by hand")])
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _entry(name: str, members: Mapping[str, str]) -> str:
    return f"  {name}:\n" + "".join(f"    {key}: {value}\n" for key, value in members.items())


def _known(path: Path, domains: frozenset[str], name: str) -> ApiKey:
    if not path.exists():
        raise LookupError(name)
    return read_keys(path, str(path), domains)[name]


def _place(text: str, name: str, path: Path) -> tuple[int, int]:
    """Return where the entry of a key begins and ends: its line, and those that are indented deeper."""
    found = re.search(rf"^  {re.escape(name)}:[^\n]*\n(?:(?: {{3,}}[^\n]*)?\n)*", f"{text}\n", re.MULTILINE)
    if found is None:
        raise ConfigInvalid([Problem(str(path), 0, f"key `{name}` does not stand on a line of its own; edit by hand")])
    return found.start(), min(found.end(), len(text))


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
