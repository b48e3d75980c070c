"""MCP servers one to one at `/mcp/{server}`: messages are relayed, not re-made (MCP 2025-11-25 and 2026-07-28).

Whatever both ends agree on passes, known to us or not, as far as policy allows its method. Headers that
mirror the body are written anew from the body that is sent; the caller's credential never travels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol, cast

from durable.step import Outcome, Owner
from gateway import body, refusals
from gateway.call import Call, Refusal, Reply, UpstreamRequest, header
from gateway.mcp.forms import Forms, answers, with_forms
from gateway.mcp.guard import Guard
from gateway.mcp.keys import canonical_params, explicit_key, with_key
from gateway.mcp.link import Link
from gateway.mcp.message import (
    INVALID_PARAMS,
    Unanswerable,
    demand_single,
    item_subject,
    shown_name,
    subjects_of,
)
from gateway.mcp.mirror import mirrored_headers
from gateway.mcp.parameters import mirrorable
from gateway.mcp.received import received
from gateway.mcp.sessions import Session, place_of
from gateway.mcp.shape import REQUEST_SHAPE
from gateway.mcp.turn import Turn
from gateway.mcp.unanswered import Unanswered
from gateway.mcp.waiting import may_wait, waiting_result, without_wait
from gateway.model_request import forwarded
from gateway.owners import owner_user
from gateway.protocols.mcp_answer import McpReader
from gateway.protocols.mcp_form import challenge, enveloped, error, error_object, json_reply, shown, typed
from gateway.sse import event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durable.step import Effect, Repeat
    from gateway.call import Exchange, Headers, ToolUse, Upstream
    from gateway.definitions.book import Book
    from gateway.mcp.forms import Store
    from gateway.mcp.message import Message
    from gateway.mcp.sessions import Sessions
    from gateway.mcp.target import ServerTarget
    from policy.decision import Principal

CALL_META: Final = "dev.oncegate/call"

#: Of a tool call; vendors' own `_meta` counts in the fingerprint, but is nothing an agent decides.
_UNHASHED: Final = frozenset({("jsonrpc",), ("id",), ("params", "_meta")})
_FORWARDED: Final = frozenset({b"accept", b"mcp-protocol-version"})
#: A server's own word, which it has to find again.
_FOUND_AGAIN: Final = frozenset({b"last-event-id"})
_GET_SECONDS_MAX: Final = 24 * 3600.0


class MayUse(Protocol):
    """Asks policy about an item of a listing, a condition counting as maybe."""

    def __call__(self, principal: Principal, resource: str, domain: str, action: str) -> bool:
        """Return whether using it is not certainly denied."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Aim:
    target: ServerTarget
    turn: Turn


