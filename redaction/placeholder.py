"""Placeholders: what stands for a value (`PERSON_9s348gpix6`), recognised again through what models do to it.

The body is a keyed hash of entity and value: six characters of the normalised value (the same person
looks the same), three of its exact spelling (restoration is byte-exact), one check character. Without
the scope's key it cannot be guessed, and a hit is restored only when the vault holds it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from functools import lru_cache
from typing import Final, Protocol, Self

_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"
_BLOCK_BYTES: Final = 64
_LOOSE: Final = 6
_EXACT: Final = 3
_BODY: Final = _LOOSE + _EXACT + 1

#: Every kind of value we name; the vocabulary of profiles, policies and placeholders.
ENTITIES: Final = (
    "PERSON", "LOCATION", "ORGANIZATION", "ADDRESS", "EMAIL", "PHONE", "CARD", "IBAN", "SSN", "NATIONALID", "DOB",
    "IP", "MAC", "CRYPTO", "VIN", "SECRET", "CUSTOM",
)  # fmt: skip

_SEPARATOR: Final = r"(?:\\?_{1,2}|%5[Ff]|[ \-\u00a0])"
_REST: Final = rf"{_SEPARATOR}([{_ALPHABET}]{{{_BODY}}})(?![A-Za-z0-9])"
#: A placeholder as models hand it back: other case, another separator, escaped, quoted, in a URL. Its shape comes
#: first: few words have it, and each would be tried as every entity.
CANDIDATE: Final = re.compile(
    rf"(?<![A-Za-z0-9])(?=[A-Z]{{2,12}}{_REST.replace('([', '(?:[')})({'|'.join(ENTITIES)}){_REST}", re.IGNORECASE
)
#: Shorter numbers that stand for others are not put back: too many numbers look like them. The vault knows them all the
#: same, so that one is not taken for the value where the original is wanted.
NUMBER_RESTORED_DIGITS_MIN: Final = 9
#: No candidate is longer; streams hold back at most this many characters.
CANDIDATE_CHARACTERS_MAX: Final = 42


class _Hash(Protocol):
    """What is used of a hash that was begun."""

    def copy(self) -> Self: ...
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


def placeholder(key: bytes, entity: str, value: str) -> str:
    """Return the placeholder of `value` under the scope's `key`."""
    loose = " ".join(unicodedata.normalize("NFKC", value).casefold().split())
    body = keyed_letters(key, b"loose", entity, loose)[:_LOOSE] + keyed_letters(key, b"exact", entity, value)[:_EXACT]
    return f"{entity}_{body}{_check(entity, body)}"


def canonical_token(match: re.Match[str]) -> str | None:
    """Return the placeholder a `CANDIDATE` stands for, `None` when its check character does not fit."""
    entity, body = match.group(1).upper(), match.group(2).lower()
    if _check(entity, body[:-1]) != body[-1]:
        return None
    return f"{entity}_{body}"


def surrogate_digits(key: bytes, digits: int, value: str) -> str:
    """Return that many digits for a number in a number's place; never a valid card number (Luhn)."""
    number = int.from_bytes(hmac.new(key, b"digits/" + value.encode(), hashlib.sha256).digest(), "big")
    text = f"{number % 9 * 10 ** (digits - 1) + 10 ** (digits - 1) + number // 9 % 10 ** (digits - 1)}"[:digits]
    return text if not luhn(text) else text[:-1] + str((int(text[-1]) + 1) % 10)


def number_token(digits: str) -> str:
    """Return what the vault knows a number by that stands for another one."""
    return f"#{digits}"


def luhn(digits: str) -> bool:
    """Return whether `digits` pass the Luhn check (ISO/IEC 7812-1 annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)  # noqa: PLR2004 - the digit sum of a doubled digit
    return total % 10 == 0


def keyed_letters(key: bytes, what: bytes, entity: str, value: str) -> str:
    """Return ten letters and digits that only who has the `key` can make of a value."""
    said = b"/".join((what, entity.encode(), value.encode("utf-8", "surrogatepass")))
    # the last bits of the hash, five a letter
    number = int.from_bytes(keyed_hash(key, said)[-8:])
    return (
        _PAIRS[number & 1023] + _PAIRS[number >> 10 & 1023] + _PAIRS[number >> 20 & 1023]
        + _PAIRS[number >> 30 & 1023] + _PAIRS[number >> 40 & 1023]
    )  # fmt: skip


def keyed_hash(key: bytes, said: bytes) -> bytes:
    """Return HMAC-SHA-256 (RFC 2104); a scope's key is laid out once, not for each of its values."""
    begun, ending = _laid_out(key)
    inner = begun.copy()
    inner.update(said)
    outer = ending.copy()
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(maxsize=32)
def _laid_out(key: bytes) -> tuple[_Hash, _Hash]:
    block = (key if len(key) <= _BLOCK_BYTES else hashlib.sha256(key).digest()).ljust(_BLOCK_BYTES, b"\0")
    return hashlib.sha256(bytes(one ^ 0x36 for one in block)), hashlib.sha256(bytes(one ^ 0x5C for one in block))


def _check(entity: str, body: str) -> str:
    begun = _CHECK.copy()
    begun.update(f"{entity}_{body}".encode())
    return _ALPHABET[begun.digest()[-1] & 31]


_CHECK: Final = hashlib.blake2b(digest_size=8)
_PAIRS: Final = tuple(second + first for first in _ALPHABET for second in _ALPHABET)
