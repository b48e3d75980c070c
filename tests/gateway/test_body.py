"""JSON bodies: what is refused, and that everything else leaves as it came."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import body

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.requirement("GW-01")
@pytest.mark.parametrize(
    "content",
    [
        b'{"a": 1, "a": 2}', b'{"a": {"b": 1, "b": 1}}', b"[NaN]", b"[Infinity]", b'"\xff"', b'"\\ud800"', b"{} {}",
        b"", b"{", b"01", b"[1,]", b"\xef\xbb\xbf{}", b"[" * 5000, b"[" * 150 + b"]" * 150,
    ],
)  # fmt: skip
def test_what_is_not_one_plain_json_value_is_refused(content: bytes) -> None:
    with pytest.raises(body.MalformedBody):
        body.parse(content)


@pytest.mark.requirement("GW-01")
def test_the_complaint_about_a_duplicate_key_does_not_quote_it() -> None:
    with pytest.raises(body.MalformedBody) as caught:
        body.parse(b'{"ada@example.com": 1, "ada@example.com": 2}')
    assert "ada" not in str(caught.value)
    assert "duplicate key" in str(caught.value)


@pytest.mark.requirement("GW-02")
@pytest.mark.parametrize("text", [b"1.0", b"1.00", b"1e400", b"-0.0", b"123456789012345678901234567890", b"0.1"])
def test_numbers_leave_by_their_text(text: bytes) -> None:
    assert body.encode(body.parse(b'{"n":' + text + b"}")) == b'{"n":' + text + b"}"


@pytest.mark.requirement("GW-02")
@given(_JSON)
def test_encoding_and_parsing_are_inverse(tree: object) -> None:
    assert body.parse(body.encode(tree)) == tree


@pytest.mark.requirement("GW-03")
@given(_JSON)
def test_the_canonical_form_ignores_key_order_and_spaces(tree: object) -> None:
    import_order = body.canonical(tree)
    assert body.canonical(body.parse(body.encode(_reversed(tree)))) == import_order


def _reversed(tree: object) -> object:
    if isinstance(tree, dict):
        named = cast("dict[str, object]", tree)
        return {key: _reversed(value) for key, value in reversed(named.items())}
    if isinstance(tree, list):
        return [_reversed(item) for item in cast("list[object]", tree)]
    return tree
