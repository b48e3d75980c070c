"""Reads an answer of `/v1/responses`, plain or streamed, as it arrives (OpenAI API reference, responses streaming).

A stream says everything more than once: pieces of a text, the text, the part, the item, the response. The
pieces are slots; what repeats them is walked whole. One segmenter serves both, so they come out the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.call import Sent, Slot, Unit
from gateway.definitions.slots import joined
from gateway.model_answer import ModelAnswer, object_of, objects_of, placed_objects
from gateway.protocols.openai_responses_events import FINAL, acted_on, blind_places, flat_text, flows, slots_of
from gateway.protocols.openai_responses_files import files_of
from gateway.protocols.openai_responses_shape import answer_shape, promised
from gateway.providers.provider import NOT_EXECUTED
from gateway.sse import event as sse_event

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

    from gateway.protocols.openai_responses_events import SlotKey

_KEPT_HEADERS: Final = (b"retry-after", b"retry-after-ms", b"x-request-id", b"openai-processing-ms")
#: Where in the output an event belongs.
_NUMBERS: Final = ("output_index", "content_index", "summary_index", "command_index")
#: What says of an event which text it is of. What else it holds is said once, and redacted there.
_WHICH: Final = frozenset({"type", "item_id", "output_index", "content_index", "summary_index", "command_index"})
#: Codes of a failed response that say nothing about the request: the provider could not, this time.
_TRANSIENT: Final = frozenset({"server_error", "rate_limit_exceeded", "vector_store_timeout"})


class ResponsesReader(ModelAnswer):
    """Units of one answer: the whole body, or one unit per stream event (`gateway/model_answer.py`)."""

    _kept = _KEPT_HEADERS

    def __init__(
        self, request: object = None, *, origin: str = "", not_executed: frozenset[int] = NOT_EXECUTED
    ) -> None:
        super().__init__(shape=answer_shape(request), origin=origin, not_executed=not_executed)
        self._promises = promised(request)
        self._called: dict[object, object] = {}
        self._last: dict[SlotKey, dict[str, object]] = {}
        self._open: set[SlotKey] = set()
        self._sequence = 0
        self._response: dict[str, object] = {}
        self._items: dict[int, dict[str, object]] = {}

    def encode(self, unit: Unit, tree: object) -> bytes:
        """Return `tree` framed like `unit`."""
        del unit
        encoded = body.encode(tree)
        if not self._streams:
            return encoded
        name = cast("dict[str, object]", tree).get("type") if isinstance(tree, dict) else None
        return sse_event(encoded, name=name if isinstance(name, str) else "")

    def continuation(self, key: Hashable, text: str) -> Unit:
        """Return an event like the slot's last one that carries `text` only."""
        known = cast("SlotKey", key)
        path = ("delta", known.field) if known.field else ("delta",)
        # none of its own: what is left of a text has no number in the provider's count
        tree = {**self._last[known], "sequence_number": self._sequence}
        tree["delta"] = {known.field: text} if known.field else text
        slot = self._typed(Slot(key, path, known.kind))
        return Unit(raw=self.encode(Unit(raw=b""), tree), tree=tree, slots=(slot,), hold=self._holding)

    def output(self) -> list[dict[str, object]]:
        """Return the items of the answer, whole."""
        whole = objects_of(self._response.get("output"))
        return whole or [self._items[place] for place in sorted(self._items)]

    # -- what `ModelAnswer` asks

    def _flows(self, raw: bytes) -> bool:
        return flat_text(raw)

    def _marker(self, raw: bytes, data: bytes) -> Unit | None:
        return Unit(raw=raw, closes=self._closed_all(), hold=True) if data.strip() == b"[DONE]" else None

    def _note_whole(self, tree: dict[str, object]) -> tuple[tuple[str | int, ...], ...]:
        self._response = tree
        return blind_places(tree)

    def _schemas(self, tree: dict[str, object]) -> Mapping[str, object]:
        texts: list[str] = []
        uses: list[tuple[str, object]] = []
        for place, item in _items_in(tree):
            if item.get("type") == "function_call":
                uses.append((f"{place}/arguments", item.get("name")))
            texts += [f"{place}/content/{at}/text" for at, _ in placed_objects(item.get("content"))]
        if tree.get("type") == "response.function_call_arguments.done":
            uses.append(("/arguments", self._called.get(tree.get("output_index"))))
        return self._promises.schemas((*texts, "/text", "/part/text"), uses)

    def _used(self) -> dict[str, int]:
        return _usage(self._response)

    def _reasons(self) -> list[str]:
        if not isinstance(status := self._response.get("status"), str):
            return []
        reason = object_of(self._response.get("incomplete_details")).get("reason")
        return [reason if isinstance(reason, str) else status]

    def _handed_out(self) -> Iterator[object]:
        return _made(self._response, self.output())

    def _failure(self) -> str:
        error = self._response.get("error")
        if self._response.get("status") != "failed" or not isinstance(error, dict):
            return ""
        code = cast("dict[str, object]", error).get("code")
        return f"the response failed with `{code}`" if str(code) in _TRANSIENT else ""

    def _read(self, raw: bytes, tree: dict[str, object]) -> tuple[Unit, ...]:
        kind = tree.get("type")
        if kind == "error" or "error" in tree or not isinstance(kind, str):
            self._failed = self._holding = True
            return (Unit(raw=raw, tree=tree, hold=True),)
        if any(isinstance(tree.get(name), dict | list) for name in _NUMBERS):
            raise Sent("an event of the stream has no place")
        if isinstance(number := tree.get("sequence_number"), int):
            self._sequence = number
        self._note(kind, tree)
        slots = tuple(map(self._typed, slots_of(kind, tree)))
        for slot in slots:
            key = cast("SlotKey", slot.key)
            self._open.add(key)
            self._last[key] = {name: value for name, value in tree.items() if name in _WHICH}
        typed, files = (None, ()) if slots else (joined(self._schemas(tree)), files_of(kind, tree))
        unit = Unit(
            raw=raw, tree=tree, typed=typed, slots=slots, files=files, blind=blind_places(tree), hold=self._holding
        )  # fmt: skip
        closes = self._closed(kind, tree)
        # what is left of a text goes out before the event that says it is over, which is then walked whole
        return (Unit(raw=b"", closes=closes, hold=self._holding), unit) if closes else (unit,)

    # -- inside

    def _typed(self, slot: Slot) -> Slot:
        """Return a slot with what the request says of its text."""
        key = cast("SlotKey", slot.key)
        if key.family == "response.function_call_arguments.":
            return replace(slot, typed=self._promises.tool_slots(self._called.get(key.output)))
        if key.family == "response.output_text." and self._promises.text is not None:
            return replace(slot, kind="json", typed=self._promises.text_slots)
        return slot

    def _note(self, kind: str, tree: dict[str, object]) -> None:
        """Take note of what an event says about the answer, and whether anything may leave after it."""
        response, place = tree.get("response"), tree.get("output_index")
        acted = "item" in tree and acted_on(tree["item"])
        if kind == "response.output_item.added":
            self._called[place] = object_of(tree.get("item")).get("name")
        if kind == "response.output_item.done" and isinstance(place, int) and isinstance(tree.get("item"), dict):
            self._items[place] = cast("dict[str, object]", tree["item"])
        if isinstance(response, dict):
            self._response = cast("dict[str, object]", response)
            output = self._response.get("output")
            acted = acted or (isinstance(output, list) and any(map(acted_on, cast("list[object]", output))))
        self._done = self._done or kind in FINAL
        # a tool call may be acted on as soon as it parses: nothing of it leaves before the journal has it
        self._holding = self._holding or acted or self._done or not flows(kind)

    def _closed(self, kind: str, tree: dict[str, object]) -> tuple[Hashable, ...]:
        closed = [key for key in self._open if key.ended_by(kind, tree)]
        for key in closed:
            self._open.remove(key)
        return tuple(closed)

    def _closed_all(self) -> tuple[Hashable, ...]:
        closed, self._open = tuple(self._open), set()
        return closed


