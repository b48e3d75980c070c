"""Exchanges for adapter tests, as the front door would make them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway import body
from gateway.call import Exchange
from policy.decision import Principal

if TYPE_CHECKING:
    from durable.step import RunRef

BILLING = Principal(agent="billing", domain="acme", method="api_key", credential="k1")


async def never() -> None:
    """A client that stays."""
    await asyncio.Event().wait()


def exchange(
    tree: object,
    *,
    path: str = "/v1/chat/completions",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    principal: Principal = BILLING,
    run: RunRef | None = None,
) -> Exchange:
    """Return an exchange whose body is `tree` as JSON, or `tree` itself when it is bytes."""
    content = tree if isinstance(tree, bytes) else body.encode(tree)
    return Exchange(
        method="POST", path=path, query=b"", headers=headers, body=content, principal=principal, run=run,
        correlation="c0ffee", disconnected=never,
    )  # fmt: skip
