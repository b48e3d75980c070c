"""Logging in by an OpenID provider: what is believed of its answers, and what is not."""

from __future__ import annotations

import dataclasses
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from gateway.admin.api import build_admin
from gateway.admin.openid import PENDING_SECONDS_MAX, LoginRefused, Logins, Provider
from gateway.admin.sessions import Sessions
from gateway.config.login import Login
from gateway.console.site import build_console
from gateway.secrets import SecretReference
from tests.cli.ledger import Ledger
from tests.cli.stand import HOST, parts_of
from tests.console.provider import CLIENT, SECRET, OpenIdProvider

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path

    from gateway.admin.openid import Person

pytestmark = pytest.mark.anyio
HOME = "http://127.0.0.1:9"


@pytest.fixture
def openid() -> Generator[OpenIdProvider]:
    running = OpenIdProvider(people={"ann": {"groups": ["ops", "finance"], "email": "ann@example.com"}})
    yield running
    running.close()


@pytest.fixture
def login(openid: OpenIdProvider, tmp_path: Path) -> Login:
    (tmp_path / "secret").write_text(SECRET, encoding="utf-8")
    return Login(
        issuer=openid.url, client_id=CLIENT, client_secret=SecretReference.parse("file:secret", folder=tmp_path),
        roles_claim="groups", roles={"ops": ("operator",)}, algorithms=("ES256",),
    )  # fmt: skip


@asynccontextmanager
async def console(login: Login, now: list[float] | None = None) -> AsyncGenerator[Provider]:
    clock = time.time if now is None else lambda: now[0]
    async with httpx.AsyncClient(trust_env=False) as client:
        provider = Provider("acme", login, HOME, client, clock=clock)
        yield provider
        await provider.aclose()


async def come_back(provider: Provider, openid: OpenIdProvider, name: str = "ann", **more: str) -> Person:
    """Log in as `name`, with `more` in the provider's answer."""
    begun = await provider.begin()
    asked = dict(parse_qsl(urlsplit(begun.url).query))
    said = {"code": openid.code(asked, name), "state": asked["state"], "iss": openid.url, **more}
    return await provider.finish(begun.cookie, said)


@pytest.mark.requirement("CON-15")
async def test_who_the_provider_vouches_for_is_a_principal_of_the_domain(openid: OpenIdProvider, login: Login) -> None:
    async with console(login) as provider:
        person = await come_back(provider, openid)
    assert openid.complaints == []
    principal = person.principal
    assert (principal.name, principal.groups, principal.issuer) == (
        "agent:acme/ann", frozenset({"ops", "finance"}), openid.url,
    )  # fmt: skip
    assert (principal.roles, principal.appointed) == (frozenset(), {"operator"})  # what the file gives, no claim
    assert principal.credential.startswith("login:")
    assert person.logout_url is not None
    assert person.logout_url.startswith(f"{openid.url}/logout?id_token_hint=")
    assert person.seconds_max == login.session_seconds_max


TWISTED: list[tuple[str, dict[str, object]]] = [
    ("another audience", {"aud": "somebody"}),
    ("another audience besides", {"aud": [CLIENT, "somebody"]}),
    ("no audience", {"aud": None}),
    ("meant for another client", {"azp": "somebody"}),
    ("another issuer", {"iss": "http://localhost:1"}),
    ("another login's nonce", {"nonce": "x" * 43}),
    ("no nonce", {"nonce": None}),
    ("a nonce that is no text", {"nonce": 7}),
    ("over", {"exp": 1_700_000_000, "iat": 1_699_999_900}),
    ("without an end", {"exp": None}),
    ("made long ago", {"iat": 1_700_000_000}),
    ("not yet valid", {"nbf": 4_000_000_000}),
    ("nobody", {"sub": None}),
    ("a name that is a pattern", {"sub": "*"}),
    ("the name of those without credentials", {"sub": "anonymous"}),
    ("groups that are no names", {"groups": [1]}),
    ("a group that is a pattern", {"groups": ["*"]}),
]


