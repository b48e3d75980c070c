"""A client of the older era with a server of the newer one (MCP 2025-11-25 over 2026-07-28).

The session is the gateway's: what the client said of itself travels in its sealed id and goes with every
request. What the server asks in rounds is asked in the stream of the call, and its answers make the next round.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
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

from gateway.call import NotSent, Sent, header
from gateway.mcp.eras import OWN_INFO, knows_newer
from gateway.mcp.talk import (
    Spoken,
    Tree,
    error_of,
    member,
    message_in,
    messages_of,
    meta_of,
    nothing,
    params_of,
    plain,
    result_of,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from gateway.call import UpstreamResponse
    from gateway.mcp.sessions import Session

    Ask = Callable[[Tree], Awaitable[UpstreamResponse]]

#: Rounds in which a server may ask before it answers.
ROUNDS_MAX: Final = 16
QUESTION_SECONDS_MAX: Final = 600.0
FRONTS_MAX: Final = 4096
SUBSCRIPTIONS_MAX: Final = 256
_REFUSED: Final = 400
_PASSED_ON: Final = frozenset({401, 403, 429})
_SERVER_FAULT: Final = 500
_ENVELOPE: Final = frozenset({PROTOCOL_VERSION_META_KEY, CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY,
                              LOG_LEVEL_META_KEY})  # fmt: skip
_OF_THE_NEWER: Final = frozenset({"resultType", "ttlMs", "cacheScope"})
INVALID_REQUEST: Final = -32600
#: Ends a call whose client did not answer; outside the ranges the specification keeps.
UNANSWERED: Final = -31010
_ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"


@dataclass(slots=True)
class Front:
    """What is kept of one client's session while the gateway runs."""

    level: object = None
    subscriptions: set[str] = field(default_factory=set[str])
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    questions: dict[str, asyncio.Future[Tree]] = field(default_factory=dict[str, "asyncio.Future[Tree]"])


