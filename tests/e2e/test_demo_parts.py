"""The demo's parts by themselves, without the gateway: processes on loopback, the unmodified SDKs as clients."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from openai import NotFoundError, OpenAI

from gateway.demo.model_script import next_turn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openai.types.chat import ChatCompletionToolParam

KEY = "a-key-of-the-tests"
WAIT_SECONDS_MAX = 60


class Server:
    """One of the demo's servers as a process; it ends when its standard input closes."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"gateway.demo.{module}", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def end(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(WAIT_SECONDS_MAX)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(KEY + "\n")
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "seen.jsonl"


@pytest.fixture
def model(key_file: Path, log: Path) -> Iterator[Server]:
    server = Server("model_server", "--log", str(log), "--key-file", str(key_file))
    yield server
    server.end()


def _client(server: Server, key: str = KEY) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)


@pytest.mark.requirement("DEMO-01")
def test_the_openai_sdk_reads_the_scripted_model_plain_and_streamed_with_tools_and_usage(
    model: Server, log: Path
) -> None:
    tool: ChatCompletionToolParam = {"type": "function", "function": {"name": "find_invoice", "parameters": {}}}
    with _client(model) as client:
        plain = client.chat.completions.create(
            model="scripted-model", messages=[{"role": "user", "content": "pay INV-7"}], tools=[tool], n=2
        )
        with client.chat.completions.stream(
            model="scripted-model", messages=[{"role": "user", "content": "pay INV-7"}], tools=[tool],
            stream_options={"include_usage": True},
        ) as stream:  # fmt: skip
            streamed = stream.get_final_completion()
    for completion, choices in ((plain, 2), (streamed, 1)):
        assert len(completion.choices) == choices
        calls = completion.choices[0].message.tool_calls
        assert calls is not None
        assert json.loads(calls[0].model_dump()["function"]["arguments"]) == {"number": "INV-7"}
        assert completion.choices[0].finish_reason == "tool_calls"
        assert completion.usage is not None
        assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
    assert plain.id == streamed.id
    assert len(log.read_text().splitlines()) == 2


@pytest.mark.requirement("DEMO-01")
def test_the_scripted_model_refuses_strangers_other_models_and_what_is_no_request(model: Server) -> None:
    with httpx.Client(base_url=model.url, trust_env=False, timeout=60) as client:
        assert client.post("/v1/chat/completions", json={}).status_code == 401
        named = {"authorization": f"Bearer {KEY}"}
        assert client.post("/v1/chat/completions", json={}, headers=named).status_code == 400
        assert client.post("/v1/chat/completions", content=b"[", headers=named).status_code == 400
    with _client(model) as client, pytest.raises(NotFoundError):
        client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "hello"}])


@pytest.mark.requirement("DEMO-01")
def test_the_script_says_what_it_was_sent_and_nothing_else() -> None:
    asked = [{"role": "user", "content": "Who am I talking about: PERSON_abc, card CARD_def"}]
    assert next_turn(asked, frozenset()).text == "You are talking about PERSON_abc, card CARD_def"
    paying: list[dict[str, object]] = [{"role": "user", "content": [{"type": "text", "text": "pay INV-7"}]}]
    tools = frozenset({"find_invoice"})
    assert next_turn(paying, tools).tool == "find_invoice"
    paying.append(
        {"role": "tool", "content": '{"customer": "PERSON_abc", "card": "C", "amount": 1, "currency": "EUR"}'}
    )
    assert dict(next_turn(paying, tools).arguments)["customer"] == "PERSON_abc"
    paying.append({"role": "tool", "content": "not allowed by policy"})
    assert next_turn(paying, tools).text == "INV-7 is not paid: not allowed by policy"


@pytest.mark.requirement("DEMO-02")
def test_the_agent_pays_an_invoice_with_unmodified_sdks_and_dies_where_it_is_told_to(
    model: Server, key_file: Path, tmp_path: Path
) -> None:
    ledger, marker = tmp_path / "ledger.jsonl", tmp_path / "die"
    marker.touch()
    payments = Server(
        "payments_server", "--ledger", str(ledger), "--hold", str(tmp_path / "hold"), "--key-file", str(key_file)
    )
    variables = {
        "OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_API_KEY": KEY, "DEMO_MODEL": "scripted-model",
        "ONCEGATE_MCP_URL": f"{payments.url}/mcp", "DEMO_MCP_SERVER": "", "DEMO_DIE_AFTER_CHARGE": str(marker),
    }  # fmt: skip
    command = [sys.executable, "-m", "gateway.demo.agent", "Please settle invoice INV-7."]
    try:
        killed, ended = (
            subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=60)
            for _ in range(2)
        )
    finally:
        payments.end()
    assert killed.returncode == -9
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert (told["fresh"], told["replayed"]) == (5, 0)
    assert "charged to card 4111 1111 1111 1111, reference charge-0002" in told["answer"]
    charges = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert [charge["amount"] for charge in charges] == [249.5, 249.5], "without a gateway the card is charged twice"


@pytest.mark.requirement("DEMO-01")
def test_a_server_of_the_demo_ends_with_who_started_it(key_file: Path, log: Path) -> None:
    assert Server("model_server", "--log", str(log), "--key-file", str(key_file)).end() == 0
