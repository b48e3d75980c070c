"""Texts in other languages: patterns are found, names where their model is configured; else the audit says so."""

from __future__ import annotations

import pytest

from redaction import redactor
from redaction.finding import Redacted, Scope, Shape
from redaction.language import language_of
from redaction.model import OTHERS, ModelUnusable, beside, default_folder, verify
from redaction.presidio import PresidioDetector
from redaction.profile import Profile, Rule
from tests.redaction.detectors import PatternDetector

ALL = Profile(name="all", inspects=True, default=Rule("placeholder", 0.5))
SCOPE = Scope(id="run/r1", key=b"k" * 32)
#: language, its name, text, names in it
TEXTS = [
    ("fr", "french", "Bonjour, je suis la voisine de Jean-Baptiste Lefèvre et mon adresse est ada@example.com.",
     ["Jean-Baptiste Lefèvre"]),
    ("fr", "french", "Veuillez envoyer la facture à Amélie Quincampoix, elle habite chez nous avec son mari.",
     ["Amélie Quincampoix"]),
    ("es", "spanish", "Hola, me llamo María José Carreño y vivo en Sevilla con mi marido: ada@example.com.",
     ["María José Carreño"]),
    ("es", "spanish", "Por favor, llame a la señora Lucía Fernández para la factura, gracias.", ["Lucía Fernández"]),
]  # fmt: skip
GERMAN = (
    "Guten Tag, ich heiße Änne Übelacker und wohne mit meinem Mann in Köln, bitte schreiben Sie an ada@example.com."
)
ENGLISH = [
    "Please send the invoice to the customer before you close the ticket.", "GET /v1/users?id=7 HTTP/1.1 200 OK 12 ms",
    "SELECT id, name FROM los_angeles WHERE una = 1 AND por = 2;", "I am in the office, and she will not be there.",
    '{"el": 1, "la": 2, "los": 3}', "de la Cruz", "",
]  # fmt: skip


def redact(text: str, detector: PatternDetector | PresidioDetector, languages: frozenset[str]) -> Redacted:
    planned = redactor.plan([text], Shape(), ALL, languages=languages)
    found = dict(zip(planned.texts, detector.find(planned.texts), strict=True))
    return redactor.finish(planned, found, SCOPE)


@pytest.fixture(scope="module")
def speaking() -> PresidioDetector:
    try:
        for language, archive in OTHERS.items():
            verify(beside(default_folder(), language), archive)
    except ModelUnusable as error:
        pytest.skip(f"{error}; `make test-parts` does")
    return PresidioDetector(default_folder(), None, tuple(OTHERS))


@pytest.mark.requirement("RED-34")
@pytest.mark.parametrize(("language", "name", "text", "names"), TEXTS)
def test_names_are_found_in_a_configured_language_and_the_audit_has_nothing_to_say(
    language: str, name: str, text: str, names: list[str], speaking: PresidioDetector
) -> None:
    after = redact(text, speaking, frozenset(OTHERS))
    assert language_of(text) == language
    assert not [one for one in [*names, "ada@"] if one in str(after.tree)]
    assert after.passed == {}
    assert redact(text, speaking, frozenset(OTHERS) - {language}).passed == {f"names in {name}": 1}


@pytest.mark.requirement("RED-34")
@pytest.mark.parametrize(
    ("text", "name"), [(GERMAN, "german"), ("Меня зовут Анна, пишите ada@example.com", "cyrillic")]
)
def test_without_a_model_patterns_are_found_and_the_audit_says_that_names_were_not_looked_for(
    text: str, name: str
) -> None:
    after = redact(text, PatternDetector(), frozenset())
    assert "ada@" not in str(after.tree)
    assert after.passed == {f"names in {name}": 1}


@pytest.mark.requirement("RED-34")
@pytest.mark.parametrize("text", ENGLISH)
def test_english_and_what_is_no_language_is_taken_for_english(text: str) -> None:
    assert language_of(text) == "en"
    assert redact(text, PatternDetector(), frozenset()).passed == {}


@pytest.mark.requirement("RED-34")
def test_a_language_whose_model_is_missing_is_refused_with_the_command_to_run(tmp_path: object) -> None:
    with pytest.raises(ModelUnusable, match="oncegate model install --language fr"):
        verify(default_folder() / str(tmp_path).strip("/"), OTHERS["fr"])
