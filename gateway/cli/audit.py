"""`oncegate audit`: check the chain and write it out, read-only, beside a running gateway or on a copy."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from durable.audit_rows import AuditFilter
from durable.chain import Link, Unreadable, anchor_line, export_line, read_anchors, read_links
from durable.checkpoint import CheckpointInvalid, read_public_key
from durable.journal import JournalRefused
from durable.postgres import read_postgres_anchors, read_postgres_links
from durable.stamp import MICROSECONDS
from durable.verification import Witnesses, verify
from gateway.checkpoints import signing_key_path
from gateway.cli import options
from gateway.cli.output import NO, USAGE, Failure, print_json, print_pairs
from gateway.cli.target import read_config
from gateway.secrets import SecretError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from durable.verification import Verification
    from gateway.config import Config

#: how many records are fetched from a database at once
_LINKS_AT_ONCE: Final = 1000

app = typer.Typer(add_completion=False, no_args_is_help=True)

_Files = Annotated[list[Path] | None, typer.Option("--checkpoint", help="Checkpoints kept outside the store.")]
_Keys = Annotated[list[Path] | None, typer.Option("--key", help="Public keys that are trusted to sign (PEM).")]
_Export = Annotated[Path | None, typer.Option("--export", help="An export instead of the store.")]
_Since = Annotated[str | None, typer.Option("--since", help="From this time on (ISO 8601, UTC without a zone).")]
_Until = Annotated[str | None, typer.Option("--until", help="Before this time (ISO 8601, UTC without a zone).")]


@app.command("verify")
def verify_audit(
    *,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    database: options.DatabaseOption = None,
    export: _Export = None,
    checkpoint: _Files = None,
    key: _Keys = None,
    as_json: options.JsonOption = False,
) -> None:
    """Check every record against its hash and every checkpoint; exits 1 and names the record that does not hold."""
    keys = _trusted(config, key, own=database is None and export is None)
    checkpoints = [line for path in checkpoint or () for line in _lines(path)]
    if export is not None:
        anchors, links = _exported(export)
    else:
        anchors, links = _anchors(config, database), _readable(config, database)
    found = verify(links, Witnesses(anchors=anchors, checkpoints=checkpoints, keys=keys))
    if as_json:
        print_json(asdict(found))
    elif found.ok:
        print_pairs(_said(found, trusted=keys is not None))
    else:
        raise Failure(NO, f"the audit does not hold: {found.problem}")
    raise typer.Exit(0 if found.ok else NO)


@app.command("export")
def export_audit(
    *,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    database: options.DatabaseOption = None,
    since: _Since = None,
    until: _Until = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Of this agent: `acme/billing`, or its name.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="Of this run.")] = None,
    resource: Annotated[str | None, typer.Option("--resource", help="About this resource.")] = None,
    event: Annotated[str | None, typer.Option("--event", help="Of this kind: `decision`, `outcome`, …")] = None,
) -> None:
    """Write the audit to standard output, one JSON object a line: record, hash. Only a whole export can be verified."""
    wanted = AuditFilter(
        since=_time("--since", since), until=_time("--until", until), agent=agent, run=run, resource=resource,
        event=event,
    )  # fmt: skip
    whole = wanted == AuditFilter()
    for anchor in _anchors(config, database) if whole else ():
        sys.stdout.write(anchor_line(anchor))
    for link in _readable(config, database):
        if whole or wanted.fits(cast("dict[str, object]", json.loads(link.text))):
            sys.stdout.write(export_line(link))


def _said(found: Verification, *, trusted: bool) -> list[tuple[str, str]]:
    pairs = [("audit", "whole"), ("records", str(found.records)), ("chains", str(found.chains))]
    if found.pruned:
        pairs.append(("pruned", f"{found.pruned} records, under signed statements"))
    if found.signed or found.outside:
        pairs.append(("checkpoints", f"{found.signed} among the records, {found.outside} from outside"))
        said = "trusted" if trusted else "compare with yours, or name it with `--key`"
        pairs.append(("signed by", f"{', '.join(found.keys)} ({said})"))
    if found.open:
        pairs.append(("not closed", ", ".join(found.open)))
    return pairs


def _trusted(config: Path, files: list[Path] | None, *, own: bool) -> frozenset[str] | None:
    """Return the ids of the keys that may have signed: those named, else this file store's own where it is there."""
    paths = list(files or ())
    if not paths and own:
        read = read_config(config)
        path = signing_key_path(read)
        public = path.with_name(path.name + ".pub")
        paths = [public] if read.state.postgres is None and public.is_file() else []
    try:
        return frozenset(read_public_key(path) for path in paths) if paths else None
    except CheckpointInvalid as error:
        raise Failure(USAGE, str(error)) from None


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a checkpoint file; one that a crash has cut short is left out."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Failure(USAGE, f"`{path}`: cannot be read ({(error.strerror or 'unknown').lower()})") from None
    for line in text.splitlines():
        try:
            json.loads(line)
        except ValueError:
            continue
        yield line


def _exported(path: Path) -> tuple[list[str], Iterable[Link]]:
    if not path.is_file():
        raise Failure(USAGE, f"`{path}`: expected an export, there is no such file")
    anchors: list[str] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.startswith('{"anchor":'):
                break
            anchors.append(_member(line, "anchor"))
    return anchors, _links_in(path)


def _links_in(path: Path) -> Iterator[Link]:
    """Yield an export's links; a record's text is what stands between `"record":` and the last brace."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if line.startswith('{"anchor":'):
                continue
            head, found, rest = line.rstrip("\n").partition(',"record":')
            text = rest.removesuffix("}")
            try:
                record = cast("dict[str, object]", json.loads(text))
                digest = bytes.fromhex(_member(head + "}", "hash"))
                yield Link(str(record["chain"]), int(str(record["number"])), text, digest)
            except (ValueError, KeyError, TypeError, AttributeError):
                raise Unreadable(f"line {number} of `{path}` cannot be read as a record") from None
            if not found:
                raise Unreadable(f"line {number} of `{path}` cannot be read as a record")


def _member(line: str, name: str) -> str:
    try:
        return str(cast("dict[str, object]", json.loads(line))[name])
    except (ValueError, KeyError, TypeError):
        raise Failure(NO, f"the audit does not hold: an export's `{name}` cannot be read") from None


def _time(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(USAGE, f"`{option}`: expected a time as `2026-11-21` or `2026-11-21T18:00:00Z`") from None
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * MICROSECONDS)


def _anchors(config: Path, database: Path | None) -> list[str]:
    if database is None:
        found = read_config(config)
        if found.state.postgres is not None:
            try:
                return asyncio.run(read_postgres_anchors(found.state.postgres, _password(found)))
            except JournalRefused as refused:
                raise Failure(NO, str(refused)) from None
        database = found.state.path
    return read_anchors(database) if database.is_file() else []


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
