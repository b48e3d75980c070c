"""The places of the official types that pass as they are (`test_every_field.py`), each decided upon: structure."""

from __future__ import annotations

from typing import Final

#: Requests of the messages API: names and ids, what was signed or encrypted, what is named in settings.
MESSAGES: Final = """
.container
.container.id
.container.skills.*[anthropic].skill_id
.container.skills.*[anthropic].version
.context_management.edits.*[clear_tool_uses_20250919].clear_tool_inputs.*
.context_management.edits.*[clear_tool_uses_20250919].exclude_tools.*
.diagnostics.previous_message_id
.inference_geo
.mcp_servers.*[url].name
.messages.*.content.*[advisor_tool_result].tool_use_id
.messages.*.content.*[bash_code_execution_tool_result].tool_use_id
.messages.*.content.*[code_execution_tool_result].tool_use_id
.messages.*.content.*[container_upload].file_id
.messages.*.content.*[document].source[file].file_id
.messages.*.content.*[image].source[file].file_id
.messages.*.content.*[mcp_tool_result].tool_use_id
.messages.*.content.*[mcp_tool_use].id
.messages.*.content.*[mcp_tool_use].name
.messages.*.content.*[server_tool_use].caller[code_execution_20250825].tool_id
.messages.*.content.*[server_tool_use].caller[code_execution_20260120].tool_id
.messages.*.content.*[server_tool_use].id
.messages.*.content.*[text_editor_code_execution_tool_result].tool_use_id
.messages.*.content.*[tool_result].content.*[document].source[file].file_id
.messages.*.content.*[tool_result].content.*[image].source[file].file_id
.messages.*.content.*[tool_result].content.*[tool_reference].tool_name
.messages.*.content.*[tool_result].tool_use_id
.messages.*.content.*[tool_result].toolset_name
.messages.*.content.*[tool_search_tool_result].tool_use_id
.messages.*.content.*[tool_use].caller[code_execution_20250825].tool_id
.messages.*.content.*[tool_use].caller[code_execution_20260120].tool_id
.messages.*.content.*[tool_use].id
.messages.*.content.*[tool_use].name
.messages.*.content.*[tool_use].toolset_name
.messages.*.content.*[web_fetch_tool_result].caller[code_execution_20250825].tool_id
.messages.*.content.*[web_fetch_tool_result].caller[code_execution_20260120].tool_id
.messages.*.content.*[web_fetch_tool_result].content[web_fetch_result].content[document].source[file].file_id
.messages.*.content.*[web_fetch_tool_result].tool_use_id
.messages.*.content.*[web_search_tool_result].caller[code_execution_20250825].tool_id
.messages.*.content.*[web_search_tool_result].caller[code_execution_20260120].tool_id
.messages.*.content.*[web_search_tool_result].tool_use_id
.model
.tool_choice[tool].name
.tools.*.name
.tools.*[mcp_toolset].mcp_server_name
"""

#: Requests of the responses API; its ids pass only where all of a request look like ids.
RESPONSES: Final = """
.conversation
.conversation.id
.input.*[additional_tools].tools.*[custom].name
.input.*[additional_tools].tools.*[function].name
.input.*[additional_tools].tools.*[namespace].name
.input.*[custom_tool_call].name
.input.*[custom_tool_call].namespace
.input.*[function_call].name
.input.*[function_call].namespace
.input.*[function_call_output].name
.input.*[function_call_output].namespace
.input.*[mcp_approval_request].name
.input.*[mcp_approval_request].server_label
.input.*[mcp_call].name
.input.*[mcp_call].server_label
.input.*[mcp_list_tools].server_label
.input.*[mcp_list_tools].tools.*.name
.input.*[tool_search_output].tools.*[custom].name
.input.*[tool_search_output].tools.*[function].name
.input.*[tool_search_output].tools.*[namespace].name
.model
.previous_response_id
.prompt.id
.prompt.version
.text.format[json_schema].name
.tool_choice[custom].name
.tool_choice[function].name
.tool_choice[mcp].name
.tool_choice[mcp].server_label
.tools.*[code_interpreter].container
.tools.*[code_interpreter].container[auto].file_ids.*
.tools.*[custom].name
.tools.*[file_search].vector_store_ids.*
.tools.*[function].name
.tools.*[mcp].server_label
.tools.*[namespace].name
"""

#: Requests of chat completions.
CHAT: Final = """
.audio.voice
.audio.voice.id
.messages.*.audio.id
.messages.*.tool_calls.*[function].function.name
.model
.tool_choice[custom].custom.name
.tool_choice[function].function.name
.tools.*[function].function.name
"""

