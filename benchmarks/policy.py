"""What a decision costs: the compiled set beside stock Casbin and, where it is installed, Cedar.

`python -m benchmarks.policy [--lines 10,100,1000,10000]`. Processor time of one process, the best of fifteen rounds, in
microseconds a decision. Names vary, so that nothing is decided from one remembered answer.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policy.decision import Principal, Question
from policy.source import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from policy.source import PolicySet

ROUNDS = 15
REFERENCE_ROUNDS = 2
QUESTIONS = 200
#: prime, so that the lines asked about have conditions, denies and roles in the proportion of the set
STRIDE = 7919
CONDITIONS = 'small: "args.amount < 1000"\nclean: "never_after(\'x\')"\n'


def lines_of(count: int) -> str:
    """Return a set: roles, tools of many servers, a few conditions and denies, one flow."""
    lines = ["p2, acme, vendors, *, *, allow, redact=strict"]
    for number in range(count):
        server, role = f"s{number % 200}", f"role:r{number % 50}"
        condition = "small" if number % 10 == 0 else "-"
        effect = "deny" if number % 25 == 24 else "allow"
        demand = "redact=standard" if effect == "allow" else "-"
        lines.append(f"p, {role}, acme, mcp/{server}/tool/t{number}, call, {condition}, {effect}, {demand}")
    lines += [f"g, agent:a{number}, role:r{number % 50}, acme" for number in range(100)]
    return "\n".join(lines) + "\n"


def questions_of(count: int, *, known: bool) -> list[Question]:
    """Return questions about lines all over the set, or about names nobody has a line for."""
    found: list[Question] = []
    for place in range(QUESTIONS):
        number = place * STRIDE % count
        name = f"t{number}" if known else f"unknown{place}"
        found.append(Question(
            principal=Principal(agent=f"a{number % 50}", domain="acme", method="api_key"),
            resource=f"mcp/s{number % 200}/tool/{name}", resource_domain="acme", action="call",
            arguments={"amount": 5, "note": "x"}, time=0.0,
        ))  # fmt: skip
    return found


def microseconds(
    decide: Callable[[Question], object], questions: list[Question], repeat: int, rounds: int = ROUNDS
) -> float:
    """Return what one question costs."""
    best = float("inf")
    for _ in range(rounds):
        begun = time.process_time()
        for _ in range(repeat):
            for question in questions:
                decide(question)
        best = min(best, (time.process_time() - begun) / (repeat * len(questions)))
    return best * 1e6


def cold(policies: PolicySet, questions: list[Question]) -> float:
    """Return what the very first question costs: nothing is remembered, neither of who asks nor of what for."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        for question in questions:
            policies.snapshot.forget()
            policies.decide(question)
        best = min(best, (time.process_time() - begun) / len(questions))
    return best * 1e6


def cedar(count: int, questions: list[Question]) -> float | None:
    """Return what Cedar takes for a set of the same shape, parsed once; `None` where it is not installed."""
    if importlib.util.find_spec("cedarpy") is None:
        return None
    cedarpy: Any = importlib.import_module("cedarpy")
    text = "\n".join(
        f'{"forbid" if number % 25 == 24 else "permit"}(principal in Role::"r{number % 50}", '
        f'action == Action::"call", resource == Tool::"s{number % 200}/t{number}")'
        f"{' when { context.amount < 1000 }' if number % 10 == 0 else ''};"
        for number in range(count)
    )
    people = json.dumps([
        {
            "uid": {"type": "Agent", "id": f"a{number}"}, "attrs": {},
            "parents": [{"type": "Role", "id": f"r{number % 50}"}],
        }
        for number in range(100)
    ])  # fmt: skip
    policies, entities = cedarpy.PolicySet.from_str(text), cedarpy.Entities.from_json_str(people)
    some = questions[: max(20, 20_000 // count)]

    def decide(question: Question) -> object:
        _, server, _, tool = question.resource.split("/")
        request = {
            "principal": f'Agent::"{question.principal.agent}"', "action": 'Action::"call"',
            "resource": f'Tool::"{server}/{tool}"', "context": {"amount": 5},
        }  # fmt: skip
        return cedarpy.is_authorized(request, policies, entities)

    return microseconds(decide, some, 1, REFERENCE_ROUNDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", default="10,100,1000,10000")
    print(f"{'lines':>7} {'load ms':>8} {'known':>8} {'unknown':>8} {'first time':>10} {'casbin':>10} {'cedar':>10}")
    for count in (int(one) for one in parser.parse_args().lines.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "policy.csv").write_text(lines_of(count))
            (Path(folder) / "conditions.yaml").write_text(CONDITIONS)
            begun = time.process_time()
            policies = load(Path(folder))
            loading = (time.process_time() - begun) * 1e3
        known, unknown = questions_of(count, known=True), questions_of(count, known=False)
        reference = policies.reference()
        costs = [
            microseconds(policies.decide, known, 5), microseconds(policies.decide, unknown, 5),
            cold(policies, known), microseconds(reference.decide, known[: max(2, 2000 // count)], 1, REFERENCE_ROUNDS),
        ]  # fmt: skip
        other = cedar(count, known)
        shown = " ".join(f"{cost:{width}.1f}" for cost, width in zip(costs, (8, 8, 10, 10), strict=True))
        print(f"{count:>7} {loading:>8.0f} {shown} {'-' if other is None else f'{other:.0f}':>10}")


if __name__ == "__main__":
    main()
