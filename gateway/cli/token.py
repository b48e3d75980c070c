"""`oncegate token create|list|rotate|revoke`: API keys of agents, shown once, stored hashed."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from gateway.cli import options
from gateway.cli.output import NO, USAGE, Column, Failure, note, print_json, print_table, screen
from gateway.cli.target import read_config
from gateway.config import ConfigInvalid
from gateway.config.problems import nearest
from gateway.identity.api_keys import new_key, read_keys
from gateway.identity.keys_edit import add_key, remove_key, replace_key
from gateway.identity.names import ANONYMOUS, usable_name

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from gateway.config import Config
    from gateway.identity.api_keys import ApiKey

app = typer.Typer(add_completion=False, no_args_is_help=True)

_DAY_SECONDS: Final = 86400
_EXPIRES: Final = re.compile(r"([1-9][0-9]{0,4})(h|d)")


@app.callback()
def token() -> None:
    """Create, list, replace and revoke API keys for agents."""


@app.command()
def create(
    *,
    agent: Annotated[str, typer.Option(help="The agent who will hold the key.")],
    domain: Annotated[str, typer.Option(help="The agent's trust domain.")],
    role: Annotated[list[str] | None, typer.Option(help="A role the key brings with it; may be repeated.")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="A scope it is limited to; may be repeated.")] = None,
    expires: Annotated[str | None, typer.Option(metavar="90d", help="When it stops: hours or days from now.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="A key for the admin listener, and for nothing else.")] = False,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    as_json: options.JsonOption = False,
) -> None:
    """Create an API key. It is printed once; the keys file holds its hash."""
    roles = role or []
    _check_names(agent, roles)
    read = read_config(config)
    path = _keys_file(read, domain)
    sharing = frozenset(name for name, one in read.trust_domains.items() if one.api_keys_file == path)
    until = None if expires is None else _stamp(time.time() + _seconds(expires))
    identifier, key, hashed = new_key()
    members = {"hash": hashed, "agent": _quoted(agent), "domain": domain, "created": _stamp(time.time())}
    if roles:
        members["roles"] = _listed(roles)
    if scope:
        members["scopes"] = _listed(scope)
    if admin:
        members["listener"] = "admin"
    if until is not None:
        members["expires"] = until
    with _changing(path):
        add_key(path, sharing, identifier, members)
    if as_json:
        print_json({"id": identifier, "key": key, "agent": agent, "domain": domain, "expires": until})
    else:
        screen().print(key, soft_wrap=True)
        note(f"for agent:{domain}/{agent}, {'until ' + until if until else 'without expiry'}; it is not shown again")


@app.command("list")
def list_keys(
    *,
    domain: Annotated[str | None, typer.Option(help="Only of this trust domain.")] = None,
    limit: options.LimitOption = 50,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    as_json: options.JsonOption = False,
) -> None:
    """List API keys by what is public of them, the next to stop first."""
    found: list[dict[str, object]] = []
    for path, sharing in _files(read_config(config)).items():
        with _changing(path):
            keys = list(read_keys(path, str(path), sharing).values()) if path.exists() else []
        found += [_shown(one) for one in keys if domain in {None, one.domain}]
    found = sorted(found, key=lambda one: (str(one["expires"] or "~"), str(one["id"])))[:limit]
    if as_json:
        print_json(found)
        return
    columns = (Column("ID", whole=True), Column("AGENT", whole=True), Column("ROLES"), Column("SCOPES"),
               Column("LISTENER", extra=True), Column("STATE", whole=True), Column("EXPIRES", whole=True))  # fmt: skip
    rows = [[str(one["id"]), f"{one['domain']}/{one['agent']}", _spoken(one["roles"]), _spoken(one["scopes"]),
             str(one["listener"]), str(one["state"]), str(one["expires"] or "never")] for one in found]  # fmt: skip
    print_table(columns, rows, empty="there are no keys; `oncegate token create` makes one")


@app.command()
def revoke(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="The key's public id.")],
    *,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
) -> None:
    """Take a key out of its file: it, and runs opened with it, are refused within a second."""
    path, sharing = _file_of(read_config(config), identifier)
    with _changing(path):
        was = remove_key(path, sharing, identifier)
    note(f"key {identifier} of agent:{was.domain}/{was.agent} is gone; runs it has opened are refused as well")


@app.command()
def rotate(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="The key's public id.")],
    *,
    overlap: Annotated[str, typer.Option(metavar="24h", help="How long the old key still counts.")] = "24h",
    expires: Annotated[str | None, typer.Option(metavar="90d", help="When the new one stops.")] = None,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    as_json: options.JsonOption = False,
) -> None:
    """Create a key like another one, which stops after the overlap; it is printed once."""
    path, sharing = _file_of(read_config(config), identifier)
    until = _stamp(time.time() + _seconds(overlap))
    fresh, key, hashed = new_key()
    with _changing(path):
        old = read_keys(path, str(path), sharing)[identifier]
        members = {"hash": hashed, "agent": _quoted(old.agent), "domain": old.domain, "created": _stamp(time.time()),
                   "listener": old.listener}  # fmt: skip
        if old.roles:
            members["roles"] = _listed(old.roles)
        if old.scopes is not None:
            members["scopes"] = _listed(old.scopes)
        if expires is not None:
            members["expires"] = _stamp(time.time() + _seconds(expires))
        until = min(until, old.expires or until)
        replace_key(path, sharing, identifier, until=until, fresh=fresh, members=members)
    if as_json:
        print_json({"id": fresh, "key": key, "replaces": identifier, "until": until})
    else:
        screen().print(key, soft_wrap=True)
        note(f"for agent:{old.domain}/{old.agent}; {identifier} counts until {until}")


@contextlib.contextmanager
def _changing(path: Path) -> Generator[None]:
    try:
        yield
    except ConfigInvalid as invalid:
        raise Failure(USAGE, str(invalid)) from None
    except LookupError:
        raise Failure(NO, "there is no such key any more") from None
    except OSError as error:
        raise Failure(USAGE, f"`{path}` cannot be written: {(error.strerror or 'failed').lower()}") from None


def _files(config: Config) -> dict[Path, frozenset[str]]:
    """Return the keys files with the trust domains each speaks for."""
    found: dict[Path, frozenset[str]] = {}
    for name, one in config.trust_domains.items():
        if one.api_keys_file is not None:
            found[one.api_keys_file] = found.get(one.api_keys_file, frozenset()) | {name}
    return found


def _file_of(config: Config, identifier: str) -> tuple[Path, frozenset[str]]:
    for path, sharing in _files(config).items():
        with _changing(path):
            if path.exists() and identifier in read_keys(path, str(path), sharing):
                return path, sharing
    raise Failure(NO, f"there is no key `{identifier}`; `oncegate token list` shows those there are")


def _shown(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.name, "agent": key.agent, "domain": key.domain, "roles": list(key.roles),
        "scopes": None if key.scopes is None else list(key.scopes), "listener": key.listener, "created": key.created,
        "expires": key.expires, "state": "valid" if key.until > time.time() else "expired",
    }  # fmt: skip


def _spoken(names: object) -> str:
    return ", ".join(cast("list[str]", names or [])) or "-"


def _listed(names: Iterable[str]) -> str:
    return f"[{', '.join(_quoted(name) for name in names)}]"


def _check_names(agent: str, roles: list[str]) -> None:
    if not usable_name(agent) or agent == ANONYMOUS:
        raise Failure(USAGE, "`--agent` must be a name without spaces, `,` `*` quotes and backslashes")
    if not all(usable_name(name, spaces=True) for name in roles):
        raise Failure(USAGE, "`--role` must be a name without `,` `*` quotes and backslashes")


def _keys_file(config: Config, domain: str) -> Path:
    found = config.trust_domains.get(domain)
    if found is None:
        raise Failure(USAGE, f"`{domain}` is not among `trust_domains`{nearest(domain, config.trust_domains)}")
    if found.api_keys_file is None:
        raise Failure(USAGE, f"trust domain `{domain}` has no `api_keys_file`; name one in `{config.file.name}`")
    return found.api_keys_file


def _seconds(text: str) -> int:
    match = _EXPIRES.fullmatch(text)
    if match is None:
        raise Failure(USAGE, "`--expires` must be a number of hours or days, such as `12h` or `90d`")
    return int(match.group(1)) * (_DAY_SECONDS if match.group(2) == "d" else 3600)


def _stamp(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"
