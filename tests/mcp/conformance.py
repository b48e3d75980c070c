"""The MCP conformance suite; `python -m tests.mcp.conformance` prints what passes directly and through the gateway.

A scenario's result is the set of its checks that hold, so that "the same passes" means each single check.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from tests.mcp.stand import TOP, stand

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

REVISIONS: Final = ("2025-11-25", "2026-07-28")
PEERS: Final = TOP / ".build" / "node" / "node_modules" / "@modelcontextprotocol"
RUN_SECONDS_MAX: Final = 120
_TIME_CHARACTERS: Final = len("-2026-11-21T07-07-16-131Z")


@dataclass(frozen=True, slots=True)
class Result:
    """Checks by scenario, those that hold and those that do not; `missed` are required scenarios that fail."""

    passed: frozenset[str]
    failed: frozenset[str]
    required: int
    missed: frozenset[str]


def node() -> str | None:
    """Return the folder of a usable Node.js, `None` where there is none."""
    found = subprocess.run([TOP / "scripts" / "node"], capture_output=True, text=True, check=False, env=environment())
    return found.stdout.strip() if found.returncode == 0 else None


def environment() -> dict[str, str]:
    """Return this process's environment with its own virtual environment named."""
    return os.environ | {"VIRTUAL_ENV": sys.prefix}


def install() -> None:
    """Bring the suite and the reference server; quick when they are there."""
    subprocess.run([TOP / "scripts" / "conformance", "--install"], check=True, env=environment())


def run(url: str, revision: str) -> Result:
    """Run every scenario of `revision` against `url`."""
    folder = Path(tempfile.mkdtemp(prefix="oncegate-conformance-"))
    try:
        command = [f"{node()}/node", PEERS / "conformance" / "dist" / "index.js", "server", "--url", url,
                   "--requirements", revision, "-o", folder]  # fmt: skip
        subprocess.run(command, capture_output=True, check=False, timeout=RUN_SECONDS_MAX)
        return _read(folder, _required(revision))
    finally:
        shutil.rmtree(folder)


def context(told: Mapping[str, str]) -> dict[str, str]:
    """Return what the suite gives its client to know, of what the teller said."""
    return cast("dict[str, str]", json.loads(told["context"]))


def _read(folder: Path, required: frozenset[str]) -> Result:
    passed: set[str] = set()
    failed: set[str] = set()
    seen: set[str] = set()
    for path in folder.glob("*/checks.json"):
        scenario = path.parent.name.removeprefix("server-")[:-_TIME_CHARACTERS]
        seen.add(scenario)
        for check in cast("list[Mapping[str, str]]", json.loads(path.read_text(encoding="utf-8"))):
            name = f"{scenario}: {check['id']}"
            if check["status"] in {"FAILURE", "WARNING"}:
                failed.add(name)
            else:
                passed.add(name)
    broken = {name.partition(":")[0] for name in failed} | (required - seen)
    return Result(frozenset(passed - failed), frozenset(failed), len(required), frozenset(broken & required))


def _required(revision: str) -> frozenset[str]:
    text = (PEERS / "conformance" / "requirements" / f"{revision}.yaml").read_text(encoding="utf-8")
    section = text.partition("\nserver:\n")[2].partition("\n\n")[0]
    return frozenset(line.removeprefix("  - ") for line in section.splitlines())


@contextlib.contextmanager
def unnamed(joined: str) -> Generator[str]:
    """Run what puts names on and takes them off before the joined endpoint; yields its URL."""
    command = [sys.executable, "-m", "tests.mcp.renaming", "--to", joined]
    child = subprocess.Popen(command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        try:
            assert child.stdout is not None
            yield f"http://localhost:{int(child.stdout.readline())}/mcp"
        finally:
            child.terminate()


def main() -> None:
    """Print a table."""
    with (
        tempfile.TemporaryDirectory() as folder, stand(Path(folder)) as running, unnamed(running.joined) as joined
    ):  # fmt: skip
        ways = (("directly", running.direct), ("through the gateway", running.server("everything")),
                ("through all as one", joined))  # fmt: skip
        for revision in REVISIONS:
            for where, url in ways:
                result = run(url, revision)
                held = result.required - len(result.missed)
                sys.stdout.write(
                    f"{revision} {where:20} {held}/{result.required} required scenarios, "
                    f"{len(result.passed)} checks pass, {len(result.failed)} fail\n"
                )


if __name__ == "__main__":
    main()
