"""Random faults under random calls: `python -m tests.faults.rig.chaos --kills N [--seed S] [--folder F]`.

Goes in stretches of twenty kills over a file, a database, and two gateways on one database, in turn. In each, callers
make calls of every class, with a key or as a run that begins anew when it breaks, while gateways are killed at named
points and at any moment, paused past their lease, and the database is restarted. Then everything heals, every call is
asked again until it is answered or said to be in doubt, and the checker judges. Seed and stretch decide what is asked
and what is done to whom (not when the machine gets to it). Judged stretches stand in the folder: the same command goes
on after them.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final, cast

from tests.faults.rig.child import TOP
from tests.faults.rig.faults import Faults
from tests.faults.rig.stand import KINDS, rig_in
from tests.faults.rig.stories import Caller

if TYPE_CHECKING:
    from tests.faults.rig.stand import Rig

STRETCH_KILLS: Final = 20
CALLERS: Final = 6
_COUNTS: Final = ("kills", "pauses", "restarts", "asked", "acknowledged", "effects", "repeated", "in_doubt", "seconds")


def stretch(rig: Rig, seed: str, kills: int) -> dict[str, Any]:
    """Do `kills` kills and more to a rig under traffic; returns what was done and what the checker found."""
    began = time.monotonic()
    callers = [Caller(rig, Random(f"{seed}/{number}"), number) for number in range(CALLERS)]  # noqa: S311 - replayable
    faults = Faults(rig, Random(f"{seed}/faults"))  # noqa: S311 - likewise
    with ThreadPoolExecutor(CALLERS) as pool:
        calling = [pool.submit(caller.call_until_over) for caller in callers]
        try:
            while faults.kills < kills:
                faults.strike()
        finally:
            for caller in callers:
                caller.over.set()
        for one in calling:
            one.result()
    seconds = round(time.monotonic() - began, 1)
    done = {"kills": faults.kills, "pauses": faults.pauses, "restarts": faults.restarts, "seconds": seconds}
    return {"kind": rig.kind, **done, **rig.check()}


def judged(results: Path) -> list[dict[str, Any]]:
    """Return the stretches judged so far."""
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def said(stretches: list[dict[str, Any]]) -> str:
    """Return the figures of stretches in a line."""
    sums = {name: round(sum(cast("float", one[name]) for one in stretches), 1) for name in _COUNTS}
    broken = sum(len(one["broken"]) for one in stretches)
    return ", ".join(f"{count:g} {name.replace('_', ' ')}" for name, count in sums.items()) + f"; {broken} broken"


def main() -> int:
    """Go on until there were so many kills, or a promise was broken."""
    parser = argparse.ArgumentParser(description="Random faults under random calls, judged.")
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    parser.add_argument("--folder", type=Path, help="where stretches are kept; .build/chaos-SEED without")
    given = parser.parse_args()
    seed = cast("str", given.seed)
    folder = cast("Path | None", given.folder) or TOP / ".build" / f"chaos-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / "stretches.jsonl"
    over = judged(results)
    sys.stdout.write(f"seed {seed}, in {folder}, {len(over)} stretches judged already\n")
    while (left := given.kills - sum(one["kills"] for one in over)) > 0:
        number = len(over)
        ground = folder / f"stretch-{number}"
        shutil.rmtree(ground, ignore_errors=True)
        with rig_in(ground, KINDS[number % len(KINDS)]) as rig:
            over.append(stretch(rig, f"{seed}/{number}", min(STRETCH_KILLS, left)))
        with results.open("a") as file:
            file.write(json.dumps(over[-1]) + "\n")
        sys.stdout.write(f"stretch {number}, {over[-1]['kind']}: {said(over[-1:])}\n")
        sys.stdout.flush()
        if over[-1]["broken"]:
            sys.stdout.write("\n".join([*over[-1]["broken"], f"ledger, answers and journal: {ground}", ""]))
            return 1
        shutil.rmtree(ground)
    sys.stdout.write(f"seed {seed}: {said(over)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
