"""`oncegate doctor`: looks at everything the gateway needs, and says what to do about what is not well."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, cast

import typer
from rich.text import Text

from gateway.admin.address import socket_path
from gateway.cli import checks, engine_checks, network_checks, options, store_checks
from gateway.cli.attention import attention
from gateway.cli.checks import Check
from gateway.cli.client import Target, ask
from gateway.cli.output import DONE, NO, Failure, print_json, screen, visible
from gateway.config import ConfigInvalid, load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_MARKS = {"ok": ("ok  ", "green"), "warning": ("look", "yellow"), "failure": ("FAIL", "bold red")}


def doctor(*, config: options.ConfigOption = options.CONFIG_DEFAULT, as_json: options.JsonOption = False) -> None:
    """Look at configuration, clock, keys, store, policies, language model, disk, certificates, upstreams, issuers.

    Each line says what to do; exits 1 when something has failed.
    """
    found: list[Check] = []
    for check in _looked_at(config):
        found.append(check)
        if not as_json:
            _show(check)
    if as_json:
        print_json([asdict(check) for check in found])
    raise typer.Exit(NO if any(check.health == "failure" for check in found) else DONE)


def _looked_at(path: Path) -> Iterator[Check]:
    try:
        config = load(path)
    except ConfigInvalid as invalid:
        advice = "correct it; `oncegate check` says whether it is right"
        for problem in invalid.problems:
            yield Check(subject="configuration", health="failure", finding=str(problem), advice=advice)
        return
    yield Check(subject="configuration", health="ok", finding=f"`{path}`")
    yield checks.clock(config)
    yield from checks.keys(config)
    yield from checks.credentials(config)
    if config.state.postgres is None:
        yield checks.store(config)
        yield checks.disk(config)
    yield from store_checks.journal(config)
    yield from checks.audit(config)
    yield from engine_checks.policies(config)
    yield engine_checks.language_model(config)
    yield from network_checks.certificate(config)
    yield from network_checks.upstreams(config)
    yield from network_checks.issuers(config)
    yield from network_checks.exporters(config)
    yield from checks.commands(config)
    yield from running(Target(socket=socket_path(config.state.path)))


def running(target: Target) -> Iterator[Check]:
    """Ask the running gateway how it stands: what it says of itself is not to be seen from outside."""
    subject = "gateway"
    try:
        ask(target, "GET", "/healthz")
    except Failure as failure:
        yield Check(subject=subject, health="warning", finding=failure.message, advice="`oncegate serve` starts it")
        return
    try:
        wants = attention(
            cast("dict[str, object]", ask(target, "GET", "/api/v1/overview")),
            cast("list[dict[str, object]]", ask(target, "GET", "/api/v1/upstreams")),
        )
    except Failure as failure:
        advice = "see its log, and what is said of journal and disk above"
        yield Check(subject=subject, health="failure", finding=failure.message, advice=advice)
        return
    yield Check(subject=subject, health="ok", finding="answers on its socket")
    # doubts and approvals are said where the journal is looked at
    for want in wants:
        if not want.waits:
            yield Check(subject=subject, health="warning", finding=want.finding, advice=want.advice)


def _show(check: Check) -> None:
    mark, style = _MARKS[check.health]
    line = Text.assemble((mark, style), "  ", (visible(check.subject), "bold"), "  ", visible(check.finding))
    if check.advice and check.health != "ok":
        line.append(f"\n      → {visible(check.advice)}", style="cyan")
    screen().print(line, soft_wrap=True)
