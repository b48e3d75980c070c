"""The judge of the fault rig: a program of its own that knows only what others have written down.

`python -m tests.faults.rig.checker --ledger FILE --answers FILE --journal URL` compares what happened (the effect
server's ledger), what was asked and acknowledged (the agent's log) and what the journal says, read over plain
`sqlite3` or `asyncpg`. It shares no code with the gateway. Bodies in the journal are sealed; it goes by states,
classes and the agents' keys. It prints what it found as JSON and exits 1 when a promise was broken.

A name stands for one intended effect and begins with who asks for it: `billing/7`. The promises, by letter:
A `once` happens at most once; B `keyed` happens once a key, and no two names share one; C an acknowledged receipt
is that of an effect of the same name, by its own agent; D what was acknowledged is answered alike ever after, and
is `done` in the journal; E an effect nobody was told of is `done` or `in doubt`, never forgotten and never said
not to have happened; F nothing is left in flight; G `done` means that it happened.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Iterable

_ROWS: Final = "SELECT agent, key, run, resource, effect, state, attempt FROM call"
_RESOURCE: Final = {
    "pay": "mcp/effects/tool/pay", "put": "mcp/effects/tool/put", "look": "mcp/effects/tool/look",
    "model": "model/rig", "model_once": "model/rig", "model_stream": "model/rig",
}  # fmt: skip
Line = dict[str, Any]
#: agent, run, resource
Place = tuple[str, str | None, str]


@dataclass(slots=True)
class Found:
    """What the checker says."""

    broken: list[str] = field(default_factory=list[str])
    asked: int = 0
    acknowledged: int = 0
    effects: int = 0
    repeated: int = 0
    in_doubt: int = 0


def lines(path: Path) -> list[Line]:
    """Return a file of JSON lines; a last one cut short by a crash is none."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line[-1] == "\n"]


async def rows(journal: str) -> list[Line]:
    """Return the journal's calls."""
    if journal.startswith("postgresql:"):
        connection = await asyncpg.connect(journal)
        try:
            return [dict(row) for row in await connection.fetch(_ROWS)]
        finally:
            await connection.close()
    database = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
    try:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(_ROWS)]
    finally:
        database.close()


def check(ledger: Iterable[Line], answers: Iterable[Line], calls: Iterable[Line]) -> Found:
    """Return what was found; `broken` is empty when every promise was kept."""
    found = Found()
    effects: dict[str, list[Line]] = defaultdict(list)
    for effect in ledger:
        effects[effect["name"]].append(effect)
    kept = list(calls)
    asked = {line["name"]: line for line in answers if line["event"] == "asked"}
    acknowledged: dict[str, list[Line]] = defaultdict(list)
    for line in answers:
        if line["event"] == "acknowledged":
            acknowledged[line["name"]].append(line)
    _counts(found, effects, asked, acknowledged, kept)
    _effects_alone(found, effects)
    _receipts(found, effects, acknowledged)
    found.broken += [f"F left in flight: {call}" for call in kept if call["state"] == "intent"]
    _keyed_rows(found, effects, asked, acknowledged, kept)
    _run_rows(found, effects, asked, acknowledged, kept)
    return found


def _counts(
    found: Found, effects: dict[str, list[Line]], asked: dict[str, Line], acknowledged: dict[str, list[Line]],
    calls: list[Line],
) -> None:  # fmt: skip
    found.asked = len(asked)
    found.acknowledged = len(acknowledged)
    found.effects = sum(len(happened) for happened in effects.values())
    found.repeated = sum(len(happened) - 1 for happened in effects.values())
    found.in_doubt = sum(call["state"] == "doubt" for call in calls)
    found.broken += [f"G an effect nobody asked for: `{name}`" for name in effects if name not in asked]


def _effects_alone(found: Found, effects: dict[str, list[Line]]) -> None:
    owners: dict[str, str] = {}
    for name, happened in effects.items():
        real = [effect for effect in happened if not effect["repeat"]]
        effect, keys = happened[0]["class"], {effect["key"] for effect in happened}
        if effect == "once" and len(happened) > 1:
            found.broken.append(f"A `once` happened {len(happened)} times: `{name}`")
        if effect == "keyed" and len(real) != 1:
            found.broken.append(f"B `keyed` happened {len(real)} times: `{name}`")
        if len(keys) > 1 or None in keys:
            found.broken.append(f"B sent under several upstream keys, or none: `{name}`")
        for key in keys:
            if owners.setdefault(key, name) != name:
                found.broken.append(f"B one upstream key for `{owners[key]}` and `{name}`")


