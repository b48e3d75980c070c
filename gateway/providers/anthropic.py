"""Anthropic (https://docs.anthropic.com/en/api); base URL `https://api.anthropic.com/v1`.

The path of the messages endpoint counts tokens `below` it. 529 says that the provider is overloaded: it
refuses to begin.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from gateway.providers.provider import NOT_EXECUTED, Provider

if TYPE_CHECKING:
    from gateway.call import Headers

#: The only version of the API there is; a client's own `anthropic-version` takes its place.
VERSION: Final = b"2023-06-01"


def _key(key: str) -> Headers:
    return ((b"x-api-key", key.encode()),)


ANTHROPIC: Final = Provider(
    name="anthropic",
    convention="anthropic",
    paths=MappingProxyType({"anthropic_messages": "/messages"}),
    proof=_key,
    always=((b"anthropic-version", VERSION),),
    not_executed=NOT_EXECUTED | {529},
)
