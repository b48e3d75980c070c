"""Redaction for those who look after it: tried on a content of theirs, and originals erased."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.ids import random_bytes
from redaction import redactor
from redaction.finding import Finding, Redacted, Scope, Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.journal import Audit
    from durable.store import Store
    from gateway.outward import Redaction

_SHAPE = Shape()


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A find in the text at `pointer`, and what the profile makes of it."""

    pointer: str
    finding: Finding
    treatment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What redaction makes of a content. Its placeholders stand for nothing: nothing is kept."""

    profile: str
    redacted: Redacted
    findings: tuple[Placed, ...]
    milliseconds: float


async def try_out(redaction: Redaction, content: object, profile: str | None, characters_max: int) -> Trial:
    """Return what becomes of `content`, outward. Raises `LookupError`, `ValueError`, `DetectionError`."""
    chosen = redaction.named(profile).toward("outward")
    plan = redactor.plan(content, _SHAPE, chosen, languages=redaction.languages)
    if sum(map(len, plan.texts)) > characters_max:
        raise ValueError(f"expected at most {characters_max} characters")
    begun = time.perf_counter()
    found = await redaction.detect(plan.texts) if chosen.inspects else dict.fromkeys(plan.texts, ())
    milliseconds = (time.perf_counter() - begun) * 1000
    redacted = redactor.finish(plan, found, Scope(id="trial", key=random_bytes(32)))
    placed = tuple(
        Placed(pointer=pointer, finding=one, treatment=chosen.rule(one.entity).treatment)
        for pointer, one in redactor.places(plan, found)
        if one.score >= chosen.rule(one.entity).threshold
    )
    return Trial(profile=chosen.name, redacted=redacted, findings=placed, milliseconds=round(milliseconds, 2))


class Trying:
    """Does both over the running parts."""

    def __init__(self, redaction: Redaction, store: Store) -> None:
        self._redaction = redaction
        self._store = store

    async def try_out(self, content: object, profile: str | None, characters_max: int) -> Trial:
        """Return what becomes of `content`, outward. Raises `LookupError`, `ValueError`, `DetectionError`."""
        return await try_out(self._redaction, content, profile, characters_max)

    async def erase_values(self, values: Sequence[str], audit: Audit) -> int:
        """Erase the originals that hold one of `values`; returns how many."""
        return await self._store.erase_values(values, audit)

    async def erase_user(self, domain: str, user: str, audit: Audit) -> int:
        """Erase who a user was, and the originals of their runs; returns how many."""
        return (await self._store.erase_person(domain, user, audit)).originals
