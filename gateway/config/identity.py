"""Workload identities in the configuration: SPIFFE trust domains, and proxies that vouch for client certificates.

Annotations are read at run time, so this file has no `from __future__ import annotations`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from gateway.config.forms import Choice, Flag, PathText, Secret, Text, Url
from gateway.config.reading import ListOf, Section, Setting
from gateway.secrets import SecretReference

#: SPIFFE-ID section 2.1
SPIFFE_DOMAIN: Final = r"[a-z0-9._-]{1,255}"
PROXY_NAME: Final = r"[a-z0-9][a-z0-9-]{0,62}"
#: JWT-SVID section 2.3 allows these and no other
_SVID_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spiffe:
    """A SPIFFE trust domain whose workloads are agents here. Naming another company's is the act of federation."""

    trust_domain: Annotated[
        str, Setting("trust_domain", Text("a SPIFFE trust domain such as `acme.example`", SPIFFE_DOMAIN), "Its name.")
    ]
    audience: Annotated[
        tuple[str, ...],
        Setting("audience", ListOf(Text("an audience", r"[\x21-\x7e]{1,1000}"), or_one=True),
                "Who JWT-SVIDs are for; every `aud` must be among these. Left out, only certificates are taken."),
    ] = ()  # fmt: skip
    bundle_file: Annotated[
        Path | None, Setting("bundle_file", PathText("the path of a trust bundle"), "The domain's bundle, a JWK set.")
    ] = None
    bundle_url: Annotated[
        str | None,
        Setting("bundle_url", Url(secure=True), "The domain's bundle endpoint."),
    ] = None
    bundle_endpoint_id: Annotated[
        str | None,
        Setting("bundle_endpoint_id", Text("a SPIFFE ID such as `spiffe://acme.example/bundle`",
                                           rf"spiffe://{SPIFFE_DOMAIN}(/[A-Za-z0-9._-]+)+"),
                "Who serves `bundle_url`, by its certificate of `authorities_file` (profile `https_spiffe`); left out, "
                "the endpoint is known by its host name (profile `https_web`)."),
    ] = None  # fmt: skip
    authorities_file: Annotated[
        Path | None,
        Setting("authorities_file", PathText("the path of certificates in PEM"),
                "Who issues its workloads' certificates: for connections that the gateway ends itself (`tls`), and for "
                "`bundle_endpoint_id`."),
    ] = None  # fmt: skip
    algorithms: Annotated[
        tuple[str, ...],
        Setting("algorithms", ListOf(Choice(_SVID_ALGORITHMS)), "Allowed signature algorithms of JWT-SVIDs."),
    ] = ("ES256", "RS256")
    agent_path: Annotated[
        str,
        Setting("agent_path", Text("a path with one `{name}`", r"(/[A-Za-z0-9._-]+|/\{name\})+"),
                "Where the agent's name stands in a SPIFFE ID's path."),
    ] = "/agent/{name}"  # fmt: skip
    shared_names: Annotated[
        bool, Setting("shared_names", Flag(), "An issuer of the domain may speak for the same agents.")
    ] = False

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the settings together."""
        if self.agent_path.count("{name}") != 1:
            yield "agent_path", "expected exactly one `{name}`, such as `/ns/prod/sa/{name}`"
        if self.bundle_file is not None and self.bundle_url is not None:
            yield "bundle_url", "`bundle_file` or `bundle_url`, and only one of them"
        if self.bundle_endpoint_id is not None:
            if self.authorities_file is None or not (self.bundle_url or "").startswith("https:"):
                yield (
                    "bundle_endpoint_id",
                    "needs an https `bundle_url`, and `authorities_file` to know its certificate by",
                )
            if not self.bundle_endpoint_id.startswith(f"spiffe://{self.trust_domain}/"):
                yield "bundle_endpoint_id", f"expected a SPIFFE ID of `{self.trust_domain}`, whose bundle it serves"
        if self.audience and self.bundle_file is None and self.bundle_url is None:
            yield "audience", "JWT-SVIDs are verified by a bundle: name `bundle_file` or `bundle_url`"

    @property
    def has_bundle(self) -> bool:
        """Whether JWT-SVIDs can be verified."""
        return bool(self.audience)

    def agent_of(self, path: str) -> str | None:
        """Return the agent's name in a SPIFFE ID's path, `None` where the path has another form."""
        before, _, after = self.agent_path.partition("{name}")
        found = re.fullmatch(f"{re.escape(before)}([A-Za-z0-9._-]+){re.escape(after)}", path)
        return None if found is None else found.group(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy that ends TLS before the gateway and says which client certificate it has verified (Envoy's XFCC)."""

    secret: Annotated[
        SecretReference,
        Setting("secret", Secret(), "What it proves itself with, in the header `oncegate-proxy: NAME SECRET`."),
    ]
    domains: Annotated[
        tuple[str, ...],
        Setting("domains", ListOf(Text("the name of a trust domain", r"[a-z0-9][a-z0-9.-]{0,62}")),
                "The trust domains it may vouch for; each needs `spiffe`, or issuers."),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS ended by the gateway itself, at the agents' listener. Files are read again when they change."""

    certificate_file: Annotated[
        Path, Setting("certificate_file", PathText("the path of a certificate chain in PEM"), "Its certificate chain.")
    ]
    key_file: Annotated[Path, Setting("key_file", PathText("the path of a private key in PEM"), "The private key.")]
    client_certificates: Annotated[
        Literal["none", "accept", "require"],
        Setting("client_certificates", Choice(("none", "accept", "require")),
                "Whether callers are asked for a certificate: `accept` lets those without one show a token."),
    ] = "none"  # fmt: skip


SPIFFE: Final = Section(Spiffe)
TLS: Final = Section(Tls)
PROXY: Final = Section(Proxy)
