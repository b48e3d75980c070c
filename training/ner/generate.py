"""Texts of agent traffic with their names marked, made from templates; the same seed makes the same texts."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from training.ner.names import ALIKE, PLACE, names, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from training.ner.names import Names, Part

Span = tuple[int, int, str]
_SLOT: Final = re.compile(r"\{(\w+)\}")
#: Cultures that put the family's name first, and how often their names are written so here.
_FAMILY_FIRST: Final = {"chinese": 0.4, "japanese": 0.25, "korean": 0.5, "vietnamese": 0.7, "hungarian_romanian": 0.15}
_WORDS_MIN: Final = 3
_IDS: Final = ("{:05d}", "INV-{:04d}", "#{:04d}", "TCK-{:05d}", "A{:06d}")
_MONEY: Final = ("${}", "{} EUR", "€{}", "£{}.50", "{} USD")
_MAIL: Final = ("info@example.{}", "j.d@example.{}", "user42@example.{}", "sales@example.{}")
_STREETS: Final = ("Main", "Oak", "High", "Station", "Mill")
#: How often a town or region is made up.
_PLACES: Final = 0.4
#: How often, of those, it is called after somebody, first name and last (the judged texts are older than this).
_AFTER_PEOPLE: Final = 0.1
_ORG_KINDS: Final = (
    "United", "City", "Rovers", "Church", "School", "College", "Museum", "Theatre", "Brigade", "Regiment",
    "Division", "Society", "Association", "Party", "Orchestra", "Railway", "Council", "Institute", "Club",
    "Records", "Press", "Times", "Herald",
)  # fmt: skip
_PLACE_ENDS: Final = (
    "by", "burg", "ville", "ton", "dorf", "stad", "pur", "abad", "owo", "sk", "berg", "heim", "hausen", "bach",
    "ovo", "ice", "ham", "ford", "wick", "mouth", "ia", "ano", "ella", "eira", "os", "an", "gan", "shima",
    "zawa", "chang", "shan", "istan", "vik", "nes", "lund", "holm", "haven", "minster", "bury", "field", "wood",
    "ac", "ignac", "eux", "ona", "ente", "kula",
)  # fmt: skip
_PLACE_BEGINNINGS: Final = (
    "San", "Santa", "Saint", "Port", "Mount", "Lake", "New", "Upper", "Lower", "Fort", "El", "La", "Bad",
    "Kreis", "Al", "North", "South", "Camp", "Rio", "Cape", "Villa", "Little", "Great", "Los", "Las", "Nizhny",
    "Stara",
)  # fmt: skip
_BAND_KINDS: Final = ("Band", "Trio", "Quartet", "Orchestra", "Brothers", "Sisters", "Experience", "Project", "Family")
_TEAM_KINDS: Final = (
    "United", "City", "Rovers", "Wanderers", "Athletic", "Lions", "Bears", "Eagles", "Hawks", "Rangers",
)  # fmt: skip
_PEOPLE_ENDS: Final = ("i", "an", "ian", "ese", "ish", "ite", "ites", "ic", "ani", "s")
_SHIPS: Final = ("USS", "HMS", "SS", "MV", "RMS", "HMCS", "the schooner", "the frigate", "the steamer")
_PLACE_KINDS: Final = (
    "Valley", "County", "Island", "Bay", "Hill", "Hills", "River", "Lake", "Park", "Mountains", "Beach",
    "Springs", "Creek", "Falls", "Province", "District", "Harbour", "Square", "Bridge", "Castle", "Hall",
    "Station", "Airport", "Forest",
)  # fmt: skip
#: How often identifiers, titles and products are put together anew instead of taken from their list.
_MADE: Final = 0.6


@dataclass(frozen=True, slots=True)
class Sample:
    """A text, its entities as (start, end, label) in characters, and the group its names are of."""

    text: str
    spans: tuple[Span, ...]
    group: str


def samples(part: Part, count: int, seed: int) -> Iterator[Sample]:
    """Yield `count` texts for `part`: held-out templates and held-out names for judging."""
    chance = random.Random(f"{part} {seed}")
    hand = _Writer(part, chance)
    lines = templates(part)
    for _ in range(count):
        yield hand.sample(lines)


@cache
def templates(part: Part) -> tuple[str, ...]:
    """Return the templates of `part`; development has those of training, with other names."""
    name = "heldout.txt" if part == "judging" else "training.txt"
    listed = (PLACE / "templates" / name).read_text(encoding="utf-8").splitlines()
    return tuple(line for line in listed if line and not line.startswith("# "))


class _Writer:
    """Fills templates by chance."""

    def __init__(self, part: Part, chance: random.Random) -> None:
        self._part: Part = part
        self._chance = chance
        # a group with a handful of held-out names would only repeat them
        self._groups = [group for group in names(part) if min(len(group.first), len(group.last)) >= _WORDS_MIN]
        everything = {slot: tuple(word for one in ("training", "judging") for word in words(one)[slot])
                      for slot in words(part)}  # fmt: skip
        self._words = {
            slot: listed if len(listed) >= _WORDS_MIN or slot in ALIKE else everything[slot]
            for slot, listed in words(part).items()
        }
        self._group: Names = self._groups[0]
        self._made: dict[str, Callable[[], str]] = {
            "code": self._code, "thing": self._phrase, "product": self._product, "people": self._people,
        }  # fmt: skip

    def sample(self, lines: tuple[str, ...]) -> Sample:
        self._group = self._chance.choice(self._groups)
        roll = self._chance.random()
        if roll < 0.12 and self._part != "judging":
            text, spans = self._record()
        elif roll < 0.22:
            text, spans = self._value()
        else:
            text, spans = self._filled(self._chance.choice(lines))
            while self._chance.random() < 0.25 and len(text) < 300:
                more, others = self._filled(self._chance.choice(lines))
                gap = self._chance.choice((" ", " ", "\n", ". "))
                spans += [
                    (start + len(text) + len(gap), end + len(text) + len(gap), label) for start, end, label in others
                ]
                text += gap + more
        return Sample(*self._cased(text, spans), self._group.group)

    def _cased(self, text: str, spans: list[Span]) -> tuple[str, tuple[Span, ...]]:
        roll = self._chance.random()
        changed = text.lower() if roll < 0.1 else text.upper() if roll < 0.13 else text
        if 0.13 <= roll < 0.2 and text[-1:] in ".!?":
            changed = text[:-1]
        return (changed if len(changed) <= len(text) else text), tuple(spans)

    def _filled(self, template: str) -> tuple[str, list[Span]]:
        parts: list[str] = []
        spans: list[Span] = []
        at = length = 0
        for match in _SLOT.finditer(template):
            fill = self._fill(match.group(1))
            if fill is None:
                continue
            value, label = fill
            parts += (template[at : match.start()], value)
            length += match.start() - at
            if label:
                spans.append((length, length + len(value), label))
            length += len(value)
            at = match.end()
        text = "".join((*parts, template[at:]))
        return text, _joined(text, spans)

    def _fill(self, slot: str) -> tuple[str, str] | None:
        named: dict[str, Callable[[], str]] = {
            "person": self.person, "first": self._first, "last": self._last,
            "initials": lambda: " ".join(f"{self._first()[0]}." for _ in range(self._chance.choice((1, 1, 2)))),
        }  # fmt: skip
        if slot in named:
            return named[slot](), "PERSON"
        if slot in {"city", "country", "region"}:
            return (
                self._place() if slot != "country" and self._chance.random() < _PLACES else self._one(slot)
            ), "LOCATION"
        if slot in {"org", "band", "team"}:
            return self._organization() if slot == "org" else self._group_of_people(slot), "ORGANIZATION"
        if slot in self._made and self._chance.random() < _MADE:
            return self._made[slot](), ""
        if slot in self._words:
            return self._one(slot), ""
        return self._number_like(slot)

    def _number_like(self, slot: str) -> tuple[str, str] | None:
        chance = self._chance
        made: dict[str, Callable[[], str]] = {
            "id": lambda: chance.choice(_IDS).format(chance.randrange(9999)),
            "number": lambda: str(chance.randrange(2, 5000)),
            "money": lambda: chance.choice(_MONEY).format(chance.randrange(5, 900)),
            "time": lambda: f"{chance.randrange(24):02d}:{chance.randrange(60):02d}",
            "version": lambda: f"{chance.randrange(9)}.{chance.randrange(20)}.{chance.randrange(9)}",
            "email": lambda: chance.choice(_MAIL).format(chance.choice(("com", "org", "net"))),
            "handle": lambda: chance.choice(("dev42", "octo-bot", "qa_team", "release-bot", "x_y_z", "nightowl77")),
            "date": self._date, "ship": self._ship, "work": self._work,
            "street": lambda: f"{chance.randrange(1, 200)} {chance.choice(_STREETS)} {self._one('street_tail')}",
        }  # fmt: skip
        return (made[slot](), "") if slot in made else None

    def _date(self) -> str:
        day, month, year = (
            self._chance.randrange(1, 29),
            self._chance.randrange(1, 13),
            self._chance.randrange(1950, 2027),
        )
        return self._chance.choice(
            (f"{year}-{month:02d}-{day:02d}", f"{self._one('month')} {day}", f"{day} {self._one('month')} {year}",
             self._one("weekday"), f"{day:02d}/{month:02d}/{year}")
        )  # fmt: skip

    def _one(self, slot: str) -> str:
        return self._chance.choice(self._words[slot])

    def _first(self) -> str:
        return self._plainer(self._chance.choice(self._group.first))

    def _last(self) -> str:
        return self._plainer(self._chance.choice(self._group.last))

    def _plainer(self, name: str) -> str:
        if self._chance.random() < 0.3:
            name = "".join(one for one in unicodedata.normalize("NFD", name) if not unicodedata.combining(one))
        return unicodedata.normalize("NFC", name)

    def person(self) -> str:
        """Return a whole name in one of the ways it is written."""
        chance, group = self._chance, self._group.group
        first, last = self._first(), self._last()
        if group == "spanish" and chance.random() < 0.4:
            last += f" {self._last()}"
        if group == "portuguese" and chance.random() < 0.3:
            last = f"{chance.choice(('da', 'de', 'dos'))} {last}"
        if group == "vietnamese" and chance.random() < 0.6:
            first = f"{chance.choice(('Thị', 'Văn', self._first()))} {first}"
        if group == "arabic" and chance.random() < 0.15:
            last = f"{chance.choice(('bin', 'ibn', 'Abu'))} {last}"
        if group == "indian" and chance.random() < 0.15:
            return f"{self._last()[0]}. {chance.choice(('', f'{last[0]}. '))}{first}"
        if chance.random() < _FAMILY_FIRST.get(group, 0.0):
            return f"{last} {first}"
        return self._written(first, last)

    def _written(self, first: str, last: str) -> str:
        chance = self._chance
        initial = chance.choice("ABCDEFGHJKLMNPRSTVW")
        roll = chance.random()
        ways = (
            (0.06, lambda: f"{first} {initial}. {last}"), (0.12, lambda: f"{first[0]}. {last}"),
            (0.16, lambda: f"{first} {last}-{self._last()}"), (0.20, lambda: f"{first} {self._first()} {last}"),
            (0.23, lambda: f"{first}-{self._first()} {last}"), (0.25, lambda: f"{first} {last} Jr."),
            (0.30, f"{first} {last}".upper), (0.37, f"{first} {last}".lower),
            (0.40, lambda: first), (0.42, lambda: f"{first} {initial} {last}"),
            (0.44, lambda: f"{first[0]}.{initial}. {last}"),
        )  # fmt: skip
        return next((way() for until, way in ways if roll < until), f"{first} {last}")

    def _organization(self) -> str:
        chance = self._chance
        roll = chance.random()
        if roll < 0.35:
            return self._one("org_whole")
        if roll < 0.7:
            return f"{self._one('org_root')} {self._one('org_tail')}"
        if roll < 0.8:
            owner = chance.choice((self._last(), f"{self._last()}'s", self._place(), self._place()))
            kinds = (self._one("org_tail"), self._one("noun").title(), chance.choice(_ORG_KINDS))
            return f"{owner} {chance.choice(kinds)}"
        if roll < 0.88:
            return f"{self._last()} & {chance.choice(('Sons', 'Partners', self._last()))}"
        return f"{self._one('org_root')}{chance.choice((' Data', ' Solutions', 'soft', 'tech', ' Global'))}"

    def _code(self) -> str:
        """Return an identifier of a program."""
        chance = self._chance
        parts = [
            self._one(chance.choice(("verb", "adjective"))),
            *(self._one("noun") for _ in range(chance.choice((1, 1, 2)))),
        ]
        if chance.random() < 0.25:
            parts = parts[1:]
        style = chance.randrange(5)
        if style == 0:
            return "_".join(parts)
        if style == 1:
            return "".join(part.title() for part in parts) + chance.choice(("", "Service", "Error", "Model", "Dto"))
        if style == 2:
            return parts[0] + "".join(part.title() for part in parts[1:])
        return chance.choice(("-", ".", "_")).join(parts) if style == 3 else "_".join(parts).upper()

    def _place(self) -> str:
        """Return a place that is in no list: what nobody knows is not always a person."""
        chance = self._chance
        stem = self._chance.choice(self._group.last).replace("-", "").replace("'", "").title().replace(" ", "")[:9]
        shorter = stem.rstrip("aeiouyáéíóúäöü") or stem
        if self._part != "judging" and chance.random() < _AFTER_PEOPLE:
            return f"{self._first()} {stem} {chance.choice(_PLACE_KINDS)}"
        return chance.choice(
            (shorter + chance.choice(_PLACE_ENDS), shorter + chance.choice(_PLACE_ENDS),
             shorter + chance.choice(_PLACE_ENDS), f"{chance.choice(_PLACE_BEGINNINGS)} {stem}",
             f"{stem} {chance.choice(_PLACE_KINDS)}",
             f"{chance.choice(_PLACE_BEGINNINGS)} {shorter}{chance.choice(_PLACE_ENDS)}")
        )  # fmt: skip

    def _phrase(self) -> str:
        """Return what a document, a ticket or a task is called."""
        chance = self._chance
        noun, other, adjective, verb = self._one("noun"), self._one("noun"), self._one("adjective"), self._one("verb")
        phrase = chance.choice(
            (f"{adjective} {noun}", f"{noun} {other}", f"the {noun}", f"{verb} {noun}", f"{verb} {adjective} {noun}",
             f"{noun} of {other}", f"{adjective} {noun} {other}", f"{self._one('brand')} {noun}", noun, verb)
        )  # fmt: skip
        return chance.choice((phrase, phrase.title(), phrase.capitalize()))

    def _group_of_people(self, slot: str) -> str:
        """Return a band or a team, often called like somebody."""
        chance = self._chance
        noun, adjective = self._one("noun").title(), self._one("adjective").title()
        if slot == "team":
            return chance.choice((self._one("team"), f"{self._place()} {chance.choice(_TEAM_KINDS)}"))
        return chance.choice(
            (f"The {noun}s", f"The {adjective} {noun}s", f"{adjective} {noun}", f"{noun} {self._one('noun')}",
             f"The {self._last()} {chance.choice(_BAND_KINDS)}", f"{self.person()} {chance.choice(_BAND_KINDS)}",
             f"{self._first()} and the {noun}s", f"{self._one('verb').title()} {noun}", noun, self._last())
        )  # fmt: skip

    def _people(self) -> str:
        """Return a people or a faith that is in no list."""
        stem = self._chance.choice(self._group.last).replace("-", "").replace("'", "").title().replace(" ", "")[:7]
        return (stem.rstrip("aeiouyáéíóúäöü") or stem) + self._chance.choice(_PEOPLE_ENDS)

    def _ship(self) -> str:
        called = (self.person(), self._last(), self._first(), self._one("adjective").title(), self._place())
        return f"{self._chance.choice(_SHIPS)} {self._chance.choice(called)}"

    def _work(self) -> str:
        """Return what a book, a film or an album is called."""
        chance = self._chance
        noun, other = self._one("noun").title(), self._one("noun").title()
        adjective, verb = self._one("adjective").title(), self._one("verb").title()
        return chance.choice(
            (f"The {adjective} {noun}", f"The {noun} of the {other}", f"{adjective} {noun}", f"{verb} the {noun}",
             f"{noun} and {other}", f"{verb} Me", f"{noun}", f"The {noun}", f"{verb} to {self._place()}",
             f"A {noun} for {other}s", f"Goodbye, {noun}")
        )  # fmt: skip

    def _product(self) -> str:
        chance = self._chance
        adjective, noun = self._one("adjective").title(), self._one("noun").title()
        return chance.choice(
            (self._one("brand"), self._one("brand"), f"{adjective} {noun}",
             f"{noun} {chance.choice(('Pro', 'Plus', 'X', 'Max', 'Mini', '2', '360'))}",
             f"{self._one('brand')} {chance.choice(('Pro', 'Cloud', 'Enterprise', str(chance.randrange(2, 20))))}",
             self._numbered((adjective, noun)))
        )  # fmt: skip

    def _numbered(self, words: tuple[str, str]) -> str:
        chance = self._chance
        letter, number = chance.choice("ABCEFGKLMPTXZ"), chance.randrange(2, 130)
        return f"{letter}-{number} {chance.choice((*words, self._one('brand')))}"

    def _value(self) -> tuple[str, list[Span]]:
        """Return a bare value, as the leaves of a JSON tree are."""
        slot = self._chance.choices(
            ("person", "first", "last", "city", "country", "org", "product", "status", "thing", "job", "department",
             "code", "month", "tool", "file"),
            (9, 2, 2, 3, 2, 2, 5, 3, 4, 3, 2, 3, 1, 1, 1),
        )[0]  # fmt: skip
        value, label = self._fill(slot) or ("", "")
        return value, [(0, len(value), label)] if label else []

    def _record(self) -> tuple[str, list[Span]]:
        """Return a record as tools give it: JSON, lines of keys, a form; names need no escapes in JSON."""
        chance = self._chance
        keys = (
            ("name", "person"), ("full_name", "person"), ("customer", "person"), ("assignee", "person"),
            ("owner", "person"),
            ("firstName", "first"), ("last_name", "last"), ("contact", "person"), ("createdBy", "person"),
            ("city", "city"), ("country", "country"), ("location", "city"), ("company", "org"), ("vendor", "org"),
            ("product", "product"), ("item", "product"), ("status", "status"), ("title", "thing"), ("subject", "thing"),
            ("role", "job"), ("department", "department"), ("email", "email"), ("id", "id"), ("amount", "money"),
            ("due", "date"), ("tool", "tool"), ("path", "file"), ("function", "code"), ("label", "product"),
            ("model", "product"),
        )  # fmt: skip
        chosen = chance.sample(keys, chance.randrange(2, 7))
        quote, colon, between, begin, end = chance.choice(
            (('"', ": ", ", ", "{", "}"), ('"', ":", ",", "{", "}"), ('"', ": ", ",\n  ", "{\n  ", "\n}"),
             ("", ": ", "\n", "", ""), ("", "=", " ", "", ""), ("", ": ", " | ", "", ""), ("'", ": ", ", ", "{", "}"))
        )  # fmt: skip
        text, spans = begin, list[Span]()
        for at, (key, slot) in enumerate(chosen):
            value, label = self._fill(slot) or ("", "")
            text += (between if at else "") + f"{quote}{key}{quote}{colon}{quote}"
            if label:
                spans.append((len(text), len(text) + len(value), label))
            text += value + quote
        return text + end, spans


def _joined(text: str, spans: list[Span]) -> list[Span]:
    """Return `spans` with parts of one name that stand side by side as one."""
    joined: list[Span] = []
    for start, end, label in spans:
        before = joined[-1] if joined else None
        if before and before[2] == label == "PERSON" and text[before[1] : start] == " ":
            joined[-1] = (before[0], end, label)
        else:
            joined.append((start, end, label))
    return joined


def as_line(sample: Sample) -> str:
    """Return `sample` as one line of JSON."""
    return json.dumps({"text": sample.text, "spans": sample.spans, "group": sample.group}, ensure_ascii=False)
