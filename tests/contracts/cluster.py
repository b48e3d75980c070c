"""A private PostgreSQL cluster: made in a folder of its own, on loopback, flushing to disk, ended with the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

#: where Debian keeps the binaries of each version
_DEBIAN: Final = Path("/usr/lib/postgresql")
_START_SECONDS_MAX: Final = 120
#: psql's status for it
_NO_CONNECTION: Final = 2
_SUPERUSER: Final = "oncegate"


class PostgresMissing(Exception):  # noqa: N818 - says what is known
    """There are no PostgreSQL binaries; `scripts/setup` brings them."""


def binaries() -> Path:
    """Return the folder of `initdb` and `postgres`. Raises `PostgresMissing`."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parent.parent.name))
    if not versions:
        raise PostgresMissing("no `initdb` was found; `make setup` installs PostgreSQL")
    return versions[-1].parent


@dataclass(slots=True)
class Cluster:
    """A cluster in `folder`; `start`, `crash` and `stop` may be called again and again."""

    folder: Path
    port: int
    #: who runs it, `None` for whoever runs the tests
    user: int | None
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str, *, role: str = _SUPERUSER) -> str:
        """Return the URL of a database of this cluster."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        said = self.folder / "postgres.log"
        with said.open("wb") as log:
            self.process = subprocess.Popen(
                [binaries() / "postgres", "-D", self.folder / "data"],
                user=self.user, group=self.user, cwd=self.folder, stdout=log, stderr=log,
            )  # fmt: skip
        self._ready(_START_SECONDS_MAX)
        assert self.process.poll() is None, said.read_text(encoding="utf-8", errors="replace")
        self.psql("postgres", "SELECT 1")

    def stop(self) -> None:
        """Stop the server, in-flight transactions aborted."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """End the server as a power cut would, but for what the disk still writes."""
        self._end(signal.SIGQUIT)

    def psql(self, database: str, sql: str) -> str:
        """Return what a statement gives, unaligned; waits for a server that is coming up."""
        for _ in range(_START_SECONDS_MAX):
            done = subprocess.run(
                [binaries() / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.url(database), "-c", sql],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode != _NO_CONNECTION:
                assert done.returncode == 0, done.stderr
                return done.stdout.strip()
            self._ready(1)
        raise AssertionError("the server takes no connections")

    def create(self, database: str) -> str:
        """Make an empty database; returns its URL."""
        self.psql("postgres", f'CREATE DATABASE "{database}"')
        return self.url(database)

    def _ready(self, seconds: int) -> None:
        asking = [binaries() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "1"]
        until, pause = time.monotonic() + seconds, threading.Event()
        # a port nobody listens on is answered at once, so it has to be asked again
        while subprocess.run(asking, check=False).returncode != 0 and time.monotonic() < until:
            if self.process is None or self.process.poll() is not None:
                return
            pause.wait(0.05)

    def _end(self, sent: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(sent)
            self.process.wait(_START_SECONDS_MAX)
            self.process = None


@contextmanager
def private_cluster(folder: Path, settings: Mapping[str, str] | None = None) -> Generator[Cluster]:
    """Give a running cluster in `folder`. Raises `PostgresMissing`."""
    port = free_port()
    user = _user()
    if user is not None:
        os.chown(folder, user, -1)
    subprocess.run(
        [binaries() / "initdb", "-D", folder / "data", "-U", _SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-locale",
         "--no-sync"],
        user=user, group=user, cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    chosen = {
        "listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": "",
        # nothing here cuts the power, and what a killed server has written the kernel still has
        "fsync": "off",
        "max_connections": "200", "logging_collector": "off", **(settings or {}),
    }  # fmt: skip
    with (folder / "data" / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in chosen.items())
    cluster = Cluster(folder, port, user)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


def _user() -> int | None:
    """Return as whom to start the server where this is root, whom it refuses."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_uid
    except KeyError:
        return pwd.getpwnam("nobody").pw_uid
