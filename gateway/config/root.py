"""The whole file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from gateway.config.budgets import Budget, LoopGuard
from gateway.config.durability import Agent, ApprovalTimes, Retention, RunLimits, State
from gateway.config.forms import Address, Choice, Duration, Flag, Listen, PathText, Secret, Text, Url
from gateway.config.identity import PROXY, PROXY_NAME, TLS, Proxy, Tls
from gateway.config.reading import ListOf, MapOf, Reading, Section, Setting, Where
from gateway.config.resilience import Resilience
from gateway.config.servers import SERVER_NAME, McpServer
from gateway.config.tree import Leaf, Node
from gateway.config.types import (
    DOMAIN_NAME,
    MODEL_NAME,
    WILDCARD_HOSTS,
    Limits,
    Model,
    Redaction,
    Telemetry,
    TrustDomain,
)
from gateway.secrets import SecretReference

_STATE: Final = r"sqlite:///([^?#\s]+)(\?synchronous=(FULL|NORMAL))?"
_POSTGRES: Final = r"postgresql://([^\s:@/?#]+@)?[^\s@?#]*/[^\s/?#]+(\?[^\s#]*)?"
_AGENTS: Final = Address("127.0.0.1", 8080)
_OPERATORS: Final = Address("127.0.0.1", 8081)
_PATTERN: Final = r"[^\s/]+(/[^\s/]+)*"


@dataclass(frozen=True, slots=True)
class StateUrl:
    """`sqlite:///PATH`, relative to the file (four slashes: absolute), or `postgresql://USER@HOST/DATABASE`."""

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return a `State`."""
        del where
        text = node.text if isinstance(node, Leaf) else ""
        if text.startswith("postgres"):
            if re.fullmatch(_POSTGRES, text) and not re.search(r"[?&](password|passfile)=", text):
                return State(path=reading.folder / "oncegate", postgres=text)
            # not shown: it may hold a password
            return reading.refuse(
                node.line, "expected `postgresql://USER@HOST:PORT/DATABASE`; a password belongs into `state_password`"
            )
        match = re.fullmatch(_STATE, text)
        if match is None:
            message = "expected `sqlite:///PATH`, or `postgresql://USER@HOST/DATABASE` for several instances"
            # not shown: a database's URL may hold a password
            return reading.refuse(node.line, message)
        synchronous: Literal["FULL", "NORMAL"] = "NORMAL" if match.group(3) == "NORMAL" else "FULL"
        return State(path=reading.folder / match.group(1), synchronous=synchronous)

    def schema(self) -> dict[str, object]:
        """Return a string with a pattern."""
        return {"type": "string", "pattern": f"^({_STATE}|{_POSTGRES})$"}


