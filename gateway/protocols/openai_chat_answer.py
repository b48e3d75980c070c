"""Reads a chat completion, plain or streamed, as it arrives (OpenAI API reference, chat object and chunk)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.call import Sent, Slot, Unit
from gateway.model_answer import ModelAnswer, object_of, objects_of, placed_objects
from gateway.promises import NOTHING, Promises, json_text
from gateway.protocols.openai_chat_likeness import Likeness
from gateway.protocols.openai_chat_usage import only_usage
from gateway.providers.provider import NOT_EXECUTED
from redaction.finding import Shape

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

    from gateway.call import SlotKind

    #: a field of a delta, the number of its choice; of what stands deeper, which one
    _Key = tuple[str, int, *tuple[str | int, ...]]

_SHAPE: Final = Shape(
    keep=(
        "id", "object", "model", "created", "system_fingerprint", "service_tier",
        "choices.*.finish_reason", "choices.*.message.role", "choices.*.delta.role",
        "choices.*.message.tool_calls.*.id", "choices.*.message.tool_calls.*.type",
        "choices.*.message.tool_calls.*.function.name",
        "choices.*.delta.tool_calls.*.id", "choices.*.delta.tool_calls.*.type",
        "choices.*.delta.tool_calls.*.function.name", "choices.*.message.audio.id", "choices.*.delta.audio.id",
    ),
    embedded=("choices.*.message.tool_calls.*.function.arguments", "choices.*.message.function_call.arguments"),
)  # fmt: skip

#: The same where the text was asked for as JSON.
_JSON_SHAPE: Final = replace(_SHAPE, embedded=(*_SHAPE.embedded, "choices.*.message.content"))

#: What comes in pieces of a spoken answer: what is said, and how it sounds.
_AUDIO: Final = ("transcript", "data")
#: What a tool call of either form asks, and where it stands in it.
_CALLED: Final = {"arguments": "function", "input": "custom"}
#: What stands in each chunk. What else one holds is said once, and redacted there.
_OF_EACH: Final = frozenset({"id", "object", "created", "model", "system_fingerprint", "service_tier"})

#: Answer headers worth keeping for the agent; the rest belongs to the connection to the provider.
_KEPT_HEADERS: Final = (b"retry-after", b"retry-after-ms", b"x-request-id", b"openai-processing-ms")


def promised(request: object) -> Promises:
    """Return what a request says of the form of its answer."""
    asked = object_of(request)
    functions = [object_of(tool.get("function")) for tool in objects_of(asked.get("tools"))]
    tools = {name: one.get("parameters") for one in functions if isinstance(name := one.get("name"), str)}
    return Promises(json_text(asked.get("response_format"), "json_schema.schema"), tools)


class ChatReader(ModelAnswer):
    """Units of one answer: the whole body, or one unit per stream event (`gateway/model_answer.py`)."""

    _kept = _KEPT_HEADERS

    def __init__(
        self, *, not_executed: frozenset[int] = NOT_EXECUTED, hides_usage: bool = False, shape: Shape = _SHAPE,
        origin: str = "", promises: Promises = NOTHING,
    ) -> None:  # fmt: skip
        said = _JSON_SHAPE if shape is _SHAPE and promises.text is not None else shape
        super().__init__(shape=said, origin=origin, not_executed=not_executed)
        self._promises = promises
        #: the client did not ask for usage: the chunk with nothing else is not for it
        self._hides_usage = hides_usage
        self._likeness = Likeness()
        self._open: set[Hashable] = set()
        self._last: dict[str, object] = {}
        self._finish: list[str] = []
        self._choices: set[int] = set()
        self._calls: dict[tuple[int, int], dict[str, str]] = {}
        self._named: dict[Hashable, object] = {}

    def encode(self, unit: Unit, tree: object) -> bytes:
        """Return `tree` framed like `unit`."""
        del unit
        encoded = body.encode(tree)
        return encoded if not self._streams else b"data: " + encoded + b"\n\n"

    def continuation(self, key: Hashable, text: str) -> Unit:
        """Return a chunk like the last one that carries `text` for slot `key` only."""
        kind, choice, *rest = cast("_Key", key)
        if not rest:
            delta: dict[str, object] = {kind: text}
            path: tuple[str | int, ...] = ("choices", 0, "delta", kind)
        elif kind in _CALLED:
            delta = {"tool_calls": [{"index": rest[0], _CALLED[kind]: {kind: text}}]}
            path = ("choices", 0, "delta", "tool_calls", 0, _CALLED[kind], kind)
        else:
            delta, path = {kind: {str(rest[0]): text}}, ("choices", 0, "delta", kind, rest[0])
        tree = {**self._last}
        tree["choices"] = [{"index": choice, "delta": delta, "finish_reason": None}]
        raw = b"data: " + body.encode(tree) + b"\n\n"
        return Unit(raw=raw, tree=tree, slots=(Slot(key, path, self._slot_kind(key)),), hold=self._holding)

    def tool_calls(self) -> list[dict[str, object]]:
        """Return the tool calls asked for, in the form of a message's `tool_calls`."""
        return [{"function": dict(self._calls[place])} for place in sorted(self._calls)]

    # -- what `ModelAnswer` asks

    def _flowing(self, content: bytes, begin: int) -> int:
        return self._likeness.run(content, begin)

    def _complete(self) -> bool:
        return self._done or (bool(self._choices) and len(self._finish) >= len(self._choices))

    def _reasons(self) -> list[str]:
        return sorted(set(self._finish))

    def _marker(self, raw: bytes, data: bytes) -> Unit | None:
        if data.strip() != b"[DONE]":
            return None
        self._done = self._holding = True
        return Unit(raw=raw, closes=self._close_all(), hold=True)

    def _note_whole(self, tree: dict[str, object]) -> tuple[tuple[str | int, ...], ...]:
        blind: list[tuple[str | int, ...]] = []
        self._note_usage(tree)
        for at, choice in placed_objects(tree.get("choices")):
            self._note_finish(choice)
            message = choice.get("message")
            if isinstance(message, dict):
                self._note_calls(at, placed_objects(cast("dict[str, object]", message).get("tool_calls")))
                self._note_audio(cast("dict[str, object]", message))
            if choice.get("logprobs") is not None:
                blind.append(("choices", at, "logprobs"))
        return tuple(blind)

    def _schemas(self, tree: dict[str, object]) -> Mapping[str, object]:
        texts: list[str] = []
        uses: list[tuple[str, object]] = []
        for at, choice in placed_objects(tree.get("choices")):
            place = f"/choices/{at}/message"
            texts.append(f"{place}/content")
            for number, call in placed_objects(object_of(choice.get("message")).get("tool_calls")):
                name = object_of(call.get("function")).get("name")
                uses.append((f"{place}/tool_calls/{number}/function/arguments", name))
        return self._promises.schemas(texts, uses)

    def _read(self, raw: bytes, tree: dict[str, object]) -> tuple[Unit, ...]:
        return (self._chunk(raw, tree),)

    def _learn(self, units: tuple[Unit, ...]) -> None:
        (unit,) = units
        if len(unit.slots) != 1 or unit.closes or len(unit.slots[0].path) != 4:  # noqa: PLR2004
            return  # only a text that stands right in its delta
        tree = cast("dict[str, object]", unit.tree)
        _, choice, _, name = unit.slots[0].path
        if tree.get("usage") is None and len(cast("list[object]", tree["choices"])) == 1:
            self._likeness.learn(unit.raw, tree, cast("int", choice), cast("str", name))

    # -- inside

    def _chunk(self, raw: bytes, tree: dict[str, object]) -> Unit:
        if "error" in tree:
            self._failed = self._holding = True
            return Unit(raw=raw, tree=tree, closes=self._close_all(), hold=True)
        self._last = {name: value for name, value in tree.items() if name in _OF_EACH}
        self._note_usage(tree)
        if self._hides_usage and only_usage(tree):
            return Unit(raw=b"", hold=self._holding)
        slots: list[Slot] = []
        closes: list[Hashable] = []
        blind: list[tuple[str | int, ...]] = []
        for at, choice in placed_objects(tree.get("choices")):
            index = choice.get("index", 0)
            number = index if isinstance(index, int) else 0
            self._choices.add(number)
            slots += self._slots(at, number, choice)
            if choice.get("logprobs") is not None:
                blind.append(("choices", at, "logprobs"))
            if choice.get("finish_reason"):  # some servers write an empty one into every piece
                self._note_finish(choice)
                self._holding = True
                closes += [key for key in self._open if cast("tuple[str, int]", key)[1] == number]
        self._open.difference_update(closes)
        return Unit(raw=raw, tree=tree, slots=tuple(slots), closes=tuple(closes), blind=tuple(blind),
                    hold=self._holding)  # fmt: skip

    def _slots(self, at: int, number: int, choice: dict[str, object]) -> list[Slot]:
        if not isinstance(choice.get("delta"), dict):
            return []
        delta, found = object_of(choice["delta"]), list[Slot]()
        for name, value in delta.items():
            if isinstance(value, str) and name != "role":
                typed = self._promises.text_slots if name == "content" else None
                key: Hashable = (name, number)
                found.append(Slot(key, ("choices", at, "delta", name), self._slot_kind(key), typed))
        audio = self._note_audio(delta)
        for name in _AUDIO:
            if isinstance(audio.get(name), str):
                key = ("audio", number, name)
                found.append(Slot(key, ("choices", at, "delta", "audio", name), self._slot_kind(key)))
        found += self._asked(at, number, delta)
        self._open.update(slot.key for slot in found)
        return found

    def _asked(self, at: int, number: int, delta: dict[str, object]) -> Iterator[Slot]:
        """Yield the pieces of what tools are asked, in a delta."""
        older, calls = delta.get("function_call"), placed_objects(delta.get("tool_calls"))
        if calls or older:
            # a tool call may be acted on as soon as it parses: nothing of it leaves before the journal has it
            self._holding = True
        if isinstance(object_of(older).get("arguments"), str):
            key: Hashable = ("function_call", number, "arguments")
            yield Slot(key, ("choices", at, "delta", "function_call", "arguments"), self._slot_kind(key))
        self._note_calls(number, calls)
        for place, call in calls:
            index = call.get("index", place)
            if isinstance(index, dict | list):
                raise Sent("a tool call of the stream has no number")
            for field, form in _CALLED.items():
                key, said = (field, number, index), object_of(call.get(form))
                name = self._named.setdefault(key, said.get("name"))
                if isinstance(said.get(field), str):
                    typed = self._promises.tool_slots(name) if field == "arguments" else None
                    path = ("choices", at, "delta", "tool_calls", place, form, field)
                    yield Slot(key, path, self._slot_kind(key), typed)

    def _slot_kind(self, key: Hashable) -> SlotKind:
        kind, _, *rest = cast("_Key", key)
        if not rest:
            return "json" if kind == "content" and self._promises.text is not None else "text"
        if kind in {"arguments", "function_call"}:
            return "json"
        return "audio" if kind == "audio" and rest[0] == "data" else "text"

    def _close_all(self) -> tuple[Hashable, ...]:
        closes = tuple(self._open)
        self._open.clear()
        return closes

    def _note_usage(self, tree: dict[str, object]) -> None:
        usage = tree.get("usage")
        if not isinstance(usage, dict):
            return
        named = cast("dict[str, object]", usage)
        for theirs, ours in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")):
            if isinstance(count := named.get(theirs), int):
                self._usage[ours] = count
        details = named.get("prompt_tokens_details")
        if isinstance(details, dict):
            cached = cast("dict[str, object]", details).get("cached_tokens")
            if isinstance(cached, int):
                self._usage["cached_input_tokens"] = cached

    def _note_audio(self, message: dict[str, object]) -> dict[str, object]:
        """Return what a message says aloud, noting the id under which it can be named later."""
        audio = message.get("audio")
        if not isinstance(audio, dict):
            return {}
        self._made.append(cast("dict[str, object]", audio).get("id"))
        return cast("dict[str, object]", audio)

    def _note_finish(self, choice: dict[str, object]) -> None:
        if isinstance(reason := choice.get("finish_reason"), str):
            self._finish.append(reason)

    def _note_calls(self, choice: int, calls: list[tuple[int, dict[str, object]]]) -> None:
        if choice != 0:  # agents act on the first choice; counting the others would only add evidence
            return
        for place, call in calls:
            index = call.get("index", place)
            function = call.get("function")
            if not isinstance(index, int) or not isinstance(function, dict):
                continue
            known = self._calls.setdefault((choice, index), {"name": "", "arguments": ""})
            for part in ("name", "arguments"):
                if isinstance(piece := cast("dict[str, object]", function).get(part), str):
                    known[part] += piece
