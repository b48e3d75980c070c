"""What is wrong with a configuration file: all of it at once, each with its place.

ConfigInvalid   the file cannot be used; `problems` says why, line by line
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: How much of a value a message shows.
_SHOWN_CHARACTERS_MAX = 60


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong, and where. Lines count from 1; 0 stands for the whole file."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        if self.line:
            return f"{self.file}:{self.line}: {self.message}"
        return f"{self.file}: {self.message}"


class ConfigInvalid(Exception):  # noqa: N818 - says what is known of the file
    """A configuration file cannot be used; carries every problem found in it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` for the known name most like `name`, else the known names, else nothing."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean `{close[0]}`?"
    if names and len(names) <= 12:  # noqa: PLR2004 - more than a line is no help
        return f"; expected {choices(names)}"
    return ""


def choices(names: Iterable[str]) -> str:
    """Return names as `a`, `b` or `c`."""
    quoted = [f"`{name}`" for name in names]
    if len(quoted) < 2:  # noqa: PLR2004 - one name needs no joining
        return "".join(quoted)
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def shown(value: str) -> str:
    """Return a user's value as a message shows it: one line, bounded, in backticks."""
    line = "".join(character if character.isprintable() else "?" for character in value)
    if len(line) > _SHOWN_CHARACTERS_MAX:
        line = line[: _SHOWN_CHARACTERS_MAX - 3] + "..."
    return f"`{line}`"
