"""`oncegate audit`: check the chain and write it out, read-only, beside a running gateway or on a copy."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from durable.chain import read_links, verify
from gateway.cli import options
from gateway.cli.output import NO, USAGE, Failure, print_json, print_pairs
from gateway.cli.target import read_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from durable.chain import Link

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command("verify")
def verify_audit(
    *,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    database: options.DatabaseOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Check every record against its hash; exits 1 and names the record that does not hold."""
    found = verify(_Reading(_database(config, database)))
    if as_json:
        print_json(asdict(found))
    elif found.ok:
        print_pairs([("audit", "whole"), ("records", str(found.records)), ("chains", str(found.chains))])
    else:
        raise Failure(NO, f"the audit does not hold: {found.problem}")
    raise typer.Exit(0 if found.ok else NO)


@app.command("export")
def export_audit(
    *, config: options.ConfigOption = options.CONFIG_DEFAULT, database: options.DatabaseOption = None
) -> None:
    """Write the audit to standard output, one JSON object a line: record, hash."""
    for link in _Reading(_database(config, database)):
        # the record's text is what was hashed: it goes out byte for byte
        sys.stdout.write(f'{{"hash":{json.dumps(link.hash.hex())},"record":{link.text}}}\n')


class _Reading:
    """The links of a journal, in order; a file that cannot be read ends with how far it could be."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Link]:
        last: Link | None = None
        try:
            for link in read_links(self._path):
                last = link
                yield link
        except Exception:  # noqa: BLE001 - a damaged file fails in the driver's own ways, and may quote content
            if last is None:
                raise Failure(NO, f"`{self._path}`: cannot be read as a journal") from None
            where = f"the record after record {last.number} of chain {last.chain}"
            raise Failure(NO, f"the audit does not hold: {where} cannot be read") from None


def _database(config: Path, database: Path | None) -> Path:
    path = read_config(config).state.path if database is None else database
    if not path.is_file():
        raise Failure(USAGE, f"`{path}`: expected a journal, there is no such file")
    return path
