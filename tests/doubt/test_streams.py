"""Streams on a running gateway: journaled before they end, replayed frame by frame, drained when nobody listens."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.doubt.bank import Bank, Way
from tests.doubt.stand import desk_in
from tests.gateway.model_upstream import ModelUpstream, Script, chunks_of, completion
from tests.mcp.stand import eventually

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tests.doubt.stand import Desk

pytestmark = pytest.mark.requirement("IND-09")

PIECES = [f"piece {number} " for number in range(8)]


@pytest.fixture(scope="module")
def desk(upstream: ModelUpstream, bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> Generator[Desk]:
    made = desk_in(
        tmp_path_factory.mktemp("streams"), f"http://127.0.0.1:{bank.port}/mcp", f"http://127.0.0.1:{upstream.port}/v1"
    )
    text = made.gateway.config.read_text(encoding="utf-8")
    limits = "limits: {body: 64KiB, drain: 4KiB, drain_time: 5s}"
    made.gateway.config.write_text(text.replace("limits: {body: 64KiB}", limits), encoding="utf-8")
    made.gateway.start()
    yield made
    made.gateway.stop()


@pytest.fixture(autouse=True)
def fresh(upstream: ModelUpstream, bank: Bank) -> None:
    bank.fresh()
    upstream.received.clear()
    upstream.script = lambda _: Script(chunks=chunks_of(PIECES))


class Asked:
    """One streamed request of a model, read as far as a test wants."""

    def __init__(self, desk: Desk, key: str) -> None:
        headers = {"authorization": f"Bearer {desk.gateway.keys['billing']}", "idempotency-key": key}
        body = {"model": "allowed", "stream": True, "messages": [{"role": "user", "content": key}]}
        self._client = httpx.Client(timeout=60)
        request = self._client.build_request(
            "POST", f"{desk.gateway.url}/v1/chat/completions", json=body, headers=headers
        )
        self.answer = self._client.send(request, stream=True)
        self._parts: Iterator[bytes] = self.answer.iter_raw()

    def first(self) -> bytes:
        """Return what comes first."""
        return next(self._parts)

    def rest(self) -> bytes:
        """Return everything else, as far as it comes."""
        content = b""
        try:
            for part in self._parts:
                content += part
        except httpx.TransportError:
            content += b"(cut)"
        self.leave()
        return content

    def leave(self) -> None:
        """Go away."""
        self.answer.close()
        self._client.close()


def test_a_replay_gives_the_same_frames_byte_for_byte(desk: Desk, upstream: ModelUpstream) -> None:
    first = Asked(desk, "frames").rest()
    replayed = Asked(desk, "frames")
    assert replayed.answer.headers["oncegate-replayed"] == "true"
    assert replayed.answer.headers["content-type"].startswith("text/event-stream")
    assert replayed.rest() == first
    assert first.count(b"data: ") == len(chunks_of(PIECES))
    assert len(upstream.received) == 1
    assert str(desk.shown(desk.newest()["id"])["outcome"]).encode() == first


@pytest.mark.parametrize("point", ["before_outcome_commit", "after_outcome_commit"])
def test_the_last_frame_never_leaves_before_the_outcome_is_committed(
    desk: Desk, upstream: ModelUpstream, point: str
) -> None:
    desk.gateway.stop()
    desk.gateway.start(crash_point=point)
    seen = b""
    with contextlib.suppress(httpx.RemoteProtocolError):  # it may die before the first byte has left
        seen = Asked(desk, point).rest()
    assert desk.gateway.died()
    assert b"[DONE]" not in seen
    assert b'"stop"' not in seen
    desk.gateway.start()
    committed = point == "after_outcome_commit"
    assert desk.newest()["state"] == ("done" if committed else "in_doubt")
    whole = Asked(desk, point).rest()
    assert whole.endswith(b"data: [DONE]\n\n")
    assert len(upstream.received) == (1 if committed else 2)


def test_a_client_that_leaves_in_mid_stream_finds_all_of_it(desk: Desk, upstream: ModelUpstream) -> None:
    go = threading.Event()
    upstream.script = lambda _: Script(chunks=chunks_of(PIECES), hold=go, hold_after=3)
    asked = Asked(desk, "leaves")
    assert asked.first().startswith(b"data: ")
    asked.leave()
    go.set()
    assert eventually(lambda: desk.newest()["state"] == "done")
    assert Asked(desk, "leaves").rest().count(b"data: ") == len(chunks_of(PIECES))
    assert len(upstream.received) == 1


@pytest.mark.parametrize("bound", ["bytes", "seconds"])
def test_what_is_read_for_a_client_that_left_is_bounded(desk: Desk, upstream: ModelUpstream, bound: str) -> None:
    go = threading.Event()
    upstream.script = lambda _: Script(chunks=chunks_of(["x" * 1000] * 20), hold=go, hold_after=2)
    asked = Asked(desk, f"bound-{bound}")
    asked.first()
    asked.leave()
    if bound == "bytes":
        assert {desk.newest()["state"] for _ in range(4)} == {"in_flight"}  # until the gateway has noticed, by far
        go.set()
    assert eventually(lambda: desk.newest()["state"] == "in_doubt")
    assert desk.newest()["reason"].startswith("the answer is longer" if bound == "bytes" else "cancelled")
    go.set()
    upstream.script = lambda _: Script(chunks=chunks_of(PIECES))
    assert Asked(desk, f"bound-{bound}").rest().endswith(b"data: [DONE]\n\n")
    assert len(upstream.received) == 2


def test_a_call_whose_stream_of_messages_is_cut_is_in_doubt_and_one_that_ends_is_replayed(
    desk: Desk, bank: Bank
) -> None:
    bank.way = Way(answer="cut_stream")
    cut = desk.call("charge_mute", {"customer": "Ada", "amount": 1}, key="cut-stream")
    assert "in_doubt" in cut.text
    assert desk.newest()["state"] == "in_doubt"
    bank.way = Way(answer="stream")
    made = desk.call("charge_mute", {"customer": "Ada", "amount": 2}, key="whole-stream")
    again = desk.call("charge_mute", {"customer": "Ada", "amount": 2}, key="whole-stream")
    assert [one.get("method") for one in made.messages] == ["notifications/message", None]
    assert again.last == made.last
    assert again.headers["oncegate-replayed"] == "true"
    assert len(bank.charges) == 2


def test_an_operators_outcome_of_a_streamed_call_is_a_stream(desk: Desk, upstream: ModelUpstream) -> None:
    upstream.script = lambda _: Script(chunks=chunks_of(PIECES), cut_after=3)
    assert b"in_doubt" not in Asked(desk, "told").rest()  # a model call is safe: it would be executed again
    call = desk.newest()
    assert call["state"] == "in_doubt"
    told = {"verdict": "happened", "reason": "seen in the provider's log", "outcome": completion("as it was")}
    assert desk.admin(f"/calls/{call['id']}/resolve", "POST", told).json()["state"] == "done"
    replayed = Asked(desk, "told")
    assert replayed.answer.headers["content-type"].startswith("text/event-stream")
    content = replayed.rest()
    chunks = [json.loads(line[6:]) for line in content.splitlines() if line.startswith(b"data: {")]
    assert chunks[0]["choices"][0]["delta"]["content"] == "as it was"
    assert content.endswith(b"data: [DONE]\n\n")
    assert len(upstream.received) == 1
