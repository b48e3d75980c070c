"""Puts originals back where the decision grants it: into a tool's arguments, or into the agent's answer.

What is journaled keeps its placeholders; restoration happens after it, on the way out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from gateway import body, places, refusals
from redaction import redactor
from redaction.finding import Grant, Minted, Shape
from redaction.stream import RestoreHold

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from durable.journal import Journal
    from gateway.call import AnswerReader, Slot, Unit
    from gateway.inward import Clean
    from policy.decision import Decision

_NO_SHAPE = Shape()


class Originals:
    """Looks placeholders of one scope up: first among those just minted, then in the vault.

    `key` is the scope's; without it stand-ins that took the form of their value are not seen.
    """

    def __init__(self, journal: Journal, scope: str, key: bytes | None = None) -> None:
        self._journal = journal
        self._scope = scope
        self.key = key
        self.minted: dict[str, Minted] = {}

    async def of(self, tokens: Sequence[str]) -> Mapping[str, Minted]:
        """Return the originals of those `tokens` this scope knows; all others stay inert."""
        missing = [token for token in tokens if token not in self.minted]
        if missing:
            found = await self._journal.originals(self._scope, missing)
            self.minted |= {token: Minted(token, row.entity, row.original) for token, row in found.items()}
        return {token: self.minted[token] for token in tokens if token in self.minted}


def agent_grant(decision: Decision) -> frozenset[str] | None:
    """Return the entities the agent may see in answers (empty: all), `None` when it may see none."""
    grants = [restore.entities for restore in decision.obligations.restores if restore.target == "agent"]
    if not grants:
        return None
    if any(not entities for entities in grants):
        return frozenset()
    return frozenset(entity for entities in grants for entity in entities)


def tool_grants(decision: Decision, prefix: tuple[str, ...]) -> tuple[Grant, ...]:
    """Return where the tool gets originals, `prefix` being where its arguments stand in the tree."""
    base = "".join(f"/{part}" for part in prefix)
    restores = decision.obligations.restores
    return tuple(Grant(one.entities, base + one.pointer) for one in restores if one.target == "tool")


async def restore_arguments(
    tree: object, decision: Decision, originals: Originals, shape: Shape, prefix: tuple[str, ...]
) -> object:
    """Return `tree` with originals at the argument places the decision names for the tool.

    `prefix` is where the arguments stand in `tree`; a grant's pointer counts from there. Raises `Refusal` where a
    number stands for another one that would be due there and cannot be put back.
    """
    grants = tool_grants(decision, prefix)
    if not grants:
        return tree
    if found := await originals.of(redactor.tokens_in(tree, shape, originals.key)):
        for grant in grants:
            tree, _ = redactor.restore(tree, found, entities=grant.entities, pointer=grant.pointer, shape=shape)
    if numbers := redactor.numbers_in(tree, (grant.pointer for grant in grants)):
        left = await originals.of(tuple(dict.fromkeys(numbers.values())))
        for place, token in numbers.items():
            if token in left and any(grant.covers(left[token].entity, place) for grant in grants):
                raise refusals.misleading(left[token].entity, place)
    return tree


class Restoring:
    """Restores one answer for the agent, unit by unit; without a grant the bytes pass as journaled."""

    def __init__(self, reader: AnswerReader, grant: frozenset[str] | None, originals: Originals) -> None:
        self._reader = reader
        self._grant = grant
        self._originals = originals
        self._holds: dict[Hashable, RestoreHold] = {}
        self._json: dict[Hashable, list[str]] = {}

    async def take(self, clean: Clean) -> list[tuple[bytes, object]]:
        """Return the bytes (and tree) of `clean` as the agent gets it, after units for what was held."""
        if self._grant is None or (clean.tree is None and not clean.unit.closes):
            return [(clean.raw, clean.tree)]
        if clean.unit.slots or clean.unit.closes:
            return await self._pieces(clean.unit, clean)
        aside = places.set_aside(clean.tree, (file.path for file in clean.unit.files))
        tree, changed = await self._tree(clean.tree, self._reader.shape, self._grant)
        for path, content in aside:
            places.put(tree, path, content)
        return [(self._reader.encode(clean.unit, tree) if changed else clean.raw, tree)]

    async def _pieces(self, unit: Unit, clean: Clean) -> list[tuple[bytes, object]]:
        grant = cast("frozenset[str]", self._grant)
        changed = False
        for slot in unit.slots:
            text = cast("str", places.at(clean.tree, slot.path))
            restored = await self._piece(slot, text, grant)
            if slot.key in unit.closes:
                restored += await self._rest(slot.key, grant)
            if restored != text:
                changed = True
                places.put(clean.tree, slot.path, restored)
        before: list[tuple[bytes, object]] = []
        written = {slot.key for slot in unit.slots}
        for key in unit.closes:
            if key not in written and (rest := await self._rest(key, grant)):
                more = self._reader.continuation(key, rest)
                before.append((more.raw, more.tree))
        raw = self._reader.encode(unit, clean.tree) if changed else clean.raw
        return [*before, (raw, clean.tree)]

    async def _piece(self, slot: Slot, text: str, grant: frozenset[str]) -> str:
        if slot.kind in {"fixed", "audio", "image"}:
            return text
        if slot.kind == "json":  # originals need escaping: only the whole text can be parsed and written again
            self._json.setdefault(slot.key, []).append(text)
            return ""
        return await self._text(self._holds.setdefault(slot.key, RestoreHold()).feed(text), grant)

    async def _rest(self, key: Hashable, grant: frozenset[str]) -> str:
        if (parts := self._json.pop(key, None)) is not None:
            text = "".join(parts)
            try:
                tree, changed = await self._tree(body.parse(text.encode()), _NO_SHAPE, grant)
            except body.MalformedBody:
                return text
            return body.encode(tree).decode() if changed else text
        hold = self._holds.pop(key, None)
        return "" if hold is None else await self._text(hold.finish(), grant)

    async def _text(self, text: str, grant: frozenset[str]) -> str:
        if not text:
            return text
        tree, _ = await self._tree([text], _NO_SHAPE, grant)
        return cast("list[str]", tree)[0]

    async def _tree(self, tree: object, shape: Shape, grant: frozenset[str]) -> tuple[object, bool]:
        tokens = redactor.tokens_in(tree, shape, self._originals.key)
        if not tokens:
            return tree, False
        found = await self._originals.of(tokens)
        if not found:
            return tree, False
        return redactor.restore(tree, found, entities=grant, pointer=None, shape=shape)
