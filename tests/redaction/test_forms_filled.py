"""Forms of MCP servers, field by field: what stands for a value in an answer fits what the question asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from gateway.definitions.slots import SchemaSlots, advice
from gateway.mcp.forms import FORM_BYTES_MAX, FORMS_MAX, Forms, with_forms
from gateway.mcp.message import Message
from gateway.mcp.sessions import Session
from gateway.mcp.shape import REQUEST_SHAPE
from gateway.mcp.turn import Turn
from redaction import redactor
from redaction.finding import Scope
from redaction.profile import Profile, Rule
from tests.durable.steps import OWNER
from tests.redaction.detectors import PatternDetector
from tests.redaction.test_typed import CLOSED, TYPED

if TYPE_CHECKING:
    from redaction.finding import Redacted, Slots

Tree = dict[str, object]
SCOPE = Scope(id="run/r1", key=b"k" * 32)
ALL = Profile(name="all", inspects=True, default=Rule("placeholder", 0.5))


def turn(tree: Tree, *, place: str = "agent:ada", session: str = "s1", run: str = "r1") -> Turn:
    """Return the turn of a client's message, in a session of the older era."""
    kind = "request" if "method" in tree else "response"
    message = Message(
        tree=tree, kind=kind, era="legacy", method=str(tree.get("method", "")), id=tree.get("id"),
        params=cast("Tree", tree.get("params", {})),
    )  # fmt: skip
    return Turn(
        message=message, method=message.method, place=place, session=Session(upstream_id=session),
        run=run, owner=OWNER, may_list=lambda _, __: True, seal_session=str,
    )  # fmt: skip


def knows(forms: Forms, asking: Turn) -> bool:
    """Return whether the form is known that a message answers."""
    return bool(found := forms.slots(asking)) and all(isinstance(one, SchemaSlots) for one in found)


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


def to_model(*tools: tuple[str, Tree]) -> Tree:
    """Return a question to a client's model that offers it tools."""
    offered = [{"name": name, "inputSchema": schema} for name, schema in tools]
    return {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 9, "tools": offered}}


def used(*uses: tuple[str, Tree]) -> Tree:
    """Return a model's answer that uses tools, besides a text."""
    blocks = [{"type": "tool_use", "id": "t", "name": name, "input": given} for name, given in uses]
    return {"role": "assistant", "model": "m", "content": [{"type": "text", "text": "well"}, *blocks]}


@pytest.mark.requirement("RED-55")
@pytest.mark.parametrize(("key", "schema", "value"), TYPED)
def test_what_a_clients_model_fills_into_a_servers_tool_fits_the_tool_in_both_eras(
    key: str, schema: Tree, value: object
) -> None:
    forms, model = Forms(), to_model(("other", asked_of(key, {"type": "null"})), ("mail", asked_of(key, schema)))
    forms.note(turn(called()), {"jsonrpc": "2.0", "id": 7, **model})
    result: Tree = {"resultType": "input_required", "inputRequests": {"a/b": model}, "requestState": "r"}
    forms.note(turn(called()), {"jsonrpc": "2.0", "id": 1, "result": result})
    said = used(("mail", {key: value}))
    streamed_answer: Tree = {"jsonrpc": "2.0", "id": 7, "result": said}
    for tree, place in (
        (streamed_answer, "/result/content/1/input"),
        (called(inputResponses={"a/b": said}, requestState="r"), "/params/inputResponses/a~1b/content/1/input"),
    ):
        slots = with_forms(forms, turn(tree))
        assert slots is not None
        after = redact(tree, slots)
        slot, made = slots.at(f"{place}/{key}"), value_at(after.tree, f"{place}/{key}")
        assert slot is not None
        assert slot.fits(made)
        assert (made != value, type(made)) == (True, type(value))
        assert not after.blocked


