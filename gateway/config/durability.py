"""The configuration of what lasts: the store, its lease and retention, runs, managed agents, approvals, verify calls.

Annotations are read at run time, so this file has no `from __future__ import annotations`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal

from gateway.config.forms import Choice, Count, Duration, Text, Url
from gateway.config.reading import MapOf, Section, Setting

_HOUR: Final = 3600.0
_DAY: Final = 86400.0
_POINTER: Final = Text("a JSON pointer", r"(/[^\x00-\x1f\x7f]{0,255}){0,16}")
_ARGUMENT: Final = r"[^\x00-\x1f\x7f]{1,128}"
_DIVERGENCE: Final = Choice(("execute", "hold", "fail"))

OnDivergence = Literal["execute", "hold", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The store: one SQLite file, or a PostgreSQL database where `postgres` is its URL (without a password).

    `path` is the file, and for PostgreSQL a name in the configuration's folder: what stands beside the
    state (socket, checkpoints) stands beside it. `synchronous` is SQLite's: `FULL` survives power loss.
    """

    path: Path
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    postgres: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """A `safe` tool of the same server that tells whether a call in doubt has happened.

    Its answer holds a list of records at `items`. A record is the call's when it carries the call's
    idempotency key at `key`, or else when every pointer of `match` finds the same in record and
    arguments and the record's `id` is claimed by no other call. None means *not happened* only when
    `settle` has passed since the call was sent.
    """

    tool: Annotated[str, Setting("tool", Text("a tool's name", _ARGUMENT), "The tool to ask, of the same server.")]
    arguments: Annotated[
        Mapping[str, str],
        Setting("arguments", MapOf(_POINTER, _ARGUMENT, "an argument's name"),
                "Its arguments, each a JSON pointer into those of the call in doubt."),
    ] = field(default_factory=lambda: MappingProxyType({}))  # fmt: skip
    items: Annotated[
        str, Setting("items", _POINTER, "Where the records are in its structured (or JSON text) result.")
    ] = ""
    key: Annotated[str | None, Setting("key", _POINTER, "Where a record carries the idempotency key.")] = None
    match: Annotated[
        Mapping[str, str],
        Setting("match", MapOf(_POINTER, r"/.{0,255}", "a JSON pointer into a record"),
                "What must be equal: a pointer into the record to one into the arguments."),
    ] = field(default_factory=lambda: MappingProxyType({}))  # fmt: skip
    id: Annotated[str | None, Setting("id", _POINTER, "Where a record carries an id of its own.")] = None
    settle_seconds: Annotated[
        float,
        Setting("settle", Duration(0.0, _DAY), "How long after sending the tool may still not know of the call."),
    ] = 60.0

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what leaves it open whose record is whose."""
        if self.key is None and (not self.match or self.id is None):
            yield "key", "expected `key`, or `match` together with `id`"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRetry:
    """When a managed run is started again after an attempt that ended without an answer."""

    policy: Annotated[
        Literal["constant", "exponential"],
        Setting("policy", Choice(("constant", "exponential")), "Whether the interval doubles."),
    ] = "exponential"
    initial_seconds: Annotated[
        float, Setting("initial", Duration(0.01, _DAY), "The interval before the second attempt.")
    ] = 1.0
    max_interval_seconds: Annotated[
        float, Setting("max_interval", Duration(0.01, _DAY), "No interval is longer than this.")
    ] = 300.0
    attempts_max: Annotated[int, Setting("attempts", Count(1, 10_000), "Attempts in total.")] = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An agent: how its runs resume, and where it is invoked if its runs are managed."""

    name: str
    domain: Annotated[
        str, Setting("domain", Text("the name of a trust domain", r"[a-z0-9][a-z0-9.-]{0,62}"), "Its trust domain.")
    ] = "default"
    url: Annotated[
        str | None, Setting("url", Url(), "Where a managed run is posted; without it the agent has none.")
    ] = None
    resume: Annotated[
        Literal["restart", "suffix"],
        Setting("resume", Choice(("restart", "suffix")),
                "`suffix` for agents that resume from checkpoints of their own and send only what is left."),
    ] = "restart"  # fmt: skip
    on_divergence: Annotated[
        OnDivergence | None,
        Setting("on_divergence", _DIVERGENCE, "As `runs.on_divergence`, for this agent."),
    ] = None
    timeout_seconds: Annotated[
        float, Setting("timeout", Duration(0.1, 7 * _DAY), "How long one attempt of a managed run may take.")
    ] = 600.0
    deadline_seconds: Annotated[
        float, Setting("deadline", Duration(1.0), "When a managed run is given up, counted from its creation.")
    ] = _DAY
    retry: Annotated[RunRetry, Setting("retry", Section(RunRetry), "When a managed run is started again.")] = field(
        default_factory=RunRetry
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """How long runs live, and what a restarted one may do otherwise than before."""

    idle_seconds: Annotated[float, Setting("idle", Duration(1.0), "A run without a call for this long is over.")] = _DAY
    seconds_max: Annotated[
        float, Setting("seconds_max", Duration(1.0), "How long a run token may be used at most.")
    ] = 7 * _DAY
    on_divergence: Annotated[
        OnDivergence,
        Setting("on_divergence", _DIVERGENCE,
                "What becomes of a restarted run's request that differs from what it asked before."),
    ] = "execute"  # fmt: skip
    label_ttl_seconds: Annotated[
        float,
        Setting("label_ttl", Duration(0.0, 400 * _DAY),
                "How long a label that policy put on a call stays on later runs of the same agent and user."),
    ] = _DAY  # fmt: skip
    managed_max: Annotated[
        int, Setting("managed", Count(1, 10_000), "Managed runs this instance invokes at a time.")
    ] = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalTimes:
    """How long approvals wait."""

    wait_seconds: Annotated[
        float, Setting("wait", Duration(0.0, _HOUR), "How long a call waits in its connection before it is told.")
    ] = 50.0
    expires_seconds: Annotated[
        float, Setting("expires", Duration(1.0), "How long an approval may be given and used.")
    ] = _DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long the journal keeps what is over; counted from its last change."""

    finished_seconds: Annotated[float, Setting("finished", Duration(1.0, 4000 * _DAY), "Finished runs.")] = 30 * _DAY
    failed_seconds: Annotated[float, Setting("failed", Duration(1.0, 4000 * _DAY), "Failed and cancelled runs.")] = (
        90 * _DAY
    )
    calls_seconds: Annotated[float, Setting("calls", Duration(1.0, 4000 * _DAY), "Settled calls without a run.")] = (
        30 * _DAY
    )
    keys_seconds: Annotated[
        float,
        Setting("keys", Duration(1.0, 4000 * _DAY), "Names of purged runs and keys, which stay refused."),
    ] = 400 * _DAY
    audit_seconds: Annotated[
        float,
        Setting("audit", Duration(1.0, 36_500 * _DAY), "Audit records; what is older goes under a signed checkpoint."),
    ] = 4000 * _DAY
