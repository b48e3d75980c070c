"""Several gateways on one database: one execution, shared answers, leases, sweeps, and databases that restart."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from durable.journal import JournalRefused, JournalUnavailable
from durable.postgres import migrate_postgres, open_postgres
from durable.records import CallFilter
from durable.step import Began, InDoubt, InFlight, Replay, RunRef, Settlement
from durable.verification import verify
from tests.contracts.place import LEASE_SECONDS, SHORT_LEASE_SECONDS, DatabasePlace, audited
from tests.durable.steps import KEYRING, MODEL, OWNER, USE, ask, begun, intent, next_attempt, outcome, step
from tests.pace import paced

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from durable.store import Store
    from tests.contracts.cluster import Cluster

pytestmark = pytest.mark.anyio
TOP = Path(__file__).parents[2]
CALLERS, KEYS = 200, 50
WAIT_SECONDS = 60.0


@asynccontextmanager
async def two(url: str) -> AsyncGenerator[tuple[Store, Store]]:
    """Open two instances on the database."""
    place = DatabasePlace(url)
    first, second = await place.open(), await place.open()
    try:
        yield first, second
    finally:
        await first.aclose()
        await second.aclose()


async def answered(journal: Store, name: str, run: RunRef | None, effects: Counter[str]) -> bytes:
    """Make a call as a gateway does, waiting for another's execution; returns the answer's bytes."""
    wanted = step("same", key=name, run=run)
    while True:
        try:
            known = await journal.look_up(wanted) or await journal.begin(intent(wanted))
        except JournalUnavailable:
            # nothing was sent: an agent asks again, in a later step of the loop, in which the store comes back
            await asyncio.sleep(0)
            continue
        if isinstance(known, Began):
            effects[name] += 1
            answer = outcome(f"{name} {effects.total()}")
            assert await journal.settle(known, Settlement(outcome=answer, audit=({"event": "outcome"},)))
            return answer.body
        if isinstance(known, Replay):
            return known.outcome.body
        assert isinstance(known, InFlight), known
        try:
            await journal.wait(known.id, 60.0)
        except LookupError:
            continue


@pytest.mark.requirement("INST-01")
@pytest.mark.parametrize("with_run", [True, False])
async def test_many_callers_of_few_keys_on_two_instances_share_one_execution_a_key(
    database: str, *, with_run: bool
) -> None:
    effects: Counter[str] = Counter()
    async with two(database) as stores:
        run = await next_attempt(stores[0]) if with_run else None
        answers = await asyncio.gather(
            *(answered(stores[number % 2], f"key-{number % KEYS}", run, effects) for number in range(CALLERS))
        )
    assert effects == {f"key-{number}": 1 for number in range(KEYS)}
    for number in range(KEYS):
        assert len({answers[one] for one in range(number, CALLERS, KEYS)}) == 1
    assert verify(await DatabasePlace(database).links()).ok


@pytest.mark.requirement("INST-01")
async def test_who_waits_on_another_instance_is_woken_by_the_outcome(database: str) -> None:
    async with two(database) as (first, second):
        began = await begun(first, intent(step(key="order-7")))
        waiting = asyncio.create_task(second.wait(began.id, 60.0))
        assert isinstance(await second.wait(began.id, 0.0), InFlight)
        assert await first.settle(began, Settlement(outcome=outcome("1")))
        with pytest.raises(LookupError):
            await waiting
        found = await second.look_up(step(key="order-7"))
        assert isinstance(found, Replay)
        assert found.outcome == outcome("1")


@pytest.mark.requirement("INST-01", "DUR-05")
async def test_an_attempt_that_asks_two_instances_in_turn_gets_its_outcomes_in_order(database: str) -> None:
    async with two(database) as (first, second):
        run = await next_attempt(first)
        turn = replace(step("turn", run=run, effect="safe", kind="model", resource=MODEL), key="turn")
        await ask(first, turn, uses={USE: 2})
        assert [await ask(one, step(run=run), use=USE) for one in (second, first)] == [("executed", 1), ("executed", 2)]
        for _ in range(8):
            run = await next_attempt(first, run.id)
            assert await ask(first, replace(turn, run=run)) == ("replayed", 0)
            replayed = [await ask(one, step(run=run), use=USE) for one in (second, first, second)]
            assert replayed == [("replayed", 1), ("replayed", 2), ("replayed", 2)]


@pytest.mark.requirement("INST-02")
async def test_a_run_opened_on_two_instances_at_once_gets_each_attempt_once(database: str) -> None:
    async with two(database) as stores:
        run = await next_attempt(stores[0])
        opened = await asyncio.gather(*(stores[turn % 2].open_run(OWNER, run.id, {}) for turn in range(8)))
        assert sorted(one.attempt for one in opened) == list(range(2, 10))


@pytest.mark.requirement("INST-03")
async def test_what_a_killed_instance_left_is_in_doubt_within_its_lease(database: str) -> None:
    with leaver(database) as process:
        held, repeatable = said(process)  # and is killed
    place = DatabasePlace(database, SHORT_LEASE_SECONDS)
    survivor = await place.open()
    try:
        with paced() as pace, pytest.raises(LookupError):
            await survivor.wait(held, WAIT_SECONDS)
        assert pace.seconds < SHORT_LEASE_SECONDS + 3.0
        doubted = {call.id: call.reason for call in await survivor.list_calls(CallFilter(state="doubt"))}
        assert doubted == dict.fromkeys((held, repeatable), "the gateway ended between intent and outcome")
        assert isinstance(await survivor.begin(intent(step(key="once"))), InDoubt)
        again = await survivor.begin(intent(step(key="safe", effect="safe")))
        assert isinstance(again, Began)
        assert (again.id, again.attempt, again.again) == (repeatable, 2, True)
    finally:
        await survivor.aclose()
    events = [(one["event"], one.get("call")) for one in await audited(place)]
    assert ("in_doubt", held) in events
    assert verify(await place.links()).ok


@contextmanager
def leaver(*arguments: str) -> Generator[subprocess.Popen[str]]:
    """Start a process of `tests/contracts/leaver.py`."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.contracts.leaver", *arguments],
        cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> list[str]:
    """Return the words of its next line."""
    assert process.stdout is not None
    return process.stdout.readline().split()


