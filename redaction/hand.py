"""The second half of redaction: what stands for each value of a tree, text by text."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Final

from redaction.finding import Finding, Minted
from redaction.hints import hinted
from redaction.language import unread
from redaction.masking import masked
from redaction.media import kind_of
from redaction.memory import Again, Record, Span, Spans
from redaction.placeholder import NUMBER_RESTORED_DIGITS_MIN, number_token, placeholder, surrogate_digits
from redaction.profile import STRICTEST_FIRST
from redaction.surrogates import Walk, stand_in, stand_in_number, token_of, worth_a_look

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from redaction.finding import Grant, Scope, Slot, Treatment
    from redaction.redactor import Plan
    from redaction.walk import Part, Text

#: Shorter texts hold nothing a profile finds.
CHARACTERS_MIN: Final = 4


class Hand:
    """Rewrites the texts of one tree."""

    def __init__(
        self, planned: Plan, findings: Mapping[str, tuple[Finding, ...]], scope: Scope, ours: frozenset[str],
        grants: tuple[Grant, ...] = (),
    ) -> None:  # fmt: skip
        self._recall = planned.recall
        self._parts = planned.parts
        self._profile = planned.profile
        self._segments = planned.segments
        self._slots = planned.slots
        self._languages = planned.languages
        self._findings = findings
        self._scope = scope
        self._ours = ours
        self._grants = grants
        # keyed hashes; a value that stands in many places of one tree needs them once
        self._placeholder = cache(partial(placeholder, scope.key))
        self._worth_a_look = cache(partial(worth_a_look, scope.key))
        self.counts: dict[str, int] = {}
        self.minted: dict[str, Minted] = {}
        self.blocked: list[tuple[str, str]] = []
        self.passed: dict[str, int] = {}
        self.suspects: dict[str, None] = {}
        self._again = Again(self.minted, self.suspects)
        self._walk = Walk()
        #: of the text at hand: what was minted, and what was found with what becomes of it
        self._fresh: list[str] = []
        self._found: list[tuple[str, Treatment]] = []
        #: where the values of the text at hand stood, and what is noted of the part at hand
        self._spans: list[Span] = []
        self._record: Record | None = None

    def part(self, part: Part, go_on: Callable[[], object]) -> object:
        """Return a part as it was made before, else walked, and remembered."""
        name, seen = self._parts.get(part.path, (None, None))
        if seen is not None:
            _add(self.counts, seen.counts)
            _add(self.passed, seen.passed)
            return part.value if seen.changes is None else self._again.value(part.value, seen.changes)
        if name is None or self._ours or self._recall is None:
            return go_on()
        counts, passed, blocked = self.counts, self.passed, len(self.blocked)
        record = self._record = Record()
        self.counts, self.passed = {}, {}
        after = go_on()
        if len(self.blocked) == blocked and (seen := record.seen(part, self.counts, self.passed)) is not None:
            self._recall.keep(name, seen)
        _add(counts, self.counts)
        _add(passed, self.passed)
        self.counts, self.passed, self._record = counts, passed, None
        return after

    def text(self, text: Text) -> str:
        """Return what stands there after."""
        if text.media:
            return self._media(text)
        if self._ours and token_of(text.value) in self._ours:
            return text.value
        blocked = len(self.blocked)
        self._fresh, self._found, self._spans = [], [], []
        after = self._redacted(text)
        if after == text.value:
            return text.value  # the same object: nothing changed
        if self._record is not None:
            self._note(text, self._record)
        return after if text.is_key or len(self.blocked) > blocked else self._placed(text, after)

    def _placed(self, text: Text, after: str) -> str:
        """Return what stands for a text: `after`, or what fits where a schema asks for more, or what is blocked."""
        slot = None if self._slots is None else self._slots.at(text.pointer)
        if text.is_number and (entity := self._misled(text, slot)) is not None:
            self._take_back()
            self.blocked.append((entity, text.pointer))
            return text.value
        if slot is None or slot.fits(_json(text, after)) or not slot.fits(_json(text, text.value)):
            return after
        return self._fitting(text, slot)

    def _take_back(self) -> None:
        for token in self._fresh:
            del self.minted[token]

    def _misled(self, text: Text, slot: Slot | None) -> str | None:
        """Return the entity of a number for which another would be taken, `None` where that may be.

        That is one that cannot be put back where a grant says it is, or where a schema takes nothing but numbers: a
        text in its place would be seen to be wrong, another number is not.
        """
        is_short = len(text.value.lstrip("-")) < NUMBER_RESTORED_DIGITS_MIN
        for entity, treatment in self._found:
            if not is_short and treatment == "placeholder":
                continue
            if any(grant.covers(entity, text.pointer) for grant in self._grants):
                return entity
            if treatment == "placeholder" and slot is not None and not slot.fits(self._placeholder(entity, text.value)):
                return entity
        return None

    def _note(self, text: Text, record: Record) -> None:
        if text.is_key or text.is_number or self._slots is not None:
            record.is_repeatable = False  # not by splicing alone
            return
        whole = len(self._spans) == 1 and self._spans[0].end - self._spans[0].start == len(text.value)
        is_suspect = not whole and self._worth_a_look(text.value)
        record.changed.append((text.path, text.value, Spans(tuple(self._spans), is_suspect)))

    def _fitting(self, text: Text, slot: Slot) -> str:
        """Return what fits a place that takes no placeholder; the whole text is one value then."""
        self._take_back()
        entity, treatment = min(self._found, key=lambda one: STRICTEST_FIRST.index(one[1]))
        digits = text.value.lstrip("-")
        sign = text.value[: len(text.value) - len(digits)] if text.is_number else ""
        made = None
        if self.blocked or slot.closed:
            pass  # the call is refused already, or nothing else fits
        elif text.is_number:
            made = stand_in_number(self._scope.key, digits, lambda one: slot.fits(int(f"{sign}{one}")), self._walk)
        else:
            made = stand_in(self._scope.key, entity, text.value, slot, self._walk)
        if made is None:
            self.blocked.append((entity, text.pointer))
            return text.value
        if treatment == "placeholder":
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
        at = 0
        for segment in self._segments[text.value]:
            known = self._findings[segment] if len(segment) >= CHARACTERS_MIN else ()
            parts.append(self._spliced(text, segment, known, at) if known else segment)
            at += len(segment)
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

    def _spliced(self, text: Text, segment: str, found: tuple[Finding, ...], begin: int = 0) -> str:
        """Return a segment, which begins at `begin` of its text, with what stands for its values."""
        parts: list[str] = []
        at = 0
        for finding in self._standing_alone(segment, found):
            value = segment[finding.start : finding.end]
            if not self._known(text, value):
                before, treatment = value, self._profile.rule(finding.entity).treatment
                value = self._treated(text, treatment, finding.entity, before)
                if self._record is not None:
                    self._spans.append(Span(
                        begin + finding.start, begin + finding.end, finding.entity,
                        None if treatment == "mask" else value, treatment == "placeholder", self._worth_a_look(before),
                    ))  # fmt: skip
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
        if treatment == "placeholder":
            self._mint(Minted(number_token(digits), entity, value))
        return digits


def _add(sums: dict[str, int], counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        sums[name] = sums.get(name, 0) + count


def _json(text: Text, written: str) -> object:
    return int(written) if text.is_number else written


def _is_word(character: str) -> bool:
    return character.isascii() and character.isalnum()