@pytest.mark.requirement("CON-15")
@pytest.mark.parametrize("twisted", [claims for _, claims in TWISTED], ids=[name for name, _ in TWISTED])
async def test_an_id_token_that_does_not_hold_lets_nobody_in(
    openid: OpenIdProvider, login: Login, twisted: dict[str, object]
) -> None:
    openid.twisted = twisted
    async with console(login) as provider:
        with pytest.raises(LoginRefused, match="does not hold"):
            await come_back(provider, openid)


@pytest.mark.requirement("CON-15")
@pytest.mark.parametrize("signing", ["none", "HS256"])
async def test_an_id_token_signed_by_nobody_or_by_a_shared_secret_is_refused(
    openid: OpenIdProvider, login: Login, signing: str
) -> None:
    openid.signing = signing
    async with console(login) as provider:
        with pytest.raises(LoginRefused, match="does not hold"):
            await come_back(provider, openid)


@pytest.mark.requirement("CON-15")
async def test_keys_are_the_providers_and_never_the_tokens_own(openid: OpenIdProvider, login: Login) -> None:
    headers: list[dict[str, object]] = [
        {"kid": "two"}, {"jku": "http://127.0.0.1:9/keys"}, {"typ": "at+jwt"}, {"crit": ["x"], "x": 1}, {"kid": 7},
    ]  # fmt: skip
    async with console(login) as provider:
        for one in headers:
            openid.headers = one
            with pytest.raises(LoginRefused):
                await come_back(provider, openid)
        openid.headers = {}
        assert await come_back(provider, openid)
        openid.key = generate_private_key(SECP256R1())  # the set is fetched at most once in a while
        with pytest.raises(LoginRefused, match="does not hold"):
            await come_back(provider, openid)


@pytest.mark.requirement("CON-16")
async def test_a_login_is_ended_only_by_the_browser_that_began_it_and_once(
    openid: OpenIdProvider, login: Login
) -> None:
    async with console(login) as provider, console(login) as other:
        mine, theirs = await provider.begin(), await provider.begin()
        asked = dict(parse_qsl(urlsplit(mine.url).query))
        said = {"code": openid.code(asked, "ann"), "state": asked["state"]}
        with pytest.raises(LoginRefused, match="has begun no login"):
            await provider.finish("", said)
        with pytest.raises(LoginRefused, match="has begun no login"):
            await provider.finish(mine.cookie[:-1] + ("0" if mine.cookie[-1] != "0" else "1"), said)
        with pytest.raises(LoginRefused, match="has begun no login"):
            await other.finish(mine.cookie, said)  # another process
        with pytest.raises(LoginRefused, match="belongs to another login"):
            await provider.finish(theirs.cookie, said)
        with pytest.raises(LoginRefused, match="belongs to another login"):
            await provider.finish(mine.cookie, {"code": said["code"]})
        assert openid.complaints == []  # nothing was asked of the provider so far
        assert await provider.finish(mine.cookie, said)
        with pytest.raises(LoginRefused, match="answered 400 with `invalid_grant`"):
            await provider.finish(mine.cookie, said)


@pytest.mark.requirement("CON-16")
async def test_a_login_that_takes_too_long_is_begun_again(login: Login) -> None:
    now = [time.time()]
    async with console(login, now) as provider:
        begun = await provider.begin()
        asked = dict(parse_qsl(urlsplit(begun.url).query))
        now[0] += PENDING_SECONDS_MAX + 2
        with pytest.raises(LoginRefused, match="took too long"):
            await provider.finish(begun.cookie, {"code": "x", "state": asked["state"]})


