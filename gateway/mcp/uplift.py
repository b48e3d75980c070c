"""A client of the newer era with a server of the older one (MCP 2026-07-28 over 2025-11-25).

Requests go into a session that the gateway holds. What the server asks its client in the middle of a call
becomes `input_required`: the call waits in the session, and the client's next round answers it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, Final, cast

from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    SERVER_INFO_META_KEY,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION

from gateway.call import NotSent, Sent
from gateway.mcp.eras import OWN_INFO
from gateway.mcp.held import HeldSessions
from gateway.mcp.resume import messages_to_end
from gateway.mcp.talk import (
    Spoken,
    Tree,
    error_of,
    member,
    message_in,
    meta_of,
    nothing,
    params_of,
    plain,
    result_of,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from gateway.call import Headers, UpstreamRequest, UpstreamResponse
    from gateway.mcp.held import Held
    from gateway.mcp.turn import Turn

#: How long a call waits for its client's answer to a question of the server.
PARKED_SECONDS_MAX: Final = 600.0
PARKED_MAX: Final = 1024
WAITING_MAX: Final = 1000
UNSUPPORTED_VERSION: Final = -32022
INVALID_PARAMS: Final = -32602
METHOD_NOT_FOUND: Final = -32601
#: The older era's code for a resource that is not there; the newer one has none of its own (MCP 2026-07-28).
_NO_RESOURCE: Final = -32002
_MAY_ASK: Final = frozenset({"tools/call", "prompts/get", "resources/read"})
_ASKED_FOR: Final = {"sampling/createMessage": "sampling", "elicitation/create": "elicitation", "roots/list": "roots"}
_CACHED: Final = frozenset({"tools/list", "prompts/list", "resources/list", "resources/templates/list",
                            "resources/read"})  # fmt: skip
_ENVELOPE: Final = frozenset({PROTOCOL_VERSION_META_KEY, CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY,
                              LOG_LEVEL_META_KEY})  # fmt: skip
_ROUND: Final = frozenset({"inputResponses", "requestState"})
_REFUSED: Final = 400
_NOT_FOUND: Final = 404
_GONE: Final = frozenset({400, 404, 405, 422})
#: With these a server says that it has executed nothing.
_NOT_LOOKED_AT: Final = frozenset({401, 403, 429})
REFUSAL_BYTES_MAX: Final = 256 * 1024
INVALID_REQUEST: Final = -32600
_CHANGES: Final = {
    "notifications/tools/list_changed": "toolsListChanged",
    "notifications/prompts/list_changed": "promptsListChanged",
    "notifications/resources/list_changed": "resourcesListChanged",
}


class Uplift:
    """The bridge to one server."""

    def __init__(self, send: Callable[[UpstreamRequest, float], Awaitable[UpstreamResponse]]) -> None:
        self.sessions = HeldSessions(send)
        self._parked: dict[str, Conversation] = {}

    async def send(self, turn: Turn, own: Headers, *, seconds_max: float) -> UpstreamResponse:
        """Carry out one message of the newer era. Raises `NotSent`, `Sent`."""
        message = turn.sent or {}
        params = params_of(message)
        meta = meta_of(params)
        if not turn.expects:
            return nothing(202)
        if turn.method == "server/discover":
            data: Tree = {"supported": list(HANDSHAKE_PROTOCOL_VERSIONS), "requested": meta.get(
                PROTOCOL_VERSION_META_KEY)}  # fmt: skip
            text = "the server speaks the older revisions; initialize a session"
            if not turn.joined:
                return plain(error_of(message.get("id"), UNSUPPORTED_VERSION, text, data), status=400)
            held = await self._held(turn, tuple(pair for pair in own if pair[0] != b"traceparent"))
            return plain(result_of(message.get("id"), _discovered(held)))
        if isinstance(state := params.get("requestState"), str):
            return await self._resumed(turn, state, seconds_max)
        trace = tuple(pair for pair in own if pair[0] == b"traceparent")
        held = await self._held(turn, tuple(pair for pair in own if pair not in trace))
        if turn.method == "subscriptions/listen":
            return _listening(held, message)
        conversation = Conversation(self, held, turn)
        await conversation.begin(trace, seconds_max)
        if conversation.refused_session:
            held.gone = True  # nothing was executed in a session the server does not know
            held = await self._held(turn, tuple(pair for pair in own if pair not in trace))
            conversation = Conversation(self, held, turn)
            await conversation.begin(trace, seconds_max)
        return Spoken(messages=conversation.messages(), ended=conversation.leave)

    async def refused(self, turn: Turn, error: Tree) -> None:
        """End the call whose question `turn` was to answer, where there is one; the server gets an error for it."""
        conversation = self._parked.get(str(params_of(turn.message.tree if turn.message else {}).get("requestState")))
        if conversation is not None and conversation.continues(turn):
            await conversation.refused(error)

    async def aclose(self) -> None:
        """End what waits, and the sessions."""
        for conversation in list(self._parked.values()):
            await conversation.end()
        await self.sessions.aclose()

    def park(self, conversation: Conversation) -> str:
        """Keep a call that waits for its client's answer; returns the state that finds it again."""
        if len(self._parked) >= PARKED_MAX:
            raise Sent(f"{PARKED_MAX} calls wait for an answer of their clients already")
        state = f"oncegate.{secrets.token_urlsafe(24)}"
        self._parked[state] = conversation
        return state

    def forget(self, state: str) -> None:
        """Let go of a call that waits no more."""
        self._parked.pop(state, None)

    async def _held(self, turn: Turn, own: Headers) -> Held:
        meta = meta_of(params_of(turn.sent or {}))
        opening: Tree = {
            "protocolVersion": LATEST_HANDSHAKE_VERSION,
            "capabilities": member(meta, CLIENT_CAPABILITIES_META_KEY),
            "clientInfo": member(meta, CLIENT_INFO_META_KEY) or OWN_INFO,
        }
        return await self.sessions.of(turn.place, own, opening, meta.get(LOG_LEVEL_META_KEY))

    async def _resumed(self, turn: Turn, state: str, seconds_max: float) -> UpstreamResponse:
        conversation = self._parked.get(state)
        if conversation is None or not conversation.continues(turn):
            # a restart, another client, or too late: how far the call came nobody knows
            raise Sent("the question this answers is over")
        await conversation.answered(turn, seconds_max)
        return Spoken(messages=conversation.messages(), ended=conversation.leave)


