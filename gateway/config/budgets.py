"""The configuration of budgets and of the loop guard.

Annotations are read at run time, so this file has no `from __future__ import annotations`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.config.forms import Amount, Choice, Count, Duration, Text
from gateway.config.problems import shown
from gateway.config.reading import Reading, Setting, Where
from gateway.config.tree import Leaf, Node

_DAY: Final = 86400.0
_CALLS_MAX: Final = 1_000_000_000
_SUFFIXES: Final = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
#: the periods a calendar has
_CALENDAR: Final = frozenset({"1m", "1h", "1d", "1w", "1mo"})
_PERIOD: Final = r"[1-9][0-9]{0,5}(s|m|h|d|w)|1mo"
#: Whose calls a budget is of, or which: `agent:acme/billing`, `agent:acme/*`, `run:*`, `model/gpt-5`, `*`.
_SUBJECT: Final = (
    r"\*|run:\*|domain:(\*|[a-z0-9][a-z0-9.-]{0,62})|(agent|user):(\*|[a-z0-9][a-z0-9.-]{0,62}/[^\s/]{1,255})"
    r"|(model|mcp|agent)/[^\s/]+(/[^\s/]+)*"
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A whole number, thousands and more written short: `5000`, `500k`, `2M`."""

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return the number."""
        del where
        match = re.fullmatch(r"([0-9]{1,12})([kMG]?)", node.text if isinstance(node, Leaf) else "")
        number = 0 if match is None else int(match.group(1)) * _SUFFIXES[match.group(2)]
        if match is None or number > 10**15:
            return reading.refuse(node.line, "expected a whole number such as `5000`, `500k` or `2M`")
        return number

    def schema(self) -> dict[str, object]:
        """Return a number, or a string with a suffix."""
        return {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]{1,12}[kMG]?$"}]}


@dataclass(frozen=True, slots=True)
class Period:
    """A length of time with its unit, `15m` `1h` `1d` `1w`, or a month, `1mo`."""

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return the text."""
        del where
        text = node.text if isinstance(node, Leaf) else ""
        if not re.fullmatch(_PERIOD, text) or (text != "1mo" and period_seconds(text) > 366 * _DAY):
            return reading.refuse(node.line, f"expected a period such as `1h`, `1d`, `1w` or `1mo`, not {shown(text)}")
        return text

    def schema(self) -> dict[str, object]:
        """Return a string with a pattern."""
        return {"type": "string", "pattern": f"^({_PERIOD})$"}


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone by its IANA name."""

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return the name of a zone this machine knows."""
        del where
        text = node.text if isinstance(node, Leaf) else ""
        try:
            return "UTC" if text == "UTC" else ZoneInfo(text).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            message = f"expected a time zone that this machine knows, such as `Europe/Berlin`, not {shown(text)}"
            return reading.refuse(node.line, message)

    def schema(self) -> dict[str, object]:
        """Return a string."""
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True)
class CountOrOff:
    """A whole number, `least` to `most`, or `off`."""

    least: int
    most: int

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return the number, `None` for `off`."""
        if isinstance(node, Leaf) and node.text == "off":
            return None
        return Count(self.least, self.most).read(node, reading, where)

    def schema(self) -> dict[str, object]:
        """Return an integer with its bounds, or the word."""
        # a plain `off` is a word here and false to other readers of YAML
        return {"anyOf": [Count(self.least, self.most).schema(), {"enum": ["off", False]}]}


def period_seconds(period: str) -> int:
    """Return how long a period of fixed length is."""
    return int(period[:-1]) * _UNITS[period[-1]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much may be taken in a window. All budgets that cover a call must have room for it."""

    subject: Annotated[
        str,
        Setting("subject", Text("whose calls, such as `agent:acme/billing`, `agent:acme/*` (each), `user:acme/ann`, "
                                "`domain:acme`, `run:*` (each run), `*`, or a resource pattern such as `model/**`",
                                _SUBJECT),
                "Whose calls count: an agent, user or domain (`*`: each on its own), each run, a resource, or all."),
    ]  # fmt: skip
    per: Annotated[
        str | None,
        Setting("per", Period(), "The window's length; left out, the budget is for the whole run."),
    ] = None
    window: Annotated[
        Literal["calendar", "sliding"],
        Setting("window", Choice(("calendar", "sliding")),
                "`calendar` begins anew with each minute, hour, day, week (Monday) or month, `sliding` looks back."),
    ] = "calendar"  # fmt: skip
    time_zone: Annotated[str, Setting("time_zone", Zone(), "The calendar's time zone, by its IANA name.")] = "UTC"
    requests: Annotated[int | None, Setting("requests", Quantity(), "Calls of every kind.")] = None
    model_calls: Annotated[int | None, Setting("model_calls", Quantity(), "Calls of models.")] = None
    tool_calls: Annotated[int | None, Setting("tool_calls", Quantity(), "Calls of tools.")] = None
    tokens: Annotated[int | None, Setting("tokens", Quantity(), "Tokens in and out of models.")] = None
    usd: Annotated[float | None, Setting("usd", Amount(), "US dollars, by the models' prices.")] = None
    run_seconds: Annotated[
        float | None, Setting("run_seconds", Duration(1.0), "How long after its first call a run may begin another.")
    ] = None

    @property
    def name(self) -> str:
        """What messages, listings and the store call it: never changed by what it allows."""
        parts = [self.subject, *([] if self.per is None else [self.per])]
        if self.window == "sliding":
            parts.append("sliding")
        elif self.time_zone != "UTC":
            parts.append(self.time_zone)
        return "@".join(parts)

    @property
    def of_models(self) -> bool:
        """Whether it covers calls of models."""
        return self.subject.startswith("model/") or self.of_callers or self.subject == "*"

    @property
    def of_callers(self) -> bool:
        """Whether its subject says who calls, rather than what is called."""
        return re.match(r"(agent|user|domain|run):", self.subject) is not None

    @property
    def single(self) -> bool:
        """Whether all it covers share one counter; else each agent, user, domain or run has its own."""
        return not self.of_callers or "*" not in self.subject

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the settings together."""
        yield from self._window_problems()
        run = self.subject == "run:*"
        amounts = (self.requests, self.model_calls, self.tool_calls, self.tokens, self.usd, self.run_seconds)
        if all(amount is None for amount in amounts):
            yield "subject", "expected at least one of `requests`, `model_calls`, `tool_calls`, `tokens`, `usd`"
        if self.run_seconds is not None and not run:
            yield "run_seconds", "only the budget of each run, `run:*`, bounds how long a run goes on"
        if not self.of_models:
            for key in ("tokens", "usd", "model_calls"):
                if getattr(self, key) is not None:
                    yield key, "only calls of models have tokens and a price"

    def _window_problems(self) -> Iterator[tuple[str, str]]:
        if self.per is None and self.subject != "run:*":
            yield "subject", "only the budget of each run can do without `per`"
        if self.window == "calendar" and self.per is not None and self.per not in _CALENDAR:
            yield "per", "a calendar has `1m`, `1h`, `1d`, `1w` and `1mo`; use `window: sliding` for other lengths"
        if self.window == "sliding" and (self.per is None or self.per == "1mo"):
            yield "window", "a sliding window needs a `per` of fixed length, such as `30d`"
        if self.window == "sliding" and self.time_zone != "UTC":
            yield "time_zone", "a sliding window knows no calendar and needs no time zone"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopGuard:
    """When an agent is taken to go round in circles; `off` is no bound."""

    same_call: Annotated[
        int | None,
        Setting(
            "same_call", CountOrOff(1, _CALLS_MAX), "How often a run may begin the same call, argument for argument."
        ),
    ] = 500
    same_call_an_hour: Annotated[
        int | None,
        Setting("same_call_an_hour", CountOrOff(1, _CALLS_MAX),
                "How often an agent may begin the same call within an hour where it has no run."),
    ] = None  # fmt: skip
    run_calls: Annotated[
        int | None, Setting("run_calls", CountOrOff(1, _CALLS_MAX), "How many calls a run may begin in all.")
    ] = 20_000
