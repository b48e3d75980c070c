"""Redaction of a tree in two plain halves, with detection between them, and restoration.

plan     tree, shape, profile → the texts to look at
finish   plan, findings       → the tree with placeholders, what was minted, what is blocked
restore  tree, originals      → the tree with originals, where a grant says so
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from redaction.finding import Finding, Redacted, within
from redaction.hand import CHARACTERS_MIN, Hand
from redaction.hints import hinted
from redaction.memory import Again
from redaction.placeholder import NUMBER_RESTORED_DIGITS_MIN, number_token
from redaction.stream import segments_of
from redaction.surrogates import put_back, tokens_of
from redaction.walk import Text, rewrite, texts_in, whole_number
from redaction.walk import pointer as pointer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from redaction.finding import Grant, Minted, Scope, Shape, Slots
    from redaction.memory import Recall, Seen
    from redaction.profile import Profile
    from redaction.walk import Part, Path

    Tree = dict[str, object]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be looked at. `texts` are distinct segments, `segments` those of each text of the tree.

    `parts` are the names that its parts have in the memory `recall`, and what it holds of them.
    """

    tree: object
    shape: Shape
    profile: Profile
    texts: tuple[str, ...]
    segments: Mapping[str, list[str]]
    slots: Slots | None = None
    languages: frozenset[str] = frozenset()
    recall: Recall | None = None
    parts: Mapping[Path, tuple[bytes, Seen | None]] = field(default_factory=dict["Path", "tuple[bytes, Seen | None]"])


def plan(
    tree: object, shape: Shape, profile: Profile, slots: Slots | None = None,
    languages: frozenset[str] = frozenset(), *, recall: Recall | None = None, ours: frozenset[str] = frozenset(),
) -> Plan:  # fmt: skip
    """Return the texts of `tree` that detection must see: those of the parts that `recall` knows it has seen.

    `slots` is what schemas say of its places, `languages` those besides English that detection has a model for,
    `ours` as in `finish`.
    """
    parts: dict[Path, tuple[bytes, Seen | None]] = {}

    def on_part(part: Part, go_on: Callable[[], object]) -> object:
        name = None if recall is None else recall.name(part)
        if recall is None or name is None:
            return go_on()
        seen = recall.find(name)
        if seen is not None and seen.changes is not None and (slots is not None or (ours and _holds(part, seen, ours))):
            seen = None  # what a place asks for, and what is a stand-in already, is found out anew
        parts[part.path] = name, seen
        return part.value if seen is not None else go_on()

    found = texts_in(tree, shape, None if recall is None else on_part)
    segments = {text: segments_of(text) for text in dict.fromkeys(text.value for text in found)}
    wanted = dict.fromkeys(one for several in segments.values() for one in several if len(one) >= CHARACTERS_MIN)
    return Plan(tree, shape, profile, tuple(wanted), segments, slots, languages, recall, parts)


def _holds(part: Part, seen: Seen, ours: frozenset[str]) -> bool:
    """Return whether one of `ours` stands in a part."""
    suspects: dict[str, None] = {}
    if seen.changes is not None:
        Again({}, suspects).value(part.value, seen.changes)
    return not ours.isdisjoint(suspects)


def finish(
    planned: Plan, findings: Mapping[str, tuple[Finding, ...]], scope: Scope, ours: frozenset[str] = frozenset(),
    grants: tuple[Grant, ...] = (),
) -> Redacted:  # fmt: skip
    """Return the redacted tree. Raises `KeyError` when a planned text was not looked at.

    `ours` names those of the `suspects` of an earlier finish that stand for a value in this scope: they stay.
    A number that is wanted back where one of `grants` says so, and cannot be put back, is blocked.
    """
    hand = Hand(planned, findings, scope, ours, grants)
    tree = rewrite(planned.tree, planned.shape, hand.text, None if planned.recall is None else hand.part)
    if planned.profile.shadow:
        found = {f"shadow {entity}": count for entity, count in hand.counts.items()}
        return Redacted(tree=planned.tree, changed=False, passed={**hand.passed, **found})
    return Redacted(
        tree=tree,
        changed=tree is not planned.tree,
        counts=hand.counts,
        minted=tuple(hand.minted.values()),
        blocked=tuple(hand.blocked),
        suspects=tuple(hand.suspects),
        passed=hand.passed,
    )


