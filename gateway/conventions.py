"""Span and attribute names: OpenTelemetry's GenAI and MCP conventions (Development status), and our own.

Kept in one place because the conventions still move. Those that hold content are opt-in there and here: only
`gateway/content.py` uses them, where `telemetry.content: redacted` asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MCP_METHOD: Final = "mcp.method.name"
GEN_AI_OPERATION: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER: Final = "gen_ai.provider.name"
GEN_AI_AGENT: Final = "gen_ai.agent.name"
#: a value of `GEN_AI_OPERATION`
INVOKE_AGENT: Final = "invoke_agent"
GEN_AI_MODEL: Final = "gen_ai.request.model"
GEN_AI_STREAM: Final = "gen_ai.request.stream"
GEN_AI_TOOL: Final = "gen_ai.tool.name"
GEN_AI_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_SYSTEM: Final = "gen_ai.system_instructions"
GEN_AI_INPUT: Final = "gen_ai.input.messages"
GEN_AI_OUTPUT: Final = "gen_ai.output.messages"
GEN_AI_TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
GEN_AI_TOOL_RESULT: Final = "gen_ai.tool.call.result"
ERROR_TYPE: Final = "error.type"
STATUS_CODE: Final = "http.response.status_code"
SERVER_ADDRESS: Final = "server.address"
#: A model's wire protocol, where the adapter names no provider: the convention asks for the API's, not the host's.
PROVIDERS: Final[Mapping[str, str]] = {"openai": "openai", "anthropic": "anthropic"}

AUDIT_ID: Final = "oncegate.audit.id"
#: chain and number of an audit record: the same for each delivery, so that duplicates can be told
AUDIT_RECORD: Final = "oncegate.audit.record"
AUDIT_HASH: Final = "oncegate.audit.hash"
AUDIT_EVENT: Final = "oncegate.audit.event"
CORRELATION: Final = "oncegate.correlation.id"
PRINCIPAL: Final = "oncegate.principal"
ACTORS: Final = "oncegate.principal.actors"
AUTH_METHOD: Final = "oncegate.auth.method"
SOURCE_DOMAIN: Final = "oncegate.trust_domain.source"
TARGET_DOMAIN: Final = "oncegate.trust_domain.target"
RESOURCE: Final = "oncegate.resource"
ACTION: Final = "oncegate.action"
EFFECT: Final = "oncegate.effect"
DECISION: Final = "oncegate.decision"
RULE: Final = "oncegate.rule.id"
POLICY: Final = "oncegate.policy.digest"
ENDING: Final = "oncegate.ending"
REPLAYED: Final = "oncegate.replayed"
CALL: Final = "oncegate.call.id"
RUN: Final = "oncegate.run.id"
ATTEMPT: Final = "oncegate.run.attempt"
OCCURRENCE: Final = "oncegate.step.occurrence"
DIVERGENCE: Final = "oncegate.divergence"
TRIES: Final = "oncegate.tries"
ANSWERED_BY: Final = "oncegate.answered_by"
COST: Final = "oncegate.cost.usd"
ARGUMENTS: Final = "oncegate.arguments.hmac"
RESULT: Final = "oncegate.result.hmac"
#: something of the content was left off for its length; there is none, because it was not redacted or not to be had
CONTENT_CUT: Final = "oncegate.content.cut"
CONTENT_WITHHELD: Final = "oncegate.content.withheld"
REDACTED_OUT: Final = "oncegate.redaction.outward"
REDACTED_IN: Final = "oncegate.redaction.inward"
