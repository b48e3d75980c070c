"""Names of what is called, and the one pattern language both evaluators use.

A name is `/`-separated parts, each percent-encoded (RFC 3986 section 2.1), so that no part can pose as
two. A pattern is matched part by part: `*` stands for one part or a piece of one, a closing `**` for one
or more parts. No regular expressions: matching is linear in the name.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote, urlsplit

NAME_CHARACTERS_MAX: Final = 2048
#: Kept as they are inside a part; everything else is percent-encoded.
_SAFE: Final = "-._~@:+=$!"
#: parts that are their own encoding: nearly all there are
_PLAIN: Final = re.compile(r"[A-Za-z0-9_~@:+=$!.-]+")
#: Schemes of the web, whose hosts resolvers read, and the port each has without saying so.
_PORTS: Final = {"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21"}
_PORTED: Final = re.compile(r":[^\]]*\Z")
#: a template's variables may stand in it (RFC 6570)
_HOST: Final = re.compile(
    r"(?:[a-z0-9_-]|\{[a-z0-9_.,+*]+\})+(?:\.(?:[a-z0-9_-]|\{[a-z0-9_.,+*]+\})+)*|\[[0-9a-f:.]+\]"
)
#: what the URL standard of browsers takes for an address when a host ends in it
_NUMERIC: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ADDRESS: Final = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})")
#: Unicode categories that hide, reorder or break text: control, format (bidi, zero width), surrogate, separators.
_REFUSED: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class UnusableName(ValueError):  # noqa: N818 - says what is known of the name
    """A name cannot be normalised; the message says why without quoting it."""


@lru_cache(maxsize=8192)
def resource_name(*parts: str) -> str:
    """Return the resource name made of `parts`. Raises `UnusableName`."""
    name = "/".join(_part(part) for part in parts)
    if len(name) > NAME_CHARACTERS_MAX:
        raise UnusableName(f"longer than {NAME_CHARACTERS_MAX} characters")
    return name


def resource_uri_name(server: str, uri: str) -> str:
    """Return `mcp/<server>/resource/<scheme>/<authority or ->/<path>` for an MCP resource URI.

    Percent-encoding in the path is undone once, then each part is checked and encoded again. User
    information, fragments, white space, empty parts, `.` and `..` in any encoding are refused: two
    readers could understand them differently. Of a host of the web there is one way to write it, and
    files of `localhost` are those of no host (RFC 8089 section 2). Raises `UnusableName`.
    """
    if not uri.isprintable() or any(character in uri for character in " \\#"):
        raise UnusableName("a URI with white space, a backslash, a fragment or control characters")
    try:
        split = urlsplit(uri)
        authority = split.netloc
        decoded = [unquote(part, errors="strict") for part in split.path.removeprefix("/").split("/")]
        query = unquote(split.query, errors="strict")
    except ValueError:  # also undecodable bytes
        raise UnusableName("not a URI") from None
    if not split.scheme or "@" in authority:
        raise UnusableName("a URI without a scheme, or with user information")
    if ("?" in uri) != bool(query) or any(part.startswith("?") or _climbs(part) for part in decoded):
        raise UnusableName("a URI with an empty query, or a path that leads upwards")
    parts = [] if split.path in {"", "/"} else decoded
    more = [f"?{query}"] if query else []
    scheme = split.scheme.lower()
    return resource_name("mcp", server, "resource", scheme, _authority(scheme, authority.lower()) or "-", *parts, *more)


def _authority(scheme: str, authority: str) -> str:
    """Return an authority as it is named, without a port that goes without saying. Raises `UnusableName`.

    What resolvers and clients read as another host's name is refused in it: encodings, characters that IDNA maps
    (write `xn--…`), a closing dot, addresses in other forms than `127.0.0.1` (RFC 3986 sections 3.2.2 and 7.4).
    """
    if scheme == "file":
        return "" if authority == "localhost" else authority
    usual = _PORTS.get(scheme)
    if usual is None:
        return authority
    host, colon, port = authority.rpartition(":") if _PORTED.search(authority) else (authority, "", "")
    numeric = _NUMERIC.fullmatch(host.rpartition(".")[2]) is not None
    if not _HOST.fullmatch(host) or (numeric and not _ADDRESS.fullmatch(host)):
        raise UnusableName("a host that can be written in another way")
    if colon and (not port or port.startswith("0")):
        raise UnusableName("a port that can be written in another way")
    return host if port in {"", usual} else authority


def _climbs(part: str) -> bool:
    """Return whether a part, decoded as often as it can be, holds a step upwards."""
    plain, before = part, ""
    while plain != before:
        plain, before = unquote(plain), plain
    return any(step in {".", ".."} for step in plain.replace("\\", "/").split("/"))


@dataclass(frozen=True, slots=True)
class SegmentGlob:
    """A part with `*` in it: fixed texts that must occur in this order."""

    texts: tuple[str, ...]

    def matches(self, segment: str) -> bool:
        """Return whether the whole `segment` fits."""
        first, *middle, last = self.texts
        if len(segment) < len(first) + len(last) or not segment.startswith(first) or not segment.endswith(last):
            return False
        at, end = len(first), len(segment) - len(last)
        for text in middle:
            found = segment.find(text, at, end)
            if found < 0:
                return False
            at = found + len(text)
        return True


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern. `rest` is true for a closing `**`."""

    segments: tuple[str | SegmentGlob, ...]
    rest: bool

    def matches(self, name: str) -> bool:
        """Return whether `name` fits."""
        parts = name.split("/")
        if len(parts) < len(self.segments) + self.rest or (not self.rest and len(parts) != len(self.segments)):
            return False
        return all(
            segment == part if isinstance(segment, str) else segment.matches(part)
            for segment, part in zip(self.segments, parts, strict=False)
        )


@lru_cache(maxsize=16384)
def compile_pattern(text: str) -> Pattern:
    """Return the pattern written as `text`. Raises `UnusableName` when it can never match or says nothing."""
    parts = text.split("/")
    rest = parts[-1] == "**"
    if rest:
        parts = parts[:-1]
    segments: list[str | SegmentGlob] = []
    for part in parts:
        if part in {"", ".", ".."}:
            raise UnusableName("an empty part, `.` or `..`")
        if "**" in part:
            raise UnusableName("`**` stands for the rest and must be the whole last part")
        if "*" in part:
            segments.append(SegmentGlob(tuple(part.split("*"))))
        elif unquote(part) and _part(unquote(part)) != part:
            raise UnusableName(f"a part that no name has; write it `{_part(unquote(part))}`")
        else:
            segments.append(part)
    return Pattern(tuple(segments), rest)


def _part(part: str) -> str:
    if _PLAIN.fullmatch(part) and part not in {".", ".."}:
        return part
    text = unicodedata.normalize("NFC", part)
    if text in {"", ".", ".."}:
        raise UnusableName("an empty part, `.` or `..`")
    if text.isascii():
        if not text.isprintable():
            raise UnusableName("a control character")
    elif any(unicodedata.category(character) in _REFUSED for character in text):
        raise UnusableName("a control, format or bidi character")
    try:
        return quote(text, safe=_SAFE)
    except UnicodeEncodeError:
        raise UnusableName("a lone surrogate") from None
