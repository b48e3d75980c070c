"""Names of people and words for slots, told apart into training, development and judging by a hash of each."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast

import numpy as np

from redaction.ner.lists import LISTS, hash_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Part = Literal["training", "development", "judging"]
PLACE: Final = Path(__file__).parent
#: Of twenty shares: three are judged on, two are developed on.
_SHARES: Final = 20
_JUDGING: Final = 3
_DEVELOPMENT: Final = 5
#: How many of a list are frequent ones.
_FREQUENT: Final = {"given": 500, "family": 2000, "places": 1500}
#: Shorter pieces of a name are particles.
_PIECE_MIN: Final = 4
#: Groups so small or so close that they are told together.
_GROUP_OF: Final = {
    "polish": "west_slavic", "icelandic": "nordic", "maghreb": "arabic", "ethiopian": "east_african",
    "armenian_georgian": "caucasian", "hawaiian_pacific": "pacific",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Names:
    """The first and last names of one group of cultures, in one part."""

    group: str
    first: tuple[str, ...]
    last: tuple[str, ...]


def part_of(word: str) -> Part:
    """Return the part `word` belongs to, however it is written and in whatever list it stands."""
    share = hashlib.sha256(word.casefold().encode()).digest()[0] % _SHARES
    if share < _JUDGING:
        return "judging"
    return "development" if share < _DEVELOPMENT else "training"


@cache
def names(part: Part) -> tuple[Names, ...]:
    """Return the groups' names of `part`."""
    first: defaultdict[str, set[str]] = defaultdict(set)
    last: defaultdict[str, set[str]] = defaultdict(set)
    for group, kind, name in _listed():
        if _part_of_name(name) == part:
            (first if kind == "first" else last)[_GROUP_OF.get(group, group)].add(name)
    return tuple(Names(group, tuple(sorted(first[group])), tuple(sorted(last[group]))) for group in sorted(first))


@cache
def words(part: Part) -> dict[str, tuple[str, ...]]:
    """Return the words of each slot in `part`; short lists, such as the months, are the same in all."""
    found: dict[str, tuple[str, ...]] = {}
    for line in (PLACE / "words.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        slot, _, listed = line.partition(": ")
        every = tuple(dict.fromkeys(listed.split(";")))
        found[slot] = every if slot in ALIKE else tuple(word for word in every if part_of(word) == part)
    return found


def lists() -> dict[str, NDArray[np.uint32]]:
    """Return the lists of `redaction.ner.lists` as it keeps them, without what is developed with or judged on."""
    found: dict[str, NDArray[np.uint32]] = {}
    for name in LISTS:
        kind, _, frequent = name.partition("_")
        lines = (PLACE / "lists" / f"{kind}.txt").read_text(encoding="utf-8").splitlines()
        every = [word for line in lines if not line.startswith("#") for word in line.split()]
        some = every[: _FREQUENT[kind]] if frequent else every
        found[name] = np.unique(np.array([hash_of(word) for word in some if part_of(word) == "training"], np.uint32))
    return found


#: Slots whose few words everybody uses.
ALIKE: Final = frozenset({"month", "weekday", "org_tail", "relation", "title", "street_tail", "department", "status"})


def _part_of_name(name: str) -> Part:
    # a name of several words belongs where its rarest use would do least harm: judged if any word is judged on
    pieces = (word for word in name.replace("-", " ").split() if len(word) >= _PIECE_MIN)
    parts = {part_of(word) for word in (name, *pieces)}
    for part in ("judging", "development"):
        if part in parts:
            return part
    return "training"


def _listed() -> Iterable[tuple[str, str, str]]:
    for line in (PLACE / "names" / "composed.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            head, _, listed = line.partition(": ")
            group, kind = head.split()
            yield from ((group, kind, name) for name in listed.split() if name not in {"Van", "der"})
    faker = cast("dict[str, dict[str, list[str]]]", json.loads((PLACE / "names" / "faker.json").read_text("utf-8")))
    for group, kinds in faker.items():
        for kind, listed in kinds.items():
            yield from ((group, kind, name.title() if name.isupper() else name) for name in listed)
