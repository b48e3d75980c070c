"""The configured MCP servers: their upstreams, and the entry that serves `/mcp/{server}` and `/mcp`."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

import httpx

from gateway.config import ConfigInvalid, timeout_seconds, upstream_timeouts
from gateway.mcp.confinement import unconfined, unstartable
from gateway.mcp.joined import Joined
from gateway.mcp.message import Unanswerable
from gateway.mcp.old_http import OldHttpUpstream
from gateway.mcp.sessions import Sessions
from gateway.mcp.stdio import StdioUpstream
from gateway.mcp.target import ServerTarget
from gateway.oauth.authorized import Authorized, Authorizing
from gateway.oauth.endpoint import TokenEndpoint
from gateway.oauth.posting import ANSWER_SECONDS_MAX
from gateway.oauth.resource import JOINED
from gateway.oauth.scopes import InsufficientScope, insufficient, lacks, scopes_needed
from gateway.oauth.tokens import Tokens
from gateway.protocols.mcp import McpAdapter
from gateway.upstream.http import HttpUpstream
from policy.decision import Question

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from durable.seal import Keyring
    from gateway.blocking import Blocks
    from gateway.call import Call, Exchange, Headers, Refusal, Reply, Upstream
    from gateway.config import Config, McpServer, Tool
    from gateway.definitions.book import Book
    from gateway.mcp.forms import Store
    from gateway.oauth.resource import ProtectedResource
    from gateway.oauth.subjects import Vouching
    from gateway.pipeline import Pipeline
    from gateway.policies import Policies
    from policy.decision import Principal

    #: Audits that a principal's token lacks scopes for a resource.
    NoteScopes = Callable[[Principal, str], Awaitable[None]]


class McpServers:
    """Everything behind `/mcp/`. Making it raises `ConfigInvalid` where a command could reach what it must not."""

    def __init__(
        self, config: Config, policies: Policies, pipeline: Pipeline, keyring: Keyring, book: Book, *,
        resource: ProtectedResource, note_scopes: NoteScopes, may_send: Callable[[], bool], shown_key: bytes = b"",
        blocks: Blocks, store: Store, vouching: Vouching | None = None,
    ) -> None:  # fmt: skip
        if problems := [*unconfined(config), *unstartable(config)]:
            raise ConfigInvalid(problems)
        self._config = config
        self._policies = policies
        self._may_send = may_send
        self._vouching = vouching
        self._blocks = blocks
        self._authorized: list[Authorized] = []
        self._tokens_from = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=ANSWER_SECONDS_MAX)
        self._upstreams: list[Upstream] = []
        targets = {name: self._target(server) for name, server in config.mcp_servers.items()}
        sessions = Sessions(keyring)
        self.adapter = McpAdapter(
            targets, sessions, self._may_use, book, depth_max=config.limits.depth_max, shown_key=shown_key,
            store=store,
        )  # fmt: skip
        self._pipeline = pipeline
        self._resource = resource
        self._note_scopes = note_scopes
        self._joined = Joined(
            targets, self.adapter, self._handle_joined, sessions, depth_max=config.limits.depth_max,
            hold=self._hold_part,
        )  # fmt: skip

    async def answer(self, exchange: Exchange) -> Reply:
        """Return the reply to one exchange. Raises `Refusal`, `ClientGone`."""
        try:
            if exchange.path.rstrip("/") == "/mcp":
                return await self._joined.answer(exchange)
            call = self.adapter.read(exchange)
        except Unanswerable as error:
            return self.adapter.unanswerable(error, ((b"oncegate-correlation", exchange.correlation.encode()),))
        await self._demand_scopes(call, exchange.path)
        return await self._pipeline.handle(call)

    async def _handle_joined(self, call: Call) -> Reply:
        try:
            await self._demand_scopes(call, JOINED)
        except InsufficientScope as refusal:
            if call.action != "list" and not call.listens:
                raise
            return self.adapter.refuse(refusal, call, ())  # its part of the list, or of what is heard, is left out
        return await self._pipeline.handle(call)

    def _hold_part(self, exchange: Exchange, server: str, cut: Callable[[], None]) -> Callable[[], None]:
        """Have `cut` called when a server that is heard at the joined endpoint is blocked."""
        run = None if exchange.run is None else exchange.run.id
        domain = f"domain:{self._config.mcp_servers[server].domain}"
        return self._blocks.hold(exchange.principal, run, f"/mcp/{server}", cut, (domain,))

    async def _demand_scopes(self, call: Call, path: str) -> None:
        """Let nothing begin for which the caller's token was not issued. Raises `InsufficientScope`."""
        principal, server = call.exchange.principal, call.resource.split("/")[1]
        needed = scopes_needed(self._config.mcp_servers[server], call.action, call.tool_name)
        if lacks(principal, needed):
            await self._note_scopes(principal, call.shown or call.resource)
            raise insufficient(self._resource.challenge(path, error="insufficient_scope", scopes=needed))

    def refuse(self, refusal: Refusal, extra: Headers) -> Reply:
        """Say a refusal in the protocol."""
        return self.adapter.refuse(refusal, None, extra)

    async def aclose(self) -> None:
        """Close sessions and connections, and end processes."""
        await self.adapter.aclose()
        for authorized in self._authorized:
            await authorized.aclose()
        await self._tokens_from.aclose()
        for upstream in self._upstreams:
            await upstream.aclose()

    def _target(self, server: McpServer) -> ServerTarget:
        upstream: HttpUpstream | StdioUpstream | OldHttpUpstream
        if server.url is None:
            upstream = StdioUpstream(
                server.name, server.command or (), server.environment, user=server.user,
                show_errors=server.stderr == "log",
            )  # fmt: skip
        elif server.transport == "sse":
            upstream = OldHttpUpstream(server.name, server.url)
        else:
            times = upstream_timeouts(self._config, f"mcp/{server.name}")
            upstream = HttpUpstream(server.url, connect_seconds_max=times.connect_seconds_max)
        self._upstreams.append(upstream)

        def timeout(resource: str, tool: Tool | None) -> float:
            return timeout_seconds(self._config, resource, tool)

        client = None if server.credential is None else server.credential.client
        if client is None or server.credential is None:
            return ServerTarget(name=server.name, config=server, upstream=upstream, timeout=timeout)
        tokens = Tokens(server.name, TokenEndpoint(client, server.url or "", self._tokens_from))
        authorized = Authorized(upstream, tokens, self._may_send)
        self._authorized.append(authorized)
        exchanges, vouch = server.credential.token_exchange is not None, None
        if self._vouching is not None and client.without_token == "sign":  # noqa: S105 - a choice
            vouch = functools.partial(self._vouching.subject, audience=client.audience_of_assertions)
        return ServerTarget(
            name=server.name, config=server, upstream=authorized, timeout=timeout,
            authorizing=Authorizing(tokens, exchanges=exchanges, vouch=vouch),
        )  # fmt: skip

    def _may_use(self, principal: Principal, resource: str, domain: str, action: str) -> bool:
        question = Question(
            principal=principal, resource=resource, resource_domain=domain, action=action, time=time.time(),
            certain_only=True,
        )  # fmt: skip
        if self._blocks.of_resource(resource, domain):
            return False
        return self._policies.current.decide(question).effect != "deny"
