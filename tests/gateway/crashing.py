"""A gateway that kills itself with SIGKILL at a named point around a commit: `python -m tests.gateway.crashing`.

The point counts only once a call is under way, so that the gateway gets as far as serving.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from gateway.server import serve

if __name__ == "__main__":

    def kill_at(name: str, wanted: str = sys.argv[2]) -> None:
        if name == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.exit(serve(Path(sys.argv[1]), crash_point=kill_at))
