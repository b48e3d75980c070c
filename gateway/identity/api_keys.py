"""API keys: `og_<id>_<secret>`, of which only a hash is stored, in a file that people may read and edit.

Annotations are read at run time, so this file has no `from __future__ import annotations`.
The hash needs no salt and no slow function: the secret is 240 random bits, not a password.
"""

import datetime as dt
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal

from gateway.config.credentials import SCOPE
from gateway.config.forms import Choice, Text
from gateway.config.problems import ConfigInvalid
from gateway.config.reading import ListOf, MapOf, Reading, Section, Setting
from gateway.config.root import Version
from gateway.config.tree import read_tree
from gateway.config.types import DOMAIN_NAME
from gateway.identity.names import ANONYMOUS, usable_name

PREFIX: Final = "og_"
KEY_CHARACTERS_MAX: Final = 128
_ID: Final = r"[a-z0-9]{8,32}"
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_ID_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"
_ID_CHARACTERS: Final = 12
_SECRET_CHARACTERS: Final = 41
_KEY: Final = re.compile(rf"og_({_ID})_[A-Za-z0-9]{{32,64}}")
_TIME: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
_NO_HASH: Final = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What a key proves; `name` is its public id."""

    name: str
    hash: Annotated[
        str, Setting("hash", Text("`sha256:` and 64 hexadecimal digits", r"sha256:[0-9a-f]{64}"), "The key's hash.")
    ]
    agent: Annotated[str, Setting("agent", Text("an agent's name"), "The agent who holds it.")]
    domain: Annotated[str, Setting("domain", Text("a trust domain", DOMAIN_NAME), "The agent's trust domain.")]
    roles: Annotated[
        tuple[str, ...], Setting("roles", ListOf(Text("a role"), items_min=0), "The roles it brings with it.")
    ] = ()
    scopes: Annotated[
        tuple[str, ...] | None,
        Setting("scopes", ListOf(SCOPE, items_min=0), "What the key is limited to; left out, policy alone limits it."),
    ] = None
    listener: Annotated[
        Literal["agents", "admin"],
        Setting("listener", Choice(("agents", "admin")), "The listener it opens; never both."),
    ] = "agents"
    created: Annotated[
        str | None, Setting("created", Text("a time such as `2026-01-31T12:00:00Z`", _TIME), "When it was made.")
    ] = None
    expires: Annotated[
        str | None,
        Setting("expires", Text("a time such as `2026-01-31T12:00:00Z`", _TIME), "When it stops; left out, never."),
    ] = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what cannot be a name or a time."""
        if not usable_name(self.agent) or self.agent == ANONYMOUS:
            yield "agent", "this cannot name an agent"
        for role in self.roles:
            if not usable_name(role, spaces=True):
                yield "roles", "one of these cannot name a role"
        if self.expires is not None and _seconds(self.expires) is None:
            yield "expires", "there is no such time"

    @property
    def until(self) -> float:
        """When it stops, in seconds since the epoch."""
        if self.expires is None:
            return float("inf")
        seconds = _seconds(self.expires)
        return 0.0 if seconds is None else seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysFile:
    """A file of hashed keys, by id."""

    version: Annotated[int, Setting("version", Version(), "The version of this format.")]
    keys: Annotated[
        Mapping[str, ApiKey], Setting("keys", MapOf(Section(ApiKey, named=True), _ID, "a key's id"), "Keys by id.")
    ] = field(default_factory=lambda: MappingProxyType(dict[str, ApiKey]()))


_FILE: Final = Section(KeysFile)


def read_keys(path: Path, shown_as: str, domains: frozenset[str]) -> Mapping[str, ApiKey]:
    """Return the keys in the file at `path`, which speaks for `domains` and no other.

    Raises `ConfigInvalid` with every problem of the file.
    """
    reading = Reading(shown_as, path.parent)
    found = _FILE.read(read_tree(path, shown_as), reading, ())
    if isinstance(found, KeysFile):
        for key in found.keys.values():
            if key.domain not in domains:
                message = f"trust domain `{key.domain}` does not name this file as its `api_keys_file`"
                reading.refuse_at(("keys", key.name, "domain"), message)
    if reading.problems or not isinstance(found, KeysFile):
        raise ConfigInvalid(reading.problems)
    return found.keys


def key_id(key: str) -> str | None:
    """Return the public id of `key`, or `None` when it is not formed like one."""
    match = _KEY.fullmatch(key)
    return None if match is None else match.group(1)


def find_key(key: str, keys: Mapping[str, ApiKey]) -> ApiKey | None:
    """Return the entry that `key` proves; as slow for a wrong id as for a wrong secret."""
    identifier = key_id(key)
    entry = keys.get(identifier) if identifier is not None else None
    wanted = _NO_HASH if entry is None else entry.hash.removeprefix("sha256:")
    fits = hmac.compare_digest(hashlib.sha256(key.encode()).hexdigest(), wanted)
    return entry if fits else None


def new_key() -> tuple[str, str, str]:
    """Return a new key's id, the key itself, and what is stored of it."""
    identifier = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_CHARACTERS))
    key = f"{PREFIX}{identifier}_{''.join(secrets.choice(_ALPHABET) for _ in range(_SECRET_CHARACTERS))}"
    return identifier, key, f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def _seconds(text: str) -> float | None:
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
