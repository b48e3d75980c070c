"""Redaction of a tree in two plain halves, with detection between them, and restoration.

plan     tree, shape, profile → the texts to look at
finish   plan, findings       → the tree with placeholders, what was minted, what is blocked
restore  tree, originals      → the tree with originals, where a grant says so
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Final

from redaction.finding import Finding, Minted, Redacted
from redaction.hints import hinted
from redaction.language import unread
from redaction.masking import masked
from redaction.media import kind_of
from redaction.placeholder import number_token, placeholder, surrogate_digits
from redaction.profile import STRICTEST_FIRST
from redaction.stream import segments_of
from redaction.surrogates import Walk, put_back, stand_in, stand_in_number, token_of, tokens_of, worth_a_look
from redaction.walk import Text, rewrite, texts_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redaction.finding import Scope, Shape, Slot, Slots, Treatment
    from redaction.profile import Profile

#: Shorter numbers that stand for others are not put back: too many numbers look like them.
NUMBER_RESTORED_DIGITS_MIN: Final = 9
#: Shorter texts hold nothing a profile finds.
_CHARACTERS_MIN: Final = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be looked at. `texts` are distinct segments, `segments` those of each text of the tree."""

    tree: object
    shape: Shape
    profile: Profile
    texts: tuple[str, ...]
    segments: Mapping[str, list[str]]
    slots: Slots | None = None
    languages: frozenset[str] = frozenset()


def plan(
    tree: object, shape: Shape, profile: Profile, slots: Slots | None = None,
    languages: frozenset[str] = frozenset(),
) -> Plan:  # fmt: skip
    """Return the texts of `tree` that detection must see.

    `slots` is what schemas say of its places, `languages` those besides English that detection has a model for.
    """
    segments = {text: segments_of(text) for text in dict.fromkeys(text.value for text in texts_in(tree, shape))}
    wanted = dict.fromkeys(one for several in segments.values() for one in several if len(one) >= _CHARACTERS_MIN)
    return Plan(tree, shape, profile, tuple(wanted), segments, slots, languages)


def finish(
    planned: Plan, findings: Mapping[str, tuple[Finding, ...]], scope: Scope, ours: frozenset[str] = frozenset()
) -> Redacted:
    """Return the redacted tree. Raises `KeyError` when a planned text was not looked at.

    `ours` names those of the `suspects` of an earlier finish that stand for a value in this scope: they stay.
    """
    hand = _Hand(planned, findings, scope, ours)
    tree = rewrite(planned.tree, planned.shape, hand.text)
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


def tokens_in(tree: object, shape: Shape, key: bytes | None = None) -> tuple[str, ...]:
    """Return the names of what stands for values in `tree`, however it is written.

    Stand-ins that took the form of their value are seen only with the `key` of their scope.
    """
    found: dict[str, None] = {}
    for text in texts_in(tree, shape):
        if not text.is_number:
            found.update(dict.fromkeys(tokens_of(text.value, key)))
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
        if text.is_fixed or (pointer is not None and not _within(text.pointer, pointer)):
            return text.value
        if text.is_number:
            digits = text.value.lstrip("-")
            known = original(number_token(digits))
            return text.value if known is None else text.value.replace(digits, known)
        return put_back(text.value, original)

    restored = rewrite(tree, shape, visit)
    return restored, restored is not tree


def _within(place: str, pointer: str) -> bool:
    return place == pointer or place.startswith(pointer + "/")


