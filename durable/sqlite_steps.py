"""The step rules of DESIGN section 6 in SQL: which occurrence a request is, and who may begin it.

Every function runs inside one transaction (or one read); nothing here decides by position or by
connection. `once` advances on evidence alone, everything else on what is known of the delivery.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from durable.sqlite_rows import MICROSECONDS
from durable.step import Began, Failed, InDoubt, InFlight, KeyReused, RunClosed, Superseded

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from durable.delivery import Deliveries
    from durable.step import Intent, Known, Outcome, RunRef, Step

#: run, attempt, fingerprint
CursorKey = tuple[str, int, bytes]
#: What decides about a step; the request's body stays where it is.
_COLUMNS: Final = (
    "id, fingerprint, resource, effect, state, reason, granted, attempt, instance, epoch, occurrence, digests, "
    "intent_time, form, status, media, meta, sealed_outcome"
)
#: States in which a run takes calls.
OPEN = frozenset({"ready", "running", "waiting"})


@dataclass(frozen=True, slots=True)
class Here:
    """Who writes: this instance in this epoch, at `now` (microseconds since the epoch)."""

    instance: str
    epoch: int
    now: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step stands: its unique name, and its occurrence (0 for an explicit key)."""

    name: bytes
    occurrence: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The step has an outcome; `row` is its call."""

    row: sqlite3.Row


def fence(database: sqlite3.Connection, step: Step) -> Superseded | RunClosed | None:
    """Return why the step's run takes no call of this attempt, `None` when it does."""
    if step.run is None:
        return None
    row = database.execute(
        "SELECT attempt, state FROM run WHERE id = ? AND domain = ? AND agent = ? AND user = ?",
        (step.run.id, step.owner.domain, step.owner.agent, step.owner.user),
    ).fetchone()
    if row is None:
        return RunClosed("not there")
    if row["state"] not in OPEN:
        return RunClosed(row["state"])
    if step.run.attempt not in {0, row["attempt"]}:
        return Superseded(row["attempt"])
    return None


def key_place(step: Step) -> Place:
    """Return the place of a step with an explicit key: owner, run and key name it, nothing else."""
    run = step.run.id if step.run else "-"
    return Place(_name("key", step.owner.domain, step.owner.agent, step.owner.user, run, step.key or ""), 0)


def run_place(run: RunRef, fingerprint: bytes, occurrence: int) -> Place:
    """Return the place of the n-th occurrence of a fingerprint in a run."""
    return Place(_name("run", run.id, fingerprint.hex(), str(occurrence)), occurrence)


def cursor(database: sqlite3.Connection, run: RunRef, fingerprint: bytes) -> int:
    """Return the last occurrence handed out in this attempt, 0 before the first."""
    row = database.execute(
        "SELECT occurrence FROM cursor WHERE run = ? AND attempt = ? AND fingerprint = ?",
        (run.id, run.attempt, fingerprint),
    ).fetchone()
    return 0 if row is None else row["occurrence"]


def advance(database: sqlite3.Connection, run: RunRef, fingerprint: bytes, occurrence: int) -> None:
    """Move the attempt's cursor forward to `occurrence`."""
    database.execute(
        "INSERT INTO cursor (run, attempt, fingerprint, occurrence) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET occurrence = max(occurrence, excluded.occurrence)",
        (run.id, run.attempt, fingerprint, occurrence),
    )


def read_call(database: sqlite3.Connection, place: Place) -> sqlite3.Row | None:
    """Return the call at `place`, `None` when nobody has begun it."""
    return database.execute(f"SELECT {_COLUMNS} FROM call WHERE place = ?", (place.name,)).fetchone()  # noqa: S608 - constant columns


