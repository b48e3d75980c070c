"""The journal against a model of it: any sequence of asking, settling, losing, restarting, on a few steps.

The model knows, for each key, whether it was executed and what was acknowledged; nothing of rows or cursors.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, consumes, invariant, multiple, rule

from durable.chain import verify_database
from durable.records import CallFilter
from durable.sqlite import open_sqlite
from durable.step import Began, Failed, InDoubt, InFlight, Replay, RunRef, Settlement, Superseded
from tests.durable.steps import KEYRING, OWNER, intent, outcome, step

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import TypeVar

    from durable.step import Effect, Step

    Result = TypeVar("Result")


_NOTHING: MultipleResults[Began] = multiple()


class JournalLaws(RuleBasedStateMachine):
    """Two requests by key and two by fingerprint, in one run whose attempts and gateway end at any time."""

    sent: Bundle[Began] = Bundle("sent")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal.db"
        self.runner = asyncio.Runner()
        self.journal = self.do(open_sqlite(self.path, keyring=KEYRING))
        self.attempt = 1
        self.do(self.journal.open_run(OWNER, "run_law", {}))
        self.steps: dict[str, Step] = {}
        #: per call id: the executions that may have had an effect, and were not known not to
        self.executed: dict[str, int] = defaultdict(int)
        self.granted: dict[str, int] = defaultdict(int)
        self.acknowledged: dict[str, bytes] = {}
        self.effects: dict[str, Effect] = {}
        self.upstream_keys: dict[str, str] = {}
        self.serial = 0

    def do(self, work: Coroutine[object, object, Result]) -> Result:
        return self.runner.run(work)

    def asked(self, name: str, effect: Effect, attempt: int) -> Step:
        key = name if name.startswith("key") else None
        return step(f"{name}-{effect}", run=RunRef("run_law", attempt), key=key and f"{key}-{effect}", effect=effect)

    @rule(
        target=sent,
        name=st.sampled_from(["key-1", "key-2", "print-1", "print-2"]),
        effect=st.sampled_from(["safe", "keyed", "once"]),
        old=st.booleans(),
        looked_up=st.booleans(),
        delivered=st.sampled_from([True, False, None]),
    )
    def ask(
        self, name: str, effect: Effect, *, old: bool, looked_up: bool, delivered: bool | None
    ) -> Began | MultipleResults[Began]:
        attempt = self.attempt - int(old and self.attempt > 1)
        wanted = self.asked(name, effect, attempt)
        known = self.do(self.journal.look_up(wanted)) if looked_up else None
        known = known or self.do(self.journal.begin(intent(wanted)))
        if attempt != self.attempt:
            assert known == Superseded(self.attempt)
            return _NOTHING
        assert isinstance(known, Began | Replay | InFlight | InDoubt | Failed), known
        if isinstance(known, Replay):
            assert known.outcome.body == self.acknowledged[known.id]
            if delivered is not None:
                self.journal.delivered(known.id, complete=delivered)
        if not isinstance(known, Began):
            return _NOTHING
        # what has an outcome is never begun again
        assert known.id not in self.acknowledged
        self.effects[known.id] = effect
        self.executed[known.id] += 1
        assert self.upstream_keys.setdefault(known.id, known.upstream_key) == known.upstream_key
        return known

    @rule(began=consumes(sent))
    def settle(self, began: Began) -> None:
        self.serial += 1
        text = f"{began.id} {self.serial}"
        before = self.do(self.journal.read_call(began.id))
        assert before is not None
        kept = self.do(self.journal.settle(began, Settlement(outcome=outcome(text), audit=({"event": "outcome"},))))
        assert kept == (before.attempt == began.attempt and before.state in {"intent", "doubt"})
        if kept:
            self.acknowledged[began.id] = text.encode()

    @rule(began=consumes(sent))
    def release(self, began: Began) -> None:
        self.do(self.journal.release(began, "connection refused", []))
        self.executed[began.id] -= 1

    @rule(began=sent)
    def lose(self, began: Began) -> None:
        self.do(self.journal.doubt(began, "timed out", []))

    @rule(began=sent, complete=st.booleans())
    def leave(self, began: Began, *, complete: bool) -> None:
        self.journal.delivered(began.id, complete=complete)

    @rule(verdict=st.sampled_from(["happened", "execute", "fail"]))
    def decide(self, verdict: str) -> None:
        doubted = self.do(self.journal.list_calls(CallFilter(state="doubt", limit=1)))
        if doubted:
            said = outcome("an operator's") if verdict == "happened" else None
            self.do(self.journal.resolve(doubted[0].id, verdict, said, [{"event": "resolved"}]))
            if said is not None:
                self.acknowledged[doubted[0].id] = said.body
            self.granted[doubted[0].id] += verdict == "execute"

    @rule()
    def restart_agent(self) -> None:
        self.attempt = self.do(self.journal.open_run(OWNER, "run_law", {})).attempt

    @rule()
    def restart_gateway(self) -> None:
        self.do(self.journal.aclose())
        self.journal = self.do(open_sqlite(self.path, keyring=KEYRING))
        assert self.do(self.journal.list_calls(CallFilter(state="intent"))) == []

    @invariant()
    def once_is_never_executed_twice_unless_an_operator_says_so(self) -> None:
        for call_id, effect in self.effects.items():
            if effect == "once":
                assert self.executed[call_id] <= 1 + self.granted[call_id]

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        for call_id, text in self.acknowledged.items():
            assert self.do(self.journal.read_outcome(call_id)) == replace(outcome(), body=text)

    def teardown(self) -> None:
        self.do(self.journal.aclose())
        self.runner.close()
        assert verify_database(self.path).ok
        self.folder.cleanup()


JournalLaws.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


@pytest.mark.requirement("DUR-17", "DUR-06", "DUR-08")
class TestJournalLaws(JournalLaws.TestCase):
    """Run by pytest as one test."""
