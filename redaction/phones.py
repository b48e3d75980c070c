"""Phone numbers by the tables of libphonenumber: with `+`, in groups, or beside a word that says so.

`phonenumbers` has the tables and decides what is rare; its parser, made for any country and any writing, takes a
hundred times as long for a plain number as its tables do.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol, cast

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Fits = Callable[[str], bool]

#: Whose numbers are known without a country's code.
_REGIONS: Final = ("US", "GB", "DE", "FR")
_CODE_DIGITS_MAX: Final = 3
_NATIONAL_DIGITS: Final = range(2, 18)
_NO_DIGITS: Final = re.compile(r"[^0-9]+")
_TYPES: Final = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "voip", "personal_number", "pager", "uan",
    "voicemail",
)  # fmt: skip


class _Description(Protocol):
    """What is read of a kind of numbers in the tables."""

    national_number_pattern: str | None
    possible_length: Sequence[int]
    possible_length_local_only: Sequence[int]


class _Metadata(Protocol):
    """What is read of a region in the tables."""

    country_code: int
    general_desc: _Description
    international_prefix: str | None
    leading_digits: str | None
    national_prefix_for_parsing: str | None
    national_prefix_transform_rule: str | None


def is_international(written: str) -> bool:
    """Return whether a number written with `+` can be one: its country's code, and a length that country has."""
    if not written.isascii():
        return _by_parser(written, None)
    digits = _NO_DIGITS.sub("", written)
    for count in range(1, _CODE_DIGITS_MAX + 1):
        code = digits[:count]
        if code[0] != "0" and int(code) in COUNTRY_CODE_TO_REGION_CODE:
            prefix, lengths = _country(int(code))
            length = len(digits) - count
            if length in lengths and length in _NATIONAL_DIGITS and not prefix.match(digits, count):
                return True
            break
    return _by_parser(written, None)


def is_national(written: str) -> bool:
    """Return whether a number written without `+` is valid in one of the regions that are looked for."""
    digits = _NO_DIGITS.sub("", written)
    return any(_is_valid(written, digits, region) for region in _REGIONS)


def _is_valid(written: str, digits: str, region: str) -> bool:
    own = _region(region)
    if not own.is_plain or not written.isascii() or own.dialling.match(digits):
        return _by_parser(written, region)
    national = own.national(digits)
    if len(national) not in _NATIONAL_DIGITS:
        return False
    for leading, fits in own.all:
        if leading is None:
            if fits(national):
                return True
        elif leading.match(national):
            return fits(national)
    return False


class _Region:
    """The tables of one region, as its numbers are read without a country's code."""

    def __init__(self, name: str) -> None:
        metadata = _metadata(name)
        general = metadata.general_desc
        self.code = str(metadata.country_code)
        self.dialling = re.compile(metadata.international_prefix or r"(?!)")
        prefix = re.compile(metadata.national_prefix_for_parsing or r"(?!)")
        #: prefixes that stand for others are the parser's
        self.is_plain = not prefix.groups and not metadata.national_prefix_transform_rule
        self._prefix = prefix
        self._general = re.compile(general.national_number_pattern or r"(?!)")
        self._lengths = frozenset(general.possible_length) - frozenset(general.possible_length_local_only)
        self._longest = max(general.possible_length)
        names = COUNTRY_CODE_TO_REGION_CODE[metadata.country_code]
        several = [_metadata(one) for one in names]
        #: of all regions with its code, in order: the digits they begin with, and which numbers they have
        self.all = [
            (re.compile(one.leading_digits) if one.leading_digits and len(names) > 1 else None, _fits(one))
            for one in several
        ]

    def national(self, digits: str) -> str:
        """Return the national number: without the country's code and the prefix of long distance."""
        if digits.startswith(self.code):
            after = self._without_prefix(digits[len(self.code) :])
            better = not self._general.fullmatch(digits) and self._general.fullmatch(after)
            if better or len(digits) > self._longest:
                digits = after
        after = self._without_prefix(digits)
        return after if len(after) in self._lengths or len(after) > self._longest else digits

    def _without_prefix(self, digits: str) -> str:
        match = self._prefix.match(digits)
        if match is None:
            return digits
        after = digits[match.end() :]
        lost = self._general.fullmatch(digits) and not self._general.fullmatch(after)
        return digits if lost else after


@cache
def _region(name: str) -> _Region:
    return _Region(name)


@cache
def _country(code: int) -> tuple[re.Pattern[str], frozenset[int]]:
    """Return what may stand before a country's national numbers, and how long those are."""
    metadata = cast(
        "_Metadata", PhoneMetadata.metadata_for_region_or_calling_code(code, COUNTRY_CODE_TO_REGION_CODE[code][0])
    )
    general = metadata.general_desc
    lengths = frozenset((*general.possible_length, *general.possible_length_local_only))
    return re.compile(metadata.national_prefix_for_parsing or r"(?!)"), lengths


def _metadata(region: str) -> _Metadata:
    return cast("_Metadata", PhoneMetadata.metadata_for_region(region, None))


def _fits(metadata: _Metadata) -> Fits:
    """Return what tells a region's numbers."""
    general = _of(metadata.general_desc)
    kinds = [_of(cast("_Description | None", getattr(metadata, name))) for name in _TYPES]
    return lambda number: general(number) and any(kind(number) for kind in kinds)


def _of(description: _Description | None) -> Fits:
    if description is None or not description.national_number_pattern:
        return lambda number: False  # noqa: ARG005 - one of several that are asked alike
    pattern, lengths = re.compile(description.national_number_pattern), frozenset(description.possible_length)
    return lambda number: (not lengths or len(number) in lengths) and pattern.fullmatch(number) is not None


def _by_parser(written: str, region: str | None) -> bool:
    try:
        number = phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number) or (region is None and phonenumbers.is_possible_number(number))
