"""`oncegate runs`: what runs there are, one as a timeline, and what is done to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast
from urllib.parse import quote

import typer

from gateway.cli import options
from gateway.cli.client import ask
from gateway.cli.output import (
    USAGE,
    Column,
    Failure,
    ago,
    milliseconds,
    note,
    print_json,
    print_pairs,
    print_table,
    stamp,
    state,
    visible,
)
from gateway.cli.target import chosen

if TYPE_CHECKING:
    from rich.text import Text

app = typer.Typer(add_completion=False, no_args_is_help=True)

Row = dict[str, object]

_RunId = Annotated[str, typer.Argument(metavar="ID")]
_Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the audit.")]


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
        Column("REPLAYED", align="right", extra=True), Column("LABELS", extra=True),
    )  # fmt: skip
    print_table(columns, [_run_row(run) for run in runs], empty="no runs")


@app.command("show")
def show_run(
    run_id: _RunId,
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
    print_pairs(_summary(run))
    calls = cast("list[Row]", run["timeline"])
    if run["calls_left_off"]:
        typer.echo(f"{run['calls_left_off']} older calls are not shown")
    columns = (
        Column("STEP", align="right"), Column("RESOURCE"), Column("HOW", whole=True),
        Column("TOOK", align="right"), Column("TOKENS", align="right"), Column("COST", align="right"),
        Column("CALL", whole=True), Column("ATTEMPT", align="right", extra=True), Column("LINE", extra=True),
    )  # fmt: skip
    print_table(columns, [_timeline_row(call) for call in calls], empty="no calls yet")
    for call in calls:
        if call["differs"] is not None:
            typer.echo(visible(_difference(call)))


@app.command("cancel")
def cancel_run(
    run_id: _RunId,
    *,
    reason: _Reason = "",
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Cancel an open run: its agent's calls are refused from now on."""
    target = chosen(config, url, token)
    run = cast("Row", ask(target, "POST", f"/api/v1/runs/{segment(run_id)}/cancel", body={"reason": reason}))
    _tell(run, f"run {run['id']} is cancelled", as_json=as_json)


@app.command("retry")
def retry_run(
    run_id: _RunId,
    *,
    reason: _Reason = "",
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Open a failed or cancelled run again; a managed one is started at once."""
    target = chosen(config, url, token)
    run = cast("Row", ask(target, "POST", f"/api/v1/runs/{segment(run_id)}/retry", body={"reason": reason}))
    _tell(run, f"run {run['id']} is open again; {_how_started(run)}", as_json=as_json)


@app.command("fork")
def fork_run(
    run_id: _RunId,
    *,
    at: Annotated[int, typer.Option("--at", metavar="STEP", min=0, help="Share the journal up to this step.")],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="OLD=NEW", help="Ask NEW wherever the agent asks OLD, after that step."),
    ] = None,
    policies: Annotated[
        str | None, typer.Option("--policies", metavar="SET", help="Decide the fork by this one of `policy_sets`.")
    ] = None,
    repeat_effects: Annotated[
        bool, typer.Option("--repeat-effects", help="Do not hold `once` calls that the run has made after that step.")
    ] = False,
    reason: _Reason = "",
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Make a new run that shares a run's journal up to a step, then goes on live."""
    body: Row = {"step": at, "models": _models(model or []), "repeat_effects": repeat_effects, "reason": reason}
    if policies is not None:
        body["policies"] = policies
    target = chosen(config, url, token)
    run = cast("Row", ask(target, "POST", f"/api/v1/runs/{segment(run_id)}/fork", body=body))
    if as_json:
        print_json(run)
        return
    typer.echo(str(run["id"]))
    note(_how_started(run))


def subject(row: Row) -> str:
    """Return whose a row is, as subjects are written: `agent:acme/billing`, with the user if there is one."""
    agent = f"agent:{row['domain']}/{row['agent']}"
    return agent if row["user"] is None else f"{agent} for {row['user']}"


def segment(identifier: str) -> str:
    """Return an id as one segment of a URL's path."""
    return quote(identifier, safe="")


def _models(given: list[str]) -> dict[str, str]:
    models: dict[str, str] = {}
    for one in given:
        old, equals, new = one.partition("=")
        if not old or not equals or not new or old in models:
            raise Failure(USAGE, "`--model`: expected OLD=NEW, each OLD once")
        models[old] = new
    return models


def _tell(run: Row, sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(run)
    else:
        typer.echo(sentence)


def _how_started(run: Row) -> str:
    if run["kind"] == "managed":
        return "the gateway starts it"
    return f"start it with `oncegate run --run {run['id']} -- CMD`"


def _summary(run: Row) -> list[tuple[str, str | Text]]:
    pairs: list[tuple[str, str | Text]] = [
        ("run", str(run["id"])),
        ("agent", subject(run)),
        ("state", state(str(run["state"]))),
    ]
    pairs += [(name, str(run[name])) for name in ("reason", "waiting") if run[name]]
    attempts = str(run["attempt"]) if run["attempts_max"] is None else f"{run['attempt']} of {run['attempts_max']}"
    pairs.append(("attempt", attempts))
    if run["parent"] is not None:
        pairs.append(("forked from", f"{run['parent']} at step {run['fork_step']}"))
    if run["policies"] is not None:
        pairs.append(("policies", str(run["policies"])))
    models = cast("dict[str, str]", run["models"])
    if models:
        pairs.append(("models", ", ".join(f"{old} is {new}" for old, new in models.items())))
    if run["labels"]:
        pairs.append(("labels", ", ".join(cast("list[str]", run["labels"]))))
    pairs += [
        ("started", stamp(cast("float", run["created"]))),
        ("updated", stamp(cast("float", run["updated"]))),
    ]
    for name in ("due", "deadline"):
        if run[name] is not None:
            pairs.append((name, stamp(cast("float", run[name]))))
    tokens = f"{run['input_tokens']} in, {run['output_tokens']} out"
    return [
        *pairs,
        ("calls", f"{run['calls']} made, {run['replays']} answered from the journal"),
        ("tokens", f"{tokens}, {_dollars(run['cost_usd'])}" if run["cost_usd"] else tokens),
        *([("saved", f"{_dollars(run['saved_usd'])} by answers from the journal")] if run["saved_usd"] else []),
    ]


def _run_row(run: Row) -> list[str | Text]:
    return [
        str(run["id"]),
        state(str(run["state"])),
        subject(run),
        ago(cast("float", run["updated"])),
        str(run["attempt"]),
        str(run["calls"]),
        str(run["replays"]),
        ", ".join(cast("list[str]", run["labels"])),
    ]


def _timeline_row(call: Row) -> list[str | Text]:
    how = state(str(call["how"]))
    if call["replays"]:
        how.append(f", replayed {call['replays']}x")
    if call["differs"] is not None:
        how.append(", differs")
    tokens = "-" if call["input_tokens"] is None else f"{call['input_tokens']} + {call['output_tokens'] or 0}"
    return [
        str(call["step"]),
        str(call["resource"]),
        how,
        milliseconds(cast("float | None", call["milliseconds"])),
        tokens,
        _dollars(call["cost_usd"]),
        str(call["id"]),
        str(call["run_attempt"]),
        str(call["decided_by"]) or "-",
    ]


def _difference(call: Row) -> str:
    differs = cast("Row", call["differs"])
    from_step = f"step {differs['step']}" if differs["step"] is not None else f"call {differs['call']}"
    return f"step {call['step']} differs from {from_step} at {differs['path']}"


def _dollars(value: object) -> str:
    return "-" if not isinstance(value, int | float) else f"${value:.6f}".rstrip("0").rstrip(".")
