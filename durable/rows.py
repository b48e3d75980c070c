"""Rows of the journal as the values the gateway knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from durable.records import CallRecord, RunRecord
from durable.stamp import MICROSECONDS
from durable.step import Outcome

if TYPE_CHECKING:
    from durable.seal import Keyring
    from durable.sql import Row

#: Said beside `state = 'intent'` or `state = 'doubt'`: SQLite takes a partial index only where its very condition
#: stands (https://www.sqlite.org/partialindex.html section 3), and reads every call there is otherwise.
UNSETTLED: Final = "state IN ('intent', 'doubt')"
CALL_COLUMNS = (
    'id, domain, agent, "user", run, run_attempt, key, occurrence, step, resource, action, effect, state, reason, '
    "attempt, replays, intent_time, sent_time, outcome_time, status, meta, rule, forked_from, diverges, "
    "granted, milliseconds_max"
)
RUN_COLUMNS = (
    'id, domain, agent, "user", state, attempt, created, updated, calls, replays, details, sealed_result, kind, '
    "target, due, deadline, attempts_max, reason, waiting, labels, parent, fork_step"
)


def call_record(row: Row) -> CallRecord:
    """Return a row of `CALL_COLUMNS` as a record."""
    ended = cast("int | None", row["outcome_time"])
    return CallRecord(
        id=row["id"], domain=row["domain"], agent=row["agent"], user=row["user"], run=row["run"],
        run_attempt=row["run_attempt"], key=row["key"], occurrence=row["occurrence"], step=row["step"],
        resource=row["resource"], action=row["action"], effect=row["effect"], state=row["state"],
        reason=row["reason"], attempt=row["attempt"], replays=row["replays"],
        intent_time=row["intent_time"] / MICROSECONDS, outcome_time=seconds(ended),
        milliseconds=None if ended is None else (ended - row["sent_time"]) / 1000,
        status=row["status"], meta=cast("dict[str, object]", json.loads(row["meta"] or "{}")),
        rule=row["rule"], forked_from=row["forked_from"], diverges=row["diverges"],
        sent_time=row["sent_time"] / MICROSECONDS, seconds_max=row["milliseconds_max"] / 1000,
        granted=bool(row["granted"]) and row["state"] in {"doubt", "held"},
    )  # fmt: skip


def run_record(row: Row, keyring: Keyring) -> RunRecord:
    """Return a row of `RUN_COLUMNS` as a record."""
    sealed = cast("bytes | None", row["sealed_result"])
    result = None if sealed is None else keyring.unseal("body", f"run/{row['id']}/result", sealed)
    return RunRecord(
        id=row["id"], domain=row["domain"], agent=row["agent"], user=row["user"], state=row["state"],
        attempt=row["attempt"], created=row["created"] / MICROSECONDS, updated=row["updated"] / MICROSECONDS,
        calls=row["calls"], replays=row["replays"], result=result,
        details=cast("dict[str, object]", json.loads(row["details"])),
        kind=row["kind"], target=row["target"], due=seconds(row["due"]), deadline=seconds(row["deadline"]),
        attempts_max=row["attempts_max"], reason=row["reason"], waiting=row["waiting"],
        labels=tuple(cast("list[str]", json.loads(row["labels"]))), parent=row["parent"], fork_step=row["fork_step"],
    )  # fmt: skip


def outcome_of(row: Row, keyring: Keyring) -> Outcome:
    """Return the outcome of a call row with `id, form, status, media, meta, sealed_outcome`."""
    return Outcome(
        form=row["form"],
        status=row["status"],
        media=row["media"],
        meta=cast("dict[str, object]", json.loads(row["meta"] or "{}")),
        body=keyring.unseal("body", f"call/{row['id']}/outcome", row["sealed_outcome"]),
    )


def seconds(microseconds: int | None) -> float | None:
    """Return a stored time as seconds since the epoch."""
    return None if microseconds is None else microseconds / MICROSECONDS
