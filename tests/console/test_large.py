"""The console over a journal of a hundred thousand calls: pages come by indexes and counters, not by reading it all."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import pytest

from durable.stamp import now
from tests.gateway.model_upstream import ModelUpstream
from tests.gateway.running import RunningGateway, new_folder
from tests.mcp.stand import TOP

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
CALLS = 100_000
SECONDS_MAX = 0.3
_INSERT = (
    'INSERT INTO call (id, place, domain, agent, "user", run_attempt, fingerprint, occurrence, step, kind, resource, '
    "action, effect, state, attempt, instance, epoch, digests, milliseconds_max, intent_time, sent_time, "
    "sealed_request) VALUES (?, ?, 'acme', 'billing', '-', 0, x'00', 1, 1, 'model', 'model/allowed', 'call', 'safe', "
    "?, 1, 'i0', 1, '', 1000, ?, ?, x'00')"
)


@pytest.mark.requirement("CON-13")
def test_the_first_pages_come_at_once_however_long_the_journal_is(tmp_path: Path) -> None:
    upstream = ModelUpstream()
    gateway = RunningGateway(new_folder(tmp_path / "g"), f"http://127.0.0.1:{upstream.port}/v1", inspects=False)
    admin = (TOP / "policies" / "admin.csv").read_text(encoding="utf-8").replace("g, agent:operator", "# ")
    rules = (gateway.folder / "policies" / "rules.csv").read_text(encoding="utf-8")
    gateway.write_policies(f"{rules}{admin}\ng, agent:watcher, role:viewer, acme\n")
    made = gateway.oncegate("token", "create", "--agent", "watcher", "--domain", "acme", "--admin")
    token = made.stdout.strip().split()[-1]
    gateway.start()
    gateway.stop()
    with closing(sqlite3.connect(gateway.folder / "oncegate.db")) as database:
        start = now() - CALLS
        rows = (
            (f"call_{start + n:013x}{n:016x}", n.to_bytes(8, "big"), "doubt" if n % 1000 == 0 else "done", start + n,
             start + n)
            for n in range(CALLS)
        )  # fmt: skip
        database.executemany(_INSERT, rows)
        database.commit()
    gateway.start()
    took: dict[str, float] = {}
    with httpx.Client(headers={"authorization": f"Bearer {token}"}, timeout=30) as client:
        base = f"http://127.0.0.1:{gateway.admin_port}"
        client.get(f"{base}/login")  # templates are read
        for path in ("/", "/calls", "/calls?state=in_doubt", "/runs", "/audit", "/metrics", "/api/v1/overview"):
            begun = time.perf_counter()
            assert client.get(base + path).status_code == 200
            took[path] = time.perf_counter() - begun
        assert "100" in client.get(f"{base}/").text  # in doubt
    gateway.stop()
    upstream.close()
    assert {path: seconds for path, seconds in took.items() if seconds > SECONDS_MAX} == {}, took
