"""`oncegate budgets`: what is spent, reserved and left, of all budgets or of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from gateway.cli import options
from gateway.cli.client import ask
from gateway.cli.output import Column, Failure, print_json, print_table, stamp
from gateway.cli.target import chosen

if TYPE_CHECKING:
    from rich.text import Text

    from gateway.cli.runs import Row
    from gateway.cli.target import Target

app = typer.Typer(add_completion=False, no_args_is_help=True)

_NOT_THERE = 1
_COLUMNS = (
    Column("BUDGET"), Column("SUBJECT"), Column("OF", whole=True), Column("SPENT", align="right"),
    Column("RESERVED", align="right"), Column("LEFT", align="right"), Column("ALLOWED", align="right"),
    Column("UNTIL", whole=True),
)  # fmt: skip


@app.command("list")
def list_budgets(
    *,
    subject: Annotated[
        str | None, typer.Option(help="Only of this subject, such as `agent:acme/billing` or `run:ID`.")
    ] = None,
    limit: options.LimitOption = 200,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """List what is left of budgets, in the windows that hold now."""
    found = _asked(chosen(config, url, token), {"limit": str(limit), "subject": subject})
    _show(found, as_json=as_json, empty="no budgets")


@app.command("show")
def show_budget(
    budget: Annotated[str, typer.Argument(metavar="BUDGET", help="A budget's name, as `list` shows it.")],
    *,
    subject: Annotated[str | None, typer.Option(help="Only of this subject.")] = None,
    limit: options.LimitOption = 200,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show what is left of one budget, by subject; exits 1 when nothing of that name was charged."""
    found = _asked(chosen(config, url, token), {"limit": str(limit), "budget": budget, "subject": subject})
    if not found:
        raise Failure(_NOT_THERE, f"`{budget}` is no budget with anything charged in its window")
    _show(found, as_json=as_json, empty="")


def _asked(target: Target, query: dict[str, str | None]) -> list[Row]:
    given = {name: value for name, value in query.items() if value is not None}
    return cast("list[Row]", ask(target, "GET", "/api/v1/budgets", query=given))


def _show(found: list[Row], *, as_json: bool, empty: str) -> None:
    if as_json:
        print_json(found)
    else:
        print_table(_COLUMNS, [_row(one) for one in found], empty=empty)


def _row(found: Row) -> list[Text | str]:
    measure = str(found["measure"])
    amounts = [_amount(measure, cast("float", found[name])) for name in ("spent", "reserved", "remaining", "most")]
    until = found["until"]
    return [
        str(found["budget"]), str(found["subject"]), measure, *amounts,
        "-" if until is None else stamp(cast("float", until)),
    ]  # fmt: skip


def _amount(measure: str, amount: float) -> str:
    return f"${amount:.6f}".rstrip("0").rstrip(".") if measure == "usd" else f"{amount:.0f}"