def places(planned: Plan, findings: Mapping[str, tuple[Finding, ...]]) -> list[tuple[str, Finding]]:
    """Return every find with the pointer of its text, spans counted in the whole text."""
    found: list[tuple[str, Finding]] = []
    for text in texts_in(planned.tree, planned.shape):
        entity = text.entity or hinted(text.hint, text.value)
        if entity is not None:
            found.append((text.pointer, Finding(0, len(text.value), entity, 1.0, "key" if text.hint else "split")))
            continue
        at = 0
        for segment in planned.segments[text.value]:
            known = findings.get(segment, ())
            found += [
                (text.pointer, Finding(at + one.start, at + one.end, one.entity, one.score, one.recognizer))
                for one in known
            ]
            at += len(segment)
    return found


def tokens_in(tree: object, shape: Shape, key: bytes | None = None, *, every: bool = False) -> tuple[str, ...]:
    """Return the names of what stands for values in `tree`, however it is written.

    Stand-ins that took the form of their value are seen only with the `key` of their scope, or among `every` text
    that could be one.
    """
    found: dict[str, None] = {}
    for text in texts_in(tree, shape):
        if not text.is_number:
            found.update(dict.fromkeys(tokens_of(text.value, key, every=every)))
            continue
        digits = text.value.lstrip("-")
        if len(digits) >= NUMBER_RESTORED_DIGITS_MIN:
            found[number_token(digits)] = None
    return tuple(found)


def restore(
    tree: object,
    originals: Mapping[str, Minted],
    *,
    entities: frozenset[str],
    pointer: str | None,
    shape: Shape,
) -> tuple[object, bool]:
    """Return `tree` with originals put back, and whether that changed it.

    Only for `entities` (empty: all) and, with `pointer`, only at and below that JSON pointer. What is
    not in `originals` stays as it is.
    """

    def original(token: str) -> str | None:
        known = originals.get(token)
        return None if known is None or (entities and known.entity not in entities) else known.original

    def visit(text: Text) -> str:
        if text.is_fixed or (pointer is not None and not within(text.pointer, pointer)):
            return text.value
        if text.is_number:
            digits = text.value.lstrip("-")
            known = original(number_token(digits))
            return text.value if known is None else text.value.replace(digits, known)
        return put_back(text.value, original)

    restored = rewrite(tree, shape, visit)
    return restored, restored is not tree


def numbers_in(tree: object, pointers: Iterable[str]) -> dict[str, str]:
    """Return every whole number at and below the JSON `pointers` by its place, as the vault would know it.

    Whatever key it stands under, and also where it is written as a text.
    """
    wanted = tuple(pointers)
    return {
        place: number_token(digits) for place, digits in _numbers(tree, "", wanted)
        if any(within(place, pointer) for pointer in wanted)
    }  # fmt: skip


def _numbers(tree: object, place: str, wanted: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if not any(within(place, pointer) or within(pointer, place) for pointer in wanted):
        return
    if isinstance(tree, dict | list):
        inner = enumerate(cast("list[object]", tree)) if isinstance(tree, list) else cast("Tree", tree).items()
        for part, value in inner:
            yield from _numbers(value, place + pointer_of((part,)), wanted)
    elif tree is not None and not isinstance(tree, bool):
        digits = (tree.strip() if isinstance(tree, str) else whole_number(tree)).lstrip("-")
        if digits.isascii() and digits.isdigit():
            yield place, digits
