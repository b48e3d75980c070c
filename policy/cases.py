"""The cases of a policy folder: `*_test.yaml` files that say what must be decided, and by which line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from policy.case_file import Case, read_cases
from policy.explain import explain, grants_used
from policy.lines import Problem
from policy.source import PolicyInvalid, files_in, load

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from policy.decision import Decision, LineRef, Obligations
    from policy.engine import ReferenceEngine
    from policy.source import PolicySet

#: `both` asks stock Casbin too, and every difference is a failure.
Engine = Literal["compiled", "both"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One case and what came of it; `failures` is empty when all is as expected."""

    case: Case
    decision: Decision
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All cases of a folder. `uncovered` are the lines that no case made match."""

    results: tuple[Result, ...]
    lines: int
    uncovered: tuple[LineRef, ...]
    digest: str

    @property
    def failed(self) -> tuple[Result, ...]:
        """Return the results that are not as expected."""
        return tuple(one for one in self.results if one.failures)

    @property
    def ok(self) -> bool:
        """Whether there are cases and all are as expected: a set without cases proves nothing."""
        return bool(self.results) and not self.failed


def run_cases(
    folder: Path,
    engine: Engine = "compiled",
    *,
    profiles: Collection[str] | None = None,
    domains: Collection[str] | None = None,
) -> Report:
    """Return what the cases in `folder` say of its policies. Raises `PolicyInvalid`, also for unusable cases."""
    policy_set = load(folder, profiles=profiles, domains=domains)
    cases = cases_in(folder)
    reference = policy_set.reference() if engine == "both" else None
    covered: set[str] = set()
    results = tuple(_run(case, policy_set, reference, covered) for case in cases)
    snapshot = policy_set.snapshot
    refs = [item.ref for group in (snapshot.rules, snapshot.flows, snapshot.grants) for item in group]
    return Report(
        results=results,
        lines=len(refs),
        uncovered=tuple(ref for ref in refs if ref.id not in covered),
        digest=policy_set.digest,
    )


def cases_in(folder: Path) -> list[Case]:
    """Return the cases in the `*_test.yaml` files of `folder`. Raises `PolicyInvalid` for unusable ones."""
    problems: list[Problem] = []
    cases: list[Case] = []
    for name, path in files_in(folder):
        if not name.endswith("_test.yaml"):
            continue
        try:
            cases += read_cases(name, path.read_text(encoding="utf-8"), problems)
        except (OSError, UnicodeDecodeError):
            problems.append(Problem(name, 0, "expected a readable file in UTF-8"))
    if problems:
        raise PolicyInvalid(problems)
    return cases


def load_tested(
    folder: Path, *, profiles: Collection[str] | None = None, domains: Collection[str] | None = None
) -> PolicySet:
    """Return the set in `folder`, having passed the cases it brings along. Raises `PolicyInvalid`."""
    policy_set = load(folder, profiles=profiles, domains=domains)
    problems = [
        Problem(case.file, case.line, f"its own case `{case.name}`: {'; '.join(failures)}")
        for case in cases_in(folder)
        if (failures := _failures(case, policy_set.decide(case.question)))
    ]
    if problems:
        raise PolicyInvalid(problems)
    return policy_set


def _run(case: Case, policy_set: PolicySet, reference: ReferenceEngine | None, covered: set[str]) -> Result:
    explanation = explain(policy_set, case.question)
    covered |= explanation.matched
    covered |= {grant.ref.id for grant in grants_used(policy_set.snapshot, explanation, case.question.principal.domain)}
    decision = explanation.decision
    failures = _failures(case, decision)
    if reference is not None:
        other = reference.decide(case.question)
        if other.effect != decision.effect or not same(other.obligations, decision.obligations):
            failures.append(f"stock Casbin says {other.effect}, the compiled set says {decision.effect}")
    return Result(case=case, decision=decision, failures=tuple(failures))


def _failures(case: Case, decision: Decision) -> list[str]:
    failures: list[str] = []
    if decision.effect != case.expect:
        failures.append(f"expected {case.expect}, not {decision.effect} ({decision.reason})")
    if case.rule is not None and decision.rule != case.rule:
        failures.append(f"expected the line `{case.rule}`, not `{decision.rule}`")
    if case.obligations is not None and not same(decision.obligations, case.obligations):
        failures.append("the obligations are not those expected")
    return failures


def same(first: Obligations, second: Obligations) -> bool:
    """Return whether both demand and grant the same, in whatever order."""
    return all(
        frozenset(one) == frozenset(other)
        for one, other in (
            (first.profiles, second.profiles),
            (first.approvals, second.approvals),
            (first.restores, second.restores),
            (first.limits, second.limits),
            (first.labels, second.labels),
        )
    )
