"""What the admin API is made of; the composition root fills it in.

The API itself knows no store, no issuer and no policy file: it asks these seams.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from durable.blocks import BlockRecord
    from durable.definitions import DefinitionRecord, Ruling
    from durable.journal import Audit as Records
    from durable.journal import Operator
    from durable.records import ApprovalRecord, CallRecord, RunRecord, Vote
    from gateway.admin.insight import Insight
    from gateway.admin.openid import Logins
    from gateway.budgets.ledger import Standing
    from gateway.call import Headers
    from gateway.config import Config
    from gateway.given import Given
    from gateway.resilience.gates import GateView
    from gateway.trying import Trial
    from policy.decision import Decision, Principal

#: Actions of the admin resources (DESIGN section 7).
AdminAction = Literal["read", "change", "approve"]
#: Which door a request came through: the loopback listener, or the owner's Unix socket.
Listener = Literal["tcp", "socket"]

#: An operator's outcome is at most as large as an upstream's.
BODY_BYTES_MAX = 8 * 1024 * 1024
#: Why an operator decided; a sentence, not a document.
REASON_CHARACTERS_MAX = 500
#: How many rows one listing gives at most.
ROWS_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedRun:
    """A run's newest attempt: its token (a secret) and where its agent finds the gateway."""

    id: str
    token: str
    attempt: int
    openai_base_url: str
    anthropic_base_url: str
    mcp_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something an operator did, or was not allowed to do, for the audit.

    `resource` is the admin resource (`admin/calls`), `object` what it was done to (a call id, a run
    id, `-`). `deed` is what was done (`resolve:happened`, `open_run`), `reason` the operator's words.
    `decision` is `None` for the owner on the Unix socket.
    """

    principal: Principal
    resource: str
    action: AdminAction
    object: str
    deed: str
    reason: str
    decision: Decision | None


class Authenticate(Protocol):
    """Verifies who asks on the TCP listener."""

    async def __call__(self, headers: Headers) -> Principal:
        """Return the verified principal. Raises `gateway.call.Refusal`."""
        ...


class Admit(Protocol):
    """Looks whether somebody known may still come in."""

    def __call__(self, principal: Principal) -> None:
        """Return when nothing is against it. Raises `gateway.call.Refusal` for who is blocked."""
        ...


class Decide(Protocol):
    """Decides by today's policy."""

    def __call__(self, principal: Principal, resource: str, action: AdminAction) -> Decision:
        """Return the decision on an admin resource, whose domain is the principal's own."""
        ...


class Record(Protocol):
    """Turns a deed into the audit's form."""

    def __call__(self, deed: Deed) -> Mapping[str, object]:
        """Return one audit record."""
        ...


class Audit(Protocol):
    """Writes audit records that belong to no journal entry (`Journal.write_audit`)."""

    async def __call__(self, records: Sequence[Mapping[str, object]]) -> None:
        """Return when the records are durable. Raises `JournalUnavailable`."""
        ...


class OpenRun(Protocol):
    """Opens a run, or the next attempt of one, in the name of an agent."""

    async def __call__(self, agent: str, domain: str, run_id: str | None) -> OpenedRun:
        """Return the new attempt. Raises `LookupError` (someone else's run), `RunOver`, `Refusal`."""
        ...


class Gives(Protocol):
    """Makes an outcome of what an operator gives, as if the upstream had given it."""

    async def __call__(self, call: CallRecord, tree: object) -> Given:
        """Return it redacted. Raises `Unusable`, `Refusal` when it may not be kept, `DetectionError`."""
        ...


class RunRows(Protocol):
    """The part of `durable.journal.Runs` that operators need."""

    async def read_run(self, run_id: str) -> RunRecord | None:
        """Return the run or `None`."""
        ...

    async def list_runs(
        self, *, limit: int, agent: str | None, state: str | None, before: str | None = None, kind: str | None = None
    ) -> list[RunRecord]:
        """Return the newest runs first, those begun before the run `before`. Raises `LookupError`."""
        ...

    async def close_run(self, run_id: str, attempt: int, state: str, result: bytes | None) -> bool:
        """Close a running run; false when it was not running this attempt."""
        ...

    async def cancel_run(self, run_id: str, reason: str, audit: Sequence[Mapping[str, object]]) -> RunRecord:
        """Cancel an open run. Raises `LookupError`, `RunOver`."""
        ...

    async def retry_run(self, run_id: str, audit: Sequence[Mapping[str, object]]) -> RunRecord:
        """Open a failed or cancelled run again. Raises `LookupError`, `RunOver`."""
        ...

    async def fork_run(
        self,
        run_id: str,
        step: int,
        details: Mapping[str, object],
        audit: Sequence[Mapping[str, object]],
        *,
        repeat_effects: bool,
    ) -> RunRecord:
        """Return a new run that shares the journal up to `step`. Raises `LookupError`, `ValueError`."""
        ...


