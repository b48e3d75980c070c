"""What a text can hold, told from its characters alone, so that most patterns need not be tried on most texts.

Each trait is something that every match of the patterns it stands before has. So a trait that is missing loses
nothing, and one that is there says nothing yet. They are read from a copy of the text with letters and digits
replaced by their kind: two passes in C, where each pattern would take one of its own.
"""

from __future__ import annotations

import re
import string
from typing import Final

import msgspec

_DIGITS: Final = string.digits.encode()
_UPPER: Final = string.ascii_uppercase.encode()
_LOWER: Final = string.ascii_lowercase.encode()
#: Digits as `d`, letters as `U` and `l`, all else as it is; what is not ASCII as `?`.
_KINDS: Final = bytes.maketrans(_DIGITS + _UPPER + _LOWER, b"d" * 10 + b"U" * 26 + b"l" * 26)
#: What tokens and base64 consist of, out of kinds: `w`; out of `w`, letters and digits only: `a`.
_RUNS: Final = bytes.maketrans(b"dUl+/=_-", b"w" * 8)
_WORDS: Final = bytes.maketrans(b"dUl", b"aaa")
_LETTERS: Final = bytes.maketrans(b"Ul", b"aa")
#: What phone numbers consist of, out of kinds.
_DIALLED: Final = bytes.maketrans(b"d() ./-", b"p" * 7)

_TOKEN_CHARACTERS_MIN: Final = 15
_RANDOM_CHARACTERS_MIN: Final = 24
_BASE58_CHARACTERS_MIN: Final = 26
_VEHICLE_CHARACTERS: Final = 17
_LETTERED_CHARACTERS_MIN: Final = 8
_PHONE_CHARACTERS_MIN: Final = 8
_CARD_DIGITS_MIN: Final = 13
_SSN_DIGITS: Final = 9
#: No number of a state has fewer.
NATIONAL_DIGITS_MIN: Final = 7

#: Two letters, as `a`, and the check of an IBAN.
_IBAN: Final = b"aadd"
#: A digit of another script: whatever is said of digits here would not hold.
_OTHER_DIGIT: Final = re.compile(r"[^\D0-9]")


class Traits(msgspec.Struct, frozen=True, gc=False):
    """Which kinds of patterns may match one text; the names are those of what they look for."""

    token: bool
    random: bool
    named: bool
    bearer: bool
    #: all that follow need digits
    digit: bool = False
    card: bool = False
    iban: bool = False
    phone: bool = False
    ssn: bool = False
    ssn_named: bool = False
    birth: bool = False
    ipv4: bool = False
    street: bool = False
    street_number_last: bool = False
    street_code: bool = False
    national: bool = False
    lettered: bool = False
    spaced: bool = False
    vehicle: bool = False
    base58: bool = False


#: Of a text that anything may be in.
ANYTHING: Final = Traits(*[True] * len(Traits.__struct_fields__))


def traits_of(text: str) -> Traits:
    """Return what `text` may hold."""
    plain = text.isascii()
    if not plain and _OTHER_DIGIT.search(text) is not None:
        return ANYTHING
    kinds = text.encode("ascii", "replace").translate(_KINDS)
    low = text.lower() if plain else _folded(text)
    runs = kinds.translate(_RUNS)
    token = b"w" * _TOKEN_CHARACTERS_MIN in runs
    random = token and b"w" * _RANDOM_CHARACTERS_MIN in runs
    named = "key" in low or "pass" in low or "secret" in low or "token" in low or "pwd" in low
    named = named and (":" in low or "=" in low or "is" in low)
    bearer = "bearer" in low or "basic" in low
    digits = kinds.count(b"d")
    if not digits:
        return Traits(token, random, named, bearer)
    words = kinds.translate(_WORDS)
    return Traits(
        token=token,
        random=random,
        named=named,
        bearer=bearer,
        digit=True,
        card=digits >= _CARD_DIGITS_MIN,
        iban=_IBAN in kinds.translate(_LETTERS) or (not plain and b"dd" in kinds),
        phone=b"p" * _PHONE_CHARACTERS_MIN in kinds.translate(_DIALLED),
        ssn=digits >= _SSN_DIGITS and b"ddd-dd-dddd" in kinds,
        ssn_named=digits >= _SSN_DIGITS and ("ssn" in low or "social" in low),
        birth="born" in low or "birth" in low or "dob" in low or "d.o" in low or "do." in low,
        ipv4=b"d.d" in kinds,
        street=_has_street(kinds),
        street_number_last=b"l d" in kinds or b". d" in kinds,
        street_code=b"ddddd U" in kinds or (not plain and b"ddddd ?" in kinds),
        national=digits >= NATIONAL_DIGITS_MIN,
        lettered=b"a" * _LETTERED_CHARACTERS_MIN in words and _has_mixed(kinds),
        spaced=_has_spaced(kinds),
        vehicle=b"a" * _VEHICLE_CHARACTERS in words,
        base58=token and b"a" * _BASE58_CHARACTERS_MIN in words,
    )


def _has_street(kinds: bytes) -> bool:
    """Return whether a number stands before a capital, as before a street's name."""
    return b" U" in kinds and (
        b"d U" in kinds or b"d, U" in kinds
        or b"dl U" in kinds or b"dU U" in kinds or b"dl, U" in kinds or b"dU, U" in kinds
    )  # fmt: skip


def _has_mixed(kinds: bytes) -> bool:
    return b"Ud" in kinds or b"ld" in kinds or b"dU" in kinds or b"dl" in kinds


def _has_spaced(kinds: bytes) -> bool:
    """Return whether capitals and digits meet as in the numbers of states that are set apart."""
    return (
        b"Ud" in kinds or b"dU" in kinds or b"U d" in kinds or b"d U" in kinds
        or b"U-d" in kinds or b"d-U" in kinds or b"dddddd" in kinds
    )  # fmt: skip


def _folded(text: str) -> str:
    # as patterns without case take letters: the long s, and the i without its dot or with one
    return text.casefold().replace("\u0131", "i").replace("i\u0307", "i")
