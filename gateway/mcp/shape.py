"""Which parts of a message from an agent are structure; every other text is scanned."""

from __future__ import annotations

from typing import Final

from redaction.finding import Shape

#: Structure of messages from an agent; names of tools and prompts are decided by policy and stay as decided. What a
#: client may call as it likes, and has to find again (ids, cursors, progress tokens), nobody can replace.
REQUEST_SHAPE: Final = Shape(
    keep=(
        "jsonrpc", "id", "method", "params.name", "params.protocolVersion",
        "params.clientInfo.name", "params.clientInfo.version", "params.requestId", "params.cursor",
        "params.requestState", "params.ref.type", "params.progressToken", "params._meta.progressToken",
        r"params._meta.io\.modelcontextprotocol/protocolVersion",
        r"params._meta.io\.modelcontextprotocol/clientInfo.name",
        r"params._meta.io\.modelcontextprotocol/clientInfo.version", "result.role", "result.content.type",
    ),
    fixed=("params.ref.name",),
)  # fmt: skip