@pytest.mark.requirement("RED-55")
def test_what_a_model_fills_into_a_tool_that_nobody_knows_is_blocked_where_something_is_found() -> None:
    forms = Forms()
    forms.note(turn(called()), {"jsonrpc": "2.0", "id": 7, **to_model(("mail", asked_of("to", {"type": "string"})))})
    many = to_model(("large", {"description": "x" * FORM_BYTES_MAX}))
    forms.note(turn(called()), {"jsonrpc": "2.0", "id": 8, **many})
    for ident, name in ((7, "unknown"), (8, "large"), (9, "never asked")):
        one: Tree = {"jsonrpc": "2.0", "id": ident, "result": used((name, {"to": "ada@example.com"}), ("mail", {}))}
        assert redact(one, with_forms(forms, turn(one))).blocked == (("EMAIL", "/result/content/1/input/to"),)
        plain: Tree = {"jsonrpc": "2.0", "id": ident, "result": used((name, {"to": "everybody"}))}
        assert redact(plain, with_forms(forms, turn(plain))).tree == plain
    alone: Tree = {"jsonrpc": "2.0", "id": 7, "result": used(("mail", {"to": "ada@example.com"}))}
    cast("Tree", alone["result"])["content"] = cast("list[Tree]", cast("Tree", alone["result"])["content"])[1]
    after = redact(alone, with_forms(forms, turn(alone)))
    assert (after.blocked, value_at(after.tree, "/result/content/input/to") != "ada@example.com") == ((), True)


