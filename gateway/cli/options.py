"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.admin.parts import ROWS_MAX

#: The configuration a command reads when none is named.
CONFIG_DEFAULT = Path("oncegate.yaml")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", metavar="FILE", help="The gateway's configuration (its Unix socket is used).")
]
UrlOption = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="A gateway elsewhere, instead of the socket; needs --token.")
]
TokenOption = Annotated[
    str | None, typer.Option("--token", metavar="REF", help="Where the credential stands: env:NAME or file:PATH.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=ROWS_MAX, help="How many rows at most.")]
OutcomeOption = Annotated[
    Path | None,
    typer.Option("--outcome", metavar="FILE", help="With `happened`: the tool's `result` or the model's answer, JSON."),
]
DatabaseOption = Annotated[
    Path | None, typer.Option("--db", metavar="FILE", help="A journal's file, instead of the configuration's.")
]