@pytest.mark.requirement("INST-04")
async def test_an_instance_stopped_past_its_lease_may_not_send_and_its_late_outcome_resolves_the_doubt(
    database: str,
) -> None:
    with leaver(database) as zombie:
        assert zombie.stdin is not None
        held, repeatable = said(zombie)
        zombie.send_signal(signal.SIGSTOP)
        survivor = await DatabasePlace(database, SHORT_LEASE_SECONDS).open()
        with pytest.raises(LookupError):
            await survivor.wait(held, WAIT_SECONDS)
        taken = await begun(survivor, intent(step(key="safe", effect="safe")))
        assert (taken.id, taken.attempt) == (repeatable, 2)
        zombie.send_signal(signal.SIGCONT)
        zombie.stdin.write("\n")
        zombie.stdin.flush()
        # may it send, was the outcome of `once` taken, was that of the call begun again
        assert said(zombie) == ["False", "True", "False"]
        zombie.wait(60)
        found = await survivor.look_up(step(key="once"))
        assert isinstance(found, Replay)
        assert await survivor.settle(taken, Settlement(outcome=outcome("second")))
        await survivor.aclose()
    place = DatabasePlace(database)
    assert [one["event"] for one in await audited(place) if one.get("fenced")] == ["outcome"]
    assert verify(await place.links()).ok


@pytest.mark.requirement("INST-05")
@pytest.mark.parametrize("how", [pytest.param("crash", marks=pytest.mark.slow), "stop"])
async def test_a_database_that_restarts_in_mid_traffic_loses_and_doubles_nothing(
    cluster: Cluster, database: str, how: str
) -> None:
    effects: Counter[str] = Counter()
    acknowledged: dict[str, bytes] = {}
    enough, over = asyncio.Event(), asyncio.Event()

    async def call(journal: Store, caller: int) -> None:
        number = 0
        while not over.is_set():
            name = f"{caller}-{number}"
            acknowledged[name] = await answered(journal, name, None, effects)
            number += 1
            if len(acknowledged) > 300:
                enough.set()

    async with two(database) as stores:
        callers = [asyncio.create_task(call(stores[number % 2], number)) for number in range(16)]
        await asyncio.wait_for(enough.wait(), 60)
        before = len(acknowledged)
        await asyncio.to_thread(cluster.crash if how == "crash" else cluster.stop)
        await asyncio.to_thread(cluster.start)
        async with asyncio.timeout(60):
            while len(acknowledged) < before + 300:
                await asyncio.wait(callers, timeout=0.05)
        over.set()
        await asyncio.gather(*callers)
        for name, body in acknowledged.items():
            found = await stores[0].look_up(step("same", key=name))
            assert isinstance(found, Replay), (name, found)
            assert found.outcome.body == body
        assert set(effects.values()) == {1}
        assert await stores[0].list_calls(CallFilter(state="doubt")) == []
    assert verify(await DatabasePlace(database).links()).ok


