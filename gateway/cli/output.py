"""How the command line speaks: tables for people, JSON for programs, one line and an exit code for a no.

Everything shown can come from a model, a tool or an agent, so control characters never reach the
terminal as such.
"""

from __future__ import annotations

import json
import sys
import time
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Exit codes (DESIGN section 13).
DONE, NO, USAGE, UNREACHABLE = 0, 1, 2, 3

#: Wide enough that nothing is cut when another program reads.
_PIPE_COLUMNS = 4096
#: From here on a table shows everything it has.
_WIDE_COLUMNS = 140
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


class Failure(Exception):  # noqa: N818 - an answer, not a defect
    """The command ends with `code`, and says `message` (one lower-case line) on standard error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def fail(failure: Failure) -> int:
    """Say a failure on standard error and return its exit code."""
    notes = Console(stderr=True, highlight=False, soft_wrap=True)
    # every problem of a configuration is a line of its own
    for line in failure.message.splitlines():
        notes.print(Text.assemble(("error: ", "bold red"), visible(line)))
    return failure.code


def note(message: str) -> None:
    """Say `message` on standard error, beside the output proper."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(visible(message)))


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. `whole` cells (ids) are never wrapped or cut; `extra` needs a wide screen."""

    title: str
    whole: bool = False
    extra: bool = False
    align: Literal["left", "right"] = "left"


def screen() -> Console:
    """Return the console of standard output: coloured only on a terminal."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=_PIPE_COLUMNS)


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[Text | str]], *, empty: str) -> None:
    """Print a table, or the sentence `empty` when there are no rows."""
    if not rows:
        screen().print(Text(empty))
        return
    out = screen()
    shown = [number for number, column in enumerate(columns) if out.width >= _WIDE_COLUMNS or not column.extra]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    cells = [[_cell(row[number]) for number in shown] for row in rows]
    for place, number in enumerate(shown):
        column = columns[number]
        widest = max(row[place].cell_len for row in cells)
        table.add_column(
            column.title,
            justify=column.align,
            no_wrap=column.whole,
            overflow="ignore" if column.whole else "fold",
            min_width=widest if column.whole else None,
        )
    for row in cells:
        table.add_row(*row)
    # rather a line longer than the screen than a column that is not there
    out.print(table, width=max(out.width, Measurement.get(out, out.options, table).minimum), crop=False)


def _cell(value: Text | str) -> Text:
    return value if isinstance(value, Text) else Text(visible(value))


def print_pairs(pairs: Sequence[tuple[str, Text | str]]) -> None:
    """Print names and values, one pair a line."""
    width = max(len(name) for name, _ in pairs)
    out = screen()
    for name, value in pairs:
        shown = value if isinstance(value, Text) else Text(visible(value))
        out.print(Text.assemble((name.ljust(width) + "  ", "dim"), shown), soft_wrap=True)


def print_json(value: object) -> None:
    """Print `value` as JSON for programs, in ASCII whatever it holds; a listing is one array."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def visible(text: str) -> str:
    """Return `text` with control, format and line-breaking characters written out."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_spelled(character) for character in text)


def _spelled(character: str) -> str:
    # Cc control, Cf format (bidi overrides, zero width), Cs surrogates, Zl and Zp line breaks
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return f"\\u{ord(character):04x}"
    return character


def ago(when: float | None, now: float | None = None) -> str:
    """Return a time (seconds since the epoch) as people say it."""
    if when is None:
        return "-"
    seconds = (time.time() if now is None else now) - when
    if seconds < 1:
        return "just now"
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name} ago"
    return f"{int(seconds)} s ago"


def stamp(when: float | None) -> str:
    """Return a time (seconds since the epoch) in UTC to the second, and how long ago it was."""
    if when is None:
        return "-"
    return f"{time.strftime('%Y-%m-%d %H:%M:%SZ', time.gmtime(when))} ({ago(when)})"


def milliseconds(value: float | None) -> str:
    """Return a duration in milliseconds for people."""
    if value is None:
        return "-"
    return f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"  # noqa: PLR2004 - digits for people


_STATE_STYLES = {
    "done": "green", "finished": "green", "running": "cyan", "in_flight": "cyan",
    "executed": "green", "shared": "green", "ready": "cyan", "waiting": "yellow", "held": "bold yellow",
    "granted": "cyan", "closed": "green", "open": "bold yellow", "half_open": "cyan",
    "in_doubt": "bold yellow", "failed": "red", "cancelled": "dim", "not_executed": "dim",
}  # fmt: skip


def state(name: str) -> Text:
    """Return a state's name in its colour."""
    return Text(visible(name), style=_STATE_STYLES.get(name, ""))
