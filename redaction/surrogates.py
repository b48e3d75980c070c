"""Stand-ins that fit a form where a placeholder would not: `p-9s348gpix6@oncegate.invalid` for an address.

address, URI, UUID    names nobody can have (RFC 2606, RFC 9562 version 8) around a keyed hash of entity and value
date, time            a day of the years 100 to 817: a keyed permutation, so that two days never become one
any other form        the value's own, letters and digits permuted, until the schema takes it

A stand-in is known again by the vault of its scope alone; here is only said what is worth looking up.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import date, timedelta
from math import isqrt, prod
from typing import TYPE_CHECKING, Final

from redaction.placeholder import CANDIDATE, canonical_token, keyed_hash, keyed_letters, luhn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redaction.finding import Slot

#: Fewer possible stand-ins than these are too few: one may be somebody's value, or stand for two.
_POSSIBLE_MIN: Final = 10**8
#: How often a permutation is walked on for a stand-in that fits, and for all of a tree together: a second at most.
_STEPS_MAX: Final = 2000
_STEPS_OF_TREE_MAX: Final = 20_000
_ROUNDS: Final = 8
#: One of so many texts of a form looks like a stand-in of a scope: what is looked up in vain.
_MARKED_ONE_IN: Final = 8
_DAYS: Final = 1 << 18
_FIRST_DAY: Final = date(1700, 1, 1).toordinal()
_FIRST_STAND_IN_DAY: Final = date(100, 1, 1).toordinal()
_SHAPED_CHARACTERS_MAX: Final = 40
_FORMATS: Final = frozenset({
    "email", "idn-email", "uri", "url", "iri", "uri-reference", "iri-reference", "uuid", "date", "date-time", "time",
    "ipv4", "ipv6", "hostname", "idn-hostname",
})  # fmt: skip
_DIGITS: Final = "0123456789"
_ALPHABETS: Final = ((_DIGITS,), (_DIGITS, "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
#: No card number has fewer (ISO/IEC 7812-1).
_CARD_DIGITS_MIN: Final = 12
_BODY: Final = 10
_LETTERS: Final = "[a-km-np-z2-9]"
_MAIL: Final = rf"p-{_LETTERS}{{{_BODY}}}@oncegate\.invalid"
_URI: Final = rf"https://oncegate\.invalid/{_LETTERS}{{{_BODY}}}"
_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_DAY: Final = r"0[1-8]\d\d-\d\d-\d\d(?:T\d\d:\d\d:\d\d\.\d{6}Z)?"
_NOT_BESIDE: Final = r"[A-Za-z0-9\-]"
_WORD: Final = rf"[A-Za-z0-9][A-Za-z0-9\-]{{6,{_SHAPED_CHARACTERS_MAX - 2}}}[A-Za-z0-9]"
#: A stand-in as it was made; `word` is one of a form of its own.
_FORM: Final = re.compile(
    rf"(?<!{_NOT_BESIDE})(?:{_MAIL}|{_URI}|{_UUID}|{_DAY}|(?P<word>{_WORD}))(?!{_NOT_BESIDE})", re.IGNORECASE
)
#: What the vault's names of these stand-ins begin with.
_PREFIX: Final = "="


@dataclass(slots=True)
class Walk:
    """How many steps are left for the stand-ins of one tree."""

    left: int = _STEPS_OF_TREE_MAX


def stand_in(key: bytes, entity: str, value: str, slot: Slot, walk: Walk) -> str | None:
    """Return what stands for the text `value` where `slot` asks for a form, `None` where nothing does."""
    for make in (_mail, _uri, _uuid, _day):
        made = make(key, entity, value, slot.formats)
        if made is not None and slot.fits(made):
            return made
    # other letters and digits of an address or a day would be somebody's
    return None if slot.formats & _FORMATS else _shaped(key, entity, value, slot.fits, walk)


def stand_in_number(key: bytes, digits: str, fits: Callable[[int], bool], walk: Walk) -> str | None:
    """Return digits that stand for `digits` where a number's bounds are known; as many, and no card."""
    size = 10 ** len(digits)

    def good(number: int) -> bool:
        return len(str(number)) == len(digits) and not luhn(str(number)) and fits(number)

    found = _walked(key, b"digits/%d" % size, int(digits), size, good=good, walk=walk)
    return None if found is None else str(found)


def token_of(text: str) -> str:
    """Return what the vault knows a stand-in by."""
    match = _FORM.fullmatch(text)
    return _PREFIX + (text if match is None or match.group("word") else text.lower())


def worth_a_look(key: bytes, text: str) -> bool:
    """Return whether `text`, whole, may be a stand-in of the scope with this key."""
    match = _FORM.fullmatch(text)
    if match is not None and match.group("word") is None:
        return True
    return len(text) <= _SHAPED_CHARACTERS_MAX and _marked(key, text)


def tokens_of(text: str, key: bytes | None, *, every: bool = False) -> Iterator[str]:
    """Yield the names of all that may stand for a value in `text`: placeholders, and stand-ins.

    Those of a form of their own only with their scope's `key`, or, where all that could be one is asked for, `every`.
    """
    if (every and len(text) <= _SHAPED_CHARACTERS_MAX) or (key is not None and worth_a_look(key, text)):
        yield token_of(text)
    for match in CANDIDATE.finditer(text):
        if (token := canonical_token(match)) is not None:
            yield token
    for match in _FORM.finditer(text):
        word = match.group("word")
        if word is None or every or (key is not None and _marked(key, word)):
            yield token_of(match.group())