def meant_again(database: sqlite3.Connection, step: Step, use: bytes | None, reached: int, *, running: bool) -> bool:
    """Return whether an equal `once` tool call, after `reached` of them in this attempt, is a new one.

    Evidence, from model calls that this attempt has made or replayed: their answers ask for it more
    often than that, or, unless the last one is still running, a request shows that many results of it.
    """
    run = cast("RunRef", step.run)
    if use is None or run.attempt == 0:
        return False
    asked, shown = database.execute(
        "SELECT coalesce(sum(use.asked), 0), coalesce(max(use.shown), 0) FROM use JOIN call ON call.id = use.call "
        "JOIN cursor ON cursor.run = use.run AND cursor.attempt = ? "
        "AND cursor.fingerprint = call.fingerprint AND cursor.occurrence >= call.occurrence "
        "WHERE use.run = ? AND use.digest = ?",
        (run.attempt, run.id, use),
    ).fetchone()
    return asked > reached or (shown >= reached and not running)


def modelled(database: sqlite3.Connection, run: RunRef) -> bool:
    """Return whether the run's model calls go through the gateway."""
    found = database.execute("SELECT 1 FROM call WHERE run = ? AND kind = 'model' LIMIT 1", (run.id,)).fetchone()
    return found is not None


def same_request(row: sqlite3.Row, step: Step, deliveries: Deliveries, here: Here) -> bool:
    """Return whether an equal repeatable request asks for `row` again rather than for a new occurrence.

    A client that is there and waits makes an equal request a twin, and so does one that has it all.
    """
    if step.declared_retry:
        return True
    status = deliveries.status(row["id"], cast("RunRef", step.run).attempt)
    if row["state"] == "intent":
        mine = row["instance"] == here.instance and row["epoch"] == here.epoch
        return not mine or status == "gone"
    if row["state"] == "done":
        return status not in {"complete", "present"}
    return True


def same_effect(
    database: sqlite3.Connection, row: sqlite3.Row, step: Step, use: bytes | None, rest: tuple[int, Deliveries, Here]
) -> bool:
    """Return whether an equal `once` request asks for `row` again: always, but for evidence that it is meant anew.

    Only an outcome advances: what is in doubt, failed or not executed is the same whatever a model says.
    """
    run, (reached, deliveries, here) = cast("RunRef", step.run), rest
    if step.declared_retry or row["state"] not in {"done", "intent"}:
        return True
    if not modelled(database, run):
        return run.attempt == 0 or step.repeat != "each" or same_request(row, step, deliveries, here)
    return not meant_again(database, step, use, reached, running=row["state"] == "intent")


def find_place(  # noqa: PLR0917 - what a place depends on
    database: sqlite3.Connection, step: Step, use: bytes | None, deliveries: Deliveries, here: Here, handed: int = 0
) -> Place:
    """Return the place of `step`: which occurrence it is in its attempt.

    `handed` is the occurrence this process handed out last, where that is not in the file yet.
    """
    if step.key is not None:
        return key_place(step)
    run = cast("RunRef", step.run)
    reached = max(cursor(database, run, step.fingerprint), handed)
    if reached == 0:
        return run_place(run, step.fingerprint, 1)
    place = run_place(run, step.fingerprint, reached)
    row = read_call(database, place)
    if row is None:
        return place
    if step.effect == "once":
        same = same_effect(database, row, step, use, (reached, deliveries, here))
    else:
        same = same_request(row, step, deliveries, here)
    return place if same else run_place(run, step.fingerprint, reached + 1)


def state_of(row: sqlite3.Row, step: Step) -> Known | Ended | None:
    """Return what is known of a call, `None` when it may be begun (again)."""
    if row["fingerprint"] != step.fingerprint or row["resource"] != step.resource:
        return KeyReused(row["id"])
    match row["state"]:
        case "done":
            return Ended(row)
        case "intent":
            return InFlight(row["id"])
        case "failed":
            return Failed(row["id"], row["reason"])
        # the stricter of then and now: a tool declared `once` since is not repeated either
        case "doubt" if "once" in {row["effect"], step.effect} and not row["granted"]:
            return InDoubt(row["id"], row["reason"])
        case _:
            return None