@dataclass(frozen=True, slots=True)
class Version:
    """The number 1."""

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return 1."""
        del where
        if isinstance(node, Leaf) and node.value == 1 and node.text == "1":
            return 1
        return reading.refuse(node.line, "expected `1`, the only version there is")

    def schema(self) -> dict[str, object]:
        """Return a constant."""
        return {"const": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """`oncegate.yaml`. Relative paths are relative to the file, whose place is `file`."""

    version: Annotated[int, Setting("version", Version(), "The version of this format.")]
    file: Path = Path("oncegate.yaml")
    listen: Annotated[Address, Setting("listen", Listen(), "Where agents call; loopback by default.")] = _AGENTS
    tls: Annotated[
        Tls | None, Setting("tls", TLS, "The certificate of `listen`; left out, a proxy has to end TLS.")
    ] = None
    admin: Annotated[Address, Setting("admin", Listen(), "Where operators call; loopback by default.")] = _OPERATORS
    public_url: Annotated[str, Setting("public_url", Url(), "How agents reach `listen`; left out, its address.")] = ""
    admin_url: Annotated[
        str | None,
        Setting("admin_url", Url(secure=True),
                "How browsers reach `admin`; left out, its address over plain http. With https cookies are `Secure`."),
    ] = None  # fmt: skip
    state: Annotated[
        State,
        Setting("state", StateUrl(),
                "The store: `sqlite:///oncegate.db`, with `?synchronous=NORMAL` where speed matters more than power "
                "loss; `postgresql://USER@HOST/DATABASE` for several instances."),
    ] = field(default_factory=lambda: State(path=Path("oncegate.db")))  # fmt: skip
    state_password: Annotated[
        SecretReference | None, Setting("state_password", Secret(), "The password of the PostgreSQL role.")
    ] = None
    lease_seconds: Annotated[
        float,
        Setting("lease", Duration(1.0, 600.0),
                "Several instances: how long one may be silent before others take over its work."),
    ] = 10.0  # fmt: skip
    secret_keys: Annotated[
        tuple[SecretReference, ...],
        Setting("secret_key", ListOf(Secret(), or_one=True),
                "32 random bytes in base64; of a list the first writes and all read (rotation)."),
    ] = ()  # fmt: skip
    policies_folder: Annotated[
        Path, Setting("policies", PathText("the path of a folder"), "The folder of policy files.")
    ] = Path("policies")
    policy_mode: Annotated[
        Literal["enforce", "shadow"],
        Setting("mode", Choice(("enforce", "shadow")),
                "`shadow`: what policy lines deny or hold for approval passes, and is said everywhere."),
    ] = "enforce"  # fmt: skip
    candidate_folder: Annotated[
        Path | None,
        Setting("candidate", PathText("the path of a folder"),
                "A policy set that is asked beside the one in force, and decides nothing."),
    ] = None  # fmt: skip
    policy_sets: Annotated[
        Mapping[str, Path],
        Setting("policy_sets",
                MapOf(PathText("the path of a folder"), r"[a-z0-9][a-z0-9._-]{0,63}", "a policy set's name"),
                "Other folders of policy files, by name: what a fork of a run may be decided by instead."),
    ] = field(default_factory=lambda: MappingProxyType({}))  # fmt: skip
    development: Annotated[
        bool, Setting("development", Flag(), "Admits callers without credentials; on loopback only.")
    ] = False
    trust_domains: Annotated[
        Mapping[str, TrustDomain],
        Setting("trust_domains", MapOf(Section(TrustDomain, named=True), DOMAIN_NAME, "a trust domain's name"),
                "Who is who: issuers and keys, by trust domain."),
    ] = field(default_factory=lambda: MappingProxyType({}))  # fmt: skip
    proxies: Annotated[
        Mapping[str, Proxy],
        Setting("proxies", MapOf(PROXY, PROXY_NAME, "a proxy's name"),
                "Who may say which client certificate it has verified, by name."),
    ] = field(default_factory=lambda: MappingProxyType({}))  # fmt: skip
    models: Annotated[
        Mapping[str, Model],
        Setting("models", MapOf(Section(Model, named=True), MODEL_NAME, "a model's name"), "Models by name."),
    ] = field(default_factory=lambda: MappingProxyType({}))
    mcp_servers: Annotated[
        Mapping[str, McpServer],
        Setting("mcp_servers", MapOf(Section(McpServer, one_of=("url", "command"), named=True), SERVER_NAME,
                                     "a server's name"), "MCP servers by name."),
    ] = field(default_factory=lambda: MappingProxyType({}))  # fmt: skip
    resilience: Annotated[
        Mapping[str, Resilience],
        Setting("resilience", MapOf(Section(Resilience), _PATTERN, "a resource pattern"),
                "How calls are carried out; the most specific resource pattern counts."),
    ] = field(default_factory=lambda: MappingProxyType({}))  # fmt: skip
    budgets: Annotated[
        tuple[Budget, ...],
        Setting("budgets", ListOf(Section(Budget), items_min=0), "How much may be taken, by whom, in which window."),
    ] = ()
    loop_guard: Annotated[
        LoopGuard, Setting("loop_guard", Section(LoopGuard), "When an agent is taken to go round in circles.")
    ] = field(default_factory=LoopGuard)
    redaction: Annotated[
        Redaction, Setting("redaction", Section(Redaction), "What is found in texts, and what becomes of it.")
    ] = field(default_factory=Redaction)
    telemetry: Annotated[Telemetry, Setting("telemetry", Section(Telemetry), "Traces and audit.")] = field(
        default_factory=Telemetry
    )
    limits: Annotated[Limits, Setting("limits", Section(Limits), "Bounds; over one is refused.")] = field(
        default_factory=Limits
    )
    hosts: Annotated[
        tuple[str, ...],
        Setting("hosts", ListOf(Text("a host name, with `:port` where it is not the usual one",
                                     r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?"), items_min=0),
                "Host headers accepted beside the listeners' own."),
    ] = ()  # fmt: skip
    runs: Annotated[RunLimits, Setting("runs", Section(RunLimits), "How long runs live.")] = field(
        default_factory=RunLimits
    )

    agents: Annotated[
        Mapping[str, Agent],
        Setting("agents", MapOf(Section(Agent, named=True), r"[^\s,/]{1,255}", "an agent's name"),
                "Agents whose runs are managed or resume in a way of their own."),
    ] = field(default_factory=lambda: MappingProxyType({}))  # fmt: skip
    approvals: Annotated[ApprovalTimes, Setting("approvals", Section(ApprovalTimes), "How long approvals wait.")] = (
        field(default_factory=ApprovalTimes)
    )
    retention: Annotated[
        Retention, Setting("retention", Section(Retention), "How long the journal keeps what is over.")
    ] = field(default_factory=Retention)

    @property
    def host_names(self) -> frozenset[str]:
        """The `Host` values served: lower case, without port, IPv6 addresses in brackets.

        The listeners' own, that of `public_url`, and `hosts`. A loopback listener has every loopback name.
        """
        named = [urlsplit(self.public_url).netloc, *self.hosts]
        for address in (self.listen, self.admin):
            if address.host not in WILDCARD_HOSTS:
                named.append(str(address))
            if address.loopback:
                named += ["localhost", "127.0.0.1", "[::1]"]
        return frozenset(re.sub(r":[0-9]*$", "", name.lower()) for name in named)


ROOT: Final = Section(Config)
