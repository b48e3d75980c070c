"""What `doctor` looks at inside the engines: the policy set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli.checks import Check
from gateway.config.types import DEFAULT_DOMAIN
from policy.source import PolicyInvalid, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import Config


def policies(config: Config) -> Iterator[Check]:
    """Look whether the policy set can be used; one line for each problem."""
    subject = "policies"
    try:
        found = load(config.policies_folder, domains={*config.trust_domains, DEFAULT_DOMAIN})
    except PolicyInvalid as invalid:
        for problem in invalid.problems:
            yield Check(
                subject=subject,
                health="failure",
                finding=str(problem),
                advice="correct it; `oncegate policy test` tries the set, `oncegate init` writes a starter set",
            )
        return
    finding = f"`{config.policies_folder}`, {found.digest}"
    if found.changed_model is not None:
        advice = "stock Casbin honours it, and each decision takes longer; remove `model.conf` to go back"
        yield Check(subject=subject, health="warning", finding=f"{finding}, with a model of its own", advice=advice)
        return
    yield Check(subject=subject, health="ok", finding=finding)
