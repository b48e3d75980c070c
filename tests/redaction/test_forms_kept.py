"""Forms in a store: another process knows them, for who was asked alone, and a store that is away loses no question."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from durable.seal import Keyring
from durable.step import Owner
from gateway.mcp.forms import READS_MAX, Forms
from tests.durable.steps import journal_in, next_attempt
from tests.redaction.test_forms_filled import answer, called, knows, question, repeated, turn

if TYPE_CHECKING:
    from pathlib import Path

    from durable.store import Store
    from gateway.mcp.turn import Turn

pytestmark = pytest.mark.anyio
Tree = dict[str, object]
FORM: Tree = {"type": "object", "properties": {"to": {"type": "string", "format": "email"}}}
ASKED: Tree = {"jsonrpc": "2.0", "id": 7, **question(FORM)}
ROUND: Tree = {"jsonrpc": "2.0", "id": 1, "result": {"inputRequests": {"a/b": question(FORM)}, "requestState": "r"}}


async def shown(forms: Forms, asking: Turn, question: Tree) -> None:
    told = forms.note(asking, question)
    assert told is not None
    await told(question)


async def known(store: Store, asking: Turn, server: str = "crm") -> bool:
    """Return whether another process knows the form that a message answers."""
    forms = Forms(server, store)
    await forms.recall(asking)
    return knows(forms, asking)


@pytest.mark.requirement("RED-52")
async def test_a_form_is_known_to_another_process_for_its_own_question_and_run_alone(tmp_path: Path) -> None:
    told, round_of = answer({"to": "x"}), repeated({"to": "x"}, requestState="r")
    async with journal_in(tmp_path) as store:
        run, other = (await next_attempt(store)).id, (await next_attempt(store)).id
        for one in (ASKED, ROUND):
            await shown(Forms("crm", store), turn(called(), run=run), one)
    async with journal_in(tmp_path) as store:
        assert await known(store, turn(told, run=run))
        assert await known(store, turn(round_of, run=run))
        alone = turn(told, run=run)
        for stranger in (
            turn(told, run=other), turn(told, run="nowhere"), turn(told, run=run, session="s2"),
            turn(told, run=run, place="agent:eve"), turn(answer({"to": "x"}, ident=8), run=run),
            turn(round_of, run=other), turn(repeated({"to": "x"}, requestState="q"), run=run),
        ):  # fmt: skip
            assert not await known(store, stranger)
        assert not await known(store, alone, server="shop")
        alone.run = None
        assert not await known(store, alone)


@pytest.mark.requirement("RED-52")
async def test_without_a_run_a_form_is_known_to_its_own_owner_alone_and_after_a_rotation(tmp_path: Path) -> None:
    old, new = bytes(32), bytes(range(32))
    asking = turn(called())
    asking.run = None
    async with journal_in(tmp_path, Keyring((old,))) as store:
        await shown(Forms("crm", store), asking, ASKED)
    asking = turn(answer({"to": "x"}))
    asking.run = None
    async with journal_in(tmp_path, Keyring((new, old))) as store:
        assert await known(store, asking)
        while await store.rewrap(rows_max=9):
            pass
    async with journal_in(tmp_path, Keyring((new,))) as store:
        assert await known(store, asking)
        owner = asking.owner
        assert owner is not None
        for other in (replace(owner, domain="rival"), replace(owner, agent="eve"), replace(owner, user="ann")):
            asking.owner = other
            assert not await known(store, asking)


@pytest.mark.requirement("RED-52")
async def test_a_store_that_is_away_loses_no_question_and_knows_no_answer(tmp_path: Path) -> None:
    async with journal_in(tmp_path) as store:
        pass
    forms = Forms("crm", store)  # closed: it takes nothing any more
    owned = turn(called())
    owned.run, owned.owner = None, Owner("acme", "billing")
    await shown(forms, owned, ASKED)
    told = turn(answer({"to": "x"}))
    told.run = None
    await forms.recall(told)
    assert knows(forms, told)  # by the process that has seen the question
    assert not await known(store, told)
    await forms.aclose()


@pytest.mark.requirement("RED-52")
async def test_one_message_makes_only_so_many_reads(tmp_path: Path) -> None:
    asked: Tree = {f"q{number}": question(FORM) for number in range(READS_MAX + 3)}
    filled: Tree = {key: {"action": "accept", "content": {"to": "x"}} for key in asked}
    asking, answering = turn(called()), turn(called(inputResponses=filled))
    asking.run = answering.run = None
    async with journal_in(tmp_path) as store:
        await shown(Forms("crm", store), asking, {"jsonrpc": "2.0", "id": 1, "result": {"inputRequests": asked}})
        forms = Forms("crm", store)
        await forms.recall(answering)
        assert len(forms.slots(answering)) == len(asked)
        assert not knows(forms, answering)
        await forms.recall(answering)
        assert knows(forms, answering)
