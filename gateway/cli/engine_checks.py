"""What `doctor` looks at inside the engines: the policy set, redaction profiles, the language model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli.checks import Check
from gateway.config.types import DEFAULT_DOMAIN
from policy.source import PolicyInvalid, load
from redaction.model import ModelUnusable, default_folder, verify_all
from redaction.profile import ProfilesInvalid, load_profiles

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from gateway.config import Config


def policies(config: Config) -> Iterator[Check]:
    """Look whether the policy set can be used; one line for each problem."""
    subject = "policies"
    names: Collection[str] | None = None
    try:
        names = load_profiles(_profiles_file(config))
    except ProfilesInvalid as invalid:
        for problem in str(invalid).splitlines():
            yield Check(
                subject="profiles", health="failure", finding=problem, advice="correct the file, or bring it back"
            )
    try:
        found = load(config.policies_folder, profiles=names, domains={*config.trust_domains, DEFAULT_DOMAIN})
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


def language_model(config: Config) -> Check:
    """Look whether the language model is there, with every file as it was installed."""
    folder = config.redaction.model_folder or default_folder()
    try:
        digest = verify_all(folder, config.redaction.languages)
    except ModelUnusable as unusable:
        advice = "run `oncegate model install`"
        return Check(subject="language model", health="failure", finding=str(unusable), advice=advice)
    return Check(subject="language model", health="ok", finding=f"`{folder}`, {digest}")


def _profiles_file(config: Config) -> Path:
    return config.redaction.profiles_file or config.policies_folder / "redaction.yaml"
