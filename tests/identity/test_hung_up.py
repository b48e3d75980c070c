"""SIGHUP to a real process: keys, certificates and lists are read again before it says that it has reloaded.

Most of these files are looked at every second anyway, but only when somebody calls. So what counts here is what the
process logs, fetches or answers with nobody calling in between.
"""

from __future__ import annotations

import base64
import json
import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from tests import keys
from tests.console.provider import CLIENT, SECRET, OpenIdProvider
from tests.identity.authority import AUDIENCE, ISSUER, OTHER_ISSUER, claims, ec_jwk, jwks, sign
from tests.identity.certificates import Authority, Issued, trusting
from tests.mcp.stand import eventually, serving
from tests.oauth.serving import Served
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from starlette.requests import Request

    from tests.serving import Running

pytestmark = pytest.mark.requirement("IDN-29")
BILLING: Final = "spiffe://acme.example/agent/billing"
DONE: Final = "reloaded; policies, keys and certificates were read again"
_CONFIG: Final = """version: 1
listen: 127.0.0.1:{port}
admin: 127.0.0.1:{admin}
secret_key: file:oncegate.key
tls: {{certificate_file: server.pem, key_file: server.key, client_certificates: accept}}
trust_domains:
  acme:
    api_keys_file: keys.yaml
    spiffe: {{trust_domain: acme.example, authorities_file: acme.pem}}
    login: {{issuer: "{openid}", client_id: {client}, client_secret: "file:client.secret", algorithms: [ES256]}}
  filed:
    issuers:
      - {{issuer: "{issuer}", jwks_file: filed.json, algorithms: [ES256], audience: "{audience}",
         revoked_file: revoked.json}}
  served:
    issuers:
      - {{issuer: "{other}", jwks_url: "{jwks}", algorithms: [ES256], audience: "{audience}"}}
models:
  m: {{provider: openai_compatible, url: "http://127.0.0.1:9/v1", domain: acme}}
redaction: {{default_profile: "off"}}
"""


@dataclass
class KeyHost:
    """A key server whose content a test decides."""

    content: bytes
    fetches: int = 0
    served: Served = field(init=False)

    def __post_init__(self) -> None:
        self.served = Served(Starlette(routes=[Route("/keys", self._keys)]))

    async def _keys(self, request: Request) -> Response:
        del request
        self.fetches += 1
        return Response(self.content, media_type="application/jwk-set+json")


@dataclass
class Stand:
    """A gateway that ends TLS itself and knows every kind of credential."""

    folder: Path
    port: int
    admin: int
    ours: Authority
    acme: Authority
    host: KeyHost
    openid: OpenIdProvider
    process: Running

    def status(self, credential: str | None, shown: Issued | None = None) -> int:
        """Return what is answered to whoever shows a credential; 0 where the handshake fails."""
        headers = {} if credential is None else {"authorization": f"Bearer {credential}"}
        try:
            with httpx.Client(verify=trusting(self.ours, shown, self.folder), timeout=60) as client:
                return client.get(f"https://127.0.0.1:{self.port}/v1/models", headers=headers).status_code
        except httpx.TransportError:
            return 0

    def hang_up(self) -> str:
        """Send the signal; returns what is logged up to having reloaded."""
        log = self.folder / "gateway.log"
        before = len(log.read_text(encoding="utf-8"))
        self.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: DONE in log.read_text(encoding="utf-8")[before:])
        return log.read_text(encoding="utf-8")[before:].partition(DONE)[0]

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def log_in(self) -> int:
        """Log in as ann; returns what the console answers to who comes back."""
        with httpx.Client(base_url=f"http://127.0.0.1:{self.admin}", timeout=60) as client:
            begun = client.get("/login/openid/acme")
            asked = dict(parse_qsl(urlsplit(begun.headers["location"]).query))
            said = {"code": self.openid.code(asked, "ann"), "state": asked["state"], "iss": self.openid.url}
            return client.get("/login/callback/acme", params=said).status_code


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stand]:
    folder = tmp_path_factory.mktemp("hung-up")
    ours, acme = Authority("ours"), Authority("acme")
    host, openid = KeyHost(jwks(ec_jwk("a"))), OpenIdProvider(people={"ann": {}})
    ours.issue("127.0.0.1", "localhost").write(folder, "server")
    port, admin = free_port(), free_port()
    files = {
        "acme.pem": acme.own.pem, "filed.json": jwks(ec_jwk("a")).decode(), "client.secret": SECRET,
        "revoked.json": json.dumps({"jti": ["t-0"]}), "oncegate.key": base64.b64encode(os.urandom(32)).decode(),
        "oncegate.yaml": _CONFIG.format(
            port=port, admin=admin, openid=openid.url, client=CLIENT, issuer=ISSUER, other=OTHER_ISSUER,
            audience=AUDIENCE, jwks=f"{host.served.url}/keys",
        ),
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o600)
    (folder / "policies").mkdir()
    (folder / "policies" / "p.csv").write_text("p, role:any, acme, model/m, call, -, allow, -\n", encoding="utf-8")
    (folder / "policies" / "redaction.yaml").write_text('"off": {inspect: false}\n', encoding="utf-8")
    with serving(folder) as process:
        found = Stand(folder, port, admin, ours, acme, host, openid, process)

        def ready() -> bool:
            assert process.poll() is None, (folder / "gateway.log").read_text(encoding="utf-8")
            return found.status(None) == 401

        assert eventually(ready, seconds_max=60), (folder / "gateway.log").read_text(encoding="utf-8")
        yield found
    host.served.close()
    openid.close()


