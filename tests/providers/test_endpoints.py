"""What is listed, and what is not served, as the official SDKs read it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import anthropic
import httpx
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI

from gateway.unserved import UNSERVED, unserved
from tests.emulator.faults import Emulator, plain
from tests.gateway.running import RunningGateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with closing(Emulator(script=lambda _: plain({}))) as provider:
        running = RunningGateway(tmp_path_factory.mktemp("endpoints"), f"{provider.url}/v1", inspects=False)
        running.start()
        yield running
        running.stop()
        assert provider.received == []


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.keys["billing"], max_retries=0) as made:
        yield made


@pytest.fixture
def claude(gateway: RunningGateway) -> Iterator[Anthropic]:
    with Anthropic(base_url=gateway.url, api_key=gateway.keys["billing"], max_retries=0) as made:
        yield made


@pytest.mark.requirement("PROV-04")
def test_models_are_listed_as_either_sdk_reads_them(client: OpenAI, claude: Anthropic) -> None:
    listed = [one.id for one in client.models.list()]
    assert listed == [one.id for one in claude.models.list()]
    assert "allowed" in listed
    assert "forbidden" not in listed
    shown = client.models.retrieve("allowed")
    assert (shown.object, shown.owned_by) == ("model", "acme")
    model = claude.models.retrieve("allowed")
    assert (model.type, model.display_name, model.created_at.year) == ("model", "allowed", 1970)
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("forbidden")
    with pytest.raises(anthropic.NotFoundError):
        claude.models.retrieve("forbidden")
    with pytest.raises(openai.APIStatusError) as caught:
        client.models.delete("allowed")
    assert caught.value.status_code == 405


ASKED: list[Callable[[OpenAI], object]] = [
    lambda sdk: sdk.batches.create(completion_window="24h", endpoint="/v1/responses", input_file_id="file-1"),
    lambda sdk: sdk.files.list(),
    lambda sdk: sdk.files.content("file-1"),
    lambda sdk: sdk.audio.speech.create(model="allowed", voice="alloy", input="hi"),
    lambda sdk: sdk.images.generate(model="allowed", prompt="a cat"),
    lambda sdk: sdk.fine_tuning.jobs.list(),
    lambda sdk: sdk.completions.create(model="allowed", prompt="hi"),
    lambda sdk: sdk.moderations.create(input="hi"),
    lambda sdk: sdk.vector_stores.list(),
    lambda sdk: sdk.containers.list(),
    lambda sdk: sdk.conversations.create(),
    lambda sdk: sdk.chat.completions.list(),
    lambda sdk: sdk.chat.completions.retrieve("chatcmpl-1"),
    lambda sdk: sdk.responses.input_tokens.count(model="allowed", input="hi"),
    lambda sdk: sdk.responses.compact(model="allowed", input="hi"),
    lambda sdk: sdk.get("/assistants", cast_to=httpx.Response),
    lambda sdk: sdk.post("/threads/t/runs", cast_to=httpx.Response),
    lambda sdk: sdk.get("/realtime", cast_to=httpx.Response),
]


@pytest.mark.requirement("PROV-05")
@pytest.mark.parametrize("ask", ASKED)
def test_what_is_not_served_raises_the_sdks_class_and_says_what_to_do(
    client: OpenAI, ask: Callable[[OpenAI], object]
) -> None:
    with pytest.raises((openai.NotFoundError, openai.BadRequestError, openai.APIStatusError)) as caught:
        ask(client)
    assert caught.value.status_code in {400, 404, 405}
    assert "oncegate: " in caught.value.message


@pytest.mark.requirement("PROV-05")
def test_a_websocket_is_refused_in_words(gateway: RunningGateway) -> None:
    upgrade = {
        "authorization": f"Bearer {gateway.keys['billing']}", "connection": "upgrade", "upgrade": "websocket",
        "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    for path in ("/v1/realtime?model=allowed", "/v1/responses"):
        answer = httpx.get(f"{gateway.url}{path}", headers=upgrade, timeout=60)
        assert answer.status_code in {404, 405}
        assert answer.json()["error"]["message"].startswith("oncegate: ")


@pytest.mark.requirement("PROV-05")
def test_every_name_of_the_table_is_refused_with_and_without_version_to_both_vendors(gateway: RunningGateway) -> None:
    key = {"authorization": f"Bearer {gateway.keys['billing']}"}
    for name in ("files", "complete", "organizations"):
        said = httpx.post(
            f"{gateway.url}/v1/{name}/x", headers=key | {"anthropic-version": "2023-06-01"}, timeout=60
        ).json()
        assert said["type"] == "error"
    assert httpx.get(f"{gateway.url}/v1/files", timeout=60).status_code == 401
    for name in UNSERVED:
        assert unserved(f"/v1/{name}") is unserved(f"/{name}/x") is not None
    assert unserved("/v1/unheard") is None
    assert unserved("/healthz") is None
