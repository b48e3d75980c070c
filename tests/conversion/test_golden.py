"""Traffic as it was recorded, and what it is in the other protocol: files that a person has read.

`python -m tests.conversion.test_golden` writes what is said today, to be compared.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from gateway import body
from gateway.conversion.carried import Terms, Tree
from gateway.conversion.chat_request import to_messages
from gateway.conversion.messages_request import to_chat
from gateway.conversion.reader import of_chat, of_messages
from gateway.protocols.anthropic_messages_answer import MessagesReader
from gateway.protocols.openai_chat_answer import ChatReader
from tests.conversion.official import demand_chat_request, demand_messages_request
from tests.conversion.test_answers import read

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parents[1] / "recorded" / "conversion"
TERMS = Terms(output_tokens_max=4096)


def _request(given: bytes, say: Callable[[Tree, Terms], Tree]) -> str:
    said = say(cast("Tree", body.parse(given)), TERMS)
    return json.dumps(json.loads(body.encode(said)), indent=1, ensure_ascii=False) + "\n"


def as_chat_request(given: bytes) -> str:
    return _request(given, lambda tree, terms: to_chat(tree, terms).tree)


def as_messages_request(given: bytes) -> str:
    return _request(given, lambda tree, terms: to_messages(tree, terms).tree)


def as_chat_stream(given: bytes) -> str:
    return read(of_messages(ChatReader(), created=7, shows_usage=True), [given])[0].decode()


def as_messages_stream(given: bytes) -> str:
    return read(of_chat(MessagesReader(thinking="text")), [given])[0].decode()


CASES: list[tuple[str, str, Callable[[bytes], str]]] = [
    ("messages_request", "json", as_chat_request), ("chat_request", "json", as_messages_request),
    ("messages_stream", "sse", as_chat_stream), ("chat_stream", "sse", as_messages_stream),
]  # fmt: skip


@pytest.mark.requirement("CONV-09")
@pytest.mark.parametrize(("name", "form", "say"), CASES)
def test_recorded_traffic_is_said_as_the_golden_file_says(name: str, form: str, say: Callable[[bytes], str]) -> None:
    given = (FOLDER / f"{name}.given.{form}").read_bytes()
    assert say(given) == (FOLDER / f"{name}.said.{form}").read_text(encoding="utf-8")


@pytest.mark.requirement("CONV-01", "CONV-09")
def test_golden_requests_are_accepted_by_the_official_types() -> None:
    demand_chat_request(cast("Tree", json.loads((FOLDER / "messages_request.said.json").read_bytes())))
    demand_messages_request(cast("Tree", json.loads((FOLDER / "chat_request.said.json").read_bytes())))


if __name__ == "__main__":
    for name, form, say in CASES:
        (FOLDER / f"{name}.said.{form}").write_text(
            say((FOLDER / f"{name}.given.{form}").read_bytes()), encoding="utf-8"
        )
