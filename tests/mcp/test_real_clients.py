"""Clients people use, unmodified, with a published server: through the gateway they see what they see directly."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import httpx
import pytest
from mcp import Client

from tests.mcp import conformance
from tests.mcp.real import PYTHON_PEERS, missing
from tests.mcp.stand import TOP
from tests.mcp.test_clients import SECONDS_MAX

if TYPE_CHECKING:
    from tests.mcp.real import RealStand

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

#: Of the older era over HTTP, and of both eras over standard streams.
OLDER: Final = "everything_http"
NEWER: Final = "git"
CLIENT_SECONDS_MAX: Final = 60
FRAMEWORKS: Final = {"openai_agents": "newer", "langchain_adapters": "older"}


def run_url(published: RealStand) -> str:
    """Open a run; returns its base URL, with which no client needs a credential."""
    opened = httpx.post(f"{published.gateway}/runs", json={}, timeout=SECONDS_MAX)
    return f"{published.gateway}/r/{opened.raise_for_status().json()['token']}/mcp"


def places(published: RealStand) -> list[tuple[str, str, str]]:
    """Return (server, URL, prefix of names there) of what a client is pointed at; the first is no gateway.

    The other two are a run's own URL of all servers, and of one server; without a run they are the same paths.
    """
    run = run_url(published)
    return [
        (OLDER, str(published.direct[OLDER]), ""),
        (OLDER, run, f"{OLDER}__"),
        (NEWER, f"{run}/{NEWER}", ""),
    ]


def demand_same(published: RealStand, found: list[dict[str, Any]]) -> None:
    """Hold what a client saw at each place against what it saw directly."""
    direct = found[0]
    assert len(direct["tools"]) > 10
    for (server, url, prefix), one in zip(places(published), found, strict=True):
        tools = [tool.removeprefix(prefix) for tool in one["tools"] if tool.startswith(prefix)]
        works, fails = one["answers"]
        assert published.works[server].says in works["text"], url
        assert published.fails[server].says in fails["text"], url
        assert (works["failed"], fails["failed"]) == (False, True), url
        if server == OLDER:
            assert sorted(tools) == sorted(direct["tools"]), url
            assert one["answers"] == direct["answers"], url


@pytest.mark.requirement("MCP-39")
@pytest.mark.parametrize("framework", [pytest.param("openai_agents", marks=pytest.mark.slow), "langchain_adapters"])
def test_a_frameworks_own_client_sees_through_the_gateway_what_it_sees_directly(
    published: RealStand, framework: str
) -> None:
    asked = [
        {
            "url": url,
            "calls": [(prefix + one.tool, one.arguments) for one in (published.works[name], published.fails[name])],
        }
        for name, url, prefix in places(published)
    ]
    python = PYTHON_PEERS / FRAMEWORKS[framework] / "bin" / "python"
    script = TOP / "tests" / "mcp" / "clients" / f"{framework}.py"
    ended = subprocess.run(
        [python, script, json.dumps(asked)], capture_output=True, text=True, check=False, timeout=CLIENT_SECONDS_MAX
    )
    assert ended.returncode == 0, ended.stderr
    demand_same(published, cast("list[dict[str, Any]]", json.loads(ended.stdout)))


def inspected(url: str, era: str, method: str, *more: str) -> dict[str, Any]:
    """Return what the Inspector's command line prints."""
    inspector = conformance.PEERS / "inspector" / "clients" / "launcher" / "build" / "index.js"
    command = [f"{conformance.node()}/node", str(inspector), "--cli", url, "--transport", "http", "--protocol-era", era,
               "--format", "json", "--quiet", "--method", method, *more]  # fmt: skip
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=CLIENT_SECONDS_MAX,
        env=os.environ | {"HOME": str(TOP / ".build")},
    )  # fmt: skip
    said = ended.stdout or ended.stderr
    assert said, (ended.returncode, command)
    return cast("dict[str, Any]", json.loads(said)["result"])


@pytest.mark.requirement("MCP-39")
def test_the_inspectors_command_line_sees_through_the_gateway_what_it_sees_directly(published: RealStand) -> None:
    def seen(place: tuple[str, str, str]) -> dict[str, Any]:
        name, url, prefix = place
        era = "modern" if name == NEWER else "auto"
        listed = inspected(url, era, "tools/list")
        answers: list[dict[str, Any]] = []
        for tried in (published.works[name], published.fails[name]):
            more = ("--tool-name", prefix + tried.tool, "--tool-args-json", json.dumps(tried.arguments))
            result = inspected(url, era, "tools/call", *more)
            answers.append({"text": result["content"][0]["text"], "failed": result.get("isError", False)})
        return {"tools": [tool["name"] for tool in listed["tools"]], "answers": answers}

    with ThreadPoolExecutor(2) as several:
        demand_same(published, list(several.map(seen, places(published))))


@pytest.mark.requirement("MCP-39")
@pytest.mark.parametrize("mode", [pytest.param("auto", marks=pytest.mark.slow), "legacy", "2026-07-28"])
def test_the_official_client_works_at_a_runs_own_url_in_every_mode(
    published: RealStand, mode: Literal["auto", "legacy", "2026-07-28"]
) -> None:
    async def seen(name: str, url: str, prefix: str) -> dict[str, Any]:
        # the server itself has the older era only
        spoken = "auto" if url == published.direct[OLDER] else mode
        async with Client(url, mode=spoken, read_timeout_seconds=SECONDS_MAX) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            answers: list[dict[str, Any]] = []
            for tried in (published.works[name], published.fails[name]):
                result = await client.call_tool(prefix + tried.tool, tried.arguments)
                answers.append({"text": getattr(result.content[0], "text", ""), "failed": result.is_error})
            return {"tools": tools, "answers": answers}

    async def every() -> list[dict[str, Any]]:
        return [await seen(name, url, prefix) for name, url, prefix in places(published)]

    demand_same(published, asyncio.run(every()))
