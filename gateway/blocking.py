"""The kill switch: what is blocked is refused within a second on every instance, and said in its protocol.

The blocks stand in the store; each instance keeps them in memory, told by the store's own signal and by a look
twice a second. The hot path asks a set, and whether the last look is young enough: an instance that cannot read
its blocks refuses everything, because it cannot know what is blocked by now.

| a block of | refuses |
|---|---|
| `agent:acme/billing`, `user:acme/ada` | whatever they call, or is called on their behalf |
| `domain:acme` | whatever its agents call, and whoever calls its models and servers |
| `run:run_abc` | the calls and attempts of that run |
| `mcp/payments`, `model/gpt`, `mcp/payments/tool/pay` | calls of it, and of what is below it |

What is under way is not undone: an answer that streams to a blocked caller is cut, its upstream call is finished and
journaled as for a client that went away, and nothing is sent for it again. An answer that comes later is journaled
and withheld. Both are audited (`withheld`), a late answer in the transaction of its outcome.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from durable.journal import JournalError
from gateway.call import Refusal
from gateway.identity.names import usable_name
from gateway.identity.run_header import usable_run_id
from policy.resources import UnusableName, compile_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from durable.blocks import BlockRecord
    from gateway.call import Call
    from policy.decision import Principal

_log = logging.getLogger("oncegate.blocking")

#: How old what is known of the store's blocks may be.
STALE_SECONDS_MAX: Final = 5.0
#: How long one look at the store lasts at most, where its signal is lost.
LOOK_SECONDS: Final = 0.4
_AWAY_SECONDS: Final = 0.2
SUBJECT_CHARACTERS_MAX: Final = 600
#: counts on while the machine sleeps
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_KINDS: Final = ("mcp", "model", "agent")
FORMS: Final = "`agent:DOMAIN/NAME`, `user:DOMAIN/NAME`, `domain:NAME`, `run:ID`, `mcp/SERVER…` or `model/NAME…`"


class BlockStore(Protocol):
    """What is needed of the store."""

    async def list_blocks(self) -> list[BlockRecord]:
        """Return all blocks."""
        ...

    async def blocks_revision(self) -> int:
        """Return the number of changes so far."""
        ...

    async def wait_blocks(self, known: int, seconds_max: float) -> None:
        """Wait until there are more changes than `known`."""
        ...


class UnusableSubject(ValueError):  # noqa: N818 - says what is known of the text
    """A text names nothing that could be blocked."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """An answer under way: whose, in which run, on which path, and what ends it."""

    principal: Principal
    run: str | None
    path: str
    concerns: tuple[str, ...]
    cut: Callable[[], None]


class Blocks:
    """What is blocked, in memory."""

    def __init__(self, store: BlockStore, clock: Callable[[], float] = lambda: time.clock_gettime(_CLOCK)) -> None:
        self._store = store
        self._clock = clock
        self._subjects: frozenset[str] = frozenset()
        self._revision = -1
        self._known_at = float("-inf")
        self._streams: dict[object, _Stream] = {}
        self._watch: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()

    async def open(self) -> None:
        """Read everything and begin to hear of changes. Raises `JournalUnavailable`."""
        await self.look()
        self._watch = asyncio.create_task(self._hear(), name="blocks")

    async def aclose(self) -> None:
        """Hear no more."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    def of_caller(self, principal: Principal, run: str | None) -> Refusal | None:
        """Return the refusal of whatever a blocked caller asks, `None` for others."""
        if self._clock() - self._known_at > STALE_SECONDS_MAX:
            return _unknown()
        return self._found(callers(principal, run)) if self._subjects else None

    def of_call(self, call: Call) -> Refusal | None:
        """Return the refusal of a call of or by what is blocked, `None` for others."""
        if self._clock() - self._known_at > STALE_SECONDS_MAX:
            return _unknown()
        if not self._subjects:
            return None
        run = call.exchange.run
        named = [*callers(call.exchange.principal, None if run is None else run.id), f"domain:{call.resource_domain}"]
        for resource in (call.resource, *call.also):
            named += above(resource)
        return self._found(named)

    def of_resource(self, resource: str, domain: str) -> bool:
        """Return whether a resource is blocked, or the trust domain it belongs to; for listings."""
        return bool(self._subjects) and not self._subjects.isdisjoint((*above(resource), f"domain:{domain}"))

    def of_answer(self, principal: Principal, run: str | None, concerns: Sequence[str]) -> Refusal | None:
        """Return the refusal of an answer that has come meanwhile, to or from what is blocked by now."""
        if not self._subjects:
            return None
        named = [*callers(principal, run), *(name for one in concerns for name in _named(one))]
        return self._found(named, "what was asked for has been done and is not given")

    def of_late(self, call: Call) -> Refusal | None:
        """Return the refusal of a call's answer that comes now, where who asked or what answered is blocked by now."""
        if not self._subjects:
            return None
        run = call.exchange.run
        return self.of_answer(call.exchange.principal, None if run is None else run.id, call.concerns)

    def hold(
        self, principal: Principal, run: str | None, path: str, cut: Callable[[], None], concerns: tuple[str, ...] = ()
    ) -> Callable[[], None]:
        """Have `cut` called when whose answer this is, where it comes from, or the server at `path`, is blocked.

        Returns what ends that.
        """
        place = object()
        self._streams[place] = one = _Stream(principal, run, path, concerns, cut)
        if self._subjects and _concerns(one, self._subjects):  # since it was let in
            asyncio.get_running_loop().call_soon(cut)

        def release() -> None:
            self._streams.pop(place, None)

        return release

    async def look(self) -> None:
        """Know whatever the store knows when this is called. Raises `JournalUnavailable`."""
        async with self._looking:  # else a look that began earlier could put back what it had read
            at = self._clock()
            revision = await self._store.blocks_revision()
            if revision != self._revision:
                # changes under one's eyes are read with the next look
                subjects = frozenset(one.subject for one in await self._store.list_blocks())
                fresh, self._subjects = subjects - self._subjects, subjects
                self._revision = revision
                if fresh:
                    _log.warning("blocked: %s", ", ".join(sorted(map(unnamed, fresh))))
                    self._cut(fresh)
            self._known_at = at

    def _cut(self, fresh: frozenset[str]) -> None:
        for one in list(self._streams.values()):
            if _concerns(one, fresh):
                one.cut()

    async def _hear(self) -> None:
        told = False
        while True:
            try:
                await self._store.wait_blocks(self._revision, LOOK_SECONDS)
                await self.look()
                told = False
            except JournalError as error:
                if not told:
                    _log.error("blocks cannot be read; everything is refused in %g s: %s", STALE_SECONDS_MAX, error)
                told = True
                await asyncio.sleep(_AWAY_SECONDS)

    def _found(self, named: Sequence[str], what: str = "nothing was executed") -> Refusal | None:
        for one in named:
            if one in self._subjects:
                # whose person it is, is nobody's to read who reads the audit
                who = "the user it acts for" if one.startswith("user:") else f"`{one}`"
                message = f"{who} is blocked by an operator; {what}, do not ask again"
                return Refusal(code="denied", message=message, status=403, rule="blocked")
        return None


