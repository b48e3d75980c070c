"""`oncegate calls`: what calls there are, one of them whole, and the decision on one in doubt."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from gateway.body import MalformedBody, parse
from gateway.cli import options
from gateway.cli.client import ask
from gateway.cli.output import (
    USAGE,
    Column,
    Failure,
    ago,
    milliseconds,
    print_json,
    print_pairs,
    print_table,
    stamp,
    state,
    visible,
)
from gateway.cli.runs import Row, segment, subject
from gateway.cli.target import chosen

if TYPE_CHECKING:
    from pathlib import Path

    from rich.text import Text

app = typer.Typer(add_completion=False, no_args_is_help=True)


class CallState(StrEnum):
    """States of a call as operators name them."""

    IN_FLIGHT = "in_flight"
    DONE = "done"
    IN_DOUBT = "in_doubt"
    GRANTED = "granted"
    FAILED = "failed"
    NOT_EXECUTED = "not_executed"
    HELD = "held"


class Verdict(StrEnum):
    """What an operator may decide about a call in doubt."""

    HAPPENED = "happened"
    EXECUTE = "execute"
    FAIL = "fail"


@app.command("list")
def list_calls(
    *,
    wanted_state: Annotated[CallState | None, typer.Option("--state", help="Only in this state.")] = None,
    run: Annotated[str | None, typer.Option(help="Only of this run.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only this agent's.")] = None,
    resource: Annotated[str | None, typer.Option(help="Only on this resource.")] = None,
    limit: options.LimitOption = 50,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """List calls, the newest first."""
    query = {"limit": str(limit), "state": wanted_state, "run": run, "agent": agent, "resource": resource}
    given = {name: str(value) for name, value in query.items() if value is not None}
    calls = cast("list[Row]", ask(chosen(config, url, token), "GET", "/api/v1/calls", query=given))
    if as_json:
        print_json(calls)
        return
    columns = (
        Column("CALL", whole=True), Column("STATE", whole=True), Column("RESOURCE"), Column("AGENT"),
        Column("BEGUN", whole=True), Column("REPLAYS", align="right", extra=True),
        Column("TOOK", align="right", extra=True), Column("STEP", align="right", extra=True),
        Column("RUN", whole=True, extra=True),
    )  # fmt: skip
    print_table(columns, [_row(call) for call in calls], empty="no calls")


@app.command("show")
def show_call(
    call_id: Annotated[str, typer.Argument(metavar="ID")],
    *,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show one call."""
    call = cast("Row", ask(chosen(config, url, token), "GET", f"/api/v1/calls/{segment(call_id)}"))
    if as_json:
        print_json(call)
        return
    pairs: list[tuple[str, Text | str]] = [
        ("call", str(call["id"])),
        ("resource", f"{call['resource']} ({call['action']}, {call['effect']})"),
        ("agent", subject(call)),
        ("run", "-" if call["run"] is None else f"{call['run']}, attempt {call['run_attempt']}, step {call['step']}"),
        ("key", str(call["key"] or "-")),
        ("state", state(str(call["state"]))),
        ("begun", stamp(cast("float", call["intent_time"]))),
        ("settled", stamp(cast("float | None", call["outcome_time"]))),
        ("took", milliseconds(cast("float | None", call["milliseconds"]))),
        ("executions", str(call["attempt"])),
        ("replays", str(call["replays"])),
    ]
    if call["reason"]:
        pairs.append(("reason", str(call["reason"])))
    print_pairs(pairs)
    for name in ("request", "outcome"):
        if call[name] is not None:
            typer.echo(f"\n{name}, as journaled:\n{_indented(call[name])}")
    if call["state"] in {CallState.IN_DOUBT, CallState.HELD}:
        typer.echo(_SETTLE.format(id=visible(str(call["id"])), what=_WHAT[str(call["state"])]))
        until = cast("float | None", call["may_execute_from"])
        if until is not None and until > time.time():
            typer.echo(f"It may still be on its way: `execute` is refused until {stamp(until)}.")


_WHAT: Final[dict[str, str]] = {
    CallState.IN_DOUBT: "Nobody knows whether its effect happened.",
    CallState.HELD: "It was not sent, and perhaps must not be.",
}
_SETTLE = """
{what} Look at the upstream, then say so:
  oncegate calls resolve {id} happened --outcome FILE   it happened, and this was the answer
  oncegate calls resolve {id} execute                   it did not; the agent's next request makes it
  oncegate calls resolve {id} fail --reason "…"         give up on it"""


@app.command("resolve")
def resolve_call(
    call_id: Annotated[str, typer.Argument(metavar="ID")],
    verdict: Annotated[Verdict, typer.Argument(help="What is true of it.")],
    *,
    outcome: options.OutcomeOption = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit.")] = "",
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Settle a call in doubt; exits 1 when it is not in doubt."""
    if (outcome is not None) != (verdict is Verdict.HAPPENED):
        raise Failure(USAGE, "expected `--outcome FILE` with `happened`, and only there")
    if verdict is Verdict.FAIL and not reason:
        raise Failure(USAGE, "expected `--reason` with `fail`")
    body: dict[str, object] = {"verdict": verdict.value, "reason": reason}
    if outcome is not None:
        body["outcome"] = _read_json(outcome)
    target = chosen(config, url, token)
    resolved = cast("Row", ask(target, "POST", f"/api/v1/calls/{segment(call_id)}/resolve", body=body))
    if as_json:
        print_json(resolved)
        return
    print_pairs([("call", str(resolved["id"])), ("state", state(str(resolved["state"]))), ("next", _NEXT[verdict])])


_NEXT = {
    Verdict.HAPPENED: "the agent gets this outcome when it asks again",
    Verdict.EXECUTE: "the agent's next request for it is sent",
    Verdict.FAIL: "the agent is told that it failed",
}


def _read_json(path: Path) -> object:
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise Failure(USAGE, f"`{path}`: cannot be read ({(error.strerror or 'no reason given').lower()})") from None
    except MalformedBody as error:
        raise Failure(USAGE, f"`{path}`: expected one JSON value: {error}") from None


def _indented(value: object) -> str:
    if isinstance(value, str):  # the frames of a stream
        return "\n".join(f"  {visible(line)}" for line in value.splitlines())
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "\n".join(f"  {visible(line)}" for line in text.splitlines())


def _row(call: Row) -> list[str | Text]:
    return [
        str(call["id"]),
        state(str(call["state"])),
        str(call["resource"]),
        subject(call),
        ago(cast("float", call["intent_time"])),
        str(call["replays"]),
        milliseconds(cast("float | None", call["milliseconds"])),
        str(call["step"]),
        str(call["run"] or "-"),
    ]
