"""Opens runs and their attempts, knows whose they are, and ends them (DESIGN section 6).

A run token is a handle to a row: the row remembers who opened the run, and every call is decided anew
as that principal.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from durable.stamp import random_name
from durable.step import Owner
from gateway import body, refusals
from gateway.admin.parts import OpenedRun
from gateway.call import Refusal
from gateway.identity.run_header import usable_run_id
from gateway.managed import ANY_SHAPE, details_of, opener_of, owner_of, principal_from, run_resource
from gateway.outward import Veil, vault_entries
from gateway.restoring import Originals
from gateway.trail import person_of, principal_record
from policy.decision import Principal, Question
from policy.history import History
from redaction.finding import DetectionError, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from durable.journal import Journal, Runs
    from durable.records import RunRecord
    from durable.step import RunRef, VaultEntry
    from gateway.history import Histories
    from gateway.outward import Redaction
    from gateway.policies import Policies
    from policy.in_force import InForce

_OPEN = frozenset({"ready", "running", "waiting"})
#: Forks whose other models and policies are remembered; what is forgotten is read again with the next call.
_FORKS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class _Fork:
    """What a fork does otherwise: other models by those the agent asks for, a policy set by name."""

    models: Mapping[str, str]
    policies: str | None


class RunDesk:
    """Opens runs, finds the principal behind a run token, admits runs named by header."""

    def __init__(
        self,
        *,
        runs: Runs,
        journal: Journal,
        policies: Policies,
        mint: Callable[[str, int, float], str],
        public_url: str,
        seconds_max: float,
        redaction: Redaction,
        histories: Histories,
    ) -> None:
        self._runs = runs
        self._journal = journal
        self._policies = policies
        self._mint = mint
        self._public_url = public_url.rstrip("/")
        self._seconds_max = seconds_max
        self._redaction = redaction
        self._histories = histories
        self._forks: dict[str, _Fork] = {}

    async def open(self, principal: Principal, run_id: str | None, labels: tuple[str, ...] = ()) -> OpenedRun:
        """Return a new run, or the next attempt of `run_id`. Raises `Refusal`, `LookupError`, `RunOver`.

        `labels` are a new run's; a run there is keeps its own.
        """
        if run_id is not None and not usable_run_id(run_id):
            message = "`id` must be 1 to 128 characters of A-Z a-z 0-9 . _ : -"
            raise Refusal(code="bad_request", message=message, status=400)
        marks = await self._may_create(principal)
        details = details_of(principal) | {"labels": list(labels)}
        name = run_id or f"run_{random_name()}"
        await self._mark(principal, name, marks)
        record = await self._runs.open_run(owner_of(principal), name, details)
        token = self._mint(record.id, record.attempt, time.time() + self._seconds_max)
        return OpenedRun(
            id=record.id,
            token=token,
            attempt=record.attempt,
            openai_base_url=f"{self._public_url}/v1",
            anthropic_base_url=self._public_url,
            mcp_url=f"{self._public_url}/mcp",
        )

    async def open_as(self, agent: str, domain: str, run_id: str | None) -> OpenedRun:
        """Open a run in the name of an agent, for the owner on the admin socket."""
        return await self.open(Principal(agent=agent, domain=domain, method="socket", credential="socket"), run_id)

    async def principal_of(self, run_id: str, attempt: int) -> tuple[Principal, Principal] | None:
        """Return who a run's calls are decided as, and who opened it; what is over or superseded is refused here."""
        record = await self._runs.read_run(run_id)
        if record is None:
            return None
        if record.state not in _OPEN:
            raise refusals.run_closed(record.state)
        if record.attempt != attempt:
            raise refusals.superseded(record.attempt)
        self._note_fork(record)
        principal = principal_from(record.details, record.domain, record.agent)
        return principal, opener_of(record) or principal

    async def admit(self, principal: Principal, run: RunRef) -> None:
        """Admit a run named by header: known to this owner, or created as attempt 1 where policy allows."""
        owner = owner_of(principal)
        record = await self._runs.read_run(run.id)
        if record is None:
            await self._mark(principal, run.id, await self._may_create(principal))
            record = await self._runs.touch_run(owner, run.id, details_of(principal))
        if (record.domain, record.agent, record.user) != (owner.domain, owner.agent, owner.user):
            raise refusals.no_such_run()
        self._note_fork(record)

    def other_model(self, run: RunRef, model: str) -> str | None:
        """Return the model that `run`, a fork, asks instead of `model`; `None` where it asks that one."""
        fork = self._forks.get(run.id)
        return None if fork is None else fork.models.get(model)

    def policies_of(self, run: RunRef | None) -> InForce:
        """Return what decides the calls of a run: the set in force, or the one its fork was made with.

        Raises `Refusal` where that one is not configured any more.
        """
        fork = None if run is None else self._forks.get(run.id)
        if fork is None or fork.policies is None:
            return self._policies.current
        named = self._policies.named.get(fork.policies)
        if named is None:
            message = f"the policy set `{fork.policies}` this run was forked with is not in `policy_sets` any more"
            raise Refusal(code="denied", message=message, status=403)
        return named.current

    async def finish(self, principal: Principal, run_id: str, attempt: int, state: str, result: object) -> bool:
        """Close a run of this owner's; false when it is not running that attempt."""
        record = await self._runs.read_run(run_id)
        owner = owner_of(principal)
        if record is None or (record.domain, record.agent, record.user) != (owner.domain, owner.agent, owner.user):
            raise refusals.no_such_run()
        content, entries = await self._kept(record, result)
        audit = {
            "event": f"run_{state}", "run": run_id, "attempt": attempt,
            **principal_record(principal, await person_of(self._journal, principal)),
        }  # fmt: skip
        return await self._runs.close_run(run_id, attempt, state, content, audit=[audit], entries=entries)

    async def _kept(self, record: RunRecord, result: object) -> tuple[bytes | None, tuple[VaultEntry, ...]]:
        """Return a result as it is kept, redacted as an answer would be, with the originals that takes out of it."""
        if result is None:
            return None, ()
        owner = Owner(record.domain, record.agent, record.user)
        keys = await self._journal.run_keys(owner, record.id)
        scope = Scope(id=f"run/{record.id}", key=keys.placeholder)
        try:
            veil = Veil(
                profile=self._redaction.default_profile, scope=scope, domain=record.domain,
                known=Originals(self._journal, scope.id).of,
            )  # fmt: skip
            redacted = await self._redaction.tree(result, ANY_SHAPE, veil)
        except DetectionError:
            raise refusals.uninspected() from None
        if redacted.blocked:
            raise refusals.blocked(redacted.blocked)
        return body.encode(redacted.tree), vault_entries(scope, redacted.minted)

    def _note_fork(self, record: RunRecord) -> None:
        models, policies = record.details.get("models"), record.details.get("policies")
        if not models and policies is None:
            return
        self._forks.pop(record.id, None)
        if len(self._forks) >= _FORKS_MAX:  # the one whose last call is longest ago
            del self._forks[next(iter(self._forks))]
        self._forks[record.id] = _Fork(cast("dict[str, str]", models or {}), cast("str | None", policies))

    async def _mark(self, principal: Principal, run: str, labels: tuple[str, ...]) -> None:
        """Put the labels of the line that lets it begin on a run, before anybody can call in it."""
        if labels:
            await self._histories.carry(owner_of(principal), run, labels, ())

    async def _may_create(self, principal: Principal) -> tuple[str, ...]:
        """Return the labels a run of this principal begins with. Raises `Refusal` where it may begin none."""
        question = Question(
            principal=principal,
            resource=run_resource(principal.agent),
            resource_domain=principal.domain,
            action="create",
            time=time.time(),
        )
        policies = self._policies.current
        if policies.recalls(question):
            standing = await self._histories.labels_of(owner_of(principal))
            question = replace(question, run=History(calls=None, labels=standing))
        decision = policies.decide(question)
        if not decision.allowed:
            refusal = refusals.denied(decision)
            await self._journal.write_audit([
                {"event": "refusal", **principal_record(principal, await person_of(self._journal, principal)),
                 "resource": question.resource,
                 "action": "create", "rule": decision.rule, "policy": decision.digest, "reason": refusal.message}
            ])  # fmt: skip
            raise refusal
        return decision.obligations.labels