class Conversation:
    """One request in a held session, from its sending to its response, over as many rounds as it takes."""

    def __init__(self, uplift: Uplift, held: Held, turn: Turn) -> None:
        self._uplift = uplift
        self._held = held
        self._turn = turn
        self._number = held.new_id()
        self._queue: asyncio.Queue[Tree | Sent | None] = asyncio.Queue(WAITING_MAX)
        self._pump: asyncio.Task[None] | None = None
        self._question: Tree | None = None
        self._state = ""
        self._timer: asyncio.TimerHandle | None = None
        self._over = False
        self.refused_session = False

    async def begin(self, trace: Headers, seconds_max: float) -> None:
        """Send the request. Raises `NotSent`, `Sent`."""
        sent = self._lowered(self._turn.sent or {})
        response = await self._held.post(sent, seconds_max=seconds_max, trace=trace)
        if response.status >= _REFUSED:
            await self._refused(response)
            return
        self._held.hearing.append(self._hear)
        self._pump = asyncio.create_task(self._read(response))

    async def _refused(self, response: UpstreamResponse) -> None:
        status, content = response.status, await whole(response, bytes_max=REFUSAL_BYTES_MAX)
        if status in _NOT_LOOKED_AT:
            raise NotSent(f"the server answered {status}")
        if status not in _GONE:
            raise Sent(f"the server answered {status}")
        self.refused_session = self._held.has_id and (status == _NOT_FOUND or b"ession" in content)
        error: Tree = {}
        with contextlib.suppress(Sent):
            error = member(message_in(content), "error")
        error = error or {"code": INVALID_REQUEST, "message": "the server refused the request"}
        self._over = True
        self._queue.put_nowait({"jsonrpc": "2.0", "id": self._number, "error": error})

    def continues(self, turn: Turn) -> bool:
        """Return whether `turn` is the next round of this call: the same principal and subject."""
        # as the client sent them: placeholders of two calls may differ
        before = self._turn.message.params if self._turn.message else {}
        now = turn.message.params if turn.message else {}
        same = all(before.get(name) == now.get(name) for name in ("name", "uri", "arguments"))
        return turn.place == self._turn.place and turn.method == self._turn.method and same

    async def answered(self, turn: Turn, seconds_max: float) -> None:
        """Give the server the client's answer and go on. Raises `NotSent`, `Sent`."""
        self._uplift.forget(self._state)
        if self._timer is not None:
            self._timer.cancel()
        self._turn = turn
        question = self._question or {}
        answers = member(params_of(turn.sent or {}), "inputResponses")
        if (answer := answers.get(str(question.get("id")))) is None:
            self._queue.put_nowait(question)  # asked again: an answer is still needed
            return
        self._question = None
        try:
            given = await self._held.post(
                {"jsonrpc": "2.0", "id": question.get("id"), "result": answer}, seconds_max=seconds_max
            )
            await given.aclose()
        except NotSent as error:  # the call itself is under way
            raise Sent(str(error)) from None

    async def refused(self, error: Tree) -> None:
        """Give the server an error in the place of an answer, and end."""
        question, self._question = self._question, None
        if question is not None:
            await self._held.tell({"jsonrpc": "2.0", "id": question.get("id"), "error": error})
        await self.end()

    async def messages(self) -> AsyncGenerator[Tree]:
        """Yield what the client gets, its response or a question as the last. Raises `Sent`."""
        while True:
            message = await self._queue.get()
            if message is None or isinstance(message, Sent):
                await self.end()
                raise message or Sent("the server ended its stream before the response")
            if "method" not in message:
                if message.get("id") == self._number:
                    self._over = True
                    await self.end()
                    yield self._lifted(message)
                    return
            elif "id" in message:
                if (asked := await self._asked(message)) is not None:
                    yield asked
                    return
            elif (told := self._told(message)) is not None:
                yield told

    async def leave(self) -> None:
        """End it, unless it waits for its client's answer."""
        if self._question is None:
            await self.end()

    async def end(self) -> None:
        """End it; a request without its response is cancelled in the server."""
        self._uplift.forget(self._state)
        if self._timer is not None:
            self._timer.cancel()
        if self._hear in self._held.hearing:
            self._held.hearing.remove(self._hear)
        pump, self._pump = self._pump, None
        if pump is None:
            return
        if not self._over:
            self._over = True
            await self._held.tell({"jsonrpc": "2.0", "method": "notifications/cancelled",
                                   "params": {"requestId": self._number}})  # fmt: skip
        pump.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pump

    def _hear(self, message: Tree) -> None:
        """Take a message of the session's own stream; only questions may belong to this request."""
        if "id" in message and not self._queue.full():
            self._queue.put_nowait(message)

    async def _read(self, response: UpstreamResponse) -> None:
        try:
            async for message in messages_to_end(response, self._held.fetch, self._answers):
                await self._queue.put(message)
            await self._queue.put(None)
        except Sent as error:
            await self._queue.put(error)
        finally:
            await response.aclose()

    def _answers(self, message: Tree) -> bool:
        return "method" not in message and message.get("id") == self._number

    async def _asked(self, question: Tree) -> Tree | None:
        """Return `input_required` for a question of the server; one the client cannot answer is refused."""
        method = str(question.get("method", ""))
        if method == "ping":
            await self._held.tell(result_of(question.get("id"), {}))
            return None
        params = params_of(self._turn.sent or {})
        capable = member(meta_of(params), CLIENT_CAPABILITIES_META_KEY)
        if self._turn.method not in _MAY_ASK or _ASKED_FOR.get(method) not in capable:
            refused = "this client cannot be asked that; it did not declare the capability"
            await self._held.tell(error_of(question.get("id"), METHOD_NOT_FOUND, refused))
            return None
        self._question = question
        self._state = self._uplift.park(self)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(PARKED_SECONDS_MAX, lambda: loop.create_task(self.end()))
        asked: Tree = {"method": method}
        if "params" in question:
            asked["params"] = question["params"]
        result: Tree = {"resultType": "input_required", "inputRequests": {str(question.get("id")): asked},
                        "requestState": self._state}  # fmt: skip
        return result_of((self._turn.message.id if self._turn.message else None), result)

    def _told(self, message: Tree) -> Tree | None:
        method, params = message.get("method"), params_of(message)
        if method == "notifications/progress" and params.get("progressToken") == self._number:
            token = meta_of(params_of(self._turn.sent or {})).get("progressToken")
            return message | {"params": params | {"progressToken": token}}
        wanted = meta_of(params_of(self._turn.sent or {})).get(LOG_LEVEL_META_KEY) is not None
        return message if method == "notifications/message" and wanted else None

    def _lowered(self, message: Tree) -> Tree:
        params = {key: value for key, value in params_of(message).items() if key not in _ROUND}
        meta = {key: value for key, value in meta_of(params).items() if key not in _ENVELOPE}
        if "progressToken" in meta:
            meta["progressToken"] = self._number
        params.pop("_meta", None)
        if meta:
            params["_meta"] = meta
        return message | {"id": self._number, "params": params}

    def _lifted(self, message: Tree) -> Tree:
        message = message | {"id": self._turn.message.id if self._turn.message else None}
        if "error" in message:
            error = member(message, "error")
            return (
                message | {"error": error | {"code": INVALID_PARAMS}} if error.get("code") == _NO_RESOURCE else message
            )
        result = {"resultType": "complete"} | member(message, "result")
        if self._turn.method in _CACHED:
            result = {"ttlMs": 0, "cacheScope": "private"} | result
        meta = {SERVER_INFO_META_KEY: self._held.opened.get("serverInfo", {})} | meta_of(result)
        return message | {"result": result | {"_meta": meta}}


