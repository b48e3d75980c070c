"""The `oncegate` command: one module per command group, loaded only when it is asked for."""

from __future__ import annotations

import sys

from gateway.cli.commands import root
from gateway.cli.output import Failure, fail


def main() -> None:
    """Run the command line; exits 0 done, 1 the answer is no, 2 usage or configuration, 3 unreachable."""
    try:
        # the root's own options take no value, so the first plain word is the command
        wanted = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
        root(wanted)(prog_name="oncegate")
    except Failure as failure:
        sys.exit(fail(failure))
