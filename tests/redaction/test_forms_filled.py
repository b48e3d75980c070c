"""Forms of MCP servers, field by field: what stands for a value in an answer fits what the question asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from gateway.mcp.forms import FORM_BYTES_MAX, FORMS_MAX, Forms, with_forms
from gateway.mcp.message import Message
from gateway.mcp.sessions import Session
from gateway.mcp.shape import REQUEST_SHAPE
from gateway.mcp.turn import Turn
from redaction import redactor
from redaction.finding import Scope
from redaction.profile import Profile, Rule
from tests.redaction.detectors import PatternDetector
from tests.redaction.test_typed import CLOSED, TYPED

if TYPE_CHECKING:
    from redaction.finding import Redacted, Slots

Tree = dict[str, object]
SCOPE = Scope(id="run/r1", key=b"k" * 32)
ALL = Profile(name="all", inspects=True, default=Rule("placeholder", 0.5))


def turn(tree: Tree, *, place: str = "agent:ada", session: str = "s1") -> Turn:
    """Return the turn of a client's message, in a session of the older era."""
    kind = "request" if "method" in tree else "response"
    message = Message(
        tree=tree, kind=kind, era="legacy", method=str(tree.get("method", "")), id=tree.get("id"),
        params=cast("Tree", tree.get("params", {})),
    )  # fmt: skip
    return Turn(
        message=message, method=message.method, place=place, session=Session(upstream_id=session),
        may_list=lambda _, __: True, seal_session=str,
    )  # fmt: skip


def called(**params: object) -> Tree:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask", "arguments": {}, **params}}


