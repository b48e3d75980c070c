"""What a provider keeps belongs to who received it: responses, items, containers, files, connectors."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, cast

import openai
import pytest

from tests.emulator.faults import plain
from tests.emulator.openai import answering, message, reasoning, response
from tests.responses.clients import sdk

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam
    from openai.types.responses import ResponseInputParam, ToolParam

    from tests.emulator.faults import Answer, Emulator, Received
    from tests.gateway.running import RunningGateway

_NAMES = itertools.count()
FILE: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}
]


def received(gateway: RunningGateway, provider: Emulator, *, stream: bool = False) -> str:
    """Let `billing` receive a response with items, and return its id."""
    name = f"resp_own{next(_NAMES)}"
    ran: dict[str, object] = {"id": f"ci_{name}", "type": "code_interpreter_call", "status": "completed",
                              "code": "1", "container_id": f"cntr_{name}", "outputs": []}  # fmt: skip
    thought = reasoning("so") | {"id": f"rs_{name}"}
    cited = message("see", annotations=[{"type": "file_citation", "file_id": f"file-{name}", "index": 0}])
    provider.script = answering(response(thought, ran, cited, name=name))
    client = sdk(gateway)
    if stream:
        with client.responses.stream(model="allowed", input=name) as events:
            events.until_done()
    else:
        client.responses.create(model="allowed", input=name)
    provider.received.clear()
    return name


def naming(name: str) -> list[dict[str, object]]:
    """Return requests that name a response or what came with it, in each way there is."""
    pictured = {"role": "user", "content": [{"type": "input_image", "file_id": f"file-{name}"}]}
    container: dict[str, object] = {"type": "function", "name": "f", "parameters": {}, "container": f"cntr_{name}"}
    return [
        {"previous_response_id": name, "input": "go on"},
        {"input": [{"type": "item_reference", "id": f"rs_{name}"}]},
        {"input": [{"id": f"rs_{name}"}]},
        {"input": [{"type": "reasoning", "id": f"rs_{name}", "summary": []}]},
        {"input": [pictured]},
        {"input": "x", "tools": [container]},
        {"input": "x", "prompt_cache_options": {"comparison_response_id": name}},
    ]


@pytest.mark.requirement("RESP-13")
@pytest.mark.parametrize("stream", [False, True])
def test_who_received_an_object_may_name_it_and_nobody_else(
    gateway: RunningGateway, provider: Emulator, stream: bool  # noqa: FBT001 - a column
) -> None:  # fmt: skip
    name = received(gateway, provider, stream=stream)
    for request in naming(name):
        assert sdk(gateway).responses.create(model="allowed", extra_body=request).output_text == "see"
    sent = len(provider.received)
    assert sent == len(naming(name))
    for request in naming(name):
        with pytest.raises(openai.BadRequestError, match="did not receive through this gateway"):
            sdk(gateway, "shipping").responses.create(model="allowed", extra_body=request)
    assert len(provider.received) == sent


@pytest.mark.requirement("RESP-13")
@pytest.mark.parametrize(
    "request_",
    [
        {"conversation": "conv_1"}, {"conversation": {"id": "conv_1"}}, {"prompt": {"id": "pmpt_1"}}, {"prompt": {}},
        {"previous_response_id": "resp_elsewhere"}, {"previous_response_id": "../x"},
        {"input": [{"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
        {"input": [{"type": "image_generation_call", "id": "ig_1"}]},
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-1"]}}]},
    ],
)  # fmt: skip
def test_an_object_nobody_received_is_refused_before_anything_is_sent(
    gateway: RunningGateway, provider: Emulator, request_: dict[str, object]
) -> None:
    with pytest.raises((openai.BadRequestError, openai.PermissionDeniedError)):
        sdk(gateway).responses.create(model="allowed", extra_body={"input": "x", **request_})
    with pytest.raises(openai.BadRequestError, match="did not receive"):
        sdk(gateway).chat.completions.create(model="allowed", messages=FILE)
    assert provider.received == []


@pytest.mark.requirement("RESP-13")
def test_items_that_carry_all_they_mean_may_come_from_anywhere(gateway: RunningGateway, provider: Emulator) -> None:
    items: list[dict[str, object]] = [
        message("earlier") | {"id": "msg_elsewhere"},
        reasoning("so", "gAAAA") | {"id": "rs_elsewhere"},
        {"type": "function_call", "id": "fc_e", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "file_id"},
    ]
    answer = sdk(gateway).responses.create(model="allowed", input=cast("ResponseInputParam", items))
    assert answer.output_text == "hello"
    assert provider.received[-1].tree["input"] == items


@pytest.mark.requirement("RESP-13")
def test_an_answer_that_was_in_doubt_or_refused_gives_nothing(gateway: RunningGateway, provider: Emulator) -> None:
    provider.script = lambda _: plain(response(name="resp_err"), status=500)
    with pytest.raises(openai.InternalServerError):
        sdk(gateway).responses.create(model="allowed", input="x")
    with pytest.raises(openai.BadRequestError, match="did not receive"):
        sdk(gateway).responses.create(model="allowed", input="x", previous_response_id="resp_err")


@pytest.mark.requirement("RESP-14")
def test_a_kept_response_is_read_deleted_and_cancelled_by_its_owner_alone(
    gateway: RunningGateway, provider: Emulator
) -> None:
    name = received(gateway, provider)

    def script(asked: Received) -> Answer:
        if asked.method == "DELETE":
            return plain({"id": name, "object": "response", "deleted": True})
        return plain(response(message("kept"), name=name))

    provider.script = script
    owner, other = sdk(gateway), sdk(gateway, "shipping")
    assert owner.responses.retrieve(name, include=["reasoning.encrypted_content"]).output_text == "kept"
    assert owner.responses.cancel(name).output_text == "kept"
    owner.responses.delete(name)
    assert [(one.method, one.path) for one in provider.received] == [
        ("GET", f"/v1/responses/{name}?include%5B%5D=reasoning.encrypted_content"),
        ("POST", f"/v1/responses/{name}/cancel"),
        ("DELETE", f"/v1/responses/{name}"),
    ]
    for asked in (other.responses.retrieve, other.responses.cancel, other.responses.delete):
        with pytest.raises(openai.NotFoundError, match="did not receive"):
            asked(name)
    with pytest.raises(openai.BadRequestError, match="not streamed again"):
        owner.responses.retrieve(name, stream=True)
    with pytest.raises(openai.NotFoundError, match="not served"):
        owner.responses.input_items.list(name)
    assert len(provider.received) == 3


@pytest.mark.requirement("RESP-14")
def test_policy_decides_about_kept_responses_too(gateway: RunningGateway, provider: Emulator) -> None:
    provider.script = answering(response(name="resp_ship"))
    client = sdk(gateway, "shipping")
    client.responses.create(model="allowed", input="x")
    assert client.responses.retrieve("resp_ship").id == "resp_ship"
    with pytest.raises(openai.PermissionDeniedError):
        client.responses.cancel("resp_ship")


@pytest.mark.requirement("RESP-07")
def test_background_work_and_connectors_need_a_line_of_their_own_and_are_never_repeated(
    gateway: RunningGateway, provider: Emulator
) -> None:
    client = sdk(gateway)
    provider.script = answering(response(status="queued", name="resp_back", output=[]))
    assert client.responses.create(model="allowed", input="x", background=True).status == "queued"
    assert client.responses.retrieve("resp_back").status == "queued"
    allowed: ToolParam = {"type": "mcp", "server_label": "t", "server_url": "https://tools.example/mcp"}
    denied: ToolParam = {"type": "mcp", "server_label": "t", "server_url": "https://evil.example/mcp"}
    provider.script = lambda _: plain({"error": {"message": "x"}}, status=500)
    key = {"idempotency-key": "connector-1"}
    for _ in range(2):
        with pytest.raises(openai.ConflictError, match="in_doubt"):
            client.responses.create(model="allowed", input="x", tools=[allowed], extra_headers=key)
    sent = len(provider.received)
    with pytest.raises(openai.PermissionDeniedError):
        client.responses.create(model="allowed", input="x", tools=[denied])
    with pytest.raises(openai.PermissionDeniedError):
        client.responses.create(model="careful", input="x", tools=[{"type": "web_search"}])
    assert len(provider.received) == sent == 3
