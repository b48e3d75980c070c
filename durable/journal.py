"""The seam between the gateway and a store: what every journal promises.

JournalError            the store said no, or could not be asked
├── JournalUnavailable  cannot be written now: fail closed, send nothing
└── JournalRefused      the file is newer than this program, locked by another, or not ours
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from durable.records import (
        ApprovalRecord,
        CallFilter,
        CallRecord,
        DueRun,
        InstanceRecord,
        ReceivedObject,
        RunRecord,
        Vote,
    )
    from durable.step import Began, InFlight, Intent, Known, Outcome, Owner, Proof, Settlement, Step, VaultEntry

    Audit = Sequence[Mapping[str, object]]


class JournalError(Exception):
    """The store said no, or could not be asked."""


class JournalUnavailable(JournalError):  # noqa: N818 - says what is known
    """The store cannot be written now; nothing may be sent."""


class JournalRefused(JournalError):  # noqa: N818 - says what is known
    """The store is locked by another process, newer than this program, or not ours."""


class Journal(Protocol):
    """Intents and outcomes. Every method that writes returns only when the write is durable."""

    async def look_up(self, step: Step) -> Known | None:
        """Return what is known of `step`, `None` when it has to be begun.

        Only saves work; `begin` decides races. A `Replay` advances the attempt's cursor.
        """
        ...

    async def begin(self, intent: Intent) -> Began | Known:
        """Claim the step and write the intent, or say what is known of it instead.

        The insert by key decides races; in the same statement the attempt must be the run's newest
        and the run running. `safe` and `keyed` steps in doubt are begun again with attempt + 1.
        Raises `JournalUnavailable`.
        """
        ...

    async def settle(self, began: Began, settlement: Settlement) -> bool:
        """Write the outcome; false when fenced (another attempt has taken the step over)."""
        ...

    async def release(self, began: Began, reason: str, audit: Sequence[Mapping[str, object]]) -> None:
        """Record that the call is known not to have been executed; asking again asks the same."""
        ...

    async def doubt(self, began: Began, reason: str, audit: Sequence[Mapping[str, object]]) -> None:
        """Record that the effect perhaps happened."""
        ...

    async def wait(self, call_id: str, seconds_max: float) -> InFlight:
        """Wait until the call leaves `intent`; returns `InFlight` when the time is up.

        Raises `LookupError` when it has: begin it, and learn what is known of it now.
        """
        ...

    def delivered(self, call_id: str, *, complete: bool) -> None:
        """Tell how the answer was delivered: to the last byte, or not. In memory only.

        After a complete delivery an equal `safe`, `keyed` or model request is a new occurrence;
        after an incomplete or unknown one it is the same.
        """
        ...

    async def write_audit(self, records: Sequence[Mapping[str, object]]) -> None:
        """Append audit records that belong to no journal entry (refusals)."""
        ...

    async def person(self, domain: str, user: str) -> str:
        """Return the name that stands for a person in the audit."""
        ...

    async def originals(self, scope: str, tokens: Sequence[str]) -> dict[str, VaultEntry]:
        """Return the vault's entries of `scope` for those `tokens` it holds."""
        ...

    async def received_objects(self, owner: Owner, names: Sequence[str]) -> Mapping[str, Sequence[ReceivedObject]]:
        """Return from where `owner` received those of `names` (ids of what providers keep) that it did receive."""
        ...

    async def run_keys(self, owner: Owner, run: str | None) -> RunKeys:
        """Return the secret keys of a run, or of an agent (and user) without one; made when new."""
        ...

    def may_send(self) -> bool:
        """Return whether this instance still holds its lease; asked right before each send.

        Counted on the boot clock from when the last heartbeat was sent, so that a suspended process
        that wakes up finds it over. Always true where one process holds the store.
        """
        ...


class RunKeys(Protocol):
    """Random per run (or per owner without a run), 32 bytes each, stored wrapped by `secret_key`."""

    @property
    def fingerprint(self) -> bytes:
        """Key of fingerprints, tool-use digests and audit digests."""
        ...

    @property
    def placeholder(self) -> bytes:
        """Key of placeholders."""
        ...


