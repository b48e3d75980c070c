"""What Oncegate must do, whole: each area's requirements, joined. Held both ways by `test_requirements.py`."""

from __future__ import annotations

from tests.approvals.requirements import REQUIREMENTS as APPROVALS
from tests.audit.requirements import REQUIREMENTS as AUDIT
from tests.budgets.requirements import REQUIREMENTS as BUDGETS
from tests.cli.requirements import REQUIREMENTS as CLI
from tests.console.requirements import REQUIREMENTS as CONSOLE
from tests.contracts.requirements import REQUIREMENTS as CONTRACTS
from tests.conversion.requirements import REQUIREMENTS as CONVERSION
from tests.definitions.requirements import REQUIREMENTS as DEFINITIONS
from tests.doubt.requirements import REQUIREMENTS as DOUBT
from tests.durable.requirements import REQUIREMENTS as DURABLE
from tests.e2e.requirements import REQUIREMENTS as E2E
from tests.embeddings.requirements import REQUIREMENTS as EMBEDDINGS
from tests.engines.requirements import REQUIREMENTS as ENGINES
from tests.faults.requirements import REQUIREMENTS as FAULTS
from tests.gateway.requirements import REQUIREMENTS as GATEWAY
from tests.identity.requirements import REQUIREMENTS as IDENTITY
from tests.linked.requirements import REQUIREMENTS as LINKED
from tests.mcp.requirements import REQUIREMENTS as MCP
from tests.messages.requirements import REQUIREMENTS as MESSAGES
from tests.models.requirements import REQUIREMENTS as MODELS
from tests.ner.requirements import REQUIREMENTS as NER
from tests.oauth.requirements import REQUIREMENTS as OAUTH
from tests.policy.requirements import REQUIREMENTS as POLICY
from tests.providers.requirements import REQUIREMENTS as PROVIDERS
from tests.redaction.requirements import REQUIREMENTS as REDACTION
from tests.resilience.requirements import REQUIREMENTS as RESILIENCE
from tests.responses.requirements import REQUIREMENTS as RESPONSES
from tests.runs.requirements import REQUIREMENTS as RUNS
from tests.telemetry.requirements import REQUIREMENTS as TELEMETRY

REQUIREMENTS = (
    *APPROVALS,
    *AUDIT,
    *BUDGETS,
    *CLI,
    *CONSOLE,
    *CONTRACTS,
    *CONVERSION,
    *DEFINITIONS,
    *DOUBT,
    *DURABLE,
    *E2E,
    *EMBEDDINGS,
    *ENGINES,
    *FAULTS,
    *GATEWAY,
    *IDENTITY,
    *LINKED,
    *MCP,
    *MESSAGES,
    *MODELS,
    *NER,
    *OAUTH,
    *POLICY,
    *PROVIDERS,
    *REDACTION,
    *RESILIENCE,
    *RESPONSES,
    *RUNS,
    *TELEMETRY,
)
