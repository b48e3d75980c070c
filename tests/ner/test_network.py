"""The network's arithmetic: the same for a text wherever it stands, and labels that become entities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redaction.model import NETWORK, ModelUnusable, network_data
from redaction.ner.agreement import LENIENCE, agreed, in_doubt, may_hold
from redaction.ner.network import ENTITIES, LABELS, Network, Tagged, heard_of, kinds
from redaction.ner.transitions import Transitions
from redaction.ner.words import TABLE_ROWS, rows_of
from training.ner.corpus import judging
from training.ner.measure import Counts, count

if TYPE_CHECKING:
    from pathlib import Path

    from spacy.language import Language

    from redaction.ner.network import Floats
    from redaction.presidio import PresidioDetector

WORDS = ["acme", "corp"]
TEXTS = [["Please", "ask", "Ada", "Lovelace", "now", "."], [], ["Paris"], ["John", "Smith", "-", "London"]]


@pytest.mark.requirement("NER-06")
def test_a_text_has_the_same_scores_alone_and_among_others(network: Network) -> None:
    together = network.scores(TEXTS)
    for words, scores in zip(TEXTS, together, strict=True):
        assert scores.shape == (len(words), len(LABELS))
        alone = network.scores([words])[0]
        np.testing.assert_allclose(alone, scores, atol=1e-3)


@pytest.mark.requirement("NER-06")
def test_words_that_were_forgotten_have_the_scores_they_had(network: Network) -> None:
    before = network.scores(TEXTS)
    for block in range(0, 44_000, 4_000):
        network.scores([[f"word{at}" for at in range(block, block + 4_000)]])
    for one, other in zip(before, network.scores(TEXTS), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.requirement("NER-06")
def test_odd_words_have_features() -> None:
    rows = rows_of(["", "x" * 5000, "\ud800", "王小明", " ", "Ada", "ada"])
    assert (rows >= 0).all()
    assert (rows < np.array(TABLE_ROWS)[None, :, None]).all()
    assert (rows[-1, 0] == rows[-2, 0]).all()
    assert (rows[-1, 1] != rows[-2, 1]).any()


@given(st.lists(st.lists(st.floats(-12, 0), min_size=len(LABELS), max_size=len(LABELS)), max_size=12))
@pytest.mark.requirement("NER-07")
def test_any_scores_become_entities_that_stand_apart(rows: list[list[float]]) -> None:
    scores = np.array(rows, np.float32).reshape(-1, len(LABELS))
    found = Network.spans(scores, LENIENCE)
    at = 0
    for one in found:
        assert at <= one.start < one.end <= len(rows)
        assert one.entity in ENTITIES
        at = one.end


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
@pytest.mark.requirement("NER-06")
def test_texts_have_the_same_entities_alone_and_together(lengths: list[int], seed: int) -> None:
    of = np.random.default_rng(seed)
    texts = [of.uniform(-6, 0, (length, len(LABELS))).astype(np.float32) for length in lengths]
    assert Network.spans_of(texts, LENIENCE) == [Network.spans(one, LENIENCE) for one in texts]


@pytest.mark.requirement("NER-07")
@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_the_labels_chosen_are_the_best_sequence_there_is(length: int, seed: int) -> None:
    scores = np.random.default_rng(seed).uniform(-6, 0, (length, len(LABELS))).astype(np.float32)

    def may_follow(one: str, other: str) -> bool:
        inside = one[2:] if one[0] in "BI" else ""
        return inside == (other[2:] if other[0] in "IL" else "")

    def best(at: int, before: str) -> float:
        if at == length:
            return 0.0 if before[0] not in "BI" else -1e9
        allowed = [place for place, label in enumerate(LABELS) if may_follow(before, label)]
        return max(float(scores[at, place]) + best(at + 1, LABELS[place]) for place in allowed)

    found = Network.spans(scores)
    labels = ["O"] * length
    for one in found:
        if one.end - one.start == 1:
            labels[one.start] = f"U-{one.entity}"
        else:
            labels[one.start], labels[one.end - 1] = f"B-{one.entity}", f"L-{one.entity}"
            labels[one.start + 1 : one.end - 1] = [f"I-{one.entity}"] * (one.end - one.start - 2)
    reached = sum(float(scores[at, LABELS.index(label)]) for at, label in enumerate(labels))
    assert abs(reached - best(0, "O")) < 1e-3


@pytest.mark.requirement("NER-07")
def test_labels_become_entities_from_their_beginning_to_their_last_word() -> None:
    path = ["O", "B-PERSON", "I-PERSON", "L-PERSON", "U-LOCATION", "O", "B-ORGANIZATION", "L-ORGANIZATION"]
    scores = np.full((len(path), len(LABELS)), np.log(0.01), np.float32)
    for at, label in enumerate(path):
        scores[at, LABELS.index(label)] = np.log(0.9)
    found = [(one.start, one.end, one.entity) for one in Network.spans(scores)]
    assert found == [(1, 4, "PERSON"), (4, 5, "LOCATION"), (6, 8, "ORGANIZATION")]


def _scores(*chances: dict[str, float]) -> Floats:
    rows = [[one.get(label, 1e-6) for label in LABELS] for one in chances]
    return np.log(np.array(rows, np.float32))


@pytest.mark.requirement("NER-08")
def test_a_find_of_the_language_model_counts_unless_the_network_rules_it_out() -> None:
    scores = _scores({"O": 0.9, "U-PERSON": 0.1}, {"O": 0.99, "U-PERSON": 0.001})
    theirs = [Tagged(0, 1, "PERSON", 1.0), Tagged(1, 2, "PERSON", 1.0)]
    assert [(one.start, one.end) for one in agreed(kinds(scores), ["joy", "wind"], [], theirs)] == [(0, 1)]


@pytest.mark.requirement("NER-08")
def test_a_whole_name_that_the_language_model_finds_counts_whatever_the_network_says() -> None:
    scores = _scores(*[{"O": 0.999, "U-PERSON": 0.0001}] * 3)
    theirs = [Tagged(0, 2, "PERSON", 1.0), Tagged(2, 3, "PERSON", 1.0)]
    words = ["Grace", "Hopper", "Hopper"]
    assert may_hold(kinds(scores), words)
    assert [(one.start, one.end) for one in agreed(kinds(scores), words, [], theirs)] == [(0, 2)]
    for written in (["grace", "hopper", "x"], ["GRACE", "HOPPER", "x"], ["G", "Hopper", "x"]):
        assert agreed(kinds(scores), written, [], theirs) == []
        assert not may_hold(kinds(scores), written)


@pytest.mark.requirement("NER-08")
def test_a_whole_name_that_the_network_takes_for_a_place_is_none_and_words_beside_a_name_are_left_out() -> None:
    park = _scores({"O": 0.2, "B-LOCATION": 0.8}, {"O": 0.2, "L-LOCATION": 0.8})
    assert agreed(kinds(park), ["Anderson", "Park"], [], [Tagged(0, 2, "PERSON", 1.0)]) == []
    beside = _scores({"O": 0.99}, {"O": 0.2, "U-PERSON": 0.8}, {"O": 0.99})
    theirs = [Tagged(0, 3, "PERSON", 1.0)]
    (found,) = agreed(kinds(beside), ["about", "Ada", ">"], [], theirs)
    assert (found.start, found.end, found.entity) == (1, 2, "PERSON")


@pytest.mark.requirement("NER-08")
def test_what_begins_with_a_given_name_that_is_a_word_is_a_person_where_the_network_has_nothing_to_say() -> None:
    silent = _scores(*[{"O": 0.999, "U-PERSON": 0.0001}] * 2)
    theirs = [Tagged(0, 2, "ORGANIZATION", 1.0)]
    (found,) = agreed(kinds(silent), ["Grace", "Hopper"], [], theirs)
    assert (found.start, found.end, found.entity) == (0, 2, "PERSON")
    assert agreed(kinds(silent), ["Visual", "Studio"], [], theirs) == []
    bank = _scores({"O": 0.2, "B-ORGANIZATION": 0.8}, {"O": 0.2, "L-ORGANIZATION": 0.8})
    assert [one.entity for one in agreed(kinds(bank), ["Chase", "Bank"], [], theirs)] == ["ORGANIZATION"]


@pytest.mark.requirement("NER-05")
@pytest.mark.parametrize("name", ["Grace Hopper", "Bill Gates", "Ada Lovelace", "Edsger Dijkstra", "Alan Turing"])
def test_people_who_are_called_like_things_are_people(detector: PresidioDetector, name: str) -> None:
    texts = [
        f"Please pay {name} today.", f'{{"customer": "{name}", "amount": 120.0}}', name, f"charge the card of {name}",
    ]  # fmt: skip
    for text, found in zip(texts, detector.find(texts), strict=True):
        people = [text[one.start : one.end] for one in found if one.entity == "PERSON"]
        assert name in people, text


@pytest.mark.requirement("NER-08")
def test_overlapping_finds_are_one_and_a_person_rather_than_an_organisation() -> None:
    scores = _scores({"U-PERSON": 0.5, "O": 0.5}, {"U-ORGANIZATION": 0.6, "O": 0.4})
    both = agreed(kinds(scores), WORDS, [Tagged(0, 1, "PERSON", 0.5)], [Tagged(0, 2, "ORGANIZATION", 1.0)])
    assert [(one.start, one.end, one.entity) for one in both] == [(0, 2, "PERSON")]
    surer = agreed(kinds(scores), WORDS, [Tagged(0, 1, "PERSON", 0.5), Tagged(0, 2, "LOCATION", 0.9)], [])
    assert [(one.start, one.end, one.entity) for one in surer] == [(0, 2, "LOCATION")]


@pytest.mark.requirement("NER-05")
def test_what_the_network_rules_out_holds_nothing_the_language_model_would_add(
    network: Network, language: Language
) -> None:
    texts = [one.text for several in judging(150).values() for one in several[:150]]
    documents = [language.make_doc(text) for text in texts]
    words = [[token.text for token in document] for document in documents]
    scores = network.scores(words)
    labels = {"PERSON": "PERSON", "GPE": "LOCATION", "ORG": "ORGANIZATION"}
    entities = Transitions(language.get_pipe("ner")).entities(documents)  # pyright: ignore[reportArgumentType] - has no type
    ruled_out = 0
    for row, listed, said in zip(scores, entities, words, strict=True):
        theirs = [Tagged(start, end, labels[label], 1.0) for start, end, label in listed if label in labels]
        if not may_hold(kinds(row), said):
            ruled_out += 1
            assert agreed(kinds(row), said, network.spans(row, LENIENCE), theirs) == []
    assert ruled_out > 50


@pytest.mark.requirement("NER-10")
def test_asking_the_language_model_in_doubt_alone_finds_as_many_names(network: Network, language: Language) -> None:
    samples = [one for several in judging(300).values() for one in several[:300]]
    documents = [language.make_doc(one.text) for one in samples]
    words = [[token.text for token in document] for document in documents]
    scores = network.scores(words)
    labels = {"PERSON": "PERSON", "GPE": "LOCATION", "ORG": "ORGANIZATION"}
    read = Transitions(language.get_pipe("ner")).read(documents)  # pyright: ignore[reportArgumentType] - has no type
    again = network.scores_with(words, heard_of(read, [len(said) for said in words]))
    always, in_doubt_only, asked = Counts(), Counts(), 0
    for at, (one, document, said) in enumerate(zip(samples, documents, words, strict=True)):
        theirs = [Tagged(start, end, labels[label], 1.0) for start, end, label in read[0][at] if label in labels]
        heard = agreed(kinds(again[at]), said, network.spans(again[at], LENIENCE), theirs)
        doubted = in_doubt(kinds(scores[at]), said)
        asked += doubted
        alone = heard if doubted else network.spans(scores[at], LENIENCE)
        for counts, tagged in ((always, heard), (in_doubt_only, alone)):
            spans = [(document[found.start : found.end], found) for found in tagged if found.score >= 0.5]
            places = [(span.start_char, span.end_char, found.entity) for span, found in spans]
            count(counts, "PERSON", one.spans, places)
    assert asked < 0.75 * len(samples)
    assert in_doubt_only.recall >= always.recall - 0.005
    assert in_doubt_only.precision >= always.precision - 0.005


@pytest.mark.requirement("NER-03")
def test_a_name_finder_that_was_changed_or_is_missing_is_refused(tmp_path: Path) -> None:
    changed = tmp_path / "names.npz"
    changed.write_bytes(NETWORK.read_bytes()[:-1] + b"!")
    with pytest.raises(ModelUnusable, match="not the one that was shipped; install oncegate again"):
        network_data(changed)
    with pytest.raises(ModelUnusable, match="no name finder in"):
        network_data(tmp_path / "nothing.npz")
    assert network_data() == NETWORK.read_bytes()
