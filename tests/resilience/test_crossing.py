"""Fallback from one provider to another, in either direction, and a gateway killed between two tries."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest
from anthropic import Anthropic

from tests.emulator.anthropic import AnthropicEmulator, error, message, text
from tests.emulator.faults import plain
from tests.gateway.model_upstream import ModelUpstream, Script, completion
from tests.resilience.stand import stand_in
from tests.runs.stand import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.resilience.stand import Stand


CONFIG = """models:
  gpt: {provider: openai_compatible, url: "%(ours)s/v1", domain: acme, fallback: claude}
  claude: {provider: anthropic, url: "%(theirs)s/v1", domain: acme, fallback: gpt, credential: "file:upstream.key",
           max_output_tokens: 4096, price: {input: 1.0, output: 2.0}}
  tried: {provider: openai_compatible, url: "%(ours)s/v1", domain: acme}
resilience:
  model/tried: {retry: {attempts: 3, policy: constant, initial: 20s, max_interval: 20s, jitter: 0}}
"""


@pytest.fixture(scope="module")
def ours() -> Iterator[ModelUpstream]:
    server = ModelUpstream()
    yield server
    server.close()


@pytest.fixture(scope="module")
def theirs() -> Iterator[AnthropicEmulator]:
    server = AnthropicEmulator()
    yield server
    server.close()


@pytest.fixture(scope="module")
def stand(ours: ModelUpstream, theirs: AnthropicEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    config = CONFIG % {"ours": f"http://127.0.0.1:{ours.port}", "theirs": theirs.url}
    made = stand_in(tmp_path_factory.mktemp("crossing"), config)
    made.gateway.start()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def fresh(ours: ModelUpstream, theirs: AnthropicEmulator) -> None:
    theirs.fresh()
    ours.received.clear()
    ours.script = lambda _: Script()


@pytest.mark.requirement("RES-10", "RES-11")
def test_a_chat_agent_is_answered_by_anthropics_model_while_its_own_is_down(
    stand: Stand, ours: ModelUpstream, theirs: AnthropicEmulator
) -> None:
    ours.script = lambda _: Script(status=503, body={"error": {"message": "down"}})
    theirs.says = lambda _: message(text("from claude"))
    raw = stand.sdk().chat.completions.with_raw_response.create(
        model="gpt", messages=[{"role": "user", "content": "cross"}]
    )
    assert raw.headers["oncegate-model"] == "claude"
    assert raw.parse().choices[0].message.content == "from claude"
    with stand.sdk().chat.completions.create(
        model="gpt", messages=[{"role": "user", "content": "cross in a stream"}], stream=True
    ) as parts:
        assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices) == "from claude"
    assert (len(ours.received), len(theirs.received)) == (2, 2)
    assert stand.outcomes()[-1]["answered_by"] == "model/claude"


@pytest.mark.requirement("RES-10")
def test_a_messages_agent_is_answered_by_a_chat_model_while_its_own_is_overloaded(
    stand: Stand, ours: ModelUpstream, theirs: AnthropicEmulator
) -> None:
    theirs.faulty = lambda _: plain(error("overloaded_error"), status=529)
    ours.script = lambda _: Script(body=completion("from gpt"))
    with Anthropic(base_url=stand.gateway.url, api_key=stand.gateway.keys["billing"], max_retries=0) as client:
        said = client.messages.create(
            model="claude", max_tokens=100, messages=[{"role": "user", "content": "cross back"}]
        )
    assert [block.text for block in said.content if block.type == "text"] == ["from gpt"]
    assert (len(theirs.received), len(ours.received)) == (1, 1)


@pytest.mark.requirement("RES-03")
def test_a_gateway_killed_between_two_tries_leaves_the_call_in_doubt(stand: Stand, ours: ModelUpstream) -> None:
    ours.script = lambda _: Script(status=500, body={"error": {}})
    run = stand.gateway.open_run({}).json()
    body = {"model": "tried", "messages": [{"role": "user", "content": "killed"}]}

    def asked(token: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"}
        return httpx.post(f"{stand.gateway.url}/v1/chat/completions", json=body, headers=headers, timeout=60)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(asked, run["token"])
        eventually(lambda: bool(ours.received))
        threading.Event().wait(0.2)  # into the wait before the second try; earlier would be in doubt as well
        stand.gateway.kill()
        assert isinstance(first.exception(60), httpx.TransportError)
    stand.gateway.start()
    assert (stand.newest()["state"], len(ours.received)) == ("in_doubt", 1)
    ours.script = lambda _: Script()
    again = asked(stand.gateway.open_run({"id": run["id"]}).json()["token"])
    assert again.json()["choices"][0]["message"]["content"] == "hello"
    assert (stand.newest()["attempt"], len(ours.received)) == (2, 2)