class Downshift:
    """The bridge to one endpoint of the newer era."""

    def __init__(self) -> None:
        self._fronts: OrderedDict[str, Front] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    async def open(self, message: Tree, ask: Ask) -> tuple[UpstreamResponse, str]:
        """Answer `initialize` with what the server says of itself; also return the session's nonce.

        The nonce is empty when there is no session. Raises `NotSent`, `Sent`.
        """
        params = params_of(message)
        wished = params.get("protocolVersion")
        asked = modern_of({"id": "oncegate-open", "method": "server/discover"}, params, Front())
        final = await _final(await ask(asked))
        if knows_newer(final):  # it refused the version, and names one that is ours: asked again, it may take it
            final = await _final(await ask(asked | {"id": "oncegate-open-again"}))
        if "result" not in final:
            return plain(error_of(message.get("id"), INVALID_REQUEST, "the server opens no session")), ""
        found = member(final, "result")
        result: Tree = {
            "protocolVersion": wished if wished in HANDSHAKE_PROTOCOL_VERSIONS else LATEST_HANDSHAKE_VERSION,
            "capabilities": found.get("capabilities", {}),
            "serverInfo": member(meta_of(found), SERVER_INFO_META_KEY) or OWN_INFO,
        }
        if "instructions" in found:
            result["instructions"] = found["instructions"]
        return plain(result_of(message.get("id"), result)), secrets.token_hex(16)

    async def serve(self, message: Tree, session: Session, ask: Ask) -> UpstreamResponse:
        """Carry out one message of a session. Raises `NotSent`, `Sent`."""
        if session.nonce in self._ended:
            return nothing(404)
        front = self._front(session)
        method, params = str(message.get("method", "")), params_of(message)
        if not method:
            self._answered(front, message)
        if not method or "id" not in message:
            return nothing(202)
        match method:
            case "ping":
                pass
            case "logging/setLevel":
                front.level = params.get("level")
            case "resources/subscribe" | "resources/unsubscribe":
                self._subscribe(front, str(params.get("uri", "")), wanted=method == "resources/subscribe")
            case _:
                return await self._request(message, session, front, ask)
        return plain(result_of(message["id"], {}))

    def listen(self, session: Session, ask: Ask) -> UpstreamResponse:
        """Return the session's GET stream, made of the server's subscriptions."""
        if session.nonce in self._ended:
            return nothing(404)
        return Spoken(messages=self._told(session, self._front(session), ask))

    def end(self, session: Session) -> UpstreamResponse:
        """End a session."""
        self._fronts.pop(session.nonce, None)
        if session.nonce in self._ended:
            return nothing(404)
        self._ended[session.nonce] = None
        while len(self._ended) > FRONTS_MAX:
            self._ended.popitem(last=False)
        return nothing(200)

    def _front(self, session: Session) -> Front:
        front = self._fronts.setdefault(session.nonce, Front())
        self._fronts.move_to_end(session.nonce)
        while len(self._fronts) > FRONTS_MAX:
            self._fronts.popitem(last=False)
        return front

    @staticmethod
    def _answered(front: Front, message: Tree) -> None:
        waiting = front.questions.pop(str(message.get("id")), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    @staticmethod
    def _subscribe(front: Front, uri: str, *, wanted: bool) -> None:
        if wanted and len(front.subscriptions) < SUBSCRIPTIONS_MAX:
            front.subscriptions.add(uri)
        else:
            front.subscriptions.discard(uri)
        front.changed.set()

    async def _request(self, message: Tree, session: Session, front: Front, ask: Ask) -> UpstreamResponse:
        asked = modern_of(message, session.opened_with, front)
        answer = await ask(asked)
        if answer.status >= _REFUSED:
            if answer.status in _PASSED_ON or answer.status >= _SERVER_FAULT:
                return answer
            content = await whole(answer)
            error: Tree = {}
            with contextlib.suppress(Sent):
                error = member(message_in(content), "error")
            error = error or {"code": INVALID_REQUEST, "message": "the server refused the request"}
            return plain({"jsonrpc": "2.0", "id": message.get("id"), "error": error})
        media = header(answer.headers, b"content-type") or b""
        if media.startswith(b"application/json"):  # as it came: some older clients hang on a stream that is cut
            kept = tuple(pair for pair in answer.headers if pair[0].startswith(b"oncegate-"))
            final = message_in(await whole(answer))
            if member(final, "result").get("resultType") != "input_required":
                return plain(_lowered(final), headers=kept)
            answer = plain(final)
        rounds = Rounds(answer, asked, front, ask)
        return Spoken(messages=rounds.messages(), ended=rounds.leave)

    async def _told(self, session: Session, front: Front, ask: Ask) -> AsyncGenerator[Tree]:
        while True:
            front.changed.clear()
            wanted: Tree = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}
            if front.subscriptions:
                wanted["resourceSubscriptions"] = sorted(front.subscriptions)
            listening: Tree = {"id": f"oncegate-{secrets.token_hex(8)}", "method": "subscriptions/listen",
                               "params": {"notifications": wanted}}  # fmt: skip
            answer = await ask(modern_of(listening, session.opened_with, front))
            stream = messages_of(answer)
            changed = asyncio.ensure_future(front.changed.wait())
            following = asyncio.ensure_future(anext(stream, None))
            try:
                while True:
                    await asyncio.wait({following, changed}, return_when=asyncio.FIRST_COMPLETED)
                    if not following.done():  # other subscriptions: listen anew
                        break
                    told = following.result()
                    if told is None or "method" not in told:
                        return
                    yield {} if told.get("method") == _ACKNOWLEDGED else _untagged(told)
                    following = asyncio.ensure_future(anext(stream, None))
            finally:
                changed.cancel()
                if not following.done():
                    following.cancel()
                    with contextlib.suppress(asyncio.CancelledError, Sent):
                        await following
                await answer.aclose()


