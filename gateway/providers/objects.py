"""Names of what a provider keeps: responses, conversations, files, containers, stores, prompts.

Such an id opens somebody's texts with nothing but the gateway's own key. So a request may name only those
that its principal received through this gateway, or that the configuration grants (DESIGN section 6).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Ids kept of one answer; those after it are refused when they are named.
OBJECTS_MAX: Final = 512
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:\-]{0,255}")
#: Keys that name objects wherever they stand in a request, alone or as a list.
_NAMING: Final = frozenset({
    "file_id", "file_ids", "vector_store_ids", "container_id", "skill_id", "previous_response_id",
    "comparison_response_id", "approval_request_id", "conversation", "container",
    "cached_content",
})  # fmt: skip
#: What stands below is the caller's own: a schema, an argument, a note; their keys name nothing.
_OWN: Final = frozenset({"metadata", "parameters", "input_schema", "arguments", "headers", "schema", "output_schema"})


def usable(name: object) -> bool:
    """Return whether `name` can be the id of an object; others are never kept and so never accepted."""
    return isinstance(name, str) and _ID.fullmatch(name) is not None


def kept(names: Iterable[object]) -> list[str]:
    """Return the usable ones of `names`, each once, at most `OBJECTS_MAX`."""
    found = dict.fromkeys(cast("str", name) for name in names if usable(name))
    return list(found)[:OBJECTS_MAX]


def named(tree: object) -> tuple[str, ...]:
    """Return what the object-naming fields of a request name, each once."""
    return tuple(dict.fromkeys(_named(tree)))


def _named(value: object) -> Iterator[str]:
    if isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _named(item)
        return
    if not isinstance(value, dict):
        return
    for key, inner in cast("dict[str, object]", value).items():
        if key in _OWN:
            continue
        if key in _NAMING:
            yield from _ids(inner)
        yield from _named(inner)


def _ids(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (item for item in cast("list[object]", value) if isinstance(item, str))
    elif isinstance(value, dict):  # a conversation or container as an object
        name = cast("dict[str, object]", value).get("id")
        if isinstance(name, str):
            yield name
