"""One definition as a server sent it, and the hash it is pinned by.

All of an item counts: name, title, description, schemas, annotations, icons, `_meta` and members nobody
knows yet. What a client shows, opens or acts on may be any of them. Canonical form: sorted keys, numbers
and texts as they came (after RFC 8785, without its rewriting of numbers).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, cast

from gateway import body

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["tool", "prompt", "template", "instructions"]
Tree = dict[str, object]

#: A longer definition is not pinned, and so neither listed nor called.
DEFINITION_BYTES_MAX: Final = 256 * 1024
NAME_BYTES_MAX: Final = 512
#: What a server says of itself has no name.
OF_THE_SERVER: Final = "-"
#: The member of a list result that holds the items, and the member that names an item.
PLACES: Final[dict[Kind, tuple[str, str]]] = {
    "tool": ("tools", "name"),
    "prompt": ("prompts", "name"),
    "template": ("resourceTemplates", "uriTemplate"),
}
LISTED: Final[dict[str, Kind]] = {
    "tools/list": "tool",
    "prompts/list": "prompt",
    "resources/templates/list": "template",
}
#: Results in which a server speaks of itself.
SPOKEN: Final = frozenset({"initialize", "server/discover"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One version of one definition; `hash` is hex, `content` canonical JSON of `tree`."""

    kind: Kind
    name: str
    tree: Tree
    content: bytes
    hash: str


def definition(kind: Kind, tree: Tree) -> Definition | None:
    """Return an item of a list as a definition, `None` when it has no usable name or is too long."""
    name = tree.get(PLACES[kind][1]) if kind in PLACES else OF_THE_SERVER
    if not isinstance(name, str) or not name or "\0" in name or len(name.encode()) > NAME_BYTES_MAX:
        return None
    content = body.canonical(tree)
    if len(content) > DEFINITION_BYTES_MAX:
        return None
    return Definition(kind=kind, name=name, tree=tree, content=content, hash=hashlib.sha256(content).hexdigest())


def items_of(kind: Kind, result: Tree) -> Iterator[Tree]:
    """Yield the items of one kind in a list result."""
    items = result.get(PLACES[kind][0])
    for item in cast("list[object]", items) if isinstance(items, list) else []:
        if isinstance(item, dict):
            yield cast("Tree", item)


def instructions_of(result: Tree) -> Definition | None:
    """Return what a server says to models in `initialize` or `server/discover`, `None` when it says nothing."""
    text = result.get("instructions")
    return definition("instructions", {"instructions": text}) if isinstance(text, str) and text else None


def covered(shown: object, pinned: object) -> bool:
    """Return whether an item says nothing but what is pinned: older revisions leave members out."""
    if isinstance(shown, dict) and isinstance(pinned, dict):
        more, known = cast("Tree", shown), cast("Tree", pinned)
        return all(name in known and covered(value, known[name]) for name, value in more.items())
    if isinstance(shown, list) and isinstance(pinned, list):
        ones, others = cast("list[object]", shown), cast("list[object]", pinned)
        return len(ones) == len(others) and all(covered(*pair) for pair in zip(ones, others, strict=True))
    return body.canonical(cast("object", shown)) == body.canonical(pinned)
