"""`oncegate erase`: take somebody's originals out of the vault; what stands for them stands for nothing then."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from gateway.cli import options
from gateway.cli.client import ask
from gateway.cli.output import NO, USAGE, Failure, print_json, print_pairs
from gateway.cli.target import chosen

_VALUES_BYTES_MAX = 1024 * 1024


def erase(
    *,
    values: Annotated[
        str | None,
        typer.Option("--values", metavar="FILE", help="Values, one a line (name, e-mail …); `-` is standard input."),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="DOMAIN/USER", help="A person on whose behalf agents called.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; goes into the audit, so without the values.")],
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Erase the originals that hold these values, or all of a user's runs; exits 1 when there were none."""
    if (values is None) == (user is None):
        raise Failure(USAGE, "expected `--values FILE` or `--user DOMAIN/USER`")
    wanted: dict[str, object] = {"reason": reason}
    # values come from a file: what stands in a command line, others on this machine can read
    wanted |= {"user": user} if values is None else {"values": _lines(values)}
    target = chosen(config, url, token)
    answer = cast("dict[str, object]", ask(target, "POST", "/api/v1/redaction/erase", body=wanted))
    if as_json:
        print_json(answer)
    if not answer["originals"]:
        raise Failure(NO, "the vault holds nothing of it")
    if not as_json:
        print_pairs([("originals erased", str(answer["originals"]))])


def _lines(file: str) -> list[str]:
    try:
        content = sys.stdin.read(_VALUES_BYTES_MAX) if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise Failure(USAGE, f"`{file}`: cannot be read as UTF-8") from None
    found = [line.strip() for line in content.splitlines() if line.strip()]
    if not found:
        raise Failure(USAGE, f"`{file}`: holds no values")
    return found
