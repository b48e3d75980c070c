"""Numbers that states give to people, by country: their shapes, checks, and the words that name them.

A shape is the lengths of the groups of digits, as people write them. A number that carries a good check in a
telling shape counts by itself (score 0.85); bare digits count where a word names them (0.9), and else weigh
little (0.3: only a profile that asks for it finds them). Without a check only the word counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from redaction import checksums
from redaction.finding import Finding
from redaction.placeholder import luhn
from redaction.traits import NATIONAL_DIGITS_MIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from redaction.checksums import Check
    from redaction.traits import Traits

Shape = tuple[int, ...]

NAMED: Final = 0.9
TELLING: Final = 0.85
BARE: Final = 0.3
#: How far from a number the word may stand that names it, in characters.
_BEFORE: Final = 48
_AFTER: Final = 24
_GROUPS_MAX: Final = 7

_GENERAL: Final = (
    r"national[ _\-]?(?:id|identity|insurance)|identity[ _\-]?(?:card|number|no)|id[ _\-]?(?:card|number|no|nr)|"
    r"tax[ _\-]?(?:payer|id|file|number|no)|social[ _\-]?(?:security|insurance)|tin(?![A-Za-z])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One kind of number. `telling` shapes count without a word; `lettered` are forms that hold letters."""

    name: str
    country: str
    check: Check
    words: str
    shapes: tuple[Shape, ...] = ()
    telling: tuple[Shape, ...] = ()
    lettered: str = ""
    #: a lettered form whose check says little counts only with its word
    lettered_tells: bool = True
    entity: str = "NATIONALID"


