"""The adversarial schedules of issue 4 that are about runs, each on two gateways with one database."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pytest

from tests.gateway.model_upstream import ModelUpstream, Script, completion
from tests.runs.stand import TOP, Agent, Gateway, Tool, eventually, gateways, key_of

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

Row = dict[str, object]


@dataclass
class Pair:
    """Two gateways, an agent's key, and what it uses."""

    gateways: list[Gateway]
    tool: Tool
    model: ModelUpstream
    key: str

    def open(self, run: str | None = None, gateway: int = 0) -> tuple[str, int, str]:
        """Open a run or its next attempt; returns its id, attempt and token."""
        body = {} if run is None else {"id": run}
        opened = cast("Row", Agent(self.gateways[gateway].url, self.key).post("/runs", body).json())
        return cast("str", opened["id"]), cast("int", opened["attempt"]), cast("str", opened["token"])

    def at(self, gateway: int, token: str) -> Agent:
        """Return the run's client at one of the gateways."""
        return Agent(self.gateways[gateway].url, token)

    def timeline(self, run: str) -> list[Row]:
        """Return the run's steps."""
        return cast("list[Row]", cast("Row", self.gateways[1].json("runs", "show", run))["timeline"])


@contextmanager
def pair(folder: Path, database: str, *, more: str = "", policies: str = "") -> Generator[Pair]:
    """Run two gateways."""
    tool, model = Tool(), ModelUpstream()
    upstream = f"http://127.0.0.1:{model.port}/v1"
    try:
        with gateways(
            folder, model=upstream, tool=tool.url, state=database, count=2, more=more, policies=policies
        ) as made:
            key = key_of(made, "clerk")
            for one in made:
                one.start()
            yield Pair(made, tool, model, key)
    finally:
        tool.close()
        model.close()


def asks_for(*amounts: object) -> Script:
    """A model's answer that asks for charges."""
    calls = [
        {"id": f"call_{number}", "type": "function",
         "function": {"name": "pay__charge", "arguments": json.dumps({"amount": amount})}}
        for number, amount in enumerate(amounts)
    ]  # fmt: skip
    return Script(body=completion(content=None, tool_calls=calls))


def result(number: int, text: str) -> Row:
    return {"role": "tool", "tool_call_id": f"call_{number}", "content": text}


def asked(script: Script) -> Row:
    """The assistant message of an answer, as it stands in the next request."""
    choices = cast("list[dict[str, Row]]", cast("Row", script.body)["choices"])
    return choices[0]["message"]


@pytest.mark.requirement("RUN-21")
def test_parallel_calls_in_another_order_after_a_restart_are_the_same_calls(tmp_path: Path, database: str) -> None:
    with pair(tmp_path, database) as on:
        answer = asks_for(1, 2, 3)
        on.model.script = lambda _: answer
        run, _, token = on.open()
        assert on.at(0, token).chat("pay").status_code == 200
        with ThreadPoolExecutor(3) as pool:
            first = list(pool.map(on.at(0, token).charge, (1, 2, 3)))
        assert sorted(first) == ["charge 1", "charge 2", "charge 3"]
        run, attempt, token = on.open(run, gateway=1)
        assert attempt == 2
        again = on.at(1, token)
        assert again.chat("pay").headers["oncegate-replayed"] == "true"
        with ThreadPoolExecutor(3) as pool:
            second = list(pool.map(again.charge, (3, 1, 2)))
        assert second == [first[2], first[0], first[1]]
        assert len(on.tool.effects) == 3
        assert [step["differs"] for step in on.timeline(run)] == [None] * 4


