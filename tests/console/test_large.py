"""The console over a journal of a hundred thousand calls: each page shows so much of it, and leads on.

How fast they come is `benchmarks.watched`'s to say; that they come by indexes is held by tests/contracts/test_plans.py.
"""

from __future__ import annotations

import sqlite3
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

pytestmark = pytest.mark.slow
CALLS = 100_000
ROWS_SHOWN = 100
_INSERT = (
    'INSERT INTO call (id, place, domain, agent, "user", run_attempt, fingerprint, occurrence, step, kind, resource, '
    "action, effect, state, attempt, instance, epoch, digests, milliseconds_max, intent_time, sent_time, "
    "sealed_request) VALUES (?, ?, 'acme', 'billing', '-', 0, x'00', 1, 1, 'model', 'model/allowed', 'call', 'safe', "
    "?, 1, 'i0', 1, '', 1000, ?, ?, x'00')"
)


@pytest.mark.requirement("CON-13")
def test_pages_show_so_much_and_lead_on_however_long_the_journal_is(tmp_path: Path) -> None:
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
    with httpx.Client(headers={"authorization": f"Bearer {token}"}, timeout=60) as client:
        base = f"http://127.0.0.1:{gateway.admin_port}"
        for path in ("/", "/runs", "/audit", "/metrics", "/api/v1/overview"):
            assert client.get(base + path).status_code == 200
        for path in ("/calls", "/calls?state=in_doubt"):
            page = client.get(base + path).text
            assert page.count('href="/calls/call_') == ROWS_SHOWN
            assert 'rel="next"' in page
        assert f">{CALLS // 1000}<" in client.get(f"{base}/").text  # in doubt
    gateway.stop()
    upstream.close()
