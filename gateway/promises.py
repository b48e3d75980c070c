"""What a model's request says of the form of its answer: structured output, and the arguments of its tools."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from gateway.definitions.slots import SchemaSlots

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from redaction.finding import Slots

    Tree = dict[str, object]


@dataclass(frozen=True, slots=True)
class Promises:
    """The schema of the text, where it is JSON (empty: of no schema), and those of tools by name."""

    text: Tree | None = None
    tools: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def text_slots(self) -> Slots | None:
        """What is said of the places of the text."""
        return SchemaSlots(self.text) if self.text else None

    def tool_slots(self, name: object) -> Slots | None:
        """Return what is said of the places of a tool's arguments."""
        schema = self.tools.get(name) if isinstance(name, str) else None
        return SchemaSlots(cast("Tree", schema)) if isinstance(schema, dict) else None

    def schemas(self, texts: Iterable[str], uses: Iterable[tuple[str, object]]) -> dict[str, object]:
        """Return the schemas by the pointers of texts, and of arguments with the names of their tools."""
        found: dict[str, object] = dict.fromkeys(texts, self.text) if self.text else {}
        return found | {place: self.tools.get(name) for place, name in uses if isinstance(name, str)}


NOTHING = Promises()


def json_text(asked: object, schema_at: str) -> Tree | None:
    """Return the schema of the text that a request's format asks for, `None` where the text is no JSON.

    `schema_at` is where the schema stands in the format, dotted.
    """
    wanted = cast("Tree", asked) if isinstance(asked, dict) else {}
    if str(wanted.get("type")) not in {"json_schema", "json_object"}:
        return None
    for part in schema_at.split("."):
        found = wanted.get(part)
        wanted = cast("Tree", found) if isinstance(found, dict) else {}
    return wanted
