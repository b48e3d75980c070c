"""`/v1/responses` and what stands below it: a kept response is read, deleted and cancelled by its owner only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from durable.step import Owner
from gateway import refusals
from gateway.call import Refusal
from gateway.owners import owner_user
from policy.resources import resource_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable.journal import Journal
    from gateway.call import Call, Exchange, Headers, Reply
    from gateway.pipeline import Pipeline
    from gateway.protocols.openai_responses import ResponsesAdapter

_KEPT: Final = re.compile(r"(?:/v1)?/responses/([A-Za-z0-9][A-Za-z0-9._:\-]{0,255})(/cancel)?")
#: What is read, changed or cancelled, by method and whether `/cancel` is asked.
_ACTIONS: Final = {("GET", False): "read", ("DELETE", False): "change", ("POST", True): "cancel"}
_QUERY: Final = frozenset({"include", "include[]", "include_obfuscation"})


class ResponsesEntry:
    """Serves the endpoint with `read`, and kept responses by who received them."""

    def __init__(
        self, adapter: ResponsesAdapter, read: Callable[[Exchange], Call], pipeline: Pipeline, journal: Journal
    ) -> None:
        self._adapter = adapter
        self._read = read
        self._pipeline = pipeline
        self._journal = journal

    async def answer(self, exchange: Exchange) -> Reply:
        """Return the reply. Raises `Refusal`, `ClientGone`."""
        if exchange.path.endswith("/responses"):
            return await self._pipeline.handle(self._read(exchange))
        return await self._pipeline.handle(await self._kept(exchange))

    def refuse(self, refusal: Refusal, extra: Headers) -> Reply:
        """Say a refusal in the adapter's protocol."""
        return self._adapter.refuse(refusal, None, extra)

    async def _kept(self, exchange: Exchange) -> Call:
        asked = _KEPT.fullmatch(exchange.path)
        action = None if asked is None else _ACTIONS.get((exchange.method, asked.group(2) is not None))
        if asked is None or action is None:
            raise Refusal(code="bad_request", message="this is not served for responses here", status=404)
        if any(name not in _QUERY for name, _ in parse_qsl(exchange.query.decode("latin-1"), keep_blank_values=True)):
            message = "a kept response is not streamed again here; ask for it without `stream`"
            raise Refusal(code="bad_request", message=message, status=400)
        principal, name = exchange.principal, asked.group(1)
        owner = Owner(principal.domain, principal.agent, owner_user(principal))
        known = (await self._journal.received_objects(owner, [name])).get(name, ())
        for one in known:
            for model in self._adapter.models:
                if resource_name("model", model) == one.resource:
                    return self._adapter.kept(exchange, model=model, name=name, action=action)
        raise refusals.not_received(404)
