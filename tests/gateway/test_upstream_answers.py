"""Answers of every framing, kept connections, back-pressure, and what no answer or request may do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.call import NotSent, Pouring, Sent, UpstreamRequest
from gateway.upstream.connection import BODY_BYTES_HIGH, HEAD_BYTES_MAX
from gateway.upstream.http import HttpUpstream
from tests.gateway.peer import OK, Peer, Talk, serve_ok, whole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


pytestmark = pytest.mark.anyio

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


def request_of(method: str = "POST", path: str = "/chat", *headers: tuple[bytes, bytes]) -> UpstreamRequest:
    return UpstreamRequest(method=method, path=path, headers=headers, body=b"{}" if method == "POST" else b"")


async def answered(upstream: HttpUpstream, request: UpstreamRequest | None = None) -> tuple[int, bytes]:
    response = await upstream.send(request or request_of(), seconds_max=60)
    return response.status, await whole(response)


def saying(*parts: bytes, end: bool = False) -> Callable[[Talk, int], Awaitable[None]]:
    async def script(talk: Talk, _: int) -> None:
        while await talk.request():
            await talk.say(*parts)
            if end:
                await talk.end()
                return

    return script


@pytest.mark.parametrize(
    ("parts", "end", "status", "body", "kept"),
    [
        ((OK,), False, 200, b"ok", True),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 2", b"\r\n\r", b"\no", b"k"), False, 200, b"ok", True),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",), False, 200, b"", True),
        ((CHUNKED, b"2\r\nok\r\n", b"0\r\n\r\n"), False, 200, b"ok", True),
        ((CHUNKED + b"2;note=1\r\nok\r\n0\r\nchecksum: 1\r\n\r\n",), False, 200, b"ok", True),
        ((b"HTTP/1.1 204 No Content\r\n\r\n",), False, 204, b"", True),
        ((b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",), False, 304, b"", True),
        ((b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n", OK), False, 200, b"ok", True),
        ((b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",), True, 200, b"ok", False),
        ((b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",), True, 200, b"ok", False),
        ((b"HTTP/1.1 200 OK\r\n\r\n", b"o", b"k"), True, 200, b"ok", False),
        ((b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",), False, 302, b"", True),
    ],
)
@pytest.mark.requirement("UP-06")
async def test_an_answer_is_read_whole_however_its_end_is_told(
    parts: tuple[bytes, ...], *, end: bool, status: int, body: bytes, kept: bool
) -> None:
    async with Peer(saying(*parts, end=end)) as peer:
        upstream = HttpUpstream(peer.url)
        for _ in range(3):
            assert await answered(upstream) == (status, body)
        assert len(peer.talks) == (1 if kept else 3)


@pytest.mark.requirement("UP-06")
async def test_an_answer_to_head_has_no_body_whatever_it_says() -> None:
    async with Peer(saying(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")) as peer:
        upstream = HttpUpstream(peer.url)
        assert await answered(upstream, request_of("HEAD")) == (200, b"")
        assert await answered(upstream, request_of("HEAD")) == (200, b"")


@pytest.mark.requirement("UP-06")
async def test_the_request_goes_below_the_base_path_and_asks_for_a_plain_answer() -> None:
    async with Peer(serve_ok) as peer:
        upstream = HttpUpstream(peer.url + "/")
        await answered(upstream, request_of("POST", "/chat", (b"x-name", b"value")))
        await answered(upstream, request_of("GET", ""))
        heard = bytes(peer.talks[0].heard)
    host = b"host: 127.0.0.1:%d\r\n" % peer.port
    assert heard.startswith(b"POST /v1/chat HTTP/1.1\r\n" + host + b"accept-encoding: identity\r\nx-name: value\r\n")
    assert b"\r\ncontent-length: 2\r\n\r\n{}GET /v1/ HTTP/1.1\r\n" in heard
    assert heard.count(b"content-length") == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nok",
        b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 099 Odd\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nok",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: identity\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * HEAD_BYTES_MAX + b"\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 103 Early\r\n\r\n" * 4000,
        CHUNKED + b"2\r\nok\r\n0\r\nx: " + b"a" * 2 * HEAD_BYTES_MAX,
        CHUNKED + b"2\r\nok\r\n2;" + b"a" * 2 * HEAD_BYTES_MAX,
    ],
)
@pytest.mark.requirement("UP-07")
async def test_an_answer_that_two_readers_could_read_differently_is_no_answer(answer: bytes) -> None:
    async def script(talk: Talk, _: int) -> None:
        await talk.request()
        for start in range(0, len(answer), 16384):
            await talk.say(answer[start : start + 16384])
        await talk.gone()

    async with Peer(script) as peer:
        upstream = HttpUpstream(peer.url)
        with pytest.raises(Sent):
            await answered(upstream)
        assert len(peer.talks) == 1


@pytest.mark.requirement("UP-07")
@pytest.mark.parametrize("together", [True, False])
async def test_what_follows_an_answer_unasked_reaches_nobody(*, together: bool) -> None:
    more = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
    async with Peer(saying(*([OK + more] if together else [OK, more]))) as peer:
        upstream = HttpUpstream(peer.url)
        for _ in range(5):
            assert await answered(upstream) == (200, b"ok")


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/chat", ((b"x", b"a\r\nevil: 1"),)),
        ("POST", "/chat", ((b"x", b"a\nevil: 1"),)),
        ("POST", "/chat", ((b"x", b"a\x00"),)),
        ("POST", "/chat", ((b"x: 1\r\nevil", b"a"),)),
        ("POST", "/chat", ((b"", b"a"),)),
        ("POST", "/chat", ((b"Transfer-Encoding", b"chunked"),)),
        ("POST", "/chat", ((b"content-length", b"0"),)),
        ("POST", "/chat", ((b"host", b"elsewhere"),)),
        ("POST", "/chat", ((b"expect", b"100-continue"),)),
        ("POST", "/chat HTTP/1.1\r\nevil: 1\r\n", ()),
        ("POST", "/a b", ()),
        ("POST", "/\u00e9", ()),
        ("POST", "/a#b", ()),
        ("POST /", "/chat", ()),
    ],
)
@pytest.mark.requirement("UP-08")
async def test_a_request_that_could_be_read_as_two_is_never_sent(
    method: str, path: str, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    async with Peer(serve_ok) as peer:
        upstream = HttpUpstream(peer.url)
        with pytest.raises(NotSent):
            await answered(upstream, UpstreamRequest(method=method, path=path, headers=headers, body=b"{}"))
        assert peer.talks == []


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://host/?key=value", "http://host/#part"])
@pytest.mark.requirement("UP-08")
async def test_an_upstream_needs_an_http_url_without_query(url: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        HttpUpstream(url)


@pytest.mark.requirement("UP-09")
async def test_idle_connections_are_closed_after_their_time() -> None:
    gone = asyncio.Event()

    async def script(talk: Talk, _: int) -> None:
        await talk.request()
        await talk.say(OK)
        await talk.gone()
        gone.set()

    async with Peer(script) as peer:
        upstream = HttpUpstream(peer.url, idle_seconds_max=0.05)
        await answered(upstream)
        async with asyncio.timeout(60):
            await gone.wait()


@pytest.mark.requirement("UP-09")
async def test_parallel_calls_have_a_connection_each_and_later_ones_use_the_last_again() -> None:
    async with Peer(serve_ok) as peer:
        upstream = HttpUpstream(peer.url, connections_max=4)
        await asyncio.gather(*(answered(upstream) for _ in range(64)))
        assert len(peer.talks) <= 4
        before = len(peer.talks[-1].heard), len(peer.talks)
        await answered(upstream)
        assert len(peer.talks) == before[1]


@pytest.mark.requirement("UP-09")
async def test_an_answer_left_unread_drops_its_connection() -> None:
    async with Peer(serve_ok) as peer:
        upstream = HttpUpstream(peer.url)
        await (await upstream.send(request_of(), seconds_max=60)).aclose()
        await answered(upstream)
        assert len(peer.talks) == 2


@pytest.mark.requirement("UP-10")
async def test_an_upstream_that_never_stops_is_read_only_as_fast_as_it_is_used() -> None:
    stalled, wanted = asyncio.Event(), 64 << 20
    part = b"10000\r\n" + b"s" * 0x10000 + b"\r\n"

    async def endless(talk: Talk, _: int) -> None:
        await talk.request()
        await talk.say(CHUNKED)
        while True:
            talk.writer.write(part)
            try:
                await asyncio.wait_for(talk.writer.drain(), 0.3)
            except TimeoutError:
                stalled.set()
                await talk.writer.drain()

    async with Peer(endless) as peer:
        upstream = HttpUpstream(peer.url)
        response = await upstream.send(request_of(), seconds_max=30)
        async with asyncio.timeout(60):
            await stalled.wait()
        read, largest = 0, 0
        async for chunk in response.chunks():
            read, largest = read + len(chunk), max(largest, len(chunk))
            if read > wanted:
                break
        await response.aclose()
    assert largest <= BODY_BYTES_HIGH + (1 << 20), "what is read ahead is bounded"


@pytest.mark.requirement("UP-12")
async def test_what_whoever_takes_an_answer_raises_is_raised_where_it_is_poured_and_drops_the_connection() -> None:
    async def script(talk: Talk, number: int) -> None:
        await talk.request()
        await talk.say(CHUNKED, b"2\r\nok\r\n" * 2)
        if number:
            await talk.say(b"0\r\n\r\n")
        await talk.gone()

    async with Peer(script) as peer:
        upstream = HttpUpstream(peer.url)
        response = await upstream.send(request_of(), seconds_max=60)
        taken: list[bytes] = []

        def take(part: bytes) -> None:
            taken.append(part)
            raise ValueError("enough")

        assert isinstance(response, Pouring)
        with pytest.raises(ValueError, match="enough"):
            await response.pour(take)
        await response.aclose()
        assert len(taken) == 1
        assert await answered(upstream) == (200, b"okok")
        assert len(peer.talks) == 2


@pytest.mark.requirement("UP-12")
async def test_chunks_that_arrive_together_are_poured_together_and_those_before_a_broken_one_are_not_lost() -> None:
    goes_on = asyncio.Event()

    async def script(talk: Talk, number: int) -> None:
        del number
        await talk.request()
        await talk.say(CHUNKED)
        await goes_on.wait()
        await talk.say(b"".join(b"4\r\npt%02d\r\n" % place for place in range(20)) + b"no chunk\r\n")
        await talk.gone()

    async with Peer(script) as peer:
        response = await HttpUpstream(peer.url).send(request_of(), seconds_max=60)
        taken: list[bytes] = []
        assert isinstance(response, Pouring)
        pouring = asyncio.ensure_future(response.pour(taken.append))
        goes_on.set()
        with pytest.raises(Sent):
            await pouring
        await response.aclose()
    assert b"".join(taken) == b"".join(b"pt%02d" % place for place in range(20))
    assert len(taken) < 20
