"""`oncegate block`, `unblock`, `blocks`: the kill switch, on all instances within a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from gateway.cli import options
from gateway.cli.client import ask
from gateway.cli.output import Column, ago, note, print_json, print_table
from gateway.cli.target import chosen

if TYPE_CHECKING:
    from gateway.cli.runs import Row

_SUBJECT = Annotated[
    str,
    typer.Argument(metavar="SUBJECT", help="agent:DOMAIN/NAME, user:…, domain:NAME, run:ID, mcp/SERVER, model/NAME."),
]
_REASON = Annotated[str, typer.Option(help="Why, for the audit.")]


def block(
    subject: _SUBJECT,
    *,
    reason: _REASON,
    unknown: Annotated[bool, typer.Option("--unknown", help="Also what the configuration does not name.")] = False,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Refuse everything of a subject from now on; what is under way is finished, its answers are cut."""
    wanted = {"subject": subject, "reason": reason, "unknown": unknown}
    found = cast("Row", ask(chosen(config, url, token), "POST", "/api/v1/blocks", body=wanted))
    _say(found, "blocked on all instances within a second; `oncegate unblock` lifts it", as_json=as_json)


def unblock(
    subject: _SUBJECT,
    *,
    reason: _REASON,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Lift a block; exits 1 when there is none."""
    wanted = {"subject": subject, "reason": reason}
    found = cast("Row", ask(chosen(config, url, token), "POST", "/api/v1/blocks/lift", body=wanted))
    _say(found, "no longer blocked", as_json=as_json)


def blocks(
    *,
    limit: options.LimitOption = 50,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """List what is blocked, the newest first."""
    found = cast("list[Row]", ask(chosen(config, url, token), "GET", "/api/v1/blocks"))[:limit]
    if as_json:
        print_json(found)
        return
    columns = (Column("SUBJECT", whole=True), Column("SINCE", whole=True), Column("BY", whole=True), Column("REASON"))
    rows = [[str(one["subject"]), ago(cast("float", one["since"])), str(one["blocker"]), str(one["reason"])]
            for one in found]  # fmt: skip
    print_table(columns, rows, empty="nothing is blocked")


def _say(found: Row, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        note(f"{found['subject']}: {what}")
