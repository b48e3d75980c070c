"""Tells where a restarted run asks for something else than before: as a path into the request, never a value."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from durable.journal import JournalUnavailable
from durable.step import Diverges
from gateway import body

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from durable.journal import Operator, Runs
    from durable.step import Began, Held, OnDivergence, Resume, RunRef
    from gateway.call import Call
    from gateway.config import Agent
    from gateway.trail import Trail
    from policy.decision import Principal

_log = logging.getLogger("oncegate.runs")

Path = tuple[str, ...]

#: Where both requests are the same after redaction: they differ in what it hides, or in what vendors add.
HIDDEN: Final = "$ (in what is not shown)"
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,63}")
_PATH_CHARACTERS_MAX: Final = 300
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Way:
    """How an agent resumes, and what becomes of a divergence of its runs."""

    resume: Resume
    on_divergence: OnDivergence


class Divergences:
    """What the configuration says of divergences, and how one is made known."""

    def __init__(
        self, operator: Operator, runs: Runs, *, agents: Mapping[str, Agent], on_divergence: OnDivergence
    ) -> None:
        self._operator = operator
        self._runs = runs
        self._default = Way("restart", on_divergence)
        self._ways = {
            (agent.domain, agent.name): Way(agent.resume, agent.on_divergence or on_divergence)
            for agent in agents.values()
        }

    def way(self, principal: Principal) -> Way:
        """Return what holds for the runs of an agent."""
        return self._ways.get((principal.domain, principal.agent), self._default)

    async def tell(self, known: Began | Held | Diverges, call: Call, trail: Trail, tree: object) -> None:
        """Write down where the request `tree` (redacted) differs from the one it was expected to be.

        Where a divergence ends its run, that is done here too. Raises `JournalUnavailable`.
        """
        found = known if isinstance(known, Diverges) else known.diverges
        if found is None:
            return
        before = await self._operator.read_request(found.call_id)
        path = HIDDEN
        if before is not None:
            path = difference(body.parse(before), tree, call.unhashed) or HIDDEN
        trail.divergence = f"step {found.step} {path}"
        record = trail.diverged(found.call_id, found.step, path)
        if isinstance(known, Diverges):
            run = cast("RunRef", call.exchange.run)
            reason = f"it diverged from its step {found.step} at {path}"
            await self._runs.close_run(run.id, run.attempt, "failed", None, reason=reason, audit=[record])
            return
        try:
            await self._operator.note_divergence(known.id, f"{found.call_id} {path}", [record | {"call": known.id}])
        except JournalUnavailable as error:  # what differs stands in the call's row already, only not where
            _log.warning("a divergence of call %s is not told in full: %s", known.id, error)


def difference(before: object, now: object, unhashed: Collection[Path] = ()) -> str | None:
    """Return the path of the first difference of two JSON values (`$.messages[1].content`), `None` without one.

    Objects are compared key by key in sorted order, lists item by item. `unhashed` are paths of object
    keys that the fingerprint leaves out. No value is part of what is returned.
    """
    found = _differ(before, now, (), frozenset(unhashed))
    if found is None:
        return None
    text = "$" + "".join(found)
    return text if len(text) <= _PATH_CHARACTERS_MAX else text[: _PATH_CHARACTERS_MAX - 1] + "…"


def _differ(before: object, now: object, at: Path, unhashed: frozenset[Path]) -> Path | None:
    if isinstance(before, dict) and isinstance(now, dict):
        one, other = cast("dict[str, object]", before), cast("dict[str, object]", now)
        for key in sorted(one.keys() | other.keys()):
            if (*at, key) in unhashed:
                continue
            found = _differ(one.get(key, _ABSENT), other.get(key, _ABSENT), (*at, key), unhashed)
            if found is not None:
                return _member(key), *found
        return None
    if isinstance(before, list) and isinstance(now, list):
        first, second = cast("list[object]", before), cast("list[object]", now)
        for index in range(max(len(first), len(second))):
            one_item = first[index] if index < len(first) else _ABSENT
            other_item = second[index] if index < len(second) else _ABSENT
            found = _differ(one_item, other_item, (*at, str(index)), unhashed)
            if found is not None:
                return f"[{index}]", *found
        return None
    if before is _ABSENT or now is _ABSENT:
        return ()
    # numbers are compared by their text, as the fingerprint does: 1 and 1.0 are two requests
    return None if body.encode(cast("object", before)) == body.encode(now) else ()


def _member(key: str) -> str:
    return f".{key}" if _PLAIN.fullmatch(key) else f"[{body.encode(key).decode()}]"
