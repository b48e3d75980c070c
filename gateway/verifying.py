"""Verify calls: whether a `once` call in doubt has happened is asked of a safe tool, not of a person.

Asked when the agent asks for the call again, and by itself after a crash. Asking is a call of its own on
behalf of the same principal: decided by policy, redacted, journaled and audited like any other. What the
tool says is compared before it is redacted, and leaves this file as a verdict only.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from durable.journal import JournalError, JournalUnavailable, NotInDoubt
from durable.records import CallFilter
from durable.step import Owner, Proof
from gateway import body
from gateway.body import at
from gateway.call import Refusal
from gateway.proof import Sought, Unclear, arguments_of, find, names, records_in, value_at
from gateway.restoring import Originals
from gateway.trail import new_audit_id
from policy.resources import resource_name
from redaction import redactor
from redaction.finding import DetectionError, Shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from durable.records import CallRecord
    from durable.store import Store
    from gateway.config import McpServer, Tool
    from gateway.config.durability import Verify
    from gateway.given import Giving
    from policy.decision import Principal
    from redaction.finding import Scope

_log = logging.getLogger("oncegate.verifying")

#: How often calls that a crash has left in doubt are looked for.
LOOK_SECONDS: Final = 5.0
#: Between two askings about one call, when nobody asks for it; doubled each time.
_PAUSE_SECONDS_MIN: Final = 5.0
_PAUSE_SECONDS_MAX: Final = 600.0
#: An agent that asks again and again does not make the gateway do the same.
_ASK_SECONDS_MIN: Final = 1.0
_DOUBTS_MAX: Final = 100
#: Outcomes looked through for whose a record is; with more of them, only a key proves anything.
_CLAIMS_MAX: Final = 2000
_ARGUMENTS: Final = ("params", "arguments")
_NO_SHAPE: Final = Shape()


class Asks(Protocol):
    """Calls a tool on behalf of a principal, as the gateway's own call."""

    async def __call__(
        self, principal: Principal, server: str, tool: str, arguments: dict[str, object], scope: Scope
    ) -> Said | None:
        """Return what the tool said, `None` when it may not be asked or has not answered."""
        ...


@dataclass(frozen=True, slots=True)
class Said:
    """A tool's result as its server sent it, and the id of the call that asked for it."""

    result: dict[str, object]
    call_id: str


@dataclass(frozen=True, slots=True)
class _Verified:
    """A tool that can be verified."""

    server: McpServer
    tool: Tool
    how: Verify


