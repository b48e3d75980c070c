"""Calls of tools in the journal of a running gateway: replayed as they were, keyed, in doubt, finished or cancelled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from tests.mcp.fixture_contents import RESULTS
from tests.mcp.stand import eventually, fixture, gateway, write
from tests.mcp.test_going_on import old_call
from tests.mcp.test_passing import KEY
from tests.mcp.wire import called, headers_for, initialized, modern, post

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.mcp.wire import Answered, Tree

#: The gateway is begun twice.
SERVERS = ("contents", "trusted", "older", "speaking", "leaving")
POLICY = "".join(
    f"p, role:any, *, mcp/{name}, list, -, allow, -\np, role:any, *, mcp/{name}/**, *, -, allow, redact=off\n"
    for name in SERVERS
)
_KEYED = "keyed: {effect: keyed, idempotency_argument: request_id}"
_CANCELS = "hold: {effect: safe, on_disconnect: cancel}"
_FINISHES = "late: {effect: safe, on_disconnect: finish}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Durable:
    """A gateway that can be ended and begun again on its journal."""

    url: str
    folder: Path
    contents: Path
    leaving: Path
    answers: dict[tuple[str, ...], Answered]

    def arrived(self) -> list[Tree]:
        """Return the executions the hand-written server has seen."""
        lines = self.contents.read_text(encoding="utf-8").splitlines() if self.contents.exists() else []
        return [json.loads(line) for line in lines]

    def count(self, tool: str, word: str) -> int:
        """Return how often a tool was executed with a word."""
        return sum(1 for one in self.arrived() if (one["tool"], one["arguments"].get("word")) == (tool, word))

    def told(self) -> list[str]:
        """Return what the server whose clients leave has counted."""
        return self.leaving.read_text(encoding="utf-8").splitlines() if self.leaving.exists() else []


#: One call a row: where, in which era, which content, and whether the server streams its answer.
WAYS = [
    *(("contents", "modern", tool, "plain") for tool in RESULTS),
    *(("contents", "legacy", tool, "plain") for tool in RESULTS),
    *(("older", "modern", tool, "plain") for tool in RESULTS),
    *(("contents", era, "structured", "stream") for era in ("modern", "legacy")),
    *(("contents", "joined", tool, "plain") for tool in ("structured", "embedded", "link")),
]


def _ask(url: str, way: tuple[str, ...], legacy: dict[str, str]) -> Answered:
    server, era, tool, form = way
    key = "-".join(way)
    arguments = {"word": key, "stream": form == "stream"}
    if era == "legacy":
        return post(f"{url}/mcp/{server}", old_call(tool, arguments, key=key), legacy)
    if era == "joined":
        return post(f"{url}/mcp", called(f"{server}__{tool}", arguments, meta={KEY: key}))
    return post(f"{url}/mcp/{server}", called(tool, arguments, meta={KEY: key}))


def _ask_all(url: str) -> dict[tuple[str, ...], Answered]:
    legacy = initialized(f"{url}/mcp/contents")
    return {way: _ask(url, way, legacy) for way in WAYS}


@pytest.fixture(scope="module")
def durable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Durable]:
    """Ask for everything once, kill the gateway, and begin it again on its journal."""
    folder = tmp_path_factory.mktemp("durable")
    contents, leaving = folder / "contents.jsonl", folder / "leaving.txt"
    with fixture(contents, "tests.mcp.fixture_contents") as direct, fixture(leaving) as left:
        servers = (
            f"  contents: {{url: '{direct}', tools: {{{_KEYED}, listed: {{effect: once}}}}}}\n"
            f"  trusted: {{url: '{direct}', trust_annotations: true, tools: {{listed: {{effect: once}}}}}}\n"
            f"  older: {{url: '{direct}', era: legacy}}\n"
            f"  leaving: {{url: '{left}', tools: {{{_CANCELS}, {_FINISHES}}}}}\n"
        )
        write(folder, policy=POLICY, servers=servers)
        with gateway(folder) as (url, pid):
            answers = _ask_all(url)
            _cancel_once(url, leaving)
            os.kill(pid, signal.SIGKILL)
        with gateway(folder) as (url, _):
            yield Durable(url=url, folder=folder, contents=contents, leaving=leaving, answers=answers)


def _cancel_once(url: str, leaving: Path) -> None:
    """Cancel a `once` call while it runs, as the older era does."""
    place, headers = f"{url}/mcp/leaving", initialized(f"{url}/mcp/leaving")
    calling = threading.Thread(
        target=lambda: post(place, old_call("late_once", {"word": "cancelled"}, ident=5, key="cancelled"), headers)
    )
    calling.start()
    assert eventually(lambda: leaving.exists() and "begun cancelled" in leaving.read_text(encoding="utf-8"))
    post(place, {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}}, headers)
    calling.join(60)


def _result(answered: Answered) -> bytes:
    content = answered.content
    return content[content.index(b'"result":') :]


@pytest.mark.requirement("MCP-40")
@pytest.mark.parametrize("way", WAYS, ids=["-".join(way) for way in WAYS])
def test_a_result_is_replayed_byte_for_byte_after_the_gateway_was_killed(
    durable: Durable, legacy: dict[str, str], way: tuple[str, ...]
) -> None:
    first, again = durable.answers[way], _ask(durable.url, way, legacy)
    assert again.headers["oncegate-replayed"] == "true"
    assert _result(again) == _result(first)
    sent = json.loads(RESULTS[way[2]])
    shown = {name: value for name, value in again.last["result"].items() if name != "resultType"}
    if way[0] == "older":  # the bridge says whose result it is
        shown["_meta"] = {k: v for k, v in shown["_meta"].items() if not k.startswith("io.modelcontextprotocol/")}
        shown = {name: value for name, value in shown.items() if name != "_meta" or value or name in sent}
    if way[1] == "joined":
        shown = json.loads(json.dumps(shown).replace("oncegate://contents/", ""))
    assert shown == sent
    assert durable.count(way[2], "-".join(way)) == 1


@pytest.fixture(scope="module")
def legacy(durable: Durable) -> dict[str, str]:
    return initialized(f"{durable.url}/mcp/contents")


@pytest.mark.requirement("MCP-40")
def test_numbers_and_the_order_of_keys_come_as_the_server_wrote_them(durable: Durable) -> None:
    content = _result(durable.answers["contents", "modern", "structured", "plain"])
    assert RESULTS["structured"][1:].encode() in content


@pytest.mark.requirement("MCP-11")
@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_the_steps_own_key_reaches_the_server_in_its_argument_and_beside_it(
    durable: Durable, legacy: dict[str, str], era: str
) -> None:
    url = f"{durable.url}/mcp/contents"
    keys: list[str] = []
    for word in (f"one-{era}", f"two-{era}"):
        arguments = {"word": word, "amount": 3}
        if era == "legacy":
            assert post(url, old_call("keyed", arguments, key=word), legacy).text == "done"
        else:
            assert post(url, called("keyed", arguments, meta={KEY: word})).text == "done"
        (seen,) = (one for one in durable.arrived() if one["arguments"].get("word") == word)
        assert seen["arguments"] == {**arguments, "request_id": seen["meta"][KEY]}
        assert word not in seen["meta"][KEY]
        keys.append(seen["meta"][KEY])
    assert keys[0] != keys[1]


@pytest.mark.requirement("MCP-41")
@pytest.mark.parametrize(("tool", "executions"), [("reading", 2), ("setting", 2), ("paying", 1), ("listed", 1)])
def test_a_servers_word_counts_where_the_file_trusts_it_and_says_nothing_else(
    durable: Durable, tool: str, executions: int
) -> None:
    url, word = f"{durable.url}/mcp/trusted", f"trusted-{tool}"
    assert tool in {one["name"] for one in post(url, modern("tools/list")).last["result"]["tools"]}
    post(url, called(tool, {"word": word}, meta={KEY: word}))
    answered = post(url, called(tool, {"word": word}, meta={KEY: word}))
    assert durable.count(tool, word) == executions
    assert (answered.text == "done") is (executions == 2)
    assert ("in_doubt" in answered.text) is (executions == 1)
    if tool == "setting":  # both with the one key
        keys = [one["meta"][KEY] for one in durable.arrived() if one["arguments"].get("word") == word]
        assert len(set(keys)) == 1


@pytest.mark.requirement("MCP-41")
@pytest.mark.parametrize("tool", ["reading", "setting"])
def test_a_servers_word_is_no_word_where_the_file_does_not_trust_it(durable: Durable, tool: str) -> None:
    url, word = f"{durable.url}/mcp/contents", f"untrusted-{tool}"
    assert tool in {one["name"] for one in post(url, modern("tools/list")).last["result"]["tools"]}
    answers = [post(url, called(tool, {"word": word}, meta={KEY: word})) for _ in range(3)]
    assert "in_doubt" in answers[-1].text
    assert durable.count(tool, word) == 1


def _leave(url: str, message: Tree) -> None:
    with suppress(httpx.ReadTimeout):
        httpx.post(url, content=json.dumps(message), headers=headers_for(message), timeout=httpx.Timeout(10, read=0.5))


@pytest.mark.requirement("MCP-09")
def test_a_tool_says_whether_it_is_finished_or_cancelled_when_its_client_goes(durable: Durable) -> None:
    url = f"{durable.url}/mcp/leaving"
    _leave(url, called("hold", {"word": "cancels"}, meta={KEY: "cancels"}))
    assert eventually(lambda: "cancelled cancels" in durable.told())
    finished = called("late", {"word": "finishes"}, meta={KEY: "finishes"})
    _leave(url, finished)
    assert eventually(lambda: "done finishes" in durable.told())
    answered = post(url, finished)
    assert (answered.text, answered.headers["oncegate-replayed"]) == ("done: finishes", "true")
    assert durable.told().count("begun finishes") == 1


@pytest.mark.requirement("MCP-21")
def test_a_cancelled_once_call_is_in_doubt_after_a_restart_and_an_operator_sees_it(durable: Durable) -> None:
    url = f"{durable.url}/mcp/leaving"
    answered = post(url, old_call("late_once", {"word": "cancelled"}, key="cancelled"), initialized(url))
    assert "in_doubt" in answered.text
    assert durable.told().count("begun cancelled") == 1
    command = [
        sys.executable,
        "-m",
        "gateway.cli",
        "calls",
        "list",
        "--json",
        "-c",
        str(durable.folder / "oncegate.yaml"),
    ]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    calls = cast("list[dict[str, Any]]", json.loads(listed.stdout))
    (found,) = (one for one in calls if one["resource"] == "mcp/leaving/tool/late_once")
    assert found["state"] == "in_doubt"
