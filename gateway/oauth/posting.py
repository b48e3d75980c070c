"""A form posted to an authorization server, and what it says: bounded, in time, and never followed elsewhere.

NoAnswer   nothing usable came; the message says of the server what it did, and names no secret
"""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote_plus, urlencode

import httpx

from gateway import body

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

ANSWER_BYTES_MAX: Final = 64 * 1024
ANSWER_SECONDS_MAX: Final = 10.0
_HEADERS: Final = {
    "content-type": "application/x-www-form-urlencoded",
    "accept": "application/json",
    "accept-encoding": "identity",
}


class NoAnswer(Exception):  # noqa: N818 - says what the server did
    """No usable answer came."""


async def posted(
    client: httpx.AsyncClient, url: str, form: Mapping[str, str], more: Mapping[str, str]
) -> tuple[int, bytes]:
    """Return status and content of the answer to `form`, sent with the headers `more` as well. Raises `NoAnswer`."""
    content = bytearray()
    try:
        async with (
            asyncio.timeout(ANSWER_SECONDS_MAX),
            client.stream(
                "POST", url, content=urlencode(form), headers={**_HEADERS, **more}, follow_redirects=False
            ) as response,
        ):
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > ANSWER_BYTES_MAX:
                    raise NoAnswer("answered too much")
    except TimeoutError:
        raise NoAnswer("did not answer in time") from None
    except (httpx.HTTPError, httpx.InvalidURL):
        raise NoAnswer("cannot be reached") from None
    return response.status_code, bytes(content)


def basic_proof(client_id: str, secret: str) -> str:
    """Return the `Authorization` of a client that proves itself by its secret (RFC 6749 section 2.3.1)."""
    proof = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return f"Basic {base64.b64encode(proof.encode()).decode()}"


def said_in(content: bytes) -> dict[str, object]:
    """Return the members of an answer, none where it is no JSON object."""
    try:
        tree = body.parse(content)
    except body.MalformedBody:
        return {}
    return cast("dict[str, object]", tree) if isinstance(tree, dict) else {}


def error_in(said: Mapping[str, object], known: Collection[str]) -> str:
    """Return ` with` and the error an answer names where that is `known`; another word could be anything."""
    error = said.get("error")
    return f" with `{error}`" if isinstance(error, str) and error in known else ""
