"""Knows a stream's usual event again: one already read, with another text in it.

Of a hundred events of a streamed completion all but a few are the same bytes around another piece of
text. Reading each as JSON only to find that nothing in it matters is what a stream costs.
"""

from __future__ import annotations

import re
from typing import Final, cast

from gateway import body
from gateway.model_answer import is_utf8

#: The inside of a JSON string whose end no byte of it can move (RFC 8259 section 7); `\\u` is left to the parser.
_INSIDE: Final = re.compile(rb'[^"\\\x00-\x1f]*(?:\\["\\/bfnrt][^"\\\x00-\x1f]*)*')
#: Another text, to prove where in the event its text stands.
_PROBE: Final = "oncegate"
#: Events taken as a model before giving up on a provider that changes more than the text.
_MODELS_MAX: Final = 8


class Likeness:
    """Tells of an event's bytes whether they are those of the model event but for its text."""

    def __init__(self) -> None:
        self._before = b""
        self._after = b""
        self._left = _MODELS_MAX

    def run(self, content: bytes, begin: int) -> int:
        """Return where the events like the model end that follow one another from `begin`; there before any model."""
        before, after = self._before, self._after
        if not before:
            return begin
        end, inside = begin, _INSIDE.match
        while content.startswith(before, end) and (text := inside(content, end + len(before))) is not None:
            if not content.startswith(after, text.end()):
                break
            end = text.end() + len(after)
        return end if is_utf8(content[begin:end]) else begin

    def learn(self, raw: bytes, tree: dict[str, object], choice: int, name: str) -> None:
        """Take `raw`, read as `tree`, as the model, if its text (`name` in the delta) can be told from the rest."""
        text = _delta(tree, choice).get(name)
        if self._left <= 0 or not isinstance(text, str) or not text:
            return
        self._left -= 1
        inside = body.encode(text)[1:-1]
        quoted = b'"' + inside + b'"'
        if raw.count(quoted) != 1 or not raw.startswith(b"data: ") or raw.count(b"\n") != raw.count(b"\n\n") * 2:
            return
        at = raw.index(quoted) + 1
        before, after = raw[:at], raw[at + len(inside) :]
        # whatever the bytes around it are: another text there must be another text at the path, and nothing else
        try:
            other = body.parse(before[6:] + _PROBE.encode() + after)
        except body.MalformedBody:
            return
        delta = _delta(cast("dict[str, object]", other), choice)
        if delta.get(name) != _PROBE:
            return
        delta[name] = text
        if other == tree:
            self._before, self._after = before, after


def _delta(tree: dict[str, object], choice: int) -> dict[str, object]:
    choices = cast("list[dict[str, object]]", tree["choices"])
    return cast("dict[str, object]", choices[choice]["delta"])
