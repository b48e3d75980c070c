"""Where an issuer says its keys are: believed only where that is no way into our own network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest

from gateway.identity.discovery import discover
from gateway.identity.key_set import KeySetUnusable
from tests.identity.key_server import key_server

if TYPE_CHECKING:
    from tests.identity.key_server import KeyServer

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("IDN-23")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def named(server: KeyServer, jwks_uri: str) -> str:
    """Let the server be an issuer that names `jwks_uri`; returns the issuer."""
    issuer = server.url.removesuffix("/keys")
    server.content = json.dumps({"issuer": issuer, "jwks_uri": jwks_uri}).encode()
    return issuer


@pytest.mark.parametrize(
    "uri",
    [
        "https://169.254.169.254/latest/meta-data/", "https://10.0.0.8/keys", "https://192.168.1.1/keys",
        "https://172.16.0.1/keys", "https://[fd00::1]/keys", "https://[fe80::1]/keys", "https://[::1]:8443/keys",
        "https://127.0.0.1:1/keys", "https://[::ffff:10.0.0.8]/keys", "https://0.0.0.0/keys", "https://100.64.0.1/keys",
        "https://2130706433/keys", "https://0x7f000001/keys", "https://localhost:8443/keys",
    ],
)  # fmt: skip
async def test_an_issuer_cannot_send_the_gateway_into_its_own_network(uri: str) -> None:
    async with key_server(b"") as issuing, httpx.AsyncClient() as client:
        with pytest.raises(KeySetUnusable, match="leads into a private network"):
            await discover(client, named(issuing, uri))()
        assert issuing.fetches == 1


@pytest.mark.parametrize(
    "uri", ["http://keys.example.com/keys", "ftp://keys.example.com/k", "/keys", "", "https://a/#b"]
)
async def test_keys_are_not_fetched_without_https(uri: str) -> None:
    async with key_server(b"") as issuing, httpx.AsyncClient() as client:
        with pytest.raises(KeySetUnusable, match="names no `jwks_uri` with https"):
            await discover(client, named(issuing, uri))()


async def test_a_redirect_is_not_followed_wherever_it_leads() -> None:
    async with key_server(b"{}") as inner, key_server(b"") as issuing, httpx.AsyncClient() as client:
        issuing.status, issuing.headers = 302, [(b"location", inner.url.encode())]
        with pytest.raises(KeySetUnusable):
            await discover(client, issuing.url.removesuffix("/keys"))()
        assert inner.fetches == 0


async def test_keys_at_the_issuer_itself_are_fetched() -> None:
    async with key_server(b"") as issuing, httpx.AsyncClient() as client:
        found = await discover(client, named(issuing, issuing.url))()
        assert found == issuing.content
        assert issuing.fetches == 2
