"""How calls are carried out, by resource pattern: times, tries, breaker, bulkhead, second requests, cache.

Each setting counts by itself: of the patterns that fit a resource, the most specific one that says it.
Annotations are read at run time, so this file has no `from __future__ import annotations`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from gateway.config.forms import Choice, Count, Duration, Size
from gateway.config.problems import shown
from gateway.config.reading import Form, Reading, Section, Setting, Where
from gateway.config.tree import Leaf, Node
from policy.conditions import ConditionUnusable, Trip, compile_trip

_DAY: Final = 86400.0
_MIB: Final = 1024 * 1024
#: How long a call may take when nothing is said.
CALL_SECONDS: Final = 60.0
#: How long connecting may take then.
CONNECT_SECONDS: Final = 10.0
_STATUSES: Final = r"[1-5][0-9]{2}(-[1-5][0-9]{2})?(,[1-5][0-9]{2}(-[1-5][0-9]{2})?)*"

Off = Literal["off"]


@dataclass(frozen=True, slots=True)
class Statuses:
    """HTTP statuses as single ones and ranges: `429,500-504`."""

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return the set of them."""
        del where
        text = node.text.replace(" ", "") if isinstance(node, Leaf) else ""
        if not re.fullmatch(_STATUSES, text):
            return reading.refuse(node.line, f"expected HTTP statuses such as `429,500-504`, not {shown(text)}")
        found: set[int] = set()
        for part in text.split(","):
            first, _, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
            if int(last or first) < int(first):
                return reading.refuse(node.line, f"expected the lower status first, not {shown(part)}")
        return frozenset(found)

    def schema(self) -> dict[str, object]:
        """Return a string with a pattern, or one status."""
        pattern = {"type": "string", "pattern": f"^{_STATUSES}$"}
        return {"anyOf": [pattern, {"type": "integer", "minimum": 100, "maximum": 599}]}


