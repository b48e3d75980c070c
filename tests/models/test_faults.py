"""Every fault of a provider's answer, for each API, plain and streamed: what comes of it, and of asking again."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import httpx
import pytest

from gateway.call import Sent
from gateway.protocols.anthropic_messages_answer import MessagesReader
from gateway.protocols.openai_chat_answer import ChatReader
from gateway.protocols.openai_responses_answer import ResponsesReader
from tests.models.apis import APIS, ask, headers, refusing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.emulator.faults import Answer
    from tests.models.apis import Api
    from tests.models.conftest import Stand

_NAMES = itertools.count()
#: What providers that hang wait for, until their test is over.
HANGING: list[threading.Event] = []
FAILED = "did not answer to the end"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What a whole answer becomes, and what the agent gets: a status, or an error's words in a stream begun."""

    made: Callable[[Api, Answer], Answer]
    status: int = 502
    said: str = FAILED
    #: whether asking again asks the provider again
    again: bool = True


def of_status(status: int, *, again: bool = True) -> Fault:
    return Fault(made=lambda api, _: refusing(api, status), status=status, said="rate_limit_error", again=again)


def cut(share: float) -> Fault:
    return Fault(made=lambda _, whole: replace(whole, cut_at=int(len(whole.body) * share)))


def holding(share: float) -> Fault:
    def made(_: Api, whole: Answer) -> Answer:
        HANGING.append(threading.Event())
        return replace(whole, hold=HANGING[-1], hold_at=int(len(whole.body) * share))

    return Fault(made=made)


def spoilt(old: bytes, new: bytes) -> Fault:
    """Return the fault that `old` is `new` in the middle of an answer."""

    def made(_: Api, whole: Answer) -> Answer:
        at = whole.body.index(old, len(whole.body) // 2)
        return replace(whole, body=whole.body[:at] + new + whole.body[at + len(old) :])

    return Fault(made=made)


FAULTS = {
    "400": of_status(400, again=False), "404": of_status(404, again=False), "429": of_status(429),
    "500": of_status(500), "503": of_status(503), "529": of_status(529),
    "silent": Fault(made=lambda _, whole: replace(whole, silent=True)),
    "hangs before its head": holding(-1), "hangs in its middle": holding(0.5),
    **{f"cut at {share}": cut(share) for share in (0, 0.01, 0.3, 0.6, 0.9, 0.999)},
    "gzip nobody asked for": Fault(made=lambda _, whole: replace(whole, gzipped=True)),
    "another end of JSON": spoilt(b'"', b"'"), "bytes that are no text": spoilt(b'"', b'\xff"'),
    "a page": Fault(made=lambda _, whole: replace(whole, body=b"<html>all is well", media="text/html")),
    "nothing": Fault(made=lambda _, whole: replace(whole, body=b"")),
    "a list": Fault(made=lambda _, whole: replace(
        whole, body=b"data: [1]\n\n" if whole.media.startswith("text/event") else b'[{"a": }]')),
}  # fmt: skip

#: Of a kind with one before; every byte is cut at by the readers themselves, below.
FURTHER = {"404", "503", "cut at 0", "cut at 0.3", "cut at 0.9", "a list"}


@pytest.mark.requirement("MOD-03")
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in FURTHER else name for name in FAULTS]
)
def test_a_fault_is_never_taken_for_an_answer_and_asking_again_asks_the_same(
    stand: Stand, name: str, *, stream: bool
) -> None:
    fault = FAULTS[name]
    stand.provider.fresh()
    stand.provider.faulty = lambda api, received: fault.made(api, api.whole(received))
    asked = f"fault-{next(_NAMES)}"
    url = stand.gates[0].url
    # side by side: hanging costs the time of one
    answers = at_once(lambda api: ask(url, stand.key, api, f"{asked}-{api.name}", stream=stream))
    while HANGING:
        HANGING.pop().set()
    for api, answer in zip(APIS, answers, strict=True):
        assert fault.said in answer.text, api.name
        begun = stream and answer.status_code == 200
        assert begun or answer.status_code == fault.status, (api.name, answer.status_code)
        assert not begun or (fault.status == 502 and api.events != answer.content)
        assert fault.status != 429 or answer.headers["retry-after"] == "7"
    stand.provider.faulty = lambda _api, _received: None
    for api in APIS:
        twice = [ask(url, stand.key, api, f"{asked}-{api.name}", stream=stream) for _ in range(2)]
        assert twice[0].content == twice[1].content
        assert twice[1].headers["oncegate-replayed"] == "true"
        assert stand.provider.asked(api) == (2 if fault.again else 1), api.name
        if fault.again:
            assert twice[0].content == (api.events if stream else api.plain)


