"""Single questions to the gateway, asked with the unmodified `openai` and `mcp` packages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from openai import OpenAI

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS_MAX = 60.0


def ask_model(url: str, token: str, prompt: str, *, stream: bool) -> str:
    """Return the model's answer to one prompt."""
    with OpenAI(base_url=f"{url}/v1", api_key=token, timeout=_SECONDS_MAX, max_retries=0) as client:
        if not stream:
            plain = client.chat.completions.create(model="demo-model", messages=[{"role": "user", "content": prompt}])
            return plain.choices[0].message.content or ""
        pieces = client.chat.completions.create(
            model="demo-model", messages=[{"role": "user", "content": prompt}], stream=True
        )
        return "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)


def list_tools(url: str, token: str) -> list[str]:
    """Return the names of the tools the gateway offers."""
    return asyncio.run(_tools(url, token))


def call_tool(url: str, token: str, name: str, arguments: Mapping[str, object]) -> tuple[bool, str]:
    """Return whether the tool refused or failed, and its text."""
    return asyncio.run(_call(url, token, name, arguments))


async def _tools(url: str, token: str) -> list[str]:
    async with _http(token) as http, _client(url, http) as client:
        return [tool.name for tool in (await client.list_tools()).tools]


async def _call(url: str, token: str, name: str, arguments: Mapping[str, object]) -> tuple[bool, str]:
    async with _http(token) as http, _client(url, http) as client:
        result = await client.call_tool(name, dict(arguments))
        return bool(result.is_error), "\n".join(block.text for block in result.content if block.type == "text")


def _http(token: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=_SECONDS_MAX)


def _client(url: str, http: httpx2.AsyncClient) -> Client:
    return Client(streamable_http_client(f"{url}/mcp/payments", http_client=http))
