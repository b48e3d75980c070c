"""Forms that servers ask people to fill in, kept until the answer: what stands for a value in it fits its field.

The tools a server offers a client's model (sampling, SEP-1577) are forms as well: the model fills in their arguments.

A question is named by what its answer will name: the request's id within its session (MCP 2025-11-25, elicitation),
or the entry of `inputRequests` and the state of its round (MCP 2026-07-28, SEP-2322). It is written to the store
before it is shown, under a name that only this principal's calls (of this run) can make, and read there where an
answer comes to a process that has not seen the question. An answer to a form nobody knows passes as far as nothing
in it is found.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol, cast

from durable.journal import JournalError
from durable.seal import Unsealable
from gateway import body
from gateway.definitions.slots import JoinedSlots, SchemaSlots, UnknownSlots
from gateway.mcp.talk import member
from redaction.walk import pointer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from durable.journal import RunKeys
    from durable.step import Owner
    from gateway.mcp.talk import Tree
    from gateway.mcp.turn import Turn
    from redaction.finding import Slots

    #: takes a message as it goes on to the client; is to be awaited before it does
    Told = Callable[[object], Awaitable[None]]

_log = logging.getLogger("oncegate.forms")

#: Forms a process remembers of a server, and how large the schema of one may be.
FORMS_MAX: Final = 1024
FORM_BYTES_MAX: Final = 32 * 1024
#: Forms one message may answer that have to be read in the store.
READS_MAX: Final = 16
#: How long the store may take with a form: the question is not lost for it.
STORE_SECONDS_MAX: Final = 2.0
_ASKS: Final = "elicitation/create"
_ASKS_MODEL: Final = "sampling/createMessage"

_Name = tuple[bytes, ...]


class Store(Protocol):
    """What forms need of a store."""

    async def run_keys(self, owner: Owner, run: str | None) -> RunKeys:
        """Return the secret keys of a run, or of an owner without one."""
        ...

    async def keep_form(self, server: str, name: str, content: bytes) -> None:
        """Write a form, in the place of an older one of its name."""
        ...

    async def read_form(self, name: str) -> bytes | None:
        """Return a form, `None` when there is none of the name."""
        ...


@dataclass(frozen=True, slots=True)
class Form:
    """A form: its schema, `None` where it was too large, and by field what was offered for what was shown.

    Of a question to a model `tools` are the schemas of the arguments, by the tools' names.
    """

    schema: object
    offered: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, "Mapping[str, str]"])
    tools: Mapping[str, object] = field(default_factory=dict[str, object])

    def written(self) -> bytes:
        """Return what is kept of it."""
        return body.encode({"schema": self.schema, "offered": self.offered, "tools": self.tools})

    @classmethod
    def read(cls, content: bytes) -> Form:
        """Return what was kept."""
        kept = cast("Tree", body.parse(content))
        return cls(kept["schema"], cast("Mapping[str, Mapping[str, str]]", kept["offered"]), member(kept, "tools"))


class Forms:
    """The forms one server asked for, by who was asked; without a store they are known in this process alone."""

    def __init__(self, server: str = "", store: Store | None = None) -> None:
        self._server = server
        self._store = store
        self._forms: OrderedDict[_Name, Form] = OrderedDict()
        self._writing: set[asyncio.Task[None]] = set()

    def note(self, turn: Turn, tree: Tree) -> Told | None:
        """Keep the forms that a message of the server asks for; returns what is to be told how they are shown."""
        asked = [(name, _form_of(params)) for name, params in _asked(turn, tree)]
        for name, form in asked:
            self._put(name, form)
        if not asked:
            return None

        def told(shown: object) -> Awaitable[None]:
            forms: dict[_Name, Form] = {}
            for (name, form), (_, params) in zip(asked, _asked(turn, cast("Tree", shown)), strict=True):
                offered = _offered(form.schema, member(params, "requestedSchema"))
                forms[name] = replace(form, offered=offered)
                self._put(name, forms[name])
            writing = asyncio.create_task(self._write(turn, forms))
            self._writing.add(writing)
            writing.add_done_callback(self._writing.discard)
            return asyncio.shield(writing)  # written even when the call is cancelled meanwhile

        return told

    def recalling(self, turn: Turn, admit: Callable[[], Awaitable[None]] | None) -> Callable[[], Awaitable[None]]:
        """Return what is asked before a client's message goes: what `admit` asks, and then what it answers."""

        async def admitted() -> None:
            if admit is not None:
                await admit()
            await self.recall(turn)

        return admitted

    async def recall(self, turn: Turn) -> None:
        """Learn the forms that a client's message answers and this process has not seen."""
        answered = [name for name, _, filled in _answers(turn) if filled is not None]
        answered += dict.fromkeys(name for name, _, _, _ in _used(turn))
        unseen = [name for name in answered if name not in self._forms]
        for name in unseen[:READS_MAX]:
            if (content := await self._read(turn, name)) is not None and name not in self._forms:
                self._put(name, Form.read(content))

    def slots(self, turn: Turn) -> list[Slots]:
        """Return what is known of the answers in a client's message."""
        found: list[Slots] = []
        for name, path, filled in _answers(turn):
            form, place = self._forms.get(name), pointer(path)
            if form is not None and form.schema is not None:
                found.append(SchemaSlots(form.schema, place))
            elif filled is not None:
                found.append(UnknownSlots(filled, place))
        for name, path, tool, given in _used(turn):
            form, place = self._forms.get(name), pointer(path)
            schema = None if form is None else form.tools.get(tool)
            found.append(UnknownSlots(given, place) if schema is None else SchemaSlots(schema, place))
        return found

    def put_back(self, turn: Turn, tree: Tree) -> Tree:
        """Return a client's message with what the server offered for what was chosen of what was shown for it.

        The server has said it itself; so it learns nothing but the choice.
        """
        for name, path, filled in _answers(turn):
            form = self._forms.get(name)
            if form is None or filled is None:
                continue
            chosen = {
                key: _chosen(filled[key], offered) for key, offered in form.offered.items() if key in filled
            }  # fmt: skip
            if any(chosen[key] != filled[key] for key in chosen):
                tree = _with(tree, path, chosen)
        return tree

    async def aclose(self) -> None:
        """Wait for what is being written; that is bounded."""
        await asyncio.gather(*self._writing)

    def _put(self, name: _Name, form: Form) -> None:
        self._forms.pop(name, None)  # an older question of the same name is asked no more
        self._forms[name] = form
        while len(self._forms) > FORMS_MAX:
            self._forms.popitem(last=False)

    async def _write(self, turn: Turn, forms: Mapping[_Name, Form]) -> None:
        if self._store is None or turn.owner is None:
            return
        try:
            async with asyncio.timeout(STORE_SECONDS_MAX):
                key = (await self._store.run_keys(turn.owner, turn.run)).fingerprint
                for name, form in forms.items():
                    await self._store.keep_form(self._server, self._kept_as(key, name), form.written())
        except (JournalError, Unsealable, LookupError, TimeoutError) as error:
            _log.warning("a form of `%s` is known in this process alone: %s", self._server, error or "no answer")

    async def _read(self, turn: Turn, name: _Name) -> bytes | None:
        if self._store is None or turn.owner is None:
            return None
        try:
            async with asyncio.timeout(STORE_SECONDS_MAX):
                key = (await self._store.run_keys(turn.owner, turn.run)).fingerprint
                return await self._store.read_form(self._kept_as(key, name))
        except (JournalError, Unsealable, LookupError, TimeoutError) as error:
            _log.warning("a form of `%s` could not be read: %s", self._server, error or "no answer")
            return None

    def _kept_as(self, key: bytes, name: _Name) -> str:
        parts = [self._server, *(part.hex() for part in name)]
        return hmac.digest(key, b"form/" + body.canonical(parts), "sha256").hex()


