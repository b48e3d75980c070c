"""The three model APIs side by side: how each is asked, and what its provider says, plain and streamed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx

from tests.emulator import anthropic, openai
from tests.emulator.faults import Answer, Emulator, plain, streamed
from tests.gateway.model_upstream import chunks_of, completion

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.emulator.faults import Received

Tree = dict[str, object]
SAID: Final = "one two three four fünf, 世界"


@dataclass(frozen=True, kw_only=True)
class Api:
    """One API. `plain` and `events` are its provider's whole answer in both forms, `half` is within `events`."""

    name: str
    path: str
    model: str
    content: Tree
    plain: bytes
    events: bytes
    error: Callable[[str], Tree]

    @property
    def half(self) -> int:
        """Some text has left, the end has not."""
        return len(self.events) // 2

    def body(self, *, stream: bool) -> Tree:
        return {"model": self.model, "stream": stream, **self.content}

    def whole(self, received: Received) -> Answer:
        """Return its provider's answer as it was asked for."""
        return streamed(self.events) if received.tree.get("stream") else Answer(body=self.plain)


_CHAT: Final = b"".join(f"data: {one}\n\n".encode() for one in chunks_of([f"{word} " for word in SAID.split()]))
APIS: Final = (
    Api(
        name="chat", path="/v1/chat/completions", model="one",
        content={"messages": [{"role": "user", "content": "hi"}]}, error=openai.error,
        plain=json.dumps(completion(SAID)).encode(), events=_CHAT,
    ),
    Api(
        name="responses", path="/v1/responses", model="one", content={"input": "hi"}, error=openai.error,
        plain=json.dumps(openai.response(openai.message(SAID), openai.function_call())).encode(),
        events=b"".join(openai.events_of(openai.response(openai.message(SAID), openai.function_call()))),
    ),
    Api(
        name="messages", path="/v1/messages", model="claude",
        content={"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}, error=anthropic.error,
        plain=json.dumps(anthropic.message(anthropic.text(SAID), anthropic.tool_use("pay", {"to": "ä"}))).encode(),
        events=anthropic.stream(anthropic.message(anthropic.text(SAID), anthropic.tool_use("pay", {"to": "ä"}))),
    ),
)  # fmt: skip
_BY_PATH: Final = {api.path: api for api in APIS}


def of_path(path: str) -> Api:
    """Return which API a request is of."""
    return _BY_PATH["/v1" + path.removeprefix("/v1").partition("?")[0]]


class Provider:
    """Speaks all three; `faulty` may take the place of an answer."""

    def __init__(self) -> None:
        self.faulty: Callable[[Api, Received], Answer | None] = lambda _api, _received: None
        self.emulator = Emulator(script=self._answer)

    def asked(self, api: Api) -> int:
        """Return how many calls of one API came."""
        return sum(of_path(one.path) is api for one in self.emulator.received)

    def fresh(self) -> None:
        self.emulator.received.clear()
        self.faulty = lambda _api, _received: None

    def _answer(self, received: Received) -> Answer:
        api = of_path(received.path)
        return self.faulty(api, received) or api.whole(received)


def refusing(api: Api, status: int) -> Answer:
    """Return its provider's error."""
    return plain(api.error("rate_limit_error"), status=status, headers=(("retry-after", "7"),))


def ask(url: str, key: str, api: Api, name: str | None = None, *, stream: bool) -> httpx.Response:
    """Ask with the idempotency key `name`."""
    return httpx.post(f"{url}{api.path}", json=api.body(stream=stream), headers=headers(key, name), timeout=60)


def begin(url: str, key: str, api: Api, name: str) -> bytes:
    """Ask for a stream, and go away after its first bytes."""
    asked = httpx.stream("POST", f"{url}{api.path}", json=api.body(stream=True), headers=headers(key, name), timeout=60)
    with asked as answer:
        assert answer.status_code == 200, answer.read()
        return next(answer.iter_raw())


def headers(key: str, name: str | None) -> dict[str, str]:
    told = {"authorization": f"Bearer {key}", "anthropic-version": "2023-06-01"}
    return told if name is None else told | {"idempotency-key": name}
