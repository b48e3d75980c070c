"""Check digits, by name: what tells a number somebody was given from one that only looks like it.

Each takes letters and digits only, letters in upper case, and says whether they are consistent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from redaction.placeholder import luhn

Check = Callable[[str], bool]

_VERHOEFF_PRODUCT: Final = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_VERHOEFF_PLACE: Final = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip
_DNI_LETTERS: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
_VIN_VALUES: Final = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", map(int, "12345678123457923456789" + "0123456789"),
                              strict=True))  # fmt: skip
_VIN_WEIGHTS: Final = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_CF_ODD: Final = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_NRIC_CITIZEN: Final = "JZIHGFEDCBA"
_NRIC_FOREIGNER: Final = "XWUTRQPNMLK"
_NRIC_M: Final = "KLJNPQRTUWX"
_HETU: Final = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_CHINESE: Final = "10X98765432"
_GSTIN: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def weighted(text: str, weights: tuple[int, ...]) -> int:
    """Return the sum of the digits of `text`, each times its weight."""
    return sum(int(digit) * weight for digit, weight in zip(text, weights, strict=False))


def verhoeff(text: str) -> bool:
    """Return whether the dihedral check holds (J. Verhoeff, 1969)."""
    state = 0
    for place, digit in enumerate(reversed(text)):
        state = int(_VERHOEFF_PRODUCT[state][int(_VERHOEFF_PLACE[place % 8][int(digit)])])
    return state == 0


def iso_11_10(text: str) -> bool:
    """Return whether the hybrid check modulo 11, 10 holds (ISO/IEC 7064)."""
    rest = 10
    for digit in text[:-1]:
        rest = (rest + int(digit)) % 10 or 10
        rest = rest * 2 % 11
    return (11 - rest) % 10 == int(text[-1])


def mod97(text: str) -> bool:
    """Return whether the text, letters as numbers from 10, leaves 1 modulo 97 (ISO 7064, as IBANs turned)."""
    return int("".join(str(int(one, 36)) for one in text)) % 97 == 1


def dni(text: str) -> bool:
    """Return whether the letter fits, of Spain's DNI and NIE."""
    number = text[:-1].translate(str.maketrans("XYZ", "012"))
    return number.isdigit() and text[-1] == _DNI_LETTERS[int(number) % 23]


def nir(text: str) -> bool:
    """Return whether the key fits, of France's social security number; Corsica's letters as numbers."""
    number, key = text[:13].replace("2A", "19").replace("2B", "18"), text[13:]
    return number.isdigit() and 97 - int(number) % 97 == int(key) and number[3:5] <= "42"


def codice_fiscale(text: str) -> bool:
    """Return whether the last letter fits, of Italy's tax code."""
    total = 0
    for place, one in enumerate(text[:15]):
        value = int(one) if one.isdigit() else ord(one) - ord("A")
        total += _CF_ODD[value] if place % 2 == 0 else value
    return chr(ord("A") + total % 26) == text[15]


def bsn(text: str) -> bool:
    """Return whether the eleven test holds, of the Dutch BSN."""
    digits = text.zfill(9)
    return digits != "000000000" and (weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2)) - int(digits[8])) % 11 == 0