_DUTCH: Final = r"bsn|burger ?service|sofi"
FORMS: Final = (
    Form(name="itin", country="US", check=lambda text: text[0] == "9" and text[3] in "56789", words=r"itin",
         shapes=((9,),), telling=((3, 2, 4),)),
    Form(name="mbi", country="US", check=checksums.always, words="mbi|medicare",
         lettered=r"[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y\d]\d[AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y\d]\d[AC-HJKMNP-RT-Y]{2}\d{2}"),
    Form(name="npi", country="US", check=checksums.npi, words="npi|provider", shapes=((10,),)),
    Form(name="routing number", country="US", check=checksums.aba, words="routing|aba|rtn", shapes=((9,),)),
    Form(name="us passport", country="US", check=checksums.always, words="passport", shapes=((9,),),
         lettered=r"[A-Z]\d{8}", lettered_tells=False),
    Form(name="passport", country="US", check=checksums.always, words="passport|reisepass|pasaporte|passeport|paszport",
         lettered=r"(?=[A-Z]{0,8}\d)[A-Z\d]{8,9}", lettered_tells=False),
    Form(name="us licence", country="US", check=checksums.always, words=r"driver'?s?[ _\-]?licen[cs]e|dl[ _\-]?(?:no|number)",
         shapes=((7,), (8,), (9,)), lettered=r"[A-Z]\d{6,14}|[A-Z]{2}\d{6,7}", lettered_tells=False),
    Form(name="nino", country="GB", check=lambda text: text[:2] not in {"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"},
         words="nino|national insurance", lettered=r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]"),
    Form(name="nhs", country="GB", check=checksums.nhs, words="nhs", shapes=((10,), (3, 3, 4))),
    Form(name="uk licence", country="GB", check=lambda text: text[6:8] <= "62", words="licen[cs]e|dvla",
         lettered=r"[A-Z]{1,5}9{0,4}\d[0156]\d[0-3]\d{2}[A-Z9]{2}\d[A-Z]{2}"),
    Form(name="uk passport", country="GB", check=checksums.always, words="passport", shapes=((9,),)),
    Form(name="steuer id", country="DE", check=checksums.steuer_id, words=r"steuer|idnr|tin|tax",
         shapes=((11,),), telling=((2, 3, 3, 3),)),
    Form(name="sozialversicherung", country="DE", check=checksums.german_insurance,
         words="sozialversicherung|rentenversicherung|svnr", lettered=r"\d{8}[A-Z]\d{3}"),
    Form(name="personalausweis", country="DE", check=checksums.document_731, words=r"ausweis|reisepass|passport",
         lettered=r"[CFGHJKLMNPRTVWXYZ][CFGHJKLMNPRTVWXYZ\d]{8}\d", lettered_tells=False),
    Form(name="nir", country="FR", check=checksums.nir, words=r"nir|s[eé]curit[eé] sociale|insee",
         telling=((15,), (1, 2, 2, 2, 3, 3, 2), (13, 2)), lettered=r"[12]\d{4}2[AB]\d{8}"),
    Form(name="spi", country="FR", check=lambda text: int(text[:10]) % 511 == int(text[10:]), words=r"fiscal|spi|nif",
         shapes=((13,), (2, 2, 3, 3, 3))),
    Form(name="dni", country="ES", check=checksums.dni, words="dni|nie|nif", lettered=r"\d{8}[A-Z]|[XYZ]\d{7}[A-Z]"),
    Form(name="nuss", country="ES", check=lambda text: int(text[:10]) % 97 == int(text[10:]),
         words="nuss|seguridad social|afiliaci", shapes=((12,), (2, 8, 2))),
    Form(name="codice fiscale", country="IT", check=checksums.codice_fiscale, words="codice fiscale",
         lettered=r"[A-Z]{6}[\dLMNP-V]{2}[A-EHLMPRST][\dLMNP-V]{2}[A-Z][\dLMNP-V]{3}[A-Z]"),
    Form(name="partita iva", country="IT", check=luhn, words=r"p\.? ?iva|partita|vat", shapes=((11,),)),
    Form(name="bsn", country="NL", check=checksums.bsn, words=_DUTCH, shapes=((8,), (9,), (4, 2, 3), (3, 3, 3))),
    Form(name="pesel", country="PL", check=checksums.pesel, words="pesel", shapes=((11,),)),
    Form(name="nip", country="PL", check=checksums.nip, words="nip", shapes=((10,), (3, 3, 2, 2), (3, 2, 2, 3))),
    Form(name="dowod", country="PL", check=checksums.polish_card, words=r"dow[oó]d", lettered=r"[A-Z]{3}\d{6}"),
    Form(name="aadhaar", country="IN", check=lambda text: text[0] in "23456789" and checksums.verhoeff(text),
         words="aadhaa?r|uidai|uid", shapes=((12,),), telling=((4, 4, 4),)),
    Form(name="pan", country="IN", check=checksums.always, words="pan|permanent account",
         lettered=r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]"),
    Form(name="gstin", country="IN", check=checksums.gstin, words="gst",
         lettered=r"\d{2}[A-Z]{5}\d{4}[A-Z][A-Z\d]Z[A-Z\d]"),
    Form(name="voter", country="IN", check=checksums.always, words="voter|epic", lettered=r"[A-Z]{3}\d{7}",
         lettered_tells=False),
    Form(name="in passport", country="IN", check=checksums.always, words="passport", lettered=r"[A-Z]\d{7}",
         lettered_tells=False),
    Form(name="cpf", country="BR", check=checksums.cpf, words="cpf", shapes=((11,),), telling=((3, 3, 3, 2),)),
    Form(name="cnpj", country="BR", check=checksums.cnpj, words="cnpj", shapes=((14,),), telling=((2, 3, 3, 4, 2),)),
    Form(name="tfn", country="AU", check=checksums.tfn, words="tfn|tax file", shapes=((9,), (3, 3, 3))),
    Form(name="abn", country="AU", check=checksums.abn, words="abn|business number", shapes=((11,),),
         telling=((2, 3, 3, 3),)),
    Form(name="medicare", country="AU", check=checksums.medicare, words="medicare",
         shapes=((10,), (11,)), telling=((4, 5, 1), (4, 5, 2))),
    Form(name="nric", country="SG", check=checksums.nric, words="nric|fin", lettered=r"[STFGM]\d{7}[A-Z]"),
    Form(name="sin", country="CA", check=lambda text: text[0] not in "08" and luhn(text), words="sin|nas",
         shapes=((9,), (3, 3, 3))),
    Form(name="rrn", country="KR", check=checksums.rrn, words="rrn|resident|주민", shapes=((13,),), telling=((6, 7),)),
    Form(name="za id", country="ZA", check=checksums.za_id, words="rsa|south african|za[ _]id",
         shapes=((13,),)),
    Form(name="thai id", country="TH", check=checksums.thai, words=r"thai|บัตร", shapes=((13,),),
         telling=((1, 4, 5, 2, 1),)),
    Form(name="tckn", country="TR", check=checksums.tckn, words=r"tckn|t\.?c\.? ?(?:kimlik|no)|kimlik", shapes=((11,),)),
    Form(name="hetu", country="FI", check=checksums.hetu, words="hetu|henkil", lettered=r"[0-3]\d[01]\d{3}\d{3}[\dA-Y]"),
    Form(name="personnummer", country="SE", check=checksums.personnummer, words="person(?:al)?[ _]?(?:nummer|number)|pnr",
         shapes=((10,), (12,), (6, 4)), telling=((8, 4),)),
    Form(name="fodselsnummer", country="NO", check=checksums.norwegian, words=r"f[øo]dsels|personnummer",
         shapes=((11,),), telling=((6, 5),)),
    Form(name="cpr", country="DK", check=checksums.always, words="cpr",
         shapes=((10,), (6, 4))),
    Form(name="rijksregister", country="BE", check=checksums.belgian, words="rijksregister|registre national|niss|insz",
         shapes=((11,),), telling=((2, 2, 2, 3, 2),)),
    Form(name="ahv", country="CH", check=lambda text: text[:3] == "756" and checksums.ean13(text), words="ahv|avs",
         telling=((13,), (3, 4, 4, 2))),
    Form(name="svnr", country="AT", check=checksums.svnr, words="svnr|sozialversicherung|sv-", shapes=((10,), (4, 6))),
    Form(name="nif", country="PT", check=checksums.nif, words="nif|contribuinte", shapes=((9,), (3, 3, 3))),
    Form(name="resident number", country="CN", check=checksums.chinese, words="身份证|resident", telling=((18,),),
         lettered=r"[1-9]\d{16}X"),
    Form(name="curp", country="MX", check=checksums.always, words="curp",
         lettered=r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z\d]\d"),
)  # fmt: skip
COUNTRIES: Final = tuple(sorted({form.country for form in FORMS}))