def insert_intent(
    database: sqlite3.Connection, intent: Intent, place: Place, here: Here, content: tuple[str, bytes]
) -> None:
    """Write a new call in state `intent`; `content` is its id and its sealed request."""
    step, (call_id, sealed) = intent.step, content
    number = 1
    if step.run is not None:
        row = database.execute(
            "UPDATE run SET calls = calls + 1, updated = ?, state = 'running' WHERE id = ? RETURNING calls",
            (here.now, step.run.id),
        ).fetchone()
        number = row["calls"]
    database.execute(
        "INSERT INTO call (id, place, domain, agent, user, run, run_attempt, key, fingerprint, occurrence, step, kind, "
        "resource, action, effect, state, attempt, instance, epoch, digests, milliseconds_max, intent_time, sent_time, "
        "sealed_request) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,'intent',1,?,?,?,?,?,?,?)",
        (
            call_id, place.name, step.owner.domain, step.owner.agent, step.owner.user,
            step.run.id if step.run else None, step.run.attempt if step.run else 0, step.key, step.fingerprint,
            place.occurrence, number, step.kind, step.resource, step.action, step.effect, here.instance, here.epoch,
            intent.digests, round(intent.seconds_max * 1000), here.now, here.now, sealed,
        ),
    )  # fmt: skip


def begin_again(database: sqlite3.Connection, row: sqlite3.Row, intent: Intent, here: Here) -> None:
    """Take a released or doubtful call over: the next attempt fences the one before."""
    database.execute(
        "UPDATE call SET state = 'intent', reason = '', attempt = attempt + 1, granted = 0, instance = ?, epoch = ?, "
        "sent_time = ?, digests = ? WHERE id = ? AND attempt = ?",
        (here.instance, here.epoch, here.now, intent.digests, row["id"], row["attempt"]),
    )


def write_outcome(
    database: sqlite3.Connection, began: Began, outcome: Outcome, sealed: bytes, here: Here
) -> sqlite3.Row | None:
    """Move the call to `done`; `None` when another attempt has taken it over."""
    return database.execute(
        "UPDATE call SET state = 'done', reason = '', outcome_time = ?, form = ?, status = ?, media = ?, meta = ?, "
        "sealed_outcome = ? WHERE id = ? AND attempt = ? AND state IN ('intent', 'doubt') RETURNING run",
        (here.now, outcome.form, outcome.status, outcome.media, json.dumps(dict(outcome.meta)), sealed, began.id,
         began.attempt),
    ).fetchone()  # fmt: skip


def write_uses(
    database: sqlite3.Connection, run: str, call_id: str, *, asked: Mapping[bytes, int], shown: Mapping[bytes, int]
) -> None:
    """Keep the tool uses a model call asks for, or shows the results of."""
    for digest in asked.keys() | shown.keys():
        database.execute(
            "INSERT INTO use (run, digest, call, asked, shown) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET asked = max(asked, excluded.asked), shown = max(shown, excluded.shown)",
            (run, digest, call_id, asked.get(digest, 0), shown.get(digest, 0)),
        )


def move(database: sqlite3.Connection, began: Began, state: str, reason: str) -> bool:
    """Move a call in flight to `released` or `doubt`; false when it is not this attempt's any more."""
    return bool(
        database.execute(
            "UPDATE call SET state = ?, reason = ? WHERE id = ? AND attempt = ? AND state = 'intent'",
            (state, reason, began.id, began.attempt),
        ).rowcount
    )


def sweep(database: sqlite3.Connection, tell: Callable[[Mapping[str, object]], None]) -> None:
    """Put what older epochs left in flight in doubt, and tell of each for the audit."""
    reason = "the gateway ended between intent and outcome"
    rows = database.execute("SELECT id, resource, effect, domain, agent FROM call WHERE state = 'intent'").fetchall()
    for row in rows:
        database.execute("UPDATE call SET state = 'doubt', reason = ? WHERE id = ?", (reason, row["id"]))
        tell({
            "event": "in_doubt", "call": row["id"], "resource": row["resource"], "effect": row["effect"],
            "principal": f"agent:{row['domain']}/{row['agent']}", "reason": reason,
        })  # fmt: skip


def seconds_left(row: sqlite3.Row, now: int) -> float:
    """Return for how long the call may still be on its way."""
    return (row["sent_time"] + row["milliseconds_max"] * 1000 - now) / MICROSECONDS


def _name(*parts: str) -> bytes:
    contents = [part.encode() for part in parts]
    return hashlib.sha256(b"".join(len(one).to_bytes(4, "big") + one for one in contents)).digest()
