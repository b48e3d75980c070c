"""Managed runs as agents ask for them: opened under policy, their input redacted, their result told to whom it is for.

The run belongs to the agent that is invoked; who opened it is remembered, and may read its result. Every
attempt is decided anew as if it were opened then (`gateway/invoking.py`).
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, cast

from durable.records import RunRecord
from durable.stamp import random_name
from durable.step import Owner
from gateway import body, refusals
from gateway.call import Refusal
from gateway.outward import Veil, vault_entries
from gateway.owners import owner_user
from gateway.restoring import Originals, agent_grant, tool_grants
from gateway.trail import decision_record, digest_of, person_of, principal_record
from policy.decision import Principal, Question
from policy.history import History
from policy.resources import UnusableName, resource_name
from redaction import redactor
from redaction.finding import DetectionError, Scope, Shape

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from durable.journal import Journal, ManagedRuns, Runs
    from gateway.config import Agent
    from gateway.history import Histories
    from gateway.outward import Redaction
    from gateway.policies import Policies
    from policy.decision import Decision

#: An agent's input and its answer are its own affair: every text in them is scanned.
ANY_SHAPE = Shape()
_KEYS_BYTES = 64
_PLACEHOLDER_KEY = slice(32, 64)


class ManagedDesk:
    """Opens managed runs and reads them for their owner and for who opened them."""

    def __init__(
        self,
        *,
        managed: ManagedRuns,
        runs: Runs,
        journal: Journal,
        policies: Policies,
        redaction: Redaction,
        agents: Mapping[str, Agent],
        histories: Histories,
    ) -> None:
        self._managed = managed
        self._runs = runs
        self._journal = journal
        self._policies = policies
        self._redaction = redaction
        self._agents = agents
        self._histories = histories

    async def open(
        self, principal: Principal, name: str, content: object, run_id: str | None, labels: tuple[str, ...]
    ) -> RunRecord:
        """Return the run of agent `name` with input `content`, due at once.

        Raises `Refusal`, `LookupError` (another's run), `ValueError` (another input), `RunOver` (purged).
        """
        agent = self._agents.get(name)
        if agent is None or agent.url is None:
            raise Refusal(code="not_found", message="no such agent with a `url` is configured here", status=404)
        # the input has been read: what it may hold of labelled content has its label by now
        carried = sorted(await self._histories.labels_of(owner_of(principal)))
        decision = self.decide(principal, agent, content, carried)
        if not decision.allowed:
            await self._refuse(principal, agent, decision)
        carried = sorted({*carried, *decision.obligations.labels})
        user, actors = on_behalf(principal, agent)
        invoked = Principal(
            agent=agent.name, domain=agent.domain, user=user, actors=actors, method="run_token",
            user_roles=principal.user_roles if user is not None else frozenset(), credential=principal.credential,
            scopes=principal.scopes,
        )  # fmt: skip
        run = run_id or f"run_{random_name()}"
        keys = secrets.token_bytes(_KEYS_BYTES)
        veil = Veil(
            profile=self._redaction.profile_of(decision), scope=Scope(id=f"run/{run}", key=keys[_PLACEHOLDER_KEY]),
            domain=agent.domain, grants=tool_grants(decision, ()),
        )  # fmt: skip
        try:
            redacted = await self._redaction.tree(content, ANY_SHAPE, veil)
        except DetectionError:
            raise refusals.uninspected() from None
        if redacted.blocked:
            raise refusals.blocked(redacted.blocked)
        own = await self._journal.run_keys(owner_of(principal), None)
        record = RunRecord(
            id=run, domain=agent.domain, agent=agent.name, user=owner_user(invoked), state="ready", attempt=0,
            created=0.0, updated=0.0, target=agent.name, deadline=time.time() + agent.deadline_seconds,
            attempts_max=agent.retry.attempts_max, labels=labels,
            details=details_of(invoked) | {
                "attempts": agent.retry.attempts_max, "labels": list(labels), "carried": carried,
                "input": digest_of(own.fingerprint, body.canonical(content)),
                "opener": {**details_of(principal), "agent": principal.agent, "domain": principal.domain},
            },
        )  # fmt: skip
        audit = {
            "event": "run_opened", **principal_record(principal, await person_of(self._journal, principal)),
            "run": run, "target": agent.name, "resource": run_resource(agent.name), "action": "create",
            "redacted": dict(redacted.counts), **decision_record(decision),
            **({"carried": carried} if carried else {}),
        }  # fmt: skip
        return await self._managed.open_managed(
            owner_of(invoked), record, body.encode(redacted.tree), [audit], keys=keys,
            entries=vault_entries(veil.scope, redacted.minted), carried=carried,
        )  # fmt: skip

    def decide(self, principal: Principal, agent: Agent, content: object, labels: Collection[str]) -> Decision:
        """Return today's decision on opening a run of `agent` with that input, by somebody with those labels."""
        question = Question(
            principal=principal, resource=run_resource(agent.name), resource_domain=agent.domain, action="create",
            arguments=content, time=time.time(), run=History(calls=None, labels=frozenset(labels)),
        )  # fmt: skip
        return self._policies.current.decide(question)

    async def read(self, principal: Principal, run_id: str) -> tuple[RunRecord, object]:
        """Return a run and its result, for its owner and for who opened it. Raises `Refusal`."""
        record = await self._runs.read_run(run_id)
        if record is None:
            raise refusals.no_such_run()
        opener = opener_of(record)
        reader = owner_of(principal)
        owner = Owner(record.domain, record.agent, record.user)
        opened = opener is not None and owner_of(opener) == reader
        if owner != reader and not opened:
            raise refusals.no_such_run()
        if opened and record.result is not None:
            await self._carry_back(principal, record)
        return record, await self._result(principal, record, opened=opened)

    async def _carry_back(self, principal: Principal, record: RunRecord) -> None:
        """Put the labels of a run on who gets its result, before it is given."""
        owner = Owner(record.domain, record.agent, record.user)
        labels = await self._histories.labels_in(owner, record.id)
        if not labels:
            return
        audit = {
            "event": "labels_carried", **principal_record(principal, await person_of(self._journal, principal)),
            "run": record.id, "labels": sorted(labels),
        }  # fmt: skip
        await self._histories.carry(owner_of(principal), record.id, sorted(labels), [audit])

    async def _result(self, principal: Principal, record: RunRecord, *, opened: bool) -> object:
        if record.result is None:
            return None
        tree = body.parse(record.result)
        agent = self._agents.get(record.target or "")
        if not opened or agent is None:
            return tree
        decision = self.decide(principal, agent, None, carried_by(record))
        grant = agent_grant(decision) if decision.allowed else None
        tokens = redactor.tokens_in(tree, ANY_SHAPE) if grant is not None else ()
        if grant is None or not tokens:
            return tree
        found = await Originals(self._journal, f"run/{record.id}").of(tokens)
        restored, _ = redactor.restore(tree, found, entities=grant, pointer=None, shape=ANY_SHAPE)
        return restored

    async def _refuse(self, principal: Principal, agent: Agent, decision: Decision) -> None:
        refusal = refusals.denied(decision)
        record = {
            "event": "refusal", **principal_record(principal, await person_of(self._journal, principal)),
            "resource": run_resource(agent.name), "action": "create", "reason": refusal.message,
            **decision_record(decision),
        }  # fmt: skip
        await self._journal.write_audit([record])
        raise refusal


def on_behalf(principal: Principal, agent: Agent) -> tuple[str | None, tuple[str, ...]]:
    """Return the user a run of `agent` acts for, and the chain of who handed the work on.

    A user belongs to a trust domain and means nobody in another one.
    """
    if principal.user is None or principal.domain != agent.domain:
        return None, ()
    before = () if principal.agent == agent.name else (principal.agent,)
    return principal.user, (*before, *principal.actors)


def run_resource(agent: str) -> str:
    """Return the resource that stands for the runs of an agent. Raises `Refusal`."""
    try:
        return resource_name("run", agent)
    except UnusableName as error:
        message = f"the agent's name cannot be used: {error}"
        raise Refusal(code="bad_request", message=message, status=400) from None


def owner_of(principal: Principal) -> Owner:
    """Return as whom a principal's runs and calls are kept."""
    return Owner(principal.domain, principal.agent, owner_user(principal))


def details_of(principal: Principal) -> dict[str, object]:
    """Return what a run's row remembers of who opened it: names, no credential."""
    return {
        "roles": sorted(principal.roles),
        "groups": sorted(principal.groups),
        "user": principal.user,
        "user_roles": sorted(principal.user_roles),
        "actors": list(principal.actors),
        "issuer": principal.issuer,
        "credential": principal.credential,
        "subject": principal.subject,
        "scopes": None if principal.scopes is None else sorted(principal.scopes),
    }


def principal_from(details: Mapping[str, object], domain: str, agent: str) -> Principal:
    """Return the principal a run's calls are decided as."""
    scopes = cast("list[str] | None", details.get("scopes"))
    return Principal(
        agent=agent,
        domain=domain,
        roles=frozenset(cast("list[str]", details.get("roles", []))),
        groups=frozenset(cast("list[str]", details.get("groups", []))),
        user=cast("str | None", details.get("user")),
        user_roles=frozenset(cast("list[str]", details.get("user_roles", []))),
        actors=tuple(cast("list[str]", details.get("actors", []))),
        method="run_token",
        issuer=cast("str | None", details.get("issuer")),
        credential=cast("str", details.get("credential", "-")),
        subject=cast("str | None", details.get("subject")),
        scopes=None if scopes is None else frozenset(scopes),
    )


def carried_by(record: RunRecord) -> tuple[str, ...]:
    """Return the labels of who opened a managed run, as it was opened."""
    return tuple(cast("list[str]", record.details.get("carried", [])))


def opener_of(record: RunRecord) -> Principal | None:
    """Return who opened a managed run, `None` where that was its agent itself."""
    opener = record.details.get("opener")
    if not isinstance(opener, dict):
        return None
    named = cast("dict[str, object]", opener)
    return principal_from(named, cast("str", named.get("domain", "")), cast("str", named.get("agent", "")))
