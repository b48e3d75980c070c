"""TLS ended by the gateway itself: real certificates over real connections, an official client among them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from gateway.config import ConfigInvalid, load
from gateway.config.identity import Spiffe, Tls
from gateway.identity.certificate import Authorities, Certificates
from gateway.identity.refused import CredentialRefused
from gateway.identity.spiffe import Workloads
from gateway.tls import ListenerTls
from tests import keys
from tests.identity.authority import b64, claims, ec_jwk, jwks, sign
from tests.identity.certificates import Authority, Issued, trusting
from tests.identity.proofs import JKT, proof
from tests.mcp.stand import eventually, fixture, serving
from tests.ports import free_port
from tests.serving import oncegate

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = pytest.mark.requirement("IDN-25")
BILLING = "spiffe://acme.example/agent/billing"
POLICY = """p, role:any, acme, mcp/*, list, -, allow, -
p, agent:billing, acme, mcp/tools/tool/effect, call, -, allow, -
"""
_CONFIG = """version: 1
listen: 127.0.0.1:{port}
admin: 127.0.0.1:{admin}
secret_key: file:oncegate.key
tls: {{certificate_file: server.pem, key_file: server.key, client_certificates: accept}}
trust_domains:
  acme:
    api_keys_file: keys.yaml
    spiffe: {{trust_domain: acme.example, authorities_file: acme.pem}}
  partner:
    spiffe: {{trust_domain: partner.example, authorities_file: partner.pem}}
  bound:
    issuers:
      - {{issuer: "https://idp.example/acme", jwks_file: bound.json, algorithms: [ES256], audience: "https://gateway.example",
         dpop: accept, dpop_nonce: require}}
mcp_servers:
  tools: {{url: "{url}", domain: acme}}
redaction: {{default_profile: "off"}}
"""


@dataclass
class Secured:
    """A running gateway that ends TLS itself, and who issues certificates."""

    folder: Path
    port: int
    acme: Authority
    partner: Authority
    ours: Authority
    key: str

    @property
    def url(self) -> str:
        """Where agents call; by address, so that clients name no server."""
        return f"https://127.0.0.1:{self.port}"

    def context(self, shown: Issued | None) -> ssl.SSLContext:
        """Return a client's side."""
        return trusting(self.ours, shown, self.folder)

    def ask(self, shown: Issued | None, **headers: str) -> httpx.Response:
        """Ask for something that needs a credential."""
        with httpx.Client(verify=self.context(shown), timeout=60) as client:
            return client.get(f"{self.url}/v1/models", headers=headers)

    def served(self) -> int:
        """Return the serial number of the certificate it shows."""
        asked = httpx.Client(verify=self.context(None), timeout=60)
        with asked as client, client.stream("GET", f"{self.url}/healthz") as answer:
            stream: Any = answer.extensions["network_stream"]
            told = stream.get_extra_info("ssl_object").getpeercert()
        return int(told["serialNumber"], 16)

    def callers(self, resource: str) -> set[str]:
        """Return who has called something, by the audit."""
        told = oncegate("audit", "export", "-c", str(self.folder / "oncegate.yaml"))
        assert told.returncode == 0, told.stderr
        records = [json.loads(line)["record"] for line in told.stdout.splitlines()]
        return {one["principal"] for one in records if one.get("resource") == resource}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Generator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    acme, partner, ours = (Authority(name) for name in ("acme", "partner", "ours"))
    ours.issue("127.0.0.1", "localhost").write(folder, "server")
    (folder / "acme.pem").write_text(acme.own.pem, encoding="utf-8")
    (folder / "partner.pem").write_text(partner.own.pem, encoding="utf-8")
    (folder / "bound.json").write_bytes(jwks(ec_jwk("a")))
    (folder / "policies").mkdir()
    (folder / "policies" / "p.csv").write_text(POLICY, encoding="utf-8")
    (folder / "policies" / "redaction.yaml").write_text('"off": {inspect: false}\n', encoding="utf-8")
    (folder / "oncegate.key").write_bytes(base64.b64encode(os.urandom(32)))
    (folder / "oncegate.key").chmod(0o600)
    key = keys.add(folder / "keys.yaml", "keyed")
    with fixture(folder / "effects.txt") as direct:
        port = free_port()
        text = _CONFIG.format(port=port, admin=free_port(), url=direct)
        (folder / "oncegate.yaml").write_text(text, encoding="utf-8")
        found = Secured(folder, port, acme, partner, ours, key)
        with serving(folder) as child:

            def ready() -> bool:
                try:
                    return httpx.get(f"{found.url}/readyz", verify=found.context(None), timeout=60).status_code == 200
                except httpx.TransportError:
                    assert child.poll() is None, (folder / "gateway.log").read_text(encoding="utf-8")
                    return False

            assert eventually(ready, seconds_max=60), (folder / "gateway.log").read_text(encoding="utf-8")
            yield found


@pytest.mark.anyio
async def test_an_official_client_is_the_workload_that_its_certificate_names(secured: Secured) -> None:
    context = secured.context(secured.acme.issue(BILLING))
    async with (
        httpx2.AsyncClient(verify=context, timeout=60) as http,
        Client(streamable_http_client(f"{secured.url}/mcp/tools", http_client=http)) as client,
    ):
        assert "effect" in {tool.name for tool in (await client.list_tools()).tools}
        done = await client.call_tool("effect", {"word": "over tls"})
        assert not done.is_error, done
    assert secured.callers("mcp/tools/tool/effect") == {"agent:acme/billing"}


def test_an_agent_of_the_same_name_in_another_domain_is_somebody_else(secured: Secured) -> None:
    context = secured.context(secured.partner.issue("spiffe://partner.example/agent/billing"))
    with httpx.Client(verify=context, timeout=60) as stranger:
        params = {"name": "effect", "arguments": dict[str, str]()}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        headers = {"mcp-protocol-version": "2025-06-18", "accept": "application/json, text/event-stream"}
        said = stranger.post(f"{secured.url}/mcp/tools", json=message, headers=headers)
    assert "no flow line allows" in said.text


def test_a_token_beside_or_instead_of_a_certificate_counts(secured: Secured) -> None:
    bearer = {"authorization": f"Bearer {secured.key}"}
    assert secured.ask(None, **bearer).status_code == 200
    assert secured.ask(secured.partner.issue("spiffe://partner.example/agent/x"), **bearer).status_code == 200
    assert secured.ask(None).status_code == 401


@pytest.mark.requirement("IDN-26")
def test_a_token_bound_to_a_certificate_counts_over_the_connection_that_shows_it(secured: Secured) -> None:
    shown = secured.partner.issue("spiffe://partner.example/agent/anybody")
    der = ssl.PEM_cert_to_DER_cert(shown.pem)
    bearer = {"authorization": f"Bearer {sign(claims(cnf={'x5t#S256': b64(hashlib.sha256(der).digest())}))}"}
    assert secured.ask(shown, **bearer).status_code == 200
    for other in (secured.partner.issue("spiffe://partner.example/agent/anybody"), None):
        assert secured.ask(other, **bearer).status_code == 401


@pytest.mark.requirement("IDN-27")
def test_a_client_learns_the_nonce_its_proofs_must_hold(secured: Secured) -> None:
    token = sign(claims(cnf={"jkt": JKT}))
    place: dict[str, object] = {"htm": "GET", "htu": f"{secured.url}/v1/models"}

    def asked(**more: object) -> httpx.Response:
        return secured.ask(None, authorization=f"DPoP {token}", dpop=proof(token, changes=place | more))

    refused = asked()
    assert (refused.status_code, "use_dpop_nonce" in refused.headers["www-authenticate"]) == (401, True)
    assert asked(nonce=refused.headers["dpop-nonce"]).status_code == 200


@pytest.mark.parametrize(
    ("issuer", "names", "headers"),
    [
        ("partner", (BILLING,), {}),  # one company's authority names another's agent
        ("acme", (), {}),
        ("acme", ("billing.acme.example",), {}),
        ("acme", (BILLING, "spiffe://acme.example/agent/admin"), {}),
        ("acme", ("spiffe://acme.example/other/billing",), {}),
        ("acme", ("spiffe://unknown.example/agent/billing",), {}),
        ("acme", ("https://acme.example/agent/billing",), {}),
        # where connections end here, nobody forwards certificates without proving itself
        ("acme", (BILLING,), {"x-forwarded-client-cert": f"URI={BILLING}"}),
        (None, (), {"x-forwarded-client-cert": f"URI={BILLING}"}),
        (None, (), {"x-forwarded-client-cert": f"URI={BILLING}", "oncegate-proxy": "edge guess"}),
    ],
)  # fmt: skip
def test_a_certificate_that_names_nobody_here_opens_nothing(
    secured: Secured, issuer: str | None, names: tuple[str, ...], headers: dict[str, str]
) -> None:
    shown = None if issuer is None else getattr(secured, issuer).issue(*names, subject="billing")
    assert secured.ask(shown, **headers).status_code == 401


@pytest.mark.parametrize("bad", ["stranger", "expired", "self-made"])
def test_a_certificate_that_does_not_hold_ends_the_handshake(secured: Secured, bad: str) -> None:
    shown = {
        "stranger": lambda: Authority("stranger").issue(BILLING),
        # of the same name as the real one
        "self-made": lambda: Authority("acme").issue(BILLING),
        "expired": lambda: secured.acme.issue(BILLING, days=-1.0),
    }[bad]()
    with pytest.raises(httpx.TransportError):
        secured.ask(shown)


def test_a_new_certificate_is_served_and_a_new_authority_counts_without_a_restart(secured: Secured) -> None:
    shown = secured.acme.issue(BILLING)
    context = secured.context(shown)
    with httpx.Client(verify=context, timeout=60) as kept:
        assert kept.get(f"{secured.url}/v1/models").status_code == 200
        fresh = secured.ours.issue("127.0.0.1", "localhost")
        assert secured.served() != fresh.certificate.serial_number
        fresh.write(secured.folder, "server")
        successor = Authority("acme 2")

        def renewed() -> bool:
            kept.get(f"{secured.url}/v1/models")  # a connection that idles for long is closed
            return secured.served() == fresh.certificate.serial_number

        try:
            (secured.folder / "acme.pem").write_text(successor.own.pem, encoding="utf-8")
            assert eventually(renewed)
            assert secured.ask(successor.issue(BILLING)).status_code == 200
            # on a connection that stands, with a certificate whose authority counts no more
            assert kept.get(f"{secured.url}/v1/models").status_code == 401
            with pytest.raises(httpx.TransportError):
                secured.ask(shown)
        finally:
            (secured.folder / "acme.pem").write_text(secured.acme.own.pem, encoding="utf-8")
            assert eventually(lambda: _in(secured, shown))


def _in(secured: Secured, shown: Issued) -> bool:
    try:
        return secured.ask(shown).status_code == 200
    except httpx.TransportError:
        return False


def _known(folder: Path) -> tuple[Authority, Authorities, dict[str, Workloads]]:
    authority = Authority("acme")
    file = folder / "acme.pem"
    file.write_text(authority.own.pem, encoding="utf-8")
    entry = Spiffe(trust_domain="acme.example", authorities_file=file)
    workloads = {"acme.example": Workloads(domain="acme", entry=entry, keys=None)}
    return authority, Authorities({"acme.example": file}), workloads


def test_a_connection_does_not_outlive_its_certificate(tmp_path: Path) -> None:
    authority, authorities, workloads = _known(tmp_path)
    now = [time.time()]
    certificates = Certificates(authorities, workloads, clock=lambda: now[0])
    pem = authority.issue(BILLING, days=1.0).pem
    assert certificates.principal_of(pem).name == "agent:acme/billing"
    now[0] += 86_401
    with pytest.raises(CredentialRefused, match="expired"):
        certificates.principal_of(pem)


@pytest.mark.parametrize("text", ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(tmp_path: Path, text: str) -> None:
    _, authorities, workloads = _known(tmp_path)
    with pytest.raises(CredentialRefused, match="certificate_unusable"):
        Certificates(authorities, workloads).principal_of(text)


def test_nothing_older_than_tls_1_2_is_spoken_and_no_session_is_resumed(tmp_path: Path) -> None:
    authority, authorities, _ = _known(tmp_path)
    certificate, key = authority.issue("127.0.0.1").write(tmp_path, "server")
    tls = Tls(certificate_file=certificate, key_file=key, client_certificates="require")
    context = ListenerTls(tls, authorities).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert (context.num_tickets, bool(context.options & ssl.OP_NO_TICKET)) == (0, True)
    key.write_text("no key", encoding="utf-8")
    with pytest.raises(ConfigInvalid, match="private key"):
        ListenerTls(tls, authorities)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("client_certificates: accept", "client_certificates: none", "nobody is asked"),
        (", authorities_file: acme.pem", "", "nobody is asked"),
        ("key_file: server.key, ", "", "key_file"),
    ],
)
def test_a_listener_that_could_verify_nobody_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = _CONFIG.format(port=1, admin=2, url="http://127.0.0.1:3/mcp").replace(old, new)
    if "authorities_file: acme" in old:
        text = text.replace(", authorities_file: partner.pem", "")
        message = "no certificate could be verified"
    (tmp_path / "oncegate.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigInvalid, match=message):
        load(tmp_path / "oncegate.yaml")


def test_the_public_url_of_a_tls_listener_is_https(tmp_path: Path) -> None:
    (tmp_path / "oncegate.yaml").write_text(_CONFIG.format(port=1, admin=2, url="http://127.0.0.1:3/mcp"))
    assert load(tmp_path / "oncegate.yaml").public_url == "https://127.0.0.1:1"
