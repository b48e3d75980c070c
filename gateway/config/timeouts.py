"""Which `resilience` entry counts for a resource: the most specific pattern that fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from policy.resources import compile_pattern

if TYPE_CHECKING:
    from gateway.config.root import Config
    from gateway.config.servers import Tool

#: How long a call may take when nothing is said.
CALL_SECONDS: Final = 60.0


def timeout_seconds(config: Config, resource: str, tool: Tool | None = None) -> float:
    """Return how long a call of `resource` may take, in seconds; a tool's own `timeout` comes first."""
    if tool is not None and tool.timeout_seconds is not None:
        return tool.timeout_seconds
    fitting = [pattern for pattern in config.resilience if compile_pattern(pattern).matches(resource)]
    if not fitting:
        return CALL_SECONDS
    return config.resilience[max(fitting, key=specificity)].timeout_seconds


def specificity(pattern: str) -> tuple[int, int, int]:
    """Return what orders patterns: segments without `*`, then segments, then characters that are not `*`."""
    segments = pattern.split("/")
    whole = sum("*" not in segment for segment in segments)
    bounded = sum(segment != "**" for segment in segments)
    return whole, bounded, len(pattern) - pattern.count("*")
