"""What lies between an upstream's stream and the agent's connection."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from gateway.relay import Relay, begun

if TYPE_CHECKING:
    from collections.abc import Awaitable

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("GW-33")]


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


class Agent:
    """A connection that can be full; `got` is what it has taken."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.room = asyncio.Event()
        self.room.set()

    async def send(self, frame: bytes) -> None:
        while not self.room.is_set():
            await self.room.wait()
        self.got.append(frame)

    def write(self, frame: bytes) -> Awaitable[None] | None:
        return begun(self.send(frame))


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def nothing() -> bytes | None:
    return None


async def test_a_frame_is_out_when_giving_it_returns() -> None:
    relay, agent = Relay(nothing), Agent()
    relay.give(b"before ")
    relay.give(b"anybody ")
    pouring = asyncio.create_task(relay.pour(agent.write))
    await turns()
    assert agent.got == [b"before anybody "]
    relay.give(b"one")
    relay.give(b"two")
    assert agent.got == [b"before anybody ", b"one", b"two"]
    relay.end()
    await pouring


async def test_an_agent_that_takes_no_more_gets_the_rest_in_order_when_it_does() -> None:
    relay, agent = Relay(lambda: b" last"), Agent()
    pouring = asyncio.create_task(relay.pour(agent.write))
    await turns()
    agent.room.clear()
    for frame in (b"a", b"b", b"c"):
        relay.give(frame)
    await turns()
    relay.give(b"d")
    assert agent.got == []
    agent.room.set()
    await turns()
    assert agent.got == [b"a", b"bcd"]
    agent.room.clear()
    relay.give(b"e")
    relay.end()
    await turns()
    assert not pouring.done()
    agent.room.set()
    await pouring
    assert b"".join(agent.got) == b"abcde last"


@pytest.mark.parametrize("seed", range(20))
async def test_however_giving_and_taking_meet_every_frame_arrives_once_and_in_order(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a schedule, no secret
    relay, agent = Relay(nothing), Agent()
    frames = [b"%d;" % number for number in range(200)]
    pouring = asyncio.create_task(relay.pour(agent.write))
    for frame in frames:
        match chance.randrange(5):
            case 0:
                agent.room.clear()
            case 1:
                agent.room.set()
            case 2:
                await asyncio.sleep(0)
            case _:
                pass
        relay.give(frame)
    agent.room.set()
    relay.end()
    await pouring
    assert b"".join(agent.got) == b"".join(frames)


async def test_without_an_agent_to_write_to_frames_are_iterated_those_waiting_as_one() -> None:
    relay = Relay(lambda: b"last")
    relay.give(b"a")
    relay.give(b"b")
    seen = [await anext(frames := aiter(relay))]
    relay.give(b"c")
    relay.end()
    seen += [frame async for frame in frames]
    assert seen == [b"ab", b"c", b"last"]


async def test_when_the_agent_leaves_nothing_more_is_written_and_pouring_ends() -> None:
    relay, agent = Relay(nothing), Agent()
    pouring = asyncio.create_task(relay.pour(agent.write))
    await turns()
    relay.give(b"a")
    relay.leave()
    relay.give(b"b")
    await pouring
    assert agent.got == [b"a"]


async def test_a_write_that_fails_is_the_takers_trouble_not_the_givers() -> None:
    def broken(_: bytes) -> None:
        raise OSError("the agent's connection broke")

    relay = Relay(nothing)
    pouring = asyncio.create_task(relay.pour(broken))
    await turns()
    relay.give(b"a")
    relay.give(b"b")
    with pytest.raises(OSError, match="broke"):
        await pouring


async def test_a_cancelled_wait_ends_the_write_that_waited() -> None:
    relay, agent = Relay(nothing), Agent()
    ended: list[type[BaseException]] = []

    async def send(frame: bytes) -> None:
        try:
            await agent.send(frame)
        except asyncio.CancelledError as error:
            ended.append(type(error))
            raise

    pouring = asyncio.create_task(relay.pour(lambda frame: begun(send(frame))))
    await turns()
    agent.room.clear()
    relay.give(b"a")
    await turns()
    pouring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pouring
    assert ended == [asyncio.CancelledError]
