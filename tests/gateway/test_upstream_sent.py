"""What is known about a request when its connection is cut, at each stage."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from gateway.call import NotSent, Sent, UpstreamError, UpstreamRequest
from gateway.upstream.http import HttpUpstream
from tests.gateway.peer import OK, Peer, Talk, serve_ok, whole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.anyio

#: More than both sides' kernels buffer on loopback.
LARGE = bytes(16 << 20)


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


def post(body: bytes = b"{}", path: str = "/chat") -> UpstreamRequest:
    return UpstreamRequest(method="POST", path=path, headers=((b"content-type", b"application/json"),), body=body)


async def body_of(upstream: HttpUpstream, request: UpstreamRequest | None = None, seconds_max: float = 60.0) -> bytes:
    response = await upstream.send(request or post(), seconds_max=seconds_max)
    return await whole(response)


@pytest.mark.requirement("UP-01")
async def test_a_port_nobody_listens_on_means_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    upstream = HttpUpstream(f"http://127.0.0.1:{port}")
    with pytest.raises(NotSent, match="could not be connected to"):
        await body_of(upstream)


@pytest.mark.requirement("UP-01")
async def test_a_name_that_cannot_be_looked_up_means_not_sent() -> None:
    upstream = HttpUpstream(f"http://{'a' * 64}.invalid")
    with pytest.raises(NotSent):
        await body_of(upstream)


@pytest.mark.requirement("UP-01")
async def test_a_connection_never_accepted_means_not_sent_within_half_of_the_calls_time() -> None:
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):  # the queue of a listener that accepts nothing
            filler.setblocking(False)  # noqa: FBT003 - the standard library's signature
            filler.connect_ex(listener.getsockname())
        upstream = HttpUpstream(f"http://127.0.0.1:{listener.getsockname()[1]}")
        async with asyncio.timeout(60):
            with pytest.raises(NotSent, match="in time"):
                await body_of(upstream, seconds_max=0.6)


@pytest.mark.requirement("UP-01")
async def test_no_free_connection_means_not_sent() -> None:
    async with Peer(serve_ok) as peer:
        upstream = HttpUpstream(peer.url, connections_max=1)
        held = await upstream.send(post(), seconds_max=60)
        with pytest.raises(NotSent, match="busy"):
            await body_of(upstream, seconds_max=0.2)
        await held.aclose()
        assert await body_of(upstream) == b"ok"


async def _reset_at_once(talk: Talk, _: int) -> None:
    await talk.reset()


async def _in_the_request(talk: Talk, _: int) -> None:
    await talk.reader.readexactly(1000)
    await talk.reset()


async def _before_the_head(talk: Talk, _: int) -> None:
    await talk.request()
    await talk.end()


async def _in_the_head(talk: Talk, _: int) -> None:
    await talk.request()
    await talk.say(b"HTTP/1.1 200 OK\r\ncontent-le")
    await talk.end()


async def _reset_in_the_head(talk: Talk, _: int) -> None:
    await talk.request()
    await talk.say(b"HTTP/1.1 200 OK\r\n")
    await talk.reset()


async def _in_a_body_with_length(talk: Talk, _: int) -> None:
    await talk.request()
    await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")
    await talk.end()


async def _in_a_chunk(talk: Talk, _: int) -> None:
    await talk.request()
    await talk.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12")
    await talk.end()


async def _between_chunks(talk: Talk, _: int) -> None:
    await talk.request()
    await talk.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n12\r\n")
    await talk.end()


async def _reset_in_a_body_that_ends_with_its_connection(talk: Talk, _: int) -> None:
    await talk.request()
    await talk.say(b"HTTP/1.1 200 OK\r\n\r\n12345")
    talk.writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
    )
    await talk.reset()


@pytest.mark.parametrize(
    "script",
    [
        _in_the_request, _before_the_head, _in_the_head, _reset_in_the_head, _in_a_body_with_length, _in_a_chunk,
        _between_chunks, _reset_in_a_body_that_ends_with_its_connection,
    ],
)  # fmt: skip
@pytest.mark.requirement("UP-02")
async def test_a_connection_cut_after_the_first_byte_means_sent(
    script: Callable[[Talk, int], Awaitable[None]],
) -> None:
    async with Peer(script) as peer:
        upstream = HttpUpstream(peer.url)
        with pytest.raises(Sent, match="closed the connection"):
            await body_of(upstream, post(LARGE))
        assert len(peer.talks) == 1, "nothing may be sent a second time"


@pytest.mark.requirement("UP-02")
async def test_a_connection_reset_as_soon_as_it_is_accepted_is_never_tried_again() -> None:
    async with Peer(_reset_at_once) as peer:
        upstream = HttpUpstream(peer.url)
        with pytest.raises(UpstreamError):
            await body_of(upstream)
        assert len(peer.talks) == 1


@pytest.mark.requirement("UP-02")
async def test_a_request_that_nobody_accepted_before_the_listener_went_is_sent() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    upstream = HttpUpstream(f"http://127.0.0.1:{listener.getsockname()[1]}")
    asking = asyncio.ensure_future(body_of(upstream))
    accepted, _ = await asyncio.to_thread(listener.accept)
    assert await asyncio.to_thread(accepted.recv, 4, socket.MSG_PEEK) == b"POST"
    accepted.close()
    listener.close()
    with pytest.raises(Sent):
        await asking


@pytest.mark.requirement("UP-03")
async def test_an_answer_that_does_not_begin_in_time_means_sent() -> None:
    async def silent(talk: Talk, _: int) -> None:
        await talk.request()
        await talk.gone()

    async with Peer(silent) as peer:
        upstream = HttpUpstream(peer.url)
        with pytest.raises(Sent, match=r"no complete answer within 1 s"):
            await body_of(upstream, seconds_max=1.0)


@pytest.mark.requirement("UP-03")
async def test_an_answer_that_trickles_past_its_time_means_sent() -> None:
    async def trickling(talk: Talk, _: int) -> None:
        await talk.request()
        await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n1")
        await talk.gone()

    async with Peer(trickling) as peer:
        upstream = HttpUpstream(peer.url)
        with pytest.raises(Sent, match="no complete answer"):
            await body_of(upstream, seconds_max=1.0)


@pytest.mark.requirement("UP-03")
async def test_a_body_that_falls_silent_is_given_up_before_the_calls_time_is_over() -> None:
    async def falling_silent(talk: Talk, _: int) -> None:
        await talk.request()
        await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n1")
        await talk.gone()

    async with Peer(falling_silent) as peer:
        upstream = HttpUpstream(peer.url, silence_seconds_max=0.1)
        with pytest.raises(Sent, match=r"no part of the answer for 0\.1 s"):
            await body_of(upstream)


@pytest.mark.requirement("UP-03")
async def test_a_request_that_is_not_read_runs_into_the_calls_time() -> None:
    async def deaf(_: Talk, __: int) -> None:
        await asyncio.wait_for(asyncio.Event().wait(), 5)

    async with Peer(deaf) as peer:
        upstream = HttpUpstream(peer.url)
        with pytest.raises(Sent, match="no complete answer"):
            await body_of(upstream, post(LARGE), seconds_max=1.0)


@pytest.mark.requirement("UP-04")
@pytest.mark.parametrize("stage", ["head", "body"])
async def test_a_cancelled_call_drops_its_connection_and_frees_its_place(stage: str) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def script(talk: Talk, number: int) -> None:
        await talk.request()
        if number == 0:
            if stage == "body":
                await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n1")
            asked.set()
            await talk.gone()
            left.set()
        await talk.say(OK)

    async with Peer(script) as peer:
        upstream = HttpUpstream(peer.url, connections_max=1)
        asking = asyncio.ensure_future(body_of(upstream))
        async with asyncio.timeout(60):
            await asked.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await left.wait()
        assert await body_of(upstream) == b"ok"


@pytest.mark.requirement("UP-05")
async def test_a_kept_connection_that_the_upstream_closed_is_not_used_and_nothing_is_lost() -> None:
    closed = asyncio.Event()

    async def one_each(talk: Talk, _: int) -> None:
        await talk.request()
        await talk.say(OK)
        await talk.end()
        closed.set()

    async with Peer(one_each) as peer:
        upstream = HttpUpstream(peer.url)
        for count in range(1, 20):
            assert await body_of(upstream) == b"ok"
            async with asyncio.timeout(60):
                await closed.wait()
            closed.clear()
            assert len(peer.talks) == count


@pytest.mark.requirement("UP-05")
async def test_a_kept_connection_that_was_reset_or_written_to_unasked_is_not_used() -> None:
    done = asyncio.Event()

    async def script(talk: Talk, number: int) -> None:
        await talk.request()
        await talk.say(OK)
        if number == 0:
            talk.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
            await talk.writer.drain()
        elif number == 1:
            await talk.reset()
        done.set()
        await talk.gone()

    async with Peer(script) as peer:
        upstream = HttpUpstream(peer.url)
        for _ in range(3):
            assert await body_of(upstream) == b"ok"
            async with asyncio.timeout(60):
                await done.wait()
            done.clear()
        assert len(peer.talks) == 3


@pytest.mark.requirement("UP-05")
async def test_a_stopped_upstream_sends_nothing_more_and_keeps_nothing() -> None:
    ended = asyncio.Event()

    async def until_the_end(talk: Talk, number: int) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve_ok(talk, number)
        ended.set()

    async with Peer(until_the_end) as peer:
        upstream = HttpUpstream(peer.url)
        assert await body_of(upstream) == b"ok"
        held = await upstream.send(post(), seconds_max=60)
        await upstream.aclose()
        await held.aclose()
        async with asyncio.timeout(60):
            await ended.wait()
        with pytest.raises(NotSent, match="stopping"):
            await body_of(upstream)
