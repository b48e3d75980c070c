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
    #: the policy line that allowed it
    rule: str = ""
    #: the call of the parent run that this one was copied from
    forked_from: str | None = None
    #: when its newest execution began, and how long it may take from then
    sent_time: float = 0.0
    seconds_max: float = 0.0
    #: an operator, or a verify call, lets it be executed when it is next asked
    granted: bool = False
    #: the call it was found to differ from, and the first differing path: `<call id> <path>`
    diverges: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """Which calls a listing shows; `None` means any."""

    limit: int = 50
    state: str | None = None
    run: str | None = None
    agent: str | None = None
    resource: str | None = None
    #: of those in doubt or held: only what may be executed when it is next asked, or only what may not
    granted: bool | None = None
    #: only calls older than this one; ids sort by when they were given
    before: str | None = None
    #: in the order of the run's steps instead of newest first
    by_step: bool = False


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
    #: `open` by `POST /runs`, `header` by a bare `Oncegate-Run`, `managed` invoked by the gateway
    kind: str = "open"
    #: the agent a managed run invokes
    target: str | None = None
    #: when a managed run is started next, and when it is given up; seconds since the epoch
    due: float | None = None
    deadline: float | None = None
    attempts_max: int | None = None
    #: why it is in its state: `no answer within 60 s`, `cancelled by user:acme/ann`
    reason: str = ""
    #: what a waiting run waits for: `approval`, `message`, `timer`
    waiting: str | None = None
    labels: tuple[str, ...] = ()
    parent: str | None = None
    fork_step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRun:
    """A managed run this instance has taken over, to be invoked once: its input, unsealed, and its attempt."""

    record: RunRecord
    input: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One person's decision about an approval. `voter` is a subject with its domain: `user:acme/ann`."""

    voter: str
    groups: tuple[str, ...]
    approves: bool
    reason: str
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRecord:
    """One request for approval. Times are seconds since the epoch.

    States: `pending`, `approved` (not used yet), `used`, `denied`, `expired`, `lapsed` (a newer attempt
    of the run did not ask again). `demands` are the obligations as written, the group with its domain:
    `acme/finance-leads`, `acme/finance-leads,four-eyes`. `requesters` can never vote.
    """

    id: str
    state: str
    domain: str
    agent: str
    user: str
    run: str | None
    run_attempt: int
    resource: str
    action: str
    demands: tuple[str, ...]
    requesters: tuple[str, ...]
    #: keyed digest of the arguments as the agent sent them, and the policy set they were decided under
    arguments: bytes
    policy: str
    rule: str
    votes: tuple[Vote, ...]
    asked: float
    expires: float
    decided: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRecord:
    """One gateway process, as the journal knows it. `lease_until` is by the store's clock, 0 without leases."""

    id: str
    epoch: int
    started: float
    lease_until: float
    ended: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRecord:
    """What is taken of one measure of a budget by one subject, in the window that began at `since` (seconds).

    `measure` says what is counted: `requests`, `tool_calls`, `model_calls`, `tokens`, or `usd` in billionths.
    `most` is the bound when it was last charged.
    """

    budget: str
    measure: str
    subject: str
    most: int
    spent: int
    reserved: int
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedObject:
    """Where an owner received the id of something a provider keeps.

    `origin` is whose objects they are (a provider's base URL), `resource` the model that was called.
    """

    origin: str
    resource: str
