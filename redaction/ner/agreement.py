"""What both name finders say of a text, made one: what is found, with how much to be said for it.

The network's finds count by their probability. The language model's count where the network does not rule them out:
trained on news and the web, it takes products, identifiers and titles for people. A text in which the network rules
everything out need not be shown to the language model at all; nothing that would count is lost by that.
The bounds were chosen on development texts (`training/ner/corpus.py`), never on those that are reported on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from redaction.ner.network import ENTITIES, Tagged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redaction.ner.network import Floats

#: Log probability taken from "no name" when the network's labels are chosen: what is doubtful is found, with its score.
LENIENCE: Final = 1.0
#: Finds of less are nothing, under any profile.
SCORE_MIN: Final = 0.35
#: How probable an entity must be to the network, at its most probable word, for the language model's find to count.
RULED_OUT: Final = 0.05
#: What the language model's find counts for by itself, and with the network.
_ALONE: Final = 0.5
_BOTH: Final = 0.85


def may_hold(chances: Floats) -> bool:
    """Return whether a text may hold a name that the language model should be asked for.

    `chances` holds the network's probability of each kind at each word.
    """
    return bool((chances >= RULED_OUT).any())


def agreed(chances: Floats, ours: Iterable[Tagged], theirs: Iterable[Tagged]) -> list[Tagged]:
    """Return the entities of one text, in order and apart; where both overlap, the whole, by who is surer.

    `chances` holds the network's probability of each kind at each word.
    """
    found: list[Tagged] = []
    known = [Tagged(one.start, one.end, one.entity, _score(chances, one)) for one in theirs]
    counting = [one for one in (*ours, *known) if one.score >= SCORE_MIN]
    for one in sorted(counting, key=lambda tagged: (tagged.start, tagged.end)):
        before = found[-1] if found else None
        if before is None or one.start >= before.end:
            found.append(one)
            continue
        score = max(before.score, one.score, _BOTH if before.entity == one.entity else 0.0)
        found[-1] = Tagged(before.start, max(before.end, one.end), _stronger(before, one), score)
    return found


def _stronger(one: Tagged, other: Tagged) -> str:
    # profiles are milder with organisations than with people: in doubt, a person
    if {one.entity, other.entity} == {"PERSON", "ORGANIZATION"}:
        return "PERSON"
    return one.entity if one.score >= other.score else other.entity


def _score(chances: Floats, one: Tagged) -> float:
    chance = float(chances[one.start : one.end, ENTITIES.index(one.entity)].max())
    return _ALONE + (1 - _ALONE) * chance if chance >= RULED_OUT else 0.0
