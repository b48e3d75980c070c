"""What listings of the journal show; no bodies, nothing sealed."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One row of the call table. Times are seconds since the epoch, `milliseconds` the upstream's."""

    id: str
    domain: str
    agent: str
    user: str
    run: str | None
    run_attempt: int
    #: the explicit key, or `None`
    key: str | None
    #: occurrence n of the fingerprint in its run
    occurrence: int
    #: position in the run, counted by intents (for people; never an identity)
    step: int
    resource: str
    action: str
    effect: str
    state: str
    reason: str
    attempt: int
    replays: int
    intent_time: float
    outcome_time: float | None
    milliseconds: float | None
    status: int | None
    meta: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """Which calls a listing shows; `None` means any."""

    limit: int = 50
    state: str | None = None
    run: str | None = None
    agent: str | None = None
    resource: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One row of the run table. `attempt` is the newest; `calls` and `replays` are totals."""

    id: str
    domain: str
    agent: str
    user: str
    state: str
    attempt: int
    created: float
    updated: float
    calls: int = 0
    replays: int = 0
    result: bytes | None = None
    #: who opened it, as the gateway wrote it down
    details: dict[str, object] = field(default_factory=dict[str, object])
