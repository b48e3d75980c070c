"""The message in an exchange, read strictly: what two readers could understand differently is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import body
from gateway.call import header
from gateway.mcp.message import HEADER_MISMATCH, INVALID_REQUEST, PARSE_ERROR, Unanswerable, read_message
from gateway.mcp.mirror import unmirrored_header

if TYPE_CHECKING:
    from gateway.call import Exchange
    from gateway.mcp.message import Message


def received(exchange: Exchange, *, depth_max: int) -> Message:
    """Return the message that was posted. Raises `Unanswerable`."""
    # a browser sends other types across origins without asking first
    if (header(exchange.headers, b"content-type") or b"").partition(b";")[0].strip().lower() != b"application/json":
        raise Unanswerable(INVALID_REQUEST, "the content type must be `application/json`", status=415)
    try:
        tree = body.parse(exchange.body, depth_max=depth_max)
    except body.MalformedBody as error:
        raise Unanswerable(PARSE_ERROR, f"the body is not usable JSON: {error}") from None
    message = read_message(tree, exchange.headers)
    if message.era == "modern" and (name := unmirrored_header(message.params, exchange.headers)) is not None:
        raise Unanswerable(HEADER_MISMATCH, f"the header `{name}` has no argument of its value", ident=message.id)
    return message
