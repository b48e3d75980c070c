"""What a field carries besides text: images, audio, documents. Files of text are opened, the rest is said."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Fields that hold a file in base64, as the protocols name them, and those that say what it is.
_CONTENT_KEYS: Final = ("data", "blob", "b64_json", "file_data", "partial_image_b64", "result")
#: What a provider's own tool has drawn (`openai.types.responses.ResponseOutputItem`).
_IMAGE_MADE: Final = "image_generation_call"
#: A file even where nothing says of which type (MCP's `BlobResourceContents`).
_FILE_ALONE: Final = "blob"
_TYPE_KEYS: Final = ("mimeType", "media_type", "mime_type", "mediaType", "format", "type")
#: Looked at whole: whatever else stands in it is text, wherever it stands.
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\-\r\n]{16,}={0,2}\s*")
_BODY: Final = re.compile(r"[A-Za-z0-9+/_\-\r\n]*={0,2}\s*")
#: RFC 4648 section 4, as APIs write it: no line ends, and none of the characters of `call-me_at`.
_STRICT: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
#: RFC 2397.
_DATA_URL: Final = re.compile(r"data:([A-Za-z0-9.+\-]{1,64}/[A-Za-z0-9.+\-]{1,64})?((?:;[^;,]{1,128}){0,8});base64,")
_TEXT: Final = re.compile(
    r"text/|application/(?:json|xml|yaml|x-yaml|csv|x-ndjson|sql|javascript)|.{1,64}\+(?:json|xml)$"
)
_KINDS: Final = ("image", "audio", "video")
_SOUNDS: Final = frozenset({"wav", "mp3", "flac", "opus", "pcm16", "aac", "m4a", "mp4", "mpeg",
                             "mpga", "ogg", "webm", "g711_ulaw", "g711_alaw", "pcm", "input_audio"})  # fmt: skip


def media_field(fields: Mapping[str, object]) -> tuple[str, str] | None:
    """Return which of `fields` holds a file in base64, and its media type; `None` where none does."""
    for key in _CONTENT_KEYS:
        content = fields.get(key)
        if isinstance(content, str) and content and not content.startswith("data:"):
            if key == "result" and fields.get("type") != _IMAGE_MADE:
                continue  # a result of anything else is text
            said = [fields[name] for name in _TYPE_KEYS if isinstance(fields.get(name), str)]
            media = next((one for one in said if isinstance(one, str) and _is_type(one)), None)
            plain = _BASE64.fullmatch(content) is not None
            if media is None and key == "result":
                media = "image"
            if media is None and key == "data" and "transcript" in fields:
                media = "audio"  # a chat's spoken answer, which says no type
            if media is None and key == _FILE_ALONE and plain:
                media = "text/plain"  # it says nothing of itself: it is opened, and counted where it is no text
            return (key, media) if media is not None and plain else None
    return None


def data_url(value: str) -> tuple[str, str] | None:
    """Return the head of a data URL in base64 and its media type, `None` for every other text.

    One that only says that it is in base64 is text.
    """
    match = _DATA_URL.match(value)
    if match is None or _BODY.fullmatch(value, match.end()) is None:
        return None
    return match.group(), match.group(1) or "text/plain"


def is_base64(content: str) -> bool:
    """Return whether `content` is base64, or a piece of it, and nothing else."""
    return _STRICT.fullmatch(content) is not None


def is_text(media: str) -> bool:
    """Return whether a file of this type is text."""
    return _TEXT.match(media.lower()) is not None


def opened(content: str) -> str | None:
    """Return the text in base64, `None` where there is none."""
    plain = "".join(content.split()).rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return None


def closed(text: str) -> str:
    """Return `text` in base64 (RFC 4648 section 4)."""
    return base64.b64encode(text.encode()).decode()


def kind_of(media: str) -> str:
    """Return the word the audit has for a file of this type."""
    first = media.lower().partition("/")[0]
    if first in _KINDS:
        return first
    return "audio" if first in _SOUNDS else "document"


def _is_type(text: str) -> bool:
    return "/" in text or text in _SOUNDS or text in _KINDS
