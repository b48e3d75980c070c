"""How the gateway proves itself to MCP servers. The caller's own credential never travels to one.

Annotations are read at run time, so this file has no `from __future__ import annotations`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from gateway.config.forms import Choice, Secret, Text, Url
from gateway.config.reading import ListOf, Section, Setting
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
class TokenClient:
    """The gateway as a client of an authorization server (RFC 6749, RFC 7523, RFC 8693, RFC 8707)."""

    token_url: Annotated[str, Setting("token_url", Url(secure=True), "The token endpoint; https except loopback.")]
    client_id: Annotated[
        str, Setting("client_id", Text("a client's id", r"[\x20-\x7e]{1,500}"), "Who the gateway is to it.")
    ]
    client_secret: Annotated[SecretReference | None, Setting("client_secret", Secret(), "The client's secret.")] = None
    send_secret: Annotated[
        Literal["header", "body"],
        Setting("send_secret", Choice(("header", "body")), "Where the secret is sent: HTTP Basic, or in the form."),
    ] = "header"  # noqa: S105 - where it stands
    private_key: Annotated[
        SecretReference | None,
        Setting("private_key", Secret(), "A private key in PEM, with which the client signs instead of a secret."),
    ] = None
    key_id: Annotated[
        str | None, Setting("key_id", Text("a key's id", r"[\x21-\x7e]{1,255}"), "The `kid` of that key.")
    ] = None
    algorithm: Annotated[
        Literal["ES256", "ES384", "RS256", "PS256", "EdDSA"],
        Setting("algorithm", Choice(("ES256", "ES384", "RS256", "PS256", "EdDSA")), "How it signs."),
    ] = "ES256"
    scopes: Annotated[
        tuple[str, ...], Setting("scopes", ListOf(SCOPE, or_one=True), "The scopes that are asked for.")
    ] = ()
    resource: Annotated[
        str | None,
        Setting("resource", Url(), "Whom tokens are for (RFC 8707); left out, the server's URL."),
    ] = None
    audience: Annotated[
        str | None,
        Setting("audience", Text("an audience", r"[\x21-\x7e]{1,1000}"),
                "Sent as `audience`, instead of `resource` where only this is given."),
    ] = None  # fmt: skip
    assertion_audience: Annotated[
        str | None,
        Setting("assertion_audience", Text("the authorization server's issuer", r"[\x21-\x7e]{1,1000}"),
                "Whom what the client signs is for, where the server wants its issuer; left out, `token_url`."),
    ] = None  # fmt: skip
    without_token: Annotated[
        Literal["refuse", "sign"],
        Setting("without_token", Choice(("refuse", "sign")),
                "Token exchange for callers with API keys and run tokens: refused, or a subject the gateway signs."),
    ] = "refuse"  # fmt: skip # noqa: S105 - a choice

    @property
    def audience_of_assertions(self) -> str:
        """Whom assertions and signed subjects are for."""
        return self.assertion_audience or self.token_url

    @property
    def proof(self) -> SecretReference:
        """Where the secret or the private key stands."""
        found = self.client_secret or self.private_key
        if found is None:
            raise AssertionError("a client has a secret or a private key")
        return found

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield settings that mean nothing for this kind of proof."""
        if self.private_key is None and self.key_id is not None:
            yield "key_id", "only a `private_key` has one"
        if self.client_secret is None and self.send_secret != "header":  # noqa: S105 - where it stands
            yield "send_secret", "only a `client_secret` is sent"
        signs = self.private_key is not None or self.without_token == "sign"  # noqa: S105 - a choice
        if self.assertion_audience is not None and not signs:
            yield "assertion_audience", "only what is signed has one: a `private_key`, or `without_token: sign`"


_CLIENT: Final = Section(TokenClient, one_of=("client_secret", "private_key"))


@dataclass(frozen=True, slots=True, kw_only=True)
class McpCredential:
    """How the gateway proves itself to an MCP server. The caller's own credential never travels."""

    bearer: Annotated[
        SecretReference | None, Setting("bearer", Secret(), "A token sent as `Authorization: Bearer`.")
    ] = None
    header: Annotated[
        HeaderCredential | None, Setting("header", Section(HeaderCredential), "A secret in a header of another name.")
    ] = None

    client_credentials: Annotated[
        TokenClient | None, Setting("client_credentials", _CLIENT, "Tokens for the gateway itself (RFC 6749 4.4).")
    ] = None
    token_exchange: Annotated[
        TokenClient | None,
        Setting("token_exchange", _CLIENT, "Tokens exchanged for the caller's own signed token (RFC 8693)."),
    ] = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield settings of a client that its kind of grant has no use for."""
        if self.client_credentials is not None and self.client_credentials.without_token != "refuse":  # noqa: S105 - a choice
            yield "client_credentials", "only `token_exchange` has `without_token`"

    @property
    def client(self) -> TokenClient | None:
        """Who asks for tokens, where the credential is not a fixed one."""
        return self.client_credentials or self.token_exchange

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
        if self.client is not None:
            return self.client.proof
        found = self.bearer if self.header is None else self.header.value
        if found is None:
            raise AssertionError("a credential is a bearer token or a header")
        return found
