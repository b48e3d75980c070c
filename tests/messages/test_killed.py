"""A gateway killed in mid-stream of a model that speaks another protocol than its client (see tests/models too)."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.emulator.anthropic import message, stream, text, tool_use
from tests.emulator.faults import Emulator, streamed
from tests.messages.stand import gateway_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.emulator.faults import Answer, Received
    from tests.gateway.running import RunningGateway

pytestmark = pytest.mark.requirement("MSG-25")

EVENTS = stream(message(text("one two three four five"), tool_use("refund", {"amount": 5})))
#: The text's first pieces have left, the tool call has not.
HALF = EVENTS.index(b"hre")
PATH = "/v1/chat/completions"
ASK = {"model": "allowed", "max_tokens": 100, "stream": True, "messages": [{"role": "user", "content": "hi"}]}


class Held:
    """A provider whose first stream stops in its middle until it is let go on; later ones do not."""

    def __init__(self) -> None:
        self.on = threading.Event()
        self.provider = Emulator(script=self.script)

    def script(self, received: Received) -> Answer:
        del received
        return replace(streamed(EVENTS), hold=self.on, hold_at=HALF)

    @property
    def asked(self) -> int:
        return len(self.provider.received)


@pytest.fixture
def held() -> Iterator[Held]:
    made = Held()
    with closing(made.provider):
        yield made
        made.on.set()


@pytest.fixture
def gateway(held: Held, tmp_path: Path) -> Iterator[RunningGateway]:
    made = gateway_for(tmp_path, held.provider.url)
    made.start()
    yield made
    made.stop()


def ask(gateway: RunningGateway, key: str) -> httpx.Response:
    return httpx.post(f"{gateway.url}{PATH}", json=ASK, headers=headers(gateway, key), timeout=60)


def headers(gateway: RunningGateway, key: str) -> dict[str, str]:
    return {"x-api-key": gateway.keys["billing"], "anthropic-version": "2023-06-01", "idempotency-key": key}


def begin(gateway: RunningGateway, key: str) -> bytes:
    """Ask, and go away after the first bytes of the stream."""
    url = f"{gateway.url}{PATH}"
    with httpx.stream("POST", url, json=ASK, headers=headers(gateway, key), timeout=60) as answer:
        assert answer.status_code == 200
        return next(answer.iter_raw())


def test_a_gateway_killed_in_a_converted_stream_asks_once_more_and_the_whole_answer_is_kept(
    gateway: RunningGateway, held: Held
) -> None:
    begin(gateway, "killed")
    gateway.kill()
    held.on.set()
    gateway.start()
    assert [call["state"] for call in gateway.calls()] == ["in_doubt"]
    again, replayed = ask(gateway, "killed"), ask(gateway, "killed")
    assert again.status_code == 200
    assert again.content == replayed.content
    assert held.asked == 2
    # said in the client's dialect
    assert b"hre" in again.content
    assert b'"finish_reason":"tool_calls"' in again.content
    assert again.content.endswith(b"data: [DONE]\n\n")
    assert gateway.oncegate("audit", "verify").returncode == 0