def put_back(text: str, original: Callable[[str], str | None]) -> str:
    """Return `text` with what `original` says in the place of every name it knows; all others stay."""
    if len(text) <= _SHAPED_CHARACTERS_MAX and (whole := original(token_of(text))) is not None:
        return whole

    def of_form(match: re.Match[str]) -> str:
        known = original(token_of(match.group()))
        return match.group() if known is None else known

    parts: list[str] = []
    at = 0
    for match in CANDIDATE.finditer(text):
        token = canonical_token(match)
        known = None if token is None else original(token)
        if known is not None:
            parts += (_FORM.sub(of_form, text[at : match.start()]), known)
            at = match.end()
    after = "".join((*parts, _FORM.sub(of_form, text[at:])))
    return text if after == text else after


def _mail(key: bytes, entity: str, value: str, formats: frozenset[str]) -> str | None:
    wanted = formats & {"email", "idn-email"}
    return f"p-{_body(key, entity, value)}@oncegate.invalid" if wanted else None


def _uri(key: bytes, entity: str, value: str, formats: frozenset[str]) -> str | None:
    wanted = formats & {"uri", "url", "iri", "uri-reference", "iri-reference"}
    return f"https://oncegate.invalid/{_body(key, entity, value)}" if wanted else None


def _uuid(key: bytes, entity: str, value: str, formats: frozenset[str]) -> str | None:
    if "uuid" not in formats:
        return None
    number = int.from_bytes(_digest(key, b"uuid", f"{entity}/{value}")[:16], "big")
    number = number & ~(0xF << 76) | 8 << 76  # version 8: whoever made it says what it means
    return str(uuid.UUID(int=number & ~(0x3 << 62) | 2 << 62))


def _day(key: bytes, entity: str, value: str, formats: frozenset[str]) -> str | None:
    del entity
    if not formats & {"date", "date-time"}:
        return None
    try:
        number = date.fromisoformat(value[:10]).toordinal() - _FIRST_DAY
    except ValueError:
        return None
    if not 0 <= number < _DAYS:  # nobody's who lives: which other day it becomes need not be another's alone
        number = int.from_bytes(_digest(key, b"far", value)[:8], "big") % _DAYS
    moved = _permuted(key, b"day", number, _DAYS)
    day = (date.fromordinal(_FIRST_STAND_IN_DAY) + timedelta(days=moved)).isoformat()
    if "date" in formats:
        return day
    time = int.from_bytes(_digest(key, b"time", value)[:8], "big")
    seconds, millionths = time // 10**6 % 86_400, time % 10**6
    return f"{day}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{millionths:06d}Z"


def _shaped(key: bytes, entity: str, value: str, fits: Callable[[object], bool], walk: Walk) -> str | None:
    """Return a text of the form of `value`: its digits others, or all of its letters and digits."""
    if len(value) > _SHAPED_CHARACTERS_MAX or not value.isascii():
        return None
    for alphabets in _ALPHABETS:
        shape = [next((one for one in alphabets if character in one), "") for character in value]
        if prod(len(alphabet) or 1 for alphabet in shape) < _POSSIBLE_MIN:
            continue

        def good(number: int, shape: list[str] = shape) -> bool:
            text = _written(value, shape, number)
            return text != value and _marked(key, text) and not _is_card(text) and fits(text)

        skeleton = "".join(alphabet[:1] or one for one, alphabet in zip(value, shape, strict=True))
        size = prod(len(alphabet) or 1 for alphabet in shape)
        found = _walked(key, f"shape/{entity}/{skeleton}".encode(), _number(value, shape), size, good=good, walk=walk)
        if found is not None:
            return _written(value, shape, found)
    return None


def _is_card(text: str) -> bool:
    digits = "".join(one for one in text if one.isdigit())
    return len(digits) >= _CARD_DIGITS_MIN and luhn(digits)


def _number(value: str, shape: list[str]) -> int:
    number = 0
    for character, alphabet in zip(value, shape, strict=True):
        if alphabet:
            number = number * len(alphabet) + alphabet.index(character)
    return number


def _written(value: str, shape: list[str], number: int) -> str:
    written: list[str] = []
    for character, alphabet in zip(reversed(value), reversed(shape), strict=True):
        number, place = divmod(number, len(alphabet) or 1)
        written.append(alphabet[place] if alphabet else character)
    return "".join(reversed(written))


def _walked(
    key: bytes, name: bytes, number: int, size: int, *, good: Callable[[int], bool], walk: Walk
) -> int | None:  # fmt: skip
    """Return the first good number on the way of a permutation of `size` numbers: two never come to one."""
    for _ in range(min(_STEPS_MAX, walk.left)):
        walk.left -= 1
        number = _permuted(key, name, number, size)
        if good(number):
            return number
    return None


def _permuted(key: bytes, name: bytes, number: int, size: int) -> int:
    """Return another number below `size`, a different one for each (a Feistel network, walked until inside)."""
    left_size = isqrt(size - 1) + 1
    right_size = -(-size // left_size)
    while True:
        left, right = divmod(number, right_size)
        for turn in range(0, _ROUNDS, 2):
            left = (left + _keyed(key, name, turn, right)) % left_size
            right = (right + _keyed(key, name, turn + 1, left)) % right_size
        number = left * right_size + right
        if number < size:
            return number


def _keyed(key: bytes, name: bytes, turn: int, half: int) -> int:
    return int.from_bytes(_digest(key, name, f"{turn}/{half}")[:16], "big")


def _marked(key: bytes, text: str) -> bool:
    return _digest(key, b"mark", text)[0] % _MARKED_ONE_IN == 0


def _body(key: bytes, entity: str, value: str) -> str:
    return keyed_letters(key, b"stand-in", entity, value)[:_BODY]


def _digest(key: bytes, what: bytes, text: str) -> bytes:
    return keyed_hash(key, what + b"/" + text.encode("utf-8", "surrogatepass"))
