"""Embeddings through a running gateway, with the official SDK."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, cast

import openai
import pytest

from tests.emulator.faults import plain
from tests.emulator.openai import embeddings, error
from tests.responses.clients import sdk

if TYPE_CHECKING:
    from tests.emulator.faults import Answer, Emulator, Received
    from tests.gateway.running import RunningGateway

VECTOR = [0.5, -1.25, 3.0e-8, 1234567890123.0]
PACKED = base64.b64encode(struct.pack("<4f", *VECTOR)).decode()


def answer(received: Received) -> Answer:
    texts = received.tree["input"]
    many = len(cast("list[object]", texts)) if isinstance(texts, list) else 1
    return plain(embeddings(*[PACKED if received.tree.get("encoding_format") == "base64" else VECTOR] * many))


@pytest.mark.requirement("EMB-01")
@pytest.mark.parametrize("model", ["allowed", "careful"])
def test_texts_become_vectors_as_numbers_and_in_base64(gateway: RunningGateway, provider: Emulator, model: str) -> None:
    provider.script = answer
    client = sdk(gateway)
    numbers = client.embeddings.create(model=model, input=["one", "two"], encoding_format="float")
    assert [one.embedding for one in numbers.data] == [VECTOR, VECTOR]
    assert numbers.usage.prompt_tokens == 5
    packed = client.embeddings.create(model=model, input="one", encoding_format="base64")
    assert cast("object", packed.data[0].embedding) == PACKED
    unpacked = client.embeddings.create(model=model, input="one").data[0].embedding  # the SDK asks for base64 itself
    assert unpacked == pytest.approx(VECTOR)
    raw = client.embeddings.with_raw_response.create(model=model, input="one", encoding_format="float")
    assert b"3e-08" in raw.content


@pytest.mark.requirement("EMB-02")
def test_texts_are_redacted_and_tokens_pass_only_where_nothing_is_looked_at(
    gateway: RunningGateway, provider: Emulator
) -> None:
    provider.script = answer
    client = sdk(gateway)
    client.embeddings.create(model="careful", input=["mail ada@example.com today", "plain"])
    sent = cast("list[str]", provider.received[-1].tree["input"])
    assert "ada@example.com" not in sent[0]
    assert sent[1] == "plain"
    for tokens in ([1, 2, 3], [[1, 2], [3]]):
        with pytest.raises(openai.BadRequestError, match="tokens, which cannot be read"):
            client.embeddings.create(model="careful", input=tokens)
    assert len(provider.received) == 1
    client.embeddings.create(model="allowed", input=[[1, 2], [3]])
    assert provider.received[-1].tree["input"] == [[1, 2], [3]]


@pytest.mark.requirement("EMB-03")
def test_the_same_request_is_answered_from_the_journal(gateway: RunningGateway, provider: Emulator) -> None:
    provider.script = answer
    client = sdk(gateway)
    said = [
        client.embeddings.with_raw_response.create(
            model="allowed", input="again", user=user, extra_headers={"idempotency-key": "emb-1"}
        )
        for user in ("ann", "bob")
    ]
    assert len(provider.received) == 1
    assert said[0].content == said[1].content
    assert said[1].headers["oncegate-replayed"] == "true"


@pytest.mark.requirement("EMB-04")
@pytest.mark.parametrize("text", [5, [], [True], ["a", 1], [[1], "a"], {"a": "b"}])
def test_what_is_no_text_is_refused(gateway: RunningGateway, provider: Emulator, text: object) -> None:
    with pytest.raises(openai.BadRequestError, match="`input` must be"):
        sdk(gateway).embeddings.create(model="allowed", input=cast("str", text))
    assert provider.received == []


@pytest.mark.requirement("EMB-04")
def test_the_vendors_errors_raise_the_sdks_classes(gateway: RunningGateway, provider: Emulator) -> None:
    for status, raised in ((404, openai.NotFoundError), (429, openai.RateLimitError), (500, openai.APIStatusError)):
        said = plain(error("why so"), status=status)
        provider.script = lambda _, said=said: said
        with pytest.raises(raised):
            sdk(gateway).embeddings.create(model="allowed", input=f"{status}")
