"""`oncegate runs`: what runs there are, and one as a timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast
from urllib.parse import quote

import typer

from gateway.cli import options
from gateway.cli.client import ask
from gateway.cli.output import Column, ago, milliseconds, print_json, print_pairs, print_table, stamp, state
from gateway.cli.target import chosen

if TYPE_CHECKING:
    from rich.text import Text

app = typer.Typer(add_completion=False, no_args_is_help=True)

Row = dict[str, object]


@app.command("list")
def list_runs(
    *,
    agent: Annotated[str | None, typer.Option(help="Only this agent's.")] = None,
    wanted_state: Annotated[
        str | None, typer.Option("--state", help="Only in this state (running, failed, …).")
    ] = None,
    limit: options.LimitOption = 50,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """List runs, the newest first."""
    query = {"limit": str(limit), "agent": agent, "state": wanted_state}
    given = {name: value for name, value in query.items() if value is not None}
    runs = cast("list[Row]", ask(chosen(config, url, token), "GET", "/api/v1/runs", query=given))
    if as_json:
        print_json(runs)
        return
    columns = (
        Column("RUN", whole=True), Column("STATE", whole=True), Column("AGENT"), Column("UPDATED", whole=True),
        Column("ATTEMPT", align="right"), Column("CALLS", align="right", extra=True),
        Column("REPLAYED", align="right", extra=True),
    )  # fmt: skip
    print_table(columns, [_run_row(run) for run in runs], empty="no runs")


@app.command("show")
def show_run(
    run_id: Annotated[str, typer.Argument(metavar="ID")],
    *,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show a run as a timeline: its calls in order, executed or replayed."""
    run = cast("Row", ask(chosen(config, url, token), "GET", f"/api/v1/runs/{segment(run_id)}"))
    if as_json:
        print_json(run)
        return
    print_pairs(
        [
            ("run", str(run["id"])),
            ("agent", subject(run)),
            ("state", state(str(run["state"]))),
            ("attempt", str(run["attempt"])),
            ("started", stamp(cast("float", run["created"]))),
            ("updated", stamp(cast("float", run["updated"]))),
            ("calls", f"{run['calls']} made, {run['replays']} answered from the journal"),
        ]
    )
    calls = cast("list[Row]", run["timeline"])
    if run["calls_left_off"]:
        typer.echo(f"{run['calls_left_off']} older calls are not shown")
    columns = (
        Column("STEP", align="right"), Column("RESOURCE"), Column("STATE", whole=True),
        Column("REPLAYS", align="right"), Column("CALL", whole=True), Column("TOOK", align="right", extra=True),
        Column("ATTEMPT", align="right", extra=True),
    )  # fmt: skip
    print_table(columns, [_timeline_row(call) for call in calls], empty="no calls yet")


def subject(row: Row) -> str:
    """Return whose a row is, as subjects are written: `agent:acme/billing`, with the user if there is one."""
    agent = f"agent:{row['domain']}/{row['agent']}"
    return agent if row["user"] is None else f"{agent} for {row['user']}"


def segment(identifier: str) -> str:
    """Return an id as one segment of a URL's path."""
    return quote(identifier, safe="")


def _run_row(run: Row) -> list[str | Text]:
    return [
        str(run["id"]),
        state(str(run["state"])),
        subject(run),
        ago(cast("float", run["updated"])),
        str(run["attempt"]),
        str(run["calls"]),
        str(run["replays"]),
    ]


def _timeline_row(call: Row) -> list[str | Text]:
    return [
        str(call["step"]),
        str(call["resource"]),
        state(str(call["state"])),
        str(call["replays"]),
        str(call["id"]),
        milliseconds(cast("float | None", call["milliseconds"])),
        str(call["run_attempt"]),
    ]
