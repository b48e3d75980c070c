"""A gateway's journal that begins two calls and then waits to be killed, or stopped and told to settle them.

`python -m tests.contracts.leaver URL` prints the calls' ids; after a line on standard input, whether it may
send and whether each outcome was taken.
"""

from __future__ import annotations

import asyncio
import sys

from durable.step import Settlement
from tests.contracts.place import SHORT_LEASE_SECONDS, DatabasePlace
from tests.durable.steps import begun, intent, outcome, step


async def leave(url: str) -> None:
    """Begin a `once` and a `safe` call, and stay."""
    journal = await DatabasePlace(url, SHORT_LEASE_SECONDS).open()
    held = await begun(journal, intent(step(key="once")))
    repeatable = await begun(journal, intent(step(key="safe", effect="safe")))
    sys.stdout.write(f"{held.id} {repeatable.id}\n")
    sys.stdout.flush()
    # in this thread: a stopped process does nothing else either
    sys.stdin.readline()
    may_send = journal.may_send()
    late = Settlement(outcome=outcome("late"), audit=({"event": "outcome"},))
    taken = [await journal.settle(began, late) for began in (held, repeatable)]
    sys.stdout.write(" ".join(str(one) for one in (may_send, *taken)) + "\n")
    sys.stdout.flush()
    await journal.aclose()


if __name__ == "__main__":
    asyncio.run(leave(sys.argv[1]))