_DIGITS: Final = re.compile(r"(?<![\dA-Za-z])\d+(?:[ .\-/]{1,2}\d+)*(?![A-Za-z])")
_GROUP: Final = re.compile(r"\d+")
_TOKEN: Final = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z]{0,6}\d)(?=\d{0,17}[A-Za-z])[A-Za-z0-9]{8,18}(?![A-Za-z0-9])")
#: Forms with letters as people set them apart.
_SPACED: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:[A-Z]{2} ?\d\d[ \-]\d\d[ \-]\d\d[ \-]?[A-D]|\d{1,2}\.\d{3}\.\d{3}-?[A-Z]|[XYZ]-\d{7}-?[A-Z]"
    r"|\d{8}-[A-Z]|\d{6}[\-+A]\d{3}[\dA-Y]|\d[A-Z][A-Z\d]\d-[A-Z][A-Z\d]\d-[A-Z]{2}\d\d|\d{2} ?\d{6} [A-Z] \d{3}"
    r"|[A-Z]{3} [A-Z]{3} \d\d[A-Z]\d\d [A-Z]\d{3}[A-Z]|[A-Z]{3} \d{6}|[A-Z]{5}[ \-]\d{4}[ \-][A-Z])(?![A-Za-z0-9])"
)
#: Finland's code with the sign of this century.
_HETU: Final = re.compile(r"\d{6}A\d{3}[\dA-Y]")
_SIGNS: Final = re.compile(r"[^A-Za-z0-9]")
_ADDRESS: Final = re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\d.])")
_FRACTION: Final = re.compile(r"\.\d")


