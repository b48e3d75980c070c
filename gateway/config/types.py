"""The configuration as the program sees it: typed, immutable, units in the names.

Each field that stands in the file says so once: key, form, meaning. Only what is served exists.
Annotations are read at run time, so this file has no `from __future__ import annotations`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal

from gateway.config.forms import (
    Amount,
    Choice,
    Count,
    Duration,
    Flag,
    PathText,
    Secret,
    Size,
    Text,
    Url,
    secure_url,
)
from gateway.config.identity import SPIFFE, Spiffe
from gateway.config.login import LOGIN, Login
from gateway.config.reading import ListOf, Section, Setting
from gateway.secrets import SecretReference

_KIB: Final = 1024
_MIB: Final = 1024 * 1024
_HOUR: Final = 3600.0
_DAY: Final = 86400.0

#: Signature algorithms, by family: one issuer uses one (RFC 8725 section 3.1).
ALGORITHM_FAMILIES: Final[Mapping[str, str]] = MappingProxyType({
    "RS256": "RSA", "RS384": "RSA", "RS512": "RSA", "PS256": "RSA-PSS", "PS384": "RSA-PSS", "PS512": "RSA-PSS",
    "ES256": "EC", "ES384": "EC", "ES512": "EC", "EdDSA": "OKP",
})  # fmt: skip

DOMAIN_NAME: Final = r"[a-z0-9][a-z0-9.-]{0,62}"
MODEL_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}"
PROVIDERS: Final = ("openai", "anthropic", "azure_openai", "openai_compatible")
_CLAIM: Final = Text("the name of a claim", r"[\x21-\x7e]{1,128}")
DOMAIN: Final = Text("the name of a trust domain", DOMAIN_NAME)

#: Where anonymous callers and upstreams without `domain:` belong; always there.
DEFAULT_DOMAIN: Final = "default"
#: every address of the machine; nobody calls by such a name
WILDCARD_HOSTS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, never bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Who may sign tokens for a trust domain, and what is asked of them (RFC 8725, RFC 9068)."""

    issuer: Annotated[
        str, Setting("issuer", Text("the `iss` of the tokens", r"[\x21-\x7e]{1,1000}"), "The exact `iss` claim.")
    ]
    audience: Annotated[
        tuple[str, ...],
        Setting("audience", ListOf(Text("an audience", r"[\x21-\x7e]{1,1000}"), or_one=True),
                "Who tokens are for; every `aud` of a token must be among these."),
    ]  # fmt: skip
    algorithms: Annotated[
        tuple[str, ...],
        Setting("algorithms", ListOf(Choice(tuple(ALGORITHM_FAMILIES))), "Allowed signature algorithms, one family."),
    ]
    jwks_url: Annotated[
        str | None,
        Setting(
            "jwks_url",
            Url(secure=True),
            "Where the issuer publishes its keys; left out, its metadata says so; https except loopback.",
        ),
    ] = None
    jwks_file: Annotated[
        Path | None, Setting("jwks_file", PathText("the path of a JWKS file"), "A file with the issuer's keys.")
    ] = None
    token_types: Annotated[
        tuple[str, ...],
        Setting("token_types", ListOf(Choice(("at+jwt", "JWT")), or_one=True),
                "Allowed `typ` headers; `at+jwt` marks an access token, `JWT` admits issuers that do not mark theirs."),
    ] = ("at+jwt",)  # fmt: skip
    agent_claim: Annotated[str, Setting("agent_claim", _CLAIM, "The claim that names the agent.")] = "sub"
    agents: Annotated[
        tuple[str, ...],
        Setting("agents", ListOf(Text("a name or a pattern with `*`", r"[^\s,]{1,255}"), or_one=True),
                "The agents this issuer may speak for; `*` stands for any characters."),
    ] = ("*",)  # fmt: skip
    shared_names: Annotated[
        bool, Setting("shared_names", Flag(), "Another issuer of the domain may speak for the same agents.")
    ] = False
    roles_claim: Annotated[
        str | None, Setting("roles_claim", _CLAIM, "The claim with the agent's roles, a list or one text.")
    ] = None
    groups_claim: Annotated[
        str | None, Setting("groups_claim", _CLAIM, "The claim with the agent's groups, a list or one text.")
    ] = None
    user_claim: Annotated[
        str | None, Setting("user_claim", _CLAIM, "The claim that names the user on whose behalf the agent acts.")
    ] = None
    admin_audience: Annotated[
        tuple[str, ...],
        Setting("admin_audience", ListOf(Text("an audience", r"[\x21-\x7e]{1,1000}"), or_one=True),
                "Who tokens for the admin listener are for; without it this issuer opens nothing there."),
    ] = ()  # fmt: skip
    lifetime_seconds_max: Annotated[
        float,
        Setting("max_lifetime", Duration(1.0, _DAY), "How long a token may be valid, from `iat` to `exp`."),
    ] = _HOUR
    leeway_seconds: Annotated[
        float, Setting("leeway", Duration(0.0, 60.0), "How far the issuer's clock and ours may be apart.")
    ] = 30.0

    delegation: Annotated[
        Literal["refuse", "accept"],
        Setting("delegation", Choice(("refuse", "accept")),
                "Tokens of a user with an agent in `act` (RFC 8693 4.1): both, and every actor before, are decided."),
    ] = "refuse"  # fmt: skip
    actors_max: Annotated[int, Setting("max_actors", Count(1, 8), "How many actors such a token's chain may have.")] = 4
    dpop: Annotated[
        Literal["refuse", "accept", "require"],
        Setting("dpop", Choice(("refuse", "accept", "require")),
                "Tokens bound to a key (RFC 9449); `refuse` takes plain bearer tokens only, `require` none of them."),
    ] = "refuse"  # fmt: skip
    dpop_nonce: Annotated[
        Literal["none", "require"],
        Setting("dpop_nonce", Choice(("none", "require")),
                "Whether proofs must hold a nonce of the gateway's (RFC 9449 section 9), so that none is made ahead."),
    ] = "none"  # fmt: skip
    revoked_file: Annotated[
        Path | None,
        Setting("revoked_file", PathText("the path of a revocation list"),
                'What is revoked before it expires: `{"jti": […], "sub": […]}`; read again when it changes.'),
    ] = None  # fmt: skip

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the settings together."""
        families = {ALGORITHM_FAMILIES[name] for name in self.algorithms}
        if len(families) > 1:
            yield "algorithms", f"algorithms of one family are expected, not of {', '.join(sorted(families))}"
        if self.jwks_url is not None and self.jwks_file is not None:
            yield "jwks_file", "`jwks_url` or `jwks_file`, and only one of them"
        if self.jwks_url is None and self.jwks_file is None and not secure_url(self.issuer):
            yield "issuer", "without `jwks_url` or `jwks_file` the issuer must be an https URL, whose metadata is asked"
        if set(self.audience) & set(self.admin_audience):
            yield "admin_audience", "the admin listener needs an audience of its own"
        if self.dpop_nonce == "require" and self.dpop == "refuse":
            yield "dpop_nonce", "no proofs are taken of this issuer: say `dpop: accept` or `dpop: require`"
        claims = [self.agent_claim, self.user_claim, self.roles_claim, self.groups_claim]
        named = [claim for claim in claims if claim is not None]
        if len(named) != len(set(named)):
            yield "agent_claim", "agent, user, roles and groups must come from different claims"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustDomain:
    """A named boundary around issuers, keys and agents. One without credentials only holds upstreams."""

    name: str
    issuers: Annotated[
        tuple[Issuer, ...],
        Setting("issuers", ListOf(Section(Issuer), items_min=0),
                "Who may sign tokens for agents of this domain."),
    ] = ()  # fmt: skip
    api_keys_file: Annotated[
        Path | None,
        Setting("api_keys_file", PathText("the path of a keys file"),
                "Hashed API keys; `oncegate token create` writes it."),
    ] = None  # fmt: skip
    spiffe: Annotated[
        Spiffe | None, Setting("spiffe", SPIFFE, "The SPIFFE trust domain whose workloads are agents of this one.")
    ] = None
    login: Annotated[
        Login | None, Setting("login", LOGIN, "The OpenID provider by which the domain's people log in to the console.")
    ] = None

    @property
    def has_credentials(self) -> bool:
        """Whether anybody can prove to belong here."""
        return bool(self.issuers) or self.api_keys_file is not None or self.spiffe is not None or self.login is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars per million tokens."""

    input_usd: Annotated[float, Setting("input", Amount(), "US dollars per million input tokens.")]
    output_usd: Annotated[float, Setting("output", Amount(), "US dollars per million output tokens.")]
    cached_input_usd: Annotated[
        float | None, Setting("cached_input", Amount(), "US dollars per million cached input tokens.")
    ] = None
    cache_write_usd: Annotated[
        float | None, Setting("cache_write", Amount(), "US dollars per million input tokens written to a cache.")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model by the name agents use."""

    name: str
    provider: Annotated[
        Literal["openai", "anthropic", "azure_openai", "openai_compatible"],
        Setting("provider", Choice(PROVIDERS), "Who makes the model: its endpoints, credential and wire protocol."),
    ]
    url: Annotated[str, Setting("url", Url(), "The provider's base URL, ending in its version.")]
    credential: Annotated[
        SecretReference | None, Setting("credential", Secret(), "The provider's key; left out where it needs none.")
    ] = None
    upstream_model: Annotated[
        str | None,
        Setting("upstream_model", Text("the name of a model"), "The provider's name of the model, when it differs."),
    ] = None
    api_version: Annotated[
        str | None,
        Setting("api_version", Text("an Azure API version", r"[A-Za-z0-9._-]{1,40}"),
                "Azure's `api-version`, where the URL does not end in `/v1`."),
    ] = None  # fmt: skip
    betas: Annotated[
        tuple[str, ...],
        Setting("betas", ListOf(Text("a value of `anthropic-beta`", r"[A-Za-z0-9_.*-]{1,100}"), items_min=0),
                "Values of the header `anthropic-beta` that callers may send; `*` is any."),
    ] = ("*",)  # fmt: skip
    output_tokens_max: Annotated[
        int | None,
        Setting("max_output_tokens", Count(1, 10_000_000),
                "Output tokens where a caller names no limit and the provider needs one."),
    ] = None  # fmt: skip
    signed_thinking: Annotated[
        Literal["block", "keep"],
        Setting("signed_thinking", Choice(("block", "keep")),
                "What becomes of thinking in which a profile finds something: its signature forbids to change it."),
    ] = "block"  # fmt: skip
    domain: Annotated[str, Setting("domain", DOMAIN, "The trust domain the model belongs to.")] = DEFAULT_DOMAIN
    price: Annotated[Price | None, Setting("price", Section(Price), "What it costs.")] = None
    fallback: Annotated[
        tuple[str, ...],
        Setting("fallback", ListOf(Text("the name of a model", MODEL_NAME), or_one=True),
                "Models asked instead, in this order, where this one does not answer; policy decides about each."),
    ] = ()  # fmt: skip
    stream_usage: Annotated[
        bool,
        Setting("stream_usage", Flag(),
                "Asks streams for usage where the client did not; `false` where the provider knows no such option."),
    ] = True  # fmt: skip
    output_tokens_assumed: Annotated[
        int,
        Setting("output_tokens_assumed", Count(1, 10_000_000),
                "What budgets reserve for an answer whose request sets no bound; settled from usage."),
    ] = 4096  # fmt: skip
    objects: Annotated[
        tuple[str, ...],
        Setting("objects", ListOf(Text("an id the provider gave", r"[A-Za-z0-9][A-Za-z0-9._:-]{0,255}"), items_min=0),
                "Ids of files, stores, prompts and conversations that whoever may call the model may name."),
    ] = ()  # fmt: skip

    @property
    def sent_name(self) -> str:
        """The name sent to the provider."""
        return self.upstream_model or self.name

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the settings together."""
        azure = self.provider == "azure_openai"
        if self.api_version is not None and not azure:
            yield "api_version", "only `azure_openai` has one"
        if azure and self.api_version is None and not self.url.rstrip("/").endswith("/v1"):
            yield "url", "without `api_version` an Azure URL must end in its version, `/openai/v1`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """What is found in texts, and what becomes of it."""

    profiles_file: Annotated[
        Path | None,
        Setting(
            "profiles", PathText("the path of a profiles file"), "The profiles; left out, `policies/redaction.yaml`."
        ),
    ] = None
    default_profile: Annotated[
        str,
        Setting("default_profile", Text("the name of a profile", r"[A-Za-z0-9_-]{1,64}"),
                "The profile of a call for which no policy line names one."),
    ] = "standard"  # fmt: skip
    recognizers_file: Annotated[
        Path | None,
        Setting("recognizers", PathText("the path of a file of recognizers"),
                "What else is looked for; left out, `policies/recognizers.yaml` where there is one."),
    ] = None  # fmt: skip
    model_folder: Annotated[
        Path | None,
        Setting("model", PathText("the path of a language model"),
                "A language model's folder; left out, the one `oncegate model install` brings."),
    ] = None  # fmt: skip
    languages: Annotated[
        tuple[str, ...],
        Setting("languages", ListOf(Choice(("es", "fr")), items_min=0, or_one=True),
                "Further languages in which names are looked for; each needs its model (`oncegate model install`)."),
    ] = ()  # fmt: skip
    seconds_max: Annotated[
        float, Setting("time", Duration(1, 120), "How long looking into one call may take, waiting included.")
    ] = 15.0
    waiting_max: Annotated[int, Setting("waiting", Count(1, 10_000), "Calls that may wait to be looked into.")] = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """Where traces and the audit go, and whether a call may go on without its audit record."""

    otlp_url: Annotated[
        str | None,
        Setting(
            "otlp", Url(), "An OTLP/HTTP collector for traces, metrics and the audit; left out, nothing is exported."
        ),
    ] = None
    audit: Annotated[
        Literal["required", "best_effort"],
        Setting("audit", Choice(("required", "best_effort")),
                "`required`: what cannot be audited is not done; `best_effort`: refusals and replays are."),
    ] = "required"  # fmt: skip
    content: Annotated[
        Literal["none", "redacted"],
        Setting("content", Choice(("none", "redacted")),
                "`redacted`: spans carry what the journal keeps of requests and answers, with placeholders, bounded."),
    ] = "none"  # fmt: skip
    checkpoints: Annotated[
        Path,
        Setting("checkpoints", PathText("the path of a file"), "Where signed checkpoints of the audit are appended."),
    ] = Path("oncegate-checkpoints.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds; what is over one is refused, never cut."""

    body_bytes_max: Annotated[int, Setting("body", Size(_KIB, 256 * _MIB), "A request's body.")] = 8 * _MIB
    answer_bytes_max: Annotated[int, Setting("answer", Size(_KIB, 256 * _MIB), "An upstream's answer.")] = 32 * _MIB
    header_bytes_max: Annotated[int, Setting("header", Size(_KIB, 64 * _KIB), "A request's headers together.")] = (
        16 * _KIB
    )
    depth_max: Annotated[int, Setting("depth", Count(4, 128), "Levels of nesting in JSON.")] = 64
    drain_bytes_max: Annotated[
        int, Setting("drain", Size(_KIB, 256 * _MIB), "What is still read for an agent that went away.")
    ] = 8 * _MIB
    drain_seconds_max: Annotated[float, Setting("drain_time", Duration(0.1, _HOUR), "How long it is still read.")] = (
        120.0
    )
    drains_per_agent_max: Annotated[
        int, Setting("drains_per_agent", Count(1, 10_000), "Answers read at a time for one agent that went away.")
    ] = 16
    in_flight_max: Annotated[int, Setting("in_flight", Count(1, 100_000), "Calls at a time.")] = 1024
    in_flight_per_agent_max: Annotated[
        int, Setting("in_flight_per_agent", Count(1, 100_000), "Calls at a time of one agent.")
    ] = 128
