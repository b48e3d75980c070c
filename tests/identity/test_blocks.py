"""The kill switch on a running gateway: refused in the protocol's form, streams cut, lifted, audited."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from gateway.admin.address import socket_path
from gateway.blocking import UnusableSubject, subject_of
from tests.gateway.model_upstream import ModelUpstream, Script, completion
from tests.gateway.running import POLICIES, RunningGateway
from tests.mcp.stand import eventually
from tests.mcp.wire import called, headers_for, post
from tests.oauth.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.mcp.wire import Answered

SERVERS = """mcp_servers:
  ledger: {url: "@url@", era: modern, domain: acme}
"""
RULES = """p, role:any, acme, mcp/*, list, -, allow, -
p, role:any, acme, mcp/**, call, -, allow, -
"""
ASKED = {"model": "allowed", "messages": [{"role": "user", "content": "hi"}]}


class Stand:
    """A gateway with a model and a tool server."""

    def __init__(self, gateway: RunningGateway, upstream: ModelUpstream, ledger: Ledger) -> None:
        self.gateway = gateway
        self.upstream = upstream
        self.ledger = ledger

    def ask(self, path: str, **body: object) -> httpx.Response:
        """Ask the owner's socket, as the commands do."""
        place = str(socket_path(self.gateway.folder / "oncegate.db"))
        with httpx.Client(transport=httpx.HTTPTransport(uds=place), base_url="http://oncegate", timeout=10) as client:
            return client.post(path, json=body) if body else client.get(path)

    def block(self, subject: str) -> None:
        answered = self.ask("/api/v1/blocks", subject=subject, reason="it went wild")
        assert answered.status_code == 200, answered.text

    def unblock(self, subject: str) -> None:
        answered = self.ask("/api/v1/blocks/lift", subject=subject, reason="mended")
        assert answered.status_code == 200, answered.text

    def done(self, key: str) -> bool:
        return any(one["key"] == key and one["state"] == "done" for one in self.ask("/api/v1/calls").json())

    def call(self, agent: str = "billing") -> Answered:
        message = called("note", {"text": "x"})
        headers = headers_for(message) | {"authorization": f"Bearer {self.gateway.keys[agent]}"}
        return post(f"{self.gateway.url}/mcp/ledger", message, headers)

    def status(self, agent: str = "billing") -> int:
        return self.gateway.chat(ASKED, agent=agent).status_code


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    upstream, ledger = ModelUpstream(), Ledger()
    gateway = RunningGateway(tmp_path_factory.mktemp("blocks"), f"http://127.0.0.1:{upstream.port}/v1", inspects=False)
    with gateway.config.open("a", encoding="utf-8") as file:
        file.write(SERVERS.replace("@url@", ledger.url))
    kept = "".join(
        line for line in POLICIES.splitlines(keepends=True) if "careful" not in line and "closed" not in line
    )
    gateway.write_policies(kept + RULES)
    gateway.start()
    yield Stand(gateway, upstream, ledger)
    gateway.stop()
    upstream.close()
    ledger.close()


@pytest.mark.requirement("BLK-04")
def test_a_blocked_agent_is_refused_in_its_protocols_form_and_others_are_not(running: Stand) -> None:
    running.block("agent:acme/billing")
    try:
        refused = running.gateway.chat(ASKED)
        assert refused.status_code == 403
        assert refused.headers["x-should-retry"] == "false"
        assert "`agent:acme/billing` is blocked by an operator" in refused.json()["error"]["message"]
        answered = running.call()
        assert answered.status == 403
        assert "is blocked by an operator" in answered.last["error"]["message"]
        models = httpx.get(
            f"{running.gateway.url}/v1/models", headers={"authorization": f"Bearer {running.gateway.keys['billing']}"}
        )
        assert models.status_code == 403
        assert running.gateway.open_run({}).status_code == 403
        assert (running.status("shipping"), running.call("shipping").text) == (200, "noted")
    finally:
        running.unblock("agent:acme/billing")
    assert eventually(lambda: running.status() == 200, seconds_max=1.5)


@pytest.mark.requirement("BLK-04")
def test_a_blocked_server_tool_and_model_are_refused_and_not_listed(running: Stand) -> None:
    notes = len(running.ledger.notes)
    running.block("mcp/ledger/tool/note")
    running.block("model/allowed")
    try:
        answered = running.call()
        assert answered.status == 200
        assert answered.last["result"]["isError"] is True
        assert "`mcp/ledger/tool/note` is blocked by an operator" in answered.text
        assert running.status() == 403
        models = httpx.get(
            f"{running.gateway.url}/v1/models", headers={"authorization": f"Bearer {running.gateway.keys['billing']}"}
        ).json()
        assert "allowed" not in json.dumps(models)
        assert len(running.ledger.notes) == notes
    finally:
        running.unblock("mcp/ledger/tool/note")
        running.unblock("model/allowed")
    assert eventually(lambda: running.call().text == "noted", seconds_max=1.5)


@pytest.mark.requirement("BLK-04")
def test_a_blocked_run_stops_and_goes_on_when_it_is_lifted(running: Stand) -> None:
    opened = running.gateway.open_run({}).json()
    token = {"authorization": f"Bearer {opened['token']}"}
    assert running.gateway.chat(ASKED, headers=token).status_code == 200
    running.block(f"run:{opened['id']}")
    refused = running.gateway.chat(ASKED, headers=token)
    assert (refused.status_code, f"run:{opened['id']}" in refused.text) == (403, True)
    assert running.status() == 200
    running.unblock(f"run:{opened['id']}")
    assert eventually(lambda: running.gateway.chat(ASKED, headers=token).status_code == 200, seconds_max=1.5)


@pytest.mark.requirement("BLK-04")
def test_a_blocked_domain_is_refused_as_caller_and_as_owner_of_what_is_called(running: Stand) -> None:
    running.block("domain:acme")
    try:
        assert "`domain:acme` is blocked" in running.gateway.chat(ASKED).text
    finally:
        running.unblock("domain:acme")
    assert eventually(lambda: running.status() == 200, seconds_max=1.5)


@pytest.mark.requirement("BLK-05")
def test_an_answer_that_streams_to_a_blocked_agent_is_cut_and_still_journaled(running: Stand) -> None:
    hold = threading.Event()
    running.upstream.script = lambda _: Script(hold=hold, hold_after=2)
    headers = {"authorization": f"Bearer {running.gateway.keys['billing']}", "idempotency-key": "cut-1"}
    received = b""
    try:
        with (
            httpx.Client(timeout=10) as client,
            client.stream(
                "POST", f"{running.gateway.url}/v1/chat/completions", json={**ASKED, "stream": True}, headers=headers
            ) as answer,
        ):
            parts = answer.iter_bytes()
            while b"hel" not in received:
                received += next(parts)
            running.block("agent:acme/billing")
            with pytest.raises(httpx.RemoteProtocolError):
                b"".join(parts)
        hold.set()
        assert eventually(lambda: running.done("cut-1"))
    finally:
        hold.set()
        running.upstream.script = lambda _: Script(body=completion())
        running.unblock("agent:acme/billing")

    def replayed() -> bool:
        again = httpx.post(
            f"{running.gateway.url}/v1/chat/completions", json={**ASKED, "stream": True}, headers=headers, timeout=10
        )
        return again.status_code == 200 and again.headers.get("oncegate-replayed") == "true"

    assert eventually(replayed, seconds_max=2)


@pytest.mark.requirement("BLK-06")
def test_a_misspelt_block_is_refused_with_the_nearest_name_and_what_is_done_is_audited(running: Stand) -> None:
    gateway = running.gateway
    wrong = gateway.oncegate("block", "mcp/leger", "--reason", "x")
    assert wrong.returncode == 1
    assert "did you mean `ledger`" in wrong.stderr
    assert gateway.oncegate("block", "billing", "--reason", "x").returncode == 2
    assert gateway.oncegate("block", "run:nobody", "--reason", "x").returncode == 1
    assert gateway.oncegate("unblock", "mcp/ledger", "--reason", "x").returncode == 1
    assert gateway.oncegate("block", "mcp/soon", "--reason", "it went wild", "--unknown").returncode == 0
    listed = json.loads(gateway.oncegate("blocks", "--json").stdout)
    assert [(one["subject"], one["reason"]) for one in listed] == [("mcp/soon", "it went wild")]
    assert gateway.oncegate("unblock", "mcp/soon", "--reason", "mended").returncode == 0
    assert "nothing is blocked" in gateway.oncegate("blocks").stdout + gateway.oncegate("blocks").stderr
    lines = [json.loads(line) for line in gateway.oncegate("audit", "export").stdout.splitlines()]
    deeds = [
        (one["record"]["deed"], one["record"]["subject"])
        for one in lines
        if one["record"].get("resource") == "admin/blocks"
    ]
    assert ("block", "mcp/soon") in deeds
    assert ("unblock", "mcp/soon") in deeds


@pytest.mark.requirement("BLK-06")
@pytest.mark.parametrize(
    "text",
    ["agent:acme/billing", "user:acme/ada@example.com", "domain:acme", "run:run_1", "mcp/a/tool/x", "model/meta%2Fll"],
)
def test_what_may_be_blocked(text: str) -> None:
    assert subject_of(text) == text


@pytest.mark.requirement("BLK-06")
@pytest.mark.parametrize(
    "text", ["", "billing", "agent:billing", "agent:acme/", "agent:acme/b*", "mcp/*", "mcp//x", "run:a b", "role:clerk",
             "domain:", "model", "admin/runs", "agent:acme/" + "x" * 700],
)  # fmt: skip
def test_what_may_not_be_blocked(text: str) -> None:
    with pytest.raises(UnusableSubject):
        subject_of(text)
