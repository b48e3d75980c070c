"""A request as bytes: everything that could be read as two requests is refused before a byte is sent."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from gateway.call import NotSent

if TYPE_CHECKING:
    from gateway.call import UpstreamRequest

#: Fields that say how the message is framed and carried; they are the transport's (RFC 9112, RFC 9110 7.6).
OWN_FIELDS: Final = frozenset({
    b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection", b"te",
    b"trailer", b"upgrade", b"expect", b"accept-encoding",
})  # fmt: skip
#: RFC 9110 section 5.6.2.
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_METHOD: Final = re.compile(r"[A-Z]{1,20}")
#: Visible ASCII: what a request target may hold (RFC 9112 section 3.2), the fragment left out.
_TARGET: Final = re.compile(r"/[!\"$-~]*")
#: Line breaks inside what `_start` returns.
_START_BREAKS: Final = 2
_KEPT_MAX: Final = 1024
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


def written(request: UpstreamRequest, base: str, authority: bytes) -> bytes:
    """Return `request` as HTTP/1.1 bytes for the path below `base`. Raises `NotSent` when it cannot be written."""
    target = base.rstrip("/") + request.path if request.path else base or "/"
    lines = [_start(request.method, target, authority)]
    for name, value in request.headers:
        lines.append(_field(name) + value)
    if request.body or request.method in _WITH_BODY:
        lines.append(b"content-length: %d" % len(request.body))
    head = b"\r\n".join(lines)
    breaks = len(lines) - 1 + _START_BREAKS
    if head.count(b"\r") != breaks or head.count(b"\n") != breaks or b"\x00" in head:
        raise NotSent("a header's value cannot be written as HTTP")
    return b"%b\r\n\r\n%b" % (head, request.body)


# both are asked the same few things by every call; what is refused is not kept
@lru_cache(maxsize=_KEPT_MAX)
def _start(method: str, target: str, authority: bytes) -> bytes:
    if not _METHOD.fullmatch(method) or not _TARGET.fullmatch(target):
        raise NotSent("the request's method or target cannot be written as HTTP")
    line = f"{method} {target} HTTP/1.1".encode("ascii")
    return b"\r\n".join([line, b"host: " + authority, b"accept-encoding: identity"])


@lru_cache(maxsize=_KEPT_MAX)
def _field(name: bytes) -> bytes:
    if not _TOKEN.fullmatch(name) or name.lower() in OWN_FIELDS:
        raise NotSent("a header's name cannot be sent to an upstream")
    return name + b": "
