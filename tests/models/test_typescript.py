"""The official TypeScript clients: each exception class raised by its cause (a new one fails), runners, parsers."""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

from tests import typescript
from tests.emulator import anthropic, openai
from tests.emulator.faults import plain, streamed
from tests.gateway.model_upstream import completion
from tests.ports import free_port

if TYPE_CHECKING:
    from tests.emulator.faults import Answer, Received
    from tests.models.apis import Api
    from tests.models.conftest import Stand

#: The provider's own status raises these, its words kept; 401 is about the gateway's credential, no matter of the
#: agent's.
OPENAI_STATUSES: Final = {
    400: "BadRequestError", 401: "InternalServerError", 402: "APIError", 403: "PermissionDeniedError",
    404: "NotFoundError", 409: "ConflictError", 422: "UnprocessableEntityError", 429: "RateLimitError",
    500: "InternalServerError", 503: "InternalServerError",
}  # fmt: skip
ANTHROPIC_STATUSES: Final = {
    400: "BadRequestError", 401: "InternalServerError", 402: "PaymentRequiredError", 403: "PermissionDeniedError",
    404: "NotFoundError", 408: "RequestTimeoutError", 409: "ConflictError", 412: "PreconditionFailedError",
    413: "ContentTooLargeError", 418: "APIError", 422: "UnprocessableEntityError", 429: "RateLimitError",
    431: "RequestHeaderFieldsTooLargeError", 499: "ClientClosedRequestError", 500: "InternalServerError",
    501: "NotImplementedError", 503: "ServiceUnavailableError", 504: "GatewayTimeoutError", 529: "OverloadedError",
}  # fmt: skip
_STATUSES: Final = {"chat": OPENAI_STATUSES, "responses": OPENAI_STATUSES, "messages": ANTHROPIC_STATUSES}
#: The way of a row and what it raises with either client.
_WAYS: Final = {
    "stranger": "AuthenticationError", "nobody": "APIConnectionError", "slow": "APIConnectionTimeoutError",
    "left": "APIUserAbortError", "cut": "APIError",
}  # fmt: skip
#: API, way and what the provider is told, as `node/errors.mjs` reads them.
ROWS: Final = {
    **{f"{api} answered {status}": name for api, known in _STATUSES.items() for status, name in known.items()},
    **{f"{api} {way}": name for api in _STATUSES for way, name in _WAYS.items()},
    "chat parsed length": "LengthFinishReasonError", "chat parsed content_filter": "ContentFilterFinishReasonError",
}  # fmt: skip
#: No answer of any server raises them: bases, the client's own settings and middleware, webhooks.
OTHER: Final = {
    "openai": {"OpenAIError", "InvalidWebhookSignatureError", "OAuthError", "SubjectTokenProviderError"},
    "anthropic": {"AnthropicError", "RetryableError"},
}


@pytest.mark.requirement("MOD-06")
def test_every_class_of_the_typescript_clients_is_raised_by_its_cause(stand: Stand) -> None:
    on = threading.Event()
    stand.provider.fresh()
    stand.provider.faulty = lambda api, received: faulty(api, received, on)
    try:
        told = said_by_node(stand, "errors.mjs", f"http://127.0.0.1:{free_port()}", read=[*ROWS])
    finally:
        on.set()
        stand.provider.fresh()
    raised = {row: name for row, (name, _) in told["raised"].items()}
    assert raised == ROWS
    for row, (_, said) in told["raised"].items():
        _, way, *more = row.split(" ")
        if way == "answered" and more != ["401"]:
            assert f"why {more[0]}" in said, row
        elif way == "cut":
            assert "did not answer to the end" in said, row
    for sdk, other in OTHER.items():
        known = {name for row, name in raised.items() if row.startswith("messages") == (sdk == "anthropic")}
        assert set(told["classes"][sdk]) == known | other


def said_by_node(stand: Stand, script: str, *words: str, read: object = None) -> dict[str, Any]:
    """Return what a script says, which is given `words` and reads JSON: one process for all that it does."""
    node, folder = typescript.clients()
    path = Path(__file__).parent / "node" / script
    command = [str(node), str(path), str(folder), stand.gates[0].url, stand.key, *words]
    done = subprocess.run(command, input=json.dumps(read), capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    return cast("dict[str, Any]", json.loads(done.stdout))


def faulty(api: Api, received: Received, on: threading.Event) -> Answer:
    """Return what the provider answers to the row that is its prompt; until `on` is set it may say nothing."""
    tree = cast("dict[str, Any]", received.tree)
    _, way, *more = str(tree.get("input") or tree["messages"][0]["content"]).split(" ")
    match way:
        case "answered":
            said = {"type": "invalid_request_error", "message": f"why {more[0]}"}
            return plain({"type": "error", "error": said}, status=int(more[0]))
        case "cut":
            return streamed(api.events[: api.half])
        case "parsed":
            message = {"role": "assistant", "content": "un"}
            return plain(completion("un") | {"choices": [{"index": 0, "message": message, "finish_reason": more[0]}]})
        case _:
            return replace(api.whole(received), hold=on)


@pytest.mark.requirement("MOD-07")
def test_tool_runners_and_parsers_of_the_typescript_clients_work_as_without_a_gateway(stand: Stand) -> None:
    stand.provider.fresh()
    stand.provider.faulty = helping
    try:
        told = said_by_node(stand, "helpers.mjs")
    finally:
        stand.provider.fresh()
    assert told["paid"] == ["chat Zoë", "messages Zoë"]
    assert told["said"] == {
        "chat": "paid Zoë", "messages": "paid Zoë",
        "chatParsed": {"to": "Zoë"}, "responsesParsed": {"to": "Zoë"}, "messagesParsed": {"to": "Zoë"},
    }  # fmt: skip


def helping(api: Api, received: Received) -> Answer:
    """Return what the provider answers: a call of the tool, or in words what the tool has said, or what was asked."""
    arguments = json.dumps({"to": "Zoë"})
    tree = cast("dict[str, Any]", received.tree)
    done = "paid Zoë" in json.dumps(tree, ensure_ascii=False)
    if api.name == "responses":
        return plain(openai.response(openai.function_call("pay", arguments)))
    if api.name == "messages":
        formatted = tree["messages"][0]["content"] == "format"
        said = anthropic.text(arguments if formatted else "paid Zoë")
        return plain(anthropic.message(said if done or formatted else anthropic.tool_use("pay", {"to": "Zoë"})))
    call = {"id": "call_1", "type": "function", "function": {"name": "pay", "arguments": arguments}}
    return plain(completion("paid Zoë") if done else completion("", tool_calls=[call]))
