"""Asking a stream for its usage where the client did not, and taking it out of what the client sees.

OpenAI API reference, `stream_options.include_usage`: one more chunk before `[DONE]`, without choices.
"""

from __future__ import annotations

from typing import Final, cast

from gateway import body

_ASKED: Final = b'{"stream_options":{"include_usage":true},'


def asks(tree: object) -> bool:
    """Return whether a request asks for usage itself."""
    options = cast("dict[str, object]", tree).get("stream_options") if isinstance(tree, dict) else None
    return isinstance(options, dict) and cast("dict[str, object]", options).get("include_usage") is True


def asking(content: bytes, tree: object) -> bytes:
    """Return a stream's request, `content` of which `tree` is the JSON, with usage asked for; the rest as it is."""
    request = cast("dict[str, object]", tree)
    if "stream_options" not in request:
        return _ASKED + content.lstrip()[1:]  # a request has members: `model`, `messages`
    options = request["stream_options"]
    given = cast("dict[str, object]", options) if isinstance(options, dict) else {}
    return body.encode(
        cast("dict[str, object]", body.parse(content)) | {"stream_options": given | {"include_usage": True}}
    )


def only_usage(chunk: dict[str, object]) -> bool:
    """Return whether a chunk tells usage and nothing else."""
    return chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)
