"""Which parts of a message from an agent are structure; every other text is scanned."""

from __future__ import annotations

from typing import Final

from redaction.finding import Shape

#: Structure of messages from an agent; names of tools and prompts are decided by policy and stay as decided.
REQUEST_SHAPE: Final = Shape(
    keep=(
        "jsonrpc", "id", "method", "params.name", "params.protocolVersion", "params.capabilities.**",
        "params.clientInfo.**", "params.requestId", "params.cursor", "params.requestState", "params.level",
        "params.ref.type", "params.ref.name", "params.progressToken", "params._meta.progressToken",
        r"params._meta.io\.modelcontextprotocol/protocolVersion", r"params._meta.io\.modelcontextprotocol/logLevel",
        r"params._meta.io\.modelcontextprotocol/clientCapabilities.**",
        r"params._meta.io\.modelcontextprotocol/clientInfo.**", "params.notifications.**", "result.role",
        "result.content.type", "result.model", "result.stopReason", "result.action",
    ),
)  # fmt: skip