class Runs(Protocol):
    """The runs of a journal."""

    async def open_run(self, owner: Owner, run_id: str | None, details: Mapping[str, object]) -> RunRecord:
        """Create a run (attempt 1), or open the next attempt of `run_id` when it exists.

        Attempts are numbered by compare-and-set. Raises `LookupError` when `run_id` belongs to
        another owner, `RunOver` when it is finished, failed or cancelled.
        """
        ...

    async def touch_run(self, owner: Owner, run_id: str, details: Mapping[str, object]) -> RunRecord:
        """Return the run, created as attempt 1 when unknown (a bare `Oncegate-Run` header)."""
        ...

    async def read_run(self, run_id: str) -> RunRecord | None:
        """Return the run or `None`."""
        ...

    async def close_run(
        self,
        run_id: str,
        attempt: int,
        state: str,
        result: bytes | None,
        *,
        reason: str = "",
        audit: Audit = (),
        entries: tuple[VaultEntry, ...] = (),
    ) -> bool:
        """Move an open run to `finished`, `failed` or `cancelled`; false when it was not open at that attempt.

        `entries` are the originals of the placeholders in `result`.
        """
        ...

    async def cancel_run(self, run_id: str, reason: str, audit: Audit) -> RunRecord:
        """Move an open run, whatever its attempt, to `cancelled`. Raises `LookupError`, `RunOver`."""
        ...

    async def retry_run(self, run_id: str, audit: Audit) -> RunRecord:
        """Open a failed or cancelled run again: a managed one is due at once, another takes its next attempt.

        Raises `LookupError`, and `RunOver` when it is finished or still open.
        """
        ...

    async def fork_run(
        self, run_id: str, step: int, details: Mapping[str, object], audit: Audit, *, repeat_effects: bool
    ) -> RunRecord:
        """Return a new run that holds the settled calls of `run_id` up to its step `step`, then goes on live.

        The run's keys are the parent's, so that the same requests are the same steps. Each later `once`
        call the parent executed is `held` in the fork, unless `repeat_effects`.
        Raises `LookupError`, and `ValueError` when the run has no such step.
        """
        ...

    async def close_idle_runs(self, idle_seconds: float) -> int:
        """Finish running runs without a call for that long; returns how many."""
        ...

    async def list_runs(
        self, *, limit: int, agent: str | None, state: str | None, before: str | None = None, kind: str | None = None
    ) -> list[RunRecord]:
        """Return the newest runs first, those begun before the run `before`. Raises `LookupError`."""
        ...


class ManagedRuns(Protocol):
    """Runs the gateway itself invokes, on any live instance."""

    async def open_managed(
        self,
        owner: Owner,
        record: RunRecord,
        content: bytes,
        audit: Audit,
        *,
        keys: bytes | None = None,
        entries: tuple[VaultEntry, ...] = (),
        carried: Collection[str] = (),
    ) -> RunRecord:
        """Write a managed run, state `ready`, due now, attempt 0; `content` is its input, sealed by the store.

        Of `record` the fields `id`, `target`, `deadline`, `attempts_max`, `labels` and `details` are taken.
        `keys` are the run's 64 secret bytes (fingerprint, placeholder) where its input was redacted under
        them already; `entries` are the originals that took out of it; `carried` are the labels policy has put on
        who opens it, which the run begins with. The same id with the same input
        (`details["input"]`, a keyed digest) returns the run there is; raises `LookupError` for another
        owner's and `ValueError` for another input or agent.
        """
        ...

    async def claim_due_run(self) -> DueRun | None:
        """Take the managed run that has been due longest: `running`, next attempt, owned by this instance.

        Compare-and-set: each due run goes to one instance. A run past its deadline or its attempts is
        `failed` instead. `None` when none is due.
        """
        ...

    async def next_due(self) -> float | None:
        """Return when the next managed run is due (seconds since the epoch), `None` without one."""
        ...

    async def put_off_run(
        self, run_id: str, attempt: int, due: float, reason: str, audit: Audit, *, counted: bool = True
    ) -> bool:
        """Give a managed run back: `ready` (waiting for its `timer`) until `due`; false when superseded.

        `counted` is false where the agent was never reached: then its attempts do not become fewer.
        """
        ...

    async def wait_due(self, seconds_max: float) -> None:
        """Return when a managed run is due, on any instance, or the time is up."""
        ...

    async def wait_run_over(self, run_id: str, attempt: int, seconds_max: float) -> bool:
        """Return true once the run is not open at that attempt any more, false when the time is up."""
        ...


