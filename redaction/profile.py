"""Profiles: which finds count, from which score, and what becomes of them.

ProfilesInvalid    the file holds no usable profiles; the message lists every reason with its line
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, TypeVar, cast

from redaction.placeholder import ENTITIES
from redaction.yaml_file import YamlUnusable, read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from redaction.finding import Direction, Treatment

_T = TypeVar("_T")
#: What becomes of a call with content nobody can look into.
Unscanned = Literal["pass", "block"]
#: Strictest first.
STRICTEST_FIRST: Final[tuple[Treatment, ...]] = ("block", "drop", "mask", "placeholder", "keep")
_KNOWN: Final = frozenset({
    "inspect", "threshold", "default", "entities", "outward", "inward", "allow", "unscanned", "shadow", "description",
})  # fmt: skip
#: In an allow list: values of every kind.
_EVERY: Final = "*"


class ProfilesInvalid(Exception):  # noqa: N818 - says what is known of the file
    """The file holds no usable profiles."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of finds of one entity, from which score on."""

    treatment: Treatment
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A named choice. With `inspects` false nothing is looked at, and the audit says so.

    `outward` and `inward` are rules for one direction, before `entities`. `allow` are values of an entity (`*`:
    of any) that are nobody's secret, as texts with `*` for any characters. `unscanned` says what becomes of
    calls with images, audio and documents. A `shadow` changes nothing, and says what it would have changed.
    """

    name: str
    inspects: bool
    default: Rule
    entities: Mapping[str, Rule] = field(default_factory=dict[str, Rule])
    outward: Mapping[str, Rule] = field(default_factory=dict[str, Rule])
    inward: Mapping[str, Rule] = field(default_factory=dict[str, Rule])
    allow: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    unscanned: Unscanned = "pass"
    shadow: bool = False

    def rule(self, entity: str) -> Rule:
        """Return the rule for `entity`."""
        return self.entities.get(entity, self.default)

    def toward(self, direction: Direction) -> Profile:
        """Return the profile with the rules of one direction in force."""
        rules = self.outward if direction == "outward" else self.inward
        if not rules and not (self.outward or self.inward):
            return self
        return replace(self, entities={**self.entities, **rules}, outward={}, inward={})

    def allows(self, entity: str, value: str) -> bool:
        """Return whether `value` is listed as nobody's secret."""
        if not self.allow:
            return False
        plain = value.casefold().strip()
        listed = (*self.allow.get(entity, ()), *self.allow.get(_EVERY, ()))
        return any(_listed(pattern).fullmatch(plain) is not None for pattern in listed)

    @property
    def masks(self) -> bool:
        """Whether anything it finds is masked."""
        return self.inspects and any(rule.treatment == "mask" for rule in self._rules())

    @property
    def digest(self) -> str:
        """Return what names the profile's meaning."""
        meaning = repr((self.inspects, self.default, sorted(self.entities.items())))
        allowed = sorted((entity, sorted(values)) for entity, values in self.allow.items())
        further = (sorted(self.outward.items()), sorted(self.inward.items()), allowed, self.unscanned, self.shadow)
        if any(further[:3]) or self.unscanned != "pass" or self.shadow:
            meaning += repr(further)
        return hashlib.sha256(meaning.encode()).hexdigest()[:16]

    def _rules(self) -> tuple[Rule, ...]:
        return (self.default, *self.entities.values(), *self.outward.values(), *self.inward.values())


def load_profiles(path: Path) -> Mapping[str, Profile]:
    """Return the profiles in `path` by name. Raises `ProfilesInvalid`."""
    try:
        tree = read_yaml(path, "profiles")
    except YamlUnusable as error:
        raise ProfilesInvalid(str(error)) from None
    if not isinstance(tree, dict) or not tree:
        raise ProfilesInvalid(f"{path}:1: expected a map of profile names")
    problems: list[str] = []
    found: dict[str, Profile] = {}
    for name, content in cast("dict[object, object]", tree).items():
        line = _line(cast("object", tree), name, 1)
        found[str(name)] = _profile(str(name), content, line, problems)
    if problems:
        raise ProfilesInvalid("\n".join(f"{path.name}:{problem}" for problem in problems))
    return found


def combine(profiles: Sequence[Profile]) -> Profile:
    """Return the strictest of all: per entity block > drop > mask > placeholder > keep, lowest threshold.

    Only what all allow is allowed; what one blocks unscanned is blocked; a shadow changes nothing of what
    another one demands.
    """
    first, *rest = profiles
    for other in rest:
        if first.shadow or other.shadow or not first.inspects or not other.inspects:
            first = _heard(first, other)
            continue
        first = Profile(
            name=f"{first.name}+{other.name}",
            inspects=True,
            default=_strictest(first.default, other.default),
            entities=_merged(first, other),
            outward=_merged(first.toward("outward"), other.toward("outward")) if _directed(first, other) else {},
            inward=_merged(first.toward("inward"), other.toward("inward")) if _directed(first, other) else {},
            allow={
                entity: both
                for entity in first.allow
                if (both := first.allow[entity] & other.allow.get(entity, frozenset()))
            },
            unscanned="block" if "block" in (first.unscanned, other.unscanned) else "pass",
        )
    return first


def _heard(one: Profile, other: Profile) -> Profile:
    """Return the one that says something, where not both do: who looks at nothing, or changes nothing, adds nothing."""
    return min(one, other, key=lambda profile: (not profile.inspects, profile.shadow))


