"""Runs on the agents' listener: `POST /runs` opens one, `GET /runs/{id}` shows it, `POST /runs/{id}/finish` ends it.

JSON in, JSON out, errors as `{"error": {...}}`. `{}` opens a new run, `{"id": …}` the next attempt of one,
`{"agent": …, "input": {…}}` a managed one, which the gateway itself sees to its end.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

from durable.journal import JournalUnavailable, RunOver, RunPurged
from gateway import body, refusals
from gateway.call import Refusal, Reply
from gateway.identity.run_header import usable_run_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durable.records import RunRecord
    from gateway.admin.parts import OpenedRun
    from gateway.call import Exchange, Headers
    from gateway.managed import ManagedDesk
    from gateway.runs import RunDesk

_CLOSING: Final = frozenset({"finished", "failed"})
_LABEL: Final = re.compile(r"[A-Za-z0-9._:\-]{1,64}")
LABELS_MAX: Final = 16
_FINISH_PARTS: Final = 3
_SHOW_PARTS: Final = 2


class RunsEntry:
    """The HTTP form of the desks for agents."""

    def __init__(self, desk: RunDesk, managed: ManagedDesk, depth_max: int) -> None:
        self._desk = desk
        self._managed = managed
        self._depth_max = depth_max

    async def answer(self, exchange: Exchange) -> Reply:
        """Serve one request. Raises `Refusal`."""
        parts = exchange.path.strip("/").split("/")
        try:
            content = await self._answered(exchange, parts)
        except LookupError:
            raise refusals.no_such_run() from None
        except RunPurged:
            raise refusals.purged() from None
        except RunOver as over:
            raise Refusal(code="run_closed", message=str(over), status=409) from None
        except JournalUnavailable:
            raise refusals.unwritable() from None
        return _json(200, content, ((b"oncegate-correlation", exchange.correlation.encode()),))

    def refuse(self, refusal: Refusal, extra: Headers) -> Reply:
        """Say a refusal as JSON."""
        return _json(refusal.status, {"error": {"code": refusal.code, "message": refusal.message}}, extra)

    async def _answered(self, exchange: Exchange, parts: list[str]) -> object:
        if len(parts) == _SHOW_PARTS and exchange.method == "GET":
            return await self._shown(exchange, parts[1])
        if exchange.method != "POST":
            raise refusals.wrong_method("GET, POST", "use POST, or GET on `/runs/{id}`")
        asked = self._object(exchange.body)
        if len(parts) == 1:
            return await self._opened(exchange, asked)
        if len(parts) == _FINISH_PARTS and parts[2] == "finish":
            return await self._finished(exchange, parts[1], asked)
        raise Refusal(code="not_found", message="expected `/runs`, `/runs/{id}` or `/runs/{id}/finish`", status=404)

    async def _opened(self, exchange: Exchange, asked: Mapping[str, object]) -> object:
        managed = "agent" in asked or "input" in asked
        _only(asked, {"id", "agent", "input", "labels"} if managed else {"id", "labels"})
        run_id = asked.get("id")
        if run_id is not None and (not isinstance(run_id, str) or not usable_run_id(run_id)):
            raise _bad("`id` must be 1 to 128 characters of A-Z a-z 0-9 . _ : -")
        labels = _labels(asked.get("labels", []))
        if exchange.own_tokens:
            message = "a run token opens nothing but its run's calls; use the agent's own credential"
            raise Refusal(code="denied", message=message, status=403)
        if not managed:
            return _attempt(await self._desk.open(exchange.principal, run_id, labels))
        agent = asked.get("agent")
        if not isinstance(agent, str) or "input" not in asked:
            raise _bad("a managed run needs `agent`, a configured agent's name, and `input`")
        try:
            record = await self._managed.open(exchange.principal, agent, asked["input"], run_id, labels)
        except ValueError as other:
            raise Refusal(code="key_reused", message=str(other), status=422) from None
        return {"id": record.id, "agent": record.agent, "state": record.state, "attempt": record.attempt}

    async def _shown(self, exchange: Exchange, run_id: str) -> object:
        if exchange.own_tokens and (exchange.run is None or exchange.run.id != run_id):
            raise refusals.no_such_run()
        record, result = await self._managed.read(exchange.principal, run_id)
        return _run(record, result)

    async def _finished(self, exchange: Exchange, run_id: str, asked: Mapping[str, object]) -> object:
        if exchange.own_tokens and (exchange.run is None or exchange.run.id != run_id):
            raise refusals.no_such_run()
        _only(asked, {"attempt", "state", "result"})
        state, attempt = asked.get("state"), asked.get("attempt")
        if state not in _CLOSING or type(attempt) is not int:
            raise _bad("expected `state` finished or failed, and `attempt`, a number")
        closed = await self._desk.finish(exchange.principal, run_id, attempt, cast("str", state), asked.get("result"))
        if not closed:
            raise Refusal(code="attempt_superseded", message="the run is not running this attempt", status=409)
        return {"id": run_id, "state": state}

    def _object(self, content: bytes) -> dict[str, object]:
        try:
            tree = body.parse(content or b"{}", depth_max=self._depth_max)
        except body.MalformedBody as error:
            raise _bad(f"the body is not usable JSON: {error}") from None
        if not isinstance(tree, dict):
            raise _bad("the body must be a JSON object")
        return cast("dict[str, object]", tree)


def _attempt(opened: OpenedRun) -> dict[str, object]:
    return {
        "id": opened.id,
        "token": opened.token,
        "attempt": opened.attempt,
        "openai_base_url": opened.openai_base_url,
        "anthropic_base_url": opened.anthropic_base_url,
        "mcp_url": opened.mcp_url,
    }


def _run(record: RunRecord, result: object) -> dict[str, object]:
    return {
        "id": record.id, "agent": record.agent, "state": record.state, "attempt": record.attempt,
        "waiting": record.waiting, "reason": record.reason, "labels": list(record.labels), "result": result,
    }  # fmt: skip


def _labels(given: object) -> tuple[str, ...]:
    listed = cast("list[object]", given) if isinstance(given, list) else [None]
    found = [label for label in listed if isinstance(label, str) and _LABEL.fullmatch(label)]
    if len(found) != len(listed) or len(found) > LABELS_MAX:
        raise _bad(f"`labels` must be a list of at most {LABELS_MAX} names of A-Z a-z 0-9 . _ : -")
    return tuple(dict.fromkeys(found))


def _bad(message: str) -> Refusal:
    return Refusal(code="bad_request", message=message, status=400)


def _only(asked: Mapping[str, object], known: set[str]) -> None:
    for name in asked:
        if name not in known:
            shown = name[:64] if name.isprintable() else "?"
            raise _bad(f"unknown field `{shown}`; expected {', '.join(f'`{one}`' for one in sorted(known))}")


def _json(status: int, content: object, extra: Headers) -> Reply:
    return Reply(status=status, headers=((b"content-type", b"application/json"), *extra), body=body.encode(content))
