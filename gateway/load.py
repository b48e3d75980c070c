"""How many calls are under way, in all and per agent, and what is still done for clients that have gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from gateway import refusals

if TYPE_CHECKING:
    from durable.step import Owner
    from gateway.config import Limits
    from gateway.execution import Execution

#: Streams that only listen (MCP's GET and `subscriptions/listen`), of one agent and in all.
LISTENING_PER_AGENT_MAX: Final = 64
LISTENING_MAX: Final = 4096


class Load:
    """Counts executions; admits, drains and ends them within the configured limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._running: set[asyncio.Task[None]] = set()
        self._listeners: set[asyncio.Task[None]] = set()
        self._per_agent: Counter[tuple[str, str]] = Counter()
        self._listening: Counter[tuple[str, str]] = Counter()
        self._drains: Counter[tuple[str, str]] = Counter()

    def admit(self, owner: Owner, *, listens: bool = False) -> None:
        """Raise a `Refusal` (429) when the agent, or the gateway, has too much under way.

        Streams that only listen are open for hours: they take nothing from the agent's calls.
        """
        if listens:
            if len(self._listeners) >= LISTENING_MAX:
                raise refusals.too_many("that listen", LISTENING_MAX)
            if self._listening[_name(owner)] >= LISTENING_PER_AGENT_MAX:
                raise refusals.too_many("of this agent that listen", LISTENING_PER_AGENT_MAX)
            return
        if len(self._running) >= self._limits.in_flight_max:
            raise refusals.too_many("in all", self._limits.in_flight_max)
        if self._per_agent[_name(owner)] >= self._limits.in_flight_per_agent_max:
            raise refusals.too_many("of this agent", self._limits.in_flight_per_agent_max)

    def add(self, execution: Execution, owner: Owner, *, listens: bool = False) -> None:
        """Count an execution until it ends."""
        name = _name(owner)
        counter = self._listening if listens else self._per_agent
        running = self._listeners if listens else self._running
        running.add(execution.task)
        counter[name] += 1

        def ended(task: asyncio.Task[None]) -> None:
            running.discard(task)
            _less(counter, name)

        execution.task.add_done_callback(ended)

    def drain(self, execution: Execution, owner: Owner) -> None:
        """Let an execution without a client go on, bounded in bytes, seconds and number per agent.

        Past a bound it is cancelled, and the journal says in doubt.
        """
        name = _name(owner)
        if execution.task.done():
            return
        if self._drains[name] >= self._limits.drains_per_agent_max:
            execution.task.cancel()
            return
        self._drains[name] += 1
        execution.bound_rest(self._limits.drain_bytes_max)
        end = asyncio.get_running_loop().call_later(self._limits.drain_seconds_max, execution.task.cancel)

        def ended(_: asyncio.Task[None]) -> None:
            end.cancel()
            _less(self._drains, name)

        execution.task.add_done_callback(ended)

    async def drained(self, seconds_max: float) -> None:
        """Wait for what is under way, at most `seconds_max`; who only listens is not waited for."""
        for task in self._listeners:
            task.cancel()
        if running := self._running | self._listeners:
            await asyncio.wait(running, timeout=seconds_max)


def _name(owner: Owner) -> tuple[str, str]:
    return owner.domain, owner.agent


def _less(counter: Counter[tuple[str, str]], name: tuple[str, str]) -> None:
    counter[name] -= 1
    if counter[name] <= 0:  # attackers choose names where anonymous callers are admitted: keep no zeros
        del counter[name]