def value_at(tree: object, pointer: str) -> object:
    """Return what stands at a JSON pointer."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        tree = cast("list[object]", tree)[int(name)] if isinstance(tree, list) else cast("Tree", tree)[name]
    return tree


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
    assert knows(forms, turn(told))
    assert knows(forms, turn(round_of))
    for stranger in (turn(told, session="s2"), turn(told, place="agent:eve"), turn(answer({}, ident="7")),
                     turn(round_of, place="agent:eve"), turn(repeated({}, requestState="q")),
                     turn(repeated({})), turn(told, run="r2")):  # fmt: skip
        assert not knows(forms, stranger)


@pytest.mark.requirement("RED-38")
def test_the_newest_question_of_a_name_counts_and_forms_are_kept_only_so_many_and_so_large() -> None:
    forms = Forms()
    streamed(forms, asked_of("to", {"type": "string", "format": "email"}))
    streamed(forms, asked_of("to", {"type": "string"}))
    tree = answer({"to": "ada@example.com"})
    after = in_response(redact(tree, with_forms(forms, turn(tree))).tree)
    assert str(after["to"]).startswith("EMAIL_")
    streamed(forms, {**asked_of("to", {"type": "string"}), "description": "x" * FORM_BYTES_MAX})
    assert not knows(forms, turn(tree))
    for ident in range(FORMS_MAX + 1):
        streamed(forms, asked_of("to", {"type": "string"}), ident)
    assert not knows(forms, turn(answer({"to": "x"}, ident=0)))
    assert knows(forms, turn(answer({"to": "x"}, ident=FORMS_MAX)))


@pytest.mark.requirement("RED-53")
@pytest.mark.parametrize(
    ("content", "blocked"),
    [
        ({"to": "ada@example.com"}, ("EMAIL", "/to")), ({"note": "or to ada@example.com"}, ("EMAIL", "/note")),
        ({"may": ["read", "ada@example.com"]}, ("EMAIL", "/may/1")), ({"card": 4111111111111111}, ("CARD", "/card")),
        ({"a/b": "ada@example.com"}, ("EMAIL", "/a~1b")),
        ({"note": "no value in it", "card": 3, "may": ["read"], "sure": True}, None),
    ],
)  # fmt: skip
def test_an_answer_to_a_form_nobody_knows_passes_as_it_is_or_is_blocked_with_what_to_do(
    content: Tree, blocked: tuple[str, str] | None
) -> None:
    forms = Forms()
    told, round_of = answer(content), repeated(content, requestState="r")
    for tree, prefix in ((told, "/result/content"), (round_of, "/params/inputResponses/a~1b/content")):
        slots = with_forms(forms, turn(tree))
        after = redact(tree, slots)
        if blocked is None:
            assert (after.tree, after.blocked) == (tree, ())
            continue
        assert after.blocked == ((blocked[0], prefix + blocked[1]),)
        assert "the question it answers is not known any more" in advice(slots, after.blocked[0][1])
    streamed(forms, asked_of("to", {"enum": ["Hopper"]}))
    assert advice(with_forms(forms, turn(told)), "/result/content/to") == "remove it and ask again"


@pytest.mark.requirement("RED-38")
def test_what_is_no_form_or_no_answer_to_one_is_let_be() -> None:
    forms = Forms()
    for odd in ({"id": 7, "method": "elicitation/create"}, {"id": 7, "result": {"inputRequests": {"a/b": 3}}},
                {"id": 7, "method": "elicitation/create", "params": {"requestedSchema": ["no schema"]}},
                {"id": 7, "result": {"inputRequests": {"a/b": {"method": "roots/list"}}}}):  # fmt: skip
        forms.note(turn(called()), cast("Tree", odd))
    sampled: Tree = {
        "jsonrpc": "2.0",
        "id": 8,
        "result": {"role": "assistant", "content": {"type": "text", "text": "x"}},
    }
    declined: Tree = {"jsonrpc": "2.0", "id": 9, "result": {"action": "decline"}}
    for tree in (sampled, declined, repeated({}), called(inputResponses={"a/b": 3}), called()):
        assert with_forms(forms, turn(tree)) is None


PEOPLE = ["ada@example.com", "grace@example.com", "nobody"]
CHOICES: list[tuple[Tree, object, object]] = [
    ({"type": "string", "enum": PEOPLE}, "<0>", "ada@example.com"),
    ({"type": "string", "oneOf": [{"const": one, "title": one} for one in PEOPLE]}, "<1>", "grace@example.com"),
    ({"type": "array", "items": {"enum": PEOPLE}}, ["<1>", "nobody"], ["grace@example.com", "nobody"]),
    ({"type": "array", "items": {"anyOf": [{"const": one} for one in PEOPLE]}}, ["<0>"], ["ada@example.com"]),
    ({"type": "string", "default": "ada@example.com"}, "<0>", "ada@example.com"),
    ({"type": "string", "enum": PEOPLE}, "nobody", "nobody"),
    ({"type": "string", "enum": PEOPLE}, "<2>", "<2>"),
]  # fmt: skip


def shown(tree: object, masks: Tree) -> object:
    """Return a question as redaction has made it, with what stands for each value."""
    if isinstance(tree, dict):
        return {key: shown(value, masks) for key, value in cast("Tree", tree).items()}
    if isinstance(tree, list):
        return [shown(one, masks) for one in cast("list[object]", tree)]
    return masks.get(tree, tree) if isinstance(tree, str) else tree


def without(tree: object, left_out: str) -> object:
    """Return a tree without the members of a name."""
    if not isinstance(tree, dict):
        return tree
    return {key: without(value, left_out) for key, value in cast("Tree", tree).items() if key != left_out}


@pytest.mark.anyio
@pytest.mark.requirement("RED-54")
@pytest.mark.parametrize(("field", "chosen", "meant"), CHOICES)
async def test_a_choice_of_what_stands_for_the_servers_own_word_is_that_word_again(
    field: Tree, chosen: object, meant: object
) -> None:
    forms = Forms()
    form: Tree = {"type": "object", "properties": {"who": field, "note": {"type": "string"}}}
    asked: Tree = {"jsonrpc": "2.0", "id": 7, **question(form)}
    rounded: Tree = {"jsonrpc": "2.0", "id": 1, "result": {"inputRequests": {"a/b": question(form)}}}
    for one in (asked, rounded):
        told = forms.note(turn(called()), one)
        assert told is not None
        await told(shown(one, {"ada@example.com": "<0>", "grace@example.com": "<1>"}))
    content: Tree = {"who": chosen, "note": "<0>"}
    for tree, inside in ((answer(content), in_response), (repeated(content), in_round)):
        assert inside(forms.put_back(turn(tree), tree)) == {"who": meant, "note": "<0>"}
        # what redaction has left out stays out
        assert "who" not in inside(forms.put_back(turn(tree), cast("Tree", without(tree, "who"))))
    stranger = turn(answer(content), place="agent:eve")
    assert forms.put_back(stranger, answer(content)) == answer(content)


@pytest.mark.anyio
@pytest.mark.requirement("RED-54")
async def test_choices_that_are_shown_alike_say_no_more_which_of_them_was_meant() -> None:
    forms = Forms()
    asked: Tree = {"jsonrpc": "2.0", "id": 7, **question({"properties": {"who": {"enum": PEOPLE}}})}
    told = forms.note(turn(called()), asked)
    assert told is not None
    await told(shown(asked, {"ada@example.com": "***", "grace@example.com": "***"}))
    tree = answer({"who": "***"})
    assert forms.put_back(turn(tree), tree) == tree
