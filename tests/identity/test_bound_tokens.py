"""Tokens bound to a key (RFC 9449), tokens on behalf of users (RFC 8693 section 4.1), and revoked ones."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import ConfigInvalid
from gateway.identity import Unidentified
from gateway.identity.dpop import PROOF_SECONDS, Asked, Once, thumbprint
from tests.identity.authority import (
    CONFIG,
    b64,
    bearer,
    claims,
    ec_jwk,
    open_authenticator,
    outcome,
    sign,
    write_config,
)
from tests.identity.proofs import ASKED, HOLDER, JKT, proof, shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.call import Headers
    from gateway.identity import Authenticator
    from policy.decision import Principal

pytestmark = pytest.mark.anyio

TEXT = CONFIG.replace(
    "        leeway: 30s",
    "        leeway: 30s\n        delegation: accept\n        max_actors: 3\n        dpop: accept",
)


@pytest.fixture
async def authenticator(tmp_path: Path) -> AsyncIterator[Authenticator]:
    found = await open_authenticator(write_config(tmp_path, TEXT))
    yield found
    await found.aclose()


def bound(**more: object) -> str:
    return sign(claims(cnf={"jkt": JKT}, **more))


async def refused(authenticator: Authenticator, headers: Headers, asked: Asked | None = ASKED) -> Unidentified:
    with pytest.raises(Unidentified) as caught:
        await authenticator.identify(headers, asked=asked)
    return caught.value


@pytest.mark.requirement("IDN-15")
async def test_a_bound_token_with_its_proof_is_taken_and_each_proof_once(authenticator: Authenticator) -> None:
    token = bound()
    first = proof(token)
    assert (await authenticator.identify(shown(token, first), asked=ASKED)).principal.agent == "billing"
    again = await refused(authenticator, shown(token, first))
    assert (again.status, again.reason) == (401, "proof_replayed")
    assert (again.challenge or "").startswith('DPoP error="invalid_dpop_proof", algs="ES256')
    assert (await authenticator.identify(shown(token, proof(token)), asked=ASKED)).principal.agent == "billing"
    elsewhere = Asked(method="POST", url="https://GATEWAY.example:443/v1/chat/completions")
    assert (await authenticator.identify(shown(token, proof(token)), asked=elsewhere)).principal.agent == "billing"


@pytest.mark.requirement("IDN-15")
async def test_case_52_a_bound_token_shown_as_a_plain_one_is_refused(authenticator: Authenticator) -> None:
    token = bound()
    for headers in (bearer(token), shown(token, proof(token), scheme="Bearer"), ((b"x-api-key", token.encode()),)):
        assert (await refused(authenticator, headers)).reason == "bound_token"
    assert (await refused(authenticator, shown(token))).reason == "proof_missing"
    assert (await refused(authenticator, shown(token, proof(token)), None)).reason == "proof_missing"
    plain = sign()
    assert (await refused(authenticator, shown(plain, proof(plain)))).reason == "proof_wrong"
    twice = await refused(authenticator, shown(token, proof(token), proof(token)))
    assert (twice.status, twice.reason) == (400, "two_proofs")


WRONG: list[tuple[str, dict[str, object], dict[str, object]]] = [
    ("another method", {"htm": "GET"}, {}),
    ("another place", {"htu": "https://gateway.example/v1/models"}, {}),
    ("another host", {"htu": "https://evil.example/v1/chat/completions"}, {}),
    ("another scheme", {"htu": "http://gateway.example/v1/chat/completions"}, {}),
    ("no place", {"htu": ...}, {}),
    ("a place that is no URL", {"htu": "https://[x/"}, {}),
    ("another token", {"ath": b64(hashlib.sha256(b"x").digest())}, {}),
    ("no token", {"ath": ...}, {}),
    ("too old", {"iat": int(time.time() - PROOF_SECONDS - 30)}, {}),
    ("too new", {"iat": int(time.time() + 1000 * PROOF_SECONDS)}, {}),
    ("a time in text", {"iat": str(int(time.time()))}, {}),
    ("no jti", {"jti": ...}, {}),
    ("a jti with a line break", {"jti": "a\nb"}, {}),
    ("another type", {}, {"typ": "JWT"}),
    ("no algorithm", {}, {"alg": "none"}),
    ("a symmetric algorithm", {}, {"alg": "HS256"}),
    ("another key", {}, {"jwk": {k: v for k, v in ec_jwk("stranger").items() if k in {"kty", "crv", "x", "y"}}}),
    ("a key with its private part", {}, {"jwk": {**HOLDER, "d": "AQAB"}}),
    ("no key", {}, {"jwk": "x"}),
    ("a further header", {}, {"crit": ["x"]}),
]


@pytest.mark.requirement("IDN-15")
@pytest.mark.parametrize(("said", "head"), [one[1:] for one in WRONG], ids=[one[0] for one in WRONG])
async def test_case_53_a_proof_that_is_for_something_else_is_refused(
    authenticator: Authenticator, said: dict[str, object], head: dict[str, object]
) -> None:
    token = bound()
    assert (await refused(authenticator, shown(token, proof(token, head, changes=said)))).reason == "proof_wrong"


@pytest.mark.requirement("IDN-15")
async def test_a_proof_signed_by_another_key_is_refused(authenticator: Authenticator) -> None:
    token = bound()
    assert (await refused(authenticator, shown(token, proof(token, key="stranger")))).reason == "proof_wrong"
    assert (await refused(authenticator, shown(token, "x.y.z"))).reason == "proof_wrong"


@pytest.mark.requirement("IDN-15")
@pytest.mark.parametrize("cnf", [{}, "x", {"jkt": 7}, {"x5t": "x"}, {"jkt": JKT, "x5t#S256": "x"}])
async def test_a_binding_we_cannot_check_is_refused(authenticator: Authenticator, cnf: object) -> None:
    token = sign(claims(cnf=cnf))
    assert (await refused(authenticator, shown(token, proof(token)))).reason == "bound_token"


@pytest.mark.requirement("IDN-15")
async def test_an_issuer_may_be_asked_for_bound_tokens_only(tmp_path: Path) -> None:
    authenticator = await open_authenticator(write_config(tmp_path, TEXT.replace("dpop: accept", "dpop: require")))
    assert (await refused(authenticator, bearer(sign()))).reason == "proof_missing"
    token = bound()
    assert (await authenticator.identify(shown(token, proof(token)), asked=ASKED)).principal.agent == "billing"
    await authenticator.aclose()


@pytest.mark.requirement("IDN-15")
async def test_what_is_noted_is_bounded_and_what_cannot_be_noted_is_refused() -> None:
    now = [1000.0]
    once = Once(lambda: now[0], most=2)
    assert [await once.first(name, 1100.0) for name in (b"a", b"a", b"b", b"c")] == [True, False, True, False]
    now[0] = 1101.0
    assert await once.first(b"c", 1200.0)


@pytest.mark.requirement("IDN-15", "IDN-01")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    head=st.dictionaries(st.sampled_from(["typ", "alg", "jwk", "kid", "crit"]), st.one_of(
        st.none(), st.text(max_size=8), st.integers(), st.dictionaries(st.text(max_size=3), st.text(max_size=5)))),
    said=st.dictionaries(st.sampled_from(["htm", "htu", "iat", "jti", "ath", "nonce"]), st.one_of(
        st.none(), st.booleans(), st.floats(allow_nan=False), st.text(max_size=30), st.lists(st.integers()))),
)  # fmt: skip
async def test_any_proof_is_refused_or_taken_and_nothing_else(
    authenticator: Authenticator, head: dict[str, object], said: dict[str, object]
) -> None:
    token = bound()
    made = proof(token, head, changes=said)
    assert await outcome(authenticator, shown(token, made), ASKED) in {"acme", 400, 401, 431}


def chain(*actors: str) -> dict[str, object] | None:
    found: dict[str, object] | None = None
    for name in reversed(actors):
        found = {"sub": name} if found is None else {"sub": name, "act": found}
    return found


async def caller(authenticator: Authenticator, **said: object) -> Principal:
    return (await authenticator.identify(bearer(sign(claims(**said))))).principal


@pytest.mark.requirement("IDN-16")
async def test_a_delegated_token_names_the_user_the_agent_and_every_actor(authenticator: Authenticator) -> None:
    found = await caller(authenticator, sub="ada@example.com", act=chain("billing", "planner"), roles=["clerk"])
    assert (found.agent, found.user, found.actors) == ("billing", "ada@example.com", ("planner",))
    # the subject's roles are the user's, never the agent's
    assert (found.roles, found.user_roles) == (frozenset(), {"clerk"})
    said = {"sub": "billing", "roles": ["robot"]}
    assert (await caller(authenticator, sub="ada", act=said)).roles == {"robot"}


@pytest.mark.requirement("IDN-16")
@pytest.mark.parametrize(
    ("act", "reason", "status"),
    [
        (chain("a", "b", "c", "d"), "chain_too_long", 403),
        (chain("a", "b", "a"), "chain_cyclic", 403),
        (chain("a", "ada"), "chain_cyclic", 403),
        ("billing", "subject_unusable", 401), ({}, "subject_unusable", 401), ({"sub": "a\nb"}, "subject_unusable", 401),
        ({"sub": "anonymous"}, "subject_unusable", 401), ({"sub": "a", "act": [1]}, "subject_unusable", 401),
        ({"sub": "a", "iss": "https://other.example"}, "issuer_unknown", 401),
    ],
)  # fmt: skip
async def test_case_51_a_chain_that_is_too_long_cyclic_or_unusable_is_refused(
    authenticator: Authenticator, act: object, reason: str, status: int
) -> None:
    found = await refused(authenticator, bearer(sign(claims(sub="ada", act=act))))
    assert (found.reason, found.status) == (reason, status)
    assert (found.challenge is None) is (status == 403)


@pytest.mark.requirement("IDN-16")
async def test_a_delegated_token_of_two_users_or_with_groups_is_refused(authenticator: Authenticator) -> None:
    for more in ({"user": "eve"}, {"groups": ["finance"]}):
        token = sign(claims(sub="ada", act=chain("billing"), **more))
        assert (await refused(authenticator, bearer(token))).reason == "claim_unusable"


@pytest.mark.requirement("IDN-16")
async def test_an_issuer_speaks_for_the_agents_of_its_chains_as_for_others(tmp_path: Path) -> None:
    text = TEXT.replace("        leeway: 30s", "        leeway: 30s\n        agents: [billing]")
    authenticator = await open_authenticator(write_config(tmp_path, text))
    assert (await caller(authenticator, sub="ada", act=chain("billing"))).agent == "billing"
    for act in (chain("admin"), chain("billing", "admin")):
        assert (await refused(authenticator, bearer(sign(claims(sub="ada", act=act))))).reason == "agent_not_allowed"
    await authenticator.aclose()


@pytest.mark.requirement("IDN-17")
async def test_case_48_what_an_issuer_revokes_counts_no_more_within_a_second(tmp_path: Path) -> None:
    text = CONFIG.replace("        leeway: 30s", "        leeway: 30s\n        revoked_file: revoked.json")
    listed = tmp_path / "revoked.json"
    listed.write_text("{}", encoding="utf-8")
    authenticator = await open_authenticator(write_config(tmp_path, text))
    first, second = sign(claims(jti="t-1")), sign(claims(jti="t-2", sub="shipping"))
    for token in (first, second):
        await authenticator.identify(bearer(token))
    listed.write_text('{"jti": ["t-1"], "sub": ["shipping"]}', encoding="utf-8")
    for token in (first, second):
        assert await becomes_revoked(authenticator, token)
    assert (await authenticator.identify(bearer(sign(claims(jti="t-3"))))).principal.agent == "billing"
    # a list that cannot be read keeps what was revoked
    listed.write_text("{", encoding="utf-8")
    until = time.monotonic() + 1.2
    while time.monotonic() < until:
        assert (await refused(authenticator, bearer(first))).reason == "revoked"
    await authenticator.aclose()


async def becomes_revoked(authenticator: Authenticator, token: str) -> bool:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            await authenticator.identify(bearer(token))
        except Unidentified as error:
            return error.reason == "revoked"
    return False


@pytest.mark.requirement("IDN-17")
@pytest.mark.parametrize("content", ["", "[]", '{"jti": "x"}', '{"jti": [1]}', '{"jit": []}', "\xff"])
async def test_a_list_that_cannot_be_used_is_not_started_with(tmp_path: Path, content: str) -> None:
    text = CONFIG.replace("        leeway: 30s", "        leeway: 30s\n        revoked_file: revoked.json")
    (tmp_path / "revoked.json").write_text(content, encoding="latin-1")
    with pytest.raises(ConfigInvalid, match=r"revoked\.json"):
        await open_authenticator(write_config(tmp_path, text))


@pytest.mark.requirement("IDN-15")
def test_a_thumbprint_is_that_of_rfc_7638() -> None:
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
        "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA"
        "ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
        "kEgU8awapJzKnqDKgw"
    )
    jwk: dict[str, object] = {"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert len(base64.urlsafe_b64decode(JKT + "=")) == 32
