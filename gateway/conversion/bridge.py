"""Where an adapter's protocol and its model's provider's differ: how the request is said, how the answer is read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.call import Refusal
from gateway.conversion.answers import completion_of, message_of
from gateway.conversion.carried import CannotCarry, Terms
from gateway.conversion.chat_request import to_messages
from gateway.conversion.messages_request import to_chat
from gateway.conversion.reader import of_chat, of_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.call import AnswerReader, Call, Headers
    from gateway.conversion.carried import Converted, Tree
    from gateway.providers.provider import Dialect
    from gateway.providers.target import ModelTarget

#: The protocol that stands in for one a provider does not speak, and how a request is said in it.
_WAYS: Final[Mapping[Dialect, tuple[Dialect, Callable[[Tree, Terms], Converted]]]] = {
    "openai_chat": ("anthropic_messages", to_messages),
    "anthropic_messages": ("openai_chat", to_chat),
}
_LEFT_OUT: Final = "oncegate.left_out"


def spoken_to(
    target: ModelTarget, own: Dialect, request: Tree, *, besides: tuple[str, ...] = ()
) -> tuple[Dialect | None, dict[str, str]]:
    """Return the protocol that is spoken to the model instead of the adapter's, and facts for the call.

    `besides` are headers that would be left out. `None` where its provider speaks the adapter's own. Raises
    `Refusal` (400): neither is spoken, or the request cannot be said.
    """
    other = _WAYS[own][0]
    if target.speaks(own) or not target.speaks(other):
        target.demand(own)
        return None, {}
    left_out = (*_converted(target, own, request).left_out, *besides)
    return other, {"oncegate.converted": other, _LEFT_OUT: ", ".join(left_out)}


def said(call: Call, own: Dialect, tree: object) -> bytes:
    """Return a request body of the adapter's protocol as the provider's. Raises `Refusal` (400)."""
    target = cast("ModelTarget", call.target)
    converted = _converted(target, own, cast("Tree", tree))
    return body.encode(converted.tree | {"model": target.upstream_model})


def reading(call: Call, inner: AnswerReader) -> AnswerReader:
    """Return the reader of the provider's answer for a client whose reader is `inner`."""
    if call.spoken == "openai_chat":
        return of_chat(inner)
    if call.spoken == "anthropic_messages":
        options = cast("Tree", call.tree).get("stream_options")
        shows = isinstance(options, dict) and cast("Tree", options).get("include_usage") is True
        return of_messages(inner, created=int(time.time()), shows_usage=shows)
    return inner


def given_as(own: Dialect, answer: bytes) -> bytes:
    """Return a whole answer that an operator or another call gave, whose protocol may be the other, in `own`.

    What cannot be said in it stays as it was given.
    """
    tree = body.parse(answer)
    if not isinstance(tree, dict):
        return answer
    whole = cast("Tree", tree)
    try:
        if own == "anthropic_messages" and "choices" in whole:
            return body.encode(message_of(whole))
        if own == "openai_chat" and whole.get("type") == "message":
            return body.encode(completion_of(whole, created=0))
    except CannotCarry:
        return answer
    return answer


def told(call: Call) -> Headers:
    """Return the headers that say that the request was converted, and what was left out of it."""
    if call.spoken is None:
        return ()
    left_out = str(call.facts.get(_LEFT_OUT, ""))
    named = ((b"oncegate-left-out", left_out.encode("ascii", "replace")),) if left_out else ()
    return ((b"oncegate-converted", call.spoken.encode()), *named)


def _converted(target: ModelTarget, own: Dialect, tree: Tree) -> Converted:
    terms = Terms(output_tokens_max=target.output_tokens_max, limit_name=target.provider.limit_name)
    try:
        return _WAYS[own][1](tree, terms)
    except CannotCarry as error:
        raise Refusal(code="bad_request", message=str(error), status=400) from None