@pytest.mark.requirement("CON-16")
async def test_what_the_provider_refuses_is_said_in_known_words_only(openid: OpenIdProvider, login: Login) -> None:
    async with console(login) as provider:
        with pytest.raises(LoginRefused, match="`access_denied`"):
            await come_back(provider, openid, error="access_denied")
        with pytest.raises(LoginRefused, match="answered an error;") as caught:
            await come_back(provider, openid, error="<script>")
        assert "script" not in str(caught.value)
        with pytest.raises(LoginRefused, match="another provider's"):
            await come_back(provider, openid, iss="http://localhost:1")  # mix-up, RFC 9207
        with pytest.raises(LoginRefused, match="no usable code"):
            await come_back(provider, openid, code="")
        with pytest.raises(LoginRefused, match="`invalid_grant`"):
            await come_back(provider, openid, code="guessed")


@pytest.mark.requirement("CON-16")
async def test_a_provider_that_is_away_or_leads_elsewhere_is_not_followed(openid: OpenIdProvider, login: Login) -> None:
    wrong: list[dict[str, object]] = [
        {"issuer": "http://localhost:1"}, {"authorization_endpoint": "http://example.com/authorize"},
        {"authorization_endpoint": None}, {"token_endpoint": "https://10.0.0.8/token"},
    ]  # fmt: skip
    for metadata in wrong:
        openid.metadata = metadata
        async with console(login) as provider:
            with pytest.raises(LoginRefused, match="cannot be reached or used"):
                await come_back(provider, openid)
    away = dataclasses.replace(login, issuer="http://127.0.0.1:9")
    async with console(away) as provider:
        with pytest.raises(LoginRefused, match="cannot be reached or used"):
            await provider.begin()


@pytest.mark.requirement("CON-15")
async def test_an_address_names_somebody_only_when_the_provider_has_verified_it(
    openid: OpenIdProvider, login: Login
) -> None:
    async with console(dataclasses.replace(login, name_claim="email")) as provider:
        with pytest.raises(LoginRefused):
            await come_back(provider, openid)
        openid.twisted = {"email_verified": True}
        assert (await come_back(provider, openid)).principal.agent == "ann@example.com"


@pytest.mark.requirement("CON-15")
async def test_a_client_whose_secret_cannot_be_read_or_is_wrong_gets_nobody_in(
    openid: OpenIdProvider, login: Login, tmp_path: Path
) -> None:
    (tmp_path / "wrong").write_text("guess", encoding="utf-8")
    for text, said in (("file:none", "cannot prove itself"), ("file:wrong", "401 with `invalid_client`")):
        secret = SecretReference.parse(text, folder=tmp_path)
        async with console(dataclasses.replace(login, client_secret=secret)) as provider:
            with pytest.raises(LoginRefused, match=said):
                await come_back(provider, openid)


@pytest.mark.requirement("CON-16")
async def test_a_session_is_bounded_by_the_providers_entry(openid: OpenIdProvider, login: Login) -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    async with console(dataclasses.replace(login, session_seconds_max=120.0)) as provider:
        person = await come_back(provider, openid)
    headers = (
        (b"cookie", f"oncegate_session={sessions.begin('agent:acme/ann', person, person.seconds_max)}".encode()),
    )
    now[0] = 119.0
    assert sessions.of(headers) is not None
    now[0] = 121.0
    assert sessions.of(headers) is None


@pytest.mark.requirement("CON-16")
async def test_cookies_are_for_https_alone_where_the_console_is_reached_by_it() -> None:
    async with httpx.AsyncClient() as unused:
        parts = dataclasses.replace(parts_of(Ledger()), logins=Logins({}, unused, secure=True))
        sessions = Sessions(secure=True)
        app = build_admin(parts, listener="tcp", pages=build_console(parts, sessions), sessions=sessions)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            said = {"token": "viewer-token"}
            done = await client.post("/login", json=said, headers={"origin": f"http://{HOST}"})
    assert done.status_code == 200
    assert done.headers["set-cookie"].startswith("__Host-oncegate_session=")
    assert done.headers["set-cookie"].endswith("; Secure")
