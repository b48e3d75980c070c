"""What the gateway knows of a kind of model provider; one value of it per file of this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.call import Headers

#: A wire protocol of a model API; adapters are named alike.
Dialect = Literal["openai_chat", "openai_responses", "openai_embeddings", "anthropic_messages"]

#: Statuses after which it is known that nothing was executed: no credential, over the provider's limit.
NOT_EXECUTED: Final = frozenset({401, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A kind of provider: where its endpoints are below its base URL (which ends in its version), and its headers.

    `paths` says which dialects it speaks; `{model}` in one stands for the provider's name of the model.
    `proof` makes the credential's header of the key. `key_header` carries the call's idempotency key where
    the provider takes one; no provider promises to honour it, so a call is never `keyed` for it. `not_executed`
    are the statuses that leave a step open. `limit_name` is what the chat protocol's limit of output tokens is
    called here. `convention` is its `gen_ai.provider.name` (OpenTelemetry GenAI).
    """

    name: str
    convention: str
    paths: Mapping[Dialect, str]
    proof: Callable[[str], Headers]
    always: Headers = ()
    query: str = ""
    key_header: bytes | None = None
    not_executed: frozenset[int] = NOT_EXECUTED
    limit_name: Literal["max_tokens", "max_completion_tokens"] = "max_completion_tokens"

    def path(self, dialect: Dialect, model: str, below: str = "") -> str:
        """Return the path and query of `dialect`'s endpoint, or of what stands `below` it. Raises `KeyError`."""
        query = self.query.replace("?", "&", 1) if "?" in below else self.query
        return self.paths[dialect].replace("{model}", quote(model, safe="")) + below + query


def bearer(key: str) -> Headers:
    """Return `key` as a bearer token (RFC 6750 section 2.1)."""
    return ((b"authorization", b"Bearer " + key.encode()),)
