"""How tokens are kept and got anew, on a clock the test sets."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from gateway.oauth.answer import LIFETIME_SECONDS_MAX, UNSAID_SECONDS, Given, NoToken, read_answer
from gateway.oauth.subjects import Own
from gateway.oauth.tokens import KEPT_MAX, Tokens

if TYPE_CHECKING:
    from gateway.oauth.subjects import Subject

pytestmark = pytest.mark.anyio


@dataclass
class Source:
    """Gives numbered tokens for `seconds`, or fails."""

    seconds: float = 100.0
    failing: bool = False
    asked: list[str | None] = field(default_factory=list[str | None])
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, subject: Subject | None) -> Given:
        self.asked.append(None if subject is None else subject.shown())
        await self.gate.wait()
        if self.failing:
            raise NoToken("the authorization server cannot be reached")
        return Given(f"t{len(self.asked)}", self.seconds)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def kept(source: Source, clock: Clock) -> Tokens:
    source.gate.set()
    return Tokens("ledger", source, clock)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.requirement("OAU-08")
async def test_a_token_is_got_anew_behind_the_calls_before_it_ends() -> None:
    source, clock = Source(), Clock()
    tokens = kept(source, clock)
    assert await tokens.token() == "t1"
    clock.now += 79
    assert await tokens.token() == "t1"
    clock.now += 2
    source.gate.clear()
    assert [await tokens.token(), await tokens.token()] == ["t1", "t1"]
    source.gate.set()
    await settled()
    assert (await tokens.token(), len(source.asked)) == ("t2", 2)
    assert await tokens.newest("t1") == "t2"
    assert await tokens.newest("somebody's") == "somebody's"
    clock.now += 96  # in its last seconds it could end on the way
    assert (await tokens.token(), len(source.asked)) == ("t3", 3)


@pytest.mark.requirement("OAU-09")
async def test_a_failing_authority_is_left_in_peace_longer_each_time() -> None:
    source, clock = Source(failing=True), Clock()
    tokens = kept(source, clock)
    pauses: list[float] = []
    for _ in range(8):
        with pytest.raises(NoToken):
            await tokens.token()
        tried, began = len(source.asked), clock.now
        while len(source.asked) == tried:
            clock.now += 0.5
            with pytest.raises(NoToken):
                await tokens.token()
        pauses.append(clock.now - began)
        source.asked.clear()
    assert pauses[0] <= 1
    assert max(pauses) <= 31
    assert pauses == sorted(pauses)
    source.failing = False
    clock.now += 31
    assert await tokens.token() == "t1"


@pytest.mark.requirement("OAU-09")
async def test_a_token_that_still_holds_bridges_an_outage() -> None:
    source, clock = Source(), Clock()
    tokens = kept(source, clock)
    await tokens.token()
    source.failing = True
    clock.now += 90
    assert await tokens.token() == "t1"
    await settled()
    assert (await tokens.token(), len(source.asked)) == ("t1", 2)
    clock.now += 10
    with pytest.raises(NoToken):
        await tokens.token()


@pytest.mark.requirement("OAU-10")
async def test_one_caller_going_away_does_not_end_it_for_the_others() -> None:
    source, clock = Source(), Clock()
    tokens = kept(source, clock)
    source.gate.clear()
    waiting = [asyncio.create_task(tokens.token()) for _ in range(5)]
    await settled()
    waiting[0].cancel()
    await settled()
    source.gate.set()
    assert await asyncio.gather(*waiting[1:]) == ["t1"] * 4
    assert len(source.asked) == 1
    assert {await tokens.instead("t1"), await tokens.instead("t1")} == {"t2"}
    await tokens.aclose()


@pytest.mark.requirement("OAU-12")
async def test_an_exchanged_token_ends_with_the_callers_own() -> None:
    source, clock = Source(seconds=5000), Clock()
    tokens = kept(source, clock)
    first, second = Own("a", clock.now + 100), Own("b", clock.now + 1000)
    assert [await tokens.token(first), await tokens.token(second), await tokens.token(first)] == ["t1", "t2", "t1"]
    assert source.asked == ["a", "b"]
    clock.now += 101
    with pytest.raises(NoToken, match="the caller's own token is over"):
        await tokens.token(first)
    assert await tokens.token(second) == "t2"
    for number in range(KEPT_MAX):
        await tokens.token(Own(str(number), clock.now + 100))
    assert await tokens.instead("t2") is None  # kept no longer


def said(**more: object) -> bytes:
    return json.dumps({"access_token": "abc", "token_type": "Bearer", **more}).encode()


@pytest.mark.requirement("OAU-09")
@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (400, b'{"error": "invalid_client", "error_description": "secret"}', "answered 400 with `invalid_client`"),
        (400, b'{"error": "eyJ.se.cret"}', "answered 400$"),
        (302, b"", "answered 302$"),
        (200, b"<html>", "no usable token"),
        (200, b'{"access_token": "a", "access_token": "b", "token_type": "Bearer"}', "no usable token"),
        (200, said(access_token="a\r\nx: y"), "no usable token"),
        (200, said(token_type="DPoP"), "no bearer token"),
        (200, said(token_type="N_A"), "no bearer token"),
    ],
)
async def test_an_answer_without_a_usable_token_gives_none(status: int, content: bytes, message: str) -> None:
    with pytest.raises(NoToken, match=message) as caught:
        read_answer(status, content)
    assert "se.cret" not in str(caught.value)


@pytest.mark.requirement("OAU-08")
async def test_a_tokens_time_is_what_is_said_within_bounds() -> None:
    assert read_answer(200, said(expires_in=90, token_type="bearer")) == Given("abc", 90.0)
    assert read_answer(200, said(expires_in=90.5)).seconds == 90.5
    for unusable in (None, "90", -1, True, 0):
        assert read_answer(200, said(expires_in=unusable)).seconds == UNSAID_SECONDS
    assert read_answer(200, said(expires_in=10**9)).seconds == LIFETIME_SECONDS_MAX