def _discovered(held: Held) -> Tree:
    """Return what a held session's server said of itself, as the newer era says it."""
    said = {name: held.opened[name] for name in ("capabilities", "instructions") if name in held.opened}
    return {"resultType": "complete", "supportedVersions": [LATEST_MODERN_VERSION], "ttlMs": 0,
            "cacheScope": "private", **said,
            "_meta": {SERVER_INFO_META_KEY: held.opened.get("serverInfo", {})}}  # fmt: skip


def _listening(held: Held, message: Tree) -> UpstreamResponse:
    """Return a `subscriptions/listen` stream made of what the session's own stream tells."""
    ident = message.get("id")
    asked = member(params_of(message), "notifications")
    uris = [str(uri) for uri in cast("list[object]", asked.get("resourceSubscriptions") or [])]
    queue: asyncio.Queue[Tree] = asyncio.Queue(WAITING_MAX)
    tag: Tree = {SUBSCRIPTION_ID_META_KEY: ident}

    def hear(told: Tree) -> None:
        wished = _CHANGES.get(str(told.get("method")))
        updated = told.get("method") == "notifications/resources/updated" and params_of(told).get("uri") in uris
        if "id" not in told and (updated or (wished and asked.get(wished))) and not queue.full():
            queue.put_nowait(told | {"params": params_of(told) | {"_meta": meta_of(params_of(told)) | tag}})

    async def stream() -> AsyncGenerator[Tree]:
        for uri in uris:
            await held.tell({"jsonrpc": "2.0", "id": held.new_id(), "method": "resources/subscribe",
                             "params": {"uri": uri}})  # fmt: skip
        granted: Tree = {"notifications": asked, "_meta": tag}
        yield {"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": granted}
        over = asyncio.ensure_future(held.silent.wait())
        following = asyncio.ensure_future(queue.get())
        try:
            while True:
                await asyncio.wait({following, over}, return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    held.gone = True  # who listens anew gets a new session
                    return
                yield following.result()
                following = asyncio.ensure_future(queue.get())
        finally:
            over.cancel()
            following.cancel()

    async def ended() -> None:
        if hear in held.hearing:
            held.hearing.remove(hear)
        for uri in uris:
            await held.tell({"jsonrpc": "2.0", "id": held.new_id(), "method": "resources/unsubscribe",
                             "params": {"uri": uri}})  # fmt: skip

    # before the requests under way: questions go to the newest of those
    held.hearing.insert(0, hear)
    return Spoken(messages=stream(), ended=ended)
