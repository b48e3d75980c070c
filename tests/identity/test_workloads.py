"""Workloads with SPIFFE identities: JWT-SVIDs of federated trust domains, certificates a named proxy has verified."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import ConfigInvalid, load
from gateway.identity import Unidentified
from gateway.identity.key_cache import Pace
from tests.identity.authority import AUDIENCE, bearer, ec_jwk, jwks, open_authenticator, outcome, sign
from tests.identity.certificates import Authority
from tests.identity.key_server import key_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from gateway.call import Headers
    from gateway.config import Config
    from gateway.identity import Authenticator

pytestmark = pytest.mark.anyio

CONFIG = f"""version: 1
trust_domains:
  acme:
    spiffe: {{trust_domain: acme.example, bundle_file: acme.json, audience: "{AUDIENCE}"}}
  partner:
    spiffe:
      trust_domain: partner.example
      bundle_file: partner.json
      audience: "{AUDIENCE}"
      agent_path: "/ns/prod/sa/{{name}}"
  quiet: {{}}
proxies:
  edge: {{secret: "file:edge.secret", domains: [acme]}}
models:
  m: {{provider: openai, url: "https://api.openai.com/v1"}}
"""
SECRET = "edge-secret-0123456789"
BILLING = "spiffe://acme.example/agent/billing"
PIECES = ("URI=", BILLING, ";", ",", '"', "\\", "Subject=", "By=", "x")
ISSUER = "    issuers: [{issuer: 'https://i.example', audience: x, algorithms: [ES256]}]"


def written(folder: Path, text: str = CONFIG) -> Config:
    for name, key in (("acme", "s"), ("partner", "p")):
        other = ec_jwk(f"{key}-tls", use="x509-svid")
        (folder / f"{name}.json").write_bytes(jwks(ec_jwk(key, use="jwt-svid"), other))
    (folder / "edge.secret").write_text(SECRET, encoding="utf-8")
    (folder / "edge.secret").chmod(0o600)
    (folder / "oncegate.yaml").write_text(text, encoding="utf-8")
    return load(folder / "oncegate.yaml")


@pytest.fixture
async def authenticator(tmp_path: Path) -> AsyncIterator[Authenticator]:
    found = await open_authenticator(written(tmp_path))
    yield found
    await found.aclose()


def svid(name: str = "spiffe://acme.example/agent/billing", key: str = "s", **changes: object) -> str:
    now = int(time.time())
    said = {"sub": name, "aud": [AUDIENCE], "exp": now + 300, "iat": now} | changes
    head = {"alg": "ES256", "kid": key, "typ": "JWT"}
    return sign({one: value for one, value in said.items() if value is not ...}, head, key=key)


async def reason(authenticator: Authenticator, headers: Headers) -> str:
    with pytest.raises(Unidentified) as caught:
        await authenticator.identify(headers)
    assert caught.value.status == 401
    return caught.value.reason


@pytest.mark.requirement("IDN-18")
async def test_a_workload_is_the_agent_its_path_names_in_the_domain_of_its_entry(authenticator: Authenticator) -> None:
    found = (await authenticator.identify(bearer(svid()))).principal
    assert (found.name, found.issuer, found.method) == ("agent:acme/billing", "spiffe://acme.example", "jwt")
    federated = svid("spiffe://partner.example/ns/prod/sa/mailer", "p", iat=...)
    assert (await authenticator.identify(bearer(federated))).principal.name == "agent:partner/mailer"


@pytest.mark.requirement("IDN-18")
@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: svid("spiffe://partner.example/ns/prod/sa/mailer", "s"), "key_unknown"),
        (lambda: svid("spiffe://unknown.example/agent/billing"), "issuer_unknown"),
        (lambda: svid("spiffe://acme.example/other/billing"), "agent_not_allowed"),
        (lambda: svid("spiffe://acme.example/agent/billing/x"), "agent_not_allowed"),
        (lambda: svid("spiffe://acme.example"), "agent_not_allowed"),
        (lambda: svid("spiffe://acme.example/agent/.."), "subject_unusable"),
        (lambda: svid("spiffe://acme.example/agent/bil%6Cing"), "subject_unusable"),
        (lambda: svid("spiffe://acme.example:443/agent/billing"), "subject_unusable"),
        (lambda: svid("spiffe://ACME.example/agent/billing"), "subject_unusable"),
        (lambda: svid("spiffe://acme.example/agent/billing?x=1"), "subject_unusable"),
        (lambda: svid("spiffe://acme.example/agent/anonymous"), "agent_not_allowed"),
        (lambda: svid(key="s-tls"), "key_unknown"),
        (lambda: svid(aud=["https://elsewhere.example"]), "audience_wrong"),
        (lambda: svid(aud=[AUDIENCE, "https://elsewhere.example"]), "audience_wrong"),
        (lambda: svid(aud=...), "audience_wrong"),
        (lambda: svid(exp=...), "claim_missing"),
        (lambda: svid(exp=int(time.time()) - 60), "expired"),
        (lambda: svid(exp=int(time.time()) + 10**6), "lifetime_too_long"),
        (lambda: svid(act={"sub": "other"}), "delegated_token"),
        (lambda: svid(cnf={"jkt": "x"}), "bound_token"),
    ],
)  # fmt: skip
async def test_a_workloads_token_that_does_not_hold_is_refused(
    authenticator: Authenticator, made: Callable[[], str], why: str
) -> None:
    assert await reason(authenticator, bearer(made())) == why


@pytest.mark.requirement("IDN-18")
async def test_an_issuer_that_is_no_text_is_nobody_configured(authenticator: Authenticator) -> None:
    found = await authenticator.identify(bearer(svid(iss=["https://idp.example"])))
    assert (found.principal.agent, found.principal.domain) == ("billing", "acme")


@pytest.mark.requirement("IDN-18")
async def test_a_bundle_is_fetched_from_its_endpoint(tmp_path: Path) -> None:
    async with key_server(jwks(ec_jwk("s", use="jwt-svid"))) as served:
        text = CONFIG.replace("bundle_file: acme.json", f'bundle_url: "{served.url}"')
        authenticator = await open_authenticator(written(tmp_path, text))
        assert (await authenticator.identify(bearer(svid()))).principal.agent == "billing"
        assert served.fetches == 1
        await authenticator.aclose()


ENDPOINT = "spiffe://acme.example/bundle"


@pytest.mark.requirement("IDN-18")
@pytest.mark.parametrize(
    ("issuer", "names", "agent"),
    [
        # whatever host name the certificate has, or none
        ("acme", (ENDPOINT,), "billing"),
        ("acme", (ENDPOINT, "elsewhere.example"), "billing"),
        ("acme", ("spiffe://acme.example/agent/billing",), None),
        ("acme", (ENDPOINT, "spiffe://acme.example/other"), None),
        ("acme", ("127.0.0.1",), None),
        ("stranger", (ENDPOINT,), None),
    ],
)  # fmt: skip
async def test_a_bundle_endpoint_may_be_known_by_its_spiffe_id(
    tmp_path: Path, issuer: str, names: tuple[str, ...], agent: str | None
) -> None:
    acme = Authority("acme")
    (tmp_path / "acme.pem").write_text(acme.own.pem, encoding="utf-8")
    shown = {"acme": acme, "stranger": Authority("acme")}[issuer].issue(*names).write(tmp_path, "endpoint")
    async with key_server(jwks(ec_jwk("s", use="jwt-svid")), shown) as served:
        endpoint = f'bundle_url: "{served.url}", bundle_endpoint_id: "{ENDPOINT}", authorities_file: acme.pem'
        authenticator = await open_authenticator(
            written(tmp_path, CONFIG.replace("bundle_file: acme.json", endpoint)), Pace(retry_seconds=60.0)
        )
        try:
            if agent is not None:
                assert (await authenticator.identify(bearer(svid()))).principal.agent == agent
            else:
                with pytest.raises(Unidentified) as caught:
                    await authenticator.identify(bearer(svid()))
                assert (caught.value.status, caught.value.reason) == (503, "keys_unavailable")
        finally:
            await authenticator.aclose()


def forwarded(*, uri: str = BILLING, proxy: str = f"edge {SECRET}", xfcc: str = "") -> Headers:
    shown = xfcc or f'By=spiffe://acme.example/edge;Hash=ab12;Subject="CN=\\"a;b,c\\"";URI={uri};DNS=a.example'
    return ((b"oncegate-proxy", proxy.encode()), (b"x-forwarded-client-cert", shown.encode()))


@pytest.mark.requirement("IDN-19")
async def test_a_named_proxy_says_whose_certificate_it_has_verified(authenticator: Authenticator) -> None:
    found = (await authenticator.identify(forwarded())).principal
    assert (found.name, found.method, found.issuer) == ("agent:acme/billing", "certificate", "proxy:edge")


@pytest.mark.requirement("IDN-19")
@pytest.mark.parametrize(
    ("headers", "why"),
    [
        (forwarded()[1:], "no_credential"),
        (forwarded(proxy="edge wrong"), "proxy_wrong"),
        (forwarded(proxy="edge"), "proxy_wrong"),
        (forwarded(proxy=f"other {SECRET}"), "proxy_wrong"),
        (forwarded()[:1], "certificate_unusable"),
        (forwarded(uri="spiffe://partner.example/ns/prod/sa/mailer"), "issuer_unknown"),
        (forwarded(uri="https://acme.example/agent/billing"), "subject_unusable"),
        (forwarded(xfcc="URI=spiffe://acme.example/agent/a;URI=spiffe://acme.example/agent/b"), "certificate_unusable"),
        (forwarded(xfcc="URI=spiffe://acme.example/agent/a,URI=spiffe://acme.example/agent/b"), "certificate_unusable"),
        (forwarded(xfcc="Hash=ab"), "certificate_unusable"),
        (forwarded(xfcc='Subject="CN=x;URI=spiffe://acme.example/agent/b"'), "certificate_unusable"),
        (forwarded(xfcc="garbage"), "certificate_unusable"),
    ],
)  # fmt: skip
async def test_a_certificate_nobody_vouches_for_is_none(
    authenticator: Authenticator, headers: Headers, why: str
) -> None:
    assert await reason(authenticator, headers) == why


@pytest.mark.requirement("IDN-19")
async def test_a_certificate_opens_nothing_at_the_admin_listener_and_a_token_beside_it_counts(
    authenticator: Authenticator,
) -> None:
    with pytest.raises(Unidentified):
        await authenticator.authenticate_operator(forwarded())
    both = (*forwarded(), *bearer(svid("spiffe://partner.example/ns/prod/sa/mailer", "p")))
    assert (await authenticator.identify(both)).principal.name == "agent:partner/mailer"


@pytest.mark.requirement("IDN-19", "IDN-01")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.text(max_size=80), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)))
async def test_any_forwarded_certificate_gives_the_named_domain_or_a_refusal(
    authenticator: Authenticator, text: str
) -> None:
    headers = (forwarded()[0], (b"x-forwarded-client-cert", text.encode("latin-1", "replace")))
    assert await outcome(authenticator, headers) in {"acme", 401}


@pytest.mark.requirement("CFG-03")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("trust_domain: partner.example", "trust_domain: acme.example", "agents of trust domain `acme` already"),
        ("domains: [acme]", "domains: [quiet]", "has no `spiffe`"),
        ("bundle_file: acme.json, ", "", "verified by a bundle"),
        ("/ns/prod/sa/{name}", "/ns/{name}/sa/{name}", "exactly one"),
        ("bundle_file: acme.json", "bundle_url: 'http://acme.example/bundle'", "https"),
        ("bundle_file: acme.json", f"bundle_url: 'https://a.example/b', bundle_endpoint_id: '{ENDPOINT}'",
         "authorities_file"),
        ("bundle_file: acme.json", ("bundle_url: 'https://a.example/b', authorities_file: a.pem, "
         "bundle_endpoint_id: 'spiffe://partner.example/bundle'"), "SPIFFE ID of `acme.example`"),
        ("  quiet: {}", ISSUER, "shared_names"),
    ],
)  # fmt: skip
def test_workloads_that_could_be_taken_for_others_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigInvalid, match=message):
        written(tmp_path, CONFIG.replace(old, new))


@pytest.mark.requirement("IDN-18")
async def test_a_bundle_without_keys_for_tokens_is_not_started_with(tmp_path: Path) -> None:
    config = written(tmp_path)
    (tmp_path / "acme.json").write_text(json.dumps({"keys": [ec_jwk("s", use="x509-svid")]}), encoding="utf-8")
    with pytest.raises(ConfigInvalid, match="SPIFFE trust domain"):
        await open_authenticator(config)
