"""Originals are erased by value, wherever they are, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from durable.erasure import Wanted
from durable.step import Intent, Settlement, VaultEntry
from tests.contracts.place import journal_in
from tests.durable.steps import begun, next_attempt, outcome, step

if TYPE_CHECKING:
    from durable.step import RunRef
    from durable.store import Store
    from tests.contracts.place import Place


async def put(journal: Store, run: RunRef, originals: list[str]) -> list[tuple[str, str]]:
    """Put originals into a run's vault; returns scope and token of each."""
    scope = f"run/{run.id}"
    entries = tuple(
        VaultEntry(scope=scope, token=f"PERSON_{number}", entity="PERSON", original=original)
        for number, original in enumerate(originals)
    )
    began = await begun(journal, Intent(step=step("ask", run=run), request=b"{}", vault=entries))
    await journal.settle(began, Settlement(outcome=outcome()))
    return [(scope, entry.token) for entry in entries]


@pytest.mark.anyio
@pytest.mark.requirement("RED-27")
async def test_originals_that_hold_a_value_are_erased_in_every_scope_and_the_others_stay(place: Place) -> None:
    async with journal_in(place) as journal:
        first, second = await next_attempt(journal), await next_attempt(journal)
        kept = await put(journal, first, ["Ada Lovelace", "Grace Hopper"])
        kept += await put(journal, second, ["ADA LOVELACE"])
        assert await journal.erase_values(["Ada  Lovelace"], [{"event": "erase"}]) == 2
        left = [(await journal.originals(scope, [token])).get(token) is not None for scope, token in kept]
        assert left == [False, True, False]
        assert await journal.erase_values(["Ada Lovelace"], [{"event": "erase"}]) == 0
    erased = [link for link in await place.links() if "erase" in str(link)]
    assert len(erased) == 2
    assert "Ada" not in str(erased)


@pytest.mark.requirement("RED-27")
@pytest.mark.parametrize(
    ("original", "held"),
    [
        ("Ada Lovelace", True), ("ADA  LOVELACE", True), ("Ada Lovelace (CTO)", True), ("Ada Lovelaces", False),
        ("Ada", False), ("+1 212 555 0123", True), ("+12125550123", True), ("2125550123", False), ("ada@x.org", True),
    ],
)  # fmt: skip
def test_a_value_is_known_however_it_is_cased_spaced_and_punctuated(original: str, *, held: bool) -> None:
    assert Wanted(["Ada Lovelace", "+1 212-555-0123", "ADA@x.org"])(original) is held
