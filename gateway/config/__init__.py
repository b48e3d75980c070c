"""The configuration: one file, typed, verified whole before anything starts."""

from gateway.config.budgets import Budget, LoopGuard
from gateway.config.durability import Agent, ApprovalTimes, Retention, RunLimits, RunRetry, State, Verify
from gateway.config.forms import Address
from gateway.config.load import load
from gateway.config.problems import ConfigInvalid, Problem
from gateway.config.resilience import Breaker, Bulkhead, Cache, Hedge, Resilience, Retry, Timeouts
from gateway.config.root import Config
from gateway.config.servers import McpCredential, McpServer, Tool
from gateway.config.timeouts import setting_for, timeout_seconds, upstream_timeouts
from gateway.config.types import (
    Issuer,
    Limits,
    Model,
    Price,
    Redaction,
    Telemetry,
    TrustDomain,
)

__all__ = [
    "Address", "Agent", "ApprovalTimes", "Breaker", "Budget", "Bulkhead", "Cache", "Config", "ConfigInvalid", "Hedge",
    "Issuer", "Limits", "LoopGuard", "McpCredential", "McpServer", "Model", "Price", "Problem", "Redaction",
    "Resilience", "Retention", "Retry", "RunLimits", "RunRetry", "State", "Telemetry", "Timeouts", "Tool",
    "TrustDomain", "Verify", "load", "setting_for", "timeout_seconds", "upstream_timeouts",
]  # fmt: skip
