"""How the gateway proves itself to MCP servers. The caller's own credential never travels to one.

Annotations are read at run time, so this file has no `from __future__ import annotations`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

from gateway.config.forms import Secret, Text
from gateway.config.reading import Section, Setting
from gateway.secrets import SecretReference

_HEADER_NAME: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}"
#: RFC 6749 section 3.3
SCOPE: Final = Text("a scope", r"[\x21\x23-\x5b\x5d-\x7e]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderCredential:
    """A credential in a header of the upstream's choice."""

    name: Annotated[str, Setting("name", Text("the name of a header", _HEADER_NAME), "The header's name.")]
    value: Annotated[SecretReference, Setting("value", Secret(), "The header's value.")]

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield header names that are the gateway's to write."""
        reserved = {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept", "cookie"}
        if self.name.lower() in reserved or self.name.lower().startswith("mcp-"):
            yield "name", f"`{self.name}` is written by the gateway itself and cannot carry a credential"


@dataclass(frozen=True, slots=True, kw_only=True)
class McpCredential:
    """How the gateway proves itself to an MCP server. The caller's own credential never travels."""

    bearer: Annotated[
        SecretReference | None, Setting("bearer", Secret(), "A token sent as `Authorization: Bearer`.")
    ] = None
    header: Annotated[
        HeaderCredential | None, Setting("header", Section(HeaderCredential), "A secret in a header of another name.")
    ] = None

    @property
    def header_name(self) -> str:
        """The name of the header that carries it, lower case."""
        return "authorization" if self.header is None else self.header.name.lower()

    def header_value(self) -> str:
        """Return the header's value, read now. Raises `gateway.secrets.SecretUnavailable`."""
        if self.header is not None:
            return self.header.value.read_header()
        if self.bearer is None:
            raise AssertionError("a credential is a bearer token or a header")
        return f"Bearer {self.bearer.read_header()}"

    @property
    def reference(self) -> SecretReference:
        """Where the secret stands."""
        found = self.bearer if self.header is None else self.header.value
        if found is None:
            raise AssertionError("a credential is a bearer token or a header")
        return found
