"""The language model's tokenizer, told of the signs that part words in records and code.

Written for prose, it takes `4711;Ada;Lovelace;Paris` and `{"name":"Ada","city":"Paris"}` for one word or few.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from spacy.attrs import IDS  # pyright: ignore[reportUnknownVariableType] - has no type
from spacy.util import compile_infix_regex  # pyright: ignore[reportUnknownVariableType] - has half a type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from spacy.language import Language

#: Between any characters, and a comma beside a letter or a quotation mark: numbers keep theirs.
_PARTING: Final = (r"[;|={}\[\]<>\"“”]+", r"(?<=[\w\"']),(?=[^\W\d]|[\"'])", r"(?<=[^\W\d]|[\"']),(?=[\w\"'])")
#: A line of a table that ends in an address is no address.
_RECORD: Final = re.compile(r"[^/]*[,;|\"<>{}\[\]]")
#: What the language model and Presidio ask of a word.
_READ: Final = ("NORM", "PREFIX", "SUFFIX", "SHAPE", "IS_SPACE", "IS_STOP", "IS_PUNCT")
_PLAIN: Final = re.compile(r"[A-Za-z]+")


class Vocabulary(Protocol):
    """What is changed of spaCy's vocabulary."""

    lex_attr_getters: dict[int, Callable[[str], object]]


class Tokenizer(Protocol):
    """What is changed of spaCy's tokenizer."""

    token_match: Callable[[str], re.Match[str] | None] | None

    infix_finditer: Callable[[str], Iterator[re.Match[str]]]
    url_match: Callable[[str], re.Match[str] | None] | None


def part_at_signs(language: Language) -> None:
    """Make `language` part words at the signs of records, besides its own rules."""
    tokenizer = cast("Tokenizer", cast("Any", language).tokenizer)
    is_address = tokenizer.url_match
    own = cast("Sequence[str]", cast("Any", language).Defaults.infixes)
    infixes = cast("re.Pattern[str]", compile_infix_regex([*own, *_PARTING]))
    tokenizer.infix_finditer = infixes.finditer
    tokenizer.url_match = lambda text: is_address(text) if is_address and not _RECORD.match(text) else None


def read_less(language: Language) -> None:
    """Make `language` find out of a new word only what is read here, and take plain words as they are.

    Tokens stay the same: no rule parts a word of ASCII letters, but for the exceptions, which come first.
    """
    vocabulary = cast("Vocabulary", language.vocab)
    read = [cast("dict[str, int]", IDS)[name] for name in _READ]
    getters = vocabulary.lex_attr_getters
    vocabulary.lex_attr_getters = {attribute: getters[attribute] for attribute in read if attribute in getters}
    cast("Tokenizer", cast("Any", language).tokenizer).token_match = _PLAIN.fullmatch
