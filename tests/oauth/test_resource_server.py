"""The gateway as a resource server, asked over HTTP with tokens of a real authority."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client

from gateway.identity.discovery import discover, places
from gateway.identity.key_set import KeySetUnusable
from tests.mcp.wire import called, modern
from tests.oauth.stand import AUDIENCE, Stand, stand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

    from tests.oauth.authority import Authority
    from tests.oauth.ledger import Ledger

SERVERS = """\
  open: {url: "@ledger@", era: modern, domain: acme}
  scoped:
    url: "@ledger@"
    era: modern
    domain: acme
    scopes: {list: notes, call: [notes.write]}
    tools: {erase: {scopes: notes.erase}}
"""
PLACE = "/.well-known/oauth-protected-resource"


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, ledger: Ledger
) -> Iterator[Stand]:  # fmt: skip
    with stand(tmp_path_factory.mktemp("oauth"), SERVERS, authority=authority, ledger=ledger) as found:
        yield found


@pytest.mark.requirement("OAU-01")
def test_each_endpoint_has_metadata_under_the_configured_url(running: Stand) -> None:
    said = running.metadata("/mcp/scoped").json()
    assert said == {
        "resource": running.endpoint("scoped"), "authorization_servers": [running.authority.url],
        "bearer_methods_supported": ["header"], "resource_name": "Oncegate/mcp/scoped",
        "scopes_supported": ["notes", "notes.write", "notes.erase"],
    }  # fmt: skip
    assert running.metadata("/mcp").json()["resource"] == f"{running.gateway.url}/mcp"
    assert "scopes_supported" not in running.metadata("/mcp/open").json()
    assert running.metadata().json()["resource"] == running.gateway.url
    assert running.metadata("/mcp/nobody").status_code == 404


@pytest.mark.requirement("OAU-01")
def test_metadata_never_repeats_what_a_request_says_of_its_host(running: Stand) -> None:
    said = running.metadata("/mcp/open", host="evil.example", forwarded="host=evil.example")
    assert said.json()["resource"] == running.endpoint("open")
    refused = httpx.post(running.endpoint("open"), headers={"x-forwarded-host": "evil.example"}, timeout=60)
    assert "evil.example" not in refused.headers["www-authenticate"]


@pytest.mark.requirement("OAU-02")
def test_a_call_without_a_good_token_is_told_where_to_begin(running: Stand) -> None:
    place = f'resource_metadata="{running.gateway.url}{PLACE}/mcp/open"'
    bare = running.send(running.endpoint("open"), called("note"))
    assert (bare.status, bare.headers["www-authenticate"]) == (401, f"Bearer {place}")
    wrong = running.send(running.endpoint("open"), called("note"), "eyJ.not.one")
    assert (wrong.status, wrong.headers["www-authenticate"]) == (401, f'Bearer error="invalid_token", {place}')
    known = running.send(running.endpoint("scoped"), called("note")).headers["www-authenticate"]
    assert 'scope="notes notes.write notes.erase"' in known
    model = httpx.post(f"{running.gateway.url}/v1/chat/completions", json={}, timeout=60)
    assert f'resource_metadata="{running.gateway.url}{PLACE}"' in model.headers["www-authenticate"]
    in_query = httpx.post(f"{running.endpoint('open')}?access_token={running.token()}", timeout=60)
    assert in_query.status_code == 400


@pytest.mark.requirement("OAU-03")
def test_a_token_for_an_endpoint_opens_that_endpoint_alone(running: Stand) -> None:
    here, joined = running.endpoint("open"), f"{running.gateway.url}/mcp"
    for_here, for_all = running.token(here), running.token()
    assert running.send(here, called("note"), for_here).text == "noted"
    assert running.send(here, called("note"), for_all).text == "noted"
    assert running.send(joined, modern("tools/list"), running.token(joined)).status == 200
    for elsewhere in (running.endpoint("scoped"), joined, f"{running.gateway.url}/v1/models"):
        assert running.send(elsewhere, modern("tools/list"), for_here).status == 401
    both = running.token([here, "https://other.example"])  # pyright: ignore[reportArgumentType] - several at once
    assert running.send(here, called("note"), both).status == 401
    assert (
        running.send(running.endpoint("nobody"), called("note"), running.token(running.endpoint("nobody"))).status
        == 401
    )


@pytest.mark.requirement("OAU-04")
def test_missing_scopes_are_named_together_and_nothing_is_executed(running: Stand, ledger: Ledger) -> None:
    url, before = running.endpoint("scoped"), len(ledger.headers)
    place = f'resource_metadata="{running.gateway.url}{PLACE}/mcp/scoped"'
    refused = running.send(url, called("erase"), running.token(scope="notes"))
    assert refused.status == 403
    said = f'Bearer error="insufficient_scope", scope="notes notes.write notes.erase", {place}'
    assert refused.headers["www-authenticate"] == said
    assert running.send(url, modern("tools/list"), running.token(scope="")).status == 403
    assert running.send(url, called("note"), running.token(scp=["other"])).status == 403
    assert len(ledger.headers) == before
    assert running.send(url, modern("tools/list"), running.token(scope="notes")).status == 200
    assert running.call("scoped", token=running.token(scope="notes.write notes")).text == "noted"
    assert running.call("scoped", "erase", running.token(scp=["notes", "notes.write", "notes.erase"])).status == 200
    assert running.send(url, called("erase"), running.gateway.keys["billing"]).text == "noted"


@pytest.mark.requirement("OAU-04")
def test_the_joined_endpoint_leaves_out_and_refuses_what_the_token_is_not_for(running: Stand) -> None:
    url, token = f"{running.gateway.url}/mcp", running.token()
    listed = running.send(url, modern("tools/list"), token).last["result"]["tools"]
    assert {tool["name"] for tool in listed} == {"open__note", "open__erase"}
    refused = running.send(url, called("scoped__note"), token)
    assert refused.status == 403
    assert refused.headers["www-authenticate"].endswith(f'{PLACE}/mcp"')
    assert running.send(url, called("open__note"), token).text == "noted"


@pytest.mark.requirement("OAU-04")
def test_a_run_is_limited_to_the_scopes_it_was_opened_with(running: Stand) -> None:
    def opened(scope: str) -> str:
        headers = {"authorization": f"Bearer {running.token(scope=scope)}"}
        return httpx.post(f"{running.gateway.url}/runs", json={}, headers=headers, timeout=60).json()["token"]

    assert running.call("scoped", token=opened("notes")).status == 403
    assert running.call("scoped", token=opened("notes notes.write")).text == "noted"


@pytest.mark.requirement("OAU-06")
def test_the_callers_token_does_not_reach_the_server(running: Stand, ledger: Ledger) -> None:
    token = running.token()
    assert running.call("open", token=token).text == "noted"
    assert all(token not in value for value in ledger.headers[-1].values())
    assert "authorization" not in ledger.headers[-1]


@pytest.mark.requirement("OAU-05")
@pytest.mark.anyio
async def test_an_issuers_keys_are_found_by_its_own_metadata_only(authority: Authority) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        assert b'"kid":"one"' in await discover(client, authority.url)()
        authority.named = "https://other.example"
        with pytest.raises(KeySetUnusable, match="names another issuer"):
            await discover(client, authority.url)()
        authority.named = None
        with pytest.raises(KeySetUnusable, match="when asked for its metadata"):
            await discover(client, f"{authority.url}/tenant")()
    assert places("https://idp.example/acme") == (
        "https://idp.example/.well-known/oauth-authorization-server/acme",
        "https://idp.example/.well-known/openid-configuration/acme",
        "https://idp.example/acme/.well-known/openid-configuration",
    )


class Kept:
    """Where the official client keeps what it got."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.info: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.info

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.info = client_info


@pytest.mark.requirement("OAU-07")
@pytest.mark.anyio
@pytest.mark.parametrize("server", ["open", "scoped"])
async def test_the_official_client_authorizes_itself(running: Stand, server: str) -> None:
    kept = Kept()
    url = running.endpoint(server)
    provider = ClientCredentialsOAuthProvider(url, kept, "agent", "agent-secret", issuer=running.authority.url)
    async with (
        httpx2.AsyncClient(auth=provider, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), mode="2026-07-28") as client,
    ):
        result = await client.call_tool("note", {"text": "x"})
    assert not result.is_error
    assert kept.tokens is not None
    said = running.authority.verify(kept.tokens.access_token, url)
    assert said["sub"] == "agent"
    assert running.authority.asked[-1]["resource"] == url
    assert AUDIENCE not in str(said["aud"])