@pytest.mark.requirement("INST-06")
async def test_without_its_database_an_instance_refuses_and_may_not_send(cluster: Cluster, database: str) -> None:
    journal = await DatabasePlace(database, SHORT_LEASE_SECONDS).open()
    assert journal.may_send()
    await asyncio.to_thread(cluster.stop)
    try:
        with pytest.raises(JournalUnavailable):
            await asyncio.wait_for(journal.begin(intent(step(key="order-7"))), 60)
        with pytest.raises(JournalUnavailable):
            await journal.look_up(step(key="order-7"))
        assert not journal.may_send()
    finally:
        await asyncio.to_thread(cluster.start)
    async with asyncio.timeout(60):
        while not isinstance(known := await begun_or_none(journal), Began):
            await asyncio.wait([asyncio.create_task(asyncio.Event().wait())], timeout=0.05)
    assert known.attempt == 1
    await journal.aclose()


async def begun_or_none(journal: Store) -> object:
    try:
        return await journal.begin(intent(step(key="order-8")))
    except JournalUnavailable:
        return None


@pytest.mark.requirement("INST-07")
async def test_a_role_without_the_right_to_change_the_schema_serves_and_cannot_change_the_audit(
    cluster: Cluster, database: str
) -> None:
    name = database.rpartition("/")[2]
    role = f"service_{name}"
    cluster.psql(name, f"CREATE ROLE {role} LOGIN")
    url = cluster.url(name, role=role)
    with pytest.raises(JournalRefused, match="oncegate store migrate"):
        await open_postgres(url, keyring=KEYRING)
    await migrate_postgres(database)
    cluster.psql(name, GRANTS.replace("oncegate_service", role))
    journal = await open_postgres(url, keyring=KEYRING, lease_seconds=LEASE_SECONDS)
    run = await next_attempt(journal)
    for key in (None, "order-7"):
        began = await begun(journal, intent(step(key=key, run=run)))
        assert await journal.settle(began, Settlement(outcome=outcome(), audit=({"event": "outcome"},)))
    await journal.aclose()
    for statement in ("UPDATE audit SET record = '{}'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(AssertionError, match="permission denied"):
            cluster.psql(name, f"SET ROLE {role}; {statement}")
        with pytest.raises(AssertionError, match=r"audit records are never (changed|deleted)"):
            cluster.psql(name, statement)


def grants() -> str:
    """Return the statements of docs/postgresql.md that give the service role its rights."""
    text = (TOP / "docs" / "postgresql.md").read_text(encoding="utf-8")
    return text.partition("```sql\n")[2].partition("```")[0].partition("-- as the owner, in the database\n")[2]


GRANTS = grants()


@pytest.mark.requirement("INST-07")
async def test_a_newer_or_foreign_database_is_refused(cluster: Cluster, database: str) -> None:
    name = database.rpartition("/")[2]
    await migrate_postgres(database)
    cluster.psql(name, "UPDATE schema_version SET version = 99")
    with pytest.raises(JournalRefused, match="schema version 99"):
        await open_postgres(database, keyring=KEYRING)
    foreign = cluster.create(f"{name}_foreign")
    cluster.psql(f"{name}_foreign", "CREATE TABLE call (id int)")
    with pytest.raises(JournalRefused, match="another program's tables"):
        await open_postgres(foreign, keyring=KEYRING)
    with pytest.raises(JournalRefused, match="cannot be used"):
        await open_postgres(cluster.url("nowhere"), keyring=KEYRING)


@pytest.mark.requirement("INST-07")
async def test_many_instances_that_start_at_once_make_the_schema_once(database: str) -> None:
    stores = await asyncio.gather(*(DatabasePlace(database).open() for _ in range(4)))
    instances = await stores[0].instances()
    assert len({one.id for one in instances}) == 4
    for store in stores:
        await store.aclose()
    assert verify(await DatabasePlace(database).links()).chains == 4


@pytest.mark.requirement("INST-08")
async def test_an_instance_that_ends_in_order_leaves_nothing_to_wait_for(database: str) -> None:
    first = await DatabasePlace(database).open()
    left = await begun(first, intent(step(key="order-7")))
    await first.aclose()
    second = await DatabasePlace(database).open()
    known = await second.look_up(step(key="order-7"))
    assert known == InDoubt(left.id, "the gateway ended between intent and outcome")
    ended = cast("list[object]", [one.ended for one in await second.instances() if one.ended is not None])
    assert len(ended) == 1
    await second.aclose()
