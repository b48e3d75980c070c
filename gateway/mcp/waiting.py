"""A call that waits for a person, said so that clients of the newer era wait on by themselves.

`input_required` with a `requestState` and no requests means: nothing is asked of you, come again with this
(MCP 2026-07-28, multi round-trip requests). The official SDKs do so, with back-off, up to a number of rounds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.mcp.message import Message

#: It names nothing: the step is found by the request itself.
_STATE: Final = "dev.oncegate/approval"


def may_wait(message: Message) -> bool:
    """Return whether the request can be answered with `input_required`: not in the midst of the server's own rounds."""
    if message.era != "modern" or message.method != "tools/call":
        return False
    return "requestState" not in message.params and "inputResponses" not in message.params


def waiting_result() -> dict[str, object]:
    """Return the result that makes a client come again."""
    return {"resultType": "input_required", "requestState": _STATE}


def without_wait(message: Message) -> Message:
    """Return the request as it was first made: a server never sees a state it did not give."""
    if message.params.get("requestState") != _STATE:
        return message
    params = {key: value for key, value in message.params.items() if key not in {"requestState", "inputResponses"}}
    return replace(message, params=params, tree={**message.tree, "params": params})
