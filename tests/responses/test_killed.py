"""A gateway killed in mid-stream of a response whose provider may have acted (see tests/models for all others)."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.emulator.faults import Emulator, streamed
from tests.emulator.openai import answering, events_of, function_call, message, response
from tests.gateway.running import POLICIES, RunningGateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.emulator.faults import Answer, Received


EVENTS = b"".join(events_of(response(message("one two three four five"), function_call())))
HALF = EVENTS.index(b"three") if b"three" in EVENTS else len(EVENTS) // 3
LINE = "p, role:clerk, acme, model/allowed/hosted/**, call, -, allow, -\n"
HOSTED = {"model": "allowed", "input": "hi", "stream": True, "tools": [{"type": "web_search"}]}


class Held:
    """A provider whose stream stops in its middle until it is let go on."""

    def __init__(self, provider: Emulator) -> None:
        self.on = threading.Event()
        provider.script = self.script

    def script(self, received: Received) -> Answer:
        del received
        return replace(streamed(EVENTS), hold=self.on, hold_at=HALF)


@pytest.fixture
def provider() -> Iterator[Emulator]:
    with closing(Emulator(script=answering(response()))) as running:
        yield running


@pytest.fixture
def gateway(provider: Emulator, tmp_path: Path) -> Iterator[RunningGateway]:
    made = RunningGateway(tmp_path, f"{provider.url}/v1", inspects=False)
    kept = "".join(
        line for line in POLICIES.splitlines(keepends=True) if "restore" not in line and "closed" not in line
    )
    made.write_policies(kept + LINE)
    made.start()
    yield made
    made.stop()


def headers(gateway: RunningGateway, key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {gateway.keys['billing']}", "idempotency-key": key}


def ask(gateway: RunningGateway, body: object, key: str) -> httpx.Response:
    return httpx.post(f"{gateway.url}/v1/responses", json=body, headers=headers(gateway, key), timeout=60)


def begin(gateway: RunningGateway, body: object, key: str) -> bytes:
    """Ask, and go away after the first bytes of the stream."""
    url = f"{gateway.url}/v1/responses"
    with httpx.stream("POST", url, json=body, headers=headers(gateway, key), timeout=60) as stream:
        assert stream.status_code == 200
        return next(stream.iter_raw())


@pytest.mark.requirement("RESP-15")
def test_a_gateway_killed_in_a_stream_with_hosted_tools_holds_what_may_have_happened(
    gateway: RunningGateway, provider: Emulator
) -> None:
    held = Held(provider)
    assert EVENTS.startswith(begin(gateway, HOSTED, "killed"))
    gateway.kill()
    held.on.set()
    gateway.start()
    (call,) = gateway.calls()
    assert call["state"] == "in_doubt"
    again = ask(gateway, HOSTED, "killed")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "in_doubt")
    given = gateway.folder / "given.json"
    given.write_text('{"output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", '
                     '"text": "so it was"}]}]}', encoding="utf-8")  # fmt: skip
    done = gateway.oncegate("calls", "resolve", str(call["id"]), "happened", "--outcome", str(given))
    assert done.returncode == 0, done.stderr
    settled = ask(gateway, HOSTED, "killed")
    assert b'"delta":"so it was"' in settled.content
    assert settled.content.count(b"event: response.completed") == 1
    assert len(provider.received) == 1
    assert gateway.oncegate("audit", "verify").returncode == 0
