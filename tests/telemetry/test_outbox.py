"""Audit records on their way to a collector that does everything wrong."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from durable.chain import read_links
from durable.sqlite import open_sqlite
from gateway.otlp import OtlpSink
from gateway.outbox import BATCH_MAX, Outbox
from tests.audit.stand import record
from tests.contracts.place import DatabasePlace
from tests.durable.steps import KEYRING
from tests.telemetry.collector import Collector, attribute_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from durable.store import Store

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def delivering(store: Store, url: str, *, hang_seconds: float = 0.3) -> AsyncGenerator[Outbox]:
    sink = OtlpSink(url, seconds_max=hang_seconds)
    outbox = Outbox(store, sink, retry_seconds=0.01, gather_seconds=0.01)
    outbox.start()
    try:
        yield outbox
    finally:
        await outbox.aclose()


async def filled(store: Store, count: int) -> None:
    await asyncio.gather(*(
        store.write_audit([record(start + n, audit=f"{start + n:032x}") for n in range(min(100, count - start))])
        for start in range(0, count, 100)
    ))  # fmt: skip


FAULTS = ["503", "hang", "cut", "partly", "400", "bad", "429", "partly", "partly", "cut", "500", "hang", "503"]


@pytest.mark.requirement("TEL-10")
@pytest.mark.parametrize("count", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
async def test_nothing_is_lost_by_a_sink_that_refuses_hangs_cuts_and_rejects(tmp_path: Path, count: int) -> None:
    store = await open_sqlite(tmp_path / "journal.db", keyring=KEYRING)
    await filled(store, count)
    faults = [fault for turn in range(count // 400) for fault in (FAULTS[turn % len(FAULTS)], "ok", "ok")]
    with Collector(*FAULTS, *faults) as sink:
        async with delivering(store, sink.url) as outbox:
            assert await asyncio.to_thread(sink.holds_records, count + 1, 30.0)
            view = outbox.view
        taken = sink.ids()
        kept = {f"{link.chain}#{link.number}" for link in read_links(tmp_path / "journal.db")}
        assert set(taken) == kept
        assert len(kept) == count + 1
        assert len(taken) > len(kept)  # what was cut off came twice, under one id
        assert view.failures >= len(FAULTS)
    await store.aclose()


@pytest.mark.requirement("TEL-10")
async def test_a_record_arrives_whole_in_its_calls_trace(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "journal.db", keyring=KEYRING)
    await store.write_audit([record(1, audit="0199aa00bb0c0123456789abcdef0123")])
    with Collector() as sink:
        async with delivering(store, sink.url):
            assert await asyncio.to_thread(sink.holds_records, 2)
        _, found = sink.records
        *_, link = read_links(tmp_path / "journal.db")
    await store.aclose()
    assert found.body.string_value == link.text
    assert found.event_name == "oncegate.audit.outcome"
    assert (found.trace_id.hex(), len(found.span_id)) == ("0199aa00bb0c0123456789abcdef0123", 8)
    assert attribute_of(found, "oncegate.audit.hash") == link.hash.hex()
    assert found.time_unix_nano == json.loads(link.text)["time"] * 1000


@pytest.mark.requirement("TEL-11")
async def test_what_waits_is_counted_and_aged_and_a_cursor_outlives_the_process(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "journal.db", keyring=KEYRING)
    await filled(store, 300)
    with Collector(*["503"] * 500) as sink:
        async with delivering(store, sink.url) as outbox:
            assert await asyncio.to_thread(sink.asked, 3)
            view = outbox.view
        assert (view.waiting, view.delivered) == (301, 0)
        assert view.age_seconds > 0
        assert view.delivered_time is None
    with Collector() as sink:
        async with delivering(store, sink.url) as outbox:
            assert await asyncio.to_thread(sink.holds_records, 301)
        view = outbox.view
        assert (view.waiting, view.age_seconds, view.delivered) == (0, 0.0, 301)
        first = sink.requests
        assert first == -(-301 // BATCH_MAX)
    await store.aclose()
    store = await open_sqlite(tmp_path / "journal.db", keyring=KEYRING)
    with Collector() as sink:
        async with delivering(store, sink.url):
            assert await asyncio.to_thread(sink.holds_records, 1)
        assert {one.rpartition("#")[0] for one in sink.ids()} == {store.audit_chain}  # only what is new
    await store.aclose()


@pytest.mark.requirement("TEL-10")
async def test_one_record_that_is_never_taken_holds_up_no_more_than_what_follows(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "journal.db", keyring=KEYRING)
    await filled(store, 100)
    with Collector(*["400"] * 10_000) as sink:
        async with delivering(store, sink.url) as outbox:
            assert await asyncio.to_thread(sink.asked, 4)
            view = outbox.view
        assert view.rejections >= 3
        assert view.delivered == 0
        assert await store.cursors("otlp") == {}
    await store.aclose()


@pytest.mark.requirement("TEL-12")
async def test_what_an_ended_instance_has_left_is_brought_by_another(database: str) -> None:
    place = DatabasePlace(database)
    first = await place.open()
    await filled(first, 50)
    ended = first.audit_chain
    await first.aclose()
    second = await place.open()
    with Collector("503") as sink:
        async with delivering(second, sink.url):
            assert await asyncio.to_thread(sink.holds_records, 53)
        assert (await second.cursors("otlp"))[ended] == (await second.audit_heads(ended))[ended].number
    await second.aclose()
