"""`oncegate audit`: check the chain and write it out, read-only, beside a running gateway or on a copy."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import typer

from durable.chain import Unreadable, read_links, verify
from durable.journal import JournalRefused
from durable.postgres import read_postgres_links
from gateway.cli import options
from gateway.cli.output import NO, USAGE, Failure, print_json, print_pairs
from gateway.cli.target import read_config
from gateway.secrets import SecretError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from durable.chain import Link
    from gateway.config import Config

#: how many records are fetched from a database at once
_LINKS_AT_ONCE: Final = 1000

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command("verify")
def verify_audit(
    *,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    database: options.DatabaseOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Check every record against its hash; exits 1 and names the record that does not hold."""
    found = verify(_readable(config, database))
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
    for link in _readable(config, database):
        # the record's text is what was hashed: it goes out byte for byte
        sys.stdout.write(f'{{"hash":{json.dumps(link.hash.hex())},"record":{link.text}}}\n')


def _readable(config: Path, database: Path | None) -> Iterator[Link]:
    """Return the links of a journal, in order; a store that cannot be read ends with how far it could be."""
    if database is None:
        found = read_config(config)
        if found.state.postgres is not None:
            return _told(_of_postgres(found.state.postgres, _password(found)), "the database")
        database = found.state.path
    if not database.is_file():
        raise Failure(USAGE, f"`{database}`: expected a journal, there is no such file")
    return _told(read_links(database), f"`{database}`")


def _told(links: Iterator[Link], store: str) -> Iterator[Link]:
    last: Link | None = None
    try:
        for link in links:
            last = link
            yield link
    except JournalRefused as refused:
        raise Failure(NO, str(refused)) from None
    except Unreadable as damaged:
        raise Failure(NO, f"the audit does not hold: {damaged}") from None
    except Exception:  # noqa: BLE001 - a damaged store fails in the driver's own ways, and may quote content
        if last is None:
            raise Failure(NO, f"{store}: cannot be read as a journal") from None
        where = f"the record after record {last.number} of chain {last.chain}"
        raise Failure(NO, f"the audit does not hold: {where} cannot be read") from None


def _password(config: Config) -> str | None:
    try:
        return None if config.state_password is None else config.state_password.read()
    except SecretError as error:
        raise Failure(USAGE, f"`state_password`: {error}") from None


def _of_postgres(url: str, password: str | None) -> Iterator[Link]:
    links = read_postgres_links(url, password)
    with asyncio.Runner() as runner:
        while some := runner.run(_some(links)):
            yield from some


async def _some(links: AsyncIterator[Link]) -> list[Link]:
    some: list[Link] = []
    while len(some) < _LINKS_AT_ONCE and (link := await anext(links, None)) is not None:
        some.append(link)
    return some
