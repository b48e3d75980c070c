"""Managed runs on running gateways: invoked, asked again, taken over, ended; what is kept of them and told to whom."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pytest

from gateway.admin.address import socket_path
from gateway.cli.client import Target, ask
from gateway.cli.output import Failure
from tests.gateway.model_upstream import ModelUpstream
from tests.runs.agent_server import AgentServer, Asked, Said
from tests.runs.stand import Agent, Gateway, Tool, eventually, gateways, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

Row = dict[str, object]


@dataclass
class Stage:
    """What a test has to play with. `boss` opens runs, `workers` are invoked."""

    gateways: list[Gateway]
    tool: Tool
    model: ModelUpstream
    worker: AgentServer
    boss: Agent

    def as_run(self, asked: Asked, gateway: int = 0) -> Agent:
        """Return the client of an invoked agent."""
        return Agent(self.gateways[gateway].url, asked.token)

    def open(self, content: object, agent: str = "worker", **more: object) -> str:
        """Open a managed run; returns its id."""
        answer = self.boss.post("/runs", {"agent": agent, "input": content, **more})
        assert answer.status_code == 200, answer.text
        return cast("str", answer.json()["id"])

    def ended(self, run: str, seconds_max: float = 60.0) -> Row:
        """Wait for a run's end; returns it as its opener sees it."""

        def over() -> Row | None:
            shown = cast("Row", self.boss.get(f"/runs/{run}").json())
            return shown if shown["state"] in {"finished", "failed", "cancelled"} else None

        return cast("Row", eventually(over, seconds_max))


@contextmanager
def stage(
    folder: Path, work: Callable[[Stage, Asked], Said | None], *, count: int = 1, state: str | None = None,
    retry: str = "{initial: 50ms, attempts: 4}", agent: str = "", policies: str = "",
    lease: str = "60s",
) -> Generator[Stage]:  # fmt: skip
    """Run everything; `work` is what the invoked agent does."""
    tool, model = Tool(), ModelUpstream()
    found: list[Stage] = []
    worker = AgentServer(lambda asked: work(found[0], asked))
    more = f"agents:\n  worker: {{url: '{worker.url}', domain: acme, retry: {retry}{agent}}}\n"
    more += f"  careful: {{url: '{worker.url}', domain: acme, retry: {retry}}}\n  silent: {{domain: acme}}\n"
    upstream = f"http://127.0.0.1:{model.port}/v1"
    try:
        with gateways(
            folder, model=upstream, tool=tool.url, state=state, count=count, more=more, policies=policies, lease=lease
        ) as made:
            key = key_of(made, "boss")
            for one in made:
                one.start()
            found.append(Stage(made, tool, model, worker, Agent(made[0].url, key)))
            yield found[0]
    finally:
        worker.close()
        tool.close()
        model.close()


def with_new_key(on: Stage, agent: str) -> Agent:
    """Return a client with a key that was made while the gateway runs, once it knows it."""
    client = Agent(on.gateways[0].url, key_of(on.gateways, agent))
    eventually(lambda: client.get("/runs/none").status_code != 401)
    return client


@pytest.mark.requirement("RUN-12")
def test_an_agent_is_invoked_with_its_input_as_its_run_and_its_answer_is_the_result(tmp_path: Path) -> None:
    def work(on: Stage, asked: Asked) -> Said:
        run = on.as_run(asked)
        assert run.chat("hi").status_code == 200
        return Said(body=b'{"paid":"' + run.charge(7).encode() + b'"}')

    with stage(tmp_path, work) as on:
        run = on.open({"order": 7, "ratio": 1.50}, labels=["nightly"])
        ended = on.ended(run)
        assert (ended["state"], ended["attempt"], ended["result"], ended["labels"]) == (
            "finished", 1, {"paid": "charge 1"}, ["nightly"],
        )  # fmt: skip
        (asked,) = on.worker.asked
        assert asked.body == b'{"order":7,"ratio":1.5}'
        assert asked.headers["oncegate-run"] == run
        assert asked.headers["idempotency-key"] == f"{run}-1"
        assert asked.headers["content-type"] == "application/json"
        # over is over: the token opens nothing any more
        assert "finished" in on.as_run(asked).chat("late").text
        shown = cast("Row", on.gateways[0].json("runs", "show", run))
        assert [(step["step"], step["resource"], step["how"]) for step in cast("list[Row]", shown["timeline"])] == [
            (1, "model/one", "executed"), (2, "mcp/pay/tool/charge", "executed"),
        ]  # fmt: skip
        assert (shown["input_tokens"], shown["output_tokens"], shown["cost_usd"]) == (11, 7, 0.018)
        assert [step["decided_by"] for step in cast("list[Row]", shown["timeline"])] == ["rules.csv:1", "rules.csv:2"]