class Approvals(Protocol):
    """Requests for a person's approval; rows, no connection or thread is held by one."""

    async def ask_approval(
        self, step: Step, wanted: ApprovalRecord, shown: bytes, audit: Audit, vault: Sequence[VaultEntry] = ()
    ) -> ApprovalRecord:
        """Return the open approval of `step` (`pending` or `approved`), or its newest, denied one; else write `wanted`.

        One for other arguments or another policy digest lapses and is written anew. `shown` is what
        approvers see, sealed by the store; `vault` the originals of its placeholders. A run's pending
        approval makes the run `waiting`.
        `id`, `state`, `votes`, `asked` and `decided` of `wanted` are the store's to fill.
        """
        ...

    async def wait_approval(self, approval_id: str, seconds_max: float) -> ApprovalRecord:
        """Return the approval once it is not pending, or as it is when the time is up; any instance may decide it."""
        ...

    async def vote(self, approval_id: str, vote: Vote, audit: Audit) -> ApprovalRecord:
        """Add a vote and return what it makes of the approval: one denial denies, all demands met approve.

        `four-eyes` asks for two voters. Raises `LookupError`; `ApprovalClosed` when it is not pending, or the voter
        is a requester, has voted, or belongs to none of the groups.
        """
        ...

    async def read_approval(self, approval_id: str) -> ApprovalRecord | None:
        """Return one approval or `None`."""
        ...

    async def read_shown(self, approval_id: str) -> bytes | None:
        """Return what approvers see of the call: redacted JSON."""
        ...

    async def expire_approvals(self) -> int:
        """Move pending and approved ones past their time, or of a run that is over, to `expired`; returns how many."""
        ...


class Housekeeping(Protocol):
    """What keeps a store small, readable and honest about its past."""

    async def purge(self, seconds: Mapping[str, float], *, rows_max: int) -> int:
        """Delete what is older than its state's retention, at most `rows_max` rows; returns how many.

        `seconds` by what it is about: `finished`, `failed`, `cancelled` (runs with all that belongs to
        them), `calls` (settled calls without a run, forms), `approvals`, `tombstones`. Rows of a run outlive it.
        A purged run id or explicit key leaves a tombstone and stays refused (`Purged`).
        """
        ...

    async def rewrap(self, *, rows_max: int) -> int:
        """Seal values of older secrets again under the first one, at most `rows_max`; returns how many."""
        ...

    async def instances(self) -> list[InstanceRecord]:
        """Return the gateway processes the store knows, newest first."""
        ...

    async def count_older(self) -> int:
        """Return how many values are sealed under an older secret than the first."""
        ...

    async def rolled_back(self) -> float | None:
        """Return since when the store's past is not certain (seconds since the epoch), `None` when it is."""
        ...

    async def note_head(self) -> None:
        """Note beside the store how far it has come, where it is a file. Raises `OSError`."""
        ...

    async def accept_past(self, audit: Audit) -> bool:
        """Accept that the store was rolled back: `once` steps are not held for it any more; false when nothing was."""
        ...


class RunOver(JournalError):  # noqa: N818 - says what is known
    """The run is finished, failed or cancelled and opens no further attempt."""


class RunPurged(RunOver):
    """The run id was used, and what it did is not kept any more."""


class Operator(Protocol):
    """What an operator may read and decide."""

    async def list_calls(self, wanted: CallFilter) -> list[CallRecord]:
        """Return the newest calls first; no bodies."""
        ...

    async def read_call(self, call_id: str) -> CallRecord | None:
        """Return one call or `None`; no bodies."""
        ...

    async def read_outcome(self, call_id: str) -> Outcome | None:
        """Return the (redacted) outcome of a call."""
        ...

    async def read_request(self, call_id: str) -> bytes | None:
        """Return the (redacted) request of a call: bytes of JSON."""
        ...

    async def note_divergence(self, call_id: str, text: str, audit: Audit) -> None:
        """Keep what a call was found to differ from: `<call id> <path>`."""
        ...

    async def open_doubts(self, resources: Sequence[str], limit: int) -> list[CallRecord]:
        """Return calls of these resources that are in doubt and not granted, those sent first first."""
        ...

    async def sent_key(self, call_id: str) -> str | None:
        """Return the upstream's idempotency key of a call's step, `None` when there is no such call."""
        ...

    async def resolve(
        self, call_id: str, verdict: str, outcome: Outcome | None, audit: Audit, proof: Proof = ...
    ) -> str:
        """Settle a call in doubt, or held: `happened` (with `outcome`), `execute` or `fail`.

        Returns the new state. Raises `LookupError` when there is no such call, `NotInDoubt` when it
        is not in doubt, `TooEarly` when `execute` is asked before the owner and the call's time are over,
        `Claimed` when another call has the record of `proof`.
        """
        ...


class ApprovalClosed(JournalError):  # noqa: N818 - says what is known
    """The vote does not count; the message says why."""


class NotInDoubt(JournalError):  # noqa: N818 - says what is known
    """The call is not in doubt; there is nothing to settle."""


class Claimed(JournalError):  # noqa: N818 - says what is known
    """The upstream's record that is to prove a call belongs to another one."""


class TooEarly(JournalError):  # noqa: N818 - says what is known
    """The call may still be on its way; the message says until when."""