class Rounds:
    """One request towards the server, as many rounds as it asks for, as one stream towards the client."""

    def __init__(self, answer: UpstreamResponse, asked: Tree, front: Front, ask: Ask) -> None:
        self._answer: UpstreamResponse | None = answer
        self._asked = asked
        self._front = front
        self._ask = ask

    async def messages(self) -> AsyncGenerator[Tree]:
        """Yield notifications, questions, and the response. Raises `Sent`."""
        asked = self._asked
        for _ in range(ROUNDS_MAX):
            final: Tree | None = None
            if self._answer is None:
                break
            async for message in messages_of(self._answer):
                if "method" in message:
                    yield _untagged(message)
                else:
                    final = message
                    break
            await self.leave()
            if final is None:
                raise Sent("the server ended its stream before the response")
            result = member(final, "result")
            if result.get("resultType") != "input_required":
                yield _lowered(final) | {"id": self._asked.get("id")}
                return
            questions, waiting = self._questions(result)
            for question in questions:
                yield question
            answers, error = await self._answers(waiting)
            if error is not None:  # the server has answered all that it was sent, and is asked nothing more
                yield error_of(self._asked.get("id"), UNANSWERED, f"the server's question got no answer: {error}")
                return
            # each round is a request of its own, with an id of its own (MCP 2026-07-28, SEP-2322)
            asked = self._next(asked, result, answers) | {"id": f"oncegate-{secrets.token_hex(12)}"}
            try:
                self._answer = await self._ask(asked)
            except NotSent as error:  # earlier rounds were sent
                raise Sent(str(error)) from None
        raise Sent(f"the server asked in more than {ROUNDS_MAX} rounds")

    async def leave(self) -> None:
        """End the answer that is open."""
        answer, self._answer = self._answer, None
        if answer is not None:
            await answer.aclose()

    def _questions(self, result: Tree) -> tuple[list[Tree], dict[str, tuple[str, asyncio.Future[Tree]]]]:
        questions: list[Tree] = []
        waiting: dict[str, tuple[str, asyncio.Future[Tree]]] = {}
        loop = asyncio.get_running_loop()
        for name, asked in member(result, "inputRequests").items():
            ident = f"oncegate-{secrets.token_hex(12)}"
            self._front.questions[ident] = loop.create_future()
            waiting[name] = (ident, self._front.questions[ident])
            questions.append({"jsonrpc": "2.0", "id": ident, **cast("Tree", asked)})
        return questions, waiting

    async def _answers(self, waiting: dict[str, tuple[str, asyncio.Future[Tree]]]) -> tuple[Tree, str | None]:
        """Return the client's answers, and why there are none where it refuses one. Raises `Sent`."""
        answers: Tree = {}
        try:
            async with asyncio.timeout(QUESTION_SECONDS_MAX):
                for name, (_, answer) in waiting.items():
                    said = await answer
                    if "result" not in said:
                        return {}, str(member(said, "error").get("message"))
                    answers[name] = said["result"]
        except TimeoutError:
            raise Sent("the client did not answer the server's question in time") from None
        finally:
            for ident, _ in waiting.values():
                self._front.questions.pop(ident, None)
        return answers, None

    @staticmethod
    def _next(asked: Tree, result: Tree, answers: Tree) -> Tree:
        params = params_of(asked) | {"inputResponses": answers}
        if "requestState" in result:
            params["requestState"] = result["requestState"]
        return asked | {"params": params}


def modern_of(message: Tree, opened_with: Tree, front: Front) -> Tree:
    """Return a message of the older era as the newer one writes it, with what the client said of itself."""
    params = params_of(message)
    meta = {key: value for key, value in meta_of(params).items() if key not in _ENVELOPE}
    meta |= {
        PROTOCOL_VERSION_META_KEY: LATEST_MODERN_VERSION,
        CLIENT_CAPABILITIES_META_KEY: member(opened_with, "capabilities"),
        CLIENT_INFO_META_KEY: member(opened_with, "clientInfo") or OWN_INFO,
    }
    if front.level is not None:
        meta[LOG_LEVEL_META_KEY] = front.level
    return {"jsonrpc": "2.0", **message, "params": params | {"_meta": meta}}


async def _final(answer: UpstreamResponse) -> Tree:
    try:
        async for message in messages_of(answer):
            if "method" not in message:
                return message
    finally:
        await answer.aclose()
    return {}


def _lowered(message: Tree) -> Tree:
    if "result" not in message:
        return message
    result = {key: value for key, value in member(message, "result").items() if key not in _OF_THE_NEWER}
    meta = {key: value for key, value in meta_of(result).items() if key != SERVER_INFO_META_KEY}
    result.pop("_meta", None)
    return message | {"result": result | ({"_meta": meta} if meta else {})}


def _untagged(message: Tree) -> Tree:
    params = params_of(message)
    meta = {key: value for key, value in meta_of(params).items() if key != SUBSCRIPTION_ID_META_KEY}
    params = {key: value for key, value in params.items() if key != "_meta"} | ({"_meta": meta} if meta else {})
    return message | {"params": params} if "params" in message else message
