"""The values the journal takes and returns: steps, intents, outcomes, and what is already known.

A step is a call's place in its run: the explicit key, or (fingerprint, n-th occurrence in the
attempt); never its position (DESIGN section 6).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

#: How a call may be repeated: no effect; the upstream honours an idempotency key; never.
Effect = Literal["safe", "keyed", "once"]
#: `model` calls carry the evidence, `tool` calls need it; `other` is journaled like a tool without it.
Kind = Literal["model", "tool", "other"]
#: `intent` is in flight, `doubt` in doubt, `done` has an outcome, `failed` was settled without one by
#: an operator, `released` is known not executed: asking again asks the same. `held` was not sent and
#: waits for an operator: it diverges from what the run did before, or its run's past is not certain.
State = Literal["intent", "done", "doubt", "failed", "released", "held"]
Repeat = Literal["each", "once_per_arguments"]
#: What a restarted agent sends: everything from the beginning, or what is left after a checkpoint of its own.
Resume = Literal["restart", "suffix"]
#: What becomes of a request of a later attempt that the journal does not hold while it holds others unasked.
OnDivergence = Literal["execute", "hold", "fail"]

#: What is counted against a budget: calls, tokens, or billionths of a US dollar.
Unit = Literal["calls", "tokens", "nanodollars"]

FINGERPRINT_VERSION = 1


def fingerprint(key: bytes, *, endpoint: str, resource: str, action: str, canonical: bytes) -> bytes:
    """Return the 32-byte keyed hash of a canonical request.

    `canonical` is the request as the agent sent it, before redaction, volatile fields left out,
    keys sorted, numbers by their text. Parts are length-prefixed so that none can pose as another.
    """
    digest = hmac.new(key, b"oncegate/fingerprint/%d" % FINGERPRINT_VERSION, hashlib.sha256)
    for part in (endpoint.encode(), resource.encode(), action.encode(), canonical):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose step it is; nobody replays another's outcome. `user` is `-` without one.

    `user` holds the user and the chain of actors, joined, when the agent acts on someone's behalf.
    """

    domain: str
    agent: str
    user: str = "-"


