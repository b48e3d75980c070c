"""`oncegate upstreams`: which models and servers are left alone after failures, and how much is under way there."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import typer

from gateway.cli import options
from gateway.cli.client import ask
from gateway.cli.output import Column, print_json, print_table, state
from gateway.cli.target import chosen

if TYPE_CHECKING:
    from rich.text import Text

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command("list")
def list_upstreams(
    *,
    limit: options.LimitOption = 50,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """List upstreams with a breaker or a bulkhead; what one gateway process knows of them."""
    query = {"limit": str(limit)}
    found = cast("list[dict[str, object]]", ask(chosen(config, url, token), "GET", "/api/v1/upstreams", query=query))
    if as_json:
        print_json(found)
        return
    columns = (
        Column("UPSTREAM"), Column("BREAKER", whole=True), Column("FAILED", whole=True),
        Column("IN A ROW", align="right"), Column("IN FLIGHT", whole=True), Column("WAITING", align="right"),
        Column("OPENED", align="right", extra=True), Column("REFUSED", align="right", extra=True),
    )  # fmt: skip
    print_table(columns, [_row(one) for one in found], empty="no upstream has a breaker or a bulkhead")


def _row(one: dict[str, object]) -> list[Text | str]:
    breaker, most = one["breaker"], one["in_flight_max"]
    return [
        str(one["upstream"]), "-" if breaker is None else state(str(breaker)),
        "-" if breaker is None else f"{one['failures']} of {one['requests']}", str(one["consecutive_failures"]),
        "-" if most is None else f"{one['in_flight']} of {most}", str(one["waiting"]), str(one["opened"]),
        str(one["refused"]),
    ]  # fmt: skip