@pytest.mark.requirement("RUN-22")
def test_two_processes_with_the_same_attempt_share_each_effect(tmp_path: Path, database: str) -> None:
    with pair(tmp_path, database) as on:
        _, _, token = on.open()

        def charge(number: int) -> str:
            return on.at(number % 2, token).charge(number // 2)

        with ThreadPoolExecutor(8) as pool:
            texts = list(pool.map(charge, range(8)))
        # each amount once, both processes told the same
        assert sorted(cast("int", effect["amount"]) for effect in on.tool.effects) == [0, 1, 2, 3]
        assert texts[0::2] == texts[1::2]


@pytest.mark.requirement("RUN-23")
def test_an_attempt_goes_on_over_a_restart_of_its_gateway(tmp_path: Path, database: str) -> None:
    with pair(tmp_path, database) as on:
        _, _, token = on.open()
        agent = on.at(0, token)
        assert agent.charge(1) == "charge 1"
        on.gateways[0].kill()
        assert on.at(1, token).charge(2) == "charge 2"
        on.gateways[0].start()
        # it asks again for what it never heard of, and goes on
        assert [agent.charge(amount) for amount in (1, 2, 3)] == ["charge 1", "charge 2", "charge 3"]
        assert len(on.tool.effects) == 3


@pytest.mark.requirement("RUN-24")
def test_a_zombie_attempt_is_refused_by_every_instance_and_its_call_under_way_counts_once(
    tmp_path: Path, database: str
) -> None:
    with pair(tmp_path, database) as on:
        run, _, old = on.open()
        hold = on.tool.hold = threading.Event()
        with ThreadPoolExecutor(2) as pool:
            under_way = pool.submit(on.at(0, old).charge, 7)
            on.tool.wait_effects(1)
            _, _, new = on.open(run, gateway=1)
            for gateway in (0, 1):
                assert "attempt" in on.at(gateway, old).chat("late").text
                assert on.at(gateway, old).chat("late").status_code == 409
            joined = pool.submit(on.at(1, new).charge, 7)
            hold.set()
            assert under_way.result(60) == joined.result(60) == "charge 1"
        assert len(on.tool.effects) == 1


RESUMED = "agents: {clerk: {domain: acme, resume: suffix}}\n"


@pytest.mark.requirement("RUN-25")
def test_a_run_resumed_from_a_frameworks_own_checkpoint_gets_what_it_has_not_seen(
    tmp_path: Path, database: str
) -> None:
    with pair(tmp_path, database, more=RESUMED) as on:
        once, twice = asks_for(5), asks_for(5)
        conversation: list[Row] = []
        on.model.script = lambda body: once if len(cast("list[Row]", body["messages"])) == 1 else twice
        run, _, token = on.open()
        agent = on.at(0, token)
        agent.chat("pay")
        assert agent.charge(5) == "charge 1"
        conversation += [asked(once), result(0, "charge 1")]
        agent.chat("pay", *conversation)
        assert agent.charge(5) == "charge 2"
        # killed before it has stored that; its checkpoint is just after the second answer
        _, _, token = on.open(run, gateway=1)
        resumed = on.at(1, token)
        assert resumed.charge(5) == "charge 2"
        conversation += [asked(twice), result(0, "charge 2")]
        on.model.script = lambda _: Script()
        assert resumed.chat("pay", *conversation).status_code == 200
        assert len(on.tool.effects) == 2
        assert [step["differs"] for step in on.timeline(run)] == [None] * 5


@pytest.mark.requirement("RUN-26")
@pytest.mark.parametrize("way", [*(pytest.param(one, marks=pytest.mark.slow) for one in ("execute", "fail")), "hold"])
def test_a_restarted_attempt_that_asks_something_else_is_told_by_path_and_dealt_with_as_configured(
    tmp_path: Path, database: str, way: str
) -> None:
    more = f"agents: {{clerk: {{domain: acme, on_divergence: {way}}}}}\n"
    with pair(tmp_path, database, more=more) as on:
        run, _, token = on.open()
        assert on.at(0, token).charge(100) == "charge 1"
        _, _, token = on.open(run, gateway=1)
        said = on.at(1, token).charge(250)
        audit = on.gateways[1].oncegate("audit", "export").stdout
        assert "$.params.arguments.amount" in audit
        shown = cast("Row", on.gateways[0].json("runs", "show", run))
        if way == "fail":
            assert "diverged" in said
            assert (shown["state"], len(on.tool.effects)) == ("failed", 1)
            assert shown["reason"] == "it diverged from its step 1 at $.params.arguments.amount"
            assert "failed" in on.at(1, token).charge(100)
            return
        differing = cast("list[Row]", shown["timeline"])[1]
        assert cast("Row", differing["differs"]) == {
            "call": cast("list[Row]", shown["timeline"])[0]["id"], "step": 1, "path": "$.params.arguments.amount",
        }  # fmt: skip
        if way == "execute":
            assert (said, len(on.tool.effects)) == ("charge 2", 2)
            return
        assert "held for an operator" in said
        assert (differing["how"], len(on.tool.effects)) == ("held", 1)
        assert on.at(0, token).charge(100) == "charge 1"  # what it asked before is still answered
        call = cast("str", differing["id"])
        assert on.gateways[0].oncegate("calls", "resolve", call, "execute", "--reason", "meant so").returncode == 0
        assert on.at(1, token).charge(250) == "charge 2"


@pytest.mark.requirement("RUN-27")
def test_a_fork_goes_on_live_with_another_model_and_holds_what_its_parent_did_later(
    tmp_path: Path, database: str
) -> None:
    with pair(tmp_path, database, policies="p, role:any, acme, model/closed, call, -, deny, -\n") as on:
        run, _, token = on.open()
        agent = on.at(0, token)
        first, second = agent.chat("one").content, agent.chat("two").content
        assert agent.charge(7) == "charge 1"
        done = on.gateways[1].oncegate("runs", "fork", run, "--at", "1", "--model", "one=two", "--reason", "try two")
        assert done.returncode == 0, done.stderr
        fork = done.stdout.strip()
        _, attempt, token = on.open(fork, gateway=1)
        assert attempt == 2
        forked = on.at(1, token)
        assert forked.chat("one").content == first
        asked_before = len(on.model.received)
        assert forked.chat("two").status_code == 200
        assert forked.chat("two").content == second
        assert [body["model"] for body in on.model.received[asked_before:]] == ["second", "second"]
        assert "held for an operator" in forked.charge(7)
        assert forked.charge(8) == "charge 2"
        steps = on.timeline(fork)
        assert [step["how"] for step in steps].count("shared") == 1
        shown = cast("Row", on.gateways[0].json("runs", "show", fork))
        assert (shown["parent"], shown["fork_step"], shown["models"]) == (run, 1, {"one": "two"})
        # the parent is as it was, and still asks its own model
        assert on.at(0, on.open(run)[2]).chat("one").content == first


@pytest.mark.requirement("RUN-29")
def test_a_fork_is_decided_by_the_policy_set_it_was_made_with_on_every_instance(tmp_path: Path, database: str) -> None:
    strict = "p, role:any, acme, model/*, call, -, allow, redact=off\np, role:any, acme, mcp/**, *, -, deny, -\n"
    folder = tmp_path / "strict"
    folder.mkdir()
    (folder / "strict.csv").write_text(strict)
    with pair(tmp_path, database, more=f"policy_sets: {{strict: {folder}}}\n") as on:
        run, _, token = on.open()
        agent = on.at(0, token)
        said = agent.chat("one").content
        wrong = on.gateways[0].oncegate("runs", "fork", run, "--at", "1", "--policies", "lax")
        assert wrong.returncode != 0
        assert "policy_sets" in wrong.stderr
        done = on.gateways[0].oncegate("runs", "fork", run, "--at", "1", "--policies", "strict")
        assert done.returncode == 0, done.stderr
        fork = done.stdout.strip()
        for gateway in (0, 1):
            forked = on.at(gateway, on.open(fork, gateway=gateway)[2])
            assert forked.chat("one").content == said
            assert "strict.csv:2" in forked.charge(7)
        assert cast("Row", on.gateways[1].json("runs", "show", fork))["policies"] == "strict"
        # the parent goes on under the set in force
        assert agent.charge(7) == "charge 1"
        assert len(on.tool.effects) == 1


SUPERVISED = """
import json, os, signal, sys, urllib.request
def post(path, body, **headers):
    base = os.environ["OPENAI_BASE_URL"].removesuffix("/v1")
    named = {"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}", "content-type": "application/json",
             "accept": "application/json", **headers}
    request = urllib.request.Request(base + path, json.dumps(body).encode(), named)
    return json.load(urllib.request.urlopen(request, timeout=60))
def charge(amount):
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
               "params": {"name": "charge", "arguments": {"amount": amount}}}
    answer = post("/mcp/pay", message, **{"mcp-protocol-version": "2025-06-18"})
    return answer["result"]["content"][0]["text"]
texts = [charge(1), charge(2)]
print(json.dumps(texts), flush=True)
if sys.argv[1] == "stay":
    sys.stdin.readline()
"""


@pytest.mark.requirement("RUN-28")
def test_a_process_run_is_resumed_on_another_machine_as_a_job_does_after_its_pod_died(
    tmp_path: Path, database: str
) -> None:
    with pair(tmp_path, database) as on:
        supervisors: list[subprocess.Popen[str]] = []

        def job(number: int, how: str) -> subprocess.Popen[str]:
            folder = tmp_path / f"machine{number}"
            folder.mkdir()
            (folder / "credential").write_text(on.key)
            words = [
                sys.executable, "-m", "gateway.cli", "run", "--url", on.gateways[number].url, "--token",
                "file:credential", "--run", "job-42", "--", sys.executable, "-c", SUPERVISED, how,
            ]  # fmt: skip
            started = subprocess.Popen(
                words, cwd=folder, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(TOP), "LANG": "C.UTF-8"},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            )  # fmt: skip
            supervisors.append(started)
            return started

        first = job(0, "stay")
        assert first.stdout is not None
        texts = first.stdout.readline()
        assert json.loads(texts) == ["charge 1", "charge 2"]
        first.kill()  # the pod dies: nobody says a word any more
        second = job(1, "end")
        assert second.communicate(timeout=40)[0] == texts
        assert second.returncode == 0
        assert len(on.tool.effects) == 2
        shown = cast("Row", on.gateways[0].json("runs", "show", "job-42"))
        assert (shown["state"], shown["attempt"], shown["result"]) == ("finished", 2, {"exit_status": 0})
        assert [step["replays"] for step in cast("list[Row]", shown["timeline"])] == [1, 1]
        first.communicate()
        eventually(lambda: all(one.poll() is not None for one in supervisors))