def test_a_new_authority_counts_and_the_one_before_no_more(stand: Stand) -> None:
    before, successor = stand.acme.issue(BILLING), Authority("acme 2")
    assert stand.status(None, before) == 200
    stand.write("acme.pem", "no certificate\n")
    assert "the authorities of `acme.example` stay as they were" in stand.hang_up()
    assert stand.status(None, before) == 200
    stand.write("acme.pem", successor.own.pem)
    # said before any handshake: nobody has called since
    assert "the listener's certificate was read again" in stand.hang_up()
    assert [stand.status(None, shown) for shown in (successor.issue(BILLING), before)] == [200, 0]


def test_a_key_set_in_a_file_is_read_again(stand: Stand) -> None:
    old, new = sign(claims()), sign(claims(), key="b")
    assert [stand.status(token) for token in (old, new)] == [200, 401]
    stand.write("filed.json", "no keys")
    assert "the keys at hand stay in use" in stand.hang_up()
    assert stand.status(old) == 200
    # another key by the same id: nobody would have asked for it for minutes
    stand.write("filed.json", jwks(ec_jwk("b", kid="a")).decode())
    stand.hang_up()
    assert [stand.status(token) for token in (old, new)] == [401, 200]
    stand.write("filed.json", jwks(ec_jwk("a")).decode())
    stand.hang_up()
    assert [stand.status(token) for token in (old, new)] == [200, 401]


def test_a_key_set_at_a_url_is_fetched_again(stand: Stand) -> None:
    said = claims(iss=OTHER_ISSUER)
    old, new = sign(said), sign(said, key="b")
    assert [stand.status(token) for token in (old, new)] == [200, 401]
    fetches = stand.host.fetches
    stand.host.content = jwks(ec_jwk("b", kid="a"))
    stand.hang_up()
    assert stand.host.fetches == fetches + 1
    assert [stand.status(token) for token in (old, new)] == [401, 200]
    stand.host.content = b"no keys"
    assert "the keys at hand stay in use" in stand.hang_up()
    assert stand.status(new) == 200


def test_a_list_of_the_revoked_is_read_again_though_nothing_about_the_file_seems_changed(stand: Stand) -> None:
    token, other = sign(claims(jti="t-9")), sign(claims(jti="t-8"))
    assert [stand.status(one) for one in (token, other)] == [200, 200]
    file = stand.folder / "revoked.json"
    seen = file.stat()
    stand.write("revoked.json", json.dumps({"jti": ["t-9"]}))
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    stand.hang_up()
    assert [stand.status(one) for one in (token, other)] == [401, 200]
    stand.write("revoked.json", "{")
    assert "what was revoked stays revoked" in stand.hang_up()
    assert stand.status(token) == 401


def test_api_keys_are_read_again(stand: Stand) -> None:
    file = stand.folder / "keys.yaml"
    first = keys.add(file, "billing")
    stand.hang_up()
    assert stand.status(first) == 200
    good = file.read_text(encoding="utf-8")
    stand.write("keys.yaml", "keys: [\n")
    assert "the keys read before stay in use" in stand.hang_up()
    assert stand.status(first) == 200
    file.unlink()
    second = keys.add(file, "billing")
    stand.hang_up()
    assert [stand.status(one) for one in (first, second)] == [401, 200]
    stand.write("keys.yaml", good)
    stand.hang_up()
    assert [stand.status(one) for one in (first, second)] == [200, 401]


def test_the_keys_that_operators_log_in_by_are_fetched_again(stand: Stand) -> None:
    assert stand.log_in() == 200
    stand.openid.key = generate_private_key(SECP256R1())
    # the same id, so that it is not looked for: the key at hand does not fit
    assert stand.log_in() == 403
    stand.hang_up()
    assert stand.log_in() == 200
    assert stand.openid.complaints == []
