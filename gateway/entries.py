"""An adapter behind the front door: what it reads goes down the path, what it cannot read is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.call import Adapter, Call, Exchange, Headers, Refusal, Reply
    from gateway.pipeline import Pipeline


class AdapterEntry:
    """Serves every path of one adapter with `read` and the pipeline."""

    def __init__(self, adapter: Adapter, read: Callable[[Exchange], Call], pipeline: Pipeline) -> None:
        self._adapter = adapter
        self._read = read
        self._pipeline = pipeline

    async def answer(self, exchange: Exchange) -> Reply:
        """Return the reply. Raises `Refusal`, `ClientGone`."""
        return await self._pipeline.handle(self._read(exchange))

    def refuse(self, refusal: Refusal, extra: Headers) -> Reply:
        """Say a refusal in the adapter's protocol."""
        return self._adapter.refuse(refusal, None, extra)
