"""Secrets by reference: the configuration names where one stands, and only this file reads it.

SecretError
├── UnusableReference   the text is not `env:NAME` or `file:PATH`
└── SecretUnavailable   what it names is absent, empty, too large, or not the key it should be
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from pathlib import Path

SECRET_BYTES_MAX: Final = 64 * 1024
KEY_BYTES: Final = 32


class SecretError(Exception):
    """A secret cannot be had; messages name the reference, never the value."""


class UnusableReference(SecretError):  # noqa: N818 - names what is known
    """The text is not a reference."""


class SecretUnavailable(SecretError):  # noqa: N818 - names what is known
    """The reference leads to nothing usable."""


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret stands; `str()` is the reference as it was written. It holds no secret."""

    kind: Literal["env", "file"]
    place: str
    path: Path | None = None

    @classmethod
    def parse(cls, text: str, *, folder: Path) -> SecretReference:
        """Return the reference `text`; file paths are relative to `folder`. Raises `UnusableReference`."""
        kind, _, place = text.partition(":")
        if kind == "env" and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", place):
            return cls("env", place)
        if kind == "file" and place and place.isprintable():
            return cls("file", place, folder / place)
        raise UnusableReference("expected `env:NAME` or `file:PATH`")

    def __str__(self) -> str:
        return f"{self.kind}:{self.place}"

    def read(self) -> str:
        """Return the secret as text, without a closing line break. Raises `SecretUnavailable`."""
        text = self._environment() if self.path is None else self._file(self.path)
        if not text:
            raise SecretUnavailable(f"`{self}` is empty")
        return text

    def read_header(self) -> str:
        """Return the secret as it may stand in an HTTP header (RFC 9110 5.5). Raises `SecretUnavailable`."""
        text = self.read()
        if not re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", text):
            raise SecretUnavailable(f"`{self}` holds characters that cannot stand in a header")
        return text

    def read_key(self) -> bytes:
        """Return the 32 bytes that the secret is in base64 (RFC 4648). Raises `SecretUnavailable`."""
        try:
            key = base64.b64decode(self.read(), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise SecretUnavailable(f"`{self}` is not a key; expected {KEY_BYTES} random bytes in base64")
        return key

    def _environment(self) -> str:
        value = os.environ.get(self.place)
        if value is None:
            raise SecretUnavailable(f"`{self}` is not set in the environment")
        return value

    def _file(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                content = file.read(SECRET_BYTES_MAX + 1)
        except OSError as error:
            reason = (error.strerror or "cannot be read").lower()
            raise SecretUnavailable(f"`{self}` cannot be read: {reason}") from None
        if len(content) > SECRET_BYTES_MAX:
            raise SecretUnavailable(f"`{self}` is larger than {SECRET_BYTES_MAX} bytes")
        try:
            return content.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise SecretUnavailable(f"`{self}` is not text") from None
