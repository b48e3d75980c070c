"""Traces and audit are encoded in processes of their own, which may die like any other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from durable.chain import Link
from gateway.apart import Apart, ApartEnded
from gateway.metrics import Metrics
from gateway.otlp import OtlpSink
from gateway.telemetry import Telemetry
from tests.gateway.test_telemetry import EVIDENCE
from tests.mcp.stand import eventually
from tests.telemetry.collector import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator


LINKS = [Link("i0/1", number, '{"event":"call","time":1}', bytes(32)) for number in range(1, 4)]


@pytest.fixture
def apart() -> Iterator[Apart]:
    one = Apart()
    yield one
    one.close()


def _children() -> set[int]:
    return {child.pid or 0 for child in multiprocessing.active_children()}


def _kill_children(before: set[int]) -> None:
    for pid in _children() - before:
        os.kill(pid, signal.SIGKILL)


def _ended(pid: int) -> bool:
    multiprocessing.active_children()  # takes leave of those of its own that have ended
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.requirement("TEL-18")
def test_what_is_asked_is_done_in_another_process_that_gives_way_to_this_one(apart: Apart) -> None:
    assert apart.run(os.getpid) not in {os.getpid(), 0}
    assert apart.run(os.nice, 0) > os.nice(0)
    with pytest.raises(ValueError, match="invalid literal"):
        apart.run(int, "none")


@pytest.mark.requirement("TEL-18")
def test_who_asks_a_process_that_dies_is_told_and_the_next_one_has_another(apart: Apart) -> None:
    first = apart.run(os.getpid)
    with pytest.raises(ApartEnded):
        apart.run(os.kill, first, signal.SIGKILL)
    second = apart.run(os.getpid)
    assert second != first
    apart.close()
    with pytest.raises(ApartEnded):
        apart.run(os.getpid)


@pytest.mark.requirement("TEL-18")
def test_a_process_apart_ends_with_who_began_it_however_that_went() -> None:
    code = "import os; from gateway.apart import Apart; a = Apart(); print(a.run(os.getpid), flush=True); input()"
    asking = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert asking.stdout is not None
    apart = int(asking.stdout.readline())
    asking.kill()
    asking.communicate()
    assert eventually(lambda: _ended(apart))


def _lost(telemetry: Telemetry) -> bool:
    """Record a call, and return whether one was lost: a death is noticed by the first that is sent after it."""
    telemetry.record(EVIDENCE)
    return telemetry.lost > 0


@pytest.mark.requirement("TEL-18")
def test_spans_shipped_apart_are_the_same_and_one_batch_is_lost_with_the_process() -> None:
    before = _children()
    with Collector() as sink:
        telemetry = Telemetry.apart(sink.url, Metrics())
        telemetry.record(EVIDENCE)
        assert sink.holds_spans(3)
        _kill_children(before)
        assert eventually(lambda: _lost(telemetry))
        telemetry.record(replace(EVIDENCE, run="run-2"))
        assert sink.holds_spans(6)
        telemetry.close()
        names = {span.name for span in sink.spans()}
    assert names == {"invoke_agent billing", "chat gpt-5-mini"}
    assert eventually(lambda: _children() <= before)


@pytest.mark.requirement("TEL-18")
def test_audit_records_encoded_apart_are_not_taken_for_delivered_when_the_process_dies() -> None:
    before = _children()
    with Collector() as sink:
        elsewhere = OtlpSink.apart(sink.url)
        assert elsewhere.send(LINKS) == "accepted"
        _kill_children(before)
        answers = {elsewhere.send(LINKS) for _ in range(3)}
        assert answers <= {"accepted", "not_now"}
        assert elsewhere.send(LINKS) == "accepted"
        elsewhere.close()
        assert set(sink.ids()) == {f"i0/1#{number}" for number in range(1, 4)}
