"""The kill switch on a running gateway: refused in the protocol's form, streams cut, lifted, audited."""

from __future__ import annotations

import json
import queue
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from gateway.admin.address import socket_path
from gateway.blocking import UnusableSubject, subject_of
from tests.gateway.held import held
from tests.gateway.model_upstream import ModelUpstream, Script, completion
from tests.gateway.running import POLICIES, RunningGateway
from tests.mcp.stand import eventually, fixture
from tests.mcp.wire import called, headers_for, initialized, modern, post
from tests.oauth.ledger import Ledger
from tests.pace import paced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.mcp.wire import Answered

SERVERS = """mcp_servers:
  ledger: {url: "@url@", era: modern, domain: acme}
  live: {url: "@live@", domain: acme}
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
        with httpx.Client(transport=httpx.HTTPTransport(uds=place), base_url="http://oncegate", timeout=60) as client:
            return client.post(path, json=body) if body else client.get(path)

    def block(self, subject: str) -> None:
        answered = self.ask("/api/v1/blocks", subject=subject, reason="it went wild")
        assert answered.status_code == 200, answered.text

    def unblock(self, subject: str) -> None:
        answered = self.ask("/api/v1/blocks/lift", subject=subject, reason="mended")
        assert answered.status_code == 200, answered.text

    def done(self, key: str) -> bool:
        return any(one["key"] == key and one["state"] == "done" for one in self.ask("/api/v1/calls").json())

    def records(self, call: str | None = None) -> list[dict[str, object]]:
        """Return the audit's records, those of one call or all."""
        lines = self.gateway.oncegate("audit", "export").stdout.splitlines()
        found = [json.loads(line)["record"] for line in lines]
        return [one for one in found if call is None or one.get("call") == call]

    def call(self, agent: str = "billing") -> Answered:
        message = called("note", {"text": "x"})
        headers = headers_for(message) | {"authorization": f"Bearer {self.gateway.keys[agent]}"}
        return post(f"{self.gateway.url}/mcp/ledger", message, headers)

    def status(self, agent: str = "billing") -> int:
        return self.gateway.chat(ASKED, agent=agent).status_code


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that tells of changes."""
    with fixture(tmp_path_factory.mktemp("live") / "effects.txt") as url:
        yield url


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, live: str) -> Iterator[Stand]:
    upstream, ledger = ModelUpstream(), Ledger()
    gateway = RunningGateway(tmp_path_factory.mktemp("blocks"), f"http://127.0.0.1:{upstream.port}/v1", inspects=False)
    # a tool that holds for long is not waited for at the end
    text = gateway.config.read_text(encoding="utf-8").replace("limits: {", "limits: {drain_time: 5s, ")
    servers = SERVERS.replace("@url@", ledger.url).replace("@live@", live)
    gateway.config.write_text(text + servers, encoding="utf-8")
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
            f"{running.gateway.url}/v1/models",
            headers={"authorization": f"Bearer {running.gateway.keys['billing']}"},
            timeout=60,
        )
        assert models.status_code == 403
        assert running.gateway.open_run({}).status_code == 403
        assert (running.status("shipping"), running.call("shipping").text) == (200, "noted")
    finally:
        running.unblock("agent:acme/billing")
    assert eventually(lambda: running.status() == 200)


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
            f"{running.gateway.url}/v1/models",
            headers={"authorization": f"Bearer {running.gateway.keys['billing']}"},
            timeout=60,
        ).json()
        assert "allowed" not in json.dumps(models)
        assert len(running.ledger.notes) == notes
    finally:
        running.unblock("mcp/ledger/tool/note")
        running.unblock("model/allowed")
    assert eventually(lambda: running.call().text == "noted")


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
    assert eventually(lambda: running.gateway.chat(ASKED, headers=token).status_code == 200)


@pytest.mark.requirement("BLK-04")
def test_a_blocked_domain_is_refused_as_caller_and_as_owner_of_what_is_called(running: Stand) -> None:
    running.block("domain:acme")
    try:
        assert "`domain:acme` is blocked" in running.gateway.chat(ASKED).text
    finally:
        running.unblock("domain:acme")
    assert eventually(lambda: running.status() == 200)


@pytest.mark.requirement("BLK-05")
def test_an_answer_that_streams_to_a_blocked_agent_is_cut_and_still_journaled(running: Stand) -> None:
    try:
        with held(running.gateway, running.upstream, ASKED, "billing", idempotency_key="cut-1") as one:
            running.block("agent:acme/billing")
            with pytest.raises(httpx.RemoteProtocolError):
                b"".join(one.parts)
        assert eventually(lambda: running.done("cut-1"))
        correlation = one.answer.headers["oncegate-correlation"]
        cut = [record for record in running.records() if record.get("correlation") == correlation]
        assert [(record["event"], record["cut"]) for record in cut if record["event"] == "withheld"] == [
            ("withheld", True)
        ]
        assert cut[-1]["resource"] == "model/allowed"
    finally:
        running.upstream.script = lambda _: Script(body=completion())
        running.unblock("agent:acme/billing")

    def replayed() -> bool:
        headers = {"authorization": f"Bearer {running.gateway.keys['billing']}", "idempotency-key": "cut-1"}
        again = httpx.post(
            f"{running.gateway.url}/v1/chat/completions", json={**ASKED, "stream": True}, headers=headers, timeout=60
        )
        return again.status_code == 200 and again.headers.get("oncegate-replayed") == "true"

    assert eventually(replayed)


class Listener:
    """Somebody who listens to changes, in a thread: what is told, and `None` when the stream has ended."""

    def __init__(self, running: Stand, path: str, agent: str = "billing") -> None:
        self.told: queue.Queue[str | None] = queue.Queue()
        self._message = modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, ident="mine")
        self._url = f"{running.gateway.url}{path}"
        self._key = running.gateway.keys[agent]
        threading.Thread(target=self._listen, daemon=True).start()
        assert self.next() == "notifications/subscriptions/acknowledged"

    def next(self, seconds_max: float = 60.0) -> str | None:
        """Return the next method that is told."""
        return self.told.get(timeout=seconds_max)

    def ends_within(self, seconds_max: float) -> bool:
        """Return whether the stream ends as early as that."""
        with paced() as pace:
            return self.next() is None and pace.seconds < seconds_max

    def _listen(self) -> None:
        headers = headers_for(self._message) | {"authorization": f"Bearer {self._key}"}
        try:
            with httpx.stream("POST", self._url, json=self._message, headers=headers, timeout=60) as stream:
                for line in stream.iter_lines():
                    if line.startswith("data: "):
                        self.told.put(json.loads(line[6:]).get("method"))
        except httpx.TransportError:
            self.told.put(None)


@pytest.mark.requirement("BLK-05")
def test_what_is_heard_of_a_blocked_server_ends_within_a_second_at_either_endpoint(running: Stand, live: str) -> None:
    own, joined = Listener(running, "/mcp/live"), Listener(running, "/mcp")
    changes = called("test_trigger_tool_change")
    post(live, changes, headers_for(changes))
    assert own.next() == joined.next() == "notifications/tools/list_changed"
    running.block("mcp/live")
    try:
        assert own.ends_within(1.5)
        post(live, changes, headers_for(changes))
        with pytest.raises(queue.Empty):
            joined.next(1.0)
        assert "denied" in post_listen(running)
    finally:
        running.unblock("mcp/live")
    # the joined stream goes on, and says that anything may have changed
    assert joined.next() == "notifications/tools/list_changed"
    running.block("domain:acme")
    try:
        assert joined.ends_within(1.5)
    finally:
        running.unblock("domain:acme")
    assert eventually(lambda: running.status() == 200)


@pytest.mark.requirement("BLK-05")
def test_a_tool_that_streams_to_a_client_of_the_older_era_at_the_joined_endpoint_is_cut(running: Stand) -> None:
    url, own = f"{running.gateway.url}/mcp", {"authorization": f"Bearer {running.gateway.keys['billing']}"}
    session = initialized(url, own)
    asked = {"name": "live__hold", "arguments": {"word": "x"}, "_meta": {"progressToken": 7}}
    message = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": asked}
    try:
        with httpx.stream("POST", url, json=message, headers=session, timeout=60) as answer:
            lines = answer.iter_lines()
            assert "begun" in next(line for line in lines if "notifications/progress" in line)
            running.block("mcp/live/tool/hold")
            with paced() as pace, pytest.raises(httpx.RemoteProtocolError):
                list(lines)
        assert pace.seconds < 1.5
    finally:
        running.unblock("mcp/live/tool/hold")


def post_listen(running: Stand) -> str:
    message = modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, ident="mine")
    headers = headers_for(message) | {"authorization": f"Bearer {running.gateway.keys['billing']}"}
    return json.dumps(post(f"{running.gateway.url}/mcp/live", message, headers).last)


@pytest.mark.requirement("BLK-05")
def test_an_answer_of_a_blocked_model_is_cut_and_one_that_comes_late_is_not_given(running: Stand) -> None:
    hold = threading.Event()
    running.upstream.script = lambda _: Script(hold=hold, hold_after=2)
    headers = {"authorization": f"Bearer {running.gateway.keys['billing']}"}
    url, received = f"{running.gateway.url}/v1/chat/completions", b""
    try:
        with (
            httpx.Client(timeout=60) as client,
            client.stream("POST", url, json={**ASKED, "stream": True}, headers=headers) as answer,
        ):
            parts = answer.iter_bytes()
            while b"hel" not in received:
                received += next(parts)
            running.block("model/allowed")
            with pytest.raises(httpx.RemoteProtocolError):
                b"".join(parts)
        running.unblock("model/allowed")
        hold.set()
        assert eventually(lambda: running.status("shipping") == 200)
        hold = threading.Event()
        running.upstream.script = lambda _: Script(body=completion("too late"), hold=hold)
        late: list[httpx.Response] = []
        asking = threading.Thread(
            target=lambda: late.append(
                httpx.post(url, json=ASKED, headers=headers | {"idempotency-key": "late-1"}, timeout=60)
            )
        )
        asked = len(running.upstream.received)
        asking.start()
        assert eventually(lambda: len(running.upstream.received) > asked)
        running.block("agent:acme/billing")
        assert eventually(lambda: running.status("billing") == 403)
        hold.set()
        asking.join(60)
        assert [one.status_code for one in late] == [403]
        assert "too late" not in late[0].text
        assert eventually(lambda: running.done("late-1"))
        # said in one breath with the outcome, so that neither stands without the other
        said = running.records(late[0].headers["oncegate-call"])
        assert [one["event"] for one in said] == ["decision", "outcome", "withheld"]
        assert "`agent:acme/billing` is blocked" in str(said[-1]["reason"])
        assert said[-1]["status"] == 403
    finally:
        hold.set()
        running.upstream.script = lambda _: Script(body=completion())
        for one in ("model/allowed", "agent:acme/billing"):
            running.ask("/api/v1/blocks/lift", subject=one, reason="over")
    assert eventually(lambda: running.status() == 200)


@pytest.mark.requirement("BLK-05")
def test_no_record_names_a_blocked_person(running: Stand) -> None:
    running.block("user:acme/ada@example.com")
    running.unblock("user:acme/ada@example.com")
    exported = running.gateway.oncegate("audit", "export").stdout
    assert "ada@example.com" not in exported
    deeds = [json.loads(line)["record"] for line in exported.splitlines() if '"admin/blocks"' in line]
    named = [one["subject"] for one in deeds if str(one.get("subject")).startswith("user:acme/person_")]
    assert len(named) == 2
    assert len(set(named)) == 1
    assert "ada@example.com" not in running.gateway.log.read_text(encoding="utf-8")


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
