"""`oncegate token create`: an API key for an agent, shown once, stored hashed."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.cli import options
from gateway.cli.output import USAGE, Failure, note, print_json, screen
from gateway.cli.target import read_config
from gateway.config import ConfigInvalid
from gateway.config.problems import nearest
from gateway.identity.api_keys import new_key
from gateway.identity.keys_edit import add_key
from gateway.identity.names import ANONYMOUS, usable_name

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Config

app = typer.Typer(add_completion=False, no_args_is_help=True)

_DAY_SECONDS: Final = 86400
_EXPIRES: Final = re.compile(r"([1-9][0-9]{0,4})(h|d)")


@app.callback()
def token() -> None:
    """Create API keys for agents."""


@app.command()
def create(
    *,
    agent: Annotated[str, typer.Option(help="The agent who will hold the key.")],
    domain: Annotated[str, typer.Option(help="The agent's trust domain.")],
    role: Annotated[list[str] | None, typer.Option(help="A role the key brings with it; may be repeated.")] = None,
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
        members["roles"] = f"[{', '.join(_quoted(name) for name in roles)}]"
    if admin:
        members["listener"] = "admin"
    if until is not None:
        members["expires"] = until
    try:
        add_key(path, sharing, identifier, members)
    except ConfigInvalid as invalid:
        raise Failure(USAGE, str(invalid)) from None
    except OSError as error:
        raise Failure(USAGE, f"`{path}` cannot be written: {(error.strerror or 'failed').lower()}") from None
    if as_json:
        print_json({"id": identifier, "key": key, "agent": agent, "domain": domain, "expires": until})
    else:
        screen().print(key, soft_wrap=True)
        note(f"for agent:{domain}/{agent}, {'until ' + until if until else 'without expiry'}; it is not shown again")


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