class NationalIds:
    """Finds the numbers of `countries` (ISO 3166 codes). Raises `ValueError` for one it does not know."""

    def __init__(self, countries: Iterable[str] = COUNTRIES) -> None:
        wanted = frozenset(countries)
        if unknown := wanted - frozenset(COUNTRIES):
            raise ValueError(f"unknown country `{min(unknown)}`; expected one of {', '.join(COUNTRIES)}")
        self._words: dict[str, re.Pattern[str]] = {}
        self._by_shape: dict[Shape, list[Form]] = {}
        self._lettered: list[tuple[Form, re.Pattern[str]]] = []
        for form in FORMS:
            if form.country not in wanted:
                continue
            self._words[form.name] = re.compile(rf"(?i)(?<![A-Za-z])(?:{_words(form)})")
            for shape in {*form.shapes, *form.telling}:
                self._by_shape.setdefault(shape, []).append(form)
            if form.lettered:
                self._lettered.append((form, re.compile(form.lettered)))

    def find(self, text: str, traits: Traits) -> Iterator[Finding]:
        """Yield every such number in `text`, overlapping ones included; `traits` say what it can hold."""
        if traits.national:
            for match in _DIGITS.finditer(text):
                if match.end() - match.start() >= NATIONAL_DIGITS_MIN:
                    yield from self._grouped(text, match)
        for pattern, may_be in ((_TOKEN, traits.lettered), (_SPACED, traits.spaced)):
            if may_be:
                for match in pattern.finditer(text):
                    yield from self._with_letters(text, *match.span())

    def _grouped(self, text: str, match: re.Match[str]) -> Iterator[Finding]:
        if text[match.start() - 1 : match.start()] == "+" or _ADDRESS.match(text, match.start()):
            return  # a phone number, an internet address
        groups = [group.span() for group in _GROUP.finditer(text, *match.span())]
        for first in range(len(groups)):
            shape: list[int] = []
            for start, end in groups[first : first + _GROUPS_MAX]:
                shape.append(end - start)
                forms = self._by_shape.get(tuple(shape))
                if forms is None:
                    continue
                yield from self._checked(text, groups[first][0], end, tuple(shape), forms)

    def _checked(self, text: str, start: int, end: int, shape: Shape, forms: list[Form]) -> Iterator[Finding]:
        digits = "".join(_GROUP.findall(text, start, end))
        if len(shape) == 1 and (text[start - 1 : start] == "." or _FRACTION.match(text, end)):
            return  # a part of a decimal number
        for form in forms:
            if form.check(digits):
                telling = shape in form.telling
                score = NAMED if self._named(form, text, start, end) else TELLING if telling else _bare(form)
                if score:
                    yield Finding(start, end, form.entity, score, form.name)

    def _with_letters(self, text: str, start: int, end: int) -> Iterator[Finding]:
        written = text[start:end]
        plain = _SIGNS.sub("", written)
        if _HETU.fullmatch(plain):
            plain = plain[:6] + plain[7:]
        value = plain.upper()
        for form, pattern in self._lettered:
            if pattern.fullmatch(value) and form.check(value):
                named = self._named(form, text, start, end)
                tells = form.lettered_tells and plain.isupper()
                score = NAMED if named else TELLING if tells else _bare(form)
                if score:
                    yield Finding(start, end, form.entity, score, form.name)

    def _named(self, form: Form, text: str, start: int, end: int) -> bool:
        words = self._words[form.name]
        return bool(words.search(text, max(0, start - _BEFORE), start) or words.search(text, end, end + _AFTER))


def _bare(form: Form) -> float:
    return 0.0 if form.check is checksums.always else BARE


def _words(form: Form) -> str:
    # short words are whole ones; longer ones may be the beginning of a compound
    words = [word + "(?![A-Za-z])" if word.isalpha() and len(word) < 5 else word for word in form.words.split("|")]  # noqa: PLR2004
    # what has no check is not believed for a general word
    general = "" if form.check is checksums.always else f"|{_GENERAL}"
    return "|".join(words) + general
