"""Which gateway an admin command talks to, and the configuration commands read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.admin.address import socket_path
from gateway.cli.client import Target, remote
from gateway.cli.output import USAGE, Failure
from gateway.config import ConfigInvalid, load

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Config


def read_config(path: Path) -> Config:
    """Return the verified configuration. Raises `Failure` with every problem, one a line."""
    try:
        return load(path)
    except ConfigInvalid as invalid:
        raise Failure(USAGE, str(invalid)) from None


def chosen(config: Path, url: str | None, token: str | None) -> Target:
    """Return the gateway that `--url` names, or the one of the configuration by its socket."""
    if url is not None:
        return remote(url, token)
    if token is not None:
        raise Failure(USAGE, "`--token` goes with `--url`; the socket needs no credential")
    return Target(socket=socket_path(read_config(config).state.path))
