"""A process whose journal has no room: `python -m tests.faults.cramped <folder> <bytes per file, 0 for the disk's>`."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from durable.journal import JournalUnavailable
from durable.sqlite import open_sqlite
from durable.step import Began, Outcome, Settlement
from tests.faults.victim import KEYRING, intent_of, outcome_of

if TYPE_CHECKING:
    from durable.step import Known
    from durable.store import Store


async def begin(journal: Store, name: str) -> Began | Known:
    return await journal.begin(intent_of(name, None, "once", key=name))


async def main(folder: Path, bytes_max: int) -> dict[str, object]:
    fatal: list[str] = []
    acknowledged: list[str] = []
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(200_000))
    journal = await open_sqlite(folder / "journal.db", keyring=KEYRING, fatal=fatal.append)
    kept = await begin(journal, "kept")
    assert isinstance(kept, Began)
    if bytes_max:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, resource.RLIM_INFINITY))
    said: dict[str, object] = {}
    try:
        while True:
            began = await begin(journal, f"call-{len(acknowledged)}")
            assert isinstance(began, Began)
            await journal.settle(began, Settlement(outcome=outcome_of(began.id)))
            acknowledged.append(began.id)
    except JournalUnavailable as error:
        said["first"] = str(error)
    big = Outcome(form="result", status=200, media="application/json", body=bytes(1_500_000))
    try:
        await journal.settle(kept, Settlement(outcome=big))
    except JournalUnavailable as error:
        said["settled"] = str(error)
    ballast.unlink()
    try:
        said["lost"] = type(await begin(journal, "kept")).__name__
        said["then"] = type(await begin(journal, "after")).__name__
    except JournalUnavailable as error:
        said["then"] = str(error)
    found = [one for one in acknowledged if await journal.read_outcome(one) == outcome_of(one)]
    await journal.aclose()
    return {**said, "fatal": fatal, "acknowledged": acknowledged, "found": found}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))))
