"""Which texts no language model here was made for, so that the audit can say that names were not looked for."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

#: Characters looked at, and how many letters of another script make a text one that is not read.
_CHARACTERS_MAX: Final = 2000
_LETTERS_MIN: Final = 2
#: A language is known by its small words, so many different ones of it within the first characters of a text.
_WORDS_MIN: Final = 3
_BEGINNING_CHARACTERS: Final = 400
_SHORT_CHARACTERS: Final = 16
_ENGLISH: Final = "en"
#: Small words, each of one language alone as far as these go.
_SMALL_WORDS: Final = {
    "en": "the and is are was of to for with you this that it from have has will not be your which they we",
    "de": "und nicht ist ein eine einen dem den das ich wir sie mit für auf auch bei nach wird wurde haben hat sind von"
          " zum zur über bitte heiße herr frau mein unser aus oder",
    "fr": "et est les des une dans pour avec sur pas vous nous je il elle qui au aux du ce cette par être votre notre"
          " mais monsieur madame suis bonjour chez appelle à",
    "es": "el los las una por y su del está pero como más usted nuestro gracias señor señora llamo vivo mi con para"
          " hola se favor al esta muy",
    "it": "il gli che non è di della sono questo anche nel alla mio signor signora grazie buongiorno chiamo",
    "pt": "os uma não é do da dos você meu muito obrigado obrigada senhor senhora chamo ao na são",
    "nl": "het een van en niet ik wij dat met voor op zijn naar heb mijn mevrouw meneer bedankt",
}  # fmt: skip
_NAMES: Final = {
    "de": "german", "fr": "french", "es": "spanish", "it": "italian", "pt": "portuguese", "nl": "dutch",
}  # fmt: skip
_OF: Final[dict[str, tuple[str, ...]]] = {
    word: tuple(language for language, words in _SMALL_WORDS.items() if word in words.split())
    for words in _SMALL_WORDS.values()
    for word in words.split()
}
_SMALL: Final = re.compile(rf"\b(?:{'|'.join(sorted(_OF, key=len, reverse=True))})\b")


def language_of(text: str) -> str:
    """Return the language of a text (ISO 639-1) as far as its small words tell; English where they do not."""
    if len(text) < _SHORT_CHARACTERS:
        return _ENGLISH
    counts = dict.fromkeys(_SMALL_WORDS, 0)
    for word in set(_SMALL.findall(text[:_BEGINNING_CHARACTERS].lower())):
        for language in _OF[word]:
            counts[language] += 1
    likeliest = max(counts, key=lambda language: (counts[language], language == _ENGLISH))
    return likeliest if counts[likeliest] >= _WORDS_MIN else _ENGLISH


def unread(text: str, languages: Collection[str]) -> str | None:
    """Return the script or language of a text that neither English nor one of `languages` is made for."""
    script = _unread_script(text)
    if script is not None:
        return script
    language = language_of(text)
    return None if language == _ENGLISH or language in languages else _NAMES[language]


def _unread_script(text: str) -> str | None:
    if text.isascii():
        return None
    latin = other = 0
    script = ""
    for character in text[:_CHARACTERS_MAX]:
        if not character.isalpha():
            continue
        if character.isascii() or (name := unicodedata.name(character, "")).startswith(("LATIN", "FULLWIDTH LATIN")):
            latin += 1
        else:
            other += 1
            script = script or name.partition(" ")[0].lower()
    return script if other >= _LETTERS_MIN and other > latin else None
