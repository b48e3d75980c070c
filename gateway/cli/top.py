"""`oncegate top`: how a gateway stands, drawn again every second or two."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gateway.cli import options
from gateway.cli.attention import attention
from gateway.cli.client import ask
from gateway.cli.output import ago, print_json, screen, state, visible
from gateway.cli.target import chosen

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gateway.cli.client import Target

_ROWS: Final = 12
Facts = dict[str, object]


def top(
    *,
    every: Annotated[float, typer.Option("--every", min=0.5, max=60.0, help="Seconds between two looks.")] = 2.0,
    count: Annotated[int, typer.Option("--count", min=0, help="End after so many looks; 0 goes on.")] = 0,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show calls, denials, replays, doubts, approvals, money, upstreams and the newest calls, live; Ctrl-C ends it."""
    target = chosen(config, url, token)
    if as_json:
        print_json(_looked(target))
        return
    with Live(_drawn(_looked(target), None), console=screen(), screen=False, auto_refresh=False) as live:
        before, looks = _looked(target), 1
        while looks != count:
            try:
                time.sleep(every)
            except KeyboardInterrupt:
                return
            found = _looked(target)
            live.update(_drawn(found, before), refresh=True)
            before, looks = found, looks + 1


def _looked(target: Target) -> Facts:
    return {
        "overview": ask(target, "GET", "/api/v1/overview"),
        "upstreams": ask(target, "GET", "/api/v1/upstreams"),
        "calls": ask(target, "GET", "/api/v1/calls", query={"limit": str(_ROWS)}),
        "time": time.time(),
    }


def _drawn(found: Facts, before: Facts | None) -> RenderableType:
    now = cast("Facts", found["overview"])
    parts: list[RenderableType] = [_head(now, _rate(found, before)), Text()]
    upstreams = cast("list[Facts]", found["upstreams"])
    wants = attention(now, upstreams)
    parts += [Text(visible(f"{want.finding}  → {want.advice}"), "yellow") for want in wants] + [Text()] * bool(wants)
    if upstreams:
        table = _table("UPSTREAM", "BREAKER", "FAILED", "IN FLIGHT", "WAITING")
        for one in upstreams:
            breaker = one["breaker"]
            table.add_row(
                visible(str(one["upstream"])), "-" if breaker is None else state(str(breaker)), str(one["failures"]),
                "-" if one["in_flight"] is None else str(one["in_flight"]), str(one["waiting"]),
            )  # fmt: skip
        parts += [table, Text()]
    table = _table("CALL", "AGENT", "RESOURCE", "STATE", "BEGUN", "REPLAYS")
    for call in cast("list[Facts]", found["calls"]):
        table.add_row(
            visible(str(call["id"])), visible(f"{call['domain']}/{call['agent']}"), visible(str(call["resource"])),
            state(str(call["state"])), ago(cast("float", call["intent_time"])), str(call["replays"]),
        )  # fmt: skip
    parts.append(table)
    return Group(*parts)


def _head(now: Facts, rate: float | None) -> Table:
    grid = Table.grid(padding=(0, 3))
    speed = "" if rate is None else f" ({rate:.1f}/s)"
    added = now["added_p50_seconds"]
    grid.add_row(
        f"calls {now['calls']}{speed}", f"denied {now['denied']}", f"replayed {now['replayed']}",
        f"in flight {now['in_flight']}",
        "added -" if added is None else f"half add ≤ {1000 * cast('float', added):g} ms",
    )  # fmt: skip
    grid.add_row(
        _loud("in doubt", now["in_doubt"]), _loud("held", now["held"]), _loud("approvals", now["approvals"]),
        f"spent ${cast('float', now['usd']):.4f}", f"saved ${cast('float', now['saved_usd']):.4f}",
    )  # fmt: skip
    valid = Text("policies valid") if now["policies_valid"] else Text("policies NOT VALID", "bold red")
    grid.add_row(valid, f"audit waiting {now['outbox_records']} ({cast('float', now['outbox_age_seconds']):.0f} s)")
    return grid


def _loud(name: str, count: object) -> Text:
    return Text(f"{name} {count}", "bold yellow" if count else "")


def _rate(found: Facts, before: Facts | None) -> float | None:
    if before is None:
        return None
    calls = [cast("int", cast("Facts", one["overview"])["calls"]) for one in (before, found)]
    seconds = cast("float", found["time"]) - cast("float", before["time"])
    return max(0, calls[1] - calls[0]) / seconds if seconds > 0 else None


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
