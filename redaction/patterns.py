"""Values with a form: cards, accounts, addresses, phones, ids. Each has a bounded pattern and a check."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from typing import TYPE_CHECKING, Final

from redaction import checksums
from redaction.finding import Finding
from redaction.phones import is_international, is_national
from redaction.placeholder import luhn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redaction.traits import Traits

#: Groups of digits with what people put between them; a card is looked for at every group of them.
_DIGITS: Final = re.compile(r"(?<!\d)\d+(?:[ .\-_/+]{1,2}\d+)*")
_GROUP: Final = re.compile(r"\d+")
_CARD_GROUPS: Final = ((4, 4, 4, 4, 3), (4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 5), (4, 4, 4, 1), (8, 8), (6, 13))
_CARD_SCHEMES: Final = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|35\d{14}|62\d{14,17}|(?:5018|5020|5038|6304|6759|676[1-3])\d{8,15}"
)
#: Length of an IBAN by country (ISO 13616 registry).
_IBAN_LENGTHS: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15,
    "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24, "SI": 19,
    "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])(?=([A-Z]{2})\d{2}((?:[ \-+]?[A-Z0-9]){11,30}))", re.IGNORECASE)
#: What follows the top-level domain does not matter: `bob@example.com2024` holds an address.
_EMAIL: Final = re.compile(
    r"(?<![\w.+\-])[\w.+\-]{1,256}(?:['’][\w.+\-]{1,64})?@(?:[^\W_](?:[\w\-]{0,61}[^\W_])?\.){1,8}(?:xn--[A-Za-z0-9\-]{2,59}|[^\W\d_]{2,24})"
)
_PHONE: Final = re.compile(r"(?<![\w.+/\-])(\+?\(?\d(?:[\d()]|[ .\-/](?=[\d(])){6,18}\d)(?![\w]|[.\-/]\d)")
_PHONE_WORDS: Final = re.compile(
    r"(?i)\b(?:phone|tel|telephone|call|mobile|cell|fax|contact|whatsapp|sms|dial|number)\b"
)
_GROUPED: Final = re.compile(r"\(?\d{2,5}\)?[ .\-/]\d{2,5}(?:[ .\-/]\d{2,5}){0,3}")
#: A date, also with the hour of a time after it.
_DATE_LIKE: Final = re.compile(
    r"(?:(?:19|20)\d\d[.\-/]\d{1,2}[.\-/]\d{1,2}|\d{1,2}[.\-/]\d{1,2}[.\-/](?:19|20)\d\d)(?: \d{1,2})?"
)
_SSN: Final = re.compile(r"(?<![\d\-])(?!000|666|9\d\d)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\d\-])")
_SSN_PLAIN: Final = re.compile(
    r"(?i)\b(?:ssn|social security(?: number| no\.?)?)\b\D{0,12}((?!000|666|9\d\d)\d{3}[ ]?\d\d[ ]?\d{4})(?!\d)"
)
_IPV4: Final = re.compile(
    r"(?<![\d.\w])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d\w]|\.\d)"
)
_IPV6: Final = re.compile(
    r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?(?![\w:])"
)
_VERSION_BEFORE: Final = re.compile(r"(?i)(?:\bv|version|build|release|firmware)[ :=]{0,2}$")
_MAC: Final = re.compile(r"(?<![\w:\-])(?:[0-9A-Fa-f]{2}([:\-]))(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:\-])")
_CRYPTO: Final = re.compile(r"(?<![A-Za-z0-9])(?:bc1[02-9ac-hj-np-z]{25,62}|0x[0-9a-fA-F]{40})(?![A-Za-z0-9])")
#: Bitcoin's older addresses, and those of Litecoin, Dogecoin, Dash and Tron: base58, the last four bytes a checksum.
_BASE58: Final = re.compile(r"(?<![A-Za-z0-9])[139ADLMTX][1-9A-HJ-NP-Za-km-z]{25,34}(?![A-Za-z0-9])")
_BASE58_DIGITS: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BITCOIN_BYTES: Final = 25
#: ISO 3779; the letters I, O and Q are not used.
_VIN: Final = re.compile(r"(?<![A-Za-z0-9])[A-HJ-NPR-Za-hj-npr-z\d]{17}(?![A-Za-z0-9])")
_VIN_WORDS: Final = re.compile(r"(?i)\bvin\b|vehicle|chassis|vin[_\- ]?(?:no|number)|fahrgestell")
_DOB: Final = re.compile(
    r"(?i)\b(?:born(?: on)?|birth ?date|date of birth|d\.?o\.?b\.?|birthday)\b\W{0,4}(?:is |was |on )?"
    r"(\d{1,4}[.\-/ ]\d{1,2}[.\-/ ]\d{1,4}|\d{1,2}(?:st|nd|rd|th)? [A-Z][a-z]{2,8},? \d{4}|[A-Z][a-z]{2,8} \d{1,2}(?:st|nd|rd|th)?,? \d{4})"
)
_STREET_EN: Final = re.compile(
    r"\b\d{1,5}[A-Za-z]?,? (?:[NSEW]\.? )?(?:[A-Z][\w'’.]{1,20} ){1,4}"
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Way|Parkway|Pkwy|Close|Crescent|Highway|Hwy)\b\.?"
    r"(?:,? (?:Apt|Suite|Unit|Flat|#)\.? ?\w{1,6})?(?:, [A-Z][\w .'’]{1,30})?(?:,? [A-Z]{2} \d{5}(?:-\d{4})?|,? [A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}\b)?"
)
_STREET_DE: Final = re.compile(
    r"\b[A-ZÄÖÜ][\wäöüß.\-]{1,30}(?:straße|strasse|str\.|weg|platz|allee|gasse|ring|ufer|damm) \d{1,4} ?[a-z]?(?:, \d{5} [A-ZÄÖÜ][\wäöüß]{1,30})?"
)
_STREET_DE_END: Final = re.compile(r"(?:straße|strasse|str\.|weg|platz|allee|gasse|ring|ufer|damm) \d")
_STREET_ROMANCE: Final = re.compile(
    r"\b(?:\d{1,4}(?: bis| ter)?,? )?(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Cc]hemin|[Pp]lace|[Cc]alle|[Aa]venida|[Pp]aseo|[Vv]ia|[Vv]iale|[Pp]iazza|[Cc]orso)"
    r" (?:(?:de|du|des|de la|del|della|dei|di|d'|l') ?)?[A-ZÀ-Ý][\wÀ-ÿ'’\-]{1,30}(?: [A-ZÀ-Ý][\wÀ-ÿ'’\-]{1,30}){0,3}"
    r"(?:,? (?:n\.?º? ?)?\d{1,4})?(?:,? \d{5} [A-ZÀ-Ý][\wÀ-ÿ\-]{1,30})"
)
_CARD_DIGITS: Final = range(13, 20)
#: Signs between the bytes of a hardware address; colons of an internet address.
_MAC_SIGNS: Final = 5
_COLONS_MIN: Final = 2
#: Beside a point a long number is the fraction or the whole part of a decimal number, save for `.00`.
_FRACTION: Final = re.compile(r"\.(?!0{1,2}(?!\d))\d")


def find_forms(text: str, traits: Traits) -> list[Finding]:
    """Return every value with a form in `text`, overlapping ones included; `traits` say what it can hold."""
    found: list[Finding] = []
    if traits.digit:
        found += _with_digits(text, traits)
    if "@" in text:
        found += [Finding(*match.span(), "EMAIL", 1.0, "email") for match in _EMAIL.finditer(text)]
    if text.count(":") >= _COLONS_MIN:
        found += _ipv6(text)
    return found


def _with_digits(text: str, traits: Traits) -> Iterator[Finding]:
    if traits.card:
        yield from _cards(text)
    if traits.iban:
        yield from _ibans(text)
    if traits.phone:
        yield from _phones(text)
    yield from _simple(text, traits)
    if traits.ipv4:
        yield from _ipv4(text)
    if traits.base58:
        yield from _bitcoins(text)
    if traits.vehicle:
        yield from _vehicles(text)
    yield from _addresses(text, traits)


def _cards(text: str) -> Iterator[Finding]:
    for match in _DIGITS.finditer(text):
        if match.end() - match.start() < _CARD_DIGITS.start:
            continue
        groups = [group.span() for group in _GROUP.finditer(text, *match.span())]
        place = 0
        while place < len(groups):
            count = _card_groups(text, groups, place)
            if count:
                yield Finding(groups[place][0], groups[place + count - 1][1], "CARD", 1.0, "card")
            place += count or 1


def _card_groups(text: str, groups: list[tuple[int, int]], place: int) -> int:
    """Return how many groups from `place` on are a card, none being 0."""
    start, end = groups[place]
    if end - start in _CARD_DIGITS:
        decimal = text[start - 1 : start] == "." and text[start - 2 : start - 1].isdigit()
        return int(not decimal and not _FRACTION.match(text, end) and is_card(text[start:end]))
    lengths = tuple(end - start for start, end in groups[place : place + len(_CARD_GROUPS[0])])
    for wanted in _CARD_GROUPS:
        if lengths[: len(wanted)] == wanted and is_card(text[start : groups[place + len(wanted) - 1][1]]):
            return len(wanted)
    if place or len(groups) >= _CARD_DIGITS.stop:
        return 0
    written = text[start : groups[-1][1]]
    return 0 if any(one in "./_" for one in written) or not is_card(written) else len(groups)


def is_card(written: str) -> bool:
    """Return whether `written` is a card number: scheme, length and Luhn check (ISO/IEC 7812)."""
    digits = "".join(_GROUP.findall(written))
    return len(digits) in _CARD_DIGITS and bool(_CARD_SCHEMES.fullmatch(digits)) and luhn(digits)


def _ibans(text: str) -> Iterator[Finding]:
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(match.group(1).upper())
        if length is None:
            continue
        end, letters = match.start(), ""
        for place in range(match.start(), match.end(2)):
            if text[place].isalnum():
                letters += text[place].upper()
                end = place + 1
                if len(letters) == length:
                    break
        written = text[match.start() : end]
        if is_iban(letters) and written in (written.upper(), written.lower()):
            yield Finding(match.start(), end, "IBAN", 1.0, "iban")


def iban_lengths() -> Mapping[str, int]:
    """Return how many characters an IBAN has, by country (ISO 13616 registry)."""
    return _IBAN_LENGTHS


def is_iban(letters: str) -> bool:
    """Return whether `letters`, without spaces and in upper case, is an IBAN: length by country, and check (ISO 13616)."""
    return len(letters) == _IBAN_LENGTHS.get(letters[:2]) and checksums.mod97(letters[4:] + letters[:4])


def _phones(text: str) -> Iterator[Finding]:
    for match in _PHONE.finditer(text):
        written = match.group(1)
        if _DATE_LIKE.fullmatch(written) or _IPV4.fullmatch(written):
            continue
        if _VERSION_BEFORE.search(text, max(0, match.start() - 12), match.start()):
            continue
        telling = bool(_PHONE_WORDS.search(text, max(0, match.start() - 40), match.start()))
        if written.startswith("+"):
            fits = is_international(written)
        elif _GROUPED.fullmatch(written) or telling:
            fits = (telling or _has_length(written)) and is_national(written)
        else:
            fits = False
        if fits:
            yield Finding(*match.span(1), "PHONE", 0.8 if telling or written.startswith("+") else 0.6, "phone")


def _has_length(written: str) -> bool:
    return sum(character.isdigit() for character in written) in {10, 11}


def _simple(text: str, traits: Traits) -> Iterator[Finding]:
    """Yield values that their pattern alone tells."""
    if traits.ssn:
        yield from _all(_SSN, text, 0, "SSN", "ssn")
    if traits.ssn_named:
        yield from _all(_SSN_PLAIN, text, 1, "SSN", "ssn")
    if text.count(":") >= _MAC_SIGNS or text.count("-") >= _MAC_SIGNS:
        yield from _all(_MAC, text, 0, "MAC", "mac")
    if "0x" in text or "bc1" in text:
        yield from _all(_CRYPTO, text, 0, "CRYPTO", "crypto")
    if traits.birth:
        yield from _all(_DOB, text, 1, "DOB", "birth date")


def _all(pattern: re.Pattern[str], text: str, group: int, entity: str, name: str) -> Iterator[Finding]:
    for match in pattern.finditer(text):
        yield Finding(*match.span(group), entity, 0.9, name)


def _ipv4(text: str) -> Iterator[Finding]:
    for match in _IPV4.finditer(text):
        if not _VERSION_BEFORE.search(text, max(0, match.start() - 12), match.start()):
            yield Finding(*match.span(), "IP", 0.9, "ipv4")


def _bitcoins(text: str) -> Iterator[Finding]:
    for match in _BASE58.finditer(text):
        if _is_bitcoin(match.group()):
            yield Finding(*match.span(), "CRYPTO", 1.0, "crypto")


def _vehicles(text: str) -> Iterator[Finding]:
    for match in _VIN.finditer(text):
        written = match.group()
        if written.isdigit() or written.isalpha():
            continue
        named = _VIN_WORDS.search(text, max(0, match.start() - 40), match.start()) is not None
        if named or (written.isupper() and checksums.vin(written)):
            yield Finding(*match.span(), "VIN", 0.9 if named else 0.7, "vin")


def _is_bitcoin(written: str) -> bool:
    number = 0
    for character in written:
        number = number * len(_BASE58_DIGITS) + _BASE58_DIGITS.index(character)
    if number.bit_length() > _BITCOIN_BYTES * 8:
        return False
    content = number.to_bytes(_BITCOIN_BYTES, "big")
    return hashlib.sha256(hashlib.sha256(content[:-4]).digest()).digest()[:4] == content[-4:]


def _addresses(text: str, traits: Traits) -> Iterator[Finding]:
    kinds = (
        (_STREET_EN, traits.street),
        (_STREET_DE, traits.street_number_last and _STREET_DE_END.search(text)),
        (_STREET_ROMANCE, traits.street_code),
    )
    for pattern, may_be in kinds:
        if may_be:
            for match in pattern.finditer(text):
                yield Finding(*match.span(), "ADDRESS", 0.8, "address")


def _ipv6(text: str) -> Iterator[Finding]:
    for match in _IPV6.finditer(text):
        written = match.group()
        if written.count(":") < _COLONS_MIN or len(written) < 4:  # noqa: PLR2004 - `::1` and times are not worth a find
            continue
        try:
            ipaddress.IPv6Address(written)
        except ValueError:
            continue
        if any(character.isdigit() or character.isalpha() for character in written.replace(":", "")):
            yield Finding(*match.span(), "IP", 0.9, "ipv6")
