"""`oncegate tools`: what MCP servers define, what changed in it, and the decision on exactly what was shown."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.text import Text

from gateway.cli import options
from gateway.cli.client import ask
from gateway.cli.output import Column, ago, print_json, print_pairs, print_table, screen, stamp, state
from gateway.cli.target import chosen
from gateway.definitions.scan import spelled

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.cli.runs import Row

app = typer.Typer(add_completion=False, no_args_is_help=True)


class DefinitionState(StrEnum):
    """States of a definition."""

    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"
    REJECTED = "rejected"


class DefinitionKind(StrEnum):
    """Kinds of definitions."""

    TOOL = "tool"
    PROMPT = "prompt"
    TEMPLATE = "template"
    INSTRUCTIONS = "instructions"


_SERVER = Annotated[str, typer.Argument(metavar="SERVER")]
_NAME = Annotated[str, typer.Argument(metavar="NAME", help="`-` for a server's instructions.")]
_HASH = Annotated[str, typer.Argument(metavar="HASH", help="The hash that `tools show` has shown.")]
_KIND = Annotated[DefinitionKind, typer.Option("--kind", help="What it is.")]


@app.command("list")
def list_tools(
    *,
    server: Annotated[str | None, typer.Option(help="Only of this server.")] = None,
    wanted_state: Annotated[DefinitionState | None, typer.Option("--state", help="Only in this state.")] = None,
    limit: options.LimitOption = 50,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """List what servers define, and whether it is accepted."""
    query = {"limit": str(limit), "server": server, "state": wanted_state.value if wanted_state else None}
    given = {name: value for name, value in query.items() if value is not None}
    found = cast("list[Row]", ask(chosen(config, url, token), "GET", "/api/v1/tools", query=given))
    if as_json:
        print_json(found)
        return
    columns = (
        Column("SERVER", whole=True), Column("KIND", whole=True), Column("NAME"), Column("STATE", whole=True),
        Column("FINDINGS"), Column("SHOWN", whole=True, extra=True), Column("HASH", whole=True, extra=True),
    )  # fmt: skip
    print_table(columns, [_row(one) for one in found], empty="no server has shown anything yet")


@app.command("show")
def show_tool(
    server: _SERVER,
    name: _NAME,
    *,
    kind: _KIND = DefinitionKind.TOOL,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show a definition whole, with every character nobody would see written out."""
    found = _shown(chosen_one(server, kind, name), (config, url, token))
    if as_json:
        print_json(found)
        return
    whole = json.dumps(found["definition"], ensure_ascii=False, indent=2)
    print_pairs(_pairs(found))
    screen().print(Text("\n".join(spelled(line) for line in whole.splitlines())), soft_wrap=True)


@app.command("diff")
def diff_tool(
    server: _SERVER,
    name: _NAME,
    *,
    kind: _KIND = DefinitionKind.TOOL,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show what changed since the version accepted before, risky changes first; exits 1 when something did."""
    found = _shown(chosen_one(server, kind, name), (config, url, token))
    changes = cast("list[Row]", found["changes"])
    if as_json:
        print_json(changes)
    else:
        print_pairs(_pairs(found))
        for change in changes:
            _print_change(change)
    if changes:
        raise typer.Exit(1)


@app.command("accept")
def accept_tool(
    server: _SERVER,
    name: _NAME,
    of: _HASH,
    *,
    kind: _KIND = DefinitionKind.TOOL,
    reason: Annotated[str, typer.Option(help="Why, for the audit.")] = "",
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Accept exactly the version shown; exits 1 when the server shows another one now."""
    wanted = chosen_one(server, kind, name) | {"hash": of, "reason": reason}
    _say(ask(chosen(config, url, token), "POST", "/api/v1/tools/accept", body=wanted), as_json=as_json)


@app.command("reject")
def reject_tool(
    server: _SERVER,
    name: _NAME,
    of: _HASH,
    *,
    kind: _KIND = DefinitionKind.TOOL,
    reason: Annotated[str, typer.Option(help="Why, for the audit.")],
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Reject exactly the version shown: it is neither listed nor called, also when it was accepted before."""
    wanted = chosen_one(server, kind, name) | {"hash": of, "reason": reason}
    _say(ask(chosen(config, url, token), "POST", "/api/v1/tools/reject", body=wanted), as_json=as_json)


def chosen_one(server: str, kind: DefinitionKind, name: str) -> dict[str, str]:
    """Return which definition is meant, as the admin API names it."""
    return {"server": server, "kind": kind.value, "name": name}


def _shown(one: dict[str, str], where: tuple[Path, str | None, str | None]) -> Row:
    return cast("Row", ask(chosen(*where), "GET", "/api/v1/tools/show", query=one))


def _say(answer: object, *, as_json: bool) -> None:
    found = cast("Row", answer)
    if as_json:
        print_json(found)
    else:
        print_pairs(_pairs(found))


def _row(found: Row) -> list[Text | str]:
    return [
        str(found["server"]), str(found["kind"]), spelled(str(found["name"])), state(str(found["state"])),
        ", ".join(cast("list[str]", found["findings"])) or "-", ago(cast("float", found["seen"])), str(found["hash"]),
    ]  # fmt: skip


def _pairs(found: Row) -> list[tuple[str, Text | str]]:
    pairs: list[tuple[str, Text | str]] = [
        ("server", str(found["server"])), (str(found["kind"]), spelled(str(found["name"]))),
        ("state", state(str(found["state"]))), ("hash", str(found["hash"])),
        ("findings", ", ".join(cast("list[str]", found["findings"])) or "-"),
        ("shown", stamp(cast("float", found["seen"]))),
    ]  # fmt: skip
    if found["decided"] is not None:
        reason = f": {found['reason']}" if found["reason"] else ""
        pairs.append(("decided", f"{found['decider']} {stamp(cast('float', found['decided']))}{reason}"))
    return pairs


def _print_change(change: Row) -> None:
    style = "bold red" if change["weight"] == "risky" else "green"
    out = screen()
    out.print()
    head = Text.assemble((str(change["weight"]), style), f"  {spelled(str(change['place']))}  {change['why']}")
    out.print(head, soft_wrap=True)
    for line in cast("list[str]", change["lines"]):
        colour = {"+": "green", "-": "red"}.get(line[:1], "dim")
        out.print(Text(spelled(line), style=colour), soft_wrap=True)
