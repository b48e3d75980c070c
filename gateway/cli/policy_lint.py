"""`oncegate policy lint`: lines that are hardly meant, held against what is configured and recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from durable import definitions
from gateway.cli import options
from gateway.cli.output import NO, Column, print_json, print_table
from gateway.cli.policy_compare import keyring_of, loaded, read_store
from gateway.cli.target import read_config
from policy.lint import Catalogue, findings_of
from policy.resources import resource_name

if TYPE_CHECKING:
    from gateway.config import Config

_TOOLS_MAX: Final = 100_000


_Folder = Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder of policy files.")]
_Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Hold it against this configuration and its journal too."),
]
_Json = options.JsonOption


def lint(
    folder: _Folder = Path("policies"),
    *,
    config: _Config = None,
    as_json: _Json = False,
) -> None:
    """Say which lines are hardly meant; exits 1 when there are any, 2 when the folder holds no usable set."""
    known = None if config is None else read_config(config)
    domains = None if known is None else {"default", *known.trust_domains}
    found = findings_of(loaded(folder, domains=domains), None if known is None else _catalogue(known))
    if as_json:
        print_json([
            {"file": one.file, "line": one.line, "rule": one.rule, "message": one.message} for one in found
        ])  # fmt: skip
    else:
        rows = [(f"{one.file}:{one.line}", one.rule, one.message) for one in found]
        print_table([Column("line", whole=True), Column("rule"), Column("what")], rows, empty="nothing found")
    raise typer.Exit(NO if found else 0)


def _catalogue(config: Config) -> Catalogue:
    """Return what the configuration and the recorded definitions say there is."""
    tools: dict[str, dict[str, object]] = {}
    if config.state.postgres is not None or config.state.path.exists():
        keyring = keyring_of(config)
        records = read_store(
            config, lambda tx: definitions.read_all(tx, keyring, server=None, state=None, limit=_TOOLS_MAX)
        )
        for record in records:
            if record.kind == "tool":
                content = cast("dict[str, object]", json.loads(record.content))
                tools.setdefault(record.server, {})[resource_name(record.name)] = content.get("inputSchema")
    return Catalogue(
        models=frozenset(resource_name(name) for name in config.models),
        servers=frozenset(config.mcp_servers),
        tools=tools,
    )  # fmt: skip
