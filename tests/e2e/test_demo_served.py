"""`make run` by hand: what the served demo prints works as printed, and one signal ends all of it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.ports import free_pair

if TYPE_CHECKING:
    from pathlib import Path

WAIT_SECONDS_MAX = 60


def _logs_in(said: str) -> bool:
    """Return whether the console shows its overview to who logs in with the key it is printed with."""
    shown = re.fullmatch(r"console +(http://127\.0\.0\.1:\d+) +\(log in with (og_\w+)\)\n", said)
    assert shown is not None
    with httpx.Client(base_url=shown[1], trust_env=False, headers={"origin": shown[1]}, timeout=60) as client:
        assert client.get("/").status_code in {303, 401}
        entered = client.post("/login", json={"token": shown[2]})
        assert entered.is_success, entered.text
        page = client.get("/")
    return page.status_code == 200 and "Overview" in page.text


@pytest.mark.timeout(2 * WAIT_SECONDS_MAX)
@pytest.mark.requirement("DEMO-10")
def test_the_curl_line_works_as_printed_and_one_signal_ends_all(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gateway.cli", "demo", "--serve", "--port", str(free_pair())]
    served = subprocess.Popen(
        [*command, "--dir", str(tmp_path / "place")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert served.stdout is not None
        printed: list[str] = []
        while not printed or not printed[-1].startswith("curl "):
            line = served.stdout.readline()
            assert line, "the demo ended before it printed its curl line"
            printed.append(line)
        answer = subprocess.run(
            ["bash", "-c", printed[-1]], capture_output=True, text=True, check=True, timeout=WAIT_SECONDS_MAX
        ).stdout
        said = json.loads(answer)["choices"][0]["message"]["content"]
        assert said == "You are talking about Ada Lovelace, ada@example.com, card 4111 1111 1111 1111"
        seen = (tmp_path / "place" / "model-saw.jsonl").read_text()
        assert "Lovelace" not in seen
        assert "4111" not in seen
        assert _logs_in(next(line for line in printed if line.startswith("console")))
        found = re.search(r"http://127\.0\.0\.1:\d+", printed[-1])
        assert found is not None
        served.send_signal(signal.SIGINT)
        assert served.wait(WAIT_SECONDS_MAX) == 0
    finally:
        served.kill()
        served.communicate()
    with pytest.raises(httpx.ConnectError):
        httpx.get(found.group(), trust_env=False, timeout=60)
