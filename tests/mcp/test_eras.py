"""Which era a server behind standard streams speaks, when it does not say so at once."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest

from gateway.call import NotSent
from gateway.mcp.eras import Eras
from gateway.mcp.stdio import StdioUpstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from gateway.call import UpstreamRequest, UpstreamResponse

pytestmark = pytest.mark.anyio

#: Starts to listen when there is a file, then answers what it was told to answer.
_SERVER: Final = """
import json, os, sys, threading
place, *answered = sys.argv[1:]
while not os.path.exists(place):
    threading.Event().wait(0.01)
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] in answered:
        result = {"supportedVersions": ["2026-07-28"], "capabilities": {}} if message["method"] != "ping" else {}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""


@asynccontextmanager
async def eras(place: Path, *answered: str) -> AsyncGenerator[Eras]:
    """Give the eras of a server that begins to listen when a ping is sent to it."""
    upstream = StdioUpstream("slow", [sys.executable, "-c", _SERVER, str(place), *answered], [])

    async def send(request: UpstreamRequest, seconds_max: float) -> UpstreamResponse:
        if b"server/discover" not in request.body:
            place.touch()  # noqa: ASYNC240 - one file, on a local disk
        return await upstream.send(request, seconds_max=seconds_max)

    try:
        yield Eras("auto", send, over_http=False, silent_seconds_max=0.2, start_seconds_max=60.0 if answered else 1.5)
    finally:
        await upstream.aclose()


@pytest.mark.requirement("MCP-08")
async def test_a_process_that_is_slow_to_start_is_not_taken_for_one_of_the_older_era(tmp_path: Path) -> None:
    async with eras(tmp_path / "go", "server/discover", "ping") as slow:
        known = await slow.of((), seconds_max=60.0)
        assert known is not None
        assert (known.era, known.discovered.get("capabilities")) == ("modern", {})


@pytest.mark.requirement("MCP-08")
async def test_a_process_that_answers_a_ping_and_not_the_question_is_of_the_older_era(tmp_path: Path) -> None:
    async with eras(tmp_path / "go", "ping") as older:
        known = await older.of((), seconds_max=60.0)
        assert known is not None
        assert known.era == "legacy"


@pytest.mark.requirement("MCP-08")
async def test_a_process_that_answers_nothing_is_of_the_older_era_when_its_time_is_over(tmp_path: Path) -> None:
    async with eras(tmp_path / "go") as silent:
        with pytest.raises(NotSent, match="did not say in time which protocol it speaks"):
            await silent.of((), seconds_max=1.0)  # the caller's time is over, not the server's
        known = await silent.of((), seconds_max=60.0)
        assert known is not None
        assert known.era == "legacy"