def _merged(one: Profile, other: Profile) -> dict[str, Rule]:
    named = one.entities.keys() | other.entities.keys()
    return {entity: _strictest(one.rule(entity), other.rule(entity)) for entity in named}


def _directed(*profiles: Profile) -> bool:
    return any(profile.outward or profile.inward for profile in profiles)


@lru_cache(maxsize=4096)
def _listed(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.casefold().split("*"))), re.DOTALL)


def _strictest(one: Rule, other: Rule) -> Rule:
    # what one profile keeps has no threshold to give; else each profile's finds are treated at least as it demands
    thresholds = [rule.threshold for rule in (one, other) if rule.treatment != "keep"]
    strict = min(one, other, key=lambda rule: STRICTEST_FIRST.index(rule.treatment))
    return Rule(strict.treatment, min(thresholds, default=min(one.threshold, other.threshold)))


def _profile(name: str, content: object, line: int, problems: list[str]) -> Profile:
    """Return the profile, every problem noted as `line: what`."""
    broken = Profile(name=name, inspects=True, default=Rule("block", 0.0))
    if not isinstance(content, dict):
        problems.append(f"{line}: profile `{name}`: expected a map")
        return broken
    said = cast("dict[str, object]", content)

    def read(part: Mapping[str, object], key: str, read_value: Callable[[object], _T], instead: _T) -> _T:
        try:
            return read_value(part[key]) if key in part else instead
        except ValueError as error:
            problems.append(f"{_line(part, key, line)}: profile `{name}`: {error}")
            return instead

    problems += [
        f"{_line(said, key, line)}: profile `{name}`: unknown key `{key}`; expected one of {', '.join(sorted(_KNOWN))}"
        for key in said
        if key not in _KNOWN
    ]
    threshold = read(said, "threshold", _threshold, 0.5)
    default = Rule(read(said, "default", _treatment, "placeholder"), threshold)
    inspects = read(said, "inspect", _inspect, True)  # noqa: FBT003 - what a profile does that does not say

    def rules(key: str) -> dict[str, Rule]:
        listed = read(said, key, _entities, {})
        return {entity: read(listed, entity, lambda rule, at=entity: _rule(at, rule, threshold), default)
                for entity in listed}  # fmt: skip

    return Profile(
        name=name, inspects=inspects, default=default, entities=rules("entities"), outward=rules("outward"),
        inward=rules("inward"), allow=read(said, "allow", _allow, {}),
        unscanned=read(said, "unscanned", _unscanned, "pass"),
        shadow=read(said, "shadow", _shadow, False),  # noqa: FBT003 - as above
    )  # fmt: skip


def _inspect(said: object) -> bool:
    if not isinstance(said, bool):
        raise ValueError("`inspect` must be true or false")  # noqa: TRY004 - wrong in the file, not in the program
    return said


def _shadow(said: object) -> bool:
    if not isinstance(said, bool):
        raise ValueError("`shadow` must be true or false")  # noqa: TRY004 - as above
    return said


def _unscanned(said: object) -> Unscanned:
    if said not in ("pass", "block"):
        raise ValueError(f"unknown choice `{said}` of `unscanned`; expected pass, block")
    return "block" if said == "block" else "pass"


def _allow(said: object) -> Mapping[str, frozenset[str]]:
    listed = _entities(said)
    found: dict[str, frozenset[str]] = {}
    for entity, values in listed.items():
        if entity not in (*ENTITIES, _EVERY):
            raise ValueError(f"`allow`: unknown entity `{entity}`; expected `*` or one of {', '.join(ENTITIES)}")
        texts = cast("list[object]", values) if isinstance(values, list) else []
        if not texts or not all(isinstance(one, str) and one.strip("* ") for one in texts):
            raise ValueError(f"`allow`: expected a list of texts for `{entity}`, each more than `*`")
        found[entity] = frozenset(str(one) for one in texts)
    return found


def _entities(said: object) -> Mapping[str, object]:
    if not isinstance(said, dict):
        raise ValueError("expected a map of entities")  # noqa: TRY004 - as above
    return cast("dict[str, object]", said)


def _rule(entity: str, said: object, threshold: float) -> Rule:
    if entity not in ENTITIES:
        raise ValueError(f"unknown entity `{entity}`; expected one of {', '.join(ENTITIES)}")
    if not isinstance(said, dict):
        return Rule(_treatment(said), threshold)
    named = cast("dict[str, object]", said)
    if unknown := named.keys() - {"treatment", "threshold"}:
        raise ValueError(f"unknown key `{min(map(str, unknown))}` of `{entity}`; expected treatment, threshold")
    return Rule(_treatment(named.get("treatment")), _threshold(named.get("threshold", threshold)))


def _treatment(said: object) -> Treatment:
    for known in STRICTEST_FIRST:
        if said == known:
            return known
    raise ValueError(f"unknown treatment `{said}`; expected one of {', '.join(STRICTEST_FIRST)}")


def _threshold(said: object) -> float:
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said <= 1:
        raise ValueError("`threshold` must be a number from 0 to 1")
    return float(said)


def _line(tree: object, name: object, otherwise: int) -> int:
    place = getattr(tree, "lc", None)
    try:
        return otherwise if place is None else cast("int", place.key(name)[0]) + 1
    except (KeyError, TypeError):
        return otherwise
