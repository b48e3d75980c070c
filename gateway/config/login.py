"""Where people log in to the console: an OpenID provider, by trust domain.

Annotations are read at run time, so this file has no `from __future__ import annotations`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Final

from gateway.config.forms import Choice, Duration, Secret, Text, secure_url
from gateway.config.reading import ListOf, MapOf, Section, Setting
from gateway.secrets import SecretReference

#: Asymmetric ones only: a provider that signs with our secret could not be told from ourselves.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_CLAIM: Final = Text("the name of a claim", r"[\x21-\x7e]{1,128}")
_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """An OpenID provider, and who we are to it (OpenID Connect Core 1.0, authorization code with PKCE)."""

    issuer: Annotated[
        str,
        Setting(
            "issuer", Text("the provider's `iss`", r"[\x21-\x7e]{1,1000}"), "The exact `iss`; its metadata is asked."
        ),
    ]
    client_id: Annotated[
        str, Setting("client_id", Text("a client's id", r"[\x21-\x7e]{1,255}"), "Who the console is to the provider.")
    ]
    client_secret: Annotated[
        SecretReference | None,
        Setting("client_secret", Secret(), "What the console proves itself with; left out, by PKCE alone."),
    ] = None
    name_claim: Annotated[
        str,
        Setting("name_claim", _CLAIM,
                "The claim that names the person, who is `agent:NAME` of this domain; one that people cannot choose."),
    ] = "sub"  # fmt: skip
    roles_claim: Annotated[
        str | None,
        Setting("roles_claim", _CLAIM, "The claim with the person's roles or groups, a list or one text."),
    ] = None  # fmt: skip
    roles: Annotated[
        Mapping[str, tuple[str, ...]],
        Setting("roles",
                MapOf(ListOf(Text("a role of the policies", r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"), or_one=True),
                      r"[^\s,*][^,*]{0,254}", "a value of the claim"),
                "Which roles of the policies (`operator`) each of its values gives; others give none."),
    ] = field(default_factory=lambda: MappingProxyType({}))  # fmt: skip
    algorithms: Annotated[
        tuple[str, ...],
        Setting("algorithms", ListOf(Choice(ALGORITHMS)), "Allowed signature algorithms of ID tokens."),
    ] = ("RS256",)
    scopes: Annotated[
        tuple[str, ...],
        Setting("scopes", ListOf(Text("a scope", r"[\x21\x23-\x5b\x5d-\x7e]{1,128}")), "What is asked for."),
    ] = ("openid",)  # fmt: skip
    session_seconds_max: Annotated[
        float,
        Setting("session", Duration(60.0, 12 * _HOUR), "How long a login lasts at most; an hour unused ends it too."),
    ] = 8 * _HOUR  # fmt: skip

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the settings together."""
        if not secure_url(self.issuer):
            yield "issuer", "expected an https URL; plain http is for loopback only"
        if "openid" not in self.scopes:
            yield "scopes", "`openid` is expected among them"
        if self.name_claim == self.roles_claim:
            yield "roles_claim", "name and roles must come from different claims"
        if self.roles and self.roles_claim is None:
            yield "roles", "`roles_claim` is needed to give roles by it"


LOGIN: Final = Section(Login)