@pytest.mark.requirement("RUN-13")
def test_an_agent_that_dies_is_invoked_again_and_its_earlier_calls_replay(tmp_path: Path) -> None:
    def work(on: Stage, asked: Asked) -> Said | None:
        run = on.as_run(asked)
        text = run.charge(7)
        answers = {1: None, 2: Said(status=500), 3: Said(status=429, headers={"retry-after": "0"})}
        return answers.get(asked.attempt, Said(body=text.encode(), headers={"content-type": "text/plain"}))

    with stage(tmp_path, work) as on:
        ended = on.ended(on.open({"n": 1}))
        assert (ended["state"], ended["attempt"], ended["result"]) == ("finished", 4, "charge 1")
        assert len(on.tool.effects) == 1
        assert [asked.attempt for asked in on.worker.asked] == [1, 2, 3, 4]


@pytest.mark.requirement("RUN-14")
@pytest.mark.parametrize(
    ("said", "attempts", "reason"),
    [
        (Said(status=400), 1, "the agent answered 400"),
        (Said(status=302), 1, "the agent answered 302"),
        (Said(status=503), 2, "no attempts are left: the agent answered 503"),
        (Said(body=b"\xff\xfe"), 1, "the agent's answer is neither JSON nor text"),
    ],
)
def test_a_run_ends_at_once_where_asking_again_cannot_help_else_with_its_last_attempt(
    tmp_path: Path, said: Said, attempts: int, reason: str
) -> None:
    with stage(tmp_path, lambda _, __: said, retry="{initial: 20ms, attempts: 2}") as on:
        ended = on.ended(on.open({}))
        assert (ended["state"], ended["reason"], len(on.worker.asked)) == ("failed", reason, attempts)


@pytest.mark.requirement("RUN-14")
def test_an_agent_that_cannot_be_reached_costs_no_attempt_only_the_deadline(tmp_path: Path) -> None:
    with stage(
        tmp_path, lambda _, __: Said(), retry="{policy: constant, initial: 100ms, attempts: 1}", agent=", deadline: 5s"
    ) as on:
        on.worker.close()
        ended = on.ended(on.open({}))
        assert ended["state"] == "failed"
        assert cast("str", ended["reason"]).startswith("its deadline has passed: the agent was not reached")
        assert cast("int", ended["attempt"]) > 3


@pytest.mark.requirement("RUN-15")
def test_who_may_not_open_a_run_opens_none_and_who_did_not_does_not_see_it(tmp_path: Path) -> None:
    lines = "p, agent:other, acme, run/worker, create, -, deny, -\n"
    with stage(tmp_path, lambda _, __: Said(), policies=lines) as on:
        other = with_new_key(on, "other")
        assert other.post("/runs", {"agent": "worker", "input": {}}).status_code == 403
        for name in ("silent", "nobody"):
            assert on.boss.post("/runs", {"agent": name, "input": 1}).status_code == 404
        wrong: list[Row] = [
            {"agent": "worker"}, {"input": 1}, {"agent": "worker", "input": 1, "deadline": "1s"},
            {"labels": ["a b"]}, {"agent": 7, "input": 1}, {"id": "a b"},
        ]  # fmt: skip
        for body in wrong:
            assert on.boss.post("/runs", body).status_code == 400
        run = on.open({"n": 1}, id="mine")
        assert on.open({"n": 1}, id="mine") == run == "mine"
        assert on.boss.post("/runs", {"agent": "worker", "input": {"n": 2}, "id": "mine"}).status_code == 422
        assert on.boss.post("/runs", {"id": "mine"}).status_code in {404, 409}
        assert on.ended(run)["state"] == "finished"
        assert other.get(f"/runs/{run}").status_code == 404
        worker = with_new_key(on, "worker")
        assert worker.get(f"/runs/{run}").json()["result"] == {"done": True}
        audit = on.gateways[0].oncegate("audit", "export").stdout
        assert '"event": "run_opened"' in audit or '"event":"run_opened"' in audit
        assert "run_finished" in audit


@pytest.mark.requirement("RUN-16")
def test_a_run_cancelled_meanwhile_ends_its_invocation_and_one_that_failed_can_be_opened_again(tmp_path: Path) -> None:
    go_on = threading.Event()

    def work(on: Stage, asked: Asked) -> Said:
        del on
        if asked.attempt == 1:
            go_on.wait(60)
        return Said()

    with stage(tmp_path, work) as on:
        run = on.open({})
        on.worker.wait_asked(1)
        done = on.gateways[0].oncegate("runs", "cancel", run, "--reason", "not wanted")
        assert (done.returncode, done.stdout) == (0, f"run {run} is cancelled\n")
        ended = on.ended(run)
        assert (ended["state"], ended["reason"]) == ("cancelled", "cancelled by the owner: not wanted")
        go_on.set()
        assert on.gateways[0].oncegate("runs", "cancel", run).returncode == 1
        assert on.gateways[0].oncegate("runs", "retry", run, "--reason", "after all").returncode == 0
        again = on.ended(run)
        assert (again["state"], again["attempt"]) == ("finished", 3)
        audit = on.gateways[0].oncegate("audit", "export").stdout
        assert "not wanted" in audit
        assert "after all" in audit


