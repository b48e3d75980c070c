"""A running gateway: stand-ins through real calls, and a detection that dies, hangs, is full or has lost its model."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import httpx
import pytest

from redaction.model import default_folder
from tests.identity.authority import AUDIENCE, ISSUER, claims, ec_jwk, jwks, sign
from tests.mcp.stand import eventually, gateway, write
from tests.redaction.echo import Echo
from tests.serving import oncegate

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator, Iterator

Tree = dict[str, object]
PLACES: Tree = {
    "to": {"type": "string", "format": "email"}, "born": {"type": "string", "format": "date"},
    "dob": {"type": "string", "format": "date"}, "card": {"type": "integer", "maximum": 10**16 - 1},
    "last_name": {"enum": ["Lovelace", "Hopper", "n/a"]}, "note": {"type": "string"},
}  # fmt: skip
SCHEMA: Tree = {"type": "object", "properties": PLACES}
TOOL: Tree = {"name": "note", "inputSchema": SCHEMA, "outputSchema": SCHEMA}
POLICY = """\
p2, acme, default, mcp, *, allow, -
p, role:any, *, run/**, create, -, allow, -
p, role:any, *, mcp/plain/**, *, -, allow, redact=strict
p, role:any, *, mcp/trusted/**, *, -, allow, redact=strict;restore=EMAIL+DOB@/to;restore=DOB@/dob
p, role:any, *, mcp/shown/**, *, -, allow, redact=strict;restore=*@agent
p, role:any, *, model/**, *, -, allow, redact=strict
"""
MORE = """\
trust_domains:
  acme: {{issuers: [{{issuer: "{issuer}", jwks_file: acme.json, algorithms: [ES256], audience: "{audience}",
                      user_claim: user}}]}}
models:
  chat: {{provider: openai_compatible, url: "{url}/v1", upstream_model: up}}
redaction: {{model: "{model}", time: 4s, waiting: 8}}
"""
HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}
ADA: Tree = {"to": "ada@example.com", "dob": "1985-03-02", "card": 4111111111111111, "note": "write to ada@example.com"}
RAW = (b"ada@", b"1985-03-02", b"4111111111111111", b"grace@", b"1990-12-09", b"5555555555554444")


@dataclass(frozen=True, slots=True)
class Running:
    """The gateway before one upstream."""

    url: str
    pid: int
    folder: Path
    model: Path
    echo: Echo
    client: httpx.Client

    def tool(self, server: str, arguments: Tree, run: str = "", user: str = "") -> Tree:
        """Return the result of one tool call, in a run or on behalf of a user."""
        headers = HEADERS | ({"oncegate-run": run} if run else {})
        if user:
            headers["authorization"] = f"Bearer {sign(claims(user=user))}"
        message = {
            "jsonrpc": "2.0",
            "id": 7,
            "method": "tools/call",
            "params": {"name": "note", "arguments": arguments},
        }
        answer = self.client.post(f"/mcp/{server}", json=message, headers=headers)
        assert answer.status_code < 500, answer.text
        return cast("Tree", answer.json()["result"])

    def sent(self) -> Tree:
        """Return the arguments the server got last."""
        return cast("Tree", json.loads(self.echo.received[-1])["params"]["arguments"])

    def ask(self, text: str) -> httpx.Response:
        """Return what a model call is answered."""
        body = {"model": "chat", "messages": [{"role": "user", "content": text}]}
        return self.client.post("/v1/chat/completions", json=body)

    def workers(self) -> list[int]:
        """Return the process ids of the detection's workers."""
        found: list[int] = []
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            for child in (thread / "children").read_text(encoding="ascii").split():
                with contextlib.suppress(OSError):
                    if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                        found.append(int(child))
        return found

    def recovers(self) -> bool:
        """Return whether a call is served again before long."""
        return eventually(lambda: self.ask(f"still there? {os.urandom(4).hex()}").status_code == 200)

    def command(self, *words: str, said: str = "") -> subprocess.CompletedProcess[str]:
        """Return what a command of the gateway's answers."""
        return oncegate(*words, "-c", str(self.folder / "oncegate.yaml"), said=said)

    def refusals(self) -> list[Tree]:
        """Return the audit's records of calls that could not be looked into."""
        records = [cast("Tree", json.loads(line)) for line in self.command("audit", "export").stdout.splitlines()]
        return [record for record in records if "detection" in json.dumps(record)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder, model = tmp_path_factory.mktemp("running"), tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(default_folder(), model)
    with started(folder, model) as one:
        yield one


@contextlib.contextmanager
def started(folder: Path, model: Path) -> Generator[Running]:
    with Echo(TOOL) as echo:
        servers = "".join(f"  {name}: {{url: '{echo.url}/mcp'}}\n" for name in ("plain", "trusted", "shown"))
        more = MORE.format(url=echo.url, model=model, issuer=ISSUER, audience=AUDIENCE)
        write(folder, policy=POLICY, servers=servers, more=more)
        (folder / "acme.json").write_bytes(jwks(ec_jwk("a")))
        with gateway(folder) as (url, pid), httpx.Client(base_url=url, timeout=60) as client:
            yield Running(url=url, pid=pid, folder=folder, model=model, echo=echo, client=client)


@pytest.mark.requirement("RED-31")
def test_stand_ins_fit_what_tools_ask_for_and_come_back_only_where_the_policy_says(running: Running) -> None:
    running.echo.structured = {"to": "grace@example.com", "dob": "1990-12-09", "card": 5555555555554444}
    told = running.tool("plain", ADA, "one")
    first, shown = running.sent(), cast("Tree", told["structuredContent"])
    assert str(first["to"]).endswith("@oncegate.invalid")
    assert str(first["dob"]).startswith("0")
    assert len(str(first["card"])) == 16
    assert str(first["note"]).startswith("write to EMAIL_")
    assert str(shown["to"]).endswith("@oncegate.invalid")
    assert isinstance(shown["card"], int)
    everything = json.dumps([first, told]).encode()
    assert not [raw for raw in RAW if raw in everything]

    running.tool("plain", shown, "one")
    assert running.sent() == shown  # what the agent was given stays what it is
    running.tool("trusted", shown, "one")
    back = running.sent()
    assert (back["to"], back["dob"]) == ("grace@example.com", "1990-12-09")
    assert back["card"] == shown["card"]
    before = len(running.echo.received)
    running.tool("trusted", shown, "two")
    assert len(running.echo.received) == before + 1
    assert not [raw for raw in RAW if raw in json.dumps(running.sent()).encode()]


@pytest.mark.requirement("RED-31")
def test_an_agent_that_may_see_originals_gets_them_in_structured_content(running: Running) -> None:
    running.echo.structured = {"to": "grace@example.com", "dob": "1990-12-09", "card": 5555555555554444}
    assert running.tool("shown", {"note": "hello"}, "three")["structuredContent"] == running.echo.structured


@pytest.mark.requirement("RED-31")
def test_a_place_that_takes_no_stand_in_blocks_the_call_with_entity_and_pointer(running: Running) -> None:
    before = len(running.echo.received)
    result = running.tool("plain", {"last_name": "Lovelace"})
    assert result["isError"] is True
    assert "PERSON at `/params/arguments/last_name`" in json.dumps(result)
    assert len(running.echo.received) == before


@pytest.mark.requirement("RED-27")
def test_who_was_erased_is_gone_from_the_vault_and_what_stood_for_them_stands_for_nothing(running: Running) -> None:
    ann, private = "ann@example.com", "ann.private@example.com"
    running.echo.structured = None
    running.tool("plain", {"to": private, "note": f"write to {private}"}, user=ann)
    gone = running.sent()
    assert private not in str(gone)
    running.tool("trusted", gone, user=ann)
    assert running.sent()["to"] == private
    running.tool("plain", {"to": "bob.private@example.com"}, user="bob@example.com")
    kept = running.sent()

    erased = running.command("erase", "--user", f"acme/{ann}", "--reason", "asked to be forgotten", "--json")
    assert erased.returncode == 0, erased.stderr
    assert json.loads(erased.stdout)["originals"] >= 2
    assert running.command("erase", "--user", f"acme/{ann}", "--reason", "again").returncode == 1
    running.tool("trusted", gone, user=ann)
    assert running.sent()["to"] == gone["to"]
    running.tool("trusted", kept, user="bob@example.com")
    assert running.sent()["to"] == "bob.private@example.com"

    by_value = running.command("erase", "--values", "-", "--reason", "and he", said="bob.private@example.com\n")
    assert by_value.returncode == 0, by_value.stderr
    running.tool("trusted", kept, user="bob@example.com")
    assert running.sent()["to"] == kept["to"]
    assert running.command("audit", "verify").returncode == 0
    said = running.command("audit", "export").stdout
    assert said.count("erase") >= 2
    assert not [one for one in (private, "bob.private") if one in said]


@pytest.mark.requirement("RED-32")
def test_a_killed_worker_fails_the_call_at_hand_closed_and_the_next_are_served(running: Running) -> None:
    assert running.ask("hello, who is there?").status_code == 200
    (worker,) = running.workers()
    before = len(running.echo.received)
    os.kill(worker, signal.SIGSTOP)  # so that the call is surely at hand when it dies
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(running.ask, "mail ada@example.com of the killed one")
        threading.Event().wait(2.0)  # half of what the call waits for a worker
        os.kill(worker, signal.SIGKILL)
        answer = asked.result(60)
    assert answer.status_code == 503
    assert "could not be inspected" in answer.json()["error"]["message"]
    assert len(running.echo.received) == before
    assert running.recovers()
    assert worker not in running.workers()
    assert any("a detection worker died" in json.dumps(record) for record in running.refusals())


@pytest.mark.requirement("RED-32")
def test_a_worker_that_hangs_fails_those_who_wait_and_refuses_those_that_are_too_many(running: Running) -> None:
    assert running.recovers()
    (worker,) = running.workers()
    before = len(running.echo.received)
    os.kill(worker, signal.SIGSTOP)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(running.ask, [f"mail ada{one}@example.com of a queue" for one in range(16)]))
    assert {answer.status_code for answer in answers} == {503}
    assert len(running.echo.received) == before
    assert running.recovers()
    said = json.dumps(running.refusals())
    assert "too many calls wait for detection" in said
    assert "took longer than 4 s" in said


@pytest.mark.requirement("RED-32")
def test_an_answer_nobody_can_inspect_reaches_nobody(running: Running) -> None:
    assert running.recovers()
    (worker,) = running.workers()
    running.echo.say = "write to grace@example.com of the dead worker"
    running.echo.meanwhile = lambda: os.kill(worker, signal.SIGKILL)
    answer = running.ask("hello, what do you say?")
    running.echo.meanwhile = None
    running.echo.say = ""
    assert answer.status_code >= 500
    assert b"grace" not in answer.content
    assert running.recovers()


@pytest.mark.requirement("RED-32")
def test_a_model_that_was_changed_is_not_loaded_again_and_nothing_passes_until_it_is_whole(running: Running) -> None:
    assert running.recovers()
    (worker,) = running.workers()
    file = running.model / "ner" / "model"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        before = len(running.echo.received)
        os.kill(worker, signal.SIGKILL)
        answers = [running.ask(f"mail ada@example.com of model {one}") for one in range(2)]
        assert {answer.status_code for answer in answers} == {503}
        assert len(running.echo.received) == before
    finally:
        file.write_bytes(whole)
    assert running.recovers()
    kept = b"".join(path.read_bytes() for path in running.folder.iterdir() if path.is_file())
    assert not [raw for raw in RAW if raw in kept]
