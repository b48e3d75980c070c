"""The journal against a model of it: asking, settling, losing, crashing and pausing in any order, on both stores.

The model knows, for each call, whether it may have been executed and what was acknowledged; nothing of rows,
leases or cursors. On a database two gateways share the journal, and either is lost, or silent past its lease
and then goes on, at any time.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from durable.records import CallFilter
from durable.step import Began, Failed, InDoubt, InFlight, Replay, RunRef, Settlement, Superseded
from durable.verification import verify
from tests.contracts.place import SHORT_LEASE_SECONDS, DatabasePlace, FilePlace
from tests.durable.steps import OWNER, intent, outcome, step

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import TypeVar

    from durable.step import Effect, Step
    from durable.store import Store
    from tests.contracts.place import Place

    Result = TypeVar("Result")
    #: by which gateway, in which of its lives; `None` where nothing was sent
    Sent = tuple[int, int, Began] | None

_RUNS = itertools.count()
_SETTINGS = settings(stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_EPOCH = "SELECT epoch FROM instance WHERE ended IS NULL AND id = $1"
_EXPIRE = "UPDATE instance SET lease_until = 1 WHERE ended IS NULL AND id = $1"


class Laws(RuleBasedStateMachine):
    """Requests by key and by fingerprint, in one run whose attempts and gateways end at any time."""

    sent: Bundle[Sent] = Bundle("sent")
    told: Bundle[Sent] = Bundle("told")
    gateways = 1

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.runner = asyncio.Runner()
        self.journals: list[Store] = []
        self.instances: list[str] = []
        for _ in range(self.gateways):
            self.start()
        self.run = f"run_{next(_RUNS)}"
        self.attempt = self.do(self.journals[0].open_run(OWNER, self.run, {})).attempt
        #: per call id: the executions that may have had an effect, and were not known not to
        self.executed: dict[str, int] = defaultdict(int)
        self.granted: dict[str, int] = defaultdict(int)
        self.acknowledged: dict[str, bytes] = {}
        self.effects: dict[str, Effect] = {}
        self.upstream_keys: dict[str, str] = {}
        #: how often each gateway was started; what an earlier one began it cannot tell the end of
        self.lives = [0] * self.gateways
        self.begun_by: dict[str, int] = {}
        self.serial = 0

    def do(self, work: Coroutine[object, object, Result]) -> Result:
        return self.runner.run(work)

    def start(self, number: int = 0) -> None:
        """Start a gateway as the one of this number, and note which instance it is."""
        self.journals.insert(number, self.do(self.place.open()))
        live = [record.id for record in self.do(self.journals[number].instances()) if record.ended is None]
        self.instances.insert(number, next(one for one in live if one not in self.instances))

    def at(self, number: int) -> Store:
        return self.journals[number % self.gateways]

    def known(self, sent: Sent) -> tuple[Store, Began] | None:
        """Return what was sent and the journal of who did, `None` where that process is gone."""
        if sent is None or sent[1] != self.lives[sent[0]]:
            return None
        return self.journals[sent[0]], sent[2]

    def asked(self, name: str, effect: Effect, attempt: int) -> Step:
        key = name if name.startswith("key") else None
        return step(f"{name}-{effect}", run=RunRef(self.run, attempt), key=key and f"{key}-{effect}", effect=effect)

    @rule(
        target=sent,
        number=st.integers(0, 1),
        name=st.sampled_from(["key-1", "key-2", "print-1", "print-2"]),
        effect=st.sampled_from(["safe", "keyed", "once"]),
        old=st.booleans(),
        looked_up=st.booleans(),
        delivered=st.sampled_from([True, False, None]),
    )
    def ask(
        self, number: int, name: str, effect: Effect, *, old: bool, looked_up: bool, delivered: bool | None
    ) -> Sent:
        journal = self.at(number)
        attempt = self.attempt - int(old and self.attempt > 1)
        wanted = self.asked(name, effect, attempt)
        known = self.do(journal.look_up(wanted)) if looked_up else None
        known = known or self.do(journal.begin(intent(wanted)))
        if attempt != self.attempt:
            assert known == Superseded(self.attempt)
            return None
        assert isinstance(known, Began | Replay | InFlight | InDoubt | Failed), known
        if isinstance(known, Replay):
            assert known.outcome.body == self.acknowledged[known.id]
            if delivered is not None:
                journal.delivered(known.id, complete=delivered)
        if not isinstance(known, Began):
            return None
        # what has an outcome is never begun again
        assert known.id not in self.acknowledged
        self.effects[known.id] = effect
        self.executed[known.id] += 1
        assert self.upstream_keys.setdefault(known.id, known.upstream_key) == known.upstream_key
        number %= self.gateways
        self.begun_by[known.id] = number
        return number, self.lives[number], known

    @rule(target=told, sent=consumes(sent))
    def settle(self, sent: Sent) -> Sent:
        self.tell_outcome(sent)
        return sent

    @rule(sent=told)
    def settle_once_more(self, sent: Sent) -> None:
        """The same outcome is delivered a second time, or after others."""
        self.tell_outcome(sent)

    def tell_outcome(self, sent: Sent) -> None:
        if (known := self.known(sent)) is None:
            return
        journal, began = known
        self.serial += 1
        text = f"{began.id} {self.serial}"
        before = self.do(journal.read_call(began.id))
        assert before is not None
        kept = self.do(journal.settle(began, Settlement(outcome=outcome(text), audit=({"event": "outcome"},))))
        assert kept == (before.attempt == began.attempt and before.state in {"intent", "doubt"})
        if kept:
            assert began.id not in self.acknowledged
            self.acknowledged[began.id] = text.encode()

    @rule(sent=consumes(sent))
    def release(self, sent: Sent) -> None:
        if (known := self.known(sent)) is not None:
            journal, began = known
            self.do(journal.release(began, "connection refused", []))
            self.executed[began.id] -= 1

    @rule(sent=sent)
    def lose(self, sent: Sent) -> None:
        if (known := self.known(sent)) is not None:
            self.do(known[0].doubt(known[1], "timed out", []))

    @rule(sent=sent, number=st.integers(0, 1), complete=st.booleans())
    def leave(self, sent: Sent, number: int, *, complete: bool) -> None:
        if sent is not None:
            self.at(number).delivered(sent[2].id, complete=complete)

    @rule(number=st.integers(0, 1), verdict=st.sampled_from(["happened", "execute", "fail"]))
    def decide(self, number: int, verdict: str) -> None:
        doubted = self.do(self.at(number).list_calls(CallFilter(state="doubt", run=self.run, limit=1)))
        if doubted:
            said = outcome("an operator's") if verdict == "happened" else None
            self.do(self.at(number).resolve(doubted[0].id, verdict, said, [{"event": "resolved"}]))
            if said is not None:
                self.acknowledged[doubted[0].id] = said.body
            self.granted[doubted[0].id] += verdict == "execute"

    @rule(number=st.integers(0, 1))
    def restart_agent(self, number: int) -> None:
        self.attempt = self.do(self.at(number).open_run(OWNER, self.run, {})).attempt

    @rule(number=st.integers(0, 1))
    def restart_gateway(self, number: int) -> None:
        number %= self.gateways
        self.do(self.journals.pop(number).aclose())
        self.instances.pop(number)
        self.start(number)
        self.lives[number] += 1
        if self.gateways == 1:
            assert self.do(self.journals[0].list_calls(CallFilter(state="intent", run=self.run))) == []

    @invariant()
    def once_is_never_executed_twice_unless_an_operator_says_so(self) -> None:
        for call_id, effect in self.effects.items():
            if effect == "once":
                assert self.executed[call_id] <= 1 + self.granted[call_id]

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        for call_id, text in self.acknowledged.items():
            for journal in self.journals:
                assert self.do(journal.read_outcome(call_id)) == replace(outcome(), body=text)

    def teardown(self) -> None:
        for journal in self.journals:
            self.do(journal.aclose())
        links = self.do(self.place.links())
        self.runner.close()
        found = verify(links)
        assert found.ok, found.problem


class SharedLaws(Laws):
    """The same with two gateways on one database."""

    gateways = 2

    def __init__(self, place: DatabasePlace) -> None:
        super().__init__(place)
        self.url = place.url

    @rule(number=st.integers(0, 1))
    def lose_the_lease(self, number: int) -> None:
        """The clock has jumped past a gateway's lease and it does not know yet; another one starts and sweeps."""
        self.do(self._silence(number))
        for call_id, by in self.begun_by.items():
            if by == number:
                record = self.do(self.journals[1 - number].read_call(call_id))
                assert record is not None
                assert record.state != "intent"

    @rule(number=st.integers(0, 1))
    def crash_gateway(self, number: int) -> None:
        """A gateway is gone without a word, and a new one takes its place."""
        self.do(self._silence(number))
        self.restart_gateway(number)

    async def _silence(self, number: int) -> None:
        watching = await asyncpg.connect(self.url)
        try:
            epoch = await watching.fetchval(_EPOCH, self.instances[number])
            # a heartbeat may come in between, as it may in life
            while await watching.fetchval(_EPOCH, self.instances[number]) == epoch:
                await watching.execute(_EXPIRE, self.instances[number])
                await (await self.place.open()).aclose()
        finally:
            await watching.close()


def obeyed(laws: Callable[[], Laws], examples: int) -> None:
    run_state_machine_as_test(cast("type[Laws]", laws), settings=settings(_SETTINGS, max_examples=examples))


@pytest.mark.requirement("DUR-17", "DUR-06", "DUR-08")
def test_one_gateway_obeys_the_laws_of_the_journal_on_a_file() -> None:
    with TemporaryDirectory() as folder:
        obeyed(lambda: Laws(FilePlace(Path(folder))), 40)


@pytest.mark.slow
@pytest.mark.requirement("DUR-17", "DUR-06", "DUR-08", "INST-03", "INST-04")
def test_two_gateways_obey_the_laws_of_the_journal_on_one_database(database: str) -> None:
    obeyed(lambda: SharedLaws(DatabasePlace(database, SHORT_LEASE_SECONDS)), 6)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.requirement("DUR-17", "INST-03", "INST-04")
def test_two_gateways_obey_the_laws_of_the_journal_for_a_long_time(database: str) -> None:
    obeyed(lambda: SharedLaws(DatabasePlace(database, SHORT_LEASE_SECONDS)), 200)
