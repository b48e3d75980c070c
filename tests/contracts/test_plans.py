"""What pages and scrapes ask of a store is found by an index: a long journal costs them no more than a short one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, cast

import pytest

from durable import audit_rows, calls, definitions, instances, runs
from durable.audit_rows import AuditFilter
from durable.records import CallFilter
from durable.seal import Keyring
from durable.sqlite_schema import migrate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from durable.sql import Row, Transaction

pytestmark = pytest.mark.anyio
#: Tables that grow with every call; approvals, which people decide one by one, are few.
GROWING = ("call", "run", "audit")


class Planner:
    """Notes how the store would answer, and answers nothing."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.plans: dict[str, list[str]] = {}

    async def row(self, sql: str, *arguments: object) -> Row | None:
        """Note a plan."""
        rows = await self.rows(sql, *arguments)
        return rows[0] if rows else None

    async def rows(self, sql: str, *arguments: object) -> Sequence[Row]:
        """Note a plan."""
        named = {str(number): value for number, value in enumerate(arguments, 1)}
        found = self._database.execute(f"EXPLAIN QUERY PLAN {sql}", named).fetchall()
        self.plans[sql] = [cast("str", row[3]) for row in found]
        return []


@pytest.mark.requirement("CON-13")
async def test_no_page_reads_a_growing_table_whole(tmp_path: Path) -> None:
    keyring = Keyring((bytes(32),))
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        migrate(database)
        planner = Planner(database)
        tx = cast("Transaction", planner)
        await runs.list_runs(tx, keyring, limit=100, agent=None, state=None, before=None)
        await calls.list_calls(tx, CallFilter(limit=100))
        await calls.list_calls(tx, CallFilter(limit=100, before="call_1"))
        await calls.list_calls(tx, CallFilter(limit=100, run="run_1"))
        await calls.list_calls(tx, CallFilter(limit=100, state="doubt"))
        await audit_rows.totals(tx)
        await audit_rows.heads(tx, None)
        await audit_rows.search(tx, AuditFilter(before=7))
        await definitions.read_all(tx, keyring, server=None, state=None, limit=100)
        await instances.older_epochs(tx, "i1", 1)
        await calls.open_doubts(tx, ["mcp/pay"], 10)
        whole = {
            sql: plan for sql, plan in planner.plans.items()
            if any(step == f"SCAN {table}" for step in plan for table in GROWING)
        }  # fmt: skip
    assert len(planner.plans) >= 12
    assert whole == {}
