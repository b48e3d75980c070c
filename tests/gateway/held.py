"""A streamed answer that its provider holds back in the middle, for what happens meanwhile."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from tests.gateway.model_upstream import Script

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from tests.gateway.model_upstream import ModelUpstream
    from tests.gateway.running import RunningGateway


@dataclass(frozen=True, slots=True)
class Held:
    """An answer of which the beginning has come; `release` lets its provider go on."""

    answer: httpx.Response
    begin: bytes
    parts: Iterator[bytes]
    release: threading.Event

    def whole(self) -> bytes:
        """Return all of it, once its provider goes on."""
        self.release.set()
        return self.begin + b"".join(self.parts)


@contextmanager
def held(
    gateway: RunningGateway, upstream: ModelUpstream, ask: Mapping[str, object], agent: str, **headers: str
) -> Generator[Held]:
    """Ask for a stream and hold it where it has said `hel`; afterwards the upstream answers as it does unscripted."""
    hold = threading.Event()
    upstream.script = lambda _: Script(hold=hold, hold_after=2)
    credential = {"authorization": f"Bearer {gateway.keys[agent]}"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    begin = b""
    try:
        with (
            httpx.Client(timeout=60) as client,
            client.stream(
                "POST", f"{gateway.url}/v1/chat/completions", json={**ask, "stream": True}, headers=credential | named
            ) as answer,
        ):
            parts = answer.iter_bytes()
            while b"hel" not in begin:
                begin += next(parts)
            yield Held(answer, begin, parts, hold)
    finally:
        hold.set()
        upstream.script = lambda _: Script()
