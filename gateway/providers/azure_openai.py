"""Azure OpenAI: `api-key` instead of a bearer token, and two kinds of URL.

| base URL | endpoints |
|---|---|
| `https://NAME.openai.azure.com/openai/v1` | OpenAI's own paths, the deployment as `model` in the body |
| `https://NAME.openai.azure.com/openai` with `api_version` | deployments in the path, `api-version` in the query |

Source: https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle, and `openai.lib.azure`, which
puts chat and embeddings below a deployment and responses not.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from gateway.providers.openai import PATHS
from gateway.providers.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.call import Headers
    from gateway.providers.provider import Dialect

_DEPLOYED: Final[Mapping[Dialect, str]] = MappingProxyType(
    {
        "openai_chat": "/deployments/{model}/chat/completions",
        "openai_responses": "/responses",
        "openai_embeddings": "/deployments/{model}/embeddings",
    }
)


def azure_openai(url: str, api_version: str | None) -> Provider:
    """Return the provider for a base URL of either kind."""
    return Provider(
        name="azure_openai",
        convention="azure.ai.openai",
        paths=PATHS if versioned(url) else _DEPLOYED,
        proof=_key,
        query="" if api_version is None else f"?api-version={quote(api_version, safe='')}",
    )


def versioned(url: str) -> bool:
    """Return whether a base URL ends in its version, and so needs no `api_version`."""
    return url.rstrip("/").endswith("/v1")


def _key(key: str) -> Headers:
    return ((b"api-key", key.encode()),)