class _Hand:
    """Rewrites the texts of one tree."""

    def __init__(
        self, planned: Plan, findings: Mapping[str, tuple[Finding, ...]], scope: Scope, ours: frozenset[str]
    ) -> None:
        self._profile = planned.profile
        self._segments = planned.segments
        self._slots = planned.slots
        self._languages = planned.languages
        self._findings = findings
        self._scope = scope
        self._ours = ours
        # keyed hashes; a value that stands in many places of one tree needs them once
        self._placeholder = cache(partial(placeholder, scope.key))
        self._worth_a_look = cache(partial(worth_a_look, scope.key))
        self.counts: dict[str, int] = {}
        self.minted: dict[str, Minted] = {}
        self.blocked: list[tuple[str, str]] = []
        self.passed: dict[str, int] = {}
        self.suspects: dict[str, None] = {}
        self._walk = Walk()
        #: of the text at hand: what was minted, and what was found with what becomes of it
        self._fresh: list[str] = []
        self._found: list[tuple[str, Treatment]] = []

    def text(self, text: Text) -> str:
        if text.media:
            return self._media(text)
        if self._ours and token_of(text.value) in self._ours:
            return text.value
        blocked = len(self.blocked)
        self._fresh, self._found = [], []
        after = self._redacted(text)
        if self._slots is None or after == text.value or text.is_key or len(self.blocked) > blocked:
            return after
        slot = self._slots.at(text.pointer)
        if slot is None or slot.fits(_json(text, after)) or not slot.fits(_json(text, text.value)):
            return after
        return self._fitting(text, slot)

    def _fitting(self, text: Text, slot: Slot) -> str:
        """Return what fits a place that takes no placeholder; the whole text is one value then."""
        for token in self._fresh:
            del self.minted[token]
        entity, treatment = min(self._found, key=lambda one: STRICTEST_FIRST.index(one[1]))
        digits = text.value.lstrip("-")
        sign = text.value[: len(text.value) - len(digits)] if text.is_number else ""
        made = None
        if self.blocked:
            pass  # the call is refused already
        elif text.is_number:
            made = stand_in_number(self._scope.key, digits, lambda one: slot.fits(int(f"{sign}{one}")), self._walk)
        else:
            made = stand_in(self._scope.key, entity, text.value, slot, self._walk)
        if made is None:
            self.blocked.append((entity, text.pointer))
            return text.value
        if treatment == "placeholder" and not (text.is_number and len(digits) < NUMBER_RESTORED_DIGITS_MIN):
            token = number_token(made) if text.is_number else token_of(made)
            self._mint(Minted(token, entity, digits if text.is_number else text.value))
        return sign + made

    def _mint(self, one: Minted) -> None:
        if one.token not in self.minted:
            self._fresh.append(one.token)
        self.minted[one.token] = one

    def _known(self, text: Text, value: str) -> bool:
        """Return whether what was found is a stand-in of this scope; one that may be is noted as suspect."""
        if text.is_number:
            token = number_token(value) if len(value) >= NUMBER_RESTORED_DIGITS_MIN else ""
        else:
            token = token_of(value) if self._worth_a_look(value) else ""
            if value != text.value and self._worth_a_look(text.value):
                self.suspects[token_of(text.value)] = None  # what was found is a part of it
        if token and token not in self._ours:
            self.suspects[token] = None
        return token in self._ours

    def _redacted(self, text: Text) -> str:
        if (language := unread(text.value, self._languages)) is not None:
            self._passed(f"names in {language}")
        if text.entity and self._counts(text.entity, 1.0, text.value):
            return self._spliced(text, text.value, (Finding(0, len(text.value), text.entity, 1.0, "split"),))
        if (entity := hinted(text.hint, text.value)) is not None and self._counts(entity, 1.0, text.value):
            return self._spliced(text, text.value, (Finding(0, len(text.value), entity, 1.0, "key"),))
        parts: list[str] = []
        for segment in self._segments[text.value]:
            known = self._findings[segment] if len(segment) >= _CHARACTERS_MIN else ()
            parts.append(self._spliced(text, segment, known) if known else segment)
        return "".join(parts)

    def _media(self, text: Text) -> str:
        self._passed(kind_of(text.media))
        if self._profile.unscanned == "block":
            self.blocked.append(("UNSCANNED", text.pointer))
        return text.value

    def _passed(self, kind: str) -> None:
        self.passed[kind] = self.passed.get(kind, 0) + 1

    def _counts(self, entity: str, score: float, value: str) -> bool:
        rule = self._profile.rule(entity)
        return rule.treatment != "keep" and score >= rule.threshold and not self._profile.allows(entity, value)

    def _spliced(self, text: Text, segment: str, found: tuple[Finding, ...]) -> str:
        parts: list[str] = []
        at = 0
        for finding in self._standing_alone(segment, found):
            value = segment[finding.start : finding.end]
            if not self._known(text, value):
                value = self._treated(text, self._profile.rule(finding.entity).treatment, finding.entity, value)
            parts += (segment[at : finding.start], value)
            at = finding.end
        return "".join((*parts, segment[at:]))

    def _standing_alone(self, segment: str, found: tuple[Finding, ...]) -> list[Finding]:
        """Return the finds that count, those that become placeholders widened to whole words.

        A placeholder glued to a letter or digit would not be known again.
        """
        alone: list[Finding] = []
        for finding in found:
            if not self._counts(finding.entity, finding.score, segment[finding.start : finding.end]):
                continue
            start, end, entity = finding.start, finding.end, finding.entity
            if self._profile.rule(entity).treatment == "placeholder":
                while start > 0 and _is_word(segment[start - 1]):
                    start -= 1
                while end < len(segment) and _is_word(segment[end]):
                    end += 1
            before = alone[-1] if alone else None
            if before is not None and start <= before.end and (start < before.end or self._both(before, finding)):
                stricter = min(before.entity, entity, key=self._strictness)
                alone[-1] = Finding(before.start, max(end, before.end), stricter, before.score, before.recognizer)
            else:
                alone.append(Finding(start, end, entity, finding.score, finding.recognizer))
        return alone

    def _both(self, one: Finding, other: Finding) -> bool:
        return all(self._profile.rule(finding.entity).treatment == "placeholder" for finding in (one, other))

    def _strictness(self, entity: str) -> int:
        return STRICTEST_FIRST.index(self._profile.rule(entity).treatment)

    def _treated(self, text: Text, treatment: Treatment, entity: str, value: str) -> str:
        self._found.append((entity, treatment))
        self.counts[entity] = self.counts.get(entity, 0) + 1
        if text.is_fixed:
            self.blocked.append((entity, text.pointer))
            return value
        if text.is_number:
            return self._number(text, treatment, entity, value)
        if treatment == "placeholder" or text.is_key:
            # a key that is masked or dropped must still be one key; it gets a placeholder nobody can restore
            token = self._placeholder(entity, value)
            if treatment == "placeholder":
                self._mint(Minted(token, entity, value))
            elif treatment == "block":
                self.blocked.append((entity, text.pointer))
            return token
        if treatment == "mask":
            return masked(value)
        if treatment == "drop":
            return ""
        self.blocked.append((entity, text.pointer))
        return ""

    def _number(self, text: Text, treatment: str, entity: str, value: str) -> str:
        # a number stays a number: digits of the same length that are no card, never a text in its place
        if treatment == "block" or len(value) != len(text.value.lstrip("-")):
            self.blocked.append((entity, text.pointer))
            return value
        digits = surrogate_digits(self._scope.key, len(value), value)
        if treatment == "placeholder" and len(digits) >= NUMBER_RESTORED_DIGITS_MIN:
            self._mint(Minted(number_token(digits), entity, value))
        return digits


def _json(text: Text, written: str) -> object:
    return int(written) if text.is_number else written


def _is_word(character: str) -> bool:
    return character.isascii() and character.isalnum()
