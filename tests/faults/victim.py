"""A process with a journal that kills itself with SIGKILL at a named point; the faults' tests start it.

`python -m tests.faults.victim <mode> <folder> <effect> <addressing> <point>`: `story` makes five calls in
the next attempt of one run and prints what each came to; `storm` writes until it is killed from outside.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast

from durable.seal import Keyring
from durable.sqlite import open_sqlite
from durable.step import Began, Intent, Outcome, Owner, Replay, RunRef, Settlement, Step

if TYPE_CHECKING:
    from durable.records import RunRecord

OWNER: Final = Owner("acme", "billing")
RUN: Final = "run_story"
KEYRING: Final = Keyring((bytes(range(32)),))
CALLS: Final = 5
#: the call during which a story's process dies
FATAL_CALL: Final = 2
WRITERS: Final = 16


def outcome_of(name: str) -> Outcome:
    """Return the answer the imagined upstream gives to `name`."""
    return Outcome(form="result", status=200, media="application/json", body=f'{{"charged":"{name}"}}'.encode() * 20)


def intent_of(name: str, run: RunRef | None, effect: Literal["safe", "keyed", "once"], *, key: str | None) -> Intent:
    """Return the intent of the call `name`, found again by its key, or by its fingerprint without one."""
    step = Step(
        owner=OWNER,
        run=run,
        key=key,
        fingerprint=hashlib.sha256(name.encode()).digest(),
        kind="tool",
        resource="mcp/payments/tool/charge_card",
        action="call",
        effect=effect,
    )
    audit = ({"event": "intent", "name": name},)
    return Intent(step=step, request=json.dumps({"name": name}).encode(), audit=audit, seconds_max=0.0)


def append(path: Path, *words: str) -> None:
    """Add one whole line to a file that outlives this process."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, (" ".join(words) + "\n").encode())
    os.close(descriptor)


class Bomb:
    """Kills this process, without any farewell, at its point once it is armed."""

    def __init__(self, point: str) -> None:
        self._point = point
        self.armed = False

    def __call__(self, point: str) -> None:
        if self.armed and point == self._point:
            os.kill(os.getpid(), signal.SIGKILL)


async def tell_story(
    folder: Path, effect: Literal["safe", "keyed", "once"], *, keyed_by_client: bool, bomb: Bomb
) -> None:
    """Make the calls one after the other, each effect a line of `effects`, each answer one of `answers`."""
    journal = await open_sqlite(folder / "journal.db", keyring=KEYRING, crash_point=bomb)
    record: RunRecord = await journal.open_run(OWNER, RUN, {})
    came_to: dict[str, str] = {}
    for number in range(CALLS):
        name, bomb.armed = f"call-{number}", number == FATAL_CALL
        intent = intent_of(name, RunRef(RUN, record.attempt), effect, key=name if keyed_by_client else None)
        known = await journal.look_up(intent.step) or await journal.begin(intent)
        if isinstance(known, Began):
            append(folder / "effects", name, known.upstream_key)
            bomb("after_effect")
            settled = await journal.settle(known, Settlement(outcome=outcome_of(name), audit=({"event": "outcome"},)))
            came_to[name] = "executed" if settled else "fenced"
            append(folder / "answers", name, outcome_of(name).body.decode())
        elif isinstance(known, Replay):
            came_to[name] = "replayed" if known.outcome == outcome_of(name) else "changed"
        else:
            came_to[name] = type(known).__name__
    await journal.aclose()
    sys.stdout.write(json.dumps(came_to))


async def raise_storm(folder: Path) -> None:
    """Write from many tasks at once until killed; each acknowledged outcome is a line on standard output."""
    journal = await open_sqlite(folder / "journal.db", keyring=KEYRING)

    async def write(writer: int) -> None:
        number = 0
        while True:
            name = f"{os.getpid()}-{writer}-{number}"
            began = cast("Began", await journal.begin(intent_of(name, None, "once", key=name)))
            await journal.settle(began, Settlement(outcome=outcome_of(name), audit=({"event": "outcome"},)))
            os.write(1, f"{began.id} {name}\n".encode())
            number += 1

    await asyncio.gather(*(write(writer) for writer in range(WRITERS)))


if __name__ == "__main__":
    mode, where = sys.argv[1], Path(sys.argv[2])
    if mode == "storm":
        asyncio.run(raise_storm(where))
    else:
        asyncio.run(
            tell_story(
                where,
                cast("Literal['safe', 'keyed', 'once']", sys.argv[3]),
                keyed_by_client=sys.argv[4] == "key",
                bomb=Bomb(sys.argv[5]),
            )
        )
