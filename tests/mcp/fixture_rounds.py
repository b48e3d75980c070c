"""The fixture's calls that ask back: over several requests in the newer era, over one stream in the older."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolResult,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    CreateMessageResultWithTools,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    TextContent,
    Tool,
    ToolUseContent,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcp.server.context import ServerRequestContext
    from mcp_types import InputRequest
    from mcp_types._types import InputResponseRequestParams

    Rounds = Callable[[ServerRequestContext[Any, Any], InputResponseRequestParams], Awaitable["Answer"]]

Answer = CallToolResult | InputRequiredResult


def said(text: str) -> CallToolResult:
    """Return a tool result of one text."""
    return CallToolResult(content=[TextContent(text=text)])


def asked(message: str, member: str, kind: str = "string") -> ElicitRequest:
    """Return a form with one field."""
    schema = {"type": "object", "properties": {member: {"type": kind}}, "required": [member]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sampled(text: str, tokens: int) -> CreateMessageRequest:
    """Return a request for a model's answer."""
    message = SamplingMessage(role="user", content=TextContent(text=text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=tokens))


def field_of(params: InputResponseRequestParams, key: str, member: str) -> object:
    """Return a field of the form answered under `key`, `None` where it was not."""
    response = (params.input_responses or {}).get(key)
    if not isinstance(response, ElicitResult) or response.content is None:
        return None
    return response.content.get(member)


async def ask_name(_: object, params: InputResponseRequestParams) -> Answer:
    """Ask for a name, greet it."""
    name = field_of(params, "user_name", "name")
    if not isinstance(name, str):
        return InputRequiredResult(input_requests={"user_name": asked("What is your name?", "name")})
    return said(f"Hello, {name}!")


async def ask_model(_: object, params: InputResponseRequestParams) -> Answer:
    """Ask the client's model."""
    response = (params.input_responses or {}).get("capital_question")
    if not isinstance(response, CreateMessageResult):
        return InputRequiredResult(input_requests={"capital_question": sampled("What is the capital of France?", 100)})
    return said(f"The model says: {getattr(response.content, 'text', '')}")


async def ask_roots(_: object, params: InputResponseRequestParams) -> Answer:
    """Ask for the client's roots."""
    response = (params.input_responses or {}).get("client_roots")
    if not isinstance(response, ListRootsResult):
        return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})
    return said("Roots: " + ", ".join(str(root.uri) for root in response.roots))


async def keep_state(_: object, params: InputResponseRequestParams) -> Answer:
    """Ask for a confirmation and hand out a state that has to come back."""
    if params.request_state != "confirming" or field_of(params, "confirm", "ok") is None:
        asking: dict[str, InputRequest] = {"confirm": asked("Please confirm", "ok", "boolean")}
        return InputRequiredResult(input_requests=asking, request_state="confirming")
    return said("state-ok: the state came back as it was given")


async def ask_several(_: object, params: InputResponseRequestParams) -> Answer:
    """Ask for three things at once."""
    asking: dict[str, InputRequest] = {
        "user_name": asked("What is your name?", "name"),
        "greeting": sampled("Generate a greeting", 50),
        "client_roots": ListRootsRequest(),
    }
    if params.request_state != "several" or set(asking) - set(params.input_responses or {}):
        return InputRequiredResult(input_requests=asking, request_state="several")
    return said("everything was answered")


async def ask_twice(_: object, params: InputResponseRequestParams) -> Answer:
    """Ask for a name, then for a colour."""
    name, color = field_of(params, "step1", "name"), field_of(params, "step2", "color")
    if params.request_state == "second" and isinstance(color, str):
        return said(f"both rounds are done: {color}")
    if params.request_state == "first" and isinstance(name, str):
        question = asked("Step 2: What is your favorite color?", "color")
        return InputRequiredResult(input_requests={"step2": question}, request_state="second")
    return InputRequiredResult(
        input_requests={"step1": asked("Step 1: What is your name?", "name")}, request_state="first"
    )


async def ask_what_is_declared(ctx: ServerRequestContext[Any, Any], params: InputResponseRequestParams) -> Answer:
    """Ask only for what the client said it can answer."""
    if params.input_responses:
        return said("answered: " + ", ".join(sorted(params.input_responses)))
    declared = ctx.session.client_capabilities
    asking: dict[str, InputRequest] = {}
    if declared is not None and declared.sampling is not None:
        asking["sampling"] = sampled("Say something", 10)
    if declared is not None and declared.elicitation is not None:
        asking["elicitation"] = asked("Say something", "text")
    return InputRequiredResult(input_requests=asking) if asking else said("nothing can be asked")


async def need_sampling(ctx: ServerRequestContext[Any, Any], _: object) -> Answer:
    """Demand a capability."""
    declared = ctx.session.client_capabilities
    if declared is None or declared.sampling is None:
        data: dict[str, dict[str, dict[str, object]]] = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "this tool needs sampling", data)
    return said("sampling was declared")