class Verifying:
    """Settles calls in doubt by what their servers say of them; `start` looks for them too, `aclose` ends that."""

    def __init__(self, store: Store, giving: Giving, servers: Mapping[str, McpServer], asks: Asks) -> None:
        self._store = store
        self._giving = giving
        self._asks = asks
        self._tools = {
            resource_name("mcp", server.name, "tool", tool.name): _Verified(server, tool, tool.verify)
            for server in servers.values()
            for tool in server.tools.values()
            if tool.verify is not None
        }
        self._asking: dict[str, asyncio.Task[bool]] = {}
        self._asked: dict[str, float] = {}
        self._next: dict[str, tuple[float, float]] = {}
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start looking for what is in doubt."""
        if self._tools:
            self._looking = asyncio.create_task(self._look())

    async def aclose(self) -> None:
        """Stop looking, and asking."""
        tasks: list[asyncio.Task[Any]] = [*self._asking.values()]
        if self._looking is not None:
            tasks.append(self._looking)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def settled(self, call_id: str, resource: str, principal: Principal | None = None) -> bool:
        """Return whether the call is in doubt no more, once its tool has been asked; false when it stays.

        It is asked as `principal`, or as whom the journal says made the call.
        """
        verified = self._tools.get(resource)
        if verified is None:
            return False
        task = self._asking.get(call_id)
        if task is None:
            now = time.monotonic()
            if now - self._asked.get(call_id, float("-inf")) < _ASK_SECONDS_MIN:
                return False
            self._asked = {known: when for known, when in self._asked.items() if now - when < _ASK_SECONDS_MIN}
            self._asked[call_id] = now
            task = self._asking[call_id] = asyncio.create_task(self._guarded(call_id, verified, principal))
            task.add_done_callback(lambda _: self._asking.pop(call_id, None))
        return await asyncio.shield(task)  # several may wait for one answer, and the first of them may leave

    async def _guarded(self, call_id: str, verified: _Verified, principal: Principal | None) -> bool:
        try:
            await self._verify(call_id, verified, principal)
        except NotInDoubt:
            return True  # somebody, or the late outcome, was faster
        except (Unclear, JournalError, DetectionError, Refusal, LookupError) as error:
            _log.info("call %s stays in doubt: %s", call_id, error)
            return False
        except Exception:  # noqa: BLE001 - the outermost handler
            # the outermost handler of an asking: an error of ours leaves the call in doubt, and the next one is asked
            _log.exception("asking about call %s ended by an error of the gateway", call_id)
            return False
        return True

    async def _verify(self, call_id: str, verified: _Verified, principal: Principal | None) -> None:
        record, request = await self._store.read_call(call_id), await self._store.read_request(call_id)
        if record is None or request is None or record.state != "doubt" or record.granted:
            raise NotInDoubt(call_id)
        how, who = verified.how, principal or await self._giving.principal(record)
        scope = await self._giving.scope(record)
        sought = await self._sought(record, request, verified.tool, scope)
        begun = time.time()
        said = await self._asks(who, verified.server.name, how.tool, arguments_of(how, sought.arguments[0]), scope)
        if said is None:
            raise Unclear(f"tool `{how.tool}` could not be asked, or gave no result")
        found = find(records_in(said.result, how.items), how, sought)
        left = found.records if found.certain else await self._unclaimed(verified, found.records)
        if len(left) > 1:
            raise Unclear("several records could be the call's")
        audit = self._audit(record, who, said)
        if left:
            await self._happened(record, verified, left[0], audit)
            return
        if begun < record.sent_time + max(how.settle_seconds, record.seconds_max):
            raise Unclear("its record may still come")
        await self._store.resolve(call_id, "execute", None, [audit | {"verdict": "execute"}], Proof(by="verify"))

    async def _happened(
        self, record: CallRecord, verified: _Verified, one: dict[str, object], audit: dict[str, object]
    ) -> None:
        text: dict[str, object] = {"type": "text", "text": body.encode(one).decode()}
        given = await self._giving.outcome(record, {"content": [text], "structuredContent": one}, "verify")
        ident = None if verified.how.id is None else value_at(one, verified.how.id)
        claim = await self._name(verified.server.name, str(ident)) if isinstance(ident, str | int) else None
        proof = Proof(by="verify", uses=given.uses, vault=given.vault, claim=claim)
        await self._store.resolve(record.id, "happened", given.outcome, [audit | {"verdict": "happened"}], proof)

    async def _sought(self, record: CallRecord, request: bytes, tool: Tool, scope: Scope) -> Sought:
        """Return what the upstream may have got: with placeholders, or with the originals put back."""
        key = await self._store.sent_key(record.id) or ""
        arguments = at(body.parse(request), _ARGUMENTS)
        redacted = dict(cast("dict[str, object]", arguments)) if isinstance(arguments, dict) else {}
        if tool.idempotency_argument is not None:
            redacted[tool.idempotency_argument] = key
        return Sought(key, (redacted, await self._restored(redacted, scope)))

    async def _restored(self, tree: object, scope: Scope) -> object:
        found = await Originals(self._store, scope.id).of(redactor.tokens_in(tree, _NO_SHAPE, scope.key))
        return redactor.restore(tree, found, entities=frozenset(), pointer=None, shape=_NO_SHAPE)[0]

    async def _unclaimed(
        self, verified: _Verified, records: Sequence[dict[str, object]]
    ) -> Sequence[dict[str, object]]:
        """Return those records no other call's outcome speaks of. Raises `Unclear` where that cannot be told."""
        pointer = verified.how.id or ""
        left = {str(value_at(one, pointer)): one for one in records}
        of_server = [resource for resource, one in self._tools.items() if one.server is verified.server]
        for resource in of_server if left else ():
            done = await self._store.list_calls(CallFilter(state="done", resource=resource, limit=_CLAIMS_MAX))
            if len(done) == _CLAIMS_MAX:
                raise Unclear("there are too many outcomes to look through")
            for call in done:
                for ident in await self._claimed(call, left.keys()):
                    del left[ident]
        return list(left.values())

    async def _claimed(self, call: CallRecord, idents: Iterable[str]) -> list[str]:
        outcome = await self._store.read_outcome(call.id)
        if outcome is None:
            return []
        try:
            tree: object = body.parse(outcome.body)
        except body.MalformedBody:
            tree = outcome.body.decode("utf-8", "replace")
        tree = await self._restored(tree, await self._giving.scope(call))
        return [ident for ident in idents if names(tree, ident)]

    async def _name(self, server: str, ident: str) -> str:
        """Return what stands for a server's record in the journal; not to be read back."""
        keys = await self._store.run_keys(Owner("-", "-"), None)  # no agent's: claims go across owners
        return hmac.new(keys.fingerprint, f"claim/{server}/{ident}".encode(), hashlib.sha256).hexdigest()

    def _audit(self, record: CallRecord, who: Principal, said: Said) -> dict[str, object]:
        return {
            "event": "verified", "audit": new_audit_id(), "by": "verify", "principal": who.name, "call": record.id,
            "resource": record.resource, "action": record.action, "effect": record.effect, "asked": said.call_id,
        }  # fmt: skip

    async def _look(self) -> None:
        """Ask about what is in doubt while nobody else does, ever more rarely."""
        while True:
            with contextlib.suppress(JournalUnavailable):
                found = await self._store.open_doubts(list(self._tools), _DOUBTS_MAX)
                self._next = {one.id: self._next[one.id] for one in found if one.id in self._next}
                for one in found:
                    await self._look_at(one)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look_at(self, record: CallRecord) -> None:
        due, pause = self._next.get(record.id, (0.0, _PAUSE_SECONDS_MIN))
        if record.effect != "once" or time.monotonic() < due:
            return
        if not await self.settled(record.id, record.resource):
            self._next[record.id] = (time.monotonic() + pause, min(2 * pause, _PAUSE_SECONDS_MAX))
