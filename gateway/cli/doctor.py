"""`oncegate doctor`: looks at everything the gateway needs, and says what to do about what is not well."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from gateway.admin.address import socket_path
from gateway.cli import checks, engine_checks, options, store_checks
from gateway.cli.checks import Check
from gateway.cli.client import Target, ask
from gateway.cli.output import DONE, NO, Failure, print_json, screen, visible
from gateway.config import ConfigInvalid, load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.config import Config

_MARKS = {"ok": ("ok  ", "green"), "warning": ("look", "yellow"), "failure": ("FAIL", "bold red")}


def doctor(*, config: options.ConfigOption = options.CONFIG_DEFAULT, as_json: options.JsonOption = False) -> None:
    """Look at configuration, clock, keys, store, policies, language model, upstreams and disk.

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
    yield from checks.upstreams(config)
    yield from checks.commands(config)
    yield _running(config)


def _running(config: Config) -> Check:
    try:
        ask(Target(socket=socket_path(config.state.path)), "GET", "/healthz")
    except Failure as failure:
        return Check(subject="gateway", health="warning", finding=failure.message, advice="`oncegate serve` starts it")
    return Check(subject="gateway", health="ok", finding="answers on its socket")


def _show(check: Check) -> None:
    mark, style = _MARKS[check.health]
    line = Text.assemble((mark, style), "  ", (visible(check.subject), "bold"), "  ", visible(check.finding))
    if check.advice and check.health != "ok":
        line.append(f"\n      → {visible(check.advice)}", style="cyan")
    screen().print(line, soft_wrap=True)
