"""What spans carry of requests and answers where `telemetry.content: redacted` asks for it.

It is what the journal keeps: with placeholders, before anything is restored. It is read from there in telemetry's own
thread, after the call, so that neither the path nor its memory pays for it. A call whose texts nobody looked into, or
of which something passed as it was, has no redacted content: its spans say so and carry none.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final, Protocol, cast

from durable.journal import JournalError
from gateway import body
from gateway import conventions as names
from gateway.model_answer import object_of
from gateway.spoken import answered_messages, asked_messages, instructions

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable.step import Outcome
    from gateway.evidence import Evidence
    from policy.decision import Decision
    from redaction.profile import Profile

Said = dict[str, str | bool]

#: One attribute at most; collectors refuse or cut longer ones, and a span is no archive.
CONTENT_CHARACTERS_MAX: Final = 16 * 1024
#: One text within it.
TEXT_CHARACTERS_MAX: Final = 4 * 1024
READ_SECONDS_MAX: Final = 5.0
_ENDPOINTS: Final = frozenset({"openai_chat", "openai_responses", "anthropic_messages"})


class Kept(Protocol):
    """Where calls' bodies are (`durable.call_book`)."""

    async def read_bodies(self, call_id: str) -> tuple[bytes | None, Outcome | None]:
        """Return request and outcome of a call, both redacted."""
        ...


class Contents:
    """Reads calls' content for telemetry's thread, on the loop it was made in; `profile_of` is a decision's profile."""

    def __init__(self, kept: Kept, profile_of: Callable[[Decision], Profile]) -> None:
        self._kept = kept
        self._profile_of = profile_of
        self._loop = asyncio.get_running_loop()

    def of(self, evidence: Evidence) -> Said:
        """Return the attributes of a call; from another thread than the loop's."""
        if evidence.call_id is None or (evidence.endpoint not in _ENDPOINTS and names.GEN_AI_TOOL not in
                                        evidence.protocol_facts):  # fmt: skip
            return {}
        if evidence.passed or not self._redacted(evidence):
            return {names.CONTENT_WITHHELD: True}
        reading = asyncio.run_coroutine_threadsafe(self._kept.read_bodies(evidence.call_id), self._loop)
        try:
            request, outcome = reading.result(READ_SECONDS_MAX)
        except (JournalError, TimeoutError):
            reading.cancel()
            return {names.CONTENT_WITHHELD: True}
        return said(evidence, request, outcome)

    def _redacted(self, evidence: Evidence) -> bool:
        """Return whether what the journal keeps of a call is redacted, which it is not by a profile that looks away."""
        if evidence.decision is None:
            return False
        profile = self._profile_of(evidence.decision)
        return profile.inspects and not profile.shadow


def said(evidence: Evidence, request: bytes | None, outcome: Outcome | None) -> Said:
    """Return what a call's span carries of its request and outcome, each attribute bounded."""
    asked = _object(request)
    found: dict[str, object] = {}
    if evidence.endpoint in _ENDPOINTS:
        found[names.GEN_AI_SYSTEM] = instructions(asked)
        found[names.GEN_AI_INPUT] = asked_messages(asked)
        if outcome is not None:
            found[names.GEN_AI_OUTPUT] = answered_messages(outcome.body, frames=outcome.form == "frames")
    else:
        found[names.GEN_AI_TOOL_ARGUMENTS] = object_of(asked.get("params")).get("arguments")
        found[names.GEN_AI_TOOL_RESULT] = None if outcome is None else _object(outcome.body)
    written = {name: _bounded(value) for name, value in found.items() if value}
    attributes: Said = {name: text for name, (text, _) in written.items()}
    if any(cut for _, cut in written.values()):
        attributes[names.CONTENT_CUT] = True
    return attributes


def _object(content: bytes | None) -> dict[str, object]:
    try:
        return object_of(body.parse(content or b"null"))
    except body.MalformedBody:
        return {}


def _bounded(value: object) -> tuple[str, bool]:
    """Return JSON of at most `CONTENT_CHARACTERS_MAX`, and whether something was cut for it.

    Long texts lose their ends, then conversations their oldest messages; what is still too long is left out.
    """
    whole = _text(value)
    if len(whole) <= CONTENT_CHARACTERS_MAX:
        return whole, False
    short = _shortened(value)
    while len(text := _text(short)) > CONTENT_CHARACTERS_MAX:
        if not isinstance(short, list) or len(cast("list[object]", short)) <= 1:
            return _text(f"… {len(whole)} characters are left off"), True
        short = cast("list[object]", short)[1:]
    return text, True


def _shortened(value: object) -> object:
    if isinstance(value, str) and len(value) > TEXT_CHARACTERS_MAX:
        return f"{value[:TEXT_CHARACTERS_MAX]}… {len(value) - TEXT_CHARACTERS_MAX} characters are left off"
    if isinstance(value, dict):
        return {name: _shortened(one) for name, one in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_shortened(one) for one in cast("list[object]", value)]
    return value


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
