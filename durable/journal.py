"""The seam between the gateway and a store: what every journal promises.

JournalError            the store said no, or could not be asked
├── JournalUnavailable  cannot be written now: fail closed, send nothing
└── JournalRefused      the file is newer than this program, locked by another, or not ours
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from durable.records import CallFilter, CallRecord, RunRecord
    from durable.step import Began, InFlight, Intent, Known, Outcome, Owner, Settlement, Step, VaultEntry


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

    async def originals(self, scope: str, tokens: Sequence[str]) -> dict[str, VaultEntry]:
        """Return the vault's entries of `scope` for those `tokens` it holds."""
        ...

    async def run_keys(self, owner: Owner, run: str | None) -> RunKeys:
        """Return the secret keys of a run, or of an agent (and user) without one; made when new."""
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

    async def close_run(self, run_id: str, attempt: int, state: str, result: bytes | None) -> bool:
        """Move a running run to `finished`, `failed` or `cancelled`; false when it was not running."""
        ...

    async def close_idle_runs(self, idle_seconds: float) -> int:
        """Finish running runs without a call for that long; returns how many."""
        ...

    async def list_runs(self, *, limit: int, agent: str | None, state: str | None) -> list[RunRecord]:
        """Return the newest runs first."""
        ...


class RunOver(JournalError):  # noqa: N818 - says what is known
    """The run is finished, failed or cancelled and opens no further attempt."""


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

    async def resolve(
        self, call_id: str, verdict: str, outcome: Outcome | None, audit: Sequence[Mapping[str, object]]
    ) -> str:
        """Settle a call in doubt: `happened` (with `outcome`), `execute` or `fail`.

        Returns the new state. Raises `LookupError` when there is no such call, `NotInDoubt` when it
        is not in doubt, `TooEarly` when `execute` is asked before the owner and the call's time are over.
        """
        ...


class NotInDoubt(JournalError):  # noqa: N818 - says what is known
    """The call is not in doubt; there is nothing to settle."""


class TooEarly(JournalError):  # noqa: N818 - says what is known
    """The call may still be on its way; the message says until when."""
