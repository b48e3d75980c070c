"""The configuration: one file, typed, verified whole before anything starts."""

from gateway.config.forms import Address
from gateway.config.load import load
from gateway.config.problems import ConfigInvalid, Problem
from gateway.config.root import Config
from gateway.config.timeouts import timeout_seconds
from gateway.config.types import (
    Issuer,
    Limits,
    McpCredential,
    McpServer,
    Model,
    Price,
    Redaction,
    Resilience,
    RunLimits,
    State,
    Telemetry,
    Tool,
    TrustDomain,
)

__all__ = [
    "Address", "Config", "ConfigInvalid", "Issuer", "Limits", "McpCredential", "McpServer", "Model", "Price",
    "Problem", "Redaction", "Resilience", "RunLimits", "State", "Telemetry", "Tool", "TrustDomain",
    "load", "timeout_seconds",
]  # fmt: skip
