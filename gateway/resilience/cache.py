"""Answers of models given again to the very same request, inside one trust domain and one policy; off by default.

| condition | why |
|---|---|
| the same bytes of canonical JSON, to the same endpoint and model | nothing is guessed to mean the same |
| the same domain, deciding line, policy set, profile and detector | nobody gets what another policy let somebody see |
| `temperature: 0`, or asked for | an agent that wants another answer gets one |
| no tools, hosted or own, one choice, nothing kept at the provider | an answer is text, and nobody acts on it twice |
| redaction found nothing on either side | placeholders of one run mean nothing in another |

In memory, bounded in entries, bytes and time; keys are digests under a key of the process.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.call import header
from gateway.config import setting_for
from gateway.ids import random_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from durable.step import Outcome
    from gateway.call import Call
    from gateway.config import Cache, Resilience
    from gateway.work import Work

_OK: Final = 200
#: Beside its body: key, names, the object itself.
_ENTRY_BYTES: Final = 1024
#: Request headers that may change an answer.
_MEANINGFUL: Final = (b"anthropic-", b"openai-")
#: Of a request: what asks for more than one text.
_MORE: Final = ("tools", "functions", "mcp_servers", "web_search_options", "previous_response_id", "conversation")


@dataclass(frozen=True, slots=True)
class Slot:
    """Where the answer to one request is kept, or will be."""

    store: AnswerStore
    key: bytes


class AnswerStore:
    """Answers by key, those used longest ago forgotten first; `now` is a clock in seconds."""

    def __init__(self, rule: Cache, now: Callable[[], float]) -> None:
        self.rule = rule
        self._now = now
        self._kept: OrderedDict[bytes, tuple[float, Outcome]] = OrderedDict()
        self.bytes = 0

    def find(self, key: bytes) -> Outcome | None:
        """Return the answer kept under `key`, `None` when there is none or its time is over."""
        found = self._kept.get(key)
        if found is None:
            return None
        until, outcome = found
        if until <= self._now():
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return outcome

    def keep(self, key: bytes, outcome: Outcome) -> None:
        """Keep an answer; one that is larger than all that may be kept is not."""
        size = _size(outcome)
        if size > self.rule.bytes_max:
            return
        if key in self._kept:
            self._forget(key)
        while self._kept and (len(self._kept) >= self.rule.entries_max or self.bytes + size > self.rule.bytes_max):
            self._forget(next(iter(self._kept)))
        self._kept[key] = self._now() + self.rule.ttl_seconds, outcome
        self.bytes += size

    def __len__(self) -> int:
        return len(self._kept)

    def _forget(self, key: bytes) -> None:
        _, outcome = self._kept.pop(key)
        self.bytes -= _size(outcome)


class Answers:
    """The caches of the configured patterns, each with its own bounds."""

    def __init__(self, entries: Mapping[str, Resilience], now: Callable[[], float] = time.monotonic) -> None:
        self._entries = entries
        self._now = now
        self._key = random_bytes(32)
        self._stores: dict[int, AnswerStore] = {}
        self._on = any(entry.cache not in {None, "off"} for entry in entries.values())

    def slot(self, work: Work) -> Slot | None:
        """Return where the answer to a call is kept, `None` for one whose answer is its own."""
        if not self._on:
            return None
        call = work.call
        rule = setting_for(self._entries, call.resource, lambda entry: entry.cache)
        if rule is None or not _asks_for_one_text(call) or not _wants(call, rule):
            return None
        # the rule is kept by the configuration: while it lives, nothing else has its id
        store = self._stores.setdefault(id(rule), AnswerStore(rule, self._now))
        return Slot(store, self._digest(work, rule))

    def _digest(self, work: Work, rule: Cache) -> bytes:
        call, owner, decision = work.call, work.owner, work.decision
        whose = {"domain": (), "agent": (owner.agent,), "user": (owner.agent, owner.user)}[rule.scope]
        lines = (decision.rule, "-" if decision.flow_line is None else decision.flow_line.id)
        meant = [b"%b:%b" % pair for pair in call.exchange.headers if pair[0].startswith(_MEANINGFUL)]
        digest = hmac.new(self._key, digestmod=hashlib.sha256)
        named = (call.endpoint, call.exchange.path, call.resource, owner.domain, *whose, *lines, work.digests)
        for part in (*(name.encode() for name in named), *meant, body.canonical(call.tree)):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.digest()


def keeper(work: Work) -> Callable[[Outcome, bool], None] | None:
    """Return what keeps a journaled answer for the next who asks the same; `clean`: redaction found nothing in it."""
    slot, redacted = work.slot, work.redacted
    if slot is None or redacted is None or redacted.changed or redacted.counts:
        return None

    def keep(outcome: Outcome, clean: bool) -> None:  # noqa: FBT001 - a callback with one fact
        if clean and outcome.status == _OK and not outcome.meta.keys() & {"objects", "answered_by"}:
            slot.store.keep(slot.key, outcome)

    return keep


def given_again(outcome: Outcome) -> Outcome:
    """Return a kept answer as the outcome of another step: nothing was used and nothing paid for it."""
    kept = {name: value for name, value in outcome.meta.items() if name in {"headers", "finish"}}
    return replace(outcome, meta=kept | {"cached": True, "cost_usd": 0.0})


def _asks_for_one_text(call: Call) -> bool:
    if call.kind != "model" or call.effect != "safe" or not call.journaled or call.also or call.objects:
        return False
    tree = cast("dict[str, object]", call.tree)
    return not any(tree.get(name) for name in _MORE) and tree.get("n") in {None, 1} and tree.get("store") is not True


def _wants(call: Call, rule: Cache) -> bool:
    said = header(call.exchange.headers, b"oncegate-cache")
    if said == b"no":
        return False
    if rule.when == "always" or said == b"use":
        return True
    temperature = cast("dict[str, object]", call.tree).get("temperature")
    if temperature is None or isinstance(temperature, bool | str | list | dict):
        return False
    return float(cast("float", temperature)) == 0.0


def _size(outcome: Outcome) -> int:
    return len(outcome.body) + _ENTRY_BYTES
