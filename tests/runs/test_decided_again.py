"""A run whose policy changed between two of its attempts: what it had done and what is new, both by the lines of today.

Each case is tried with a managed run, whose agent dies and is invoked again, and with an agent that was restarted and
opens its run's next attempt itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import httpx
import pytest

from gateway.admin.address import socket_path
from gateway.cli.client import Target, ask
from tests.gateway.model_upstream import ModelUpstream
from tests.runs.agent_server import AgentServer, Said
from tests.runs.stand import Agent, Tool, eventually, gateways, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tests.runs.agent_server import Asked
    from tests.runs.stand import Gateway

pytestmark = pytest.mark.requirement("RUN-30")
Row = dict[str, object]
OPEN = """p, role:any, acme, run/*, create, -, allow, -
p, role:any, acme, mcp/pay, list, -, allow, -
p, role:any, acme, mcp/pay/tool/look, call, -, allow, -
"""
BEFORE = OPEN + "# id: charges\np, role:any, acme, mcp/pay/tool/charge, call, -, allow, -\n"
DENYING = BEFORE + "# id: closed\np, role:any, acme, mcp/pay/tool/charge, call, -, deny, -\n"
ASKING = OPEN + "# id: asks\np, role:any, acme, mcp/pay/tool/charge, call, -, allow, approval=leads\n"
LIMITED = OPEN + "# id: limited\np, role:any, acme, mcp/pay/tool/charge, call, -, allow, limit=1/1d\n"
KINDS = pytest.mark.parametrize("kind", ["managed", "restarted"])


class Changed:
    """A gateway whose policy is changed while a run is between two attempts."""

    def __init__(self, gateway: Gateway, tool: Tool) -> None:
        self.gateway = gateway
        self.tool = tool
        self.boss = Agent(gateway.url, key_of([gateway], "boss"))
        self.work: Callable[[Asked], Said | None] = lambda _: Said()

    def policy(self, lines: str) -> str:
        """Put lines in force in one step; returns the set's digest."""
        before, folder = self.digest(), self.gateway.folder
        (folder / "fresh.csv").write_text(lines, encoding="utf-8")
        (folder / "fresh.csv").replace(folder / "policies" / "rules.csv")
        eventually(lambda: self.digest() != before)
        return self.digest()

    def digest(self) -> str:
        return str(httpx.get(f"{self.gateway.url}/readyz", timeout=60).json()["policies"])

    def around(
        self, kind: str, lines: str, first: Callable[[Agent], None], second: Callable[[Agent], list[str]]
    ) -> tuple[str, str, list[str]]:
        """Run an attempt, change the policy, and run the next; returns the run, the new digest, what it was told."""
        told: list[str] = []
        digests: list[str] = []

        def work(asked: Asked) -> Said | None:
            run = Agent(self.gateway.url, asked.token)
            if asked.attempt == 1:
                first(run)
                digests.append(self.policy(lines))
                return None
            told.extend(second(run))
            return Said()

        if kind == "managed":
            self.work = work
            name = str(self.boss.post("/runs", {"agent": "worker", "input": {}}).json()["id"])
            eventually(lambda: self.boss.get(f"/runs/{name}").json()["state"] == "finished")
            return name, digests[0], told
        opened = self.boss.post("/runs", {}).json()
        first(Agent(self.gateway.url, opened["token"]))
        digests.append(self.policy(lines))
        again = self.boss.post("/runs", {"id": opened["id"]}).json()
        assert again["attempt"] == 2
        return str(opened["id"]), digests[0], second(Agent(self.gateway.url, again["token"]))

    def audited(self, run: str, attempt: int) -> list[Row]:
        """Return what the audit says of the charges of an attempt, newest first."""
        owner = Target(socket=socket_path(self.gateway.folder / "oncegate.db"))
        wanted = {"run": run, "resource": "mcp/pay/tool/charge"}
        found = cast("dict[str, list[Row]]", ask(owner, "GET", "/api/v1/audit", query=wanted))
        return [one for one in found["records"] if one.get("attempt") == attempt]


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Generator[Changed]:
    tool, model = Tool(), ModelUpstream()
    made: list[Changed] = []

    def answer(asked: Asked) -> Said | None:
        return made[0].work(asked)

    worker = AgentServer(answer)
    more = f"agents: {{worker: {{url: '{worker.url}', domain: acme, retry: {{initial: 20ms, attempts: 3}}}}}}\n"
    more += "approvals: {wait: 1s}\n"
    folder = tmp_path_factory.mktemp("changed")
    try:
        upstream = f"http://127.0.0.1:{model.port}/v1"
        with gateways(folder, model=upstream, tool=tool.url, more=more) as (gateway,):
            (gateway.folder / "policies" / "rules.csv").write_text(BEFORE, encoding="utf-8")
            key_of([gateway], "somebody")
            gateway.start()
            made.append(Changed(gateway, tool))
            eventually(lambda: made[0].boss.get("/runs/none").status_code != 401)
            yield made[0]
    finally:
        for one in (worker, tool, model):
            one.close()


@pytest.fixture(autouse=True)
def afresh(stand: Changed) -> None:
    """Begin each case with everything allowed."""
    if (stand.gateway.folder / "policies" / "rules.csv").read_text(encoding="utf-8") != BEFORE:
        stand.policy(BEFORE)


@KINDS
def test_what_is_denied_now_is_neither_answered_again_nor_executed_and_the_audit_names_the_new_set(
    stand: Changed, kind: str
) -> None:
    old, effects, said = stand.digest(), len(stand.tool.effects), list[str]()
    run, new, told = stand.around(
        kind, DENYING, lambda agent: said.extend([agent.charge(1), agent.charge(1, "look")]),
        lambda agent: [agent.charge(1), agent.charge(2), agent.charge(1, "look")],
    )  # fmt: skip
    again, fresh, looked = told
    assert "not allowed by policy" in again
    # in the same words: which of them had been executed is not to be learnt
    assert fresh == again
    assert looked == said[1]
    assert stand.tool.effects[effects:] == [{"amount": 1}, {"amount": 1}]
    assert {one["policy"] for one in stand.audited(run, 1)} == {old}
    denied = stand.audited(run, 2)
    assert [(one["decision"], one["rule"], one["policy"]) for one in denied] == [("deny", "closed", new)] * 2
    # and allowed once more, the run goes on where it was
    stand.policy(BEFORE)
    if kind == "restarted":
        opened = stand.boss.post("/runs", {"id": run}).json()
        assert Agent(stand.gateway.url, opened["token"]).charge(1) == said[0]
        assert len(stand.tool.effects) == effects + 2


@KINDS
def test_what_was_done_is_answered_without_the_approval_that_is_asked_for_now(stand: Changed, kind: str) -> None:
    effects, said = len(stand.tool.effects), list[str]()
    run, new, told = stand.around(
        kind, ASKING, lambda agent: said.append(agent.charge(3)), lambda agent: [agent.charge(3), agent.charge(4)]
    )
    assert told[0] == said[0]
    assert "approv" in told[1]
    assert len(stand.tool.effects) == effects + 1
    events = {(one["event"], one["rule"], one["policy"]) for one in stand.audited(run, 2)}
    assert ("approval_asked", "asks", new) in events


@KINDS
def test_what_was_done_takes_nothing_of_a_limit_that_came_since(stand: Changed, kind: str) -> None:
    effects, amount = len(stand.tool.effects), 5 if kind == "managed" else 50
    lines = LIMITED.replace("limited", f"limited-{kind}")
    said: list[str] = []
    _, _, told = stand.around(
        kind, lines, lambda agent: said.append(agent.charge(amount)),
        lambda agent: [agent.charge(amount + more) for more in range(3)],
    )  # fmt: skip
    assert told[0] == said[0]
    assert told[1].startswith("charge ")
    assert "limit" in told[2]
    assert len(stand.tool.effects) == effects + 2