def question(schema: Tree) -> Tree:
    return {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": schema}}


def asked_of(key: str, schema: Tree) -> Tree:
    mail = {"mail": {"type": "string", "format": "email"}}
    return {"type": "object", "properties": {key: schema}, "$defs": mail}


def streamed(forms: Forms, schema: Tree, ident: object = 7) -> None:
    """Have the server ask in the stream of a call (the older era)."""
    forms.note(turn(called()), {"jsonrpc": "2.0", "id": ident, **question(schema)})


def rounds(forms: Forms, schema: Tree, **state: object) -> None:
    """Have the server ask in a round (the newer era)."""
    result: Tree = {"resultType": "input_required", "inputRequests": {"a/b": question(schema)}, **state}
    forms.note(turn(called()), {"jsonrpc": "2.0", "id": 1, "result": result})


def answer(content: Tree, ident: object = 7) -> Tree:
    return {"jsonrpc": "2.0", "id": ident, "result": {"action": "accept", "content": content}}


def repeated(content: Tree, **state: object) -> Tree:
    return called(inputResponses={"a/b": {"action": "accept", "content": content}}, **state)


def redact(tree: Tree, slots: Slots | None) -> Redacted:
    planned = redactor.plan(tree, REQUEST_SHAPE, ALL, slots)
    found = dict(zip(planned.texts, PatternDetector().find(planned.texts), strict=True))
    return redactor.finish(planned, found, SCOPE)


def in_response(tree: object) -> Tree:
    return cast("Tree", cast("Tree", cast("Tree", tree)["result"])["content"])


def in_round(tree: object) -> Tree:
    params = cast("Tree", cast("Tree", tree)["params"])
    return cast("Tree", cast("Tree", cast("Tree", params["inputResponses"])["a/b"])["content"])


@pytest.mark.requirement("RED-38")
@pytest.mark.parametrize(("key", "schema", "value"), TYPED)
def test_a_value_in_a_field_of_a_form_gets_a_stand_in_that_fits_in_both_eras(
    key: str, schema: Tree, value: object
) -> None:
    forms, form = Forms(), asked_of(key, schema)
    streamed(forms, form)
    rounds(forms, form, requestState="r")
    for tree, content in (
        (answer({key: value}), in_response), (repeated({key: value}, requestState="r"), in_round),
    ):  # fmt: skip
        slots = with_forms(forms, turn(tree))
        assert slots is not None
        after = redact(tree, slots)
        place = f"/result/content/{key}" if content is in_response else f"/params/inputResponses/a~1b/content/{key}"
        slot, made = slots.at(place), content(after.tree)[key]
        assert slot is not None
        assert slot.fits(made)
        assert (made != value, type(made)) == (True, type(value))
        assert not after.blocked


@pytest.mark.requirement("RED-38")
@pytest.mark.parametrize(("key", "schema", "value", "entity"), CLOSED)
def test_where_nothing_fits_a_field_of_a_form_the_answer_is_blocked_by_entity_and_place(
    key: str, schema: Tree, value: object, entity: str
) -> None:
    forms, form = Forms(), asked_of(key, schema)
    streamed(forms, form)
    rounds(forms, form)
    later = turn(answer({key: value}))
    assert redact(answer({key: value}), with_forms(forms, later)).blocked == ((entity, f"/result/content/{key}"),)
    tree = repeated({key: value})
    place = f"/params/inputResponses/a~1b/content/{key}"
    assert redact(tree, with_forms(forms, turn(tree))).blocked == ((entity, place),)


@pytest.mark.requirement("RED-38")
def test_several_choices_are_the_servers_own_words_or_block_the_answer() -> None:
    forms = Forms()
    items: Tree = {"type": "array", "items": {"type": "string", "enum": ["read", "ada@example.com"]}}
    streamed(forms, asked_of("may", items))
    tree = answer({"may": ["read", "ada@example.com"]})
    assert redact(tree, with_forms(forms, turn(tree))).blocked == (("EMAIL", "/result/content/may/1"),)
    fine = answer({"may": ["read"]})
    assert redact(fine, with_forms(forms, turn(fine))).tree == fine


@pytest.mark.requirement("RED-38")
def test_a_form_is_that_of_its_own_question_session_principal_and_round_alone() -> None:
    forms, mail = Forms(), asked_of("to", {"type": "string", "format": "email"})
    streamed(forms, mail)
    rounds(forms, mail, requestState="r")
    told, round_of = answer({"to": "ada@example.com"}), repeated({"to": "ada@example.com"}, requestState="r")
    assert with_forms(forms, turn(told)) is not None
    assert with_forms(forms, turn(round_of)) is not None
    for stranger in (turn(told, session="s2"), turn(told, place="agent:eve"), turn(answer({}, ident="7")),
                     turn(round_of, place="agent:eve"), turn(repeated({}, requestState="q")),
                     turn(repeated({}))):  # fmt: skip
        assert with_forms(forms, stranger) is None


@pytest.mark.requirement("RED-38")
def test_the_newest_question_of_a_name_counts_and_forms_are_kept_only_so_many_and_so_large() -> None:
    forms = Forms()
    streamed(forms, asked_of("to", {"type": "string", "format": "email"}))
    streamed(forms, asked_of("to", {"type": "string"}))
    tree = answer({"to": "ada@example.com"})
    after = in_response(redact(tree, with_forms(forms, turn(tree))).tree)
    assert str(after["to"]).startswith("EMAIL_")
    streamed(forms, {**asked_of("to", {"type": "string"}), "description": "x" * FORM_BYTES_MAX})
    assert with_forms(forms, turn(tree)) is None
    for ident in range(FORMS_MAX + 1):
        streamed(forms, asked_of("to", {"type": "string"}), ident)
    assert with_forms(forms, turn(answer({}, ident=0))) is None
    assert with_forms(forms, turn(answer({}, ident=FORMS_MAX))) is not None


@pytest.mark.requirement("RED-38")
def test_an_answer_to_a_form_nobody_knows_gets_placeholders_and_what_is_no_form_is_let_be() -> None:
    forms = Forms()
    tree = answer({"to": "ada@example.com"})
    assert str(in_response(redact(tree, with_forms(forms, turn(tree))).tree)["to"]).startswith("EMAIL_")
    for odd in ({"id": 7, "method": "elicitation/create"}, {"id": 7, "result": {"inputRequests": {"a/b": 3}}},
                {"id": 7, "method": "elicitation/create", "params": {"requestedSchema": ["no schema"]}},
                {"id": 7, "result": {"inputRequests": {"a/b": {"method": "roots/list"}}}}):  # fmt: skip
        forms.note(turn(called()), cast("Tree", odd))
    assert with_forms(forms, turn(tree)) is None
    assert with_forms(forms, turn(repeated({"to": "x"}))) is None
