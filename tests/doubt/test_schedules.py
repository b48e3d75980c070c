"""Adversarial schedules of the step rules, each on a running gateway (issue 4)."""

from __future__ import annotations

import base64
import json
import os
import socket
from typing import TYPE_CHECKING, cast

import httpx
import pytest

from tests.doubt.bank import Bank, Way
from tests.doubt.stand import RULES, desk_in
from tests.gateway.model_upstream import ModelUpstream, Script, chunk, completion
from tests.gateway.running import PROFILES
from tests.mcp.stand import eventually
from tests.mcp.wire import called, headers_for

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.doubt.stand import Desk
    from tests.mcp.wire import Tree


ADA = {"customer": "Ada Lovelace", "amount": 7}
CALL = {"id": "t1", "type": "function", "function": {"name": "charge_mute", "arguments": json.dumps(ADA)}}


@pytest.fixture(scope="module")
def desk(upstream: ModelUpstream, bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> Generator[Desk]:
    urls = f"http://127.0.0.1:{bank.port}/mcp", f"http://127.0.0.1:{upstream.port}/v1"
    made = desk_in(tmp_path_factory.mktemp("schedules"), *urls, redact="redact=standard;restore=*@agent")
    made.gateway.start()
    made.look()
    yield made
    made.gateway.stop()


@pytest.fixture(autouse=True)
def fresh(bank: Bank, upstream: ModelUpstream) -> None:
    bank.fresh()
    upstream.received.clear()
    upstream.script = lambda _: Script()


def chat(desk: Desk, run: Tree, content: str, **more: object) -> httpx.Response:
    headers = {"authorization": f"Bearer {run['token']}"}
    body = {"model": "careful", "messages": [{"role": "user", "content": content}], **more}
    return httpx.post(f"{desk.gateway.url}/v1/chat/completions", json=body, headers=headers, timeout=60)


def next_attempt(desk: Desk, run: Tree) -> Tree:
    return cast("Tree", desk.gateway.open_run({"id": run["id"]}).json())


@pytest.mark.requirement("IND-10")
def test_a_client_that_gives_up_with_the_answer_in_its_socket_gets_the_same_one(desk: Desk, bank: Bank) -> None:
    run = desk.gateway.open_run({}).json()
    message = called("charge_mute", ADA)
    content = json.dumps(message).encode()
    named = headers_for(message) | {"authorization": f"Bearer {run['token']}", "host": "127.0.0.1"}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    with socket.create_connection(("127.0.0.1", desk.gateway.port)) as client:
        client.sendall(f"POST /mcp/bank HTTP/1.1\r\n{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        assert eventually(lambda: desk.newest()["state"] == "done" and bool(bank.charges))
        assert client.recv(1, socket.MSG_PEEK)  # the answer is there, and nobody takes it
    again = desk.call("charge_mute", ADA, run=run)
    assert again.headers["oncegate-replayed"] == "true"
    assert "charge-0001" in again.text
    assert len(bank.charges) == 1


@pytest.mark.requirement("IND-11")
@pytest.mark.parametrize("stage", ["in its arguments", "before its end"])
def test_a_tool_call_of_a_model_answer_that_is_cut_never_reaches_the_agent(
    desk: Desk, upstream: ModelUpstream, bank: Bank, stage: str
) -> None:
    run = desk.gateway.open_run({}).json()
    first = {"index": 0, "id": "t1", "type": "function", "function": {"name": "charge_mute", "arguments": '{"customer'}}
    rest = {"index": 0, "function": {"arguments": json.dumps(ADA)[len('{"customer') :]}}
    said = [chunk({"content": "let me see "}), chunk({"tool_calls": [first]}), chunk({"tool_calls": [rest]}),
            chunk({}, "tool_calls"), "[DONE]"]  # fmt: skip
    upstream.script = lambda _: Script(chunks=said, cut_after=2 if stage == "in its arguments" else 3)
    cut = chat(desk, run, f"charge Ada, {stage}", stream=True)
    assert b"tool_calls" not in cut.content
    assert b'"error"' in cut.content
    assert desk.newest()["state"] == "in_doubt"
    upstream.script = lambda _: Script(chunks=said)
    whole = chat(desk, next_attempt(desk, run), f"charge Ada, {stage}", stream=True)
    assert whole.content.count(b'"tool_calls"') >= 2
    assert len(upstream.received) == 2
    assert bank.charges == []


@pytest.mark.requirement("IND-12")
@pytest.mark.parametrize("status", [408, 409, 500, 502, 504])
def test_an_error_after_the_effect_is_no_leave_to_repeat_it(desk: Desk, bank: Bank, status: int) -> None:
    run = desk.gateway.open_run({}).json()
    bank.way = Way(answer="error", status=status)
    assert "in_doubt" in desk.call("charge_mute", ADA, run=run).text
    bank.way = Way()
    assert "in_doubt" in desk.call("charge_mute", ADA, run=next_attempt(desk, run)).text
    assert len(bank.charges) == 1


@pytest.mark.requirement("IND-12")
@pytest.mark.parametrize("status", [401, 429])
def test_an_error_that_says_nothing_was_done_leaves_the_call_to_be_made(desk: Desk, bank: Bank, status: int) -> None:
    run = desk.gateway.open_run({}).json()
    bank.way = Way(happens=False, answer="error", status=status)
    assert "in_doubt" not in str(desk.call("charge_mute", ADA, run=run).last)
    assert desk.newest()["state"] == "not_executed"
    bank.way = Way()
    assert "charge-0001" in desk.call("charge_mute", ADA, run=run).text
    assert len(bank.charges) == 1


@pytest.mark.requirement("IND-13")
def test_policy_tightened_between_attempts_decides_replays_as_well(desk: Desk, bank: Bank) -> None:
    run = desk.gateway.open_run({}).json()
    first = desk.call("charge_mute", ADA, run=run)
    assert "Ada Lovelace" in first.text
    rules = (desk.gateway.folder / "policies" / "rules.csv").read_text(encoding="utf-8")
    ours = RULES % {"redact": "redact=standard;restore=*@agent"}
    stricter = rules.replace(ours, RULES % {"redact": "redact=standard"})
    assert stricter != rules
    second = next_attempt(desk, run)
    try:
        desk.gateway.write_policies(stricter)
        assert eventually(lambda: "Ada" not in desk.call("charge_mute", ADA, run=second).text)
        veiled = desk.call("charge_mute", ADA, run=second)
        assert (veiled.headers["oncegate-replayed"], "PERSON_" in veiled.text) == ("true", True)
        desk.gateway.write_policies(stricter + "p, role:clerk, acme, mcp/bank/tool/charge_mute, call, -, deny, -\n")
        assert eventually(lambda: "not allowed" in desk.call("charge_mute", ADA, run=second).text)
    finally:
        desk.gateway.write_policies(rules)
    assert eventually(lambda: "Ada Lovelace" in desk.call("charge_mute", ADA, run=second).text)
    assert len(bank.charges) == 1


@pytest.mark.requirement("IND-14")
def test_rotated_keys_and_another_redaction_change_no_step(desk: Desk, bank: Bank, upstream: ModelUpstream) -> None:
    run = desk.gateway.open_run({}).json()
    upstream.script = lambda _: Script(body=completion("", tool_calls=[CALL]))
    asked = chat(desk, run, "charge Ada Lovelace")
    charged = desk.call("charge_mute", ADA, run=run)
    folder = desk.gateway.folder
    old, profiles = folder / "oncegate.key", folder / "policies" / "redaction.yaml"
    config = desk.gateway.config.read_text(encoding="utf-8")
    desk.gateway.stop()
    (folder / "newer.key").write_bytes(base64.b64encode(os.urandom(32)))
    (folder / "newer.key").chmod(0o600)
    rotated = config.replace("secret_key: file:oncegate.key", "secret_key: [file:newer.key, file:oncegate.key]")
    desk.gateway.config.write_text(rotated, encoding="utf-8")
    kept = "{default: placeholder, entities: {PERSON: keep}}"
    profiles.write_text(PROFILES.replace("{default: placeholder}", kept), encoding="utf-8")
    try:
        desk.gateway.start()
        second = next_attempt(desk, run)
        again = chat(desk, second, "charge Ada Lovelace")
        assert again.headers["oncegate-replayed"] == "true"
        assert again.json() == asked.json()
        answer = desk.call("charge_mute", ADA, run=second)
        assert (answer.headers["oncegate-replayed"], answer.text) == ("true", charged.text)
        assert len(bank.charges) == len(upstream.received) == 1
    finally:
        desk.gateway.stop()
        profiles.write_text(PROFILES, encoding="utf-8")
        desk.gateway.config.write_text(config, encoding="utf-8")
        assert old.exists()
