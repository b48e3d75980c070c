"""Revocation lists of issuers: what counts no more although it has not expired, read again when its file changes.

A list that cannot be read any more keeps what was revoked, and says so. What was revoked is refused wherever it is
the parent of a run as well.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.config.problems import ConfigInvalid, Problem
from gateway.identity.key_file import LOOK_SECONDS, stamp
from gateway.identity.token import public_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from policy.decision import Principal

_log = logging.getLogger("oncegate.identity")
FILE_BYTES_MAX: Final = 16 * 1024 * 1024
_FORM: Final = 'expected `{"jti": ["…"], "sub": ["…"]}`'


@dataclass(frozen=True, slots=True)
class _List:
    """Revoked token ids (as credentials' public ids) and subjects of one issuer."""

    tokens: frozenset[str]
    subjects: frozenset[str]


class Revocations:
    """The lists of all issuers."""

    def __init__(self, files: Mapping[str, Path], clock: Callable[[], float] = time.monotonic) -> None:
        """Read the files, by issuer. Raises `ConfigInvalid`."""
        self._files = files
        self._clock = clock
        self._stamps = {name: stamp(path) for name, path in files.items()}
        self._lists = {name: _read(name, path) for name, path in files.items()}
        self._looked = clock()
        self._reading: asyncio.Task[None] | None = None

    async def revoked(self, issuer: str | None, credential: str, names: tuple[str | None, ...]) -> bool:
        """Return whether an issuer has revoked a credential by its public id, or one of the names it speaks for."""
        if not self._files:
            return False
        await self._freshen()
        found = self._lists.get(issuer or "")
        return found is not None and (credential in found.tokens or any(name in found.subjects for name in names))

    async def revoked_principal(self, principal: Principal) -> bool:
        """Return whether what a principal was once verified by is revoked by now."""
        names = (principal.agent, principal.user, *principal.actors, principal.subject)
        return await self.revoked(principal.issuer, principal.credential, names)

    async def again(self) -> None:
        """Read the lists now."""
        self._looked, self._stamps = float("-inf"), {}
        await self._freshen()

    async def _freshen(self) -> None:
        if self._reading is None:
            now = self._clock()
            if now - self._looked < LOOK_SECONDS:
                return
            self._looked = now
            stamps = {name: stamp(path) for name, path in self._files.items()}
            if stamps == self._stamps:
                return
            self._stamps = stamps
            self._reading = asyncio.create_task(self._again(), name="revocation lists")
        # shielded: one caller going away must not end the reading for the others
        await asyncio.shield(self._reading)

    async def _again(self) -> None:
        try:
            for name, path in self._files.items():
                try:
                    self._lists[name] = await asyncio.to_thread(_read, name, path)
                except ConfigInvalid as error:
                    _log.error("what was revoked stays revoked, the list was not read: %s", error)
        finally:
            self._reading = None


def _read(issuer: str, path: Path) -> _List:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        tree = body.parse(content) if len(content) <= FILE_BYTES_MAX else None
    except (OSError, body.MalformedBody):
        tree = None
    said = cast("dict[str, object]", tree) if isinstance(tree, dict) else {"": None}
    listed = {name: cast("list[object]", value) for name, value in said.items() if isinstance(value, list)}
    if listed.keys() != said.keys() or listed.keys() - {"jti", "sub"}:
        raise ConfigInvalid([Problem(path.name, 0, _FORM)])
    if not all(isinstance(one, str) for values in listed.values() for one in values):
        raise ConfigInvalid([Problem(path.name, 0, _FORM)])
    tokens = frozenset(public_id(issuer, str(one)) for one in listed.get("jti", []))
    return _List(tokens, frozenset(str(one) for one in listed.get("sub", [])))
