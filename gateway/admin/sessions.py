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
#: Who logs in oftener ends their own oldest session, not another's.
SESSIONS_OF_ONE_MAX: Final = 20
#: Where the console is reached by https only: no other host or path of the site can set or replace such a cookie
#: (RFC 6265bis section 4.1.3.2), so nobody can slip a session of their own under another's pages.
_HOST_ONLY: Final = "__Host-"
SESSION_SECONDS_MAX: Final = 12 * 3600
IDLE_SECONDS_MAX: Final = 3600
TOKEN_CHARACTERS_MAX: Final = 16 * 1024


@dataclass(slots=True)
class Session:
    """One login: its credential (a secret, in memory only) or who came, its CSRF secret, when it began and was used."""

    name: str
    credential: str | Person
    csrf: str
    begun: float
    used: float
    seconds_max: float


class Sessions:
    """The logins of one process; they end with it. `secure` where browsers reach the console by https."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, secure: bool = False) -> None:
        self._clock = clock
        self._open: OrderedDict[str, Session] = OrderedDict()
        self.secure = secure
        self.cookie = cookie_name(COOKIE, secure=secure)

    def begin(self, who: str, credential: str | Person, seconds_max: float = SESSION_SECONDS_MAX) -> str:
        """Return the cookie's value of a new session; `who` is the name of the principal that logged in."""
        value, now = secrets.token_urlsafe(32), self._clock()
        bound = min(seconds_max, SESSION_SECONDS_MAX)
        self._open[value] = Session(who, credential, secrets.token_urlsafe(32), now, now, bound)
        theirs = [key for key, session in self._open.items() if session.name == who]
        for key in theirs[:-SESSIONS_OF_ONE_MAX]:
            del self._open[key]
        while len(self._open) > SESSIONS_MAX:
            self._open.popitem(last=False)
        return value

    def end(self, headers: Headers) -> Session | None:
        """Forget the session of a request, and return it."""
        return self._open.pop(cookie_in(headers, self.cookie), None)

    def of(self, headers: Headers, *, by_itself: bool = False) -> Session | None:
        """Return the session of a request, `None` where there is none or its time is over.

        What a page asks `by_itself`, with nobody at the keyboard, is no use of it.
        """
        name = cookie_in(headers, self.cookie)
        found = self._open.get(name)
        if found is None:
            return None
        now = self._clock()
        if now - found.begun > found.seconds_max or now - found.used > IDLE_SECONDS_MAX:
            del self._open[name]
            return None
        if not by_itself:
            found.used = now
            self._open.move_to_end(name)
        return found


def proven(session: Session, headers: Headers) -> bool:
    """Return whether the request carries the session's CSRF secret."""
    given = [value for name, value in headers if name == CSRF_HEADER]
    return len(given) == 1 and hmac.compare_digest(given[0], session.csrf.encode())


def cookie_name(name: str, *, secure: bool) -> str:
    """Return a cookie's whole name."""
    return f"{_HOST_ONLY}{name}" if secure else name


def cookie_of(value: str, *, secure: bool) -> str:
    """Return the header that sets the session's cookie; an empty value takes it away."""
    life = SESSION_SECONDS_MAX if value else 0
    safe = "; Secure" if secure else ""
    name = cookie_name(COOKIE, secure=secure)
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={life}{safe}"


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
