"""What was looked at before is not walked again, and nothing else changes by that."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redaction import redactor
from redaction.finding import Redacted, Scope, Shape
from redaction.memory import Memory, Seen
from redaction.profile import Profile, Rule
from redaction.surrogates import token_of
from tests.redaction.detectors import PatternDetector
from tests.redaction.test_engine import PLANTED, TREES
from tests.redaction.test_typed import slots

if TYPE_CHECKING:
    from redaction.memory import Recall

KEY = b"m" * 32
SCOPE = Scope(id="run/r1", key=b"k" * 32)
SHAPE = Shape(
    keep=("*.role", "model", "messages.*.role"), embedded=("*.arguments", "messages.*.arguments", "*.*.a"),
    fixed=("*.signed", "messages.*.thinking"),
)  # fmt: skip
PROFILES = tuple(
    Profile(name=name, inspects=True, default=Rule("placeholder", 0.5), **more)  # pyright: ignore[reportArgumentType] - of every field
    for name, more in {
        "all": {},
        "mixed": {"entities": {"EMAIL": Rule("mask", 0.5), "CARD": Rule("drop", 0.5), "SECRET": Rule("keep", 0.5)}},
        "blocks": {"entities": {"IBAN": Rule("block", 0.5)}},
        "shadow": {"shadow": True},
        "closed": {"unscanned": "block"},
    }.items()
)
SAID = st.sampled_from([
    *PLANTED, json.dumps({"to": PLANTED[0], "n": [1, PLANTED[1]]}), "{", '{"a": 1, "a": "ada@example.com"}',
    "data:text/plain;base64,bWFpbCBhZGFAZXhhbXBsZS5jb20gbm93", "data:image/png;base64,iVBORw0KGgo=",
    "Пишите на ada@example.com сегодня", "word " * 150, f"{'word ' * 120}{PLANTED[0]}. {PLANTED[1]}\n{PLANTED[0]}",
    "\ud800 ada@example.com",
])  # fmt: skip
MESSAGE = st.dictionaries(
    st.sampled_from(
        ["role", "content", "arguments", "thinking", "signed", "first_name", "data", "mimeType", PLANTED[0]]
    ),
    SAID | st.lists(SAID, max_size=3) | TREES | st.sampled_from([4111111111111111, "4111", "1111", "image/png", "Ada"]),
    max_size=5,
)
CALLS = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, max_size=5)},
    optional={"system": SAID, "tools": st.lists(TREES, max_size=3), "params": MESSAGE, "model": SAID},
)
ANY = CALLS | st.lists(MESSAGE, max_size=4) | TREES | SAID


def redact(tree: object, profile: Profile, recall: Recall | None, ours: frozenset[str] = frozenset()) -> Redacted:
    planned = redactor.plan(tree, SHAPE, profile, recall=recall, ours=ours)
    found = dict(zip(planned.texts, PatternDetector().find(planned.texts), strict=True))
    return redactor.finish(planned, found, SCOPE, ours)


def facts(redacted: Redacted) -> object:
    """Return what a result says, in an order of its own."""
    return (
        redacted.tree, redacted.changed, dict(redacted.counts), dict(redacted.passed), redacted.blocked,
        {one.token: one for one in redacted.minted}, set(redacted.suspects),
    )  # fmt: skip


def seen_of(memory: Memory) -> list[Seen]:
    return list(cast("dict[bytes, Seen]", getattr(memory, "_seen")).values())  # noqa: B009 - what it holds is what is shown


def like_without_memory(trees: list[object], profile: Profile, data: st.DataObject) -> None:
    """Send trees twice, and what grows of them."""
    memory = Memory(KEY)
    for _ in range(2):
        for tree in trees:
            before = copy.deepcopy(tree)
            plain = redact(tree, profile, None)
            recall = memory.of("acme", profile.name, SCOPE)
            assert facts(redact(tree, profile, recall)) == facts(plain)
            assert facts(redact(tree, profile, recall)) == facts(plain)
            if plain.suspects:
                ours = frozenset(data.draw(st.sets(st.sampled_from(plain.suspects))))
                known = redact(tree, profile, recall, ours)
                assert facts(known) == facts(redact(tree, profile, None, ours))
            assert tree == before
        grown = data.draw(st.sampled_from(trees))
        trees = [*trees, {"messages": [grown, grown], "params": grown}]


@pytest.mark.requirement("RED-41")
@settings(max_examples=60)
@given(st.lists(ANY, min_size=1, max_size=3), st.sampled_from(PROFILES), st.data())
def test_with_memory_is_without_memory_whatever_was_seen_before(
    trees: list[object], profile: Profile, data: st.DataObject
) -> None:
    like_without_memory(trees, profile, data)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.requirement("RED-41")
@settings(max_examples=1500)
@given(st.lists(ANY, min_size=1, max_size=3), st.sampled_from(PROFILES), st.data())
def test_with_memory_is_without_memory_in_very_many_histories(
    trees: list[object], profile: Profile, data: st.DataObject
) -> None:
    like_without_memory(trees, profile, data)


@pytest.mark.requirement("RED-41")
@pytest.mark.parametrize("profile", PROFILES[:2], ids=lambda profile: profile.name)
def test_a_history_sent_again_is_neither_walked_nor_kept_as_text(profile: Profile) -> None:
    memory = Memory(KEY)
    arguments = json.dumps({"to": PLANTED[0], "why": "she asked for it"})
    history: list[object] = [
        {"role": "user", "content": f"write to {PLANTED[0]} and charge {PLANTED[1]}"},
        {"role": "assistant", "arguments": arguments},
        {"role": "user", "content": "nothing of anyone"},
    ]
    first = redact({"messages": history}, profile, memory.of("acme", "p", SCOPE))
    longer = {"messages": [*history, {"role": "user", "content": "and now?"}]}
    planned = redactor.plan(longer, SHAPE, profile, recall=memory.of("acme", "p", SCOPE))
    assert planned.texts == ("and now?",)
    again = redactor.finish(planned, {"and now?": ()}, SCOPE)
    assert again.counts == first.counts
    assert again.minted == first.minted
    assert (
        cast("dict[str, list[object]]", again.tree)["messages"][:3]
        == (cast("dict[str, list[object]]", first.tree)["messages"])
    )
    held = repr(seen_of(memory))
    assert not [word for word in (*PLANTED, "asked", "nothing", "example", "content", "1111") if word in held]


@pytest.mark.requirement("RED-41", "RED-33")
def test_another_domain_profile_scope_hint_or_place_has_seen_nothing() -> None:
    memory, profile = Memory(KEY), PROFILES[0]
    tree = {"messages": [{"content": f"write to {PLANTED[0]}"}], "params": {"content": {"first": "Ada"}}}
    mine = memory.of("acme", "p", SCOPE)
    redact(tree, profile, mine)
    assert redactor.plan(tree, SHAPE, profile, recall=mine).texts == ()
    for other in (
        memory.of("partner", "p", SCOPE), memory.of("acme", "q", SCOPE), memory.of("acmep", "", SCOPE),
        Memory(b"n" * 32).of("acme", "p", SCOPE),
    ):  # fmt: skip
        assert redactor.plan(tree, SHAPE, profile, recall=other).texts
    elsewhere = memory.of("acme", "p", Scope(id="run/r2", key=b"x" * 32))
    assert redactor.plan(tree, SHAPE, profile, recall=elsewhere).texts
    moved = {"messages": [{"content": {"first": "Ada"}}], "more": {"first": [f"write to {PLANTED[0]}"]}}
    assert redactor.plan(moved, SHAPE, profile, recall=mine).texts
    assert redactor.plan(tree, replace(SHAPE, keep=(*SHAPE.keep, "other.*.x")), profile, recall=mine).texts == ()
    assert redactor.plan(tree, Shape(embedded=("messages.*.content",)), profile, recall=mine).texts


@pytest.mark.requirement("RED-41")
def test_where_a_schema_speaks_only_what_held_nothing_is_known_again() -> None:
    memory, profile = Memory(KEY), PROFILES[0]
    tree = {"params": {"one": {"to": PLANTED[0]}, "two": {"note": "nothing of anyone"}}}
    recall = memory.of("acme", "p", SCOPE)
    redact(tree, profile, recall)
    typed = slots({"params": {"type": "object"}})
    planned = redactor.plan(tree, SHAPE, profile, typed, recall=recall)
    assert planned.texts == (PLANTED[0],)


@pytest.mark.requirement("RED-41")
def test_a_stand_in_of_the_scope_is_asked_for_again_from_memory_and_stays() -> None:
    memory, profile = Memory(KEY), PROFILES[0]
    mail = "p-9s348gpix6@oncegate.invalid"
    recall = memory.of("acme", "p", SCOPE)
    for _ in range(2):
        redacted = redact({"messages": [{"content": mail}]}, profile, recall)
        assert token_of(mail) in redacted.suspects
        ours = frozenset(redacted.suspects)
        assert redact({"messages": [{"content": mail}]}, profile, recall, ours).counts == {}


@pytest.mark.requirement("RED-41")
def test_what_is_remembered_is_bounded_and_the_oldest_goes_first() -> None:
    profile = PROFILES[0]
    for bounds in ({"parts_max": 10}, {"bytes_max": 10 * 1150}):
        memory = Memory(KEY, **bounds)
        recall = memory.of("acme", "p", SCOPE)
        for number in range(100):
            redact({"messages": [{"content": f"{number}: {PLANTED[0]}"}]}, profile, recall)
        assert 5 <= len(seen_of(memory)) <= 10
        for number, known in ((0, False), (99, True)):
            again = redactor.plan({"messages": [{"content": f"{number}: {PLANTED[0]}"}]}, SHAPE, profile, recall=recall)
            assert (again.texts == ()) is known
