"""How many tokens a model call may take, before it is sent: a guess, settled from what the answer says.

Input: four bytes of the request a token, which is above what texts in Latin letters take and what JSON adds.
Long files in base64 count as what providers count for one. Output: the bound that the request sets in its own
protocol's word, for each answer it asks for; else what the file assumes for the model. Numbers are read as
lenient servers read them (`"100"` and `1e2` are 100), for what a server takes for a bound is spent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BYTES_A_TOKEN: Final = 4
#: Longer than any word: a picture, a sound, a document.
_MEDIA_CHARACTERS: Final = 4096
_MEDIA_TOKENS: Final = 2000
#: A file in base64, with or without the head of a data URL (RFC 2397); prose of any script is none.
_FILE: Final = re.compile(r"(?:data:[^,]{0,200},)?[A-Za-z0-9+/_\-=\r\n]+")
#: Fields that hold one, as the protocols name them; what stands anywhere else is text, whatever it looks like.
_FILE_KEYS: Final = frozenset({"data", "file_data", "image_url", "url", "b64_json"})
#: The words for the longest answer, by protocol. What a protocol has no word for bounds nothing: servers ignore it.
_BOUNDS: Final[Mapping[str, tuple[str, ...]]] = {
    "openai_chat": ("max_completion_tokens", "max_tokens"),
    "openai_responses": ("max_output_tokens",),
    "anthropic_messages": ("max_tokens",),
}
#: How many answers are asked for (`best_of`: of which the best are shown).
_ANSWERS: Final = ("n", "best_of")
#: More is no number of tokens anybody means; it keeps the sums of many calls within 64 bits.
TOKENS_MAX: Final = 10**9


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens in and out."""

    input_tokens: int
    output_tokens: int

    @property
    def usage(self) -> dict[str, int]:
        """As an answer's usage says it."""
        return {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}


def estimate(request: bytes, tree: object, *, assumed: int, endpoint: str = "openai_chat") -> Estimate:
    """Return the estimate for a `request` (JSON), parsed `tree`, in the protocol of `endpoint`.

    `assumed` is the output where the request sets no bound.
    """
    size, media = len(request), 0
    if size > _MEDIA_CHARACTERS:
        for key, text in _texts(tree):
            if len(text) > _MEDIA_CHARACTERS and key in _FILE_KEYS and _FILE.fullmatch(text, 0, _MEDIA_CHARACTERS):
                size -= len(text)
                media += 1
    tokens = -(-max(size, 0) // _BYTES_A_TOKEN) + media * _MEDIA_TOKENS
    return Estimate(tokens, _output(tree, assumed, _BOUNDS.get(endpoint, ())))


def sound(count: int) -> int:
    """Return a count of tokens as one that sums can be made of: a provider's word is no reason to give budget back."""
    return min(max(0, count), TOKENS_MAX)


def _output(tree: object, assumed: int, names: tuple[str, ...]) -> int:
    if not isinstance(tree, dict):
        return assumed
    asked = cast("dict[str, object]", tree)
    bounds = [bound for name in names if (bound := _count(asked.get(name)))]
    answers = max(1, *(_count(asked.get(name)) for name in _ANSWERS))
    return sound((max(bounds) if bounds else assumed) * answers)


def _count(value: object) -> int:
    """Return a positive whole number, 0 for what is none: no bound, or one that servers take for none."""
    if isinstance(value, bool) or value is None or isinstance(value, dict | list):
        return 0
    try:
        exact = Decimal(str(value).strip())
        return sound(int(exact)) if exact.is_finite() and exact.adjusted() <= len(str(TOKENS_MAX)) else TOKENS_MAX
    except InvalidOperation:
        return 0


def _texts(tree: object) -> Iterator[tuple[str, str]]:
    """Yield every text with the key it stands under."""
    waiting: list[tuple[str, object]] = [("", tree)]
    while waiting:
        key, one = waiting.pop()
        if isinstance(one, str):
            yield key, one
        elif isinstance(one, dict):
            waiting += cast("dict[str, object]", one).items()
        elif isinstance(one, list):
            waiting += ((key, inner) for inner in cast("list[object]", one))
