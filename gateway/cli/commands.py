"""The table of commands. Each names its module, so that a listing does not import language models."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Entry:
    """One command: `app` in `gateway.cli.<module>` is a typer app, or `<name>` a function.

    `group` commands keep their sub-command's name even when there is only one.
    """

    module: str
    help: str
    group: bool = False


COMMANDS: dict[str, Entry] = {
    "serve": Entry("serve", "Run the gateway."),
    "init": Entry("init", "Write a configuration, a key and the starter policies."),
    "check": Entry("check", "Check configuration and policies, and list every problem."),
    "doctor": Entry("doctor", "Look at everything the gateway needs, and say what to do."),
    "demo": Entry("demo", "Show the whole story on this machine, without keys or network."),
    "run": Entry("run", "Run an agent under the gateway; start it again when it dies."),
    "runs": Entry("runs", "List, show, cancel, retry and fork runs.", group=True),
    "calls": Entry("calls", "List and show calls, settle one in doubt.", group=True),
    "approvals": Entry("approvals", "List and show what waits for a person; approve or deny it.", group=True),
    "tools": Entry("tools", "List, show and compare what MCP servers define; accept or reject it.", group=True),
    "block": Entry("block", "Refuse everything of an agent, a user, a domain, a run, a model or a server."),
    "unblock": Entry("block", "Lift a block."),
    "blocks": Entry("block", "List what is blocked."),
    "upstreams": Entry("upstreams", "List the breakers and places of models and servers.", group=True),
    "budgets": Entry("budgets", "List what is spent, reserved and left of budgets.", group=True),
    "policy": Entry("policy", "Test, explain, lint and compare policies.", group=True),
    "redact": Entry("redact", "Show what redaction finds in a text."),
    "erase": Entry("erase", "Erase somebody's originals from the vault."),
    "model": Entry("model", "Install the language model.", group=True),
    "top": Entry("top", "Show a gateway live: calls, denials, replays, doubts, money, upstreams."),
    "audit": Entry("audit", "Verify and export the audit.", group=True),
    "store": Entry("store", "Migrate the store, copy it, accept one that was rolled back.", group=True),
    "token": Entry("token", "Create, list, replace and revoke API keys for agents.", group=True),
}


def load(name: str) -> TyperCommand | TyperGroup:
    """Import a command's module and return its command."""
    entry = COMMANDS[name]
    module = importlib.import_module(f"gateway.cli.{entry.module}")
    app = getattr(module, "app", None)
    if not isinstance(app, typer.Typer):
        function: Callable[..., None] = getattr(module, name)
        app = typer.Typer(add_completion=False)
        app.command(name)(function)
    command = typer.main.get_group(app) if entry.group else typer.main.get_command(app)
    if not isinstance(command, TyperCommand | TyperGroup):
        raise TypeError(f"`{name}` is not a command")
    command.name = name
    command.help = command.help or entry.help
    return command


def root(wanted: str | None) -> TyperGroup:
    """Return the whole command line; only the command `wanted` is imported, the others are listed."""
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help="Every call governed. Every effect once.")(_options)
    group = typer.main.get_group(app)
    for name, entry in COMMANDS.items():
        command = load(name) if name == wanted else TyperCommand(name=name, help=entry.help)
        group.add_command(command, name)
    return group


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"oncegate {version('oncegate')}")
        raise typer.Exit


def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del show_version
