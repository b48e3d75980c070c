"""The agent of the fault rig: a process that calls with unmodified clients and writes down what it was answered.

It reads one request a line from standard input (`Ask` as JSON) and prints one line for each when it is over. An
answer that carries a receipt is acknowledged: it is flushed to the log before anybody else hears of it. Clients
are the official MCP client and the OpenAI SDK, without retries of their own: the rig decides when to ask again.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, cast

import httpx2
import openai
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionChunk

KEY_META: Final = "dev.oncegate/idempotency-key"
#: made once: reading the certificates of the world takes longer than a call
_TLS: Final = ssl.create_default_context()
_LINE_BYTES_MAX: Final = 1 << 20


class Wanted(TypedDict, total=False):
    """What may be said of a call besides what it is."""

    key: str | None
    run: str | None
    attempt: int | None
    stream: bool
    seconds_max: float


Status = Literal["acknowledged", "refused", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One call: of a tool (`pay`, `put`, `look`) or of the model (`model`, with `once` through a hosted tool)."""

    url: str
    token: str
    who: str
    what: str
    name: str
    number: int = 0
    key: str | None = None
    run: str | None = None
    attempt: int | None = None
    stream: bool = False
    seconds_max: float = 30.0

    @property
    def headers(self) -> dict[str, str]:
        """What goes beside the call."""
        run = {"Oncegate-Run": self.run} if self.run else {}
        attempt = {"Oncegate-Attempt": str(self.attempt)} if self.attempt else {}
        return {"Authorization": f"Bearer {self.token}"} | run | attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of it: an acknowledged `receipt`, a refusal in words, or a broken connection."""

    number: int
    status: Status
    receipt: str | None = None
    text: str = ""


async def ask_tool(ask: Ask) -> Told:
    """Call a tool in a session of its own."""
    meta = cast("Any", {KEY_META: ask.key}) if ask.key else None
    async with (
        httpx2.AsyncClient(headers=ask.headers, timeout=ask.seconds_max, verify=_TLS, trust_env=False) as http,
        Client(
            streamable_http_client(f"{ask.url}/mcp/effects", http_client=http), read_timeout_seconds=ask.seconds_max
        ) as client,
    ):
        result = await client.call_tool(ask.what, {"name": ask.name}, progress_callback=_heard, meta=meta)
    if result.is_error:
        return Told(number=ask.number, status="refused", text=str(getattr(result.content[0], "text", "")))
    content = cast("dict[str, str]", result.structured_content)
    return Told(number=ask.number, status="acknowledged", receipt=content["receipt"])


async def _heard(progress: float, total: float | None, message: str | None) -> None:
    del progress, total, message


async def ask_model(ask: Ask) -> Told:
    """Ask the model through the OpenAI SDK."""
    headers = {name: value for name, value in ask.headers.items() if name != "Authorization"}
    headers |= {"Idempotency-Key": ask.key} if ask.key else {}
    hosted = cast("Any", [{"type": "web_search"}] if ask.what == "model_once" else openai.omit)
    async with openai.AsyncOpenAI(
        base_url=f"{ask.url}/v1", api_key=ask.token, max_retries=0, timeout=ask.seconds_max,
        http_client=httpx2.AsyncClient(verify=_TLS, trust_env=False, timeout=None),
    ) as client:  # fmt: skip
        asking = client.chat.completions.create(
            model="rig", messages=[{"role": "user", "content": ask.name}], tools=hosted, stream=ask.stream,
            extra_headers=headers,
        )  # fmt: skip
        answer = await cast("Any", asking)
        if not ask.stream:
            return Told(number=ask.number, status="acknowledged", receipt=answer.choices[0].message.content)
        text, whole = "", False
        async for chunk in answer:
            choice = cast("ChatCompletionChunk", chunk).choices[0]
            text += choice.delta.content or ""
            whole = whole or choice.finish_reason is not None
    if not whole:
        return Told(number=ask.number, status="broken", text="the stream ended before its end")
    return Told(number=ask.number, status="acknowledged", receipt=text)


async def answer(ask: Ask) -> Told:
    """Return what became of it."""
    asking = ask_model(ask) if ask.what.startswith("model") else ask_tool(ask)
    try:
        async with asyncio.timeout(ask.seconds_max):
            return await asking
    except openai.APIStatusError as error:
        return Told(number=ask.number, status="refused", text=error.message)
    except Exception as error:  # noqa: BLE001 - the outermost handler: the SDKs wrap a broken connection in many ways
        return Told(number=ask.number, status=_kind(error), text=_words(error))


def _kind(error: BaseException) -> Status:
    # the MCP client raises what a JSON-RPC error said, alone or in groups of groups
    return "refused" if "in_doubt" in _words(error) else "broken"


def _words(error: BaseException) -> str:
    if not isinstance(error, BaseExceptionGroup):
        return f"{type(error).__name__}: {error}"
    inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
    return "; ".join(map(_words, inner))


async def main(log: Path) -> None:
    """Answer requests until standard input closes."""
    reader = asyncio.StreamReader(limit=_LINE_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(event: str, ask: Ask, receipt: str | None) -> None:
        entry = {"event": event, "who": ask.who, "what": ask.what, "name": ask.name, "key": ask.key, "run": ask.run,
                 "receipt": receipt, "time": time.time()}  # fmt: skip
        os.write(descriptor, (json.dumps(entry) + "\n").encode())
        os.fsync(descriptor)

    async def serve(ask: Ask) -> None:
        note("asked", ask, None)
        told = await answer(ask)
        if told.status == "acknowledged":
            note("acknowledged", ask, told.receipt)
        os.write(1, (json.dumps(asdict(told)) + "\n").encode())

    async with asyncio.TaskGroup() as tasks:
        while line := await reader.readline():
            tasks.create_task(serve(Ask(**json.loads(line))))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
