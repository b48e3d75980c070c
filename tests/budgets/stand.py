"""Gateway processes with budgets, and what a test asks of them."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

from tests.gateway.running import RunningGateway, new_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import httpx

#: no lease that a busy machine could miss
LEASE = "60s"


def asking(text: str = "hi", **more: object) -> dict[str, object]:
    return {"model": "allowed", "messages": [{"role": "user", "content": text}], **more}


def gateway_in(folder: Path, upstream: str, budgets: str, *, more: str = "") -> RunningGateway:
    """Return a gateway with `budgets` (the section's YAML lines), not started yet."""
    gateway = RunningGateway(new_folder(folder), upstream, inspects=False)
    text = gateway.config.read_text(encoding="utf-8")
    # a price for every model: a budget of money is refused without
    text = text.replace('/v1", domain: acme}', '/v1", domain: acme, price: {input: 1.0, output: 2.0}}')
    # a hundred calls at once on a busy machine: none may be lost for being late
    text = text.replace("{timeout: 10s}", "{timeout: 60s}")
    gateway.config.write_text(f"{text}budgets:\n{budgets}{more}", encoding="utf-8")
    return gateway


def pair_in(
    folder: Path, upstream: str, budgets: str, database: str, *, lease: str = LEASE
) -> tuple[RunningGateway, RunningGateway]:
    """Return two gateways that share a database, keys and policies."""
    first = gateway_in(folder / "first", upstream, budgets)
    second = gateway_in(folder / "second", upstream, budgets)
    for name in ("oncegate.key", "keys.yaml"):
        shutil.copy(first.folder / name, second.folder / name)
    second.keys = first.keys
    for one in (first, second):
        text = one.config.read_text(encoding="utf-8")
        text = text.replace("sqlite:///oncegate.db?synchronous=NORMAL", database)
        one.config.write_text(f"{text}lease: {lease}\n", encoding="utf-8")
    return first, second


def ask_all(gateways: Sequence[RunningGateway], bodies: Sequence[Mapping[str, object]]) -> list[httpx.Response]:
    """Ask everything at once, in turn at each gateway."""

    def ask(number: int) -> httpx.Response:
        return gateways[number % len(gateways)].chat(bodies[number])

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(ask, range(len(bodies))))


def listed(gateway: RunningGateway, *options: str) -> list[dict[str, object]]:
    """Return what `oncegate budgets list --json` says."""
    done = gateway.oncegate("budgets", "list", "--json", *options)
    assert done.returncode == 0, done.stderr
    return cast("list[dict[str, object]]", json.loads(done.stdout))


def audited(gateway: RunningGateway, event: str) -> list[dict[str, object]]:
    """Return the audit's records of one kind."""
    done = gateway.oncegate("audit", "export")
    assert done.returncode == 0, done.stderr
    records = [cast("dict[str, object]", json.loads(line)["record"]) for line in done.stdout.splitlines()]
    return [one for one in records if one["event"] == event]
