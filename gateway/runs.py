"""Runs on the agents' listener: `POST /runs` opens one or its next attempt, `POST /runs/{id}/finish` ends it.

A run token is a handle to a row: the row remembers who opened the run, and every call is decided anew
as that principal.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from durable.journal import RunOver
from durable.step import Owner, RunRef
from gateway import body, refusals
from gateway.admin.parts import OpenedRun
from gateway.call import Refusal, Reply
from gateway.identity.run_header import usable_run_id
from gateway.outward import owner_user
from gateway.trail import principal_record
from policy.decision import Principal, Question
from policy.resources import resource_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from durable.journal import Journal, Runs
    from gateway.call import Exchange, Headers
    from gateway.policies import Policies

_CLOSING = frozenset({"finished", "failed"})


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
    ) -> None:
        self._runs = runs
        self._journal = journal
        self._policies = policies
        self._mint = mint
        self._public_url = public_url.rstrip("/")
        self._seconds_max = seconds_max

    async def open(self, principal: Principal, run_id: str | None) -> OpenedRun:
        """Return a new run, or the next attempt of `run_id`. Raises `Refusal`, `LookupError`, `RunOver`."""
        if run_id is not None and not usable_run_id(run_id):
            message = "`id` must be 1 to 128 characters of A-Z a-z 0-9 . _ : -"
            raise Refusal(code="bad_request", message=message, status=400)
        await self._may_create(principal)
        record = await self._runs.open_run(_owner(principal), run_id, details_of(principal))
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

    async def principal_of(self, run_id: str, attempt: int) -> Principal | None:
        """Return who opened the run; refuses what is over or superseded at the door."""
        record = await self._runs.read_run(run_id)
        if record is None:
            return None
        if record.state not in {"ready", "running", "waiting"}:
            raise refusals.run_closed(record.state)
        if record.attempt != attempt:
            raise refusals.superseded(record.attempt)
        return principal_from(record.details, record.domain, record.agent)

    async def admit(self, principal: Principal, run: RunRef) -> None:
        """Admit a run named by header: known to this owner, or created as attempt 1 where policy allows."""
        owner = _owner(principal)
        record = await self._runs.read_run(run.id)
        if record is None:
            await self._may_create(principal)
            record = await self._runs.touch_run(owner, run.id, details_of(principal))
        if (record.domain, record.agent, record.user) != (owner.domain, owner.agent, owner.user):
            raise refusals.no_such_run()

    async def finish(self, principal: Principal, run_id: str, attempt: int, state: str, result: object) -> bool:
        """Close a run of this owner's; false when it is not running that attempt."""
        record = await self._runs.read_run(run_id)
        owner = _owner(principal)
        if record is None or (record.domain, record.agent, record.user) != (owner.domain, owner.agent, owner.user):
            raise refusals.no_such_run()
        content = None if result is None else body.encode(result)
        return await self._runs.close_run(run_id, attempt, state, content)

    async def _may_create(self, principal: Principal) -> None:
        question = Question(
            principal=principal,
            resource=resource_name("run", principal.agent),
            resource_domain=principal.domain,
            action="create",
            time=time.time(),
        )
        decision = self._policies.current.decide(question)
        if not decision.allowed:
            refusal = refusals.denied(decision)
            await self._journal.write_audit([
                {"event": "refusal", **principal_record(principal), "resource": question.resource,
                 "action": "create", "rule": decision.rule, "policy": decision.digest, "reason": refusal.message}
            ])  # fmt: skip
            raise refusal


class RunsEntry:
    """The HTTP form of the desk for agents: JSON in, JSON out, errors as `{"error": {...}}`."""

    def __init__(self, desk: RunDesk, depth_max: int) -> None:
        self._desk = desk
        self._depth_max = depth_max

    async def answer(self, exchange: Exchange) -> Reply:
        """Serve `POST /runs` and `POST /runs/{id}/finish`."""
        if exchange.method != "POST":
            raise Refusal(code="bad_request", message="use POST", status=405)
        asked = self._object(exchange.body)
        parts = exchange.path.strip("/").split("/")
        if len(parts) == 1:
            content = await self._open(exchange, asked)
        elif len(parts) == 3 and parts[2] == "finish":  # noqa: PLR2004 - runs/{id}/finish
            content = await self._finish(exchange, parts[1], asked)
        else:
            raise Refusal(code="not_found", message="expected `/runs` or `/runs/{id}/finish`", status=404)
        return _json(200, content, ((b"oncegate-correlation", exchange.correlation.encode()),))

    def refuse(self, refusal: Refusal, extra: Headers) -> Reply:
        """Say a refusal as JSON."""
        return _json(refusal.status, {"error": {"code": refusal.code, "message": refusal.message}}, extra)

    async def _open(self, exchange: Exchange, asked: Mapping[str, object]) -> object:
        _only(asked, {"id"})
        run_id = asked.get("id")
        if run_id is not None and not isinstance(run_id, str):
            raise Refusal(code="bad_request", message="`id` must be a string", status=400)
        if exchange.own_tokens:
            message = "a run token opens nothing but its run's calls; use the agent's own credential"
            raise Refusal(code="denied", message=message, status=403)
        try:
            opened = await self._desk.open(exchange.principal, run_id)
        except LookupError:
            raise refusals.no_such_run() from None
        except RunOver as over:
            raise Refusal(code="run_closed", message=str(over), status=409) from None
        return {
            "id": opened.id,
            "token": opened.token,
            "attempt": opened.attempt,
            "openai_base_url": opened.openai_base_url,
            "anthropic_base_url": opened.anthropic_base_url,
            "mcp_url": opened.mcp_url,
        }

    async def _finish(self, exchange: Exchange, run_id: str, asked: Mapping[str, object]) -> object:
        _only(asked, {"attempt", "state", "result"})
        state, attempt = asked.get("state"), asked.get("attempt")
        if state not in _CLOSING or type(attempt) is not int:
            message = "expected `state` finished or failed, and `attempt`, a number"
            raise Refusal(code="bad_request", message=message, status=400)
        closed = await self._desk.finish(exchange.principal, run_id, attempt, cast("str", state), asked.get("result"))
        if not closed:
            raise Refusal(code="attempt_superseded", message="the run is not running this attempt", status=409)
        return {"id": run_id, "state": state}

    def _object(self, content: bytes) -> dict[str, object]:
        try:
            tree = body.parse(content or b"{}", depth_max=self._depth_max)
        except body.MalformedBody as error:
            raise Refusal(code="bad_request", message=f"the body is not usable JSON: {error}", status=400) from None
        if not isinstance(tree, dict):
            raise Refusal(code="bad_request", message="the body must be a JSON object", status=400)
        return cast("dict[str, object]", tree)


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
    }


def principal_from(details: Mapping[str, object], domain: str, agent: str) -> Principal:
    """Return the principal a run's calls are decided as."""
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
    )


def _owner(principal: Principal) -> Owner:
    return Owner(principal.domain, principal.agent, owner_user(principal))


def _only(asked: Mapping[str, object], known: set[str]) -> None:
    for name in asked:
        if name not in known:
            message = f"unknown field `{name[:64]}`; expected {', '.join(f'`{one}`' for one in sorted(known))}"
            raise Refusal(code="bad_request", message=message, status=400)


def _json(status: int, content: object, extra: Headers) -> Reply:
    return Reply(status=status, headers=((b"content-type", b"application/json"), *extra), body=body.encode(content))
