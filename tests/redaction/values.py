"""Values of every kind with a form, as many as wanted, and the texts that carry them: for laws and figures."""

from __future__ import annotations

import base64
import hashlib
import json
import string
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from redaction import checksums
from redaction.national import FORMS
from redaction.patterns import iban_lengths
from redaction.placeholder import luhn

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    Make = Callable[[random.Random], str]

_LOWER: Final = string.ascii_lowercase
_WORDS: Final = ("ada", "grace", "mori", "lena", "tariq", "olu", "ines", "piotr", "wei", "sana", "jonas", "zoe")
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def _digits(of: random.Random, count: int) -> str:
    return "".join(of.choices(string.digits, k=count))


def _with_luhn(body: str) -> str:
    return next(body + last for last in string.digits if luhn(body + last))


def _card(of: random.Random) -> str:
    prefix, length = of.choice([("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("34", 15), ("37", 15), ("6011", 16),
                                ("3528", 16), ("36", 14)])  # fmt: skip
    number = _with_luhn(prefix + _digits(of, length - 1 - len(prefix)))
    groups = {16: (4, 4, 4, 4), 15: (4, 6, 5), 14: (4, 6, 4)}[length]
    sign = of.choice(["", "", " ", "-"])
    parts, at = list[str](), 0
    for size in groups:
        parts.append(number[at : at + size])
        at += size
    return sign.join(parts)


def _iban(of: random.Random) -> str:
    country, length = of.choice(sorted(iban_lengths().items()))
    body = _digits(of, length - 4)
    rest = int(body + "".join(str(int(one, 36)) for one in country) + "00") % 97
    number = f"{country}{98 - rest:02d}{body}"
    return number if of.random() < 0.6 else " ".join(number[at : at + 4] for at in range(0, length, 4))


def _email(of: random.Random) -> str:
    local = of.choice(["{0}.{1}", "{0}_{1}", "{0}{2}", "{0}+{1}", "{0}-{1}"])
    host = of.choice(["example.com", "mail.example.org", "acme-corp.co.uk", "müller.de", "uni.example.edu", "x.io"])
    return local.format(of.choice(_WORDS), of.choice(_WORDS), of.randrange(1000)) + "@" + host


def _phone(of: random.Random) -> str:
    area, line = f"{of.choice([212, 415, 646, 303, 617, 312])}", f"{of.randrange(2, 10)}{_digits(of, 2)}"
    rest = _digits(of, 4)
    forms = (f"+1 {area}-{line}-{rest}", f"({area}) {line}-{rest}", f"{area}-{line}-{rest}", f"+1{area}{line}{rest}",
             f"+44 20 7946 0{_digits(of, 3)}", f"+49 30 {_digits(of, 7)}", f"+33 6 {' '.join(_digits(of, 2) for _ in range(4))}",
             f"+34 6{_digits(of, 2)} {_digits(of, 3)} {_digits(of, 3)}", f"+91 98{_digits(of, 3)} {_digits(of, 5)}",
             f"+55 11 9{_digits(of, 4)}-{_digits(of, 4)}", f"+61 4{_digits(of, 2)} {_digits(of, 3)} {_digits(of, 3)}",
             f"+65 9{_digits(of, 3)} {_digits(of, 4)}", f"+31 6 {_digits(of, 8)}", f"+48 60{_digits(of, 1)} {_digits(of, 3)} {_digits(of, 3)}",
             f"+39 347 {_digits(of, 7)}")  # fmt: skip
    return of.choice(forms)


def _ssn(of: random.Random) -> str:
    area = of.choice([one for one in range(1, 900) if one != 666])
    return f"{area:03d}-{of.randrange(1, 100):02d}-{of.randrange(1, 10000):04d}"


def _ipv4(of: random.Random) -> str:
    return ".".join(str(of.randrange(1, 256)) for _ in range(4))


def _ipv6(of: random.Random) -> str:
    parts = [f"{of.randrange(1, 65536):x}" for _ in range(8)]
    return ":".join(parts) if of.random() < 0.5 else f"2001:db8::{parts[0]}:{parts[1]}"


def _mac(of: random.Random) -> str:
    return of.choice(":-").join(f"{of.randrange(256):02x}" for _ in range(6))


def _crypto(of: random.Random) -> str:
    if of.random() < 0.4:
        return "0x" + "".join(of.choices("0123456789abcdef", k=40))
    if of.random() < 0.5:
        return "bc1q" + "".join(of.choices("023456789acdefghjklmnpqrstuvwxyz", k=38))
    content = b"\x00" + of.randbytes(20)
    content += hashlib.sha256(hashlib.sha256(content).digest()).digest()[:4]
    number, text = int.from_bytes(content), ""
    while number:
        number, place = divmod(number, 58)
        text = _BASE58[place] + text
    return "1" + text


def _vin(of: random.Random) -> str:
    while True:
        text = "".join(of.choices("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", k=3)) + "".join(
            of.choices("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", k=14)
        )
        if not text.isalpha() and not text.isdigit() and checksums.vin(text) and any(map(str.isdigit, text[:10])):
            return text


def _token(of: random.Random) -> str:
    mixed = string.ascii_letters + string.digits
    return of.choice([
        "AKIA" + "".join(of.choices(string.ascii_uppercase + string.digits, k=16)),
        "ghp_" + "".join(of.choices(mixed, k=36)), "github_pat_" + "".join(of.choices(mixed, k=60)),
        "glpat-" + "".join(of.choices(mixed, k=20)), "xoxb-" + _digits(of, 12) + "-" + "".join(of.choices(mixed, k=24)),
        "sk-proj-" + "".join(of.choices(mixed, k=24)) + "7x" + "".join(of.choices(mixed, k=10)),
        "sk-ant-api03-" + "".join(of.choices(mixed, k=80)), "sk_live_" + "4" + "".join(of.choices(mixed, k=23)),
        "AIza" + "".join(of.choices(mixed, k=35)), "npm_" + "".join(of.choices(mixed, k=36)),
        "hf_" + "".join(of.choices(mixed, k=34)), "SG." + "".join(of.choices(mixed, k=22)) + "." + "".join(of.choices(mixed, k=43)),
        "dop_v1_" + "".join(of.choices("0123456789abcdef", k=64)), "pypi-" + "".join(of.choices(mixed, k=60)),
    ])  # fmt: skip


def _jwt(of: random.Random) -> str:
    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    head, body = json.dumps({"alg": "HS256"}).encode(), json.dumps({"sub": _digits(of, 10)}).encode()
    return f"{part(head)}.{part(body)}.{part(of.randbytes(32))}"


def _national(name: str, country: str) -> Make:
    form = next(one for one in FORMS if (one.name, one.country) == (name, country))

    def make(of: random.Random) -> str:
        shape = (form.telling or form.shapes)[0]
        while True:
            digits = _digits(of, sum(shape))
            if form.check(digits):
                break
        sign, parts, at = " " if len(shape) > 1 else "", list[str](), 0
        for size in shape:
            parts.append(digits[at : at + size])
            at += size
        return sign.join(parts)

    return make


def _lettered(pattern: Callable[[random.Random], str], check: Callable[[str], bool]) -> Make:
    def make(of: random.Random) -> str:
        while not check(text := pattern(of)):
            pass
        return text

    return make


def _upper(of: random.Random, count: int, letters: str = string.ascii_uppercase) -> str:
    return "".join(of.choices(letters, k=count))


def _cpf(of: random.Random) -> str:
    body = _digits(of, 9)
    number = next(body + f"{last:02d}" for last in range(100) if checksums.cpf(body + f"{last:02d}"))
    return f"{number[:3]}.{number[3:6]}.{number[6:9]}-{number[9:]}"


def _nir(of: random.Random) -> str:
    number = f"{of.choice('12')}{_digits(of, 2)}{of.randrange(1, 13):02d}{of.randrange(1, 96):02d}{_digits(of, 6)}"
    return number + f"{97 - int(number) % 97:02d}"


def _pesel(of: random.Random) -> str:
    body = f"{of.randrange(100):02d}{of.randrange(1, 13):02d}{of.randrange(1, 29):02d}{_digits(of, 4)}"
    return next(body + last for last in string.digits if checksums.pesel(body + last))


def _codice(of: random.Random) -> str:
    body = f"{_upper(of, 6)}{_digits(of, 2)}{_upper(of, 1, 'ABCDEHLMPRST')}{of.randrange(1, 32):02d}{_upper(of, 1)}{_digits(of, 3)}"
    return next(body + last for last in string.ascii_uppercase if checksums.codice_fiscale(body + last))


def _steuer(of: random.Random) -> str:
    while True:
        ten = of.sample(string.digits, 9)
        ten.insert(of.randrange(10), of.choice(ten))
        if ten[0] == "0":
            continue
        body = "".join(ten)
        number = next((body + last for last in string.digits if checksums.steuer_id(body + last)), "")
        if number:
            return f"{number[:2]} {number[2:5]} {number[5:8]} {number[8:]}"


def _address(of: random.Random) -> str:
    name, number = of.choice(["Maple", "Oak", "Evergreen", "Harbour", "Station", "Mill"]), of.randrange(1, 999)
    zip_code = f"{of.randrange(10000, 99999)}"
    return of.choice([
        f"{number} {name} {of.choice(['Street', 'Avenue', 'Road', 'Drive', 'Lane', 'Terrace'])}, Springfield, IL {zip_code}",
        f"{number} {name} {of.choice(['Street', 'Road', 'Close', 'Lane'])}, London, SW1A {of.randrange(1, 9)}AA",
        f"{of.choice(['Haupt', 'Garten', 'Bahnhof', 'Schiller'])}{of.choice(['straße', 'strasse', 'weg', 'platz'])} {number}, {zip_code} Berlin",
        f"{number} rue de {of.choice(['Rivoli', 'Rennes', 'Lille'])}, {zip_code} Paris",
        f"Calle {of.choice(['Mayor', 'Alcalá', 'Serrano'])} {number}, {zip_code} Madrid",
        f"Via {of.choice(['Garibaldi', 'Dante', 'Mazzini'])} {number}, {zip_code} Roma",
    ])  # fmt: skip


def _birth(of: random.Random) -> str:
    year, month, day = of.randrange(1930, 2010), of.randrange(1, 13), of.randrange(1, 29)
    return of.choice([f"{year}-{month:02d}-{day:02d}", f"{month}/{day}/{year}", f"{day:02d}.{month:02d}.{year}",
                      f"{day} March {year}", f"July {day}, {year}"])  # fmt: skip


#: kind of value: the entity it is found as, what makes one, the word that names it where it needs one
KINDS: Final[dict[str, tuple[str, Make, str]]] = {
    "card": ("CARD", _card, ""), "iban": ("IBAN", _iban, ""), "email": ("EMAIL", _email, ""),
    "phone": ("PHONE", _phone, "phone"), "ssn": ("SSN", _ssn, ""), "ipv4": ("IP", _ipv4, ""), "ipv6": ("IP", _ipv6, ""),
    "mac": ("MAC", _mac, ""), "crypto": ("CRYPTO", _crypto, ""), "vin": ("VIN", _vin, ""),
    "token": ("SECRET", _token, ""), "jwt": ("SECRET", _jwt, ""), "address": ("ADDRESS", _address, ""),
    "birth date": ("DOB", _birth, "date of birth"),
    "nino": ("NATIONALID", _lettered(lambda of: f"{_upper(of, 1, 'ABCEGHJKLMNOPRST')}{_upper(of, 1, 'ABCEGHJKLMNPRST')}{_digits(of, 6)}{of.choice('ABCD')}",
                                     lambda text: text[:2] not in {"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"}), ""),
    "nhs": ("NATIONALID", _national("nhs", "GB"), "NHS number"),
    "steuer id": ("NATIONALID", _steuer, ""), "nir": ("NATIONALID", _nir, ""),
    "dni": ("NATIONALID", _lettered(lambda of: _digits(of, 8) + _upper(of, 1), checksums.dni), ""),
    "codice fiscale": ("NATIONALID", _codice, ""), "bsn": ("NATIONALID", _national("bsn", "NL"), "BSN"),
    "pesel": ("NATIONALID", _pesel, "PESEL"), "aadhaar": ("NATIONALID", _national("aadhaar", "IN"), ""),
    "pan": ("NATIONALID", lambda of: f"{_upper(of, 3)}P{_upper(of, 1)}{_digits(of, 4)}{_upper(of, 1)}", ""),
    "cpf": ("NATIONALID", _cpf, ""), "tfn": ("NATIONALID", _national("tfn", "AU"), "TFN"),
    "nric": ("NATIONALID", _lettered(lambda of: of.choice("STFG") + _digits(of, 7) + _upper(of, 1), checksums.nric), ""),
    "sin": ("NATIONALID", _national("sin", "CA"), "SIN"), "itin": ("NATIONALID", lambda of: f"9{_digits(of, 2)}-7{_digits(of, 1)}-{_digits(of, 4)}", ""),
}  # fmt: skip

#: Texts with a place for the value; a value that needs its word brings it: `{v}` is "word value" then.
CARRIERS: Final[tuple[Callable[[str, str], str], ...]] = (
    lambda word, value: f"Please note that the customer gave {word}{value} when she called.",
    lambda word, value: f"{word}{value}",
    lambda word, value: json.dumps({"note": f"{word}{value}", "n": 3}, ensure_ascii=False),
    lambda word, value: json.dumps({"items": [{"text": f"use {word}{value} now"}]}),
    lambda word, value: f"id,kind,value,done\n7,x,{word}{value},true\n",
    lambda word, value: f"id;kind;value\n7;x;{word}{value};true",
    lambda word, value: f"2026-11-21T07:00:00Z INFO worker-3 saw {word}{value} status=200",
    lambda word, value: f"| field | value |\n|---|---|\n| x | {word}{value} |\n",
    lambda word, value: f"- **value**: {word}{value}\n- other: none",
    lambda word, value: f'const x = "{word}{value}"; // test',
    lambda word, value: f"print('{word}{value}')",
    lambda word, value: f"<td>{word}{value}</td><td>x</td>",
    lambda word, value: f"key: {word}{value}\nother: 1\n",
    lambda word, value: f"Hi,\n\n{word}{value}\n\nBest",
    lambda word, value: f"({word}{value})",
    lambda word, value: f"Is it {word}{value}? Yes!",
    lambda word, value: f"a\t{word}{value}\tb",
    lambda word, value: f"SELECT * FROM t WHERE v = '{word}{value}'",
    lambda word, value: f"https://x.example/find?q={quote(word + value)}&page=2",
    lambda word, value: f"[{word}{value}]",
)


def carried(kind: str, place: int, of: random.Random) -> tuple[str, str, str]:
    """Return (text, value, entity) of the `place`-th value of `kind`, in carriers by turns."""
    entity, make, word = KINDS[kind]
    value = make(of)
    return CARRIERS[place % len(CARRIERS)](f"{word} " if word else "", value), value, entity
