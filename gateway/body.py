"""JSON bodies: read strictly, keep numbers by their text, write back what was read.

Two parsers that disagree about one body are a hole in a gateway, so what is not plain JSON (RFC 8259)
is refused: duplicate keys, bytes that are not UTF-8, lone surrogates, `NaN`, trailing text.
Floats are kept as `jiter.LosslessFloat`, so `1.0` leaves as it came.
"""

from __future__ import annotations

from typing import cast

import jiter
import msgspec

#: jiter stops at 200 nested containers by itself; the configured limit is at most this.
DEPTH_MAX = 128


class MalformedBody(Exception):  # noqa: N818 - named for what the caller has to answer
    """The body is not one plain JSON value; the message says where, and shows no content."""


def _raw(value: object) -> msgspec.Raw:
    if isinstance(value, jiter.LosslessFloat):
        return msgspec.Raw(str(value).encode())
    message = f"`{type(value).__name__}` is not JSON"
    raise TypeError(message)


_encoder = msgspec.json.Encoder(enc_hook=_raw)
_canonical_encoder = msgspec.json.Encoder(enc_hook=_raw, order="sorted")


def parse(body: bytes, *, depth_max: int = DEPTH_MAX) -> object:
    """Return the JSON value in `body` (dict, list, str, int, `LosslessFloat`, bool or `None`).

    Raises `MalformedBody`.
    """
    try:
        tree: object = jiter.from_json(
            body, allow_inf_nan=False, catch_duplicate_keys=True, float_mode="lossless-float"
        )
    except ValueError as error:
        raise MalformedBody(_without_content(str(error))) from None
    # every level opens a bracket: most bodies have too few of them to be looked at level by level
    if body.count(b"{") + body.count(b"[") > depth_max and _deeper_than(tree, depth_max):
        message = f"nested deeper than {depth_max} levels"
        raise MalformedBody(message)
    return tree


def encode(tree: object) -> bytes:
    """Return `tree` as compact JSON in its own key order."""
    return _encoder.encode(tree)


def canonical(tree: object) -> bytes:
    """Return `tree` as compact JSON with sorted keys and numbers by their text."""
    return _canonical_encoder.encode(tree)


def plain(tree: object) -> object:
    """Return `tree` with `LosslessFloat` as `float`, for engines that calculate."""
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in cast("dict[str, object]", tree).items()}
    if isinstance(tree, list):
        return [plain(value) for value in cast("list[object]", tree)]
    if isinstance(tree, jiter.LosslessFloat):
        return float(tree)
    return tree


def at(tree: object, path: tuple[str, ...]) -> object:
    """Return the value at `path` of object keys, `None` where there is none."""
    for part in path:
        if not isinstance(tree, dict):
            return None
        tree = cast("dict[str, object]", tree).get(part)
    return tree


def _deeper_than(tree: object, depth_max: int) -> bool:
    level: list[object] = [tree]
    for _ in range(depth_max):
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(cast("dict[str, object]", value).values())
            elif isinstance(value, list):
                below.extend(cast("list[object]", value))
        if not below:
            return False
        level = below
    return any(isinstance(value, (dict, list)) for value in level)


def _without_content(message: str) -> str:
    # jiter quotes a duplicate key, and a key may be a person's address
    if message.startswith("Detected duplicate key"):
        return "duplicate key" + message[message.rfind(" at line") :]
    return message
