"""Texts with their entities marked: open data and generated ones, in parts that never touch.

training      Broad Twitter Corpus but its end, WNUT 2017's training part, Wikigold's first articles, generated texts
development   the end of the Broad Twitter Corpus, Wikigold's next articles, generated texts with other names
judging       WNUT 2017's development part (comments on videos: a source of its own), Wikigold's last articles,
              generated texts with other templates and other names
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Final, cast

from training.ner.generate import Sample, samples
from training.ner.names import PLACE, names, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.ner.generate import Span
    from training.ner.names import Names

#: The last lines of the Broad Twitter Corpus, its newest section, are for development.
_TWEETS_DEVELOPMENT: Final = 1400
#: The last lines of the WNUT file are its development part: comments instead of posts.
_COMMENTS: Final = 1009
#: Wikigold's lines follow its articles; a few lines between the parts are used by none, so that no article is in two.
_WIKI_TRAINING: Final = slice(0, 790)
_WIKI_DEVELOPMENT: Final = slice(810, 940)
_WIKI_JUDGING: Final = slice(960, None)
_SEED: Final = 17
#: How often such a text is in lower case.
_SMALL: Final = 0.2
#: How often a place in a text whose people are others is another too.
_MOVED: Final = 0.4


def training(generated: int, seed: int) -> list[Sample]:
    """Return what the network learns from; `seed` changes the generated texts."""
    tweets = _open("btc")[:-_TWEETS_DEVELOPMENT]
    posts = _open("wnut17")[:-_COMMENTS]
    articles = _open("wikigold")[_WIKI_TRAINING]
    chance = random.Random(seed)
    peopled = [one for one in (*tweets, *posts, *articles) if any(span[2] == "PERSON" for span in one.spans)]
    # there are few of the articles, and they are what prose looks like
    renamed = [_renamed(one, chance) for one in (*peopled, *peopled, *articles, *articles)]
    return [*tweets, *posts, *articles, *articles, *renamed, *samples("training", generated, seed)]


def development(generated: int) -> dict[str, list[Sample]]:
    """Return what settings are chosen by."""
    return {
        "tweets": _open("btc")[-_TWEETS_DEVELOPMENT:],
        "wikigold": _open("wikigold")[_WIKI_DEVELOPMENT],
        "generated": list(samples("development", generated, _SEED)),
    }


def judging(generated: int) -> dict[str, list[Sample]]:
    """Return what is reported on, and nothing is chosen by."""
    return {
        "wikigold": _open("wikigold")[_WIKI_JUDGING],
        "comments": _open("wnut17")[-_COMMENTS:],
        "generated": list(samples("judging", generated, _SEED)),
    }


def _open(name: str) -> list[Sample]:
    return list(_read(name))


def _read(name: str) -> Iterator[Sample]:
    for line in (PLACE / "data" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        row = cast("dict[str, object]", json.loads(line))
        text = cast("str", row["text"])
        spans = (cast("Span", tuple(span)) for span in cast("list[list[object]]", row["spans"]))
        yield Sample(text, tuple(span for span in spans if not _is_handle(text, span)), name)


def _is_handle(text: str, span: Span) -> bool:
    """Say whether `span` is an account or a tag (`@one`, `#one`): only one corpus marks them as persons."""
    sign = text[max(0, span[0] - 1) : span[0] + 1]
    return span[2] == "PERSON" and ("@" in sign or "#" in sign)


def _renamed(one: Sample, chance: random.Random) -> Sample:
    """Return `one` with others in it: what is said of people is the same for names of every culture."""
    group = chance.choice(names("training"))
    text, at = "", 0
    spans: list[Span] = []
    called: dict[str, str] = {}
    for start, end, label in one.spans:
        text += one.text[at:start]
        value = one.text[start:end]
        if label == "PERSON" or (label == "LOCATION" and chance.random() < _MOVED):
            value = called.setdefault(value, _other(value, label, group, chance))
        spans.append((len(text), len(text) + len(value), label))
        text += value
        at = end
    text += one.text[at:]
    small = text.lower()
    # posts are written in lower case by many
    return Sample(small if chance.random() < _SMALL and len(small) == len(text) else text, tuple(spans), one.group)


def _other(value: str, label: str, group: Names, chance: random.Random) -> str:
    if label == "LOCATION":
        other = chance.choice(words("training")[chance.choice(("city", "city", "region", "country"))])
    elif " " in value:
        other = f"{chance.choice(group.first)} {chance.choice(group.last)}"
    else:
        other = chance.choice(chance.choice((group.first, group.last)))
    return other.lower() if value.islower() else other.upper() if value.isupper() else other
