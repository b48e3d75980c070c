"""`oncegate check`: everything the gateway reads before it starts, and every problem in it at once."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import typer
from rich.text import Text

from gateway.cli import options
from gateway.cli.output import DONE, USAGE, print_json, screen, visible
from gateway.config import Config, ConfigInvalid, Problem, load
from gateway.config.problems import nearest
from gateway.config.types import DEFAULT_DOMAIN
from gateway.identity.certificate import Authorities
from gateway.identity.key_file import KeyFiles
from gateway.identity.key_set import KeySetUnusable, read_key_set
from gateway.identity.revocation import Revocations
from gateway.mcp.confinement import unconfined
from gateway.recognizing import recognizers_of
from gateway.secrets import SecretError, SecretReference
from gateway.tls import ListenerTls
from policy.cases import load_tested
from policy.source import PolicyInvalid
from redaction.profile import ProfilesInvalid, load_profiles
from redaction.recognizers import RecognizersInvalid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_SEVERE = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem; only an `error` keeps the gateway from starting. `line` is 0 for a whole file."""

    severity: Literal["error", "warning"]
    file: str
    line: int
    message: str


def check(*, config: options.ConfigOption = options.CONFIG_DEFAULT, as_json: options.JsonOption = False) -> None:
    """Check configuration, keys and policies; exits 2 when the gateway would not start."""
    found = list(findings(config))
    errors = sum(finding.severity == _SEVERE for finding in found)
    if as_json:
        print_json([asdict(finding) for finding in found])
    else:
        for finding in found:
            _show(finding)
        _sum_up(config, errors, len(found) - errors)
    raise typer.Exit(USAGE if errors else DONE)


def findings(path: Path) -> Iterator[Finding]:
    """Yield what is wrong with the configuration at `path` and with the files it names."""
    try:
        config = load(path)
    except ConfigInvalid as invalid:
        yield from _errors(invalid.problems)
        return
    yield from _keys(config)
    yield from _key_sets(config)
    yield from _certificates(config)
    yield from _policies(config)
    yield from _secrets(config)
    yield from _prices(config)
    yield from _errors(tuple(unconfined(config)))


def _keys(config: Config) -> Iterator[Finding]:
    try:
        KeyFiles.open(config)
    except ConfigInvalid as invalid:
        yield from _errors(invalid.problems)


def _key_sets(config: Config) -> Iterator[Finding]:
    for domain in config.trust_domains.values():
        for issuer in domain.issuers:
            if issuer.jwks_file is not None:
                yield from _key_set(issuer.jwks_file, issuer.algorithms, "sig", f"issuer `{issuer.issuer}`")
            if issuer.revoked_file is not None:
                try:
                    Revocations({issuer.issuer: issuer.revoked_file})
                except ConfigInvalid as invalid:
                    yield from _errors(invalid.problems)
        spiffe = domain.spiffe
        if spiffe is not None and spiffe.bundle_file is not None:
            whose = f"SPIFFE trust domain `{spiffe.trust_domain}`"
            yield from _key_set(spiffe.bundle_file, spiffe.algorithms, "jwt-svid", whose)


def _certificates(config: Config) -> Iterator[Finding]:
    named = [domain.spiffe for domain in config.trust_domains.values() if domain.spiffe is not None]
    files = {one.trust_domain: one.authorities_file for one in named if one.authorities_file is not None}
    try:
        authorities = Authorities(files)
        if config.tls is not None:
            ListenerTls(config.tls, authorities)
    except ConfigInvalid as invalid:
        yield from _errors(invalid.problems)


def _key_set(path: Path, algorithms: Collection[str], use: str, whose: str) -> Iterator[Finding]:
    try:
        read_key_set(path.read_bytes(), algorithms, use)
    except OSError as error:
        yield Finding(_SEVERE, str(path), 0, f"cannot be read: {(error.strerror or 'failed').lower()}")
    except KeySetUnusable as unusable:
        yield Finding(_SEVERE, str(path), 0, f"{whose}: {unusable}")


def _policies(config: Config) -> Iterator[Finding]:
    profiles: Collection[str] | None = None
    path = config.redaction.profiles_file or config.policies_folder / "redaction.yaml"
    try:
        profiles = load_profiles(path)
    except ProfilesInvalid as invalid:
        yield from (_placed(line, path) for line in str(invalid).splitlines())
    default = config.redaction.default_profile
    if profiles is not None and default not in profiles:
        yield Finding(_SEVERE, str(path), 0, f"holds no profile `{default}`, the default{nearest(default, profiles)}")
    try:
        recognizers_of(config)
    except RecognizersInvalid as invalid:
        yield from (_placed(line, path) for line in str(invalid).splitlines())
    domains = frozenset({*config.trust_domains, DEFAULT_DOMAIN})
    beside = () if config.candidate_folder is None else (config.candidate_folder,)
    for folder in (config.policies_folder, *beside, *config.policy_sets.values()):
        try:
            load_tested(folder, profiles=profiles, domains=domains)
        except PolicyInvalid as invalid:
            for problem in invalid.problems:
                yield Finding(_SEVERE, str(folder / problem.file), problem.line, problem.message)


def _placed(text: str, path: Path) -> Finding:
    """Return a line `file:line: message` as a finding."""
    match = re.fullmatch(r"(.*?):([0-9]+): (.*)", text)
    if match is None:
        return Finding(_SEVERE, str(path), 0, text)
    return Finding(_SEVERE, match.group(1), int(match.group(2)), match.group(3))


def _prices(config: Config) -> Iterator[Finding]:
    for model in config.models.values():
        if model.price is None:
            message = f"model `{model.name}` has no `price`: what its calls cost is said to be unknown"
            yield Finding("warning", str(config.file), 0, message)


def _secrets(config: Config) -> Iterator[Finding]:
    # only warnings: a configuration is also checked where its secrets are not, as before a merge
    for reference in config.secret_keys:
        try:
            reference.read_key()
        except SecretError as error:
            yield Finding("warning", str(config.file), 0, str(error))
    for reference, in_header in _sent(config):
        try:
            _ = reference.read_header() if in_header else reference.read()
        except SecretError as error:
            yield Finding("warning", str(config.file), 0, str(error))


def _sent(config: Config) -> Iterator[tuple[SecretReference, bool]]:
    for model in config.models.values():
        if model.credential is not None:
            yield model.credential, True
    for server in config.mcp_servers.values():
        if server.credential is not None:
            yield server.credential.reference, server.credential.client is None
    for proxy in config.proxies.values():
        yield proxy.secret, False


def _errors(problems: tuple[Problem, ...]) -> Iterator[Finding]:
    for problem in problems:
        yield Finding(_SEVERE, problem.file, problem.line, problem.message)


def _show(finding: Finding) -> None:
    place = f"{finding.file}:{finding.line}" if finding.line else finding.file
    style = "bold red" if finding.severity == _SEVERE else "yellow"
    line = Text.assemble((f"{finding.severity}: ", style), (visible(place), "bold"), ": ", visible(finding.message))
    screen().print(line, soft_wrap=True)


def _sum_up(path: Path, errors: int, warnings: int) -> None:
    counted = [
        f"{number} {word}{'' if number == 1 else 's'}" for number, word in ((errors, _SEVERE), (warnings, "warning"))
    ]
    verdict = "cannot be used" if errors else "can be used"
    screen().print(Text(f"{visible(str(path))} {verdict}: {', '.join(counted)}"), soft_wrap=True)
