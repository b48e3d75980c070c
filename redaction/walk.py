"""Walks JSON trees: which texts there are, where, and how each is put back with its type kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

import jiter
import msgspec

from redaction.hints import number_digits_min
from redaction.media import closed, data_url, is_text, media_field, opened
from redaction.placeholder import CANDIDATE
from redaction.siblings import LIST_PIECES_MAX, split_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from redaction.finding import Shape

Path = tuple[str | int, ...]

#: Numbers with fewer digits are no card, account or phone number of anyone.
NUMBER_DIGITS_MIN: Final = 12
#: Longer numbers are arithmetic; their text alone would cost more than the call.
_NUMBER_BITS_MAX: Final = 256
#: A key that is a name of a schema. All others may be data: maps keyed by address, account, name or token.
_SCHEMA_KEY: Final = re.compile(r"[A-Za-z0-9_$.\-:/*+#\[\]@]{1,64}")
#: Most keys; shorter than any placeholder.
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_]{1,11}")
_KEY_WITH_DIGITS_CHARACTERS_MAX: Final = 15
_MANY_DIGITS: Final = re.compile(r"\d{5}")
#: Separates the parts of a shape's path; a dot that belongs to a key is written `\\.`.
_DOT: Final = re.compile(r"(?<!\\)\.")


@dataclass(frozen=True, slots=True)
class Text:
    """A string (or a long number, or a key) in a tree. `hint` is the key it stands under."""

    value: str
    hint: str
    path: Path
    is_number: bool = False
    is_key: bool = False
    #: may be looked at, and pass or block the call, but not change
    is_fixed: bool = False
    #: what it is together with the fields beside it
    entity: str = ""
    #: its media type, where it is a file that cannot be looked into; its `value` is empty
    media: str = ""

    @property
    def pointer(self) -> str:
        """Where it is, as a JSON pointer."""
        return pointer(self.path)


#: What a visitor makes of a text: the same string when nothing changes, `None` to take it out.
Visitor = "Callable[[Text], str | None]"


def texts_in(tree: object, shape: Shape) -> list[Text]:
    """Return every text of `tree` that is not structure, embedded JSON opened."""
    found: list[Text] = []

    def note(text: Text) -> str:
        found.append(text)
        return text.value

    rewrite(tree, shape, note)
    return found


def rewrite(tree: object, shape: Shape, visit: Callable[[Text], str | None]) -> object:
    """Return `tree` with every text replaced by what `visit` returns; the same object when nothing changed."""
    return _Walk(_compiled(shape.keep), _compiled(shape.embedded), _compiled(shape.fixed), visit).value(tree, (), "")


@dataclass(frozen=True, slots=True)
class _Walk:
    keep: _Patterns
    embedded: _Patterns
    fixed: _Patterns
    visit: Callable[[Text], str | None]

    def value(self, value: object, path: Path, hint: str) -> object:
        if isinstance(value, str):
            return self._string(value, path, hint)
        if isinstance(value, dict):
            return self._object(cast("dict[str, object]", value), path)
        if isinstance(value, list):
            return self._list(cast("list[object]", value), path, hint)
        if value is None or isinstance(value, bool) or self.keep.fits(path):
            return value
        return self._number(value, path, hint)

    def _file(self, value: str, told: tuple[str, str], path: Path) -> object:
        """Return a file in base64 after its head: text is opened, and put back as it was written."""
        head, media = told
        inner = opened(value[len(head) :]) if is_text(media) else None
        if inner is None:
            self.visit(Text("", "", path, media=media))
            # what says it is text and cannot be read as such is at least looked at as it stands
            return self.visit(Text(value, "", path)) if is_text(media) else value
        after = self.visit(Text(inner, "", path, is_fixed=self.fixed.fits(path)))
        return value if after == inner else head + closed(after or "")

    def _piece(self, value: object, path: Path, entity: str) -> object:
        """Return a field that is part of a value: what it is, is known."""
        if self.keep.fits(path):
            return value
        number = not isinstance(value, str)
        text = Text(str(value), "", path, is_number=number, is_fixed=self.fixed.fits(path), entity=entity)
        after = self.visit(text)
        if after == text.value or not number:
            return value if after == text.value else after
        return value if after is None else int(after)

    def _string(self, value: str, path: Path, hint: str) -> object:
        if value.startswith("data:") and (url := data_url(value)) is not None:
            return self._file(value, url, path)
        if not value or self.keep.fits(path):
            return value
        if self.embedded.fits(path) and value.lstrip()[:1] in {"{", "["}:
            inner = _parsed(value)
            if isinstance(inner, dict | list):
                changed = _Walk(_NOTHING, _NOTHING, _NOTHING, self.visit).value(cast("object", inner), path, hint)
                return value if changed is inner else _encoder.encode(changed).decode()
        return self.visit(Text(value, hint, path, is_fixed=self.fixed.fits(path)))

    def _object(self, value: dict[str, object], path: Path) -> object:
        fresh: dict[str, object] = {}
        changed = False
        split = split_values(value.items()) if len(value) > 1 else _NO_SPLIT
        file = media_field(value)
        for key, inner in value.items():
            name = key
            if not _is_schema_key(key) and not self.keep.fits((*path, key)):
                name = self.visit(Text(key, "", (*path, key), is_key=True)) or key
                while name != key and (name in fresh or name in value):
                    name += "_"  # no entry may be lost to another one
            entity, at = split.get(key), (*path, key)
            if file is not None and file[0] == key and isinstance(inner, str):
                after = self._file(inner, ("", file[1]), at)
            else:
                after = self.value(inner, at, key) if entity is None else self._piece(inner, at, entity)
            changed = changed or after is not inner or name != key
            fresh[name] = after
        return fresh if changed else value

    def _list(self, value: list[object], path: Path, hint: str) -> object:
        split = split_values(enumerate(value)) if 1 < len(value) <= LIST_PIECES_MAX else _NO_SPLIT
        fresh = [
            self._piece(inner, (*path, place), split[place])
            if place in split
            else self.value(inner, (*path, place), hint)
            for place, inner in enumerate(value)
        ]
        return fresh if any(new is not old for new, old in zip(fresh, value, strict=True)) else value

    def _number(self, value: object, path: Path, hint: str) -> object:
        text = _whole_number(value)
        digits = len(text.lstrip("-"))
        if digits < NUMBER_DIGITS_MIN and digits < (number_digits_min(hint) or NUMBER_DIGITS_MIN):
            return value
        after = self.visit(Text(text, hint, path, is_number=True))
        return value if after == text or after is None else int(after)


def _is_schema_key(key: str) -> bool:
    if _PLAIN_KEY.fullmatch(key) is not None:
        return True
    if _SCHEMA_KEY.fullmatch(key) is None or "@" in key[1:] or CANDIDATE.search(key) is not None:
        return False
    if len(key) <= _KEY_WITH_DIGITS_CHARACTERS_MAX or key.isalpha():
        return _MANY_DIGITS.search(key) is None
    return not any(one.isdigit() for one in key)


def _whole_number(value: object) -> str:
    """Return the digits of a number without fraction, however it is written; empty for all others."""
    if isinstance(value, float) and not value.is_integer():
        return ""
    if isinstance(value, int):
        return str(value) if value.bit_length() <= _NUMBER_BITS_MAX else ""
    try:
        exact = Decimal(str(value))
        whole = exact.is_finite() and abs(exact.adjusted()) < _NUMBER_BITS_MAX and exact == exact.to_integral_value()
    except InvalidOperation:
        return ""
    return str(int(exact)) if whole else ""


def _parsed(text: str) -> object:
    """Return the JSON in `text`, numbers by their text; `None` where it is not one plain value.

    A key given twice would hide its first value from whoever reads only the last.
    """
    try:
        return jiter.from_json(
            text.encode(), allow_inf_nan=False, catch_duplicate_keys=True, float_mode="lossless-float"
        )
    except (ValueError, RecursionError):
        return None


def _raw(value: object) -> msgspec.Raw:
    if isinstance(value, jiter.LosslessFloat):
        return msgspec.Raw(str(value).encode())
    raise TypeError("not JSON")


_encoder: Final = msgspec.json.Encoder(enc_hook=_raw)


@dataclass(frozen=True, slots=True)
class _Patterns:
    """Dotted paths, by number of parts; those with a closing `**` by their prefix."""

    exact: dict[int, tuple[tuple[str, ...], ...]]
    below: tuple[tuple[str, ...], ...]

    def fits(self, path: Path) -> bool:
        if not self.exact and not self.below:
            return False
        for pattern in self.exact.get(len(path), ()):
            if _fits(pattern, path):
                return True
        return any(len(path) > len(prefix) and _fits(prefix, path) for prefix in self.below)


def _fits(pattern: tuple[str, ...], path: Path) -> bool:
    return all(want in ("*", part) or want == str(part) for want, part in zip(pattern, path, strict=False))


@lru_cache(maxsize=256)
def _compiled(paths: tuple[str, ...]) -> _Patterns:
    exact: dict[int, list[tuple[str, ...]]] = {}
    below: list[tuple[str, ...]] = []
    for path in paths:
        parts = tuple(part.replace("\\.", ".") for part in _DOT.split(path))
        if parts[-1] == "**":
            below.append(parts[:-1])
        else:
            exact.setdefault(len(parts), []).append(parts)
    return _Patterns({length: tuple(patterns) for length, patterns in exact.items()}, tuple(below))


_NO_SPLIT: Final[dict[str | int, str]] = {}
_NOTHING: Final = _Patterns({}, ())


def pointer(path: Path) -> str:
    """Return `path` as a JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
