"""Which `resilience` entry counts for a resource: for each setting, the most specific pattern that says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from gateway.config.resilience import CALL_SECONDS, Timeouts
from policy.resources import compile_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.config.resilience import Off, Resilience
    from gateway.config.root import Config
    from gateway.config.servers import Tool

_T = TypeVar("_T")

#: Stands in the place of any item of a server: what holds for it holds for the server as a whole.
_ANY_ITEM = "-/-"


def timeout_seconds(config: Config, resource: str, tool: Tool | None = None) -> float:
    """Return how long a call of `resource` may take, in seconds; a tool's own `timeout` comes first."""
    if tool is not None and tool.timeout_seconds is not None:
        return tool.timeout_seconds
    found = setting_for(config.resilience, resource, lambda entry: entry.timeout)
    return CALL_SECONDS if found is None else found.total_seconds


def upstream_timeouts(config: Config, upstream: str) -> Timeouts:
    """Return the times that hold for a whole upstream, `model/<name>` or `mcp/<server>`."""
    return setting_for(config.resilience, upstream, lambda entry: entry.timeout, whole=True) or Timeouts()


def setting_for(
    entries: Mapping[str, Resilience],
    resource: str,
    read: Callable[[Resilience], _T | Off | None],
    *,
    whole: bool = False,
) -> _T | None:
    """Return what the most specific fitting pattern that says it says, `None` where none does or it is `off`.

    With `whole`, `resource` is an upstream, and a pattern for everything below it fits too.
    """
    fitting = [
        (specificity(pattern), said)
        for pattern, entry in entries.items()
        if fits(pattern, resource, whole=whole) and (said := read(entry)) is not None
    ]
    if not fitting:
        return None
    _, found = max(fitting, key=lambda one: one[0])
    return None if found == "off" else cast("_T", found)


def fits(pattern: str, resource: str, *, whole: bool = False) -> bool:
    """Return whether a pattern is about a resource, or with `whole` about all of an upstream."""
    compiled = compile_pattern(pattern)
    return compiled.matches(resource) or (whole and compiled.rest and compiled.matches(f"{resource}/{_ANY_ITEM}"))


def specificity(pattern: str) -> tuple[int, int, int]:
    """Return what orders patterns: segments without `*`, then segments, then characters that are not `*`."""
    segments = pattern.split("/")
    whole = sum("*" not in segment for segment in segments)
    bounded = sum(segment != "**" for segment in segments)
    return whole, bounded, len(pattern) - pattern.count("*")