class McpAdapter:
    """MCP over Streamable HTTP towards agents; one instance serves all configured servers."""

    name: str = "mcp"

    def __init__(
        self,
        servers: Mapping[str, ServerTarget],
        sessions: Sessions,
        may_use: MayUse,
        book: Book,
        *,
        depth_max: int,
        shown_key: bytes = b"",
        store: Store | None = None,
    ) -> None:
        self._servers = servers
        self._links = {name: Link(target.config, target.upstream) for name, target in servers.items()}
        self._guards = {name: Guard(link, book, servers[name].config) for name, link in self._links.items()}
        self._forms = {name: Forms(name, store) for name in servers}
        self._unanswered = Unanswered()
        self._sessions = sessions
        self._may_use = may_use
        self._depth_max = depth_max
        self._shown_key = shown_key

    def read(self, exchange: Exchange) -> Call:
        """Return the call in `exchange`. Raises `Refusal`, `Unanswerable`."""
        target = self._server(exchange.path)
        demand_single(exchange.headers)
        session = self._session(exchange, target)
        if exchange.method != "POST":
            return self._connection_call(exchange, target, session)
        return self.call_of(exchange, target.name, received(exchange, depth_max=self._depth_max), session=session)

    def call_of(
        self, exchange: Exchange, server: str, message: Message, *, session: Session | None = None,
        joined: bool = False, bridged: bool = False,
    ) -> Call:  # fmt: skip
        """Return `message` to `server` as a call; the same one whichever endpoint it came to. Raises `Unanswerable`.

        `joined` and `bridged` tell whether it came to the joined endpoint, and from a client of the older era.
        """
        target, message = self._servers[server], without_wait(message)
        resource, action, also = subjects_of(target.name, message)
        aim = _Aim(target=target, turn=self._turn(exchange, target, session, message))
        aim.turn.joined, aim.turn.bridged = joined, bridged
        listens = message.method == "subscriptions/listen"
        admit = self._guards[server].admission(aim.turn, lambda: target.proof(exchange))
        if answers(aim.turn):
            admit = self._forms[server].recalling(aim.turn, admit)
        if message.kind == "request" and message.method == "tools/call":
            return replace(self._tool_call(exchange, aim, message, resource), admit=admit)
        return Call(
            exchange=exchange, adapter=self, target=aim, endpoint="mcp", resource=resource,
            resource_domain=target.config.domain, action=action, also=also, kind="other", effect="safe",
            tree=message.tree, arguments=message.params, arguments_path=("params",), shape=REQUEST_SHAPE,
            canonical=b"", journaled=False, cancel_on_disconnect=True, facts={"mcp.method.name": message.method},
            seconds_max=_GET_SECONDS_MAX if listens else target.timeout(resource, None), listens=listens,
            shown=shown_name(resource, self._shown_key), fresh=_afresh, admit=admit,
            expects=message.kind == "request", slots=lambda: with_forms(self._forms[server], aim.turn),
        )  # fmt: skip

    def upstream(self, call: Call) -> Upstream:
        """Return the way to the server."""
        aim = _aim(call)
        return self._guards[aim.target.name].upstream(aim.turn)

    def request(self, call: Call, tree: object, *, upstream_key: str | None) -> UpstreamRequest:
        """Return what is sent: the message, its mirrored headers made anew, the gateway's credential."""
        aim = _aim(call)
        headers = [pair for pair in call.exchange.headers if pair[0] in _FOUND_AGAIN]
        headers += forwarded(call.exchange, _FORWARDED)
        if aim.turn.session is not None and not aim.turn.session.nonce:
            session_id = self._links[aim.target.name].renewals.current(aim.turn.session)
            headers.append((b"mcp-session-id", session_id.encode("latin-1")))
        authorize = aim.target.authorizing and aim.target.authorizing(call.exchange)
        headers += aim.target.fixed_headers(call.exchange.principal)
        if call.exchange.method != "POST":
            return UpstreamRequest(
                method=call.exchange.method, path="", headers=tuple(headers), body=b"", authorize=authorize
            )
        sent = cast("dict[str, object]", tree)
        if answers(aim.turn):
            sent = self._forms[aim.target.name].put_back(aim.turn, sent)
        sent = with_key(sent, upstream_key, aim.target.tool(call.tool_name))
        aim.turn.sent = sent
        message = aim.turn.message
        if message is not None and message.era == "modern":
            headers += mirrored_headers(message.params, sent, call.exchange.headers)
        headers.append((b"content-type", b"application/json"))
        content = call.exchange.body if sent is call.tree else body.encode(sent)
        return UpstreamRequest(method="POST", path="", headers=tuple(headers), body=content, authorize=authorize)

    def reader(self, call: Call) -> McpReader:
        """Return a reader for the server's answer."""
        return McpReader(_aim(call).turn)

    def head(self, call: Call, extra: Headers) -> tuple[int, Headers]:
        """Return status and headers of a stream of messages."""
        headers = [
            (b"content-type", b"text/event-stream"),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
        ]
        return 200, (*headers, *_answer_headers(call), *extra)

    def present(self, call: Call, outcome: Outcome, body: bytes, extra: Headers) -> Reply:
        """Return an outcome under this request's own id, as one JSON message."""
        message = _aim(call).turn.message
        headers = (*_answer_headers(call), *extra)
        if outcome.form in {"result", "error"} and message is not None:
            if outcome.form == "result" and message.era == "modern" and b'"resultType"' not in body:
                body = typed(body)  # of an operator, or of a server of the older era
            return json_reply(outcome.status, enveloped(message.id, outcome.form, body), headers)
        if not body:
            return Reply(status=outcome.status, headers=headers, body=b"")
        return Reply(status=outcome.status, headers=((b"content-type", outcome.media.encode()), *headers), body=body)

    def refuse(self, refusal: Refusal, call: Call | None, extra: Headers) -> Reply:
        """Say a refusal: a tool result the model can read, else a JSON-RPC error."""
        message = None if call is None else _aim(call).turn.message
        if call is not None and refusal.code == "blocked" and answers(_aim(call).turn):
            self._end_question(refusal, call)
        if call is None or message is None or message.kind != "request":
            headers = (*extra, *challenge(refusal))
            return json_reply(refusal.status, error(None, refusal), headers)
        outcome = self.refusal_outcome(refusal, call)
        return json_reply(200, enveloped(message.id, outcome.form, outcome.body), (*_answer_headers(call), *extra))

    def refusal_outcome(self, refusal: Refusal, call: Call) -> Outcome:
        """Return a refusal as an outcome: `isError` for a tool call, a JSON-RPC error for other requests."""
        if refusal.code == "approval_pending" and (asked := _aim(call).turn.message) is not None and may_wait(asked):
            return Outcome(form="result", status=200, media="application/json", body=body.encode(waiting_result()))
        if call.kind == "tool":
            result: dict[str, object] = {
                "content": [{"type": "text", "text": f"oncegate: {refusal.message}"}],
                "isError": True,
                "_meta": {CALL_META: shown(refusal)},
            }
            message = _aim(call).turn.message
            if message is not None and message.era == "modern":
                result["resultType"] = "complete"
            return Outcome(form="result", status=200, media="application/json", body=body.encode(result))
        return Outcome(form="error", status=200, media="application/json", body=body.encode(error_object(refusal)))

    def refusal_frame(self, refusal: Refusal, call: Call) -> bytes:
        """Say a refusal as the response that ends a stream."""
        message = _aim(call).turn.message
        if message is None or message.kind != "request":
            return b""
        outcome = self.refusal_outcome(refusal, call)
        return event(enveloped(message.id, outcome.form, outcome.body), name="message")

    def results_shown(self, tree: object) -> list[ToolUse]:
        """Return nothing: tools are called here, models speak elsewhere."""
        del tree
        return []

    def tools_asked(self, outcome: Outcome) -> list[ToolUse]:
        """Return nothing: tools are called here, models speak elsewhere."""
        del outcome
        return []

    def may_list(self, principal: Principal, server: str) -> bool:
        """Return whether a principal may know of a server at all."""
        return self._may_use(principal, subject_root(server), self._servers[server].config.domain, "list")

    def may_read(self, principal: Principal, server: str, uri: str) -> bool:
        """Return whether reading a server's resource is not certainly denied."""
        subject = item_subject(server, "resources/list", {"uri": uri})
        return subject is not None and self._may_use(principal, subject[0], self._servers[server].config.domain, "read")

    async def aclose(self) -> None:
        """End what waits and what is held with servers."""
        await self._unanswered.aclose()
        for forms in self._forms.values():
            await forms.aclose()
        for guard in self._guards.values():
            await guard.aclose()
        for link in self._links.values():
            await link.aclose()

    def unanswerable(self, error: Unanswerable, extra: Headers) -> Reply:
        """Say that a message was refused before anything was asked."""
        shown: dict[str, object] = {"code": error.code, "message": str(error)}
        if error.data is not None:
            shown["data"] = error.data
        return json_reply(error.status, body.encode({"jsonrpc": "2.0", "id": error.ident, "error": shown}), extra)

    def _server(self, path: str) -> ServerTarget:
        target = self._servers.get(path.removeprefix("/mcp/").rstrip("/"))
        if target is None:
            raise Refusal(code="not_found", message="no such server is configured here", status=404)
        return target

    def _session(self, exchange: Exchange, target: ServerTarget) -> Session | None:
        shown = header(exchange.headers, b"mcp-session-id")
        if shown is None:
            return None
        session = self._sessions.unwrap(shown.decode("latin-1"), target.name, exchange.principal)
        if session is None:
            raise Refusal(code="not_found", message="there is no such session; initialize a new one", status=404)
        return session

    def _turn(self, exchange: Exchange, target: ServerTarget, session: Session | None, message: Message | None) -> Turn:
        principal, name, domain = exchange.principal, target.name, target.config.domain
        trusted = target.config.trust_annotations

        def may_list(method: str, item: dict[str, object]) -> bool:
            if trusted and method == "tools/list":
                target.note_annotations(item)
            # towards such a server the gateway is the client: its own client cannot know of the marks
            usable = method != "tools/list" or not turn.makes_mirrors or mirrorable(item)
            subject = item_subject(name, method, item)
            return usable and subject is not None and self._may_use(principal, subject[0], domain, subject[1])

        def seal_session(upstream_id: str) -> str:
            opened_with = message.params if message is not None and message.method == "initialize" else {}
            return self._sessions.wrap(Session(upstream_id=upstream_id, opened_with=opened_with), name, principal)

        def seal_held(nonce: str) -> str:
            session = Session(upstream_id="", opened_with=message.params if message is not None else {}, nonce=nonce)
            return self._sessions.wrap(session, name, principal)

        turn = Turn(
            message=message, method=message.method if message else exchange.method, place=place_of(principal),
            session=session, may_list=may_list, seal_session=seal_session, seal_held=seal_held,
            shown=self._forms[name].note, run=None if exchange.run is None else exchange.run.id,
            owner=Owner(principal.domain, principal.agent, owner_user(principal)),
        )  # fmt: skip
        return turn

    def _end_question(self, refusal: Refusal, call: Call) -> None:
        """Tell a server that waits for an answer that it was blocked."""
        fresh = _afresh(call)
        if fresh is None:
            return
        turn, error = _aim(fresh).turn, error_object(refusal)
        del error["data"]  # is for the agent
        tree = {"jsonrpc": "2.0", "id": None if turn.message is None else turn.message.id, "error": error}
        link = self._links[_aim(call).target.name]
        self._unanswered.end(link, turn, error, lambda: self.request(fresh, tree, upstream_key=None))

    def _connection_call(self, exchange: Exchange, target: ServerTarget, session: Session | None) -> Call:
        """Return GET (the older era's stream) or DELETE (the end of its session) as a call."""
        if exchange.method not in {"GET", "DELETE"}:
            raise refusals.wrong_method("POST, GET, DELETE", "use POST, GET or DELETE")
        tree: dict[str, object] = {}
        return Call(
            exchange=exchange, adapter=self,
            target=_Aim(target=target, turn=self._turn(exchange, target, session, None)), endpoint="mcp",
            resource=subject_root(target.name), resource_domain=target.config.domain, action="list", kind="other",
            effect="safe", tree=tree, arguments=None, shape=REQUEST_SHAPE, canonical=b"", journaled=False,
            cancel_on_disconnect=True, stream=exchange.method == "GET", listens=exchange.method == "GET",
            facts={"mcp.method.name": exchange.method}, seconds_max=_GET_SECONDS_MAX,
        )  # fmt: skip

    def _tool_call(self, exchange: Exchange, aim: _Aim, message: Message, resource: str) -> Call:
        name = cast("str", message.params["name"])
        arguments = message.params.get("arguments", {})
        if not isinstance(arguments, dict):
            raise Unanswerable(INVALID_PARAMS, "`arguments` must be an object", ident=message.id)
        tool = aim.target.tool(name)
        effect: Effect = tool.effect if tool is not None else aim.target.annotated.get(name, "once")
        repeat: Repeat = tool.repeat if tool is not None else "once_per_arguments"
        return Call(
            exchange=exchange, adapter=self, target=aim, endpoint="mcp", resource=resource,
            resource_domain=aim.target.config.domain, action="call", kind="tool", effect=effect, repeat=repeat,
            key_seconds=None if tool is None else tool.key_seconds,
            tree=message.tree, arguments=cast("dict[str, object]", arguments), arguments_path=("params", "arguments"),
            tool_name=name, shape=REQUEST_SHAPE, canonical=canonical_params(message),
            key=explicit_key(exchange.headers, message),
            cancel_on_disconnect=tool is not None and tool.on_disconnect == "cancel",
            unhashed=_UNHASHED,
            facts={"mcp.method.name": message.method, "gen_ai.tool.name": name,
                   "gen_ai.operation.name": "execute_tool"},
            seconds_max=aim.target.timeout(resource, tool), fresh=_afresh,
            slots=lambda: with_forms(self._forms[aim.target.name], aim.turn),
        )  # fmt: skip


def subject_root(server: str) -> str:
    """Return the resource that stands for a server as a whole."""
    return f"mcp/{server}"


def _aim(call: Call) -> _Aim:
    return cast("_Aim", call.target)


def _afresh(call: Call) -> Call | None:
    turn = _aim(call).turn.afresh()
    return turn and replace(call, target=replace(_aim(call), turn=turn))


def _answer_headers(call: Call) -> Headers:
    return tuple((key.encode(), value.encode("latin-1")) for key, value in _aim(call).turn.answer_headers.items())
