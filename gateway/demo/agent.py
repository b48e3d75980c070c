"""An agent written with nothing but the unmodified `openai` and `mcp` packages. It knows of no gateway.

It takes two URLs and a token from its environment, and settles the invoice it is told to. For the demo it can be made
to die: while the file `DEMO_DIE_AFTER_CHARGE` names exists, it removes the file after its charge and kills itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from openai import AsyncOpenAI

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_types import CallToolResult
    from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
    from openai.types.chat.chat_completion_message_function_tool_call import ChatCompletionMessageFunctionToolCall

_TURNS_MAX = 8
_NOT_NOW = 75
#: The header on an answer that was given before; an agent need not look, this one counts for the demo.
_REPLAYED = "oncegate-replayed"


class NotNow(Exception):  # noqa: N818 - not an error of the agent's
    """A tool says that it cannot be known now what happened; asking again later is the thing to do."""


class Agent:
    """One conversation: model, tools, and what was answered from memory."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._token = environment["OPENAI_API_KEY"]
        server = environment.get("DEMO_MCP_SERVER", "/payments")
        self._mcp_url = environment["ONCEGATE_MCP_URL"].rstrip("/") + server
        self._model = environment.get("DEMO_MODEL", "demo-model")
        self._die = Path(environment.get("DEMO_DIE_AFTER_CHARGE", "/nonexistent"))
        self.fresh = 0
        self.replayed = 0

    async def settle(self, task: str) -> str:
        """Work on `task` until the model has nothing more to ask for; returns its last words."""
        headers = {"authorization": f"Bearer {self._token}"}
        hooks = {"response": [self._count]}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60, event_hooks=hooks) as http,
            Client(streamable_http_client(self._mcp_url, http_client=http)) as tools,
            AsyncOpenAI() as model,
        ):
            offered = [
                _offer(tool.name, tool.description, tool.input_schema) for tool in (await tools.list_tools()).tools
            ]
            messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": task}]
            for _ in range(_TURNS_MAX):
                raw = await model.chat.completions.with_raw_response.create(
                    model=self._model, messages=messages, tools=offered
                )
                self._tally(replayed=_REPLAYED in raw.headers)
                said = raw.parse().choices[0].message
                if not said.tool_calls:
                    return said.content or ""
                messages.append(cast("ChatCompletionMessageParam", said.model_dump(exclude_none=True)))
                for asked in said.tool_calls:
                    function = cast("ChatCompletionMessageFunctionToolCall", asked).function
                    content = _content(await tools.call_tool(function.name, json.loads(function.arguments)))
                    self._perhaps_die(function.name)
                    messages.append({"role": "tool", "tool_call_id": asked.id, "content": content})
        return "the conversation did not come to an end"

    async def _count(self, response: httpx2.Response) -> None:
        if b'"tools/call"' in response.request.content:
            self._tally(replayed=_REPLAYED in response.headers)

    def _tally(self, *, replayed: bool) -> None:
        self.replayed += replayed
        self.fresh += not replayed

    def _perhaps_die(self, tool: str) -> None:
        if tool == "charge_card" and self._die.exists():
            self._die.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


def _offer(name: str, description: str | None, schema: dict[str, object]) -> ChatCompletionToolParam:
    return {
        "type": "function",
        "function": {"name": name, "description": description or "", "parameters": schema},
    }


def _content(result: CallToolResult) -> str:
    texts = [block.text for block in result.content if block.type == "text"]
    if result.is_error and "in_doubt" in "".join(texts):
        raise NotNow
    if result.structured_content is not None:
        return json.dumps(result.structured_content)
    return "\n".join(texts)


def main() -> None:
    """Settle the invoice named on the command line; prints the answer and what was counted as JSON."""
    agent = Agent(os.environ)
    answer: str | None = None
    try:
        answer = asyncio.run(agent.settle(sys.argv[1]))
    except* NotNow:
        sys.stderr.write("agent: the charge is in doubt; I will ask again\n")
    if answer is None:
        sys.exit(_NOT_NOW)
    counted = {"answer": answer, "fresh": agent.fresh, "replayed": agent.replayed}
    sys.stdout.write(json.dumps(counted) + "\n")


if __name__ == "__main__":
    main()
