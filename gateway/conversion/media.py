"""Images and files: data URLs of the chat protocol, sources of the messages protocol (RFC 2397)."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final

from gateway.conversion.carried import CannotCarry, a_text, an_object, below, only

if TYPE_CHECKING:
    from gateway.conversion.carried import LeftOut, Tree

_DATA_URL: Final = re.compile(r"data:([a-zA-Z0-9.+-]+/[a-zA-Z0-9.+-]+)(?:;charset=utf-8)?;base64,", re.IGNORECASE)
_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_PDF: Final = "application/pdf"
_PLAIN: Final = "text/plain"
_HINTS: Final = ("cache_control", "transformations")


def image_block(part: Tree, path: str, left_out: LeftOut) -> Tree:
    """Return an `image_url` part as an image block."""
    image = an_object(part.get("image_url"), below(path, "image_url"))
    only(image, below(path, "image_url"), frozenset({"url", "detail"}))
    left_out.hints(image, below(path, "image_url"), ("detail",))
    url = a_text(image.get("url"), below(path, "image_url.url"))
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media, data = _data_of(url, below(path, "image_url.url"))
    if media not in _IMAGES:
        raise CannotCarry(below(path, "image_url.url"), f"holds an image of another kind than {_named()}")
    return {"type": "image", "source": {"type": "base64", "media_type": media, "data": data}}


def image_part(block: Tree, path: str, left_out: LeftOut) -> Tree:
    """Return an image block as an `image_url` part."""
    only(block, path, frozenset({"type", "source", *_HINTS}))
    left_out.hints(block, path, _HINTS)
    source = an_object(block.get("source"), below(path, "source"))
    match source.get("type"):
        case "url":
            url = a_text(source.get("url"), below(path, "source.url"))
        case "base64":
            media = a_text(source.get("media_type"), below(path, "source.media_type"))
            url = f"data:{media};base64,{a_text(source.get('data'), below(path, 'source.data'))}"
        case _:
            raise CannotCarry(below(path, "source"), "is of a kind that cannot be carried to this model's provider")
    return {"type": "image_url", "image_url": {"url": url}}


def document_block(part: Tree, path: str) -> Tree:
    """Return a `file` part as a document block."""
    file = an_object(part.get("file"), below(path, "file"))
    only(file, below(path, "file"), frozenset({"file_data", "filename"}))
    place = below(path, "file.file_data")
    media, data = _data_of(a_text(file.get("file_data"), place), place)
    title: Tree = {} if file.get("filename") is None else {"title": file["filename"]}
    if media == _PDF:
        return {"type": "document", "source": {"type": "base64", "media_type": _PDF, "data": data}, **title}
    if media != _PLAIN:
        raise CannotCarry(place, "holds a file of another kind than PDF and plain text")
    try:
        text = base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise CannotCarry(place, "is not plain text in base64") from None
    return {"type": "document", "source": {"type": "text", "media_type": _PLAIN, "data": text}, **title}


def file_part(block: Tree, path: str, left_out: LeftOut) -> Tree:
    """Return a document block as a `file` part."""
    only(block, path, frozenset({"type", "source", "title", "citations", "cache_control"}))
    left_out.hints(block, path, ("cache_control",))
    citations = block.get("citations")
    if citations is not None and an_object(citations, below(path, "citations")).get("enabled"):
        raise CannotCarry(below(path, "citations"), "cannot be carried to this model's provider")
    source = an_object(block.get("source"), below(path, "source"))
    match source.get("type"):
        case "base64":
            media = a_text(source.get("media_type"), below(path, "source.media_type"))
            data = a_text(source.get("data"), below(path, "source.data"))
        case "text":
            media = _PLAIN
            data = base64.b64encode(a_text(source.get("data"), below(path, "source.data")).encode()).decode()
        case _:
            raise CannotCarry(below(path, "source"), "is of a kind that cannot be carried to this model's provider")
    named: Tree = {} if block.get("title") is None else {"filename": block["title"]}
    return {"type": "file", "file": {**named, "file_data": f"data:{media};base64,{data}"}}


def _data_of(url: str, path: str) -> tuple[str, str]:
    match = _DATA_URL.match(url)
    if match is None:
        raise CannotCarry(path, "must be a data URL in base64")
    return match.group(1).lower(), url[match.end() :]


def _named() -> str:
    return ", ".join(sorted(name.partition("/")[2] for name in _IMAGES))
