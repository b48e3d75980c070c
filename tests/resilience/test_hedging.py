"""A slow model asked again beside the first request, through a running gateway."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import pytest

from tests.gateway.model_upstream import ModelUpstream, Script, completion
from tests.resilience.stand import stand_in
from tests.runs.stand import eventually

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tests.resilience.stand import Stand


CONFIG = """models:
  twice: {provider: openai_compatible, url: "%(model)s", domain: acme, price: {input: 1.0, output: 2.0}}
resilience:
  model/twice: {timeout: 60s, hedge: {after: 2s, max: 1}}
"""


@pytest.fixture(scope="module")
def stand(upstream: ModelUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    made = stand_in(tmp_path_factory.mktemp("hedging"), CONFIG % {"model": f"http://127.0.0.1:{upstream.port}/v1"})
    made.gateway.start()
    yield made
    made.close()


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """What the first request waits for."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture(autouse=True)
def fresh(upstream: ModelUpstream) -> None:
    upstream.received.clear()
    upstream.script = lambda _: Script()


def answers(upstream: ModelUpstream, *scripts: Script) -> None:
    left = list(scripts)
    upstream.script = lambda _: left.pop(0)


@contextmanager
def let_go(never: threading.Event, upstream: ModelUpstream) -> Generator[None]:
    """Let the first request go on a second after the second was sent, whose answer is there by then."""

    def let() -> None:
        eventually(lambda: len(upstream.received) == 2)
        never.wait(1.0)
        never.set()

    waiting = threading.Thread(target=let)
    waiting.start()
    yield
    waiting.join()


@pytest.mark.requirement("RES-13")
@pytest.mark.parametrize("stream", [False, True])
def test_the_second_request_answers_where_the_first_hangs_and_both_are_paid(
    stand: Stand, upstream: ModelUpstream, never: threading.Event, *, stream: bool
) -> None:
    usage = '{"id": "c", "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}}'
    chunks = ['{"id": "c", "choices": [{"index": 0, "delta": {"content": "second"}, "finish_reason": "stop"}]}', usage]
    second = Script(chunks=[*chunks, "[DONE]"]) if stream else Script(body=completion("second"))
    answers(upstream, Script(hold=never), second)
    answer = stand.ask(
        "twice", f"hangs {stream}", stream=stream, stream_options={"include_usage": True} if stream else None
    )
    assert answer.status_code == 200
    assert "second" in answer.text
    assert len(upstream.received) == 2
    meta = cast("dict[str, object]", stand.newest()["meta"])
    assert (meta["tries"], meta["dropped"], meta["cost_usd"]) == (2, 1, round(2 * (11 + 14) / 1e6, 9))
    ended = stand.outcomes()[-1]
    assert (ended["ending"], ended["tries"], ended["dropped"]) == ("executed", 2, 1)


@pytest.mark.requirement("RES-13")
def test_an_answer_in_time_is_asked_for_once_and_a_bad_one_does_not_win(
    stand: Stand, upstream: ModelUpstream, never: threading.Event
) -> None:
    assert "oncegate-tries" not in stand.ask("twice", "quick").headers
    assert len(upstream.received) == 1
    upstream.received.clear()
    answers(upstream, Script(hold=never, body=completion("first after all")), Script(status=500, body={"error": {}}))
    with let_go(never, upstream):
        answer = stand.ask("twice", "the second is bad")
    assert "first after all" in answer.text
    assert len(upstream.received) == 2
    assert "dropped" not in cast("dict[str, object]", stand.newest()["meta"])


@pytest.mark.requirement("RES-13")
def test_when_both_are_lost_the_call_is_in_doubt(stand: Stand, upstream: ModelUpstream, never: threading.Event) -> None:
    answers(upstream, Script(hold=never, cut_after=9), Script(cut_after=9))
    with let_go(never, upstream):
        answer = stand.ask("twice", "both cut")
    assert answer.status_code == 502
    assert stand.newest()["state"] == "in_doubt"
    assert len(upstream.received) == 2
