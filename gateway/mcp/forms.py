"""Forms that servers ask people to fill in, kept until the answer: what stands for a value in it fits its field.

A question is named by what its answer will name: the request's id within its session (MCP 2025-11-25, elicitation),
or the entry of `inputRequests` and the state of its round (MCP 2026-07-28, SEP-2322). Kept in this process alone: an
answer that another instance gets, or that comes after a restart, is redacted as one to a form nobody knows.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from gateway import body
from gateway.definitions.slots import joined
from gateway.mcp.talk import member
from redaction.walk import pointer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.mcp.talk import Tree
    from gateway.mcp.turn import Turn
    from redaction.finding import Slots

#: Forms kept, and how large the schema of one may be.
FORMS_MAX: Final = 1024
FORM_BYTES_MAX: Final = 32 * 1024
_ASKS: Final = "elicitation/create"

_Name = tuple[bytes, ...]


class Forms:
    """The forms one server asked for, by who was asked."""

    def __init__(self) -> None:
        self._schemas: OrderedDict[_Name, object] = OrderedDict()

    def note(self, turn: Turn, tree: Tree) -> None:
        """Keep the forms that a message of the server asks for."""
        if tree.get("method") == _ASKS:
            self._keep(_in_session(turn, tree.get("id")), member(tree, "params"))
            return
        result = member(tree, "result")
        for key, asked in member(result, "inputRequests").items():
            question = member({"asked": asked}, "asked")
            if question.get("method") == _ASKS:
                self._keep(_in_round(turn, result.get("requestState"), key), member(question, "params"))

    def slots(self, turn: Turn) -> dict[str, object]:
        """Return the schemas of the answers in a client's message, by their JSON pointers."""
        return {place: schema for name, place in _answers(turn) if (schema := self._schemas.get(name))}

    def _keep(self, name: _Name, params: Tree) -> None:
        written = body.encode(member(params, "requestedSchema"))
        self._schemas.pop(name, None)  # an older question of the same name is asked no more
        if len(written) > FORM_BYTES_MAX:
            return
        self._schemas[name] = body.parse(written)  # its own: redaction of the question must not reach it
        while len(self._schemas) > FORMS_MAX:
            self._schemas.popitem(last=False)


def with_forms(forms: Forms, turn: Turn) -> Slots | None:
    """Return what schemas say of a client's message: the tool's of its arguments, the forms' of what was filled in."""
    schemas = forms.slots(turn)
    if turn.asked is not None:
        schemas["/params/arguments"] = turn.asked.schema
    return joined(schemas)


def _answers(turn: Turn) -> Iterator[tuple[_Name, str]]:
    message = turn.message
    if message is None:
        return
    if message.kind == "response":
        yield _in_session(turn, message.id), "/result/content"
    for key in member(message.params, "inputResponses"):
        name = _in_round(turn, message.params.get("requestState"), key)
        yield name, pointer(("params", "inputResponses", key, "content"))


def _in_session(turn: Turn, ident: object) -> _Name:
    session = turn.session
    own = "" if session is None else session.nonce or session.upstream_id
    return turn.place.encode(), own.encode(), body.encode(ident)


def _in_round(turn: Turn, state: object, key: str) -> _Name:
    # not every server gives a state: without one, the same question of the same tool is the same form
    params: Tree = {} if turn.message is None else turn.message.params
    asked = [turn.method, params.get("name"), params.get("uri")]
    return turn.place.encode(), b"", body.encode(asked), body.encode(state), key.encode("utf-8", "surrogatepass")
