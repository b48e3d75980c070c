"""The console's way in and out: by an operator's credential, or by a trust domain's OpenID provider."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.responses import Response

from gateway.admin.door import LOGIN_PATH, PRINCIPAL, TREE
from gateway.admin.openid import PENDING_COOKIE, PENDING_SECONDS_MAX, LoginRefused, Person, Provider
from gateway.admin.parts import AdminParts
from gateway.admin.sessions import TOKEN_CHARACTERS_MAX, Sessions, cookie_in, cookie_name, cookie_of
from gateway.call import Refusal
from gateway.trail import principal_record
from policy.decision import Principal


def routes() -> APIRouter:
    """Return the routes; all but `/logout` are open to who has no credential yet."""
    router = APIRouter()
    router.add_api_route("/login", _login_page, methods=["GET"])
    router.add_api_route("/login", _login, methods=["POST"])
    router.add_api_route("/login/openid/{domain}", _to_provider, methods=["GET"])
    router.add_api_route("/login/callback/{domain}", _from_provider, methods=["GET"])
    router.add_api_route("/logout", _logout, methods=["POST"])
    return router


def _parts(request: Request) -> AdminParts:
    return request.app.state.parts


def _shown_login(request: Request, status: int = 200, problem: str = "") -> Response:
    """Return the page with the ways to log in."""
    parts = _parts(request)
    domains = sorted(parts.logins.providers) if parts.logins is not None else []
    page = request.app.state.templates.get_template("login.html").render(domains=domains, problem=problem)
    return HTMLResponse(page, status)


async def _login_page(request: Request) -> Response:
    return _shown_login(request)


async def _login(request: Request) -> Response:
    tree = request.scope["state"].get(TREE)
    token = tree.get("token") if isinstance(tree, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - narrowed below
    if not isinstance(token, str) or not 0 < len(token) <= TOKEN_CHARACTERS_MAX or not token.isascii():
        return JSONResponse({"code": "invalid", "detail": "expected a token"}, 422)
    parts = _parts(request)
    try:
        principal = await parts.authenticate(((b"authorization", b"Bearer " + token.strip().encode()),))
    except Refusal as refusal:
        return JSONResponse({"code": refusal.code, "detail": refusal.message}, refusal.status)
    await parts.write_audit([{"event": "login", **principal_record(principal)}])
    value = _begun(request, principal, token.strip())
    return JSONResponse({"id": ""}, headers={"set-cookie": cookie_of(value, secure=_sessions(request).secure)})


def _sessions(request: Request) -> Sessions:
    return request.app.state.sessions


def _begun(request: Request, principal: Principal, credential: str | Person, *seconds_max: float) -> str:
    """Return the cookie's value of a new session; the one the browser had is over."""
    sessions = _sessions(request)
    sessions.end(tuple(request.scope["headers"]))
    return sessions.begin(principal.name, credential, *seconds_max)


def _provider(request: Request, domain: str) -> Provider | None:
    parts = _parts(request)
    return None if parts.logins is None else parts.logins.providers.get(domain)


def _pending(value: str, *, secure: bool) -> str:
    """Return the header that sets the cookie of a login that was begun; an empty value takes it away.

    The provider's page leads back here, which a browser sends no `Strict` cookie with.
    """
    life, safe = PENDING_SECONDS_MAX if value else 0, "; Secure" if secure else ""
    name = cookie_name(PENDING_COOKIE, secure=secure)
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={life}{safe}"


async def _to_provider(request: Request, domain: str) -> Response:
    provider = _provider(request, domain)
    if provider is None:
        return _shown_login(request, 404, "nobody of that trust domain logs in here")
    try:
        begun = await provider.begin()
    except LoginRefused as refused:
        return _shown_login(request, 503, str(refused))
    headers = {"set-cookie": _pending(begun.cookie, secure=_sessions(request).secure)}
    return RedirectResponse(begun.url, 303, headers)


async def _from_provider(request: Request, domain: str) -> Response:
    provider, said = _provider(request, domain), request.query_params
    if provider is None or len(said.multi_items()) != len(said):
        return _shown_login(request, 400, "the provider's answer cannot be read; log in again")
    parts, secure = _parts(request), _sessions(request).secure
    pending = cookie_in(tuple(request.scope["headers"]), cookie_name(PENDING_COOKIE, secure=secure))
    try:
        person = await provider.finish(pending, said)
        if parts.admit is not None:
            parts.admit(person.principal)
    except (LoginRefused, Refusal) as refused:
        found = _shown_login(request, 403, str(refused) if isinstance(refused, LoginRefused) else refused.message)
        found.headers.append("set-cookie", _pending("", secure=secure))
        return found
    await parts.write_audit([{"event": "login", **principal_record(person.principal)}])
    value = _begun(request, person.principal, person, person.seconds_max)
    # a page and no redirect: what follows the provider's page is sent without the session's `Strict` cookie
    found = HTMLResponse(request.app.state.templates.get_template("entered.html").render())
    found.headers.append("set-cookie", cookie_of(value, secure=secure))
    found.headers.append("set-cookie", _pending("", secure=secure))
    return found


async def _logout(request: Request) -> Response:
    ended = _sessions(request).end(tuple(request.scope["headers"]))
    principal = request.scope["state"].get(PRINCIPAL)
    parts = _parts(request)
    if isinstance(principal, Principal):
        await parts.write_audit([{"event": "logout", **principal_record(principal)}])
    person = None if ended is None or isinstance(ended.credential, str) else ended.credential
    place = LOGIN_PATH if person is None or person.logout_url is None else person.logout_url
    return JSONResponse({"location": place}, headers={"set-cookie": cookie_of("", secure=_sessions(request).secure)})