class AcceptPast(Protocol):
    """Accepts that the store was rolled back (`durable.journal.Housekeeping.accept_past`)."""

    async def __call__(self, audit: Sequence[Mapping[str, object]]) -> bool:
        """Return whether anything was held for it. Raises `JournalUnavailable`."""
        ...


class ApprovalRows(Protocol):
    """The part of `durable.journal.Approvals` that approvers need."""

    async def list_approvals(
        self, *, limit: int, state: str | None, run: str | None, before: str | None = None
    ) -> list[ApprovalRecord]:
        """Return the newest approvals first, those asked before the approval `before`. Raises `LookupError`."""
        ...

    async def read_approval(self, approval_id: str) -> ApprovalRecord | None:
        """Return one approval or `None`."""
        ...

    async def read_shown(self, approval_id: str) -> bytes | None:
        """Return what approvers see of the call: redacted JSON."""
        ...

    async def vote(self, approval_id: str, vote: Vote, audit: Sequence[Mapping[str, object]]) -> ApprovalRecord:
        """Add a vote. Raises `LookupError`, `ApprovalClosed`."""
        ...


class BudgetRows(Protocol):
    """How budgets stand (`gateway/budgets/ledger.py`)."""

    async def standings(
        self, *, budget: str | None, subject: str | None, limit: int, after: tuple[str, str, str] | None = None
    ) -> list[Standing]:
        """Return what is spent, reserved and left, behind (budget, subject, measure). Raises `LookupError`."""
        ...


class DefinitionRows(Protocol):
    """What operators need of the definitions in the store (`durable.definition_book`)."""

    async def list_definitions(
        self, *, server: str | None, state: str | None, limit: int, after: tuple[str, str, str] = ("", "", "")
    ) -> list[DefinitionRecord]:
        """Return current versions by server, kind and name, those behind the place `after`."""
        ...

    async def read_versions(self, place: tuple[str, str, str]) -> list[DefinitionRecord]:
        """Return all versions of one definition (server, kind, name), the current one first."""
        ...

    async def decide_definition(
        self, place: tuple[str, str, str], ruling: Ruling, audit: Sequence[Mapping[str, object]]
    ) -> DefinitionRecord:
        """Accept or reject exactly one version. Raises `LookupError`, `DefinitionMoved`."""
        ...


class BlockRows(Protocol):
    """Who and what is blocked (`durable.block_book`)."""

    async def block(
        self, subject: str, *, reason: str, blocker: str, audit: Sequence[Mapping[str, object]]
    ) -> BlockRecord:
        """Block `subject`; one that is blocked already stays as it is."""
        ...

    async def lift_block(self, subject: str, *, audit: Sequence[Mapping[str, object]]) -> BlockRecord:
        """Lift a block. Raises `LookupError` when there is none."""
        ...

    async def list_blocks(self) -> list[BlockRecord]:
        """Return all blocks, the newest first."""
        ...

    async def person(self, domain: str, user: str) -> str:
        """Return the name that stands for a person in the audit."""
        ...


class Unveil(Protocol):
    """Puts originals back for an approver, where the approval's policy line says so."""

    async def __call__(self, scope: str, tree: object, entities: frozenset[str]) -> object:
        """Return the tree with the originals of these entities in a placeholder scope; `*` means all."""
        ...


class RedactionDesk(Protocol):
    """Tries redaction on a content, and erases originals."""

    async def try_out(self, content: object, profile: str | None, characters_max: int) -> Trial:
        """Return what becomes of it. Raises `LookupError` (no such profile), `ValueError`, `DetectionError`."""
        ...

    async def erase_values(self, values: Sequence[str], audit: Records) -> int:
        """Erase the originals that hold one of `values`; returns how many."""
        ...

    async def erase_user(self, domain: str, user: str, audit: Records) -> int:
        """Erase who a user was, and the originals of their runs; returns how many."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminParts:
    """Everything the admin API needs.

    `hosts` are the accepted values of the `Host` header on the TCP listener (`127.0.0.1:8081`), `models`
    the names of the configured models, `policy_sets` those of the policy sets a fork may be decided by.
    """

    runs: RunRows
    operator: Operator
    authenticate: Authenticate
    decide: Decide
    record: Record
    write_audit: Audit
    open_run: OpenRun
    given: Gives
    accept_past: AcceptPast
    approvals: ApprovalRows
    definitions: DefinitionRows
    blocks: BlockRows
    #: reads them anew, so that what was set here counts here once that is answered
    look_at_blocks: Callable[[], Awaitable[None]]
    #: what the configuration names, for blocks
    named: Config
    unveil: Unveil
    budgets: BudgetRows
    hosts: frozenset[str]
    upstreams: Callable[[], Sequence[GateView]] = tuple
    redaction: RedactionDesk | None = None
    models: frozenset[str] = frozenset()
    policy_sets: frozenset[str] = frozenset()
    version: str = field(default="0")
    #: who logs people in, and looks at each of their requests whether they may still come in
    logins: Logins | None = None
    admit: Admit | None = None
    #: what the running gateway knows of itself; without it there is no console, no metrics, no audit to search
    insight: Insight | None = None
