"""The configuration: one file, typed, verified whole before anything starts."""

from gateway.config.durability import Agent, ApprovalTimes, Retention, RunLimits, RunRetry, State, Verify
from gateway.config.forms import Address
from gateway.config.load import load
from gateway.config.problems import ConfigInvalid, Problem
from gateway.config.root import Config
from gateway.config.servers import McpCredential, McpServer, Tool
from gateway.config.timeouts import timeout_seconds
from gateway.config.types import (
    Issuer,
    Limits,
    Model,
    Price,
    Redaction,
    Resilience,
    Telemetry,
    TrustDomain,
)

__all__ = [
    "Address", "Agent", "ApprovalTimes", "Config", "ConfigInvalid", "Issuer", "Limits", "McpCredential", "McpServer",
    "Model", "Price", "Problem", "Redaction", "Resilience", "Retention", "RunLimits", "RunRetry", "State", "Telemetry",
    "Tool", "TrustDomain", "Verify", "load", "timeout_seconds",
]  # fmt: skip
