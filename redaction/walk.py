"""Walks JSON trees: which texts there are, where, and how each is put back with its type kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast

import jiter
import msgspec

from redaction.hints import number_digits_min
from redaction.media import closed, data_url, is_text, media_field, opened
from redaction.place import NOWHERE, Place, root_of
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
#: How a signature or something encrypted is written: base64 of either alphabet or the like, never digits alone.
_SEALED: Final = re.compile(r"(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9+/_.:\-]+={0,2}")
#: Most keys; shorter than any placeholder.
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_]{1,11}")
_KEY_WITH_DIGITS_CHARACTERS_MAX: Final = 15
_MANY_DIGITS: Final = re.compile(r"\d{5}")
#: A protocol's own word: `user`, `chat.completion.chunk`, `ref/prompt`, `2.0`.
_WORD: Final = re.compile(r"(?!.*\d{9})[A-Za-z0-9][A-Za-z0-9_./\-]{0,63}")
#: Shorter texts are no part of their own: to know them again costs what looking at them does.
_PART_CHARACTERS_MIN: Final = 512
#: Where the parts of a tree stand at most: a message of a chat, a tool, the arguments of a call, the result of one.
_PART_DEPTH: Final = 2


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


class Part(NamedTuple):
    """A part of a tree that comes again from call to call: what stands at `path`, under `hint`."""

    value: object
    place: Place
    path: Path
    hint: str


class OnPart(Protocol):
    """Makes something of a part."""

    def __call__(self, part: Part, go_on: Callable[[], object]) -> object:
        """Return what stands there after; `go_on` walks it."""
        ...


def texts_in(tree: object, shape: Shape, on_part: OnPart | None = None) -> list[Text]:
    """Return every text of `tree` that is not structure, embedded JSON opened; of parts as `on_part` goes on."""
    found: list[Text] = []

    def note(text: Text) -> str:
        found.append(text)
        return text.value

    rewrite(tree, shape, note, on_part)
    return found


def rewrite(
    tree: object, shape: Shape, visit: Callable[[Text], str | None], on_part: OnPart | None = None
) -> object:  # fmt: skip
    """Return `tree` with every text replaced by what `visit` returns; the same object when nothing changed."""
    inside = _Walk(visit)
    return (inside if on_part is None else _Walk(visit, on_part, inside)).value(tree, root_of(shape), (), "")


def embedded_in(text: str) -> object:
    """Return the object or list that a text of JSON is, numbers by their text; `None` for every other text.

    A key given twice would hide its first value from whoever reads only the last.
    """
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        return jiter.from_json(
            text.encode(), allow_inf_nan=False, catch_duplicate_keys=True, float_mode="lossless-float"
        )
    except (ValueError, RecursionError):
        return None


def written(tree: object) -> bytes:
    """Return `tree` as compact JSON, numbers by their text."""
    return _encoder.encode(tree)


@dataclass(frozen=True, slots=True)
class _Walk:
    visit: Callable[[Text], str | None]
    on_part: OnPart | None = None
    #: walks parts
    inside: _Walk | None = None

    def value(self, value: object, place: Place, path: Path, hint: str) -> object:
        if self.on_part is not None and self.inside is not None and _is_part(value, path):
            go_on = partial(self.inside.value, value, place, path, hint)
            return self.on_part(Part(value, place, path, hint), go_on)
        if isinstance(value, str):
            return self._string(value, place, path, hint)
        if isinstance(value, dict):
            return self._object(cast("dict[str, object]", value), place, path)
        if isinstance(value, list):
            return self._list(cast("list[object]", value), place, path, hint)
        if value is None or isinstance(value, bool) or place.keeps:
            return value
        return self._number(value, path, hint)

    def _file(self, value: str, told: tuple[str, str], place: Place, path: Path) -> object:
        """Return a file in base64 after its head: text is opened, and put back as it was written."""
        head, media = told
        inner = opened(value[len(head) :]) if is_text(media) else None
        if inner is None:
            self.visit(Text("", "", path, media=media))
            # what says it is text and cannot be read as such is at least looked at as it stands
            return self.visit(Text(value, "", path)) if is_text(media) else value
        after = self.visit(Text(inner, "", path, is_fixed=place.fixes))
        return value if after == inner else head + closed(after or "")

    def _piece(self, value: object, place: Place, path: Path, entity: str) -> object:
        """Return a field that is part of a value: what it is, is known."""
        if place.keeps:
            return value
        number = not isinstance(value, str)
        text = Text(str(value), "", path, is_number=number, is_fixed=place.fixes, entity=entity)
        after = self.visit(text)
        if after == text.value or not number:
            return value if after == text.value else after
        return value if after is None else int(after)

    def _string(self, value: str, place: Place, path: Path, hint: str) -> object:
        if value.startswith("data:") and (url := data_url(value)) is not None:
            return self._file(value, url, place, path)
        if not value or place.keeps or (place.words and _WORD.fullmatch(value) is not None):
            return value
        if place.seals and _SEALED.fullmatch(value) is not None:
            return value
        if place.embeds and isinstance(inner := embedded_in(value), dict | list):
            changed = _Walk(self.visit).value(cast("object", inner), NOWHERE, path, hint)
            return value if changed is inner else written(changed).decode()
        return self.visit(Text(value, hint, path, is_fixed=place.fixes))

    def _object(self, value: dict[str, object], place: Place, path: Path) -> object:
        fresh: dict[str, object] = {}
        changed = False
        split = split_values(value.items()) if len(value) > 1 else _NO_SPLIT
        file = media_field(value)
        for key, inner in value.items():
            name, at, below = key, (*path, key), place.at(key)
            if not _is_schema_key(key) and not below.keeps:
                name = self.visit(Text(key, "", at, is_key=True)) or key
                while name != key and (name in fresh or name in value):
                    name += "_"  # no entry may be lost to another one
            entity = split.get(key)
            if file is not None and file[0] == key and isinstance(inner, str):
                after = self._file(inner, ("", file[1]), below, at)
            elif entity is not None:
                after = self._piece(inner, below, at, entity)
            else:
                after = self.value(inner, below, at, key)
            changed = changed or after is not inner or name != key
            fresh[name] = after
        return fresh if changed else value

    def _list(self, value: list[object], place: Place, path: Path, hint: str) -> object:
        split = split_values(enumerate(value)) if 1 < len(value) <= LIST_PIECES_MAX else _NO_SPLIT
        fresh = [
            self._piece(inner, place.at(index), (*path, index), split[index])
            if index in split
            else self.value(inner, place.at(index), (*path, index), hint)
            for index, inner in enumerate(value)
        ]
        return fresh if any(new is not old for new, old in zip(fresh, value, strict=True)) else value

    def _number(self, value: object, path: Path, hint: str) -> object:
        text = whole_number(value)
        digits = len(text.lstrip("-"))
        if digits < NUMBER_DIGITS_MIN and digits < (number_digits_min(hint) or NUMBER_DIGITS_MIN):
            return value
        after = self.visit(Text(text, hint, path, is_number=True))
        return value if after == text or after is None else int(after)


def _is_part(value: object, path: Path) -> bool:
    if isinstance(value, str):
        return len(value) >= _PART_CHARACTERS_MIN
    # of an object at the root the entries are looked at one by one: a chat grows
    return isinstance(value, dict | list) and (len(path) == _PART_DEPTH or (bool(path) and isinstance(path[0], int)))


def _is_schema_key(key: str) -> bool:
    if _PLAIN_KEY.fullmatch(key) is not None:
        return True
    if _SCHEMA_KEY.fullmatch(key) is None or "@" in key[1:] or CANDIDATE.search(key) is not None:
        return False
    if len(key) <= _KEY_WITH_DIGITS_CHARACTERS_MAX or key.isalpha():
        return _MANY_DIGITS.search(key) is None
    return not any(one.isdigit() for one in key)


def whole_number(value: object) -> str:
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


def _raw(value: object) -> msgspec.Raw:
    if isinstance(value, jiter.LosslessFloat):
        return msgspec.Raw(str(value).encode())
    raise TypeError("not JSON")


_encoder: Final = msgspec.json.Encoder(enc_hook=_raw)


_NO_SPLIT: Final[dict[str | int, str]] = {}


def pointer(path: Path) -> str:
    """Return `path` as a JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