def _items_in(tree: dict[str, object]) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the items of an answer, or of an event, with their pointers."""
    if isinstance(item := tree.get("item"), dict):
        yield "/item", cast("dict[str, object]", item)
    for place, whole in (("", tree), ("/response", object_of(tree.get("response")))):
        for at, one in placed_objects(whole.get("output")):
            yield f"{place}/output/{at}", one


def _usage(response: dict[str, object]) -> dict[str, int]:
    usage = response.get("usage")
    if not isinstance(usage, dict):
        return {}
    named = cast("dict[str, object]", usage)
    found = {name: count for name in ("input_tokens", "output_tokens") if isinstance(count := named.get(name), int)}
    details = named.get("input_tokens_details")
    cached = cast("dict[str, object]", details).get("cached_tokens") if isinstance(details, dict) else None
    return {**found, "cached_input_tokens": cached} if isinstance(cached, int) else found


def _made(response: dict[str, object], output: list[dict[str, object]]) -> Iterator[object]:
    """Yield the ids of what the provider keeps of an answer: itself, its items, containers and their files."""
    yield response.get("id")
    for item in output:
        yield item.get("id")
        yield item.get("container_id")
        for part in objects_of(item.get("content")):
            for note in objects_of(part.get("annotations")):
                yield note.get("container_id")
                yield note.get("file_id")
