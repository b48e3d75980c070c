"""Whose record is whose: what a verify tool's answer proves about a call in doubt. Pure: values in, a value out.

A wrong *found* hides that nothing happened, a wrong *absent* makes an effect twice. So whatever is not
clear-cut (a pointer that leads nowhere, two records that fit, an answer of another form) proves nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final, cast

import jiter

from gateway import body

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.config.durability import Verify

#: A shorter id may stand in another call's outcome by chance.
_ID_CHARACTERS_MIN: Final = 6
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Sought:
    """What was sent: the step's key, and the arguments in each form the upstream may have got them in."""

    key: str
    arguments: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """Records that fit. `certain` ones carry the call's key, others only look like it; each has its own id then."""

    records: tuple[dict[str, object], ...]
    certain: bool


class Unclear(Exception):  # noqa: N818 - says what is known
    """The answer proves nothing; the message has no content in it."""


def arguments_of(verify: Verify, arguments: object) -> dict[str, object]:
    """Return the verify tool's arguments, taken from those of the call in doubt. Raises `Unclear`."""
    taken = {name: value_at(arguments, pointer) for name, pointer in verify.arguments.items()}
    if any(value is _MISSING for value in taken.values()):
        raise Unclear("the call has no argument of that place")
    return taken


def records_in(result: Mapping[str, object], pointer: str) -> list[dict[str, object]]:
    """Return the records at `pointer` in a tool's result: its structured content, else its one JSON text.

    Raises `Unclear`.
    """
    if result.get("isError") is True:
        raise Unclear("the tool answered with an error")
    content = result.get("structuredContent", _MISSING)
    if content is _MISSING:
        content = _text_of(result.get("content"))
    records = value_at(content, pointer)
    if not isinstance(records, list):
        raise Unclear("the tool's answer has no list of records at that place")
    listed = cast("list[object]", records)
    if not all(isinstance(one, dict) for one in listed):
        raise Unclear("the tool's answer lists something else than records")
    return [cast("dict[str, object]", one) for one in listed]


def find(records: Sequence[dict[str, object]], verify: Verify, sought: Sought) -> Found:
    """Return the records of `records` that can be the call's; none at all means that it is absent. Raises `Unclear`."""
    rest = list(records)
    if verify.key is not None:
        pointer = verify.key
        keys = [value_at(one, pointer) for one in records]
        own = tuple(one for one, key in zip(records, keys, strict=True) if key == sought.key)
        if len(own) > 1:
            raise Unclear("several records carry the call's key")
        if own:
            return Found(own, certain=True)
        # one that carries a key carries another call's
        rest = [one for one, key in zip(records, keys, strict=True) if key is _MISSING or key is None]
        if not verify.match and records and len(rest) == len(records):
            raise Unclear("no record carries a key")
    if not verify.match or verify.id is None:
        return Found((), certain=True)
    return _like(rest, verify.match, verify.id, sought)


def _like(records: Sequence[dict[str, object]], match: Mapping[str, str], ident: str, sought: Sought) -> Found:
    for there, here in match.items():
        if any(value_at(form, here) is _MISSING for form in sought.arguments):
            raise Unclear("the call has no argument to be matched")
        if records and all(value_at(one, there) is _MISSING for one in records):
            raise Unclear("no record has the place to be matched")
    fitting = tuple(one for one in records if _fits(one, match, sought))
    if any(not isinstance(value_at(one, ident), str | int) for one in fitting):
        raise Unclear("a record has no id")
    return Found(fitting, certain=False)


def _fits(record: object, match: Mapping[str, str], sought: Sought) -> bool:
    return all(
        any(same(value_at(record, there), value_at(form, here)) for form in sought.arguments)
        for there, here in match.items()
    )


def same(one: object, other: object) -> bool:
    """Return whether two JSON values say the same; numbers by value, also where one side writes them as text."""
    if one is _MISSING or other is _MISSING:
        return False
    if (first := _number(one)) is not None and (second := _number(other)) is not None:
        return first == second
    return body.canonical(one) == body.canonical(other)


def names(outcome: object, ident: str) -> bool:
    """Return whether an outcome (parsed JSON) speaks of the record `ident`. Raises `Unclear` where it may be chance."""
    pattern = re.compile(rf"(?<![A-Za-z0-9]){re.escape(ident)}(?![A-Za-z0-9])")
    hit = any(text == ident or pattern.search(text) is not None for text in _scalars(outcome))
    if hit and len(ident) < _ID_CHARACTERS_MIN:
        raise Unclear("the record's id is too short to be told from other values")
    return hit


def value_at(tree: object, pointer: str) -> object:
    """Return what stands at a JSON pointer (RFC 6901), a private mark where nothing does."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(tree, dict):
            tree = cast("dict[str, object]", tree).get(name, _MISSING)
        elif isinstance(tree, list) and name.isdigit() and int(name) < len(cast("list[object]", tree)):
            tree = cast("list[object]", tree)[int(name)]
        else:
            return _MISSING
    return tree


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | str | jiter.LosslessFloat):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _text_of(content: object) -> object:
    blocks = cast("list[object]", content) if isinstance(content, list) else []
    texts = [cast("dict[str, object]", one).get("text") for one in blocks if isinstance(one, dict)]
    if len(blocks) != 1 or not isinstance(texts[0], str):
        return _MISSING
    try:
        return body.parse(texts[0].encode())
    except body.MalformedBody:
        return _MISSING


def _scalars(tree: object) -> Iterator[str]:
    if isinstance(tree, dict):
        for value in cast("dict[str, object]", tree).values():
            yield from _scalars(value)
    elif isinstance(tree, list):
        for value in cast("list[object]", tree):
            yield from _scalars(value)
    elif isinstance(tree, str | int | jiter.LosslessFloat) and not isinstance(tree, bool):
        yield str(tree)
