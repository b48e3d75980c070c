"""MCP servers in the configuration file: where they are, how the gateway proves itself, what their tools are like.

Annotations are read at run time, so this file has no `from __future__ import annotations`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Final, Literal

from gateway.config.credentials import SCOPE, McpCredential
from gateway.config.definitions import DEFINITIONS, RELIST, SUSPICIOUS
from gateway.config.durability import Verify
from gateway.config.forms import Choice, Duration, Flag, Text, Url
from gateway.config.reading import ListOf, MapOf, Section, Setting
from gateway.config.types import DEFAULT_DOMAIN, DOMAIN

SERVER_NAME: Final = r"[A-Za-z0-9]([A-Za-z0-9.-]|_(?!_)){0,63}"
_DAY: Final = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """How calls of one tool may be repeated."""

    name: str
    effect: Annotated[
        Literal["safe", "keyed", "once"],
        Setting("effect", Choice(("safe", "keyed", "once")),
                "`safe` has no effect, `keyed` honours an idempotency key, `once` is never repeated."),
    ] = "once"  # fmt: skip
    repeat: Annotated[
        Literal["each", "once_per_arguments"],
        Setting("repeat", Choice(("each", "once_per_arguments")),
                "What equal calls mean in a run without model traffic."),
    ] = "once_per_arguments"  # fmt: skip
    idempotency_argument: Annotated[
        str | None,
        Setting("idempotency_argument", Text("the name of an argument", r"[^\x00-\x1f\x7f]{1,128}"),
                "The argument in which the tool takes an idempotency key."),
    ] = None  # fmt: skip
    on_disconnect: Annotated[
        Literal["finish", "cancel"],
        Setting("on_disconnect", Choice(("finish", "cancel")), "What happens when the agent goes away meanwhile."),
    ] = "finish"
    timeout_seconds: Annotated[float | None, Setting("timeout", Duration(0.001, _DAY), "How long a call may take.")] = (
        None
    )
    key_seconds: Annotated[
        float | None,
        Setting("key_ttl", Duration(1.0), "How long the upstream knows a key; a `keyed` call is `once` after that."),
    ] = None
    scopes: Annotated[
        tuple[str, ...],
        Setting("scopes", ListOf(SCOPE, or_one=True), "The scopes a token must carry to call it, beside the server's."),
    ] = ()
    verify: Annotated[
        Verify | None, Setting("verify", Section(Verify), "How to find out whether a call in doubt has happened.")
    ] = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the settings together."""
        if self.key_seconds is not None and self.effect != "keyed":
            yield "key_ttl", "only a `keyed` tool has one"
        if self.on_disconnect == "cancel" and self.effect == "once":
            yield "on_disconnect", "a `once` tool is finished, not cancelled: its effect would be in doubt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scopes:
    """What a signed token's `scope` must hold; API keys have no scopes and are limited by policy alone."""

    list: Annotated[
        tuple[str, ...], Setting("list", ListOf(SCOPE, or_one=True), "Needed for whatever is asked of the server.")
    ] = ()
    call: Annotated[
        tuple[str, ...],
        Setting("call", ListOf(SCOPE, or_one=True), "Needed besides to call tools, get prompts and read resources."),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """An MCP server: a URL, or a command the gateway starts."""

    name: str
    url: Annotated[str | None, Setting("url", Url(), "The server's Streamable HTTP endpoint.")] = None
    transport: Annotated[
        Literal["http", "sse"],
        Setting("transport", Choice(("http", "sse")), "`sse` is the transport of 2024, a stream and POSTs beside it."),
    ] = "http"
    command: Annotated[
        tuple[str, ...] | None,
        Setting("command", ListOf(Text("a word of a command", r"[^\x00]{0,4096}")),
                "Program and arguments, run without a shell, spoken to over its standard streams."),
    ] = None  # fmt: skip
    environment: Annotated[
        tuple[str, ...],
        Setting("env", ListOf(Text("the name of an environment variable", r"[A-Za-z_][A-Za-z0-9_]*"), items_min=0),
                "Names of environment variables the command gets to see besides the minimum."),
    ] = ()  # fmt: skip
    user: Annotated[
        str | None,
        Setting("user", Text("the name of an account", r"[A-Za-z_][A-Za-z0-9_.-]{0,31}[$]?"),
                "The account a `command` runs as; needed outside `development`."),
    ] = None  # fmt: skip
    stderr: Annotated[
        Literal["count", "log"],
        Setting("stderr", Choice(("count", "log")), "Whether a command's standard error is shown; it may hold data."),
    ] = "count"
    domain: Annotated[str, Setting("domain", DOMAIN, "The trust domain the server belongs to.")] = DEFAULT_DOMAIN
    credential: Annotated[
        McpCredential | None,
        Setting("credential",
                Section(McpCredential, one_of=("bearer", "header", "client_credentials", "token_exchange")),
                "How the gateway proves itself."),
    ] = None  # fmt: skip
    scopes: Annotated[
        Scopes, Setting("scopes", Section(Scopes), "What a signed token must be allowed to, by its issuer.")
    ] = field(default_factory=Scopes)
    era: Annotated[
        Literal["auto", "legacy", "modern"],
        Setting("era", Choice(("auto", "legacy", "modern")), "The protocol revision: with sessions, without, or ask."),
    ] = "auto"
    trust_annotations: Annotated[
        bool,
        Setting("trust_annotations", Flag(), "Whether the server's own readOnlyHint and idempotentHint count."),
    ] = False
    definitions: Annotated[Literal["first_sight", "accepted_only"], DEFINITIONS] = "first_sight"
    suspicious: Annotated[Literal["quarantine", "warn"], SUSPICIOUS] = "quarantine"
    relist_seconds: Annotated[float, RELIST] = 300.0
    tools: Annotated[
        Mapping[str, Tool],
        Setting("tools", MapOf(Section(Tool, named=True), r"[^\x00-\x1f\x7f]{1,128}", "a tool's name"),
                "What is known of its tools; one not named here is `once`."),
    ] = field(default_factory=lambda: MappingProxyType({}))  # fmt: skip

    @property
    def over_http(self) -> bool:
        """Whether it speaks Streamable HTTP, and so keeps its sessions itself."""
        return self.url is not None and self.transport == "http"

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield settings that mean nothing for this kind of server."""
        if self.url is not None and self.environment:
            yield "env", "only a `command` has an environment"
        if self.url is not None and self.user is not None:
            yield "user", "only a `command` runs as somebody"
        if self.url is None and self.transport == "sse":
            yield "transport", "only a `url` has one"
        if self.transport == "sse" and self.era == "modern":
            yield "era", "the transport `sse` is of the older era"
        if self.command is not None and self.credential is not None:
            yield "credential", "a `command` gets its secrets by `env`, not by a header"
        if self.command is not None and not self.command[0]:
            yield "command", "the program's name is empty"
