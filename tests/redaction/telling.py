"""An upstream that says what a test has it say: a model's answer as bytes, messages of an MCP server as they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from tests.redaction.echo import Echo

if TYPE_CHECKING:
    from collections.abc import Sequence

Tree = dict[str, object]
STREAM: Final = "text/event-stream"
#: The id of the request that is answered with `messages`; the gateway's own have others.
ASKED: Final = "asked"


class Telling(Echo):
    """As a model it answers with `told` (media type and body), as a server with `messages` where the id is
    `ASKED`, the last of them made the response; else as `Echo` does. Its one tool and its one prompt are `said`."""

    def __init__(self) -> None:
        super().__init__({"name": "said", "inputSchema": {"type": "object"}})
        self.say = "fine"
        self.told: tuple[str, bytes] | None = None
        self.messages: Sequence[Tree] = ()

    def answer(self, path: str, request: Tree) -> tuple[int, str, bytes]:
        """Return status, media type and body."""
        if not path.endswith("/mcp"):
            return super().answer(path, request) if self.told is None else (200, *self.told)
        if "method" not in request:
            return 202, "application/json", b""
        ident = request.get("id")
        if ident != ASKED:
            if request["method"] == "prompts/list":
                result = {"jsonrpc": "2.0", "id": ident, "result": {"prompts": [{"name": "said"}]}}
                return 200, "application/json", json.dumps(result).encode()
            return super().answer(path, request)
        *before, last = self.messages
        return 200, STREAM, framed([*before, {**last, "id": ident}])


def framed(messages: Sequence[Tree]) -> bytes:
    """Return JSON-RPC messages as a stream of events."""
    return b"".join(b"event: message\ndata: " + json.dumps({"jsonrpc": "2.0", **one}).encode() + b"\n\n"
                    for one in messages)  # fmt: skip
