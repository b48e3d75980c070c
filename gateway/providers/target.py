"""A configured model as adapters see it: what its provider speaks, and how a request to it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.call import Refusal, UpstreamRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.call import Headers, Upstream
    from gateway.providers.provider import Dialect, Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTarget:
    """A configured model: where its calls go and under which name and credential.

    `credential` returns the provider's key as it is now, or `None` where it needs none. `betas` are the
    values of `anthropic-beta` a caller may send, `None`: any. `keeps_thinking` lets signed thinking pass
    uninspected instead of blocking what a profile finds in it. `origin` is whose objects its provider keeps:
    models of one origin may name one another's. `objects` are the ids that any caller of the model may name.
    `output_tokens_max` stands in where a caller's protocol needs no limit and the provider's does.
    """

    name: str
    domain: str
    provider: Provider
    upstream: Upstream
    upstream_model: str
    credential: Callable[[], str | None]
    seconds_max: float
    betas: frozenset[str] | None = None
    keeps_thinking: bool = False
    origin: str = ""
    objects: frozenset[str] = frozenset()
    output_tokens_max: int | None = None
    #: whether its streams are asked for usage where the client does not
    stream_usage: bool = True

    def speaks(self, dialect: Dialect) -> bool:
        """Return whether the model's provider has an endpoint for `dialect`."""
        return dialect in self.provider.paths

    def demand(self, dialect: Dialect) -> None:
        """Raise `Refusal` (400) unless the model's provider speaks `dialect`."""
        if not self.speaks(dialect):
            spoken = ", ".join(f"`{one}`" for one in self.provider.paths)
            message = f"this model cannot be called by `{dialect}`; its provider speaks {spoken}"
            raise Refusal(code="bad_request", message=message, status=400)

    def foreign(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return those of `names` (of objects a request names) that are not granted to everyone."""
        return tuple(name for name in names if name not in self.objects)

    def request(
        self, dialect: Dialect, body: bytes, *, headers: Headers = (), key: str | None, method: str = "POST",
        below: str = "",
    ) -> UpstreamRequest:  # fmt: skip
        """Return the request for `dialect`'s endpoint, or for what stands `below` it, with the provider's headers.

        `headers` are the caller's that mean something to the provider; they come before its own and replace
        those it always sends. `key` is the call's idempotency key. Raises `SecretUnavailable`.
        """
        provider = self.provider
        given = {name for name, _ in headers}
        written = [*headers, *(pair for pair in provider.always if pair[0] not in given)]
        if method == "POST":
            written.insert(0, (b"content-type", b"application/json"))
        if (credential := self.credential()) is not None:
            written += provider.proof(credential)
        if key is not None and provider.key_header is not None:
            written.append((provider.key_header, key.encode()))
        path = provider.path(dialect, self.upstream_model, below)
        return UpstreamRequest(method=method, path=path, headers=tuple(written), body=body)
