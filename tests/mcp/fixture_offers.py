"""What the fixture offers besides tools: resources, prompts, completions."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    BlobResourceContents,
    CompleteResult,
    Completion,
    EmbeddedResource,
    EmptyResult,
    GetPromptResult,
    ImageContent,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
)

from tests.mcp.fixture_rounds import asked, field_of

if TYPE_CHECKING:
    from mcp_types import GetPromptRequestParams, ReadResourceRequestParams

PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
_TEMPLATE: Final = re.compile(r"test://template/([^/]+)/data")
_TEXTS: Final = {
    "test://static-text": "This is the content of the static text resource.",
    "test://watched-resource": "Watched resource content",
}
_PROMPTS: Final[dict[str, tuple[str, ...]]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}


async def list_resources(_ctx: object, _params: object) -> ListResourcesResult:
    """List the fixed ones."""
    return ListResourcesResult(
        resources=[
            Resource(uri="test://static-text", name="static-text", mime_type="text/plain"),
            Resource(uri="test://static-binary", name="static-binary", mime_type="image/png"),
            Resource(uri="test://watched-resource", name="watched-resource", mime_type="text/plain"),
        ]
    )


async def list_templates(_ctx: object, _params: object) -> ListResourceTemplatesResult:
    """List the one template."""
    template = ResourceTemplate(uri_template="test://template/{id}/data", name="template", mime_type="application/json")
    return ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(_ctx: object, params: ReadResourceRequestParams) -> ReadResourceResult:
    """Read one."""
    uri = str(params.uri)
    if uri == "test://static-binary":
        return ReadResourceResult(contents=[BlobResourceContents(uri=uri, mime_type="image/png", blob=PIXEL)])
    text, media = _TEXTS.get(uri), "text/plain"
    if (match := _TEMPLATE.fullmatch(uri)) is not None:
        text = json.dumps({"id": match[1], "templateTest": True, "data": f"Data for ID: {match[1]}"})
        media = "application/json"
    if text is None:
        raise MCPError(INVALID_PARAMS, "there is no such resource", {"uri": uri})
    return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type=media, text=text)])


async def nothing_more(_ctx: object, _params: object) -> EmptyResult:
    """Take note: subscriptions of the older era, log levels."""
    return EmptyResult()


async def list_prompts(_ctx: object, _params: object) -> ListPromptsResult:
    """List all prompts."""
    return ListPromptsResult(
        prompts=[
            Prompt(name=name, description=f"The fixture's {name}.",
                   arguments=[PromptArgument(name=one, required=True) for one in arguments] or None)
            for name, arguments in _PROMPTS.items()
        ]
    )  # fmt: skip


async def get_prompt(_ctx: object, params: GetPromptRequestParams) -> GetPromptResult | InputRequiredResult:
    """Return one prompt."""
    given = params.arguments or {}
    content: list[Any]
    match params.name:
        case "test_simple_prompt":
            content = [_text("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            content = [_text(f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'")]
        case "test_prompt_with_embedded_resource":
            resource = TextResourceContents(
                uri=given.get("resourceUri", "test://none"), mime_type="text/plain", text="Embedded resource content."
            )
            content = [EmbeddedResource(resource=resource), _text("Please process the embedded resource above.")]
        case "test_prompt_with_image":
            content = [ImageContent(data=PIXEL, mime_type="image/png"), _text("Please analyze the image above.")]
        case "test_input_required_result_prompt":
            context = field_of(params, "user_context", "context")
            if not isinstance(context, str):
                question = asked("What context should the prompt use?", "context")
                return InputRequiredResult(input_requests={"user_context": question})
            content = [_text(f"Prompt in the context of {context}.")]
        case _:
            raise MCPError(INVALID_PARAMS, "there is no such prompt")
    return GetPromptResult(messages=[PromptMessage(role="user", content=one) for one in content])


async def complete(_ctx: object, _params: object) -> CompleteResult:
    """Complete with what begins alike: nothing."""
    return CompleteResult(completion=Completion(values=[], total=0, has_more=False))


def _text(text: str) -> TextContent:
    return TextContent(text=text)
