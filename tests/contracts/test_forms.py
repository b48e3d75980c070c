"""Forms that servers ask people to fill in, on both stores."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import asyncpg
import pytest

from durable.forms import FORMS_MAX
from durable.seal import Keyring
from tests.contracts.place import DatabasePlace, FilePlace, journal_in
from tests.contracts.test_keeping import rows_in
from tests.durable.keeping import purge_all

if TYPE_CHECKING:
    from tests.contracts.place import Place

pytestmark = pytest.mark.anyio
OLD, NEW = bytes(range(32)), bytes(range(32, 64))
FORM = b'{"schema":{"properties":{"who":{"enum":["Ada Lovelace","n/a"]}}}}'


async def executed(place: Place, statement: str) -> None:
    """Run a statement beside the store."""
    if isinstance(place, FilePlace):
        with closing(sqlite3.connect(place.folder / "journal.db")) as database, database:
            database.execute(statement)
        return
    assert isinstance(place, DatabasePlace)
    connection = await asyncpg.connect(place.url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.requirement("FORM-01")
async def test_the_newest_form_of_a_name_is_kept_sealed_until_its_retention_is_over(place: Place) -> None:
    async with journal_in(place) as journal:
        await journal.keep_form("crm", "a1", b"{}")
        await journal.keep_form("crm", "a1", FORM)
        await journal.keep_form("crm", "b2", b"[]")
    async with journal_in(place) as journal:
        assert [await journal.read_form(name) for name in ("a1", "b2", "c3")] == [FORM, b"[]", None]
        assert await journal.purge({"calls": 3600.0}, rows_max=9) == 0
        await purge_all(journal)
        assert await journal.read_form("a1") is None
    assert await rows_in(place, "form") == 0


@pytest.mark.requirement("FORM-01")
async def test_nothing_of_a_form_is_readable_in_the_store(place: Place) -> None:
    async with journal_in(place) as journal:
        await journal.keep_form("crm", "a1", FORM)
    assert await rows_in(place, "form") == 1
    await executed(place, "UPDATE form SET name = 'b2'")
    async with journal_in(place) as journal:
        with pytest.raises(Exception, match="changed or moved"):
            await journal.read_form("b2")
    if isinstance(place, FilePlace):
        assert b"Lovelace" not in b"".join(one.read_bytes() for one in place.folder.iterdir())


@pytest.mark.requirement("FORM-01")
async def test_a_server_that_asks_without_end_pushes_out_its_own_forms_alone(place: Place) -> None:
    async with journal_in(place) as journal:
        await journal.keep_form("other", "o1", FORM)
    await executed(
        place,
        "INSERT INTO form (name, server, sealed, asked) "  # noqa: S608 - a constant
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {FORMS_MAX + 5}) "
        "SELECT 'n' || i, 'crm', CAST('x' AS " + ("BLOB" if isinstance(place, FilePlace) else "BYTEA") + "), i FROM n",
    )
    async with journal_in(place) as journal:
        await journal.keep_form("crm", "newest", FORM)
        assert await journal.read_form("newest") == FORM
        assert await journal.read_form("o1") == FORM
    assert await rows_in(place, "form") == FORMS_MAX + 1


@pytest.mark.requirement("FORM-02")
async def test_a_form_is_sealed_anew_so_that_the_old_secret_can_go(place: Place) -> None:
    async with journal_in(place, Keyring((OLD,))) as journal:
        await journal.keep_form("crm", "a1", FORM)
    async with journal_in(place, Keyring((NEW, OLD))) as journal:
        assert await journal.count_older() == 1
        assert await journal.rewrap(rows_max=9) == 1
    async with journal_in(place, Keyring((NEW,))) as journal:
        assert await journal.read_form("a1") == FORM


@pytest.mark.requirement("FORM-02")
async def test_a_form_that_names_an_erased_value_goes_and_the_others_stay(place: Place) -> None:
    async with journal_in(place) as journal:
        await journal.keep_form("crm", "a1", FORM)
        await journal.keep_form("crm", "b2", b'{"schema":{"properties":{"ADA  LOVELACE":{"default":3}}}}')
        await journal.keep_form("crm", "c3", b'{"schema":{"properties":{"who":{"enum":["Grace Hopper"]}}}}')
        assert await journal.erase_values(["Ada Lovelace"], [{"event": "erase"}]) == 0
        left = [await journal.read_form(name) is not None for name in ("a1", "b2", "c3")]
    assert left == [False, False, True]