def answers(turn: Turn) -> bool:
    """Return whether a client's message may answer a form."""
    message = turn.message
    return message is not None and (message.kind == "response" or "inputResponses" in message.params)


def with_forms(forms: Forms, turn: Turn) -> Slots | None:
    """Return what schemas say of a client's message: the tool's of its arguments, the forms' of what was filled in."""
    known = forms.slots(turn) if answers(turn) else []
    if turn.asked is not None:
        known.append(SchemaSlots(turn.asked.schema, "/params/arguments"))
    return JoinedSlots(tuple(known)) if known else None


def _asked(turn: Turn, tree: Tree) -> Iterator[tuple[_Name, Tree]]:
    """Yield name and params of each form that a message of the server asks for."""
    if _is_form(tree):
        yield _in_session(turn, tree.get("id")), member(tree, "params")
        return
    result = member(tree, "result")
    for key, asked in member(result, "inputRequests").items():
        question = member({"asked": asked}, "asked")
        if _is_form(question):
            yield _in_round(turn, result.get("requestState"), key), member(question, "params")


def _is_form(question: Tree) -> bool:
    method = question.get("method")
    return method == _ASKS or (method == _ASKS_MODEL and isinstance(member(question, "params").get("tools"), list))


def _answers(turn: Turn) -> Iterator[tuple[_Name, tuple[str, ...], Tree | None]]:
    """Yield name and place of what a client's message may fill in, and the content where it is that of a form."""
    message = turn.message
    if message is None:
        return
    if message.kind == "response":
        yield _in_session(turn, message.id), ("result", "content"), _filled(message.tree.get("result"))
    given = member(message.params, "inputResponses")
    for key, answer in given.items():
        name = _in_round(turn, message.params.get("requestState"), key)
        yield name, ("params", "inputResponses", key, "content"), _filled(answer)


