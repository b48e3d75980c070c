"""OpenAI itself (https://platform.openai.com/docs/api-reference); base URL `https://api.openai.com/v1`."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from gateway.providers.provider import Provider, bearer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.providers.provider import Dialect

#: Where the endpoints are below a base URL that ends in its version.
PATHS: Final[Mapping[Dialect, str]] = MappingProxyType({
    "openai_chat": "/chat/completions", "openai_responses": "/responses", "openai_embeddings": "/embeddings",
})  # fmt: skip

OPENAI: Final = Provider(name="openai", convention="openai", paths=PATHS, proof=bearer, key_header=b"idempotency-key")
