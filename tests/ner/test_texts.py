"""The texts names are learned from and judged on: the same for the same seed, and apart."""

from __future__ import annotations

import re

import pytest

from training.ner.corpus import development, judging, training
from training.ner.generate import samples, templates
from training.ner.names import names, part_of


@pytest.mark.requirement("NER-04")
def test_the_same_seed_makes_the_same_texts() -> None:
    assert list(samples("training", 200, 3)) == list(samples("training", 200, 3))
    assert list(samples("training", 200, 3)) != list(samples("training", 200, 4))


@pytest.mark.requirement("NER-04")
def test_a_name_belongs_to_one_part() -> None:
    held = {name.casefold() for group in names("judging") for name in (*group.first, *group.last)}
    learned = {name.casefold() for group in names("training") for name in (*group.first, *group.last)}
    developed = {name.casefold() for group in names("development") for name in (*group.first, *group.last)}
    assert held & learned == held & developed == learned & developed == set()
    assert min(len(held), len(learned), len(developed)) > 500
    assert part_of("Ada") == part_of("ADA") == part_of("ada")


@pytest.mark.requirement("NER-04")
def test_templates_that_are_judged_on_are_not_trained_on() -> None:
    plain = {re.sub(r"\W|\{\w+\}", "", line) for line in templates("training")}
    judged = {re.sub(r"\W|\{\w+\}", "", line) for line in templates("judging")} - {""}
    assert len(judged) > 60
    assert judged & plain <= {"name"}


@pytest.mark.requirement("NER-04")
def test_open_texts_are_in_one_part() -> None:
    parts = [training(10, 1), *development(10).values(), *judging(10).values()]
    texts = [{one.text for one in part if len(one.text) > 40} for part in parts]
    for at, one in enumerate(texts):
        for other in texts[at + 1 :]:
            assert len(one & other) <= 3  # people repeat themselves


@pytest.mark.requirement("NER-04")
def test_marks_stand_where_names_stand() -> None:
    for one in samples("training", 500, 5):
        for start, end, kind in one.spans:
            value = one.text[start:end]
            assert value == value.strip(), one
            assert value, one
            assert kind in {"PERSON", "LOCATION", "ORGANIZATION"}
