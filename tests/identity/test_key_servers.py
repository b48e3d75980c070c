"""Keys by URL, with a real HTTP server: rotation, outage, unknown key ids, hostile answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest

from gateway.identity import Unidentified
from gateway.identity.key_cache import KeyCache, Pace, fetch_url
from gateway.identity.refused import CredentialRefused
from tests.identity.authority import CONFIG, b64, bearer, ec_jwk, header, jwks, open_authenticator, sign, write_config
from tests.identity.key_server import KeyServer, key_server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from gateway.identity import Authenticator

pytestmark = pytest.mark.anyio


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def cached(server: KeyServer, clock: Clock) -> AsyncGenerator[KeyCache, None]:
    async with httpx.AsyncClient(trust_env=False) as client:
        cache = KeyCache("https://idp.example", ("ES256",), fetch_url(client, server.url), pace=Pace(), clock=clock)
        yield cache
        await cache.aclose()


@contextlib.asynccontextmanager
async def authenticating(folder: Path, url: str) -> AsyncGenerator[Authenticator, None]:
    config = write_config(folder, CONFIG.replace("jwks_file: acme.json", f'jwks_url: "{url}"'))
    authenticator = await open_authenticator(config)
    yield authenticator
    await authenticator.aclose()


async def settled(cache: KeyCache) -> None:
    """Wait for a refresh behind the calls."""
    async with asyncio.timeout(60):
        await cache.refresh()


@pytest.mark.requirement("IDN-08")
async def test_cases_23_and_24_ten_thousand_random_key_ids_cause_one_fetch(tmp_path: Path) -> None:
    async with key_server(jwks(ec_jwk("a"))) as server, authenticating(tmp_path, server.url) as authenticator:
        rest = sign().partition(".")[2]
        for number in range(10_000):
            forged = f"{b64(json.dumps(header(kid=f'random-{number}')).encode())}.{rest}"
            with pytest.raises(Unidentified) as caught:
                await authenticator.identify(bearer(forged))
            assert caught.value.reason == "key_unknown"
        assert server.fetches == 1
        assert (await authenticator.identify(bearer(sign()))).principal.agent == "billing"


@pytest.mark.requirement("IDN-08")
async def test_case_19_a_key_address_in_the_token_is_never_fetched(tmp_path: Path) -> None:
    async with key_server(jwks(ec_jwk("stranger"))) as stranger:
        authenticator = await open_authenticator(write_config(tmp_path))
        for member in ("jku", "x5u"):
            token = sign(head=header(kid="stranger", **{member: stranger.url}), key="stranger")
            with pytest.raises(Unidentified):
                await authenticator.identify(bearer(token))
        assert stranger.fetches == 0
        await authenticator.aclose()


@pytest.mark.requirement("IDN-08")
async def test_a_rotated_key_is_found_after_the_cooldown_and_a_removed_one_is_revoked_then() -> None:
    clock = Clock()
    async with key_server(jwks(ec_jwk("a"))) as server, cached(server, clock) as cache:
        assert (await cache.find("a", "ES256")).kid == "a"
        server.content = jwks(ec_jwk("b"))
        clock.now += 29
        with pytest.raises(CredentialRefused, match="key_unknown"):
            await cache.find("b", "ES256")
        clock.now += 1
        generation = cache.generation
        assert (await cache.find("b", "ES256")).kid == "b"
        assert cache.generation == generation + 1
        with pytest.raises(CredentialRefused, match="key_unknown"):
            await cache.find("a", "ES256")
        assert server.fetches == 2


@pytest.mark.requirement("IDN-08")
async def test_keys_are_refreshed_behind_the_calls_while_the_old_ones_serve() -> None:
    clock = Clock()
    async with key_server(jwks(ec_jwk("a"))) as server, cached(server, clock) as cache:
        await cache.find("a", "ES256")
        server.gate.clear()
        server.asked.clear()
        clock.now += 301
        assert (await cache.find("a", "ES256")).kid == "a"
        await asyncio.wait_for(server.asked.wait(), 60)
        assert (await cache.find("a", "ES256")).kid == "a"
        server.gate.set()
        await settled(cache)
        assert server.fetches == 2


@pytest.mark.requirement("IDN-08")
async def test_many_callers_share_one_fetch() -> None:
    clock = Clock()
    async with key_server(jwks(ec_jwk("a"))) as server, cached(server, clock) as cache:
        server.gate.clear()
        callers = [asyncio.create_task(cache.find("a", "ES256")) for _ in range(50)]
        await asyncio.wait_for(server.asked.wait(), 60)
        callers[0].cancel()
        server.gate.set()
        found = await asyncio.gather(*callers, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert all(not isinstance(one, BaseException) for one in found[1:])
        assert server.fetches == 1


@pytest.mark.requirement("IDN-09")
async def test_case_58_an_outage_is_bridged_with_the_keys_at_hand_up_to_the_hard_limit() -> None:
    clock = Clock()
    async with key_server(jwks(ec_jwk("a"))) as server, cached(server, clock) as cache:
        await cache.find("a", "ES256")
        server.status = 500
        for _ in range(23):
            clock.now += 3600
            assert (await cache.find("a", "ES256")).kid == "a"
        clock.now += 3601
        with pytest.raises(CredentialRefused, match="keys_unavailable"):
            await cache.find("a", "ES256")
        server.status = 200
        clock.now += 5
        assert (await cache.find("a", "ES256")).kid == "a"


@pytest.mark.requirement("IDN-09")
async def test_case_58_without_any_key_the_answer_is_503_and_the_server_is_not_asked_for_each_call(
    tmp_path: Path,
) -> None:
    async with key_server(b"") as server, authenticating(tmp_path, server.url) as authenticator:
        for _ in range(20):
            with pytest.raises(Unidentified) as caught:
                await authenticator.identify(bearer(sign()))
            assert (caught.value.status, caught.value.reason) == (503, "keys_unavailable")
            assert not caught.value.final
        assert server.fetches == 1


HOSTILE = {
    "HTML": b"<html>down for maintenance</html>",
    "empty": b"",
    "no keys": b'{"keys": []}',
    "not a set": b"[1, 2]",
    "keys no list": b'{"keys": {}}',
    "duplicate keys": b'{"keys": [], "keys": []}',
    "deep": b"[" * 100_000,
    "too large": b" " * (1024 * 1024 + 1),
    "too many": jwks(*[ec_jwk("a", kid=f"k{number}") for number in range(65)]),
    "only unusable": b'{"keys": [{"kty": "oct", "k": "AA", "kid": "a"}, 7, null, {"kty": "EC", "crv": "P-256"}]}',
}


@pytest.mark.requirement("IDN-09")
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
async def test_case_59_an_answer_that_is_no_usable_key_set_leaves_the_old_keys(content: bytes) -> None:
    clock = Clock()
    async with key_server(jwks(ec_jwk("a"))) as server, cached(server, clock) as cache:
        await cache.find("a", "ES256")
        server.content = content
        assert not await cache.refresh()
        assert (await cache.find("a", "ES256")).kid == "a"


@pytest.mark.requirement("IDN-09")
async def test_redirects_of_a_key_server_are_not_followed() -> None:
    clock = Clock()
    async with key_server(jwks(ec_jwk("a"))) as elsewhere, key_server(b"") as server:
        server.status = 302
        server.headers = [(b"location", elsewhere.url.encode())]
        async with cached(server, clock) as cache:
            with pytest.raises(CredentialRefused, match="keys_unavailable"):
                await cache.find("a", "ES256")
        assert elsewhere.fetches == 0


@pytest.mark.requirement("IDN-09")
async def test_a_key_server_that_never_answers_costs_a_bounded_wait() -> None:
    async with key_server(jwks(ec_jwk("a"))) as server, httpx.AsyncClient(trust_env=False) as client:
        server.gate.clear()
        pace = Pace(fetch_seconds_max=0.05)
        cache = KeyCache("https://idp.example", ("ES256",), fetch_url(client, server.url), pace=pace)
        async with asyncio.timeout(60):
            assert not await cache.refresh()


@pytest.mark.requirement("IDN-07")
async def test_a_remembered_token_is_forgotten_when_its_issuers_keys_change(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    authenticator = await open_authenticator(config, Pace(refresh_seconds=0.0, cooldown_seconds=0.0))
    token = sign()
    assert (await authenticator.identify(bearer(token))).principal.agent == "billing"
    (tmp_path / "acme.json").write_bytes(jwks(ec_jwk("b")))
    # another token makes the authenticator look at the keys again
    assert (await authenticator.identify(bearer(sign(head=header(kid="b"), key="b")))).principal.agent == "billing"
    with pytest.raises(Unidentified):
        await authenticator.identify(bearer(token))
    await authenticator.aclose()


@pytest.mark.requirement("IDN-09")
async def test_a_key_server_that_is_away_is_said_and_closing_ends_a_fetch_under_way() -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        away = KeyCache("https://idp.example", ("ES256",), fetch_url(client, "http://127.0.0.1:1/keys"))
        with pytest.raises(CredentialRefused, match="keys_unavailable"):
            await away.find("a", "ES256")
        async with key_server(jwks(ec_jwk("a"))) as server:
            server.gate.clear()
            cache = KeyCache("https://idp.example", ("ES256",), fetch_url(client, server.url))
            waiting = asyncio.create_task(cache.find("a", "ES256"))
            await asyncio.wait_for(server.asked.wait(), 60)
            await cache.aclose()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(waiting, 60)