@dataclass(frozen=True, slots=True)
class Fraction:
    """A number from 0 to 1."""

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return the number."""
        del where
        value = node.value if isinstance(node, Leaf) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            return reading.refuse(node.line, "expected a number from 0 to 1")
        return float(value)

    def schema(self) -> dict[str, object]:
        """Return a number with its bounds."""
        return {"type": "number", "minimum": 0, "maximum": 1}


@dataclass(frozen=True, slots=True)
class TripText:
    """A CEL expression over requests, failures, failure_ratio and consecutive_failures."""

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return the compiled condition."""
        del where
        try:
            return compile_trip(node.text if isinstance(node, Leaf) else "")
        except ConditionUnusable as error:
            return reading.refuse(node.line, f"`trip` is not usable: {error}")

    def schema(self) -> dict[str, object]:
        """Return a string."""
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True)
class Switched:
    """A section, or `off` where a less specific pattern has it on."""

    form: Form

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return the section, or `off`."""
        if isinstance(node, Leaf) and node.text == "off":
            return "off"
        return self.form.read(node, reading, where)

    def schema(self) -> dict[str, object]:
        """Return one of the two."""
        return {"anyOf": [{"const": "off"}, self.form.schema()]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long the parts of a call may take, in seconds; `None`: as long as the whole."""

    total_seconds: Annotated[float, Setting("total", Duration(0.001, _DAY), "The whole call, all tries of it.")] = (
        CALL_SECONDS
    )
    connect_seconds: Annotated[
        float | None, Setting("connect", Duration(0.001, 300.0), "Waiting for a connection and making it.")
    ] = None
    first_byte_seconds: Annotated[
        float | None, Setting("first_byte", Duration(0.001, _DAY), "From sending a request to the answer's head.")
    ] = None
    between_bytes_seconds: Annotated[
        float | None, Setting("between_bytes", Duration(0.001, _DAY), "Silence in the middle of an answer.")
    ] = None

    @property
    def connect_seconds_max(self) -> float:
        """How long connecting may take: where nothing is said, well before the answer's head is due."""
        if self.connect_seconds is not None:
            return self.connect_seconds
        return CONNECT_SECONDS if self.first_byte_seconds is None else min(CONNECT_SECONDS, self.first_byte_seconds / 2)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield parts that could never be reached."""
        parts = {
            "connect": self.connect_seconds, "first_byte": self.first_byte_seconds,
            "between_bytes": self.between_bytes_seconds,
        }  # fmt: skip
        for key, seconds in parts.items():
            if seconds is not None and seconds > self.total_seconds:
                yield key, f"`{key}` is longer than `total`"
        if self.connect_seconds and self.first_byte_seconds and self.connect_seconds >= self.first_byte_seconds:
            yield "connect", "`connect` must be shorter than `first_byte`, which begins with it"


@dataclass(frozen=True, slots=True)
class TimeoutForm:
    """A length of time for the whole call, or one for each part of it."""

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return `Timeouts`."""
        if not isinstance(node, Leaf) or node.value is None:
            return Section(Timeouts).read(node, reading, where)
        total = Duration(0.001, _DAY).read(node, reading, where)
        return Timeouts(total_seconds=total) if isinstance(total, float) else total

    def schema(self) -> dict[str, object]:
        """Return a duration or a section."""
        return {"anyOf": [Duration().schema(), Section(Timeouts).schema()]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When a call is sent again, and after how long; only ever what is known not executed, or repeatable."""

    policy: Annotated[
        Literal["constant", "exponential"],
        Setting("policy", Choice(("constant", "exponential")), "Waits of the same length, or each twice the last."),
    ] = "exponential"
    initial_seconds: Annotated[float, Setting("initial", Duration(0.0, 3600.0), "The first wait.")] = 0.5
    interval_seconds_max: Annotated[
        float,
        Setting("max_interval", Duration(0.0, 3600.0), "The longest wait; an upstream that asks for more is left."),
    ] = 30.0
    tries_max: Annotated[
        int, Setting("attempts", Count(1, 20), "How often a call is sent, the first time included.")
    ] = 3
    jitter: Annotated[float, Setting("jitter", Fraction(), "The part of each wait that is left to chance, 0 to 1.")] = (
        0.5
    )
    statuses: Annotated[
        frozenset[int], Setting("statuses", Statuses(), "Statuses after which the call is sent again.")
    ] = frozenset({408, 429, 500, 501, 502, 503, 504, 529})

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the settings together."""
        if self.initial_seconds > self.interval_seconds_max:
            yield "initial", "`initial` is longer than `max_interval`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """When an upstream that fails is left alone, and for how long."""

    window_seconds: Annotated[float, Setting("window", Duration(1.0, 3600.0), "How far back calls are counted.")] = 30.0
    open_seconds: Annotated[float, Setting("open", Duration(0.05, 3600.0), "How long nothing is sent then.")] = 30.0
    half_open: Annotated[
        int, Setting("half_open", Count(1, 100), "Calls let through to try it; when all are answered it is used again.")
    ] = 1
    trip: Annotated[
        Trip,
        Setting("trip", TripText(),
                "When it opens: CEL over `requests`, `failures`, `failure_ratio` and `consecutive_failures`."),
    ] = compile_trip("consecutive_failures >= 5")  # fmt: skip  # noqa: RUF009 - immutable
    statuses: Annotated[
        frozenset[int],
        Setting("statuses", Statuses(), "Statuses that count as failures; `429` only where it is named."),
    ] = frozenset(range(500, 600))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulkhead:
    """How much may be under way at one upstream, so that a slow one holds nothing else up."""

    in_flight_max: Annotated[int, Setting("in_flight", Count(1, 100_000), "Calls at a time.")]
    queue_max: Annotated[int, Setting("queue", Count(0, 100_000), "Calls that wait for a place.")] = 64
    queue_seconds_max: Annotated[
        float, Setting("queue_wait", Duration(0.0, 600.0), "How long one waits for a place.")
    ] = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """When a `safe` call is sent a second time beside the first; the first good answer wins."""

    after_seconds: Annotated[float, Setting("after", Duration(0.001, 3600.0), "How long the first one is waited for.")]
    extra_max: Annotated[int, Setting("max", Count(1, 3), "How many more are sent, each after the same time.")] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Answers of a model that are given again to the very same request."""

    ttl_seconds: Annotated[float, Setting("ttl", Duration(1.0, 30 * _DAY), "How long an answer is given again.")]
    entries_max: Annotated[int, Setting("entries_max", Count(1, 1_000_000), "Answers kept.")] = 1000
    bytes_max: Annotated[int, Setting("bytes_max", Size(1024, 4096 * _MIB), "Bytes of answers kept.")] = 64 * _MIB
    scope: Annotated[
        Literal["domain", "agent", "user"],
        Setting("scope", Choice(("domain", "agent", "user")), "Who shares answers; never more than a trust domain."),
    ] = "domain"
    when: Annotated[
        Literal["zero_temperature", "always"],
        Setting("when", Choice(("zero_temperature", "always")),
                "`zero_temperature`: requests with `temperature: 0`, and those that ask with `Oncegate-Cache: use`."),
    ] = "zero_temperature"  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Resilience:
    """How calls of matching resources are carried out; `None`: a less specific pattern says it, or nothing does."""

    timeout: Annotated[
        Timeouts | None, Setting("timeout", TimeoutForm(), "How long a call may take, in all or part by part.")
    ] = None
    retry: Annotated[Retry | Off | None, Setting("retry", Switched(Section(Retry)), "When a call is sent again.")] = (
        None
    )
    breaker: Annotated[
        Breaker | Off | None,
        Setting(
            "breaker", Switched(Section(Breaker)), "When an upstream that fails is left alone; of a whole upstream."
        ),
    ] = None
    bulkhead: Annotated[
        Bulkhead | Off | None,
        Setting("bulkhead", Switched(Section(Bulkhead)), "How much may be under way at an upstream; of a whole one."),
    ] = None
    hedge: Annotated[
        Hedge | Off | None, Setting("hedge", Switched(Section(Hedge)), "When a `safe` call is sent a second time.")
    ] = None
    cache: Annotated[
        Cache | Off | None, Setting("cache", Switched(Section(Cache)), "Whether a model's answers are given again.")
    ] = None

    @property
    def timeout_seconds(self) -> float:
        """How long the whole call may take."""
        return CALL_SECONDS if self.timeout is None else self.timeout.total_seconds
