"""The second reading and the lists: what is known of a word besides how it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from redaction.ner.lists import LISTS, Lists, hash_of
from redaction.ner.network import HEARD, LABELS, Network, heard_of
from redaction.ner.transitions import Transitions
from training.ner.names import lists, names, part_of

if TYPE_CHECKING:
    from spacy.language import Language

    from redaction.ner.transitions import Recognizer

TEXTS = ["Please ask Ada Lovelace now.", "", "Caloi makes bicycles in Brazil.", "charge the card of Grace Hopper"]


@pytest.mark.requirement("NER-11")
def test_a_text_read_again_has_the_same_scores_alone_and_among_others(network: Network, language: Language) -> None:
    documents = [language.make_doc(text) for text in TEXTS]
    words = [[token.text for token in document] for document in documents]
    transitions = Transitions(cast("Recognizer", language.get_pipe("ner")))
    together = network.scores_with(words, heard_of(transitions.read(documents), [len(one) for one in words]))
    for document, said, scores in zip(documents, words, together, strict=True):
        assert scores.shape == (len(said), len(LABELS))
        alone = network.scores_with([said], heard_of(transitions.read([document]), [len(said)]))[0]
        np.testing.assert_allclose(alone, scores, atol=1e-3)


@pytest.mark.requirement("NER-11")
def test_what_was_heard_of_a_word_is_what_it_is_to_the_language_model_and_its_place_in_a_find() -> None:
    context = np.arange(8, dtype=np.float32).reshape(4, 2)
    rows = heard_of(([[(0, 2, "ORG")], [(1, 2, "PERSON")]], context), [2, 2])
    np.testing.assert_array_equal(rows[:, :2], context)
    said = [set(np.flatnonzero(row[2:]).tolist()) for row in rows]
    assert said == [{2 * HEARD.index("ORG")}, {2 * HEARD.index("ORG") + 1}, set(), {2 * HEARD.index("PERSON")}]


@pytest.mark.requirement("NER-11")
def test_the_language_model_has_the_kinds_of_things_that_the_network_knows(language: Language) -> None:
    assert tuple(Transitions(cast("Recognizer", language.get_pipe("ner"))).labels) == HEARD


@pytest.mark.requirement("NER-12")
def test_a_word_stands_in_its_lists_however_it_is_written() -> None:
    hashes = {name: np.ones(1, np.uint32) for name in LISTS}
    hashes["given"] = np.sort(np.array([hash_of("ada"), hash_of("émile")], np.uint32))
    found = Lists(hashes).of(["Ada", "ADA", "Émile", "Emile", "", "\ud800"])
    assert found[:, LISTS.index("given")].tolist() == [1, 1, 1, 0, 0, 0]
    assert found.sum() == 3


@pytest.mark.requirement("NER-12")
def test_no_name_that_is_judged_on_stands_in_a_list() -> None:
    found = lists()
    held = [name for group in names("judging") for name in (*group.first, *group.last) if part_of(name) == "judging"]
    rows = Lists(found).of(held)
    assert len(held) > 500
    assert not rows.any()
    assert [len(found[name]) > 300 for name in LISTS] == [True] * len(LISTS)