def _concerns(one: _Stream, subjects: frozenset[str]) -> bool:
    server = above(one.path.strip("/")) if one.path.startswith("/mcp/") else ()
    concerns = (name for concern in one.concerns for name in _named(concern))
    return not subjects.isdisjoint((*callers(one.principal, one.run), *server, *concerns))


def _named(concern: str) -> Iterable[str]:
    return (concern,) if concern.startswith("domain:") else above(concern)


def unnamed(subject: str) -> str:
    """Return a subject without the name of a person, for logs."""
    return f"{subject.partition('/')[0]}/…" if subject.startswith("user:") else subject


def callers(principal: Principal, run: str | None) -> list[str]:
    """Return every subject that somebody calls as."""
    domain = principal.domain
    named = [f"domain:{domain}", principal.name, *(f"agent:{domain}/{actor}" for actor in principal.actors)]
    if principal.user is not None:
        named.append(f"user:{domain}/{principal.user}")
    if run is not None:
        named.append(f"run:{run}")
    return named


def above(resource: str) -> Iterator[str]:
    """Yield a resource and what it is below: `mcp/payments/tool/pay`, `mcp/payments/tool`, `mcp/payments`."""
    while "/" in resource:
        yield resource
        resource = resource.rpartition("/")[0]


def subject_of(text: str) -> str:
    """Return `text` as a subject of blocks. Raises `UnusableSubject`."""
    kind, colon, rest = text.partition(":")
    if len(text) <= SUBJECT_CHARACTERS_MAX:
        if colon and kind in {"agent", "user"}:
            domain, slash, name = rest.partition("/")
            if slash and domain and usable_name(domain) and usable_name(name):
                return text
        elif colon and ((kind == "domain" and usable_name(rest)) or (kind == "run" and usable_run_id(rest))):
            return text
        elif text.partition("/")[0] in _KINDS and "/" in text and "*" not in text:
            try:
                compile_pattern(text)
            except UnusableName:
                pass
            else:
                return text
    raise UnusableSubject(f"expected {FORMS}; a name is written as it stands in policies, without patterns")


def _unknown() -> Refusal:
    return Refusal(
        code="unavailable",
        message="this gateway cannot read what is blocked; nothing was executed, ask again",
        status=503,
        final=False,
    )