def _receipts(found: Found, effects: dict[str, list[Line]], acknowledged: dict[str, list[Line]]) -> None:
    for name, told in acknowledged.items():
        receipts = {line["receipt"] for line in told}
        happened = {effect["receipt"] for effect in effects.get(name, ())}
        if not receipts <= happened:
            found.broken.append(f"C acknowledged with a receipt of no effect of its own: `{name}`")
        if any(name.split("/", 1)[0] != line["who"] for line in told):
            found.broken.append(f"C told to another agent: `{name}`")
        if len(receipts) > 1:
            found.broken.append(f"D acknowledged, and answered differently later: `{name}`")


def _keyed_rows(
    found: Found, effects: dict[str, list[Line]], asked: dict[str, Line], acknowledged: dict[str, list[Line]],
    calls: list[Line],
) -> None:  # fmt: skip
    by_key = {(call["agent"], call["run"], call["key"]): call for call in calls if call["key"] is not None}
    for name, ask in asked.items():
        if ask["key"] is None:
            continue
        call = by_key.get((ask["who"], ask["run"], ask["key"]))
        state = call["state"] if call is not None else "absent"
        if call is not None and not call["resource"].startswith(_RESOURCE[ask["what"]]):
            found.broken.append(f"C the key of `{name}` is of another resource")
        if name in acknowledged and state != "done":
            found.broken.append(f"D acknowledged, but `{state}` in the journal: `{name}`")
        if name in effects and state not in {"done", "doubt", "failed"}:
            found.broken.append(f"E it happened, but is `{state}` in the journal: `{name}`")
        if name not in effects and state == "done":
            found.broken.append(f"G `done` in the journal, but never happened: `{name}`")


def _run_rows(
    found: Found, effects: dict[str, list[Line]], asked: dict[str, Line], acknowledged: dict[str, list[Line]],
    calls: list[Line],
) -> None:  # fmt: skip
    """Judge calls without a key, which only their run and resource name: by number."""
    states: dict[Place, Counter[str]] = defaultdict(Counter)
    for call in calls:
        if call["key"] is None:
            states[call["agent"], call["run"], call["resource"]][call["state"]] += 1
    names: dict[Place, list[str]] = defaultdict(list)
    for name, ask in asked.items():
        if ask["key"] is None:
            names[ask["who"], ask["run"], _RESOURCE[ask["what"]]].append(name)
    for place, wanted in names.items():
        done, doubt = states[place]["done"], states[place]["doubt"]
        told = sum(name in acknowledged for name in wanted)
        happened = sum(name in effects for name in wanted)
        if told > done:
            found.broken.append(f"D {told} acknowledged, {done} done in the journal: {place}")
        if happened > done + doubt:
            found.broken.append(f"E {happened} happened, {done} done and {doubt} in doubt: {place}")
        if done > happened:
            found.broken.append(f"G {done} done in the journal, {happened} happened: {place}")
        if sum(states[place].values()) > len(wanted):
            found.broken.append(f"D more steps than were asked for: {place}")


def main() -> int:
    """Judge what the command line names."""
    parser = argparse.ArgumentParser(description="Judges a ledger, an agent's log and a journal.")
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--journal", required=True, help="the path of an SQLite file, or postgresql://…")
    given = parser.parse_args()
    calls = asyncio.run(rows(cast("str", given.journal)))
    found = check(lines(cast("Path", given.ledger)), lines(cast("Path", given.answers)), calls)
    counts = {"asked": found.asked, "acknowledged": found.acknowledged, "effects": found.effects,
              "repeated": found.repeated, "in_doubt": found.in_doubt}  # fmt: skip
    sys.stdout.write(json.dumps({**counts, "broken": found.broken}) + "\n")
    return 1 if found.broken else 0


if __name__ == "__main__":
    sys.exit(main())
