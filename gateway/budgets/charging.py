"""What a call is charged, and to which budgets: decided before its intent, settled from its usage.

A budget is named by whose calls it is of. `agent:acme/*`, `user:*`, `domain:*` and `run:*` are many: each
agent, user, domain or run has the whole of it. A resource pattern and `*` are one, shared by all callers.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from durable.step import Charge, Guard, Spent
from gateway.budgets import refused
from gateway.budgets.estimate import estimate
from gateway.budgets.windows import calendar, endless, sliding
from gateway.config.budgets import period_seconds
from policy.resources import compile_pattern, resource_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from durable.step import Intent, Step, Unit
    from gateway.budgets.estimate import Estimate
    from gateway.budgets.windows import Window
    from gateway.call import Call
    from gateway.config import Budget, Config
    from policy.decision import Decision, Limit

    Price = Callable[[str, Mapping[str, int]], float | None]

NANODOLLARS: Final = 1_000_000_000
#: The name under which the loop guard counts calls outside runs.
LOOP_GUARD: Final = "loop_guard"
_HOUR_SECONDS: Final = 3600
_EMBEDDINGS: Final = "embeddings"


@dataclass(frozen=True, slots=True)
class _Rule:
    """A budget, made ready: whose counter a call belongs to (`None`: not covered), and the window of a moment."""

    name: str
    bounds: tuple[tuple[str, int], ...]
    subject: Callable[[Call], str | None]
    window: Callable[[float], Window]


class Budgets:
    """The configured budgets, those of policy lines, and the loop guard."""

    def __init__(self, config: Config, price: Price) -> None:
        self._price = price
        self._assumed = {
            resource_name("model", name): model.output_tokens_assumed for name, model in config.models.items()
        }
        self._limits: dict[int, Callable[[float], Window]] = {}
        self.take(config)

    def take(self, config: Config) -> None:
        """Charge by the budgets and the loop guard of `config` from now on; what was charged stays charged."""
        self._rules = tuple(_rule(budget) for budget in config.budgets)
        self._hourly = config.loop_guard.same_call_an_hour
        seconds = [budget.run_seconds for budget in config.budgets if budget.run_seconds is not None]
        self._guard = Guard(
            same_call_max=config.loop_guard.same_call,
            run_calls_max=config.loop_guard.run_calls,
            run_seconds_max=min(seconds) if seconds else None,
        )

    def charged(self, intent: Intent, call: Call, decision: Decision) -> Intent:
        """Return `intent` with what it takes of budgets now, and how far its run may go. Raises `Refusal`."""
        charges = self.charges(call, intent.step, decision, intent.request)
        return replace(intent, charges=charges, guard=None if intent.step.run is None else self._guard)

    def estimated(self, call: Call, request: bytes) -> Estimate:
        """Return how many tokens a model call may take; `request` is the JSON that is sent."""
        assumed = 0 if _EMBEDDINGS in call.endpoint else self._assumed.get(call.resource, 0)
        return estimate(request, call.arguments, assumed=assumed, endpoint=call.endpoint)

    def charges(self, call: Call, step: Step, decision: Decision, request: bytes) -> tuple[Charge, ...]:
        """Return what `call` is charged to each budget that covers it. Raises `Refusal` where a price is unknown."""
        limits = decision.obligations.limits
        if not self._rules and not limits and (self._hourly is None or step.run is not None):
            return ()
        now = time.time()
        found: list[Charge] = []
        for rule in self._rules:
            if (subject := rule.subject(call)) is not None:
                found += self._charged(rule, subject, call, request, now)
        found += [charge for limit in limits if (charge := self._limited(limit, call, now)) is not None]
        if self._hourly is not None and step.run is None:
            subject = f"{step.owner.domain}/{step.owner.agent}/{step.owner.user} {step.fingerprint.hex()}"
            window = self._sliding(_HOUR_SECONDS)(now)
            found.append(_charge(LOOP_GUARD, "requests", subject, (1, self._hourly), window))
        return tuple(found)

    def _charged(self, rule: _Rule, subject: str, call: Call, request: bytes, now: float) -> Iterator[Charge]:
        window = rule.window(now)
        for measure, most in rule.bounds:
            amount = self._amount(rule, measure, call, request)
            if amount is not None:
                yield _charge(rule.name, measure, subject, (amount, most), window)

    def _amount(self, rule: _Rule, measure: str, call: Call, request: bytes) -> int | None:
        if measure in {"requests", f"{call.kind}_calls"}:
            return 1
        if call.kind != "model" or measure not in {"tokens", "usd"}:
            return None
        guess = self.estimated(call, request)
        if measure == "tokens":
            return guess.input_tokens + guess.output_tokens
        cost = self._price(call.resource, guess.usage)
        if cost is None:  # the configuration knows all prices; what it does not know may not be spent
            raise refused.unpriced(rule.name)
        return math.ceil(cost * NANODOLLARS)

    def _limited(self, limit: Limit, call: Call, now: float) -> Charge | None:
        principal = call.exchange.principal
        subject = principal.name
        if limit.of_user:
            if principal.user is None:
                return None
            subject = f"user:{principal.domain}/{principal.user}"
        window = self._sliding(limit.seconds)(now)
        return _charge(limit_name(limit), "requests", subject, (1, limit.calls), window)

    def _sliding(self, seconds: int) -> Callable[[float], Window]:
        known = self._limits.get(seconds)
        if known is None:  # as many as policy lines name periods
            known = self._limits[seconds] = sliding(seconds)
        return known


def limit_name(limit: Limit) -> str:
    """Return the name of the budget that a policy line's limit is."""
    return f"limit:{limit.line}@{limit.seconds}s"