def at_once(asking: Callable[[Api], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(len(APIS)) as pool:
        return list(pool.map(asking, APIS))


@pytest.mark.requirement("MOD-04")
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_answer_that_comes_slowly_in_pieces_or_large_comes_byte_for_byte(stand: Stand, *, stream: bool) -> None:
    url = stand.gates[0].url
    for piece in (1, 2, 1000):
        on = threading.Event()
        stand.provider.faulty = lambda api, received, piece=piece, on=on: replace(
            api.whole(received), piece_bytes=piece, hold=on, hold_at=len(api.whole(received).body) // 2
        )
        threading.Timer(0.5, on.set).start()
        answers = at_once(lambda api: ask(url, stand.key, api, stream=stream))
        for api, answer in zip(APIS, answers, strict=True):
            assert answer.content == (api.events if stream else api.plain), (api.name, piece)


@pytest.mark.requirement("MOD-04")
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_ten_megabytes_come_byte_for_byte(stand: Stand, *, stream: bool) -> None:
    stand.provider.fresh()
    for api in APIS:
        body = large(api, stream=stream)
        stand.provider.faulty = lambda api, received, body=body: replace(api.whole(received), body=body)
        name = f"large-{api.name}-{stream}"
        answer = ask(stand.gates[0].url, stand.key, api, name, stream=stream)
        assert len(body) > 10_000_000
        assert answer.content == body, api.name
        if api.name == "chat":  # replays are one code for all of them
            assert b"".join(slowly(stand, api, name, stream=stream)) == body
            assert stand.provider.asked(api) == 1


def slowly(stand: Stand, api: Api, name: str, *, stream: bool) -> Iterator[bytes]:
    """Yield the answer to a call once more, to a client that pauses after the first pieces."""
    asking = httpx.stream(
        "POST", f"{stand.gates[0].url}{api.path}", json=api.body(stream=stream), headers=headers(stand.key, name),
        timeout=60,
    )  # fmt: skip
    with asking as answer:
        assert answer.headers["oncegate-replayed"] == "true"
        for number, piece in enumerate(answer.iter_raw()):
            if number < 5:
                threading.Event().wait(0.1)
            yield piece


def large(api: Api, *, stream: bool) -> bytes:
    """Return an answer of ten megabytes: a long text, or many pieces of text."""
    if not stream:
        return api.plain.replace(b"one two", b"one two " * 1_300_000)
    events = api.events.split(b"\n\n")
    at = next(place for place, one in enumerate(events) if b'.delta"' in one or b"_delta" in one or b'"con' in one)
    piece = events[at]
    return b"\n\n".join([*events[:at], *[piece] * (10_500_000 // len(piece)), *events[at + 1 :]])


@pytest.mark.requirement("MOD-03")
@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
def test_a_stream_or_body_cut_at_any_byte_proves_nothing(api: Api) -> None:
    for whole, media in ((api.events, b"text/event-stream"), (api.plain, b"application/json")):
        told = last_proof(api) if media.startswith(b"text") else len(whole)
        for at in range(told):
            with pytest.raises(Sent):
                read_to_the_end(api, whole[:at], media)


def read_to_the_end(api: Api, content: bytes, media: bytes) -> None:
    reader = {"chat": ChatReader, "responses": ResponsesReader, "messages": MessagesReader}[api.name]()
    reader.begin(200, ((b"content-type", media),))
    reader.feed(content)
    reader.end()


def last_proof(api: Api) -> int:
    """Return from which byte on a stream has said all it has to: chat's may end without its closing marker."""
    return api.events.index(b"data: [DONE]") if api.name == "chat" else len(api.events)
