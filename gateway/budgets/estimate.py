"""How many tokens a model call may take, before it is sent: a guess, settled from what the answer says.

Input: four bytes of the request a token, which is above what texts in Latin letters take and what JSON adds.
Long runs of letters without a space are media in base64 and count as what providers count for one. Output:
the bound the request sets, for each answer it asks for; else what the file assumes for the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

_BYTES_A_TOKEN: Final = 4
#: Longer than any word: a picture, a sound, a document.
_MEDIA_CHARACTERS: Final = 4096
_MEDIA_TOKENS: Final = 2000
#: The bounds of the vendors' requests (chat, responses, messages).
_BOUNDS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens in and out."""

    input_tokens: int
    output_tokens: int

    @property
    def usage(self) -> dict[str, int]:
        """As an answer's usage says it."""
        return {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}


def estimate(request: bytes, tree: object, *, assumed: int) -> Estimate:
    """Return the estimate for a `request` (JSON), parsed `tree`; `assumed` is the output where it sets no bound."""
    size, media = len(request), 0
    if size > _MEDIA_CHARACTERS:
        for text in _texts(tree):
            if len(text) > _MEDIA_CHARACTERS and " " not in text[:_MEDIA_CHARACTERS]:
                size -= len(text)
                media += 1
    tokens = -(-max(size, 0) // _BYTES_A_TOKEN) + media * _MEDIA_TOKENS
    return Estimate(tokens, _output(tree, assumed))


def _output(tree: object, assumed: int) -> int:
    if not isinstance(tree, dict):
        return assumed
    asked = cast("dict[str, object]", tree)
    bounds = [bound for name in _BOUNDS if (bound := _count(asked.get(name))) is not None]
    return (max(bounds) if bounds else assumed) * max(1, _count(asked.get("n")) or 1)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _texts(tree: object) -> Iterator[str]:
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting += cast("dict[str, object]", one).values()
        elif isinstance(one, list):
            waiting += cast("list[object]", one)
