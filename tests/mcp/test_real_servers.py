"""Published MCP servers, unmodified: what they offer and answer through the gateway is what they do without it."""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import pytest
from mcp import Client, MCPError
from mcp.client.sse import sse_client

from tests.mcp.real import NAMES, OVER_HTTP, missing
from tests.mcp.test_clients import SECONDS_MAX

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcp_types import CallToolResult, TextContent

    from tests.mcp.real import RealStand, Tried

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]

Mode = Literal["legacy", "2026-07-28", "auto"]
#: A server that speaks both eras; the others have the older one only, which `auto` finds.
NEWER: Final = "git"
WITH_RESOURCES: Final = {"sqlite", "everything", *OVER_HTTP}
WAYS: Final[list[tuple[str, Mode, str]]] = [
    *((name, mode, "own") for name in NAMES for mode in cast("list[Mode]", ["auto", "2026-07-28"])),
    (NEWER, "legacy", "own"),
    *((name, mode, "joined") for name in NAMES for mode in cast("list[Mode]", ["legacy", "2026-07-28"])),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a client was shown: names, two answers, and of some servers resources, the first of them and prompts."""

    tools: list[str]
    worked: dict[str, Any]
    failed: dict[str, Any]
    resources: list[str]
    first: dict[str, Any]
    prompts: list[str]


@pytest.fixture(scope="module")
def control(published: RealStand) -> dict[str, Seen]:
    """Return what each server shows a client without the gateway."""

    async def one(name: str) -> Seen:
        async with _directly(published, name) as client:
            return await _seen(client, published, name, prefix="", wrap="")

    async def every() -> list[Seen]:
        return await asyncio.gather(*(one(name) for name in NAMES))

    return dict(zip(NAMES, asyncio.run(every()), strict=True))


@contextlib.asynccontextmanager
async def _directly(published: RealStand, name: str) -> AsyncGenerator[Client]:
    place = published.direct[name]
    if name != "everything_sse":
        async with Client(place, read_timeout_seconds=SECONDS_MAX) as client:
            yield client
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the transport of 2024 is deprecated
        async with Client(sse_client(str(place)), mode="legacy", read_timeout_seconds=SECONDS_MAX) as client:
            yield client


async def _seen(client: Client, published: RealStand, name: str, *, prefix: str, wrap: str) -> Seen:
    tools = [tool.name for tool in (await client.list_tools()).tools if tool.name.startswith(prefix)]
    worked, failed = [
        await client.call_tool(prefix + tried.tool, tried.arguments)
        for tried in (published.works[name], published.fails[name])
    ]
    assert published.works[name].says in text_of(worked)
    assert published.fails[name].says in text_of(failed)
    resources: list[str] = []
    prompts: list[str] = []
    first: dict[str, Any] = {}
    if name in WITH_RESOURCES:
        resources = [str(one.uri) for one in (await client.list_resources()).resources]
        resources = [uri.removeprefix(wrap) for uri in resources if uri.startswith(wrap)]
        (content,) = (await client.read_resource(wrap + resources[0])).contents
        first = content.model_dump(exclude={"meta"}) | {"uri": str(content.uri).removeprefix(wrap)}
        prompts = [one.name for one in (await client.list_prompts()).prompts if one.name.startswith(prefix)]
    return Seen(
        tools=sorted(tool.removeprefix(prefix) for tool in tools), worked=worked.model_dump(exclude={"meta"}),
        failed=failed.model_dump(exclude={"meta"}), resources=sorted(resources), first=first,
        prompts=sorted(prompt.removeprefix(prefix) for prompt in prompts),
    )  # fmt: skip


def text_of(result: CallToolResult) -> str:
    return cast("TextContent", result.content[0]).text


def _era(name: str, mode: Mode, endpoint: str) -> str:
    if mode == "auto":
        return "2026-07-28" if name == NEWER or endpoint == "joined" else "2025-11-25"
    return "2025-11-25" if mode == "legacy" else mode


@pytest.mark.requirement("MCP-08", "MCP-27")
@pytest.mark.parametrize(("name", "mode", "endpoint"), WAYS)
async def test_a_published_server_offers_works_and_fails_as_it_does_directly(
    published: RealStand, control: dict[str, Seen], name: str, mode: Mode, endpoint: str
) -> None:
    own = endpoint == "own"
    url = f"{published.gateway}/mcp/{name}" if own else f"{published.gateway}/mcp"
    async with Client(url, mode=mode, read_timeout_seconds=SECONDS_MAX) as client:
        assert client.protocol_version == _era(name, mode, endpoint)
        prefix, wrap = ("", "") if own else (f"{name}__", f"oncegate://{name}/")
        assert await _seen(client, published, name, prefix=prefix, wrap=wrap) == control[name]


@pytest.mark.requirement("MCP-37")
async def test_a_tool_that_a_published_server_does_not_have_is_an_error_of_that_call(published: RealStand) -> None:
    async with Client(f"{published.gateway}/mcp/git", read_timeout_seconds=SECONDS_MAX) as client:
        try:
            said = text_of(await client.call_tool("git_fly", {}))
        except MCPError as error:
            said = str(error)
        assert "lists no tool of this name" in said
        works: Tried = published.works["git"]
        assert works.says in text_of(await client.call_tool(works.tool, works.arguments))
