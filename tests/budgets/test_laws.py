"""Whatever becomes of calls, in whatever order: a budget against a model of it, gateways dying in between."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from durable.sqlite import open_sqlite
from durable.step import Began, Charge, OverBudget, Settlement, Spent
from tests.durable.steps import KEYRING, intent, outcome, step

if TYPE_CHECKING:
    from durable.step import Unit
    from durable.store import Store

CALLS, TOKENS, ESTIMATE = 4, 60, 10
_FAR = 4_000_000_000_000_000
_KEYS = tuple(f"key-{number}" for number in range(7))
_MEASURES: Final[tuple[tuple[Unit, int, int], ...]] = (("calls", 1, CALLS), ("tokens", ESTIMATE, TOKENS))
_CHARGES = tuple(
    Charge(
        counter=f"{unit} b", budget="b", measure=unit, subject="*", unit=unit, amount=amount, most=most, bucket=1,
        since=1, until=None, kept_until=_FAR,
    )
    for unit, amount, most in _MEASURES
)  # fmt: skip
_DEEDS = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from(_KEYS), st.just(0)),
    st.tuples(st.just("settle"), st.sampled_from(_KEYS), st.integers(0, 25)),
    st.tuples(st.sampled_from(("release", "doubt", "execute", "happened", "fail")), st.sampled_from(_KEYS), st.just(0)),
    st.tuples(st.just("restart"), st.just(""), st.just(0)),
)


@dataclass
class World:
    """A journal, and what its budget must be: per key the state, in all what is spent and reserved."""

    folder: Path
    journal: Store
    began: dict[str, Began] = field(default_factory=dict[str, Began])
    state: dict[str, str] = field(default_factory=dict[str, str])
    spent: Counter[str] = field(default_factory=Counter[str])
    reserved: Counter[str] = field(default_factory=Counter[str])
    #: what calls have really taken, as far as anybody knows
    used: int = 0

    async def do(self, deed: str, key: str, tokens: int) -> None:
        state = self.state.get(key, "new")
        if deed == "restart":
            await self.journal.aclose()
            self.journal = await open_sqlite(self.folder / "journal.db", keyring=KEYRING)
            self.state = {name: "doubt" if was == "intent" else was for name, was in self.state.items()}
        elif deed == "ask":
            await self.ask(key, state)
        elif deed == "settle" and state in {"intent", "doubt", "granted"}:
            assert await self.journal.settle(self.began[key], Settlement(outcome=outcome(), spent=Spent(tokens=tokens)))
            self.end(key, "done", calls=1, tokens=tokens)
            self.used += tokens
        elif deed == "release" and state == "intent":
            await self.journal.release(self.began[key], "not sent", ())
            self.end(key, "released", calls=0, tokens=0)
        elif deed == "doubt" and state == "intent":
            await self.journal.doubt(self.began[key], "no answer", ())
            self.state[key] = "doubt"
        elif deed in {"execute", "happened", "fail"} and state in {"doubt", "granted"}:
            await self.journal.resolve(self.began[key].id, deed, outcome() if deed == "happened" else None, ())
            if deed == "execute":
                self.state[key] = "granted"
            else:
                self.end(key, "over", calls=1, tokens=ESTIMATE)

    async def ask(self, key: str, state: str) -> None:
        effect = "safe" if int(key[-1]) % 2 else "once"
        known = await self.journal.begin(replace(intent(step(key, key=key, effect=effect)), charges=_CHARGES))
        free = self.taken()
        if state in {"doubt", "granted"}:
            free["calls"] -= 1
        if state == "granted":
            free["tokens"] -= ESTIMATE
        fits = free["calls"] + 1 <= CALLS and free["tokens"] + ESTIMATE <= TOKENS
        may = state in {"new", "released", "granted"} or (state == "doubt" and effect == "safe")
        if not may:
            assert not isinstance(known, Began | OverBudget)
            return
        assert isinstance(known, Began if fits else OverBudget), (known, free)
        if isinstance(known, Began):
            if state == "doubt":
                self.spent["tokens"] += ESTIMATE
                self.reserved["tokens"] -= ESTIMATE
            if state == "granted":
                self.reserved["tokens"] -= ESTIMATE
            self.reserved["calls"] += 0 if state in {"doubt", "granted"} else 1
            self.reserved["tokens"] += ESTIMATE
            self.began[key], self.state[key] = known, "intent"

    def end(self, key: str, state: str, *, calls: int, tokens: int) -> None:
        self.state[key] = state
        self.reserved.subtract({"calls": 1, "tokens": ESTIMATE})
        self.spent.update({"calls": calls, "tokens": tokens})

    def taken(self) -> Counter[str]:
        return Counter({unit: self.spent[unit] + self.reserved[unit] for unit in ("calls", "tokens")})

    async def check(self) -> None:
        found = {one.measure: one for one in await self.journal.read_budget("b", 0.0, subject=None, limit=9)}
        for unit, one in found.items():
            assert (one.spent, one.reserved) == (self.spent[unit], self.reserved[unit])
        assert self.taken()["calls"] <= CALLS
        assert self.taken()["tokens"] >= self.used
        open_calls = sum(state in {"intent", "doubt", "granted"} for state in self.state.values())
        assert self.reserved["calls"] == open_calls


async def _lived(deeds: list[tuple[str, str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), await open_sqlite(Path(folder) / "journal.db", keyring=KEYRING))
        try:
            for deed in deeds:
                await world.do(*deed)
                await world.check()
        finally:
            await world.journal.aclose()


@pytest.mark.requirement("BUD-02")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_DEEDS, max_size=30))
def test_a_budget_is_what_became_of_its_calls(deeds: list[tuple[str, str, int]]) -> None:
    asyncio.run(_lived(deeds))