def spent(status: int, usage: Mapping[str, int], cost_usd: float | None) -> Spent:
    """Return what an answer says was taken; nothing where it is an error without usage."""
    if usage:
        # providers count what a cache gives among the input, whatever it costs
        tokens = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
        return Spent(tokens=tokens, nanodollars=None if cost_usd is None else math.ceil(cost_usd * NANODOLLARS))
    return Spent(tokens=0, nanodollars=0) if status >= 400 else Spent()  # noqa: PLR2004 - RFC 9110 section 15.5


def window_of(budget: Budget) -> Callable[[float], Window]:
    """Return what tells the window of a moment (seconds since the epoch)."""
    if budget.per is None:
        return endless
    if budget.window == "sliding":
        return sliding(period_seconds(budget.per))
    return calendar(budget.per, budget.time_zone)


def bounds_of(budget: Budget) -> tuple[tuple[str, int], ...]:
    """Return what is counted, and up to where; US dollars in billionths."""
    bounds = [(name, getattr(budget, name)) for name in ("requests", "model_calls", "tool_calls", "tokens")]
    if budget.usd is not None:
        bounds.append(("usd", round(budget.usd * NANODOLLARS)))
    return tuple((name, most) for name, most in bounds if most is not None)


def _charge(budget: str, measure: str, subject: str, amount: tuple[int, int], window: Window) -> Charge:
    unit: Unit = "nanodollars" if measure == "usd" else "tokens" if measure == "tokens" else "calls"
    return Charge(
        counter=f"{measure} {budget} {subject}", budget=budget, measure=measure, subject=subject, unit=unit,
        amount=amount[0], most=amount[1], bucket=window.bucket, since=window.since, until=window.until,
        kept_until=window.kept_until,
    )  # fmt: skip


def _rule(budget: Budget) -> _Rule:
    return _Rule(budget.name, bounds_of(budget), _subject_of(budget.subject), window_of(budget))


def _subject_of(subject: str) -> Callable[[Call], str | None]:
    """Return what tells whose counter a call belongs to."""
    kind, colon, rest = subject.partition(":")
    if subject == "*":
        return lambda _: subject
    if not colon or kind not in {"agent", "user", "domain", "run"}:
        pattern = compile_pattern(subject)
        return lambda call: subject if pattern.matches(call.resource) else None
    if kind == "run":
        return lambda call: None if call.exchange.run is None else f"run:{call.exchange.run.id}"
    domain, _, name = rest.partition("/")

    def of_caller(call: Call) -> str | None:
        principal = call.exchange.principal
        own = {"agent": principal.agent, "user": principal.user, "domain": ""}[kind]
        if own is None or domain not in {"*", principal.domain} or name not in {"", "*", own}:
            return None
        return (
            f"{kind}:{principal.domain}/{own}".rstrip("/") if kind == "domain" else f"{kind}:{principal.domain}/{own}"
        )

    return of_caller
