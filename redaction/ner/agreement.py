"""What both name finders say of a text, made one: what is found, with how much to be said for it.

The network's finds count by their probability, which in its second reading knows what the language model took each
word for. The language model's own finds count where the network has something to be said for them: trained on news
and the web, it takes products, identifiers and titles for people. But what is written as a whole name is, two or three
capitalised words, counts unless the network takes it for something else: nobody's name is a product to lose. So does
what it takes for something else and begins with a given name that is also a word (`Grace`, `Hope`, `Will`). A text that
holds no such words and in which the network rules everything out need not be shown to the language model at all;
nothing that would count is lost by that. Nor is one shown to it in which the network is certain of every word that may
be of a name: on development texts recall and precision of every kind stayed what they were.
The bounds were chosen on development texts (`training/ner/corpus.py`), never on those that are reported on.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from redaction.ner.given import GIVEN
from redaction.ner.network import ENTITIES, Tagged

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redaction.ner.network import Floats

#: Log probability taken from "no name" when the network's labels are chosen: what is doubtful is found, with its score.
LENIENCE: Final = 1.0
#: Finds of less are nothing, under any profile.
SCORE_MIN: Final = 0.35
#: How probable an entity must be to the network, at its most probable word, for the language model's find to count.
RULED_OUT: Final = 0.05
#: What the language model's find counts for by itself, what a whole name does, and what both finders' find does.
_ALONE: Final = 0.3
_WHOLE: Final = 0.5
_BOTH: Final = 0.85
#: From where on the network takes a word for one of a name, of whatever kind.
_TAKEN: Final = 0.5
#: From where on the network's place is no person, whatever the language model says.
_SURE: Final = 0.9
#: How probable a person or a place must be to the network at a word for which it needs nobody else.
_CERTAIN: Final = 0.98
#: Words of a name that the network does not get to rule out.
_PARTS_MAX: Final = 3


def may_hold(chances: Floats, words: Sequence[str]) -> bool:
    """Return whether a text may hold a name that the language model should be asked for.

    `chances` holds the network's probability of each kind at each of its `words`.
    """
    if (chances >= RULED_OUT).any():
        return True
    return any(_as_name(one) and _as_name(other) for one, other in pairwise(words))


def in_doubt(chances: Floats, words: Sequence[str]) -> bool:
    """Return whether the language model is to be asked of a text: where the network is not sure of every word.

    It is sure of a word that it takes for none of a name, for a person's or for a place's, and of a whole name if of
    both words. Organisations are never sure: profiles are milder with them, and the other may see a person.
    """
    sure = (chances[:, : ENTITIES.index("ORGANIZATION")] >= _CERTAIN).any(axis=1)
    if ((chances >= RULED_OUT).any(axis=1) & ~sure).any():
        return True
    named = cast("list[bool]", sure.tolist())
    return any(
        _as_name(one) and _as_name(other) and not (named[at] and named[at + 1])
        for at, (one, other) in enumerate(pairwise(words))
    )


def agreed(chances: Floats, words: Sequence[str], ours: Iterable[Tagged], theirs: Iterable[Tagged]) -> list[Tagged]:
    """Return the entities of one text, in order and apart; where both overlap, the whole, by who is surer.

    `chances` holds the network's probability of each kind at each of its `words`.
    """
    found: list[Tagged] = []
    known = [_weighed(chances, words, one) for one in theirs]
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
    surer = one if one.score >= other.score else other
    if "PERSON" not in {one.entity, other.entity}:
        return surer.entity
    # profiles are milder with organisations than with people, and a name is given back to whom it was taken from
    # under what it is: in doubt, a person
    sure = surer.entity == "LOCATION" and surer.score >= _SURE
    return surer.entity if sure else "PERSON"


def _weighed(chances: Floats, words: Sequence[str], one: Tagged) -> Tagged:
    """Return the language model's find as what it is, of the words that it is of, and with what it counts for."""
    kind = ENTITIES.index(one.entity)
    among = chances[one.start : one.end]
    counts = _ALONE + (1 - _ALONE) * float(among[:, kind].max())
    parts = words[one.start : one.end]
    whole = 1 < len(parts) <= _PARTS_MAX and all(map(_as_name, parts))
    taken = bool((among.sum(axis=1) >= _TAKEN).any())
    # `Grace Hopper` is an organisation to the one and a common word to the other
    if whole and not taken and (one.entity == "PERSON" or parts[0].lower() in GIVEN):
        return Tagged(one.start, one.end, "PERSON", max(_WHOLE, counts))
    # the language model likes to take words beside a name with it
    named = np.flatnonzero(among.sum(axis=1) >= RULED_OUT).tolist()
    if among[:, kind].max() < RULED_OUT:
        return Tagged(one.start, one.end, one.entity, 0.0)
    return Tagged(one.start + named[0], one.start + named[-1] + 1, one.entity, counts)


def _as_name(word: str) -> bool:
    return len(word) > 1 and word[0].isupper() and word[1:].islower()
