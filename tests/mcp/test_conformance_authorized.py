"""The gateway as a client of servers that want tokens, by the conformance suite's extension for client credentials.

The suite's server and authorization server have other ports each time, so a gateway is started when they are known.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.streamable_http import streamable_http_client

from tests.mcp import conformance
from tests.mcp.conformance_client import Agent, agent, run
from tests.mcp.stand import gateway, write
from tests.oauth.test_resource_server import Kept

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCENARIOS: Final = ("auth/client-credentials-basic", "auth/client-credentials-jwt")
#: What holds of a client that asks the server where to get tokens, here of this test. The gateway is told by its
#: file: a server that could name an authorization server could have the client's secret sent there.
DISCOVERY: Final = frozenset({"prm-pathbased-requested", "authorization-server-metadata"})
POLICY: Final = "p, role:any, *, mcp/*, list, -, allow, -\np, role:any, *, mcp/**, *, -, allow, redact=off\n"

pytestmark = pytest.mark.skipif(
    conformance.node() is None, reason="there is no Node.js of 22 or newer; `make setup` brings one"
)


def issuer_of(url: str) -> str:
    """Return whose tokens the suite's server takes."""
    server = urlsplit(url)
    place = f"{server.scheme}://{server.netloc}/.well-known/oauth-protected-resource{server.path}"
    return str(httpx.get(place, timeout=60).json()["authorization_servers"][0])


async def directly(told: Mapping[str, str], context: Mapping[str, Any]) -> None:
    """Do what the official client does."""
    url, found, issuer = told["server"], Kept(), issuer_of(told["server"])
    provider = (
        ClientCredentialsOAuthProvider(url, found, context["client_id"], context["client_secret"], issuer=issuer)
        if "client_secret" in context
        else PrivateKeyJWTOAuthProvider(
            url, found, context["client_id"],
            SignedJWTParameters(
                issuer=context["client_id"], subject=context["client_id"], signing_key=context["private_key_pem"],
                signing_algorithm="ES256",
            ).create_assertion_provider(),
            issuer=issuer,
        )
    )  # fmt: skip
    async with (
        httpx2.AsyncClient(auth=provider, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), mode="auto") as client,
    ):
        await client.list_tools()


def prepare(folder: Path, told: Mapping[str, str], context: Mapping[str, Any]) -> None:
    """Write the configuration of a gateway that has the client's secret or key."""
    issuer = issuer_of(told["server"]).rstrip("/")
    known = httpx.get(f"{issuer}/.well-known/oauth-authorization-server", timeout=60).json()
    credential = f"token_url: '{known['token_endpoint']}', client_id: '{context['client_id']}'"
    folder.mkdir()
    if "client_secret" in context:
        (folder / "client").write_text(context["client_secret"], encoding="utf-8")
        credential += ", client_secret: 'file:client'"
    else:
        (folder / "client").write_text(context["private_key_pem"], encoding="utf-8")
        credential += f", private_key: 'file:client', assertion_audience: '{issuer}'"
    (folder / "client").chmod(0o600)
    servers = f"  guarded: {{url: '{told['server']}', credential: {{client_credentials: {{{credential}}}}}}}\n"
    write(folder, policy=POLICY, servers=servers, more="redaction: {default_profile: 'off'}\n")
    # without a profile that inspects, the gateway starts without the language model
    (folder / "policies" / "redaction.yaml").write_text("'off': {inspect: false}\n", encoding="utf-8")


async def through(folder: Path, told: Mapping[str, str], context: Mapping[str, Any]) -> None:
    """Call the server through a gateway."""
    prepare(folder, told, context)
    with gateway(folder) as (url, _):
        async with Client(f"{url}/mcp/guarded", mode="auto", read_timeout_seconds=20) as client:
            await client.list_tools()


class Acting(Agent):
    """Acts directly where `folder` is unset, else through a gateway in it."""

    folder: Path | None = None

    async def acted(self, told: Mapping[str, str]) -> None:
        """Do what was told."""
        do = directly if self.folder is None else functools.partial(through, self.folder)
        await do(told, conformance.context(told))


@pytest.mark.requirement("MCP-42")
@pytest.mark.parametrize(
    ("scenario", "revision"),
    [
        pytest.param(scenario, revision, marks=() if at == place else pytest.mark.slow)
        for at, scenario in enumerate(SCENARIOS)
        for place, revision in enumerate(conformance.REVISIONS)
    ],
)
def test_the_suite_sees_the_gateway_prove_itself_as_the_official_client_does(
    tmp_path: Path, scenario: str, revision: str
) -> None:
    conformance.install()
    with agent(Acting()) as acting:
        assert isinstance(acting, Acting)
        passed, failed = run(acting, revision, scenario, extension=True)
        assert acting.error == ""
        acting.folder = tmp_path / "gateway"
        through_passed, through_failed = run(acting, revision, scenario, extension=True)
        assert acting.error == ""
    own = {name for name in passed if name.partition(":")[0] not in DISCOVERY}
    assert len(own) == 3
    assert own <= through_passed
    assert (failed, through_failed) == (set(), set())
