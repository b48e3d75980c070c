"""The language model's search, by NumPy over whole batches, against spaCy's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import pytest
import spacy

from redaction.model import default_folder
from redaction.ner.tokens import part_at_signs, read_less
from redaction.ner.transitions import Transitions
from training.ner.corpus import judging

if TYPE_CHECKING:
    from spacy.language import Language

    from redaction.ner.transitions import Recognizer


class EntityRecognizer(Protocol):
    def add_label(self, label: str, /) -> int: ...


TEXTS = 150
_UNUSED = ["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer", "senter", "ner"]
#: Nothing, spaces, one word, an entity up to the end, entities side by side.
ODD = ["", " ", "   \n  ", "Paris", "from Ada Lovelace", "Ada Lovelace Grace Hopper, London Paris", "a " * 300]


@pytest.mark.requirement("NER-01")
def test_the_language_model_finds_what_spacy_finds_with_it(language: Language) -> None:
    texts = [*ODD, "cannot don't gonna (Hello) e.g. U.S.A. x.y C# 10km"]
    recognizer = language.get_pipe("ner")
    found = Transitions(cast("Recognizer", recognizer)).entities([language.make_doc(text) for text in texts])
    for text, document, entities in zip(texts, language.pipe(texts), found, strict=True):
        assert [(span.start, span.end, span.label_) for span in document.ents] == entities, text


@pytest.mark.requirement("NER-01")
def test_a_recognizer_of_another_kind_is_refused() -> None:
    blank = spacy.blank("en")
    recognizer = blank.add_pipe("ner", config={"model": {"@architectures": "spacy.TransitionBasedParser.v2",
                                               "state_type": "ner", "extra_state_tokens": True, "hidden_width": 8,
                                               "maxout_pieces": 2, "use_upper": True,
                                               "tok2vec": {"@architectures": "spacy.HashEmbedCNN.v2", "width": 8,
                                                           "depth": 1, "embed_size": 50, "window_size": 1,
                                                           "maxout_pieces": 2, "subword_features": True,
                                                           "pretrained_vectors": None}}})  # fmt: skip
    cast("EntityRecognizer", recognizer).add_label("PERSON")
    blank.initialize()
    with pytest.raises(ValueError, match="known here"):
        Transitions(cast("Recognizer", recognizer))


@pytest.mark.requirement("NER-01")
def test_what_is_left_out_of_words_for_speed_changes_no_token() -> None:
    usual, lighter = (spacy.load(default_folder(), exclude=_UNUSED) for _ in range(2))
    part_at_signs(usual)
    part_at_signs(lighter)
    read_less(lighter)
    columns: list[int | str] = ["ORTH", "NORM", "PREFIX", "SUFFIX", "SHAPE", "IS_SPACE", "SPACY"]
    texts = [*ODD, "cannot don't gonna (Hello) e.g. U.S.A. x.y C# 10km"]
    texts += [one.text for several in judging(TEXTS).values() for one in several[:TEXTS]]
    for text in texts:
        assert usual.make_doc(text).to_array(columns).tolist() == lighter.make_doc(text).to_array(columns).tolist()
