"""Headers that mirror a message's body (MCP 2026-07-28, SEP-2243): checked as they come, made anew as they go.

A header whose value stands nowhere in the body was inspected by nobody, and could tell the server
something else than the body that was decided: it is refused.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final, cast

from mcp.shared.inbound import NAME_BEARING_METHODS, decode_header_value, encode_header_value

if TYPE_CHECKING:
    from gateway.call import Headers

_PREFIX: Final = b"mcp-param-"
#: Numbers that are compared as numbers; longer ones are compared by their text.
_DECIMAL: Final = re.compile(r"-?\d{1,40}(\.\d{1,40})?")


def unmirrored_header(params: dict[str, object], headers: Headers) -> str | None:
    """Return the name of a mirroring header whose value no argument has or that stands twice, `None` without one."""
    mirroring = [(name, value) for name, value in headers if name.startswith(_PREFIX)]
    if not mirroring:
        return None
    known = {_comparable(text) for text in _moved(params, params)}
    names = [name for name, _ in mirroring]
    for name, value in mirroring:
        shown = decode_header_value(value.strip(b" \t").decode("latin-1"))
        if shown is None or _comparable(shown) not in known or names.count(name) > 1:
            return name.decode("latin-1")
    return None


def mirrored_headers(before: dict[str, object], sent: dict[str, object], headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return the headers that mirror `sent`; `before` are its params as they came with `headers`."""
    method = str(sent.get("method", ""))
    made = [(b"mcp-method", encode_header_value(method).encode("ascii"))]
    params = cast("dict[str, object]", sent.get("params") or {})
    member = NAME_BEARING_METHODS.get(method)
    if member is not None and isinstance(value := params.get(member), str):
        made.append((b"mcp-name", encode_header_value(value).encode("ascii")))
    moved = {_comparable(old): new for old, new in _moved(before, params).items()}
    for name, value in headers:
        if name.startswith(_PREFIX):
            shown = decode_header_value(value.strip(b" \t").decode("latin-1"))
            if shown is not None and (text := moved.get(_comparable(shown))) is not None:
                made.append((name, encode_header_value(text).encode("ascii")))
    return made


def _moved(before: object, after: object) -> dict[str, str]:
    """Return, for each scalar of the arguments as it came, the scalar that is sent in its place."""
    found: dict[str, str] = {}
    pairs: list[tuple[object, object]] = [(_arguments(before), _arguments(after))]
    while pairs:
        old, new = pairs.pop()
        if isinstance(old, dict) and isinstance(new, dict):
            named = cast("dict[str, object]", new)
            pairs += [(value, named.get(key)) for key, value in cast("dict[str, object]", old).items()]
        elif old is not None and new is not None and not isinstance(old, dict | list):
            found[_scalar(old)] = _scalar(new)
    return found


def _arguments(params: object) -> object:
    return cast("dict[str, object]", params).get("arguments") if isinstance(params, dict) else None


def _comparable(text: str) -> str | Decimal:
    return Decimal(text) if _DECIMAL.fullmatch(text) else text


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
