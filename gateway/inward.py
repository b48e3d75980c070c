"""Redaction of what comes in, piece by piece: an answer's units in, the same units clean out.

One segmenter serves whole and streamed texts, so cutting never changes the result. A text slot is
held back only as far as its segment reaches; a JSON slot (streamed tool arguments) to its end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from gateway import body, places
from gateway.call import Sent
from gateway.sse import bare, says_more
from redaction.finding import Grant, Shape
from redaction.media import data_url, is_base64, is_text
from redaction.stream import Segmenter
from redaction.walk import pointer

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from gateway.call import AnswerReader, Slot, Unit
    from gateway.outward import Redaction, Veil
    from redaction.finding import Minted, Redacted, Slots

_NO_SHAPE = Shape()
_FIXED = Shape(fixed=("*",))
#: Raw pieces of one answer that are known to hold nothing.
_PLAIN_MAX = 16
#: What is shorter is a word, and no file.
_FILE_CHARACTERS_MIN = 16


@dataclass(frozen=True, slots=True)
class Clean:
    """A unit after redaction: its tree, and its bytes as journaled."""

    unit: Unit
    tree: object
    raw: bytes


class Inward:
    """Redacts one answer. `minted` and `counts` grow as it goes; `blocked` is set by a find to be blocked.

    `grant` names the entities whose originals the agent gets (empty: all).
    """

    def __init__(
        self, reader: AnswerReader, redaction: Redaction, veil: Veil, grant: frozenset[str] | None = None
    ) -> None:
        self._reader = reader
        self._redaction = redaction
        self._veil = replace(veil, direction="inward", grants=() if grant is None else (Grant(grant),))
        self._segmenters: dict[Hashable, Segmenter] = {}
        self._json: dict[Hashable, list[str]] = {}
        self._typed: dict[Hashable, Slots] = {}
        self._fixed: set[Hashable] = set()
        self._over: set[Hashable] = set()
        self._files: set[Hashable] = set()
        self._nothing_in = b""
        self._plain = {b"", b"data: [DONE]\n\n"}
        self.minted: dict[str, Minted] = {}
        self.counts: dict[str, int] = {}
        self.passed: dict[str, int] = {}
        self.blocked: tuple[tuple[str, str], ...] = ()

    async def take(self, units: Sequence[Unit]) -> list[Clean]:
        """Return `units` redacted, in order, with the units that carry what slots still held."""
        if not self._veil.profile.inspects:
            for unit in units:
                if unit.told is not None:
                    await unit.told(unit.tree)
            return [Clean(unit, unit.tree, unit.raw) for unit in units]
        clean: list[Clean] = []
        for unit in units:
            if unit.slots or unit.closes:
                clean += await self._pieces(unit)
            elif unit.tree is None:
                clean.append(Clean(unit, None, await self._untold(unit.raw)))
            else:
                clean.append(await self._whole(unit))
        return clean

    async def _untold(self, raw: bytes) -> bytes:
        """Return what has no JSON in it (an event's comment, its end) as it is, or where it holds a find, nothing."""
        if raw in self._plain:
            return raw
        redacted = self._noted(await self._redaction.tree([raw.decode("utf-8", "replace")], _NO_SHAPE, self._veil))
        if redacted.changed or redacted.blocked:
            return b""
        if len(self._plain) < _PLAIN_MAX:
            self._plain.add(raw)  # the same comment keeps a stream alive for hours
        return raw

    async def _whole(self, unit: Unit) -> Clean:
        tree = unit.tree
        for path in unit.blind:
            places.put(tree, path, None)
        files = [file for file in unit.files if _is_file(cast("str", places.at(tree, file.path)))]
        aside = places.set_aside(tree, (file.path for file in files))
        redacted = self._noted(await self._redaction.tree(tree, self._reader.shape, self._veil, unit.typed))
        for file, (path, content) in zip(files, aside, strict=True):
            self._pass_unread(file)
            places.put(redacted.tree, path, content)
        if unit.told is not None:
            await unit.told(redacted.tree)
        # a comment within an event, its id, or a field nobody knows is in its bytes, not in its tree
        if not redacted.changed and not unit.blind and not says_more(unit.raw):
            return Clean(unit, unit.tree, unit.raw)
        return Clean(unit, redacted.tree, self._reader.encode(unit, redacted.tree))

    async def _pieces(self, unit: Unit) -> list[Clean]:
        pieces = {slot.key: await self._piece(slot, _text(unit, slot)) for slot in unit.slots}
        self._over.update(unit.closes)
        before: list[Clean] = []
        for key in unit.closes:
            rest = await self._rest(key)
            if key in pieces:
                pieces[key] += rest
            elif rest:
                more = self._reader.continuation(key, rest)
                before.append(Clean(more, more.tree, more.raw))
        if unit.tree is None:
            return [*before, Clean(unit, None, bare(unit.raw))]
        for path in (*unit.blind, *(slot.path for slot in unit.slots)):
            places.put(unit.tree, path, None)
        tree = await self._around(unit.tree)
        for slot in unit.slots:
            places.put(tree, slot.path, pieces[slot.key])
        return [*before, Clean(unit, tree, self._reader.encode(unit, tree))]

    async def _around(self, tree: object) -> object:
        """Return what stands around the texts of a stream's unit, redacted."""
        # the same from unit to unit: what was looked at and held nothing needs no second look
        written = body.encode(tree)
        if written == self._nothing_in:
            return tree
        redacted = self._noted(await self._redaction.tree(tree, self._reader.shape, self._veil))
        if not (redacted.changed or redacted.counts or redacted.blocked):
            self._nothing_in = written
        return redacted.tree

    async def _piece(self, slot: Slot, text: str) -> str:
        if slot.kind in {"audio", "image"} and self._is_of_file(slot, text):
            return text
        if text and slot.key in self._over:
            # what came before has left, so a value of which this is the rest could not be taken out any more
            raise Sent("a text of the answer went on after its end")
        if slot.kind == "json":
            self._json.setdefault(slot.key, []).append(text)
            if slot.typed is not None:
                self._typed[slot.key] = slot.typed
            return ""
        segmenter = self._segmenters.get(slot.key)
        if segmenter is None:
            segmenter = self._segmenters[slot.key] = Segmenter()
        if slot.kind == "fixed":
            self._fixed.add(slot.key)
            return await self._segments(segmenter.feed(text), _FIXED)
        return await self._segments(segmenter.feed(text))

    def _is_of_file(self, slot: Slot, text: str) -> bool:
        """Return whether a piece passes as one of a file; what begins as a text is one to its end."""
        if not text or slot.key in self._segmenters or (slot.key in self._over and slot.key not in self._files):
            return False
        if is_base64(text):
            self._pass_unread(slot)
            return True
        if slot.key in self._files and not self._veil.profile.shadow:
            # what has left may be the beginning of a value that goes on here
            self.blocked += (("UNSCANNED", pointer(slot.path)),)
        return False

    def _pass_unread(self, file: Slot) -> None:
        """Count a file that nobody looks into, once, or block the answer."""
        if file.key in self._files:
            return
        self._files.add(file.key)
        self.passed[file.kind] = self.passed.get(file.kind, 0) + 1
        profile = self._veil.profile
        if profile.unscanned == "block" and not profile.shadow:
            self.blocked += (("UNSCANNED", pointer(file.path)),)

    async def _rest(self, key: Hashable) -> str:
        if (parts := self._json.pop(key, None)) is not None:
            return await self._arguments("".join(parts), self._typed.pop(key, None))
        segmenter = self._segmenters.pop(key, None)
        shape = _FIXED if key in self._fixed else _NO_SHAPE
        return "" if segmenter is None else await self._segments(segmenter.finish(), shape)

    async def _segments(self, segments: Sequence[str], shape: Shape = _NO_SHAPE) -> str:
        if not segments:
            return ""
        redacted = self._noted(await self._redaction.tree(list(segments), shape, self._veil))
        return "".join(cast("list[str]", redacted.tree))

    async def _arguments(self, text: str, typed: Slots | None) -> str:
        try:
            tree = body.parse(text.encode())
        except body.MalformedBody:
            return await self._segments([text])
        redacted = self._noted(await self._redaction.tree(tree, _NO_SHAPE, self._veil, typed))
        return body.encode(redacted.tree).decode() if redacted.changed else text

    def _noted(self, redacted: Redacted) -> Redacted:
        for one in redacted.minted:
            self.minted[one.token] = one
        for entity, count in redacted.counts.items():
            self.counts[entity] = self.counts.get(entity, 0) + count
        for kind, count in redacted.passed.items():
            self.passed[kind] = self.passed.get(kind, 0) + count
        self.blocked += redacted.blocked
        return redacted


def _text(unit: Unit, slot: Slot) -> str:
    return cast("str", places.at(unit.tree, slot.path))


def _is_file(content: str) -> bool:
    if (url := data_url(content)) is not None:
        return not is_text(url[1])
    return len(content) >= _FILE_CHARACTERS_MIN and is_base64(content)