@pytest.mark.requirement("RUN-17")
def test_a_run_is_continued_after_its_gateway_was_killed_and_started_again(tmp_path: Path) -> None:
    held = threading.Event()

    def work(on: Stage, asked: Asked) -> Said:
        text = on.as_run(asked).charge(7)
        if asked.attempt == 1:
            held.wait(60)
        return Said(body=text.encode())

    with stage(tmp_path, work) as on:
        run = on.open({})
        on.tool.wait_effects(1)
        eventually(lambda: cast("list[Row]", on.gateways[0].json("calls", "list", "--state", "done")))
        on.gateways[0].kill()
        held.set()
        on.gateways[0].start()
        ended = on.ended(run)
        assert (ended["state"], ended["attempt"], ended["result"]) == ("finished", 2, "charge 1")
        assert len(on.tool.effects) == 1


@pytest.mark.requirement("RUN-17")
def test_a_gateway_that_stops_gives_its_runs_back_uncounted(tmp_path: Path) -> None:
    held = threading.Event()

    def work(on: Stage, asked: Asked) -> Said:
        del on
        if asked.attempt == 1:
            held.wait(60)
        return Said()

    with stage(tmp_path, work, retry="{attempts: 1}") as on:
        run = on.open({})
        on.worker.wait_asked(1)
        on.gateways[0].stop()
        held.set()
        on.gateways[0].start()
        ended = on.ended(run)
        assert (ended["state"], ended["attempt"]) == ("finished", 2)


@pytest.mark.requirement("RUN-17")
def test_a_run_is_continued_by_another_instance_when_the_first_is_gone_nobody_asking(
    tmp_path: Path, database: str
) -> None:
    held = threading.Event()
    served: list[int] = []

    def work(on: Stage, asked: Asked) -> Said:
        # whichever gateway is alive serves its calls
        alive = next(n for n, one in enumerate(on.gateways) if one.process is not None and one.process.poll() is None)
        served.append(alive)
        text = on.as_run(asked, alive).charge(7)
        if asked.attempt == 1:
            held.wait(60)
        return Said(body=text.encode())

    with stage(tmp_path, work, count=2, state=database, lease="2s") as on:
        # only the first takes the run: the second is paused until it has
        on.gateways[1].pause()
        run = on.open({})
        on.tool.wait_effects(1)
        eventually(lambda: cast("list[Row]", on.gateways[0].json("calls", "list", "--state", "done")))
        on.gateways[0].kill()
        held.set()
        on.gateways[1].go_on()
        on.boss = Agent(on.gateways[1].url, on.boss.token)
        ended = on.ended(run)
        assert (ended["state"], ended["attempt"], ended["result"]) == ("finished", 2, "charge 1")
        assert served == [0, 1]
        assert len(on.tool.effects) == 1


@pytest.mark.requirement("RUN-18")
def test_input_and_result_are_kept_with_placeholders_and_restored_for_whom_a_line_names(tmp_path: Path) -> None:
    secret = "ada.lovelace@example.com"

    def work(on: Stage, asked: Asked) -> Said:
        del on
        return Said(body=asked.body)

    lines = "p, agent:boss, acme, run/careful, create, -, allow, redact=standard;restore=*@agent\n"
    with stage(tmp_path, work, policies=lines) as on:
        run = on.open({"write to": secret}, agent="careful")
        ended = on.ended(run)
        assert ended["result"] == {"write to": secret}
        assert secret.encode() not in on.worker.asked[0].body
        careful = with_new_key(on, "careful")
        seen = careful.get(f"/runs/{run}").json()["result"]["write to"]
        assert seen in on.worker.asked[0].body.decode()
        assert secret not in on.gateways[0].oncegate("runs", "show", run, "--json").stdout
        assert secret not in on.gateways[0].oncegate("audit", "export").stdout


@pytest.mark.requirement("CON-23")
def test_a_message_nobody_took_is_a_dead_letter_and_is_delivered_again(tmp_path: Path) -> None:
    said = [Said(status=503), Said(status=503), Said()]
    with stage(tmp_path, lambda _, __: said.pop(0), retry="{initial: 20ms, attempts: 2}") as on:
        owner = Target(socket=socket_path(on.gateways[0].folder / "oncegate.db"))

        def listed(**wanted: str) -> list[Row]:
            return cast("list[Row]", ask(owner, "GET", "/api/v1/messages", query=wanted))

        run = on.open("please")
        assert on.ended(run)["state"] == "failed"
        (dead,) = listed(state="dead_letter")
        assert (dead["id"], dead["recipient"], dead["sender"]) == (run, "acme/worker", "acme/boss")
        assert (dead["attempt"], dead["attempts_max"]) == (2, 2)
        assert "no attempts are left" in str(dead["reason"])
        assert listed(state="delivered") == []
        again = cast("Row", ask(owner, "POST", f"/api/v1/messages/{run}/retry", body={"reason": "the agent is back"}))
        assert again["id"] == run
        assert on.ended(run)["state"] == "finished"
        (done,) = listed(agent="worker")
        assert done["state"] == "delivered"
        for other in (run, "run_nobody"):
            with pytest.raises(Failure):
                ask(owner, "POST", f"/api/v1/messages/{other}/retry", body={})
