"""Servers that mean harm, or are broken: contained, said clearly, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Final, Self

import httpx
import pytest

from tests.mcp.stand import Stand, stand
from tests.mcp.wire import LEGACY, called, headers_for, initialized, modern, post

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.mcp.wire import Tree

_KINDS: Final = ("garbage", "html", "hangs", "huge", "cut", "drips", "array", "elsewhere")
#: Speak over standard streams what their name says, once they are asked for a tool.
_SPOKEN: Final = {
    "dies": "os._exit(1)",
    "babbles": "print('{\"jsonrpc\": 7, not json', flush=True) or signal.pause()",
    "floods": "sys.stdout.write('x' * 100_000_000) and sys.stdout.flush()",
    "silent": "signal.pause()",
    "many": "[print(json.dumps({'jsonrpc': '2.0', 'method': 'notifications/message', 'params': {'data': 'x' * 100}}))"
            " for _ in range(200_000)]",
}  # fmt: skip
_LOOP: Final = """
import json, os, signal, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") == "server/discover":
        result = {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
                  "ttlMs": 0, "cacheScope": "private"}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
    elif "id" in message:
        {what}
"""

#: In the older era the path behind a client is the same but for its first message.
_ROWS: Final = [
    *(pytest.param("modern", kind, id=f"modern-{kind}") for kind in (*_KINDS, *_SPOKEN)),
    *(
        pytest.param("legacy", kind, id=f"legacy-{kind}", marks=() if kind in {"hangs", "cut"} else pytest.mark.slow)
        for kind in (*_KINDS, *_SPOKEN)
    ),
]


class _Hostile:
    """One server over HTTP that does to each POST what its path says."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                head = await reader.readuntil(b"\r\n\r\n")
                kind = head.split(b" ", 2)[1].decode().strip("/")
                await self._do(kind, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _do(self, kind: str, writer: asyncio.StreamWriter) -> None:
        stream = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        plain = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
        match kind:
            case "garbage":
                writer.write(b"\x00\xff" * 5000)
            case "html":
                writer.write(plain.replace(b"application/json", b"text/html") + b"<html>welcome</html>")
            case "hangs":
                await asyncio.sleep(60)
            case "huge":
                writer.write(plain + b'{"jsonrpc":"2.0","id":1,"result":{"x":"')
                for _ in range(100):
                    writer.write(b"a" * 1_000_000)
                    await writer.drain()
            case "cut":
                told = b'data: {"jsonrpc":"2.0","method":"notifications/message","params":{"data":"x"}}\n\n'
                writer.write(stream + told + b'data: {"jsonrpc":"2.0","id":1,"res')
            case "drips":
                writer.write(stream)
                for _ in range(600):
                    writer.write(b": \n\n")
                    await writer.drain()
                    await asyncio.sleep(0.1)
            case "array":
                writer.write(plain + b'[{"jsonrpc":"2.0","id":1,"result":{}}]')
            case _:
                writer.write(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()


@pytest.fixture(scope="module")
def beset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A gateway with the fixture and every hostile server; each of those gets a second."""
    folder: Path = tmp_path_factory.mktemp("hostile")
    policy = "p, role:any, *, mcp/*, list, -, allow, -\np, role:any, *, mcp/**, *, -, allow, redact=off\n"
    with _Hostile() as hostile:
        servers = "".join(f"  {kind}: {{url: 'http://127.0.0.1:{hostile.port}/{kind}'}}\n" for kind in _KINDS)
        for kind, what in _SPOKEN.items():
            script = folder / f"{kind}.py"
            script.write_text(_LOOP.replace("{what}", what), encoding="utf-8")
            servers += f"  {kind}: {{command: [{sys.executable}, {script}]}}\n"
        servers += (
            'resilience: {"**": {timeout: 1s}, "mcp/everything": {timeout: 20s}, "mcp/everything/**": {timeout: 20s}}\n'
        )
        with stand(folder, policy=policy, servers=servers) as stood:
            yield stood


@pytest.mark.requirement("MCP-37")
@pytest.mark.parametrize(("era", "kind"), _ROWS)
def test_a_hostile_server_is_contained_and_nobody_else_notices(beset: Stand, era: str, kind: str) -> None:
    url = beset.server(kind)
    fine = threading.Thread(target=_uses_the_fixture, args=(beset,))
    fine.start()
    if era == "modern":
        answered = post(url, called("anything", {"word": kind}))
        assert answered.status < 500
        said = answered.last["result"] if "result" in answered.last else answered.last["error"]
        assert said.get("isError") or "code" in said
        assert "Traceback" not in str(said)
    else:
        params: Tree = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "w", "version": "1"}}
        opened = post(url, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        assert opened.messages == [] or "error" in opened.last or kind in _SPOKEN
    fine.join(60)
    assert not fine.is_alive()
    _uses_the_fixture(beset)


@pytest.mark.requirement("MCP-37")
def test_the_list_of_all_servers_names_those_that_are_broken_and_has_the_rest(beset: Stand) -> None:
    listed = post(beset.joined, modern("tools/list")).last["result"]
    names = {tool["name"] for tool in listed["tools"]}
    assert "everything__test_simple_text" in names
    assert all(name.startswith("everything__") for name in names)
    assert {*_KINDS, *_SPOKEN} - set(listed["_meta"]["dev.oncegate/unavailable"]) <= {"many"}


def _uses_the_fixture(beset: Stand) -> None:
    headers = headers_for(message := called("test_simple_text"))
    answer = httpx.post(beset.server("everything"), json=message, headers=headers, timeout=60)
    assert answer.status_code == 200
    assert "simple text" in answer.text
    assert initialized(beset.server("everything"))
