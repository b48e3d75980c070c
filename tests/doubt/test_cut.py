"""A real connection cut at each stage, per transport: what the journal says, and what asking again does."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, get_args

import pytest

from gateway.call import NotSent, Sent, UpstreamRequest
from gateway.mcp.peers import PRINCIPAL
from gateway.mcp.stdio import StdioUpstream
from gateway.upstream.http import HttpUpstream
from tests.doubt.cutter import Cutter, Stage
from tests.doubt.stand import desk_in
from tests.gateway.peer import Peer, Talk
from tests.gateway.test_upstream_tls import authority
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from gateway.call import Upstream
    from tests.doubt.stand import Desk

pytestmark = pytest.mark.requirement("IND-01")

KINDS = ("model", "charge_mute", "charge_keyed", "charge_safe")
STAGES = tuple(stage for stage in get_args(Stage) if stage != "after the answer")


@pytest.fixture(scope="module")
def cutter() -> Generator[Cutter]:
    running = Cutter()
    yield running
    running.close()


@pytest.fixture(scope="module")
def desk(cutter: Cutter, tmp_path_factory: pytest.TempPathFactory) -> Generator[Desk]:
    url = f"http://127.0.0.1:{cutter.port}"
    made = desk_in(tmp_path_factory.mktemp("cut"), f"{url}/mcp", f"{url}/v1")
    made.gateway.start()
    made.look()
    yield made
    made.gateway.stop()


def said(desk: Desk, kind: str, key: str) -> str:
    """Ask a model or a tool; returns the answer's text, of a refusal as well."""
    if kind != "model":
        return desk.call(kind, {"word": key}, key=key).text
    answer = desk.gateway.chat(
        {"model": "allowed", "messages": [{"role": "user", "content": key}]}, headers={"idempotency-key": key}
    ).json()
    return str(answer["error"]["message"]) if "error" in answer else str(answer["choices"][0]["message"]["content"])


@pytest.mark.parametrize("kind", KINDS[:3])
@pytest.mark.parametrize("stage", STAGES)
def test_a_cut_connection_means_sent_unless_nothing_can_have_left(
    desk: Desk, cutter: Cutter, stage: Stage, kind: str
) -> None:
    key = f"{kind}-{stage}".replace(" ", "-").replace("'", "")
    if stage == "accepted":  # no connection may be kept from before
        cutter.stage = "after the answer"
        said(desk, kind, f"{key}-before")
    cutter.keys, cutter.stage = [], stage
    first = said(desk, kind, key)
    assert "from the upstream" not in first
    assert "ask again" in first
    state = desk.newest()["state"]
    assert state == "in_doubt" or (stage == "accepted" and state == "not_executed")
    assert (kind == "charge_mute" and state == "in_doubt") == ("in_doubt" in first)
    reached = len(cutter.keys)
    again = said(desk, kind, key)
    if kind == "charge_mute" and state == "in_doubt":
        assert "in_doubt" in again
        assert len(cutter.keys) == reached
        return
    assert again == "from the upstream"
    assert len(cutter.keys) == reached + 1
    assert len(set(cutter.keys)) == 1, "the upstream sees one key"
    assert desk.newest()["state"] == "done"
    assert said(desk, kind, key) == "from the upstream"
    assert len(cutter.keys) == reached + 1


@pytest.mark.parametrize("kind", ["model", "charge_mute"])
def test_a_kept_connection_that_is_closed_between_two_calls_is_no_failure(
    desk: Desk, cutter: Cutter, kind: str
) -> None:
    cutter.stage = "after the answer"
    assert said(desk, kind, f"kept-{kind}-1") == "from the upstream"
    assert said(desk, kind, f"kept-{kind}-2") == "from the upstream"


def test_what_was_never_connected_was_not_executed(tmp_path: Path) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    made = desk_in(tmp_path, f"{dead}/mcp", f"{dead}/v1")
    made.gateway.start()
    try:
        for kind in KINDS:
            assert "nothing was executed, ask again" in said(made, kind, f"dead-{kind}")
        # a tool whose definition could not be asked for was not even begun
        assert [one["state"] for one in made.calls()] == ["not_executed"]
        cutter = Cutter(made_port := int(dead.rpartition(":")[2]))
        assert cutter.port == made_port
        assert [said(made, kind, f"dead-{kind}") for kind in KINDS] == ["from the upstream"] * len(KINDS)
        cutter.close()
    finally:
        made.gateway.stop()


async def read_whole(upstream: Upstream, request: UpstreamRequest) -> None:
    response = await upstream.send(request, seconds_max=60)
    async for _ in response.chunks():
        continue


@pytest.mark.anyio
@pytest.mark.parametrize("stage", ["in TLS", "after TLS", "in the request", "after the request", "in the answer"])
async def test_over_tls_the_line_is_the_first_byte_after_the_handshake(tmp_path: Path, stage: str) -> None:
    server, client = authority(tmp_path, "localhost")

    async def talk(talk: Talk, number: int) -> None:
        del number
        if stage == "in the request":
            await talk.reader.read(1)
        elif stage in {"after the request", "in the answer"}:
            await talk.request()
        if stage == "in the answer":
            await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
        await talk.reset()

    async with Peer(talk, None if stage == "in TLS" else server) as peer:
        upstream = HttpUpstream(f"https://localhost:{peer.port}/v1", tls=client)
        request = UpstreamRequest(method="POST", path="/chat", headers=(), body=b"{}")
        with pytest.raises((NotSent, Sent)) as known:
            await read_whole(upstream, request)
    if stage == "in TLS":
        assert known.type is NotSent
    elif stage != "after TLS":
        assert known.type is Sent
    else:
        assert known.type is Sent or not peer.talks[0].heard


_READ = "import sys; line = sys.stdin.readline(); "
_HALF = """sys.stdout.write('{"jsonrpc": "2.0", "id":'); sys.stdout.flush()"""
_OTHER = """print('{"jsonrpc": "2.0", "id": "nobody", "result": {}}', flush=True)"""


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("program", "known"),
    [(None, NotSent), (_READ, Sent), (_READ + _HALF, Sent), (_READ + _OTHER, Sent),
     (_READ + "import os; os.close(1); sys.stdin.read()", Sent)],
    ids=["it does not start", "it ends after reading", "it ends in its answer", "it answers something else",
         "it closes its output"],
)  # fmt: skip
async def test_a_child_process_that_has_read_was_sent_to(program: str | None, known: type[Exception]) -> None:
    command = ["/nowhere/server"] if program is None else [sys.executable, "-c", program]
    upstream = StdioUpstream("cut", command, ())
    content = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "charge", "arguments": {}}}'
    request = UpstreamRequest(method="POST", path="", headers=((PRINCIPAL, b"billing"),), body=content)
    try:
        async with asyncio.timeout(60):
            with pytest.raises(known):
                await read_whole(upstream, request)
    finally:
        await upstream.aclose()
