"""`oncegate serve`: the gateway itself, in the foreground."""

from __future__ import annotations

import typer

from gateway import server
from gateway.cli import options


def serve(*, config: options.ConfigOption = options.CONFIG_DEFAULT) -> None:
    """Run the gateway in the foreground until it is told to stop (SIGTERM, SIGINT)."""
    raise typer.Exit(server.serve(config))