def _used(turn: Turn) -> Iterator[tuple[_Name, tuple[str | int, ...], str, object]]:
    """Yield the tools that a client's model wants to use: name of the question, place and tool and the arguments."""
    message = turn.message
    if message is None:
        return
    answered: list[tuple[_Name, tuple[str, ...], Tree]] = []
    if message.kind == "response":
        answered.append((_in_session(turn, message.id), ("result",), message.tree))
    given = member(message.params, "inputResponses")
    for key in given:
        name = _in_round(turn, message.params.get("requestState"), key)
        answered.append((name, ("params", "inputResponses", key), given))
    for name, path, answers in answered:
        content = member(answers, path[-1]).get("content")
        several = isinstance(content, list)
        for index, block in enumerate(cast("list[object]", content) if isinstance(content, list) else [content]):
            said = member({"block": block}, "block")
            if said.get("type") == "tool_use" and "input" in said:
                place = (*path, "content", *((index,) if several else ()), "input")
                yield name, place, str(said.get("name")), said["input"]


def _filled(answer: object) -> Tree | None:
    # a model's answer (sampling) has a content too, but no action
    said = member({"answer": answer}, "answer")
    return member(said, "content") if isinstance(said.get("action"), str) and said.get("content") else None


def _in_session(turn: Turn, ident: object) -> _Name:
    session = turn.session
    own = "" if session is None else session.nonce or session.upstream_id
    return turn.place.encode(), (turn.run or "").encode(), own.encode(), body.encode(ident)


def _in_round(turn: Turn, state: object, key: str) -> _Name:
    # not every server gives a state: without one, the same question of the same tool is the same form
    params: Tree = {} if turn.message is None else turn.message.params
    asked = [turn.method, params.get("name"), params.get("uri")]
    of = (turn.place.encode(), (turn.run or "").encode(), b"")
    return *of, body.encode(asked), body.encode(state), key.encode("utf-8", "surrogatepass")


def _form_of(params: Tree) -> Form:
    """Return a form, its own: redaction of the question must not reach it. Without a schema it is too large."""
    offered = [member({"tool": tool}, "tool") for tool in _listed(params.get("tools"))]
    tools = {str(tool.get("name")): member(tool, "inputSchema") for tool in offered}
    written = body.encode({"schema": member(params, "requestedSchema"), "tools": tools})
    if len(written) > FORM_BYTES_MAX:
        return Form(None)
    kept = cast("Tree", body.parse(written))
    return Form(kept["schema"], tools=member(kept, "tools"))


def _offered(schema: object, shown: Tree) -> dict[str, dict[str, str]]:
    """Return by field what a choice stands for that is shown otherwise than it was offered."""
    found: dict[str, dict[str, str]] = {}
    asked = member({"schema": schema}, "schema")
    for key in member(asked, "properties"):
        offered, seen = _choices(member(asked, "properties"), key), _choices(member(shown, "properties"), key)
        if len(offered) != len(seen) or offered == seen:
            continue
        meant: dict[str, set[str]] = {}
        for one, other in zip(seen, offered, strict=True):
            meant.setdefault(one, set()).add(other)
        # two that are shown alike (masked, dropped) say no more which of them was chosen
        found[key] = {one: others.pop() for one, others in meant.items() if len(others) == 1 and one not in others}
    return found


def _choices(properties: Tree, key: str) -> list[str]:
    """Return the values that a field names: its choices, one or several of which are chosen, and its default."""
    one = member(properties, key)
    named = [one.get("default")]
    for schema in (one, member(one, "items")):
        titled = [schema.get(keyword) for keyword in ("oneOf", "anyOf")]
        named += [member({"one": each}, "one").get("const") for each in (*_listed(titled[0]), *_listed(titled[1]))]
        named += _listed(schema.get("enum"))
    return [str(value) if isinstance(value, str) else "" for value in named]


def _chosen(value: object, offered: Mapping[str, str]) -> object:
    if isinstance(value, list):
        return [_chosen(one, offered) for one in cast("list[object]", value)]
    return offered.get(value, value) if isinstance(value, str) else value


def _with(tree: Tree, path: tuple[str, ...], chosen: Tree) -> Tree:
    """Return a tree with other values of the members that the object at a path has."""
    if not path:
        return tree | {key: value for key, value in chosen.items() if key in tree}
    below = tree.get(path[0])
    return tree | {path[0]: _with(cast("Tree", below), path[1:], chosen)} if isinstance(below, dict) else tree


def _listed(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []
