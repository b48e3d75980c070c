"""Servers that are processes: what they are given, what they may do, and what is known when they end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway import body
from gateway.call import NotSent, Sent, UpstreamRequest
from gateway.config import McpServer
from gateway.mcp.link import Link
from gateway.mcp.peers import PRINCIPAL
from gateway.mcp.stdio import StdioUpstream
from tests.mcp.stand import eventually
from tests.mcp.wire import called, modern

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.mcp.wire import Tree

pytestmark = pytest.mark.anyio

#: Answers each request with what the code says of it as `result`.
_LOOP = """
import json, os, signal, subprocess, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        result = {answer}
        print(json.dumps({{"jsonrpc": "2.0", "id": message["id"], "result": result}}), flush=True)
"""


def answering(answer: str) -> str:
    return _LOOP.format(answer=answer)


@contextlib.asynccontextmanager
async def upstream(code: str, *environment: str) -> AsyncGenerator[StdioUpstream]:
    one = StdioUpstream("s", [sys.executable, "-c", code], environment)
    try:
        yield one
    finally:
        await one.aclose()


def request(message: Tree, *, principal: str = "agent:acme/billing", method: str = "POST") -> UpstreamRequest:
    headers = ((PRINCIPAL, principal.encode()),)
    return UpstreamRequest(method=method, path="", headers=headers, body=body.encode(message))


async def ask(one: StdioUpstream, message: Tree | None = None, *, principal: str = "agent:acme/billing") -> list[Tree]:
    """Return the messages that answer a call."""
    answer = await one.send(request(message or called("t"), principal=principal), seconds_max=60)
    try:
        content = b"".join([part async for part in answer.chunks()])
    finally:
        await answer.aclose()
    return [json.loads(line[6:]) for line in content.decode().splitlines() if line.startswith("data: ")]


async def result_of(one: StdioUpstream, *, principal: str = "agent:acme/billing") -> Any:
    async with asyncio.timeout(60):
        return (await ask(one, principal=principal))[-1]["result"]


@pytest.mark.requirement("MCP-18")
async def test_a_process_sees_only_the_environment_it_is_given() -> None:
    async with upstream(answering("sorted(os.environ)"), "PYTEST_CURRENT_TEST") as one:
        seen = set(await result_of(one))
    assert "PYTEST_CURRENT_TEST" in seen
    assert seen <= {"PYTEST_CURRENT_TEST", "HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LC_CTYPE", "PWD"}


@pytest.mark.requirement("MCP-18")
async def test_a_variable_that_is_not_set_starts_nothing() -> None:
    async with upstream(answering("1"), "ONCEGATE_NO_SUCH_VARIABLE") as one:
        with pytest.raises(NotSent):
            await ask(one)


@pytest.mark.requirement("MCP-18")
async def test_no_two_principals_share_a_process() -> None:
    async with upstream(answering("os.getpid()")) as one:
        mine = await result_of(one)
        assert await result_of(one) == mine
        assert await result_of(one, principal="agent:acme/other") != mine


@pytest.mark.requirement("MCP-18")
async def test_ids_and_tokens_are_the_clients_again_in_the_answer() -> None:
    told = '{"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}}'
    answer = f"[token := message['params']['_meta']['progressToken'], print(json.dumps({told}), flush=True)]"
    async with upstream(answering(answer)) as one:
        messages = await ask(one, called("t", ident="mine", meta={"progressToken": "token"}))
    assert messages[0]["params"]["progressToken"] == "token"
    assert messages[1]["id"] == "mine"
    assert messages[1]["result"][0] != "token"


@pytest.mark.requirement("MCP-14")
async def test_what_is_no_message_is_skipped() -> None:
    junk = 'print("starting up") or print("[1]") or print() or print(\'{"id": 99}\') or "fine"'
    async with upstream(answering(junk)) as one:
        assert await result_of(one) == "fine"


@pytest.mark.requirement("MCP-14")
async def test_a_process_that_dies_with_a_request_leaves_it_in_doubt() -> None:
    async with upstream("import sys; sys.stdin.readline()") as one:
        with pytest.raises(Sent):
            await ask(one)


@pytest.mark.requirement("MCP-14")
async def test_a_process_that_never_answers_is_started_ever_more_rarely() -> None:
    async with upstream("import sys; sys.stdin.readline()") as one:
        with pytest.raises(Sent):
            await ask(one)
        with pytest.raises(NotSent, match="again and again"):
            await ask(one)


@pytest.mark.requirement("MCP-14")
async def test_a_command_that_is_not_there_sends_nothing() -> None:
    one = StdioUpstream("s", ["/nonexistent/command"], ())
    with pytest.raises(NotSent, match="could not be started"):
        await ask(one)


@pytest.mark.requirement("MCP-18")
async def test_ending_a_process_ends_its_whole_group(tmp_path: Path) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
    code = (
        "import signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"child = subprocess.Popen([sys.executable, '-c', {deaf!r}], stdin=subprocess.DEVNULL)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n" + answering("1") + "\nchild.wait()"
    )
    async with upstream(code) as one:
        await result_of(one)
        pid = int((tmp_path / "pid").read_text(encoding="ascii"))
    assert eventually(lambda: not _runs(pid))


@pytest.mark.requirement("MCP-14")
async def test_a_session_that_is_not_there_is_not_found() -> None:
    async with upstream(answering("1")) as one:
        for method in ("POST", "DELETE"):
            shown = UpstreamRequest(
                method=method, path="", headers=((b"mcp-session-id", b"0"),), body=body.encode(called("t"))
            )
            answer = await one.send(shown, seconds_max=60)
            assert answer.status == 404
        assert (await one.send(request({}, method="GET"), seconds_max=60)).status == 405


def _runs(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    return False


_TELLS = """
import json, sys
def tell(**params):
    print(json.dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": params}), flush=True)
waiting = None
for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") == "initialize":
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {}}), flush=True)
        tell(told="unasked")
    elif message.get("method") == "notifications/cancelled":
        tell(same=message["params"]["requestId"] == waiting)
    else:
        waiting = message["id"]
        tell(told="begun")
"""


@pytest.mark.requirement("MCP-18")
async def test_what_belongs_to_no_request_comes_over_the_sessions_stream_and_a_cancel_finds_its_request() -> None:
    async with upstream(_TELLS) as one, asyncio.timeout(60):
        opening: Tree = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
        opened = await one.send(request(opening), seconds_max=60)
        assert b"".join([part async for part in opened.chunks()])
        session = tuple(pair for pair in opened.headers if pair[0] == b"mcp-session-id")
        stream = await one.send(UpstreamRequest(method="GET", path="", headers=session, body=b""), seconds_max=60)
        told = stream.chunks()
        assert b'"told":"unasked"' in await anext(told)
        asked = await one.send(_in_session(session, called("t", ident="mine")), seconds_max=60)
        assert b'"told":"begun"' in await anext(told)
        cancelled: Tree = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "mine"}}
        accepted = await one.send(_in_session(session, cancelled), seconds_max=60)
        assert accepted.status == 202
        assert b'"same":true' in await anext(told)
        await asked.aclose()  # a client that goes away cancels as well
        assert b'"same":true' in await anext(told)
        ended = await one.send(UpstreamRequest(method="DELETE", path="", headers=session, body=b""), seconds_max=60)
        assert ended.status == 200


@pytest.mark.requirement("MCP-18")
async def test_a_subscription_over_standard_streams_bears_the_clients_own_id() -> None:
    one = StdioUpstream("s", [sys.executable, "-m", "tests.mcp.fixture_server"], ())
    async with contextlib.aclosing(one), asyncio.timeout(60):
        listening = modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, ident="mine")
        stream = await one.send(request(listening), seconds_max=60)
        told = stream.chunks()
        first = await anext(told)
        assert b"notifications/subscriptions/acknowledged" in first
        await ask(one, called("test_trigger_tool_change"))
        second = await anext(told)
        assert b"notifications/tools/list_changed" in second
        assert all(b'"io.modelcontextprotocol/subscriptionId":"mine"' in event for event in (first, second))
        await stream.aclose()


def _in_session(session: tuple[tuple[bytes, bytes], ...], message: Tree) -> UpstreamRequest:
    return UpstreamRequest(method="POST", path="", headers=session, body=body.encode(message))


@pytest.mark.requirement("MCP-18")
@pytest.mark.parametrize("shown", [False, True])
async def test_standard_error_is_shown_only_where_the_file_says_so_and_does_nothing_to_the_log(
    caplog: pytest.LogCaptureFixture, *, shown: bool
) -> None:
    caplog.set_level("DEBUG", "oncegate.stdio")
    code = answering("sys.stderr.write('word\\x1b[2J\\n') and sys.stderr.flush()")
    one = StdioUpstream("s", [sys.executable, "-c", code], (), show_errors=shown)
    async with contextlib.aclosing(one):
        await result_of(one)
    assert ("server `s`: word [2J" in caplog.text) is shown
    assert ("wrote 9 bytes" in caplog.text) is not shown


_CHANGES_ERA = """
import json, os, sys
path = sys.argv[1]
starts = len(open(path).read()) if os.path.exists(path) else 0
open(path, "a").write("x")
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] == "server/discover" and not starts:
        said = {"result": {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}}}
    elif message["method"] == "server/discover":
        said = {"error": {"code": -32601, "message": "no such method"}}
    else:
        sys.exit(1)
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **said}), flush=True)
"""


@pytest.mark.requirement("MCP-14", "MCP-27")
async def test_a_process_that_was_started_again_is_asked_for_its_era_anew(tmp_path: Path) -> None:
    config = McpServer(name="s", command=(sys.executable,))
    own = ((PRINCIPAL, b"agent:acme/billing"),)
    one = StdioUpstream("s", [sys.executable, "-c", _CHANGES_ERA, str(tmp_path / "starts")], ())
    async with contextlib.aclosing(one), asyncio.timeout(60):
        eras = Link(config, one).eras
        assert await eras.modern(own, seconds_max=60)
        assert await eras.modern(own, seconds_max=60)
        with pytest.raises(Sent):  # it dies of this
            await ask(one, called("t"))
        assert not await eras.modern(own, seconds_max=60)
        assert (tmp_path / "starts").read_text(encoding="utf-8") == "xx"
