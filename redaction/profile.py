"""Profiles: which finds count, from which score, and what becomes of them.

ProfilesInvalid    the file holds no usable profiles; the message lists every reason with its line
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from redaction.placeholder import ENTITIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from redaction.finding import Treatment

#: Strictest first.
STRICTEST_FIRST: Final[tuple[Treatment, ...]] = ("block", "drop", "mask", "placeholder", "keep")
_KNOWN: Final = frozenset({"inspect", "threshold", "default", "entities", "description"})


class ProfilesInvalid(Exception):  # noqa: N818 - says what is known of the file
    """The file holds no usable profiles."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of finds of one entity, from which score on."""

    treatment: Treatment
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A named choice. With `inspects` false nothing is looked at, and the audit says so."""

    name: str
    inspects: bool
    default: Rule
    entities: Mapping[str, Rule] = field(default_factory=dict[str, Rule])

    def rule(self, entity: str) -> Rule:
        """Return the rule for `entity`."""
        return self.entities.get(entity, self.default)

    @property
    def digest(self) -> str:
        """Return what names the profile's meaning."""
        meaning = repr((self.inspects, self.default, sorted(self.entities.items())))
        return hashlib.sha256(meaning.encode()).hexdigest()[:16]


def load_profiles(path: Path) -> Mapping[str, Profile]:
    """Return the profiles in `path` by name. Raises `ProfilesInvalid`."""
    try:
        tree: object = YAML(typ="rt", pure=True).load(path.read_text(encoding="utf-8"))  # pyright: ignore[reportUnknownMemberType] - untyped
    except (OSError, UnicodeDecodeError):
        raise ProfilesInvalid(f"{path}:0: expected a readable file of profiles") from None
    except YAMLError:
        raise ProfilesInvalid(f"{path}:1: not usable YAML") from None
    if not isinstance(tree, dict) or not tree:
        raise ProfilesInvalid(f"{path}:1: expected a map of profile names")
    problems: list[str] = []
    found: dict[str, Profile] = {}
    for name, content in cast("dict[object, object]", tree).items():
        line = _line(cast("object", tree), name)
        try:
            found[str(name)] = _profile(str(name), content)
        except ValueError as error:
            problems.append(f"{path.name}:{line}: profile `{name}`: {error}")
    if problems:
        raise ProfilesInvalid("\n".join(problems))
    return found


def combine(profiles: Sequence[Profile]) -> Profile:
    """Return the strictest of all: per entity block > drop > mask > placeholder > keep, lowest threshold."""
    first, *rest = profiles
    for other in rest:
        if not first.inspects or not other.inspects:  # what looks at nothing adds nothing
            first = other if not first.inspects else first
            continue
        named = first.entities.keys() | other.entities.keys()
        entities = {entity: _strictest(first.rule(entity), other.rule(entity)) for entity in named}
        first = Profile(
            name=f"{first.name}+{other.name}",
            inspects=True,
            default=_strictest(first.default, other.default),
            entities=entities,
        )
    return first


def _strictest(one: Rule, other: Rule) -> Rule:
    # what one profile keeps has no threshold to give; else each profile's finds are treated at least as it demands
    thresholds = [rule.threshold for rule in (one, other) if rule.treatment != "keep"]
    strict = min(one, other, key=lambda rule: STRICTEST_FIRST.index(rule.treatment))
    return Rule(strict.treatment, min(thresholds, default=min(one.threshold, other.threshold)))


def _profile(name: str, content: object) -> Profile:
    if not isinstance(content, dict):
        raise ValueError("expected a map")  # noqa: TRY004 - wrong in the file, not in the program
    said = cast("dict[str, object]", content)
    if unknown := said.keys() - _KNOWN:
        raise ValueError(f"unknown key `{min(unknown)}`; expected one of {', '.join(sorted(_KNOWN))}")
    threshold = _threshold(said.get("threshold", 0.5))
    default = Rule(_treatment(said.get("default", "placeholder")), threshold)
    inspects = said.get("inspect", True)
    if not isinstance(inspects, bool):
        raise ValueError("`inspect` must be true or false")  # noqa: TRY004 - as above
    entities: dict[str, Rule] = {}
    listed = said.get("entities", {})
    if not isinstance(listed, dict):
        raise ValueError("`entities` must be a map of entity to treatment")  # noqa: TRY004 - as above
    for entity, rule in cast("dict[str, object]", listed).items():
        if entity not in ENTITIES:
            raise ValueError(f"unknown entity `{entity}`; expected one of {', '.join(ENTITIES)}")
        entities[entity] = _rule(rule, threshold)
    return Profile(name=name, inspects=inspects, default=default, entities=entities)


def _rule(said: object, threshold: float) -> Rule:
    if isinstance(said, dict):
        named = cast("dict[str, object]", said)
        return Rule(_treatment(named.get("treatment")), _threshold(named.get("threshold", threshold)))
    return Rule(_treatment(said), threshold)


def _treatment(said: object) -> Treatment:
    for known in STRICTEST_FIRST:
        if said == known:
            return known
    raise ValueError(f"unknown treatment `{said}`; expected one of {', '.join(STRICTEST_FIRST)}")


def _threshold(said: object) -> float:
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said <= 1:
        raise ValueError("`threshold` must be a number from 0 to 1")
    return float(said)


def _line(tree: object, name: object) -> int:
    place = getattr(tree, "lc", None)
    return 1 if place is None else cast("int", place.key(name)[0]) + 1