#: Requests and notifications of MCP clients: what a client has to find again.
MCP_CLIENT: Final = """
.params.clientInfo.name
.params.clientInfo.version
.params.cursor
.params.name
.params.progressToken
.params.protocolVersion
.params.requestId
.params.requestState
"""

#: Requests, notifications and errors of MCP servers.
MCP_SERVER: Final = """
.id
.params.progressToken
.params.requestId
"""

#: Results of MCP servers.
MCP_RESULTS: Final = """
.nextCursor
.prompts.*.arguments.*.name
.prompts.*.name
.protocolVersion
.requestState
.serverInfo.name
.serverInfo.version
.supportedVersions.*
.tools.*.name
"""

#: Messages.
MESSAGE: Final = """
[message].container.id
[message].content.*[advisor_tool_result].tool_use_id
[message].content.*[bash_code_execution_tool_result].tool_use_id
[message].content.*[code_execution_tool_result].tool_use_id
[message].content.*[container_upload].file_id
[message].content.*[mcp_tool_result].tool_use_id
[message].content.*[mcp_tool_use].id
[message].content.*[mcp_tool_use].name
[message].content.*[server_tool_use].caller[code_execution_20250825].tool_id
[message].content.*[server_tool_use].caller[code_execution_20260120].tool_id
[message].content.*[server_tool_use].id
[message].content.*[text].citations.*[char_location].file_id
[message].content.*[text].citations.*[content_block_location].file_id
[message].content.*[text].citations.*[page_location].file_id
[message].content.*[text_editor_code_execution_tool_result].tool_use_id
[message].content.*[tool_search_tool_result].tool_use_id
[message].content.*[tool_use].caller[code_execution_20250825].tool_id
[message].content.*[tool_use].caller[code_execution_20260120].tool_id
[message].content.*[tool_use].id
[message].content.*[tool_use].name
[message].content.*[tool_use].toolset_name
[message].content.*[web_fetch_tool_result].caller[code_execution_20250825].tool_id
[message].content.*[web_fetch_tool_result].caller[code_execution_20260120].tool_id
[message].content.*[web_fetch_tool_result].tool_use_id
[message].content.*[web_search_tool_result].caller[code_execution_20250825].tool_id
[message].content.*[web_search_tool_result].caller[code_execution_20260120].tool_id
[message].content.*[web_search_tool_result].tool_use_id
[message].id
[message].model
[message].usage.inference_geo
[message].usage.iterations.*[advisor_message].model
[message].usage.iterations.*[fallback_message].model
[message].usage.iterations.*[message].model
"""

#: Events of messages, beside the message and the blocks in them.
MESSAGE_EVENTS: Final = """
[content_block_delta].delta[citations_delta].citation[char_location].file_id
[content_block_delta].delta[citations_delta].citation[content_block_location].file_id
[content_block_delta].delta[citations_delta].citation[page_location].file_id
[message_delta].delta.container.id
[message_delta].usage.iterations.*[advisor_message].model
[message_delta].usage.iterations.*[fallback_message].model
[message_delta].usage.iterations.*[message].model
"""

