"""The `resilience` section as the path asks for it: what holds for one resource, looked up once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.config import Timeouts, setting_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import Hedge, Resilience, Retry

#: Resources remembered; agents name many (URIs), so they are forgotten together.
_KEPT_MAX: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How calls of one resource are carried out; `None` is off."""

    times: Timeouts
    retry: Retry | None
    hedge: Hedge | None


class Rulebook:
    """Answers for any resource; `None` where nothing is said but how long calls may take."""

    def __init__(self, entries: Mapping[str, Resilience]) -> None:
        self._entries = entries
        self._known: dict[str, Rules | None] = {}
        self._says = any(_says_more(entry) for entry in entries.values())

    def rules_of(self, resource: str) -> Rules | None:
        """Return the rules of a resource."""
        if not self._says:
            return None
        try:
            return self._known[resource]
        except KeyError:
            if len(self._known) >= _KEPT_MAX:
                self._known.clear()
            found = self._known[resource] = self._read(resource)
            return found

    def _read(self, resource: str) -> Rules | None:
        times = setting_for(self._entries, resource, lambda entry: entry.timeout) or Timeouts()
        retry = setting_for(self._entries, resource, lambda entry: entry.retry)
        hedge = setting_for(self._entries, resource, lambda entry: entry.hedge)
        if retry is None and hedge is None and times.first_byte_seconds is None and times.between_bytes_seconds is None:
            return None
        return Rules(times=times, retry=retry, hedge=hedge)


def _says_more(entry: Resilience) -> bool:
    times = entry.timeout
    parts = times is not None and (times.first_byte_seconds is not None or times.between_bytes_seconds is not None)
    return parts or entry.retry is not None or entry.hedge is not None
