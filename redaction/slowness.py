"""Finds patterns that a text can make slow, before they ever see one: each is tried in a process of its own.

Python's matcher cannot be stopped from within, so the trying is done where it can be ended.
"""

from __future__ import annotations

import json
import re
import resource
import string
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Characters of each hostile text, and what one search of it may take.
CHARACTERS: Final = 65_536
SECONDS_MAX: Final = 0.5
#: A first, short try: what is slow here would take hours above.
_SHORT_CHARACTERS: Final = 512
#: CPU time of the process that tries, and how long it is waited for.
_CPU_SECONDS_MAX: Final = 2
_WAIT_SECONDS_MAX: Final = 60.0
_ATTACK: Final = "import sys; sys.path[:0] = sys.argv[1:]; import redaction.slowness as one; one.attack()"
_WORD: Final = re.compile(r"[A-Za-z0-9]{1,16}|[@.:/\-_ ]")


def slow_patterns(patterns: Sequence[str]) -> list[str]:
    """Return those `patterns` that take more than linear time, as far as hostile texts of 64 KB tell."""
    return [pattern for pattern in patterns if not _passes(pattern)]


def _passes(pattern: str) -> bool:
    command = [sys.executable, "-I", "-c", _ATTACK, *(place for place in sys.path if place)]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, the pattern on standard input
            command, input=json.dumps(pattern), capture_output=True, text=True, timeout=_WAIT_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and done.stdout.strip() == "passes"


def attack() -> None:
    """Try the pattern on standard input; says `passes` on standard output, or is slow and ended from outside."""
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS_MAX, _CPU_SECONDS_MAX))
    pattern = cast("str", json.loads(sys.stdin.read()))
    compiled = re.compile(pattern)
    for unit in _units(pattern):
        for characters in (_SHORT_CHARACTERS, CHARACTERS):
            text = (unit * characters)[:characters] + "\x00"
            begun = time.process_time()
            for _ in compiled.finditer(text):
                pass
            if time.process_time() - begun > SECONDS_MAX:
                sys.stdout.write("slow")
                return
    sys.stdout.write("passes")


def _units(pattern: str) -> Iterator[str]:
    """Yield what hostile texts repeat: usual characters, the pattern's own words, and pairs of both."""
    usual = ["a", "A", "1", " ", "-", ".", "a1", "a.", "a ", "1 ", "1-", "a@", "@", "\t", "_", "/", "é"]
    own = list(dict.fromkeys(word for word in _WORD.findall(pattern) if word not in string.ascii_letters))[:12]
    yield from dict.fromkeys([*usual, *own])
    yield from (word + other for word in own for other in ("a", "1", " ", "-"))