#: Responses.
RESPONSE: Final = """
.conversation.id
.id
.model
.output.*[additional_tools].id
.output.*[additional_tools].tools.*[custom].name
.output.*[additional_tools].tools.*[function].name
.output.*[additional_tools].tools.*[namespace].name
.output.*[apply_patch_call].call_id
.output.*[apply_patch_call].caller[program].caller_id
.output.*[apply_patch_call].id
.output.*[apply_patch_call_output].call_id
.output.*[apply_patch_call_output].caller[program].caller_id
.output.*[apply_patch_call_output].id
.output.*[code_interpreter_call].container_id
.output.*[code_interpreter_call].id
.output.*[compaction].id
.output.*[computer_call].call_id
.output.*[computer_call].id
.output.*[computer_call_output].call_id
.output.*[computer_call_output].id
.output.*[custom_tool_call].call_id
.output.*[custom_tool_call].caller[program].caller_id
.output.*[custom_tool_call].id
.output.*[custom_tool_call].name
.output.*[custom_tool_call].namespace
.output.*[custom_tool_call_output].call_id
.output.*[custom_tool_call_output].caller[program].caller_id
.output.*[custom_tool_call_output].id
.output.*[file_search_call].id
.output.*[file_search_call].results.*.file_id
.output.*[function_call].call_id
.output.*[function_call].caller[program].caller_id
.output.*[function_call].id
.output.*[function_call].name
.output.*[function_call].namespace
.output.*[function_call_output].call_id
.output.*[function_call_output].caller[program].caller_id
.output.*[function_call_output].id
.output.*[function_call_output].name
.output.*[function_call_output].namespace
.output.*[image_generation_call].id
.output.*[local_shell_call].call_id
.output.*[local_shell_call].id
.output.*[local_shell_call_output].id
.output.*[mcp_approval_request].id
.output.*[mcp_approval_request].name
.output.*[mcp_approval_request].server_label
.output.*[mcp_approval_response].approval_request_id
.output.*[mcp_approval_response].id
.output.*[mcp_call].approval_request_id
.output.*[mcp_call].id
.output.*[mcp_call].name
.output.*[mcp_call].server_label
.output.*[mcp_list_tools].id
.output.*[mcp_list_tools].server_label
.output.*[mcp_list_tools].tools.*.name
.output.*[message].content.*[output_text].annotations.*[container_file_citation].container_id
.output.*[message].content.*[output_text].annotations.*[container_file_citation].file_id
.output.*[message].content.*[output_text].annotations.*[file_citation].file_id
.output.*[message].content.*[output_text].annotations.*[file_path].file_id
.output.*[message].id
.output.*[program].call_id
.output.*[program].id
.output.*[program_output].call_id
.output.*[program_output].id
.output.*[reasoning].id
.output.*[shell_call].call_id
.output.*[shell_call].caller[program].caller_id
.output.*[shell_call].id
.output.*[shell_call_output].call_id
.output.*[shell_call_output].caller[program].caller_id
.output.*[shell_call_output].id
.output.*[tool_search_call].call_id
.output.*[tool_search_call].id
.output.*[tool_search_output].call_id
.output.*[tool_search_output].id
.output.*[tool_search_output].tools.*[custom].name
.output.*[tool_search_output].tools.*[function].name
.output.*[tool_search_output].tools.*[namespace].name
.output.*[web_search_call].id
.previous_response_id
.prompt.id
.prompt.version
.text.format[json_schema].name
.tool_choice[custom].name
.tool_choice[function].name
.tool_choice[mcp].name
.tool_choice[mcp].server_label
.tools.*[custom].name
.tools.*[function].name
.tools.*[namespace].name
"""

#: Events of responses, beside the response and the items in them.
RESPONSE_EVENTS: Final = """
[response.code_interpreter_call.completed].item_id
[response.code_interpreter_call.in_progress].item_id
[response.code_interpreter_call.interpreting].item_id
[response.code_interpreter_call_code.delta].item_id
[response.code_interpreter_call_code.done].item_id
[response.compaction.compacting].item_id
[response.content_part.added].item_id
[response.content_part.done].item_id
[response.custom_tool_call_input.delta].item_id
[response.custom_tool_call_input.done].item_id
[response.file_search_call.completed].item_id
[response.file_search_call.in_progress].item_id
[response.file_search_call.searching].item_id
[response.function_call_arguments.delta].item_id
[response.function_call_arguments.done].item_id
[response.image_generation_call.completed].item_id
[response.image_generation_call.generating].item_id
[response.image_generation_call.in_progress].item_id
[response.image_generation_call.partial_image].item_id
[response.mcp_call.completed].item_id
[response.mcp_call.failed].item_id
[response.mcp_call.in_progress].item_id
[response.mcp_call_arguments.delta].item_id
[response.mcp_call_arguments.done].item_id
[response.mcp_list_tools.completed].item_id
[response.mcp_list_tools.failed].item_id
[response.mcp_list_tools.in_progress].item_id
[response.output_text.annotation.added].annotation[container_file_citation].file_id
[response.output_text.annotation.added].annotation[file_citation].file_id
[response.output_text.annotation.added].annotation[file_path].file_id
[response.output_text.annotation.added].item_id
[response.output_text.delta].item_id
[response.output_text.done].item_id
[response.reasoning_summary_part.added].item_id
[response.reasoning_summary_part.done].item_id
[response.reasoning_summary_text.delta].item_id
[response.reasoning_summary_text.done].item_id
[response.reasoning_text.delta].item_id
[response.reasoning_text.done].item_id
[response.refusal.delta].item_id
[response.refusal.done].item_id
[response.shell_call_output_content.delta].item_id
[response.shell_call_output_content.done].item_id
[response.web_search_call.completed].item_id
[response.web_search_call.in_progress].item_id
[response.web_search_call.searching].item_id
"""

#: Chat completions.
COMPLETION: Final = """
.choices.*.message.audio.id
.choices.*.message.tool_calls.*[custom].id
.choices.*.message.tool_calls.*[function].function.name
.choices.*.message.tool_calls.*[function].id
.id
.model
.system_fingerprint
"""

#: Chunks of chat completions.
CHUNKS: Final = """
.choices.*.delta.audio.id
.choices.*.delta.tool_calls.*.function.name
.choices.*.delta.tool_calls.*.id
.id
.model
.system_fingerprint
"""