@dataclass(frozen=True, slots=True)
class RunRef:
    """A run and the attempt a call belongs to.

    `attempt` is the number the gateway gave. It is 0 for a bare `Oncegate-Run` header without one:
    then equal `once` requests get the first outcome.
    """

    id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Identity of one call, before it is known whether it was made already.

    `declared_retry` is true when the client says it repeats a request (an SDK's retry header).
    """

    owner: Owner
    run: RunRef | None
    key: str | None
    fingerprint: bytes
    kind: Kind
    resource: str
    action: str
    effect: Effect
    repeat: Repeat = "once_per_arguments"
    declared_retry: bool = False
    resume: Resume = "restart"
    on_divergence: OnDivergence = "execute"
    #: how long the upstream knows the key of a `keyed` step; in doubt for longer, it is `once`
    key_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultEntry:
    """A placeholder's original, to be sealed; `scope` as in `redaction.finding.Scope.id`."""

    scope: str
    token: str
    entity: str
    original: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one call takes of one budget: reserved with its intent, settled with its outcome.

    `counter` names what is counted in the store, `budget` and `measure` what people call it, `subject`
    whose it is. The call counts in `bucket`; what stands in the buckets from `since` on and `amount` may
    together be `most`. `until` is when the first of it counts no more, `None` when it always does. Times
    are microseconds since the epoch.
    """

    counter: str
    budget: str
    measure: str
    subject: str
    unit: Unit
    amount: int
    most: int
    bucket: int
    since: int
    until: int | None
    kept_until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a call has really taken; `None` where nobody knows: then what was reserved counts as taken."""

    tokens: int | None = None
    nanodollars: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """How far a run may go before it is taken for a loop; `None` is no bound.

    `same_call_max` counts what was begun of one fingerprint, `run_calls_max` all that the run has begun.
    """

    same_call_max: int | None = None
    run_calls_max: int | None = None
    run_seconds_max: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """Everything written before the effect, in one transaction.

    `request` is the redacted request (bytes of JSON; sealed by the store). `use` is, for a tool
    call, the keyed digest of (last part of the tool's name, redacted canonical arguments). `shown`
    is, for a model request, per such digest the number of results the conversation carries.
    `seconds_max` is how long the call may take (an operator may not decide before that). `rule` is the
    deciding policy line. `approval` is the approved request this call uses up, in the same transaction:
    where it is not approved any more nothing is begun and `ApprovalLost` is returned. `charges` are reserved
    in the same transaction, all or none: over one of them nothing is begun and `OverBudget` is returned.
    `labels` are put on the call, and so on its run. `seen` is as in `durable.history.PastCall`.
    """

    step: Step
    request: bytes
    use: bytes | None = None
    shown: Mapping[bytes, int] = field(default_factory=dict[bytes, int])
    vault: tuple[VaultEntry, ...] = ()
    audit: tuple[Mapping[str, object], ...] = ()
    digests: str = ""
    seconds_max: float = 60.0
    rule: str = ""
    approval: str | None = None
    charges: tuple[Charge, ...] = ()
    guard: Guard | None = None
    labels: tuple[str, ...] = ()
    seen: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the agent is given, after inward redaction and before restoration.

    `body` is the answer's body, the MCP `result` or `error` member, or the frames of a stream joined
    as sent. `media` is its content type. `meta` is small and free of content (usage, finish reason,
    kept headers). `form` says which of those `body` is.
    """

    form: Literal["body", "frames", "result", "error"]
    status: int
    media: str
    body: bytes
    meta: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """An outcome with what goes into its transaction.

    `uses` is, for a model answer, per tool-use digest how often it asks for it. `spent` is what it has
    taken of the budgets that its intent was charged to.
    """

    outcome: Outcome
    uses: Mapping[bytes, int] = field(default_factory=dict[bytes, int])
    vault: tuple[VaultEntry, ...] = ()
    audit: tuple[Mapping[str, object], ...] = ()
    spent: Spent = field(default_factory=Spent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What goes with the decision on a call in doubt, besides the outcome itself.

    `by` is who decides, as the call's reason names it. `uses` and `vault` are as in `Settlement`. `claim`
    names the upstream's record that proves it happened: no two calls can have the same.
    """

    by: str = "an operator"
    uses: Mapping[bytes, int] = field(default_factory=dict[bytes, int])
    vault: tuple[VaultEntry, ...] = ()
    claim: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """The right to send, once. `attempt` fences a late outcome; `occurrence` is n.

    `upstream_key` is the stable idempotency key for the upstream: an HMAC of the step, the same for
    every execution of it. `again` is true when an earlier execution was in doubt.
    """

    id: str
    attempt: int
    occurrence: int
    upstream_key: str
    again: bool = False
    diverges: Diverges | None = None
    #: what this execution has reserved
    charges: tuple[Charge, ...] = ()


@dataclass(frozen=True, slots=True)
class Diverges:
    """A new step of a later attempt, while `call_id` (the run's step `step`) was not asked for again.

    It is the first such entry of the same resource. Returned instead of `Began` where `on_divergence`
    is `fail`: nothing was begun.
    """

    call_id: str
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The step has an outcome. `digests` are the policy and redaction digests it was made under."""

    id: str
    occurrence: int
    outcome: Outcome
    digests: str
    intent_time: float


@dataclass(frozen=True, slots=True)
class InFlight:
    """The step is being executed; wait for it."""

    id: str


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The step may have been executed and its outcome is unknown; `reason` has no content in it."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """An operator settled the step as failed, without an outcome."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Held:
    """The step was not sent and waits for an operator; `reason` has no content in it.

    `diverges` says what it differs from, the first time it is asked.
    """

    id: str
    reason: str
    diverges: Diverges | None = None


@dataclass(frozen=True, slots=True)
class ApprovalLost:
    """The approval was used, withdrawn or is over, or is for other arguments; ask for it again."""

    id: str


@dataclass(frozen=True, slots=True)
class Purged:
    """The run id or explicit key was used, and what it did is not kept any more; never executed again."""


@dataclass(frozen=True, slots=True)
class KeyReused:
    """The explicit key was used for another request; nothing may be executed."""

    id: str


@dataclass(frozen=True, slots=True)
class Superseded:
    """The call bears an older attempt than the run's newest, or one the gateway never gave."""

    newest: int


@dataclass(frozen=True, slots=True)
class RunClosed:
    """The run is finished, failed or cancelled."""

    state: str


@dataclass(frozen=True, slots=True)
class OverBudget:
    """A budget has no room for the call: `used` of `charge.most` is spent or reserved. Nothing was begun.

    `until` is when it has room if nothing else is taken meanwhile (microseconds since the epoch), `None`: never.
    """

    charge: Charge
    used: int
    until: int | None


@dataclass(frozen=True, slots=True)
class Looping:
    """The run is taken for a loop; nothing was begun. `most` is the bound it has reached: calls, or seconds."""

    bound: Literal["same_call", "run_calls", "run_seconds"]
    most: float


Known = (
    Replay
    | InFlight
    | InDoubt
    | Failed
    | Held
    | KeyReused
    | Superseded
    | RunClosed
    | Diverges
    | ApprovalLost
    | Purged
    | OverBudget
    | Looping
)