def pesel(text: str) -> bool:
    """Return whether check and date fit, of Poland's PESEL."""
    month, day = int(text[2:4]) % 20, int(text[4:6])
    return 1 <= month <= 12 and 1 <= day <= 31 and weighted(text, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0  # noqa: PLR2004


def nip(text: str) -> bool:
    """Return whether the check fits, of Poland's tax number."""
    return weighted(text, (6, 5, 7, 2, 3, 4, 5, 6, 7)) % 11 == int(text[9])


def cpf(text: str) -> bool:
    """Return whether both check digits fit, of Brazil's CPF."""
    if len(set(text)) == 1:
        return False
    first = weighted(text[:9], tuple(range(10, 1, -1))) * 10 % 11 % 10
    second = weighted(text[:10], tuple(range(11, 1, -1))) * 10 % 11 % 10
    return text[9:] == f"{first}{second}"


def cnpj(text: str) -> bool:
    """Return whether both check digits fit, of Brazil's CNPJ."""
    first = weighted(text[:12], (5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)) * 10 % 11 % 10
    second = weighted(text[:13], (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)) * 10 % 11 % 10
    return len(set(text)) > 1 and text[12:] == f"{first}{second}"


def tfn(text: str) -> bool:
    """Return whether the check fits, of Australia's tax file number."""
    return weighted(text, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def abn(text: str) -> bool:
    """Return whether the check fits, of Australia's business number."""
    return text[0] != "0" and (weighted(text, (10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19)) - 10) % 89 == 0


def medicare(text: str) -> bool:
    """Return whether the check fits, of Australia's Medicare number."""
    return text[0] in "23456" and weighted(text, (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(text[8])


def nhs(text: str) -> bool:
    """Return whether the check fits, of England's NHS number."""
    return (weighted(text, tuple(range(10, 1, -1))) + int(text[9])) % 11 == 0


def nric(text: str) -> bool:
    """Return whether the letter fits, of Singapore's NRIC and FIN."""
    total = weighted(text[1:8], (2, 7, 6, 5, 4, 3, 2)) + {"T": 4, "G": 4, "M": 3}.get(text[0], 0)
    letters = _NRIC_CITIZEN if text[0] in "ST" else _NRIC_FOREIGNER if text[0] in "FG" else _NRIC_M
    rest = total % 11
    return text[8] == (letters[rest] if text[0] != "M" else letters[10 - rest])


def vin(text: str) -> bool:
    """Return whether the ninth character fits (ISO 3779, 49 CFR 565.15)."""
    total = sum(_VIN_VALUES[one] * weight for one, weight in zip(text, _VIN_WEIGHTS, strict=True))
    return text[8] == "0123456789X"[total % 11]


def gstin(text: str) -> bool:
    """Return whether the last character fits, of India's GSTIN."""
    total = 0
    for place, one in enumerate(text[:14]):
        product = _GSTIN.index(one) * (1 + place % 2)
        total += product // 36 + product % 36
    return text[14] == _GSTIN[(36 - total % 36) % 36]


def document_731(text: str) -> bool:
    """Return whether the last digit fits by weights 7, 3, 1 (ICAO 9303), of German documents."""
    total = sum(int(one, 36) * (7, 3, 1)[place % 3] for place, one in enumerate(text[:-1]))
    return text[-1] == str(total % 10)


def polish_card(text: str) -> bool:
    """Return whether the check digit fits, of Poland's identity card."""
    values = [int(one, 36) for one in text]
    weights = (7, 3, 1, 0, 7, 3, 1, 7, 3)
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) % 10 == values[3]


def hetu(text: str) -> bool:
    """Return whether the last character fits, of Finland's identity code; its century sign is left out."""
    return text[9] == _HETU[int(text[:9]) % 31]


def personnummer(text: str) -> bool:
    """Return whether date and Luhn check fit, of Sweden's personal number."""
    short = text[-10:]
    return 1 <= int(short[2:4]) <= 12 and 1 <= int(short[4:6]) % 60 <= 31 and luhn(short)  # noqa: PLR2004


def norwegian(text: str) -> bool:
    """Return whether both check digits fit, of Norway's birth number."""
    first = weighted(text, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11
    second = weighted(text, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11
    return first == second == 0 and 1 <= int(text[2:4]) % 40 <= 12  # noqa: PLR2004


def belgian(text: str) -> bool:
    """Return whether the check fits, of Belgium's national number."""
    number, key = text[:9], int(text[9:])
    return key in (97 - int(number) % 97, 97 - int("2" + number) % 97)


def ean13(text: str) -> bool:
    """Return whether the check digit fits (GS1), as of Switzerland's AHV number."""
    return weighted(text, (1, 3) * 6 + (1,)) % 10 == 0


def svnr(text: str) -> bool:
    """Return whether the fourth digit fits, of Austria's insurance number."""
    return weighted(text, (3, 7, 9, 0, 5, 8, 4, 2, 1, 6)) % 11 == int(text[3])


def nif(text: str) -> bool:
    """Return whether the check fits, of Portugal's tax number."""
    rest = weighted(text, (9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return int(text[8]) == (0 if rest < 2 else 11 - rest)  # noqa: PLR2004


def rrn(text: str) -> bool:
    """Return whether date and check fit, of Korea's resident number."""
    fits = (11 - weighted(text, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10 == int(text[12])
    return fits and 1 <= int(text[2:4]) <= 12 and 1 <= int(text[4:6]) <= 31  # noqa: PLR2004


def thai(text: str) -> bool:
    """Return whether the check fits, of Thailand's identity number."""
    return (11 - weighted(text, tuple(range(13, 1, -1))) % 11) % 10 == int(text[12])


def tckn(text: str) -> bool:
    """Return whether both check digits fit, of Turkey's identity number."""
    digits = [int(one) for one in text]
    tenth = (sum(digits[0:9:2]) * 7 - sum(digits[1:8:2])) % 10
    return digits[0] != 0 and digits[9] == tenth and digits[10] == sum(digits[:10]) % 10


def chinese(text: str) -> bool:
    """Return whether the check fits (ISO 7064 modulo 11, 2), of China's resident number."""
    weights = tuple(2 ** (17 - place) % 11 for place in range(17))
    return text[:17].isdigit() and text[17] == _CHINESE[weighted(text, weights) % 11]


def aba(text: str) -> bool:
    """Return whether the check fits, of a routing number of the United States."""
    return text != "0" * 9 and weighted(text, (3, 7, 1) * 3) % 10 == 0


def npi(text: str) -> bool:
    """Return whether the check fits, of a health provider's number of the United States."""
    return luhn("80840" + text)


def steuer_id(text: str) -> bool:
    """Return whether check and repetitions fit, of Germany's tax id: one digit twice or thrice, of ten."""
    most = max(text[:10].count(one) for one in set(text[:10]))
    return text[0] != "0" and most in (2, 3) and iso_11_10(text)


def german_insurance(text: str) -> bool:
    """Return whether the last digit fits, of Germany's insurance number: the letter as two digits."""
    digits = f"{text[:8]}{ord(text[8]) - 64:02d}{text[9:11]}"
    weights = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)
    total = sum(sum(map(int, str(int(one) * weight))) for one, weight in zip(digits, weights, strict=True))
    return total % 10 == int(text[11])


def za_id(text: str) -> bool:
    """Return whether date and Luhn check fit, of South Africa's identity number."""
    return 1 <= int(text[2:4]) <= 12 and 1 <= int(text[4:6]) <= 31 and luhn(text)  # noqa: PLR2004


def always(text: str) -> bool:
    """Return true, for what carries no check."""
    return bool(text)


def _digits_only(check: Check) -> Check:
    return lambda text: text.isdigit() and check(text)


#: What users' recognizers may name.
BY_NAME: Final[dict[str, Check]] = {
    "luhn": _digits_only(luhn), "verhoeff": _digits_only(verhoeff), "iso7064-mod11-10": _digits_only(iso_11_10),
    "iso7064-mod97-10": mod97, "ean13": _digits_only(lambda text: len(text) == 13 and ean13(text)),  # noqa: PLR2004
}  # fmt: skip
