"""A gateway as the rig starts it: the real one, forked from a process that has imported it, and able to kill itself.

Importing takes seconds of processor time, serving a tenth of one; the rig starts hundreds of gateways.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import TYPE_CHECKING

from gateway.server import serve

if TYPE_CHECKING:
    from pathlib import Path


def serve_armed(config: Path, armed: Path, log: Path, file_bytes_max: int | None) -> None:
    """Serve `config`, killing this process by SIGKILL at the point that stands in the file `armed`.

    The file is removed first, so that the gateway started next lives. Output goes to `log`; no file of this
    process grows beyond `file_bytes_max`.
    """
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    if file_bytes_max is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, resource.RLIM_INFINITY))

    def reached(point: str) -> None:
        if armed.exists() and armed.read_text(encoding="ascii") == point:
            armed.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    sys.exit(serve(config, crash_point=reached))
