"""Tokens bound to certificates (RFC 8705), and nonces that proofs must hold (RFC 9449 section 9)."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.config import ConfigInvalid
from gateway.identity import Unidentified
from gateway.identity.certificate import Peer
from gateway.identity.nonce import SLICE_SECONDS, Nonces
from tests.identity.authority import CONFIG, bearer, claims, open_authenticator, sign, write_config
from tests.identity.certificates import Authority, Issued
from tests.identity.proofs import ASKED, JKT, proof, shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.call import Headers
    from gateway.identity import Authenticator

pytestmark = pytest.mark.anyio

SECRET = "edge-secret-0123456789"
PROXIES = """proxies:
  edge: {secret: "file:edge.secret", domains: [acme]}
  far: {secret: "file:edge.secret", domains: [other]}
"""
ISSUED = Authority("acme")
MINE, OTHER = ISSUED.issue("spiffe://acme.example/agent/billing"), ISSUED.issue()


def hashed(certificate: Issued) -> bytes:
    return hashlib.sha256(certificate.certificate.public_bytes(Encoding.DER)).digest()


def thumb(certificate: Issued) -> str:
    return base64.urlsafe_b64encode(hashed(certificate)).rstrip(b"=").decode()


def forwarded(xfcc: str, proxy: str = f"edge {SECRET}") -> Headers:
    return ((b"oncegate-proxy", proxy.encode()), (b"x-forwarded-client-cert", xfcc.encode()))


def with_setting(setting: str) -> str:
    return CONFIG.replace("        leeway: 30s", f"        leeway: 30s\n        {setting}", 1)


@pytest.fixture
async def authenticator(tmp_path: Path) -> AsyncIterator[Authenticator]:
    (tmp_path / "edge.secret").write_text(SECRET, encoding="utf-8")
    (tmp_path / "edge.secret").chmod(0o600)
    found = await open_authenticator(write_config(tmp_path, with_setting("dpop: accept") + PROXIES))
    yield found
    await found.aclose()


async def why(authenticator: Authenticator, headers: Headers, peer: Peer | None = None) -> str:
    """Return why a caller is not let in, its name where it is."""
    try:
        return (await authenticator.identify(headers, asked=ASKED, peer=peer)).principal.name
    except Unidentified as refused:
        return refused.reason


@pytest.mark.requirement("IDN-26")
async def test_a_token_counts_from_who_shows_its_certificate_to_the_gateway(authenticator: Authenticator) -> None:
    token = sign(claims(cnf={"x5t#S256": thumb(MINE)}))
    assert await why(authenticator, bearer(token), Peer(MINE.pem)) == "agent:acme/billing"
    assert await why(authenticator, bearer(token), Peer(OTHER.pem)) == "certificate_wrong"
    assert await why(authenticator, bearer(token), Peer(None)) == "bound_token"
    assert await why(authenticator, bearer(token)) == "bound_token"
    # what nobody vouches for says nothing, nor does a proof of a key
    own = (*bearer(token), forwarded(f"Hash={hashed(MINE).hex()}")[1])
    assert await why(authenticator, own) == "bound_token"
    assert await why(authenticator, shown(token, proof(token)), Peer(MINE.pem)) == "proof_wrong"
    with pytest.raises(Unidentified) as caught:
        await authenticator.identify(bearer(token), peer=Peer(OTHER.pem))
    assert (caught.value.status, caught.value.challenge) == (401, 'Bearer error="invalid_token"')


@pytest.mark.requirement("IDN-26")
@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        (forwarded(f'By=x;Hash={hashed(MINE).hex()};Subject="CN=a"'), "agent:acme/billing"),
        (forwarded(f"hash={hashed(MINE).hex().upper()}"), "agent:acme/billing"),
        (forwarded(f"Hash={hashed(OTHER).hex()}"), "certificate_wrong"),
        (forwarded("URI=spiffe://acme.example/agent/billing"), "certificate_unusable"),
        (forwarded(f"Hash={hashed(MINE).hex()};Hash={hashed(OTHER).hex()}"), "certificate_unusable"),
        (forwarded(f"Hash={hashed(MINE).hex()},Hash={hashed(OTHER).hex()}"), "certificate_unusable"),
        (forwarded("Hash=ab12"), "certificate_unusable"),
        (forwarded("Hash=zz"), "certificate_unusable"),
        (forwarded(f"Hash={hashed(MINE).hex()}", "edge guess"), "proxy_wrong"),
        (forwarded(f"Hash={hashed(MINE).hex()}", f"far {SECRET}"), "issuer_unknown"),
        (forwarded(f"Hash={hashed(MINE).hex()}")[:1], "certificate_unusable"),
    ],
)
async def test_a_trusted_proxy_says_which_certificate_it_was_shown(
    authenticator: Authenticator, headers: Headers, answer: str
) -> None:
    token = sign(claims(cnf={"x5t#S256": thumb(MINE)}))
    assert await why(authenticator, (*bearer(token), *headers)) == answer
    # the certificate of the proxy's own connection is not the caller's
    assert await why(authenticator, (*bearer(token), *headers), Peer(MINE.pem)) == answer


@pytest.mark.requirement("IDN-26")
async def test_a_token_bound_to_both_must_prove_both_and_none_opens_the_admin_listener(
    authenticator: Authenticator,
) -> None:
    token = sign(claims(cnf={"x5t#S256": thumb(MINE), "jkt": JKT}))
    assert await why(authenticator, shown(token, proof(token)), Peer(MINE.pem)) == "agent:acme/billing"
    assert await why(authenticator, shown(token, proof(token)), Peer(OTHER.pem)) == "certificate_wrong"
    assert await why(authenticator, shown(token, proof(token))) == "bound_token"
    assert await why(authenticator, bearer(token), Peer(MINE.pem)) == "bound_token"
    with pytest.raises(Unidentified):
        await authenticator.authenticate_operator(bearer(token))


@pytest.fixture
async def instances(tmp_path: Path) -> AsyncIterator[tuple[Authenticator, Authenticator]]:
    """Two instances with one `secret_key`."""
    config = write_config(tmp_path, with_setting("dpop: accept\n        dpop_nonce: require"))
    first, second = await open_authenticator(config), await open_authenticator(config)
    yield first, second
    await first.aclose()
    await second.aclose()


@pytest.mark.requirement("IDN-27")
async def test_a_proof_without_a_nonce_is_told_one_that_every_instance_takes(
    instances: tuple[Authenticator, Authenticator],
) -> None:
    first, second = instances
    token = sign(claims(cnf={"jkt": JKT}))
    made = proof(token, changes={"jti": "kept"})
    with pytest.raises(Unidentified) as caught:
        await first.identify(shown(token, made), asked=ASKED)
    refused = caught.value
    assert (refused.status, refused.reason) == (401, "nonce_wanted")
    assert (refused.challenge or "").startswith('DPoP error="use_dpop_nonce", algs="ES256')
    # the refusal has not used up the proof's own id
    again = proof(token, changes={"jti": "kept", "nonce": refused.nonce})
    assert (await second.identify(shown(token, again), asked=ASKED)).principal.agent == "billing"
    assert (await first.identify(shown(token, again), asked=ASKED)).principal.agent == "billing"
    assert await why(first, shown(token, again)) == "proof_replayed"
    for nonce in ("", "x", "\u00e9", 7, None):
        assert await why(first, shown(token, proof(token, changes={"nonce": nonce}))) == "nonce_wanted"
    # a proof that is wrong besides is told no nonce
    wrong = proof(token, changes={"htm": "GET"})
    assert await why(first, shown(token, wrong)) == "proof_wrong"


@pytest.mark.requirement("IDN-27")
def test_a_nonce_is_good_for_its_minute_and_the_next_and_lives_through_a_rotation() -> None:
    old, new = Nonces([b"1" * 32]), Nonces([b"2" * 32, b"1" * 32])
    now = 1_000_000.0
    nonce = old.current(now)
    assert old.good(nonce, now)
    assert new.good(nonce, now + SLICE_SECONDS)
    assert old.good(nonce, now - SLICE_SECONDS)  # of an instance whose clock is ahead
    assert not old.good(nonce, now + 2 * SLICE_SECONDS)
    assert not old.good(nonce, now - 2 * SLICE_SECONDS)
    assert not old.good(new.current(now), now)
    assert not old.good(nonce[:-1] + ("A" if nonce[-1] != "A" else "B"), now)


@pytest.mark.requirement("IDN-27", "CFG-03")
def test_nonces_without_proofs_are_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="dpop: accept"):
        write_config(tmp_path, with_setting("dpop_nonce: require"))
