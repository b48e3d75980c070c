"""The gateway's own calls of tools, on behalf of a principal: down the path of every call, heard before redaction."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, cast

from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, PROTOCOL_VERSION_META_KEY
from mcp_types.version import LATEST_MODERN_VERSION

from gateway import body
from gateway.call import Exchange, header
from gateway.ids import random_bytes
from gateway.mcp.eras import OWN_INFO
from gateway.mcp.message import Message, Unanswerable
from gateway.verifying import Said
from policy.decision import Question

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.call import Call, Reply
    from gateway.policies import Policies
    from policy.decision import Principal
    from redaction.finding import Scope

_log = logging.getLogger("oncegate.asking")

_HEADERS: Final = (
    (b"content-type", b"application/json"),
    (b"accept", b"application/json, text/event-stream"),
    (b"mcp-protocol-version", LATEST_MODERN_VERSION.encode()),
)
_OK: Final = 200


class MakesCall(Protocol):
    """Makes a call of a message to one server (`gateway.protocols.mcp.McpAdapter.call_of`)."""

    def __call__(self, exchange: Exchange, server: str, message: Message, *, joined: bool, bridged: bool) -> Call:
        """Return the call. Raises `Unanswerable`."""
        ...


class Asking:
    """Asks tools. The path and the servers are composed after it: `serve` gives them to it."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies
        self._call_of: MakesCall | None = None
        self._handle: Callable[[Call], Awaitable[Reply]] | None = None

    def serve(self, call_of: MakesCall, handle: Callable[[Call], Awaitable[Reply]]) -> None:
        """Take what makes calls and what carries them out."""
        self._call_of, self._handle = call_of, handle

    async def __call__(
        self, principal: Principal, server: str, tool: str, arguments: dict[str, object], scope: Scope
    ) -> Said | None:
        """Return what `tool` said, `None` when it may not be asked by `principal` or gave no result."""
        if self._call_of is None or self._handle is None:
            raise AssertionError("nothing is served yet")
        heard: list[object] = []
        try:
            call = self._call_of(*_asked(principal, server, tool, arguments), joined=False, bridged=True)
        except Unanswerable as error:
            _log.warning("tool `%s` of server `%s` cannot be asked: %s", tool, server, error)
            return None
        if not self._may(principal, call):
            return None
        reply = await self._handle(replace(call, scope=scope, hears=heard.append))
        refused = await _refused(reply)
        call_id = header(reply.headers, b"oncegate-call")
        if refused or not heard or call_id is None or not isinstance(heard[-1], dict):
            return None
        result = cast("dict[str, object]", heard[-1]).get("result")
        return Said(cast("dict[str, object]", result), call_id.decode()) if isinstance(result, dict) else None

    def _may(self, principal: Principal, call: Call) -> bool:
        """Return whether policy allows it at once: nobody is asked for an approval on the gateway's behalf."""
        question = Question(
            principal=principal, resource=call.resource, resource_domain=call.resource_domain, action=call.action,
            arguments=call.arguments, time=time.time(),
        )  # fmt: skip
        decision = self._policies.current.decide(question)
        if not decision.allowed:
            _log.warning("`%s` may not ask `%s` (rule %s)", principal.name, call.resource, decision.rule)
        return decision.allowed


def _asked(principal: Principal, server: str, tool: str, arguments: dict[str, object]) -> tuple[Exchange, str, Message]:
    meta: dict[str, object] = {
        PROTOCOL_VERSION_META_KEY: LATEST_MODERN_VERSION,
        CLIENT_CAPABILITIES_META_KEY: dict[str, object](),
        CLIENT_INFO_META_KEY: OWN_INFO,
    }
    params: dict[str, object] = {"name": tool, "arguments": arguments, "_meta": meta}
    tree: dict[str, object] = {"jsonrpc": "2.0", "id": "oncegate-verify", "method": "tools/call", "params": params}
    message = Message(tree=tree, kind="request", era="modern", method="tools/call", id="oncegate-verify", params=params)
    exchange = Exchange(
        method="POST", path=f"/mcp/{server}", query=b"", headers=_HEADERS, body=body.encode(tree),
        principal=principal, run=None, correlation=random_bytes(12).hex(), disconnected=_never,
    )  # fmt: skip
    return exchange, server, message


async def _never() -> None:
    await asyncio.Event().wait()


async def _refused(reply: Reply) -> bool:
    """Return whether the call ended in a refusal: what was heard is then not what was journaled."""
    content = reply.body
    if reply.frames is not None:
        content = b"".join([part async for part in reply.frames]).rpartition(b"data: ")[2]
    if reply.delivered is not None:
        reply.delivered(True)  # noqa: FBT003 - a callback with one fact
    try:
        tree = body.parse(content)
    except body.MalformedBody:
        return True
    result = cast("dict[str, object]", tree).get("result") if isinstance(tree, dict) else None
    return reply.status != _OK or _is_error(result)


def _is_error(result: object) -> bool:
    return not isinstance(result, dict) or cast("dict[str, object]", result).get("isError") is True
