"""`oncegate run -- cmd`: an agent under the gateway, started again from the beginning when it dies."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, cast

import msgspec
import typer

from gateway.admin.address import socket_path
from gateway.admin.parts import OpenedRun
from gateway.cli import options
from gateway.cli.child import check_reach, environment, secret_variables
from gateway.cli.client import Target, ask, remote
from gateway.cli.output import UNREACHABLE, USAGE, Failure
from gateway.cli.runs import segment
from gateway.cli.supervisor import Gateway, Patience, Supervisor
from gateway.cli.target import read_config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Nobody waits for a thousand restarts.
ATTEMPTS_MAX = 1000


def run(
    command: Annotated[list[str], typer.Argument(metavar="CMD", help="After `--`: the agent's command.")],
    *,
    agent: Annotated[str | None, typer.Option(help="With the socket: the agent's name.")] = None,
    domain: Annotated[str | None, typer.Option(help="With the socket: the agent's trust domain.")] = None,
    run_id: Annotated[str | None, typer.Option("--run", metavar="ID", help="Continue this run.")] = None,
    attempts: Annotated[int, typer.Option(min=1, max=ATTEMPTS_MAX, help="How often it is started at most.")] = 5,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
) -> None:
    """Run an agent under the gateway; when it dies it is started again and fast-forwards.

    Exits with the command's final status.
    """
    if shutil.which(command[0]) is None:
        raise Failure(USAGE, f"`{command[0]}`: expected a program that can be run")
    gateway: Gateway
    if url is None:
        if token is not None:
            raise Failure(USAGE, "`--token` goes with `--url`; the socket needs no credential")
        gateway, secret = _owned(config, agent, domain)
    else:
        if agent is not None or domain is not None:
            raise Failure(USAGE, "`--agent` and `--domain` go with the socket; elsewhere the credential says who it is")
        target = remote(url, token)
        gateway = Elsewhere(target)
        secret = {target.token.place} if target.token is not None and target.token.kind == "env" else set[str]()
    supervisor = Supervisor(
        gateway=gateway,
        command=command,
        environment=partial(_environment, secret=frozenset(secret)),
        run_id=run_id,
        attempts_max=attempts,
        patience=Patience(),
    )
    raise typer.Exit(asyncio.run(supervisor.supervise()))


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A gateway's agents' listener, asked with the agent's own credential."""

    target: Target

    def open(self, run_id: str | None) -> OpenedRun:
        """Open a run or its next attempt. Raises `Failure`."""
        return _opened(ask(self.target, "POST", "/runs", body={} if run_id is None else {"id": run_id}))

    def finish(self, run_id: str, attempt: int, state: Literal["finished", "failed"], status: int) -> None:
        """Close the run, its result the command's status. Raises `Failure`."""
        body = {"state": state, "attempt": attempt, "result": {"exit_status": status}}
        ask(self.target, "POST", f"/runs/{segment(run_id)}/finish", body=body)

    def ended(self, run_id: str) -> int | None:
        """Return the status a run's command has finished with. Raises `Failure`."""
        return _exit_status(ask(self.target, "GET", f"/runs/{segment(run_id)}"))


@dataclass(frozen=True, slots=True)
class Owned:
    """A gateway's socket, asked by its owner in the name of an agent."""

    target: Target
    agent: str
    domain: str

    def open(self, run_id: str | None) -> OpenedRun:
        """Open a run or its next attempt. Raises `Failure`."""
        body = {"agent": self.agent, "domain": self.domain, "id": run_id}
        return _opened(ask(self.target, "POST", "/api/v1/runs", body=body))

    def finish(self, run_id: str, attempt: int, state: Literal["finished", "failed"], status: int) -> None:
        """Close the run, its result the command's status. Raises `Failure`."""
        body = {"state": state, "attempt": attempt, "result": {"exit_status": status}}
        ask(self.target, "POST", f"/api/v1/runs/{segment(run_id)}/finish", body=body)

    def ended(self, run_id: str) -> int | None:
        """Return the status a run's command has finished with. Raises `Failure`."""
        run = cast("dict[str, object]", ask(self.target, "GET", f"/api/v1/runs/{segment(run_id)}"))
        mine = (run.get("agent"), run.get("domain")) == (self.agent, self.domain)
        return _exit_status(run) if mine else None


def _owned(path: Path, agent: str | None, domain: str | None) -> tuple[Owned, set[str]]:
    config = read_config(path)
    if config.development and agent is None and domain is None:
        agent, domain = "anonymous", "default"
    if agent is None or domain is None:
        raise Failure(USAGE, "expected `--agent NAME` and `--domain D`, or `--url` and `--token`")
    check_reach(config)
    return Owned(Target(socket=socket_path(config.state.path)), agent, domain), secret_variables(config)


def _environment(opened: OpenedRun, *, secret: frozenset[str]) -> Mapping[str, str]:
    return environment(os.environ, opened, secret)


def _exit_status(run: object) -> int | None:
    if not isinstance(run, dict):
        return None
    shown = cast("dict[str, object]", run)
    result = shown.get("result")
    if shown.get("state") != "finished" or not isinstance(result, dict):
        return None
    status = cast("dict[str, object]", result).get("exit_status")
    return status if isinstance(status, int) else None


def _opened(answer: object) -> OpenedRun:
    try:
        return msgspec.convert(answer, OpenedRun)
    except msgspec.ValidationError:
        raise Failure(UNREACHABLE, "what answers is not an Oncegate gateway's `/runs`") from None
