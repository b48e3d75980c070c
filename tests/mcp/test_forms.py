"""Forms that servers ask people to fill in, through the gateway with redaction: official clients of both eras."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Literal, cast

import anyio
import pytest
from anyio import to_thread
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CreateMessageResultWithTools,
    ElicitRequestFormParams,
    ElicitResult,
    SamplingCapability,
    SamplingToolsCapability,
    ToolUseContent,
)

from tests.mcp.stand import eventually
from tests.mcp.test_clients import SECONDS_MAX, text_of
from tests.mcp.wire import called, modern, post

if TYPE_CHECKING:
    from tests.mcp.stand import Stand
    from tests.mcp.wire import Tree

pytestmark = pytest.mark.anyio

Mode = Literal["legacy", "2026-07-28"]
FILLED: dict[str, str | int | float | bool | list[str] | None] = {
    "to": "ada@example.com", "home_page": "https://h.example/?e=ada@example.com", "dob": "1985-03-02",
    "ssn": "219-09-9999", "phone": 2125550123, "note": "or to grace@example.com", "last_name": "n/a",
}  # fmt: skip
#: Each era of client before each era of server: how the server asks follows from its own.
CROSSED: list[tuple[str, Mode, str]] = [
    ("everything", "legacy", "contact_in_stream"),
    ("everything", "2026-07-28", "contact_in_rounds"),
    ("older_forms", "2026-07-28", "contact_in_stream"),
    ("newer_forms", "legacy", "contact_in_rounds"),
]


async def filled(running: Stand, server: str, mode: Mode, tool: str) -> str:
    """Return what the server was answered."""

    async def elicited(context: object, params: object) -> ElicitResult:
        del context
        return ElicitResult(action="accept", content={**FILLED, "cc": chosen(params)})

    url = running.joined if not server else running.server(server)
    async with Client(url, mode=mode, read_timeout_seconds=SECONDS_MAX, elicitation_callback=elicited) as client:
        result = await client.call_tool(tool)
    assert not result.is_error, text_of(result.content)
    return [line for line in running.counted() if line.startswith("contact ")][-1]


def chosen(params: object) -> str:
    """Return the first choice of a form as it is shown: what stands for an address."""
    assert isinstance(params, ElicitRequestFormParams)
    shown = cast("Tree", params.requested_schema["properties"])["cc"]["enum"]
    assert [re.fullmatch(r"EMAIL_[a-z2-9]{10}", one) is not None for one in shown] == [True, True]
    return shown[0]


def demand_fitting(text: str) -> None:
    """Demand that nothing of what was filled in is left, that everything fits, and the choice is what was offered."""
    content = cast("Tree", json.loads(text[text.index("{") :]))
    assert re.fullmatch(r"p-[a-z2-9]{10}@oncegate\.invalid", cast("str", content["to"]))
    assert re.fullmatch(r"https://h\.example/\?e=EMAIL_[a-z2-9]{10}", cast("str", content["home_page"]))
    assert re.fullmatch(r"0[1-8]\d\d-\d\d-\d\d", cast("str", content["dob"]))
    assert re.fullmatch(r"\d{3}-\d{2}-\d{4}", cast("str", content["ssn"]))
    assert cast("int", content["phone"]) >= 10**9
    assert re.fullmatch(r"or to EMAIL_[a-z2-9]{10}", cast("str", content["note"]))
    assert (content["last_name"], content["cc"]) == ("n/a", "grace@example.com")
    assert not [name for name, value in FILLED.items() if name != "last_name" and content[name] == value]


@pytest.mark.requirement("RED-38")
@pytest.mark.requirement("RED-54")
@pytest.mark.parametrize(("server", "mode", "tool"), CROSSED)
async def test_what_is_filled_into_a_form_fits_it_for_clients_and_servers_of_every_era(
    running: Stand, server: str, mode: Mode, tool: str
) -> None:
    demand_fitting(await filled(running, server, mode, tool))


@pytest.mark.requirement("RED-55")
@pytest.mark.parametrize(("server", "mode", "tool"), CROSSED)
async def test_what_a_clients_model_fills_into_a_servers_tool_fits_it_for_clients_and_servers_of_every_era(
    running: Stand, server: str, mode: Mode, tool: str
) -> None:
    async def sampled(context: object, params: object) -> CreateMessageResultWithTools:
        del context, params
        given = {name: value for name, value in FILLED.items() if name != "cc"}
        use = ToolUseContent(id="use_1", name="mail", input=given)
        return CreateMessageResultWithTools(role="assistant", content=[use], model="m", stop_reason="toolUse")

    tools = SamplingCapability(tools=SamplingToolsCapability())
    async with Client(
        running.server(server), mode=mode, read_timeout_seconds=SECONDS_MAX, sampling_callback=sampled,
        sampling_capabilities=tools,
    ) as client:  # fmt: skip
        result = await client.call_tool(tool.replace("contact", "mail"))
    assert not result.is_error, text_of(result.content)
    (used,) = json.loads([line for line in running.counted() if line.startswith("mail ")][-1].removeprefix("mail "))
    demand_fitting(json.dumps({**used, "cc": "grace@example.com"}))


@pytest.mark.requirement("RED-38")
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_the_joined_endpoint_knows_the_forms_of_its_servers(running: Stand, mode: Mode) -> None:
    demand_fitting(await filled(running, "", mode, "everything__contact_in_rounds"))


@pytest.mark.requirement("MCP-50")
@pytest.mark.parametrize(("server", "mode", "tool"), [*CROSSED, ("spoken_forms", "legacy", "contact_in_stream")])
async def test_a_call_whose_question_gets_a_blocked_answer_ends_at_once_and_its_server_is_told(
    running: Stand, server: str, mode: Mode, tool: str
) -> None:
    async def elicited(context: object, params: object) -> ElicitResult:
        del context, params
        return ElicitResult(action="accept", content={"to": "ada@example.com", "last_name": "Lovelace"})

    before, begun = len(told_nothing(running)), anyio.current_time()
    async with Client(
        running.server(server), mode=mode, read_timeout_seconds=SECONDS_MAX, elicitation_callback=elicited
    ) as client:
        try:
            result = await client.call_tool(tool)
            assert result.is_error
            said = text_of(result.content)
        except MCPError as error:
            said = str(error)
    assert anyio.current_time() - begun < SECONDS_MAX / 2
    assert "PERSON at `" in said
    assert "Lovelace" not in said
    if tool == "contact_in_stream":  # a server that waited; the others have asked in a round, which is over
        assert await to_thread.run_sync(eventually, lambda: len(told_nothing(running)) > before)
        assert "PERSON at `" in told_nothing(running)[-1]
        assert "Lovelace" not in told_nothing(running)[-1]


def told_nothing(running: Stand) -> list[str]:
    """Return what servers were told in the place of an answer."""
    return [line for line in running.counted() if line.startswith("no contact: ")]


@pytest.mark.requirement("RED-38")
def test_a_value_where_a_form_takes_nothing_but_its_own_words_blocks_the_answer_by_entity_and_place(
    running: Stand,
) -> None:
    url = running.server("everything")
    capable: Tree = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    asked = post(url, called("contact_in_rounds", {}, meta=capable)).last["result"]
    assert (asked["resultType"], list(asked["inputRequests"])) == ("input_required", ["contact"])
    answers: Tree = {"contact": {"action": "accept", "content": {"to": "ada@example.com", "last_name": "Lovelace"}}}
    params: Tree = {"name": "contact_in_rounds", "arguments": {}, "inputResponses": answers}
    if "requestState" in asked:
        params["requestState"] = asked["requestState"]
    answered = post(url, modern("tools/call", params, meta=capable))
    assert "PERSON at `/params/inputResponses/contact/content/last_name`" in answered.text
    assert "Lovelace" not in answered.text
