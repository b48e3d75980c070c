"""`oncegate approvals`: what waits for a person, what it is about, and the decision."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, cast

import typer

from gateway.cli import options
from gateway.cli.client import ask
from gateway.cli.output import Column, ago, print_json, print_pairs, print_table, stamp, state
from gateway.cli.runs import Row, segment
from gateway.cli.target import chosen

if TYPE_CHECKING:
    from rich.text import Text

app = typer.Typer(add_completion=False, no_args_is_help=True)

_ID = Annotated[str, typer.Argument(metavar="ID")]


class ApprovalState(StrEnum):
    """States of an approval."""

    PENDING = "pending"
    APPROVED = "approved"
    USED = "used"
    DENIED = "denied"
    EXPIRED = "expired"
    LAPSED = "lapsed"


@app.command("list")
def list_approvals(
    *,
    wanted_state: Annotated[ApprovalState | None, typer.Option("--state", help="Only in this state.")] = None,
    run: Annotated[str | None, typer.Option(help="Only of this run.")] = None,
    limit: options.LimitOption = 50,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """List the approvals you may decide, the newest first."""
    query = {"limit": str(limit), "state": wanted_state.value if wanted_state else None, "run": run}
    given = {name: value for name, value in query.items() if value is not None}
    found = cast("list[Row]", ask(chosen(config, url, token), "GET", "/api/v1/approvals", query=given))
    if as_json:
        print_json(found)
        return
    columns = (
        Column("APPROVAL", whole=True), Column("STATE", whole=True), Column("AGENT"), Column("RESOURCE"),
        Column("ASKED", whole=True), Column("OF", extra=True),
    )  # fmt: skip
    print_table(columns, [_row(one) for one in found], empty="nothing waits for you")


@app.command("show")
def show_approval(
    approval_id: _ID,
    *,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show what an approval is about: who asks, for what, with which arguments."""
    found = cast("Row", ask(chosen(config, url, token), "GET", f"/api/v1/approvals/{segment(approval_id)}"))
    if as_json:
        print_json(found)
        return
    print_pairs([*_pairs(found), *_content(found)])


@app.command("approve")
def approve(
    approval_id: _ID,
    *,
    reason: Annotated[str, typer.Option(help="Why, for the audit.")] = "",
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Approve exactly the call that is shown; exits 1 when it is not yours to decide, or decided."""
    path = f"/api/v1/approvals/{segment(approval_id)}/approve"
    _say(ask(chosen(config, url, token), "POST", path, body={"reason": reason}), as_json=as_json)


@app.command("deny")
def deny(
    approval_id: _ID,
    *,
    reason: Annotated[str, typer.Option(help="Why, for the audit.")],
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Deny the call; one denial is enough."""
    path = f"/api/v1/approvals/{segment(approval_id)}/deny"
    _say(ask(chosen(config, url, token), "POST", path, body={"reason": reason}), as_json=as_json)


def _say(answer: object, *, as_json: bool) -> None:
    found = cast("Row", answer)
    if as_json:
        print_json(found)
    else:
        print_pairs(_pairs(found))


def _row(found: Row) -> list[Text | str]:
    return [
        str(found["id"]), state(str(found["state"])), f"{found['domain']}/{found['agent']}", str(found["resource"]),
        ago(cast("float", found["asked"])), ", ".join(cast("list[str]", found["demands"])),
    ]  # fmt: skip


def _pairs(found: Row) -> list[tuple[str, Text | str]]:
    pairs: list[tuple[str, Text | str]] = [
        ("approval", str(found["id"])), ("state", state(str(found["state"]))),
        ("agent", f"{found['domain']}/{found['agent']}"), ("for", str(found["user"] or "-")),
        ("asks", f"{found['action']} {found['resource']}"), ("rule", str(found["rule"])),
        ("run", f"{found['run']} attempt {found['run_attempt']}" if found["run"] else "-"),
        ("asked of", ", ".join(cast("list[str]", found["demands"]))),
        ("asked", stamp(cast("float", found["asked"]))), ("expires", stamp(cast("float", found["expires"]))),
    ]  # fmt: skip
    for vote in cast("list[Row]", found["votes"]):
        word = "approved" if vote["approves"] else "denied"
        reason = f": {vote['reason']}" if vote["reason"] else ""
        pairs.append((word, f"{vote['voter']} {stamp(cast('float', vote['time']))}{reason}"))
    return pairs


def _content(found: Row) -> list[tuple[str, Text | str]]:
    pairs: list[tuple[str, Text | str]] = [("arguments", json.dumps(found["arguments"], ensure_ascii=False, indent=2))]
    withheld = cast("dict[str, int]", found["withheld"])
    if withheld and not found["restored"]:
        kinds = ", ".join(f"{count} {entity}" for entity, count in sorted(withheld.items()))
        pairs.append(("not shown", kinds))
    return pairs
