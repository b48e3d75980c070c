"""Seconds as a busy machine gives them, for promises in seconds.

What is promised within a second takes longer where other processes have the processor, by no fault of what is tested.
So it is held against a thread that does nothing but sleep: a turn counts for as long as it was to sleep, however late
it comes. On an idle machine these are the seconds of any clock, less one in a hundred.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator

_TURN_SECONDS: Final = 0.01


class Pace:
    """Counts from when it was made until `stop`."""

    def __init__(self) -> None:
        self._turns = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._count, name="pace", daemon=True)
        self._thread.start()

    @property
    def seconds(self) -> float:
        """How long it has been."""
        return self._turns * _TURN_SECONDS

    def stop(self) -> None:
        """Count no more."""
        self._over.set()
        self._thread.join()

    def _count(self) -> None:
        while not self._over.wait(_TURN_SECONDS):
            self._turns += 1


@contextmanager
def paced() -> Generator[Pace]:
    """Give a count that goes on until the block ends, and can be read afterwards."""
    pace = Pace()
    try:
        yield pace
    finally:
        pace.stop()
