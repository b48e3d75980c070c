"""What a provider would fetch by itself: pictures and files that a request names by their URL.

Nobody but the provider sees what it gets there, and whoever chooses the URL tells a stranger what stands in it. So
each host is a resource of its own, `model/<name>/hosted/fetch/<host>`, refused unless a line allows it (DESIGN
section 2); it is a read (RFC 9110 section 9.2.1), and leaves the call as repeatable as it was.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

from gateway.providers.connectors import connector_host
from redaction.walk import pointer

if TYPE_CHECKING:
    from collections.abc import Iterator

#: RFC 3986 section 3.1, whatever the scheme: `https`, `gs`, `s3`, `file`. A data URL carries what it means itself.
_SCHEME: Final = re.compile(r"\s*(?!data:)[A-Za-z][A-Za-z0-9+.\-]*:")
_HTTP: Final = re.compile(r"\s*https?:", re.IGNORECASE)
#: Keys of a file wherever they stand, beside all that end in `_url`. Some servers take a URL where others take base64.
_FILE_KEYS: Final = frozenset({"data", "file_data"})
#: Keys of a URL in a part of one of the types below; in all others (citations, results of a search) they only tell.
_URL_KEYS: Final = frozenset({"url", "uri", "file_uri", "image", "video", "audio", "document", "file", "media"})
_FETCHED: Final = frozenset({
    "url", "image", "image_url", "document", "document_url", "file", "video", "video_url", "audio", "audio_url",
    "media", "input_image", "input_file", "input_audio", "input_video",
})  # fmt: skip
#: A connector's, which is a resource of its own kind.
_CONNECTORS: Final = frozenset({"server_url", "mcp_servers"})
#: What stands below is the agent's own: schemas, arguments, notes.
_OWN: Final = frozenset({
    "metadata", "parameters", "input_schema", "arguments", "schema", "output_schema", "input_examples", "headers",
})  # fmt: skip
#: Without one of these in its bytes, however they are escaped, a request has none of the keys above.
_MAY_LINK: Final = re.compile(rb'ur[li]|data|"(?:image|video|audio|document|file|media)"|\\u00[2-7]')


def linked(content: bytes, tree: object) -> tuple[tuple[str, str], ...]:
    """Return the JSON pointer and the host of each URL in a request, `content`, that its provider would fetch.

    The host is `-` where the URL is none of http or https, empty where two readers could see different ones.
    """
    if _MAY_LINK.search(content) is None:
        return ()
    return tuple((place, _host(url)) for place, url in _urls(tree, "", fetched=False, is_url=False))


def _host(url: str) -> str:
    return connector_host(url) or "" if _HTTP.match(url) else "-"


def _urls(value: object, place: str, *, fetched: bool, is_url: bool) -> Iterator[tuple[str, str]]:
    """Yield place and URL; `fetched` says that the object here is a file, `is_url` that a text here is where it is."""
    if isinstance(value, str):
        if is_url and _SCHEME.match(value):
            yield place, value
    elif isinstance(value, list):  # of files, or of the frames of one (Qwen)
        for at, item in enumerate(cast("list[object]", value)):
            yield from _urls(item, f"{place}/{at}", fetched=fetched, is_url=is_url)
    elif isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        kind = fields.get("type")
        told = fetched or (isinstance(kind, str) and kind in _FETCHED)
        for key, inner in fields.items():
            if key in _OWN or key in _CONNECTORS or (key == "input" and isinstance(inner, dict)):
                continue
            names = key.endswith("_url")
            # Anthropic's documents of plain text hold it under the key of a file
            holds = names or (key in _FILE_KEYS and kind != "text") or (told and key in _URL_KEYS)
            yield from _urls(inner, place + pointer((key,)), fetched=names, is_url=holds)