CONTACT_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "to": {"type": "string", "format": "email"},
        "home_page": {"type": "string", "format": "uri"},
        "dob": {"type": "string", "format": "date"},
        "ssn": {"type": "string", "pattern": r"^\d{3}-\d{2}-\d{4}$"},
        "phone": {"type": "integer", "minimum": 10**9},
        "note": {"type": "string"},
        "last_name": {"type": "string", "enum": ["Lovelace", "Hopper", "n/a"]},
        "cc": {"type": "string", "enum": ["grace@example.com", "linus@example.com"]},
    },
    "required": ["to"],
}


async def ask_contact(_: object, params: InputResponseRequestParams) -> Answer:
    """Ask for a contact in a round of its own, without a state; say what came."""
    response = (params.input_responses or {}).get("contact")
    if not isinstance(response, ElicitResult):
        form = ElicitRequestFormParams(message="Whom?", requested_schema=CONTACT_FORM)
        return InputRequiredResult(input_requests={"contact": ElicitRequest(params=form)})
    return said(json.dumps(response.content))


def offered(text: str) -> CreateMessageRequest:
    """Return a request for the use of a tool whose arguments are those of the form for a contact."""
    request = sampled(text, 100)
    request.params.tools = [Tool(name="mail", input_schema=CONTACT_FORM)]
    return request


def mailed(result: object) -> str | None:
    """Return the arguments with which a model uses the tool, `None` before it was asked."""
    if not isinstance(result, CreateMessageResultWithTools):
        return None
    return json.dumps([block.input for block in result.content_as_list if isinstance(block, ToolUseContent)])


async def ask_mail(_: object, params: InputResponseRequestParams) -> Answer:
    """Ask the client's model to use a tool, in a round of its own; say how."""
    given = mailed((params.input_responses or {}).get("mail"))
    return InputRequiredResult(input_requests={"mail": offered("Write.")}) if given is None else said(given)


ROUNDS: Final[dict[str, Rounds]] = {
    "mail_in_rounds": ask_mail,
    "test_input_required_result_elicitation": ask_name,
    "test_streaming_elicitation": ask_name,
    "test_input_required_result_sampling": ask_model,
    "test_input_required_result_list_roots": ask_roots,
    "test_input_required_result_request_state": keep_state,
    "test_input_required_result_tampered_state": keep_state,
    "test_input_required_result_multiple_inputs": ask_several,
    "test_input_required_result_multi_round": ask_twice,
    "test_input_required_result_capabilities": ask_what_is_declared,
    "test_missing_capability": need_sampling,
    "contact_in_rounds": ask_contact,
}

_CHOICES: Final = ["active", "inactive", "pending"]
_LEVELS: Final = [{"const": one, "title": f"{one.title()} Priority"} for one in ("low", "medium", "high")]
_KINDS: Final = [{"const": one, "title": one.title()} for one in ("feature", "bug", "docs")]
DEFAULTS_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "a name", "default": "John Doe"},
        "age": {"type": "integer", "description": "an age", "default": 30},
        "score": {"type": "number", "description": "a score", "default": 95.5},
        "status": {"type": "string", "description": "a status", "enum": _CHOICES, "default": "active"},
        "verified": {"type": "boolean", "description": "whether verified", "default": True},
    },
    "required": [],
}
ENUMS_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": _CHOICES},
        "titledSingle": {"type": "string", "oneOf": _LEVELS},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["read", "write", "execute"]}},
        "titledMulti": {"type": "array", "items": {"anyOf": _KINDS}},
        "legacyEnum": {
            "type": "string", "enum": ["small", "medium", "large"],
            "enumNames": ["Small Size", "Medium Size", "Large Size"],
        },
    },
    "required": [],
}  # fmt: skip


async def ask_in_stream(ctx: ServerRequestContext[Any, Any], message: str, form: dict[str, Any]) -> CallToolResult:
    """Ask the client while its call is open (the older era)."""
    result = await ctx.session.elicit_form(message, form, ctx.request_id)
    return said(f"action={result.action}, content={json.dumps(result.content or {})}")


async def sample_in_stream(ctx: ServerRequestContext[Any, Any], prompt: str) -> CallToolResult:
    """Ask the client's model while its call is open (the older era)."""
    request = sampled(prompt, 100)
    result = await ctx.session.send_request(request, CreateMessageResult)
    return said(f"LLM response: {getattr(result.content, 'text', '')}")


async def mail_in_stream(ctx: ServerRequestContext[Any, Any]) -> CallToolResult:
    """Ask the client's model to use a tool while its call is open (the older era); say how."""
    return said(mailed(await ctx.session.send_request(offered("Write."), CreateMessageResultWithTools)) or "")
