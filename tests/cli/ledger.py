"""The smallest journal the admin API can stand on: runs and calls in dictionaries."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from durable.journal import JournalUnavailable, NotInDoubt, RunOver, TooEarly
from durable.records import ApprovalRecord, CallFilter, CallRecord, RunRecord, Vote
from durable.step import Proof

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from durable.step import Outcome, Owner
    from gateway.budgets.ledger import Standing

_SAID = Proof()
NOW = 1_700_000_000.0

_BLANK = CallRecord(
    id="call_1",
    domain="acme",
    agent="billing",
    user="-",
    run=None,
    run_attempt=0,
    key=None,
    occurrence=0,
    step=1,
    resource="mcp/payments/tool/charge_card",
    action="call",
    effect="once",
    state="done",
    reason="",
    attempt=1,
    replays=0,
    intent_time=NOW,
    outcome_time=NOW + 0.012,
    milliseconds=12.0,
    status=200,
    meta={},
)


class Ledger:
    """Implements `RunRows` and `Operator`, and keeps the audit."""

    def __init__(self) -> None:
        self.runs: dict[str, RunRecord] = {}
        self.calls: dict[str, CallRecord] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.audit: list[Mapping[str, object]] = []
        self.down = False
        self.too_early: set[str] = set()

    async def standings(
        self, *, budget: str | None, subject: str | None, limit: int, after: tuple[str, str, str] | None = None
    ) -> list[Standing]:
        """Return no budgets: this ledger charges nothing."""
        del budget, subject, limit, after
        return []

    def add_call(self, call_id: str, **changes: object) -> CallRecord:
        """Add a call like the blank one."""
        call = replace(_BLANK, id=call_id, **changes)
        self.calls[call_id] = call
        return call

    def add_run(self, run_id: str, agent: str = "billing", domain: str = "acme") -> None:
        """Add a running run at its first attempt."""
        self.runs[run_id] = RunRecord(
            id=run_id, domain=domain, agent=agent, user="-", state="running", attempt=1, created=NOW, updated=NOW
        )

    async def list_approvals(
        self, *, limit: int, state: str | None, run: str | None, before: str | None = None
    ) -> list[ApprovalRecord]:
        """Return nothing: approvals are tested on a running gateway (tests/approvals)."""
        del limit, state, run, before
        return []

    async def read_approval(self, approval_id: str) -> ApprovalRecord | None:
        """Return nothing."""
        del approval_id
        return None

    async def read_shown(self, approval_id: str) -> bytes | None:
        """Return nothing."""
        del approval_id
        return None

    async def vote(self, approval_id: str, vote: Vote, audit: Sequence[Mapping[str, object]]) -> ApprovalRecord:
        """Find nothing to vote on."""
        del vote, audit
        raise LookupError(approval_id)

    async def accept_past(self, audit: Sequence[Mapping[str, object]]) -> bool:
        """Note that it was accepted; it was never rolled back."""
        await self.write_audit(audit)
        return False

    async def write_audit(self, records: Sequence[Mapping[str, object]]) -> None:
        self._check()
        self.audit.extend(records)

    async def open_run(self, owner: Owner, run_id: str | None) -> RunRecord:
        self._check()
        name = run_id or f"run_{len(self.runs) + 1}"
        known = self.runs.get(name)
        if known is None:
            self.add_run(name, owner.agent, owner.domain)
        elif (known.domain, known.agent) != (owner.domain, owner.agent):
            raise LookupError(name)
        elif known.state != "running":
            raise RunOver(f"run `{name}` is {known.state}")
        else:
            self.runs[name] = replace(known, attempt=known.attempt + 1)
        return self.runs[name]

    async def read_run(self, run_id: str) -> RunRecord | None:
        self._check()
        return self.runs.get(run_id)

    async def close_run(self, run_id: str, attempt: int, state: str, result: bytes | None) -> bool:
        self._check()
        run = self.runs.get(run_id)
        if run is None or run.state != "running" or run.attempt != attempt:
            return False
        self.runs[run_id] = replace(run, state=state, result=result)
        return True

    async def cancel_run(self, run_id: str, reason: str, audit: Sequence[Mapping[str, object]]) -> RunRecord:
        return self._changed(run_id, {"running"}, "cancelled", reason, audit)

    async def retry_run(self, run_id: str, audit: Sequence[Mapping[str, object]]) -> RunRecord:
        return self._changed(run_id, {"failed", "cancelled"}, "ready", "opened again", audit)

    async def fork_run(
        self,
        run_id: str,
        step: int,
        details: Mapping[str, object],
        audit: Sequence[Mapping[str, object]],
        *,
        repeat_effects: bool,
    ) -> RunRecord:
        self._check()
        if step > self.runs[run_id].calls:
            raise ValueError(f"run `{run_id}` has {self.runs[run_id].calls} steps, none is {step}")
        fork = replace(
            self.runs[run_id], id=f"{run_id}_fork", state="ready", parent=run_id, fork_step=step,
            details={**details, "repeat_effects": repeat_effects},
        )  # fmt: skip
        self.runs[fork.id] = fork
        self.audit.extend(audit)
        return fork

    def _changed(
        self, run_id: str, before: set[str], state: str, reason: str, audit: Sequence[Mapping[str, object]]
    ) -> RunRecord:
        self._check()
        if self.runs[run_id].state not in before:
            raise RunOver(f"run `{run_id}` is {self.runs[run_id].state}")
        self.runs[run_id] = replace(self.runs[run_id], state=state, reason=reason)
        self.audit.extend(audit)
        return self.runs[run_id]

    async def list_runs(
        self, *, limit: int, agent: str | None, state: str | None, before: str | None = None, kind: str | None = None
    ) -> list[RunRecord]:
        self._check()
        assert before is None
        return [
            run for run in reversed(self.runs.values())
            if agent in {None, run.agent} and state in {None, run.state} and kind in {None, run.kind}
        ][:limit]  # fmt: skip

    async def list_calls(self, wanted: CallFilter) -> list[CallRecord]:
        self._check()
        return [
            call
            for call in reversed(self.calls.values())
            if wanted.state in {None, call.state}
            and wanted.granted in {None, call.granted}
            and wanted.run in {None, call.run}
            and wanted.agent in {None, call.agent}
            and wanted.resource in {None, call.resource}
        ][: wanted.limit]

    async def read_call(self, call_id: str) -> CallRecord | None:
        self._check()
        return self.calls.get(call_id)

    async def read_outcome(self, call_id: str) -> Outcome | None:
        return self.outcomes.get(call_id)

    async def read_request(self, call_id: str) -> bytes | None:
        return b"{}" if call_id in self.calls else None

    async def note_divergence(self, call_id: str, text: str, audit: Sequence[Mapping[str, object]]) -> None:
        self.calls[call_id] = replace(self.calls[call_id], diverges=text)
        self.audit.extend(audit)

    async def open_doubts(self, resources: Sequence[str], limit: int) -> list[CallRecord]:
        del resources, limit
        return []

    async def sent_key(self, call_id: str) -> str | None:
        del call_id
        return None

    async def resolve(
        self,
        call_id: str,
        verdict: str,
        outcome: Outcome | None,
        audit: Sequence[Mapping[str, object]],
        proof: Proof = _SAID,
    ) -> str:
        del proof
        self._check()
        call = self.calls[call_id]
        if call.state != "doubt":
            raise NotInDoubt(call_id)
        if verdict == "execute" and call_id in self.too_early:
            raise TooEarly("the call may still be on its way for 30 s")
        if outcome is not None:
            self.outcomes[call_id] = outcome
        state = {"happened": "done", "execute": "doubt", "fail": "failed"}[verdict]
        self.calls[call_id] = replace(call, state=state, granted=verdict == "execute")
        self.audit.extend(audit)
        return state

    def _check(self) -> None:
        if self.down:
            raise JournalUnavailable("the disk is full")
