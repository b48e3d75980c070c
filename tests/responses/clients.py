"""Official clients of a running gateway, closed when their test is over."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from openai import OpenAI

if TYPE_CHECKING:
    from tests.gateway.running import RunningGateway

OPEN = ExitStack()


def sdk(gateway: RunningGateway, agent: str = "billing", *, path: str = "/v1", timeout: float = 600.0) -> OpenAI:
    """Return a client of `agent` that retries nothing and waits for `timeout` seconds."""
    client = OpenAI(base_url=f"{gateway.url}{path}", api_key=gateway.keys[agent], max_retries=0, timeout=timeout)
    return OPEN.enter_context(client)
