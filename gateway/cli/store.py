"""`oncegate store`: the journal's store itself: brought up to date, copied, accepted after a rollback."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, cast

import typer

from durable.journal import JournalRefused
from durable.sqlite_backup import back_up
from gateway.cli import options
from gateway.cli.client import ask
from gateway.cli.output import NO, USAGE, Failure, print_json, print_pairs
from gateway.cli.target import chosen, read_config
from gateway.store import migrate_store

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command("migrate")
def migrate(*, config: options.ConfigOption = options.CONFIG_DEFAULT, as_json: options.JsonOption = False) -> None:
    """Bring the store to this program's schema; on PostgreSQL as the role that owns the tables."""
    try:
        version = asyncio.run(migrate_store(read_config(config)))
    except JournalRefused as refused:
        raise Failure(USAGE, str(refused)) from None
    if as_json:
        print_json({"schema": version})
    else:
        print_pairs([("schema", str(version))])


@app.command("backup")
def backup(
    target: Annotated[options.Path, typer.Argument(metavar="FILE", help="A new file.")],
    *,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    as_json: options.JsonOption = False,
) -> None:
    """Copy an SQLite store to a new file, beside a running gateway. Bodies stay sealed: keep the key elsewhere."""
    read = read_config(config)
    if read.state.postgres is not None:
        raise Failure(USAGE, "the state is a PostgreSQL database; use `pg_dump` (see docs/operations.md)")
    size = _copied(read.state.path, target)
    if as_json:
        print_json({"file": str(target), "bytes": size})
    else:
        print_pairs([("file", str(target)), ("bytes", str(size))])


@app.command("accept")
def accept(
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why nothing is lost, or who has looked after it.")],
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    url: options.UrlOption = None,
    token: options.TokenOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Accept a store that was rolled back (restored, failed over): `once` steps are not held for it any more.

    First settle what the store has forgotten; exits 1 when nothing was held.
    """
    content = {"reason": reason}
    answer = cast("dict[str, object]", ask(chosen(config, url, token), "POST", "/api/v1/store/accept", body=content))
    if as_json:
        print_json(answer)
    if not answer["accepted"]:
        raise Failure(NO, "nothing is held: the store was not rolled back, or that was accepted before")
    if not as_json:
        print_pairs([("store", "accepted as it is")])


def _copied(source: Path, target: Path) -> int:
    try:
        return back_up(source, target)
    except FileNotFoundError as missing:
        raise Failure(USAGE, f"`{missing.args[0]}`: there is no journal") from None
    except FileExistsError:
        raise Failure(USAGE, f"`{target}`: is there already; name a new file") from None
    except JournalRefused as refused:
        raise Failure(NO, str(refused)) from None
    except OSError as error:
        raise Failure(NO, f"`{target}`: {(error.strerror or 'cannot be written').lower()}") from None
