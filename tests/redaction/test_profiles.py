"""What profiles say of directions, allowed values, media and shadows; and how they add up."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, cast

import pytest

from redaction import redactor
from redaction.finding import Redacted, Scope, Shape
from redaction.profile import Profile, ProfilesInvalid, Rule, combine, load_profiles
from tests.redaction.detectors import PatternDetector

if TYPE_CHECKING:
    from pathlib import Path

SCOPE = Scope(id="run/r1", key=b"k" * 32)
ALL = Profile(name="all", inspects=True, default=Rule("placeholder", 0.5))
#: As the protocols do: what is a file's content is structure to them.
SHAPE = Shape(keep=("content.*.data", "content.*.blob", "content.*.type"))
FILE = """
a:
  inward: {EMAIL: block}
  outward: {EMAIL: keep, PHONE: {treatment: drop, threshold: 0.9}}
  allow: {EMAIL: ["*@acme.example", info@other.example], "*": [ACME public line]}
  unscanned: block
b: {shadow: true}
c: {default: mask}
"""
PICTURE = base64.b64encode(bytes(range(250))).decode()


def redact(tree: object, profile: Profile = ALL) -> Redacted:
    planned = redactor.plan(tree, SHAPE, profile)
    found = dict(zip(planned.texts, PatternDetector().find(planned.texts), strict=True))
    return redactor.finish(planned, found, SCOPE)


def profiles(tmp_path: Path, content: str = FILE) -> dict[str, Profile]:
    path = tmp_path / "redaction.yaml"
    path.write_text(content, encoding="utf-8")
    return dict(load_profiles(path))


@pytest.mark.requirement("RED-25")
def test_a_direction_has_its_own_rules(tmp_path: Path) -> None:
    one = profiles(tmp_path)["a"]
    text = "mail ada@example.com"
    assert redact(text, one.toward("outward")).tree == text
    assert redact(text, one.toward("inward")).blocked == (("EMAIL", ""),)
    assert one.toward("outward").rule("PHONE") == Rule("drop", 0.9)
    assert one.toward("inward").rule("PHONE") == Rule("placeholder", 0.5)
    assert ALL.toward("inward") is ALL


@pytest.mark.requirement("RED-25")
def test_profiles_with_directions_add_up_in_each(tmp_path: Path) -> None:
    known = profiles(tmp_path)
    both = combine([known["a"], known["c"]])
    assert both.toward("outward").rule("EMAIL").treatment == "mask"
    assert both.toward("inward").rule("EMAIL").treatment == "block"
    assert both.toward("outward").rule("PHONE").treatment == "drop"
    assert both.unscanned == "block"
    assert both.allow == {}
    assert both.digest != known["c"].digest


@pytest.mark.requirement("RED-25")
def test_values_on_the_allow_list_stay_and_only_they(tmp_path: Path) -> None:
    one = profiles(
        tmp_path, "a: {allow: {EMAIL: ['*@acme.example']}}\nb: {allow: {EMAIL: ['*@acme.example', x@y.org]}}"
    )
    text = "write Sales@ACME.example or ada@example.com or ada@acme.example.org"
    after = cast("str", redact(text, one["a"]).tree)
    assert "Sales@ACME.example" in after
    assert "ada@" not in after
    assert combine([one["a"], one["b"]]).allow == {"EMAIL": frozenset({"*@acme.example"})}
    assert "Sales" not in str(redact(text, combine([one["a"], ALL])).tree)


@pytest.mark.requirement("RED-25")
def test_a_shadow_says_what_it_would_have_changed_and_changes_nothing(tmp_path: Path) -> None:
    known = profiles(tmp_path)
    tree = {"to": "ada@example.com", "card": "4111 1111 1111 1111"}
    after = redact(tree, known["b"])
    assert (after.tree, after.changed, after.minted, after.blocked) == (tree, False, (), ())
    assert dict(after.passed) == {"shadow EMAIL": 1, "shadow CARD": 1}
    assert combine([known["b"], known["c"]]) == known["c"]
    assert combine([known["c"], known["b"]]) == known["c"]


MEDIA: list[tuple[object, str]] = [
    ({"content": [{"type": "image", "data": PICTURE, "mimeType": "image/png"}]}, "image"),
    ({"content": [{"type": "audio", "data": PICTURE, "mimeType": "audio/wav"}]}, "audio"),
    ({"image_url": {"url": f"data:image/png;base64,{PICTURE}"}}, "image"),
    ({"input_audio": {"data": PICTURE, "format": "wav"}}, "audio"),
    ({"file": {"file_data": f"data:application/pdf;base64,{PICTURE}"}}, "document"),
    ({"source": {"type": "base64", "media_type": "application/pdf", "data": PICTURE}}, "document"),
]  # fmt: skip


@pytest.mark.requirement("RED-26")
@pytest.mark.parametrize(("tree", "kind"), MEDIA)
def test_what_cannot_be_looked_into_is_said_or_blocked(tree: object, kind: str) -> None:
    after = redact(tree)
    assert after.tree == tree
    assert dict(after.passed) == {kind: 1}
    strict = Profile(name="x", inspects=True, default=Rule("placeholder", 0.5), unscanned="block")
    ((what, where),) = redact(tree, strict).blocked
    assert what == "UNSCANNED"
    assert where.startswith("/")


@pytest.mark.requirement("RED-26")
@pytest.mark.parametrize("media", ["text/plain", "text/csv", "application/json", "application/ld+json"])
def test_files_of_text_are_opened_and_closed_again(media: str) -> None:
    inner = '{"mail": "ada@example.com"}'
    content = base64.b64encode(inner.encode()).decode()
    for tree in (
        {"content": [{"type": "resource", "mimeType": media, "blob": content}]},
        {"file": {"file_data": f"data:{media};base64,{content}"}},
        {"url": f"data:{media};charset=utf-8;base64,{content}"},
    ):
        after = redact(tree)
        assert dict(after.counts) == {"EMAIL": 1}
        assert dict(after.passed) == {}
        assert content not in str(after.tree)
        assert [one.token for one in after.minted] == list(redactor.tokens_in(after.tree, SHAPE))
        restored, _ = redactor.restore(
            after.tree, {one.token: one for one in after.minted}, entities=frozenset(), pointer=None, shape=SHAPE
        )
        assert restored == tree


@pytest.mark.requirement("RED-26")
def test_names_in_scripts_without_a_model_are_said_not_to_be_looked_for() -> None:
    after = redact({"a": "王小明住在北京", "b": "Привет, Анна", "c": "José Müller", "d": "mail ada@example.com 好"})
    assert dict(after.passed) == {"names in cjk": 1, "names in cyrillic": 1}
    assert dict(after.counts) == {"EMAIL": 1}


@pytest.mark.requirement("RED-08")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: {inward: {EMIAL: drop}}", "unknown entity `EMIAL`"), ("a: {unscanned: maybe}", "unknown choice `maybe`"),
        ("a: {shadow: 3}", "`shadow` must be"), ("a: {allow: {EMAIL: x}}", "`allow`: expected a list"),
        ("a: {allow: {EMAIL: ['*']}}", "`allow`: expected a list"),
        ("a: {allow: {MAIL: [x]}}", "unknown entity `MAIL`"),
        ("a: {outward: 7}", "expected a map"),
    ],
)  # fmt: skip
def test_wrong_directions_lists_and_choices_are_refused(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(ProfilesInvalid) as caught:
        profiles(tmp_path, content)
    assert said in str(caught.value)
