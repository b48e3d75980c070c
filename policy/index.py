"""Where the lines about a resource are found: by its whole name or part by part, and there by subject.

Nothing is remembered of what was looked for: callers choose names, and a look-up costs the same the first time and
the thousandth, whatever the number of lines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from policy.resources import SegmentGlob

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from policy.conditions import Condition
    from policy.decision import LineRef, Obligations
    from policy.lines import Rule

ANY_ROLE: Final = "role:any"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the lines say about one subject."""

    effect: str
    line: LineRef | None
    obligations: Obligations
    error: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A `p` line ready to be decided by: its place among all, its condition, what it says where that holds."""

    place: int
    rule: Rule
    condition: Condition | None
    verdict: Verdict


#: lines by their subject, each in the order of the files
_Lines = dict[str, list[Line]]
_place = attrgetter("place")


@dataclass(slots=True)
class _Node:
    """What follows the parts read so far. Patterns with `*` stand under the text they begin or else end with."""

    literal: dict[str, _Node] = field(default_factory=dict[str, "_Node"])
    starting: dict[str, list[tuple[SegmentGlob, _Node]]] = field(
        default_factory=dict[str, list[tuple[SegmentGlob, "_Node"]]]
    )
    ending: dict[str, list[tuple[SegmentGlob, _Node]]] = field(
        default_factory=dict[str, list[tuple[SegmentGlob, "_Node"]]]
    )
    here: _Lines = field(default_factory=dict[str, list[Line]])
    below: _Lines = field(default_factory=dict[str, list[Line]])
    #: the lengths of the texts in `starting` and `ending`, ascending
    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()

    def after_glob(self, part: str) -> Iterator[_Node]:
        """Yield what follows `part` for every pattern with `*` that fits it."""
        size = len(part)
        for length in self.starts:
            if length > size:
                break
            for glob, inner in self.starting.get(part[:length], ()):
                if glob.matches(part):
                    yield inner
        for length in self.ends:
            if length > size:
                break
            for glob, inner in self.ending.get(part[size - length :], ()):
                if glob.matches(part):
                    yield inner

    def under(self, glob: SegmentGlob) -> _Node:
        """Return the node behind a pattern with `*`, made where there is none."""
        texts = self.starting if glob.texts[0] else self.ending
        fixed = glob.texts[0] or glob.texts[-1]
        alike = texts.setdefault(fixed, [])
        inner = next((one for known, one in alike if known == glob), None)
        if inner is None:
            alike.append((glob, inner := _Node()))
            if texts is self.starting:
                self.starts = tuple(sorted({*self.starts, len(fixed)}))
            else:
                self.ends = tuple(sorted({*self.ends, len(fixed)}))
        return inner


class Index:
    """All `p` lines of a set; immutable."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._whole: dict[str, _Lines] = {}
        self._root = _Node()
        self._patterns = False
        for line in lines:
            self._place_of(line.rule).setdefault(line.rule.subject, []).append(line)

    def about(self, resource: str, action: str, domain: str, names: frozenset[str]) -> list[Line]:
        """Return the lines about `resource`, `action` and one of `names` of `domain`, in the order of the files."""
        found: list[Line] = []
        if (whole := self._whole.get(resource)) is not None:
            _gather(whole, names, found)
        if self._patterns:
            self._walk(resource.split("/"), names, found)
        # two comparisons are quicker than a set made each time
        near = [
            line for line in found
            if (line.rule.domain == domain or line.rule.domain == "*")  # noqa: PLR1714
            and (line.rule.action == action or line.rule.action == "*")  # noqa: PLR1714
        ]  # fmt: skip
        if len(near) > 1:
            near.sort(key=_place)
        return near

    def _walk(self, parts: list[str], names: frozenset[str], found: list[Line]) -> None:
        nodes = [self._root]
        for part in parts:
            following: list[_Node] = []
            for node in nodes:
                if node.below:
                    _gather(node.below, names, found)
                if (literal := node.literal.get(part)) is not None:
                    following.append(literal)
                if node.starts or node.ends:
                    following += node.after_glob(part)
            nodes = following
            if not nodes:
                return
        for node in nodes:
            if node.here:
                _gather(node.here, names, found)

    def _place_of(self, rule: Rule) -> _Lines:
        pattern = rule.pattern
        texts = [segment for segment in pattern.segments if isinstance(segment, str)]
        if not pattern.rest and len(texts) == len(pattern.segments):
            return self._whole.setdefault("/".join(texts), {})
        self._patterns = True
        node = self._root
        for segment in pattern.segments:
            if isinstance(segment, SegmentGlob):
                node = node.under(segment)
            else:
                node = node.literal.setdefault(segment, _Node())
        return node.below if pattern.rest else node.here


def _gather(lines: _Lines, names: frozenset[str], found: list[Line]) -> None:
    """Add those of `lines` that are about one of `names`; the shorter of both is gone through."""
    if len(lines) <= len(names):
        for subject, its in lines.items():
            if subject in names or subject == ANY_ROLE:
                found += its
        return
    for name in names:
        if (its := lines.get(name)) is not None:
            found += its
    if ANY_ROLE not in names and (its := lines.get(ANY_ROLE)) is not None:
        found += its
