"""The forms of single values: text, numbers with their units, references, addresses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gateway.config.problems import nearest, shown
from gateway.config.tree import Leaf, Node
from gateway.secrets import SecretReference, UnusableReference

if TYPE_CHECKING:
    from gateway.config.reading import Reading, Where

_DURATION: Final = r"[0-9]+(\.[0-9]+)?(ms|s|m|h|d)"
_SIZE: Final = r"[0-9]+(B|KiB|MiB|GiB)"
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_URL: Final = r"https?://[^/?#@\s]+(/[^?#\s]*)?"
_REFERENCE: Final = r"(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_PORT_MAX: Final = 65535


def is_loopback(host: str) -> bool:
    """Return whether a host name or address can only be this machine (127.0.0.0/8, ::1, localhost)."""
    return host.strip("[]").lower() in _LOOPBACK or re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None


def secure_url(text: str) -> bool:
    """Return whether `text` is an https URL, or a plain http one of this machine, without query or fragment."""
    try:
        host = urlsplit(text).hostname or ""
    except ValueError:
        return False
    return bool(re.fullmatch(_URL, text)) and bool(host) and (text.startswith("https:") or is_loopback(host))


def _text(node: Node) -> str | None:
    return node.value if isinstance(node, Leaf) and isinstance(node.value, str) else None


def _given(node: Node) -> str:
    return f", not {shown(node.text)}" if isinstance(node, Leaf) else ""


@dataclass(frozen=True, slots=True)
class Text:
    """Text that matches `pattern` whole; `what` says in words what is expected."""

    what: str
    pattern: str = r"[^\x00-\x1f\x7f]{1,1000}"

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return the text."""
        del where
        text = _text(node)
        if text is None or not re.fullmatch(self.pattern, text):
            return reading.refuse(node.line, f"expected {self.what}{_given(node)}")
        return text

    def schema(self) -> dict[str, object]:
        """Return a string with a pattern."""
        return {"type": "string", "pattern": f"^({self.pattern})$"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return the word."""
        del where
        text = node.text if isinstance(node, Leaf) else ""
        if text not in self.words:
            return reading.refuse(node.line, f"{shown(text)} is not known here{nearest(text, self.words)}")
        return text

    def schema(self) -> dict[str, object]:
        """Return an enumeration."""
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Flag:
    """`true` or `false`."""

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return the truth value."""
        del where
        if isinstance(node, Leaf) and isinstance(node.value, bool):
            return node.value
        return reading.refuse(node.line, f"expected `true` or `false`{_given(node)}")

    def schema(self) -> dict[str, object]:
        """Return a boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Count:
    """A whole number, `least` to `most`."""

    least: int
    most: int

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return the number."""
        del where
        value = node.value if isinstance(node, Leaf) else None
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            message = f"expected a whole number from {self.least} to {self.most}{_given(node)}"
            return reading.refuse(node.line, message)
        return value

    def schema(self) -> dict[str, object]:
        """Return an integer with its bounds."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of US dollars, zero or more."""

    most: float = 1_000_000.0

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return the number."""
        del where
        value = node.value if isinstance(node, Leaf) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= self.most:
            return reading.refuse(node.line, f"expected an amount in US dollars, zero or more{_given(node)}")
        return float(value)

    def schema(self) -> dict[str, object]:
        """Return a number with its bounds."""
        return {"type": "number", "minimum": 0, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time with its unit, `500ms` `10s` `1h` `7d`; bounds in seconds."""

    least_seconds: float = 0.001
    most_seconds: float = 400 * 86400.0

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return seconds."""
        del where
        match = re.fullmatch(_DURATION, _text(node) or "")
        if match is None:
            message = f"expected a duration such as `500ms`, `10s`, `5m`, `1h` or `7d`{_given(node)}"
            return reading.refuse(node.line, message)
        unit = match.group(2)
        seconds = float(match.group().removesuffix(unit)) * _SECONDS[unit]
        if not self.least_seconds <= seconds <= self.most_seconds:
            message = f"expected {_span(self.least_seconds)} to {_span(self.most_seconds)}{_given(node)}"
            return reading.refuse(node.line, message)
        return seconds

    def schema(self) -> dict[str, object]:
        """Return a string with a pattern; the bounds are for the reader."""
        return {"type": "string", "pattern": f"^{_DURATION}$"}


def _span(seconds: float) -> str:
    for unit in ("d", "h", "m", "s"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"`{seconds / _SECONDS[unit]:.0f}{unit}`"
    return f"`{seconds * 1000:.0f}ms`"


@dataclass(frozen=True, slots=True)
class Size:
    """A number of bytes with its unit, `16KiB` `8MiB`; bounds in bytes."""

    least_bytes: int
    most_bytes: int

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return bytes."""
        del where
        match = re.fullmatch(_SIZE, _text(node) or "")
        if match is None:
            return reading.refuse(node.line, f"expected a size such as `64KiB` or `8MiB`{_given(node)}")
        unit = match.group(1)
        size = int(match.group().removesuffix(unit)[:20]) * _BYTES[unit]
        if not self.least_bytes <= size <= self.most_bytes:
            return reading.refuse(node.line, f"expected {self.least_bytes}B to {self.most_bytes}B{_given(node)}")
        return size

    def schema(self) -> dict[str, object]:
        """Return a string with a pattern; the bounds are for the reader."""
        return {"type": "string", "pattern": f"^{_SIZE}$"}


@dataclass(frozen=True, slots=True)
class Url:
    """An absolute http or https URL without credentials, query or fragment; never shown in messages."""

    secure: bool = False

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return the URL without a closing slash; with `secure`, https except on loopback."""
        del where
        text = _text(node) or ""
        try:
            parts = urlsplit(text)
            host = parts.hostname or ""
            _ = parts.port
        except ValueError:
            host = ""
        if not host or not re.fullmatch(_URL, text):
            message = "expected an http or https URL without user name, query or fragment"
            return reading.refuse(node.line, message)
        if self.secure and not text.startswith("https:") and not is_loopback(host):
            return reading.refuse(node.line, "expected https; plain http is for loopback only")
        return text.rstrip("/")

    def schema(self) -> dict[str, object]:
        """Return a string with a pattern."""
        return {"type": "string", "pattern": f"^{_URL}$"}


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference to a secret, `env:NAME` or `file:PATH`; what stands there instead is never shown."""

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return the reference, unresolved."""
        del where
        try:
            return SecretReference.parse(_text(node) or "", folder=reading.folder)
        except UnusableReference:
            message = "expected a reference, `env:NAME` or `file:PATH`; a secret itself never stands in this file"
            return reading.refuse(node.line, message)

    def schema(self) -> dict[str, object]:
        """Return a string with a pattern."""
        return {"type": "string", "pattern": f"^{_REFERENCE}$"}


@dataclass(frozen=True, slots=True)
class PathText:
    """A path of a file or folder, relative to the file it stands in."""

    what: str = "a path"

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return the path, absolute when the configuration file's is."""
        del where
        text = _text(node)
        if not text or "\x00" in text or "\n" in text:
            return reading.refuse(node.line, f"expected {self.what}{_given(node)}")
        return reading.folder / text

    def schema(self) -> dict[str, object]:
        """Return a string."""
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port to listen on. Brackets are left out of `host`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class Listen:
    """`host:port`; a port of 0 lets the system choose."""

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return an `Address`."""
        del where
        match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})", _text(node) or "")
        if match is None or int(match.group(2)) > _PORT_MAX:
            return reading.refuse(node.line, f"expected `host:port` such as `127.0.0.1:8080`{_given(node)}")
        return Address(match.group(1).strip("[]"), int(match.group(2)))

    def schema(self) -> dict[str, object]:
        """Return a string with a pattern."""
        return {"type": "string", "pattern": r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$"}
