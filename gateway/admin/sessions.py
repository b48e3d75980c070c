"""Browser sessions of the admin listener: a random cookie stands for a credential that is verified at each request.

So a key that was revoked, or a token past its time, opens nothing from then on, whatever the cookie says. Where a
person came by an OpenID provider it stands for who they were shown to be, for as long as the provider's entry says.
What changes something needs a second secret besides the cookie, which only this site's pages know (CSRF).
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.admin.openid import Person
    from gateway.call import Headers

COOKIE: Final = "oncegate_session"
CSRF_HEADER: Final = b"x-oncegate-csrf"
SESSIONS_MAX: Final = 1000
SESSION_SECONDS_MAX: Final = 12 * 3600
IDLE_SECONDS_MAX: Final = 3600
TOKEN_CHARACTERS_MAX: Final = 16 * 1024


@dataclass(slots=True)
class Session:
    """One login: its credential (a secret, in memory only) or who came, its CSRF secret, when it began and was used."""

    credential: str | Person
    csrf: str
    begun: float
    used: float
    seconds_max: float


class Sessions:
    """The logins of one process; they end with it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: OrderedDict[str, Session] = OrderedDict()

    def begin(self, credential: str | Person, seconds_max: float = SESSION_SECONDS_MAX) -> str:
        """Return the name of a new session, for its cookie."""
        name, now = secrets.token_urlsafe(32), self._clock()
        bound = min(seconds_max, SESSION_SECONDS_MAX)
        self._open[name] = Session(credential, secrets.token_urlsafe(32), now, now, bound)
        while len(self._open) > SESSIONS_MAX:
            self._open.popitem(last=False)
        return name

    def end(self, headers: Headers) -> Session | None:
        """Forget the session of a request, and return it."""
        return self._open.pop(cookie_in(headers, COOKIE), None)

    def of(self, headers: Headers) -> Session | None:
        """Return the session of a request, `None` where there is none or its time is over."""
        name = cookie_in(headers, COOKIE)
        found = self._open.get(name)
        if found is None:
            return None
        now = self._clock()
        if now - found.begun > found.seconds_max or now - found.used > IDLE_SECONDS_MAX:
            del self._open[name]
            return None
        found.used = now
        self._open.move_to_end(name)
        return found


def proven(session: Session, headers: Headers) -> bool:
    """Return whether the request carries the session's CSRF secret."""
    given = [value for name, value in headers if name == CSRF_HEADER]
    return len(given) == 1 and hmac.compare_digest(given[0], session.csrf.encode())


def cookie_of(name: str, *, secure: bool) -> str:
    """Return the header that sets the cookie; an empty name takes it away."""
    life = SESSION_SECONDS_MAX if name else 0
    safe = "; Secure" if secure else ""
    return f"{COOKIE}={name}; Path=/; HttpOnly; SameSite=Strict; Max-Age={life}{safe}"


def cookie_in(headers: Headers, name: str) -> str:
    """Return the value of a request's cookie, empty where it has none."""
    for key, value in headers:
        if key == b"cookie":
            try:
                found = SimpleCookie(value.decode("latin-1")).get(name)
            except CookieError:
                continue
            if found is not None:
                return found.value
    return ""
