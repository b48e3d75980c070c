"""What a run has done before a call: what conditions see as `run` and ask by `after`, `never_after` and `count`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from policy.resources import UnusableName, compile_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Tally:
    """How often a resource was called: `begun` counts all that may have had an effect, `finished` those with an outcome."""  # noqa: E501

    begun: int
    finished: int


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A run as of one moment. `labels` are those in force; without `known` nobody can tell, and every question errs.

    `calls` is `None` where only the labels are known, as for who begins a run: questions about calls err.
    """

    calls: Mapping[str, Tally] | None = field(default_factory=dict[str, Tally])
    labels: frozenset[str] = frozenset()
    known: bool = True

    def after(self, name: str) -> bool:
        """Return whether a call that fits the pattern `name` has an outcome, or the label `name` is set."""
        if _is_label(name):
            return name in self.labels
        return any(tally.finished for tally in self._fitting(name))

    def never_after(self, name: str) -> bool:
        """Return whether no call that fits the pattern `name` was begun, or the label `name` is not set."""
        if _is_label(name):
            return name not in self.labels
        return not any(tally.begun for tally in self._fitting(name))

    def count(self, name: str) -> int:
        """Return how many calls that fit the pattern `name` were begun."""
        return sum(tally.begun for tally in self._fitting(name))

    @property
    def begun(self) -> int:
        """Return how many calls were begun. Raises `LookupError` where nobody can tell."""
        return sum(tally.begun for tally in self._tallies().values())

    def _fitting(self, name: str) -> list[Tally]:
        pattern = compile_pattern(name)
        return [tally for resource, tally in self._tallies().items() if pattern.matches(resource)]

    def _tallies(self) -> Mapping[str, Tally]:
        if self.calls is None:
            raise LookupError("calls")
        return self.calls


def check_name(name: str) -> str | None:
    """Return what is wrong with a label or resource pattern as a condition names it, `None` when it is usable."""
    if "/" not in name:
        return None if LABEL.fullmatch(name) else "expected a resource pattern with `/`, or a label of a-z 0-9 . _ -"
    try:
        compile_pattern(name)
    except UnusableName as error:
        return str(error)
    return None


def _is_label(name: str) -> bool:
    return "/" not in name
