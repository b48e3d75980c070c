"""Servers that are commands, kept from what the gateway lives by (DESIGN section 13).

A process that can read the key, the state or the keys file could make itself tokens; one that can write
policies or the configuration could make itself rules. Outside `development` such a server is not started.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gateway.checkpoints import signing_key_path
from gateway.config import Problem
from gateway.mcp.account import account_of, may_become

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.config import Config, McpServer
    from gateway.mcp.account import Account
    from gateway.secrets import SecretReference

_ADVICE = "name an account for it with `user:`, run it apart and name its `url:`, or set `development: true`"


def unconfined(config: Config) -> Iterator[Problem]:
    """Yield why a command could reach what it must not, as far as files and accounts tell."""
    if config.development:
        return
    for server in config.mcp_servers.values():
        if server.command is not None and (why := _reach(config, server)) is not None:
            yield Problem(str(config.file), 0, f"server `{server.name}` {why}")


def unstartable(config: Config) -> Iterator[Problem]:
    """Yield which accounts this process could not start a command as."""
    for server in config.mcp_servers.values():
        if server.command is None or server.user is None:
            continue
        account = account_of(server.user)
        if account is None:
            yield Problem(str(config.file), 0, f"server `{server.name}`: there is no account `{server.user}` here")
        elif not may_become(account):
            yield Problem(str(config.file), 0, (
                f"server `{server.name}`: the gateway may start nothing as `{server.user}`; give it the capabilities"
                " CAP_SETUID, CAP_SETGID and CAP_KILL, or run the server apart and name its `url:`"
            ))  # fmt: skip


def _reach(config: Config, server: McpServer) -> str | None:
    if server.user is None:
        return f"would run as the gateway's own account, which can read its key: {_ADVICE}"
    account = account_of(server.user)
    if account is None:
        return None  # said where it would be started
    if account.uid == os.geteuid() != 0 or account.uid == 0:
        return f"would run as `{server.user}`, who can read all that the gateway can: {_ADVICE}"
    return _reached(config, server, account)


def _reached(config: Config, server: McpServer, account: Account) -> str | None:
    for path in _never_read(config):
        if account.can_read(path):
            return f"would run as `{server.user}`, who can read `{path}`: close it to others, or {_ADVICE}"
    for path in _never_changed(config):
        if account.can_change(path):
            return f"would run as `{server.user}`, who can change `{path}`: close it to others, or {_ADVICE}"
    return None


def _never_read(config: Config) -> Iterator[Path]:
    for reference in _references(config):
        if reference.path is not None:
            yield reference.path
    if config.state.postgres is None:
        yield config.state.path
        yield config.state.path.with_name(f"{config.state.path.name}-wal")
    yield signing_key_path(config)
    yield from (domain.api_keys_file for domain in config.trust_domains.values() if domain.api_keys_file is not None)


def _never_changed(config: Config) -> Iterator[Path]:
    yield config.file
    yield from _never_read(config)
    yield config.policies_folder
    if config.policies_folder.is_dir():
        yield from sorted(config.policies_folder.iterdir())
    if config.redaction.profiles_file is not None:
        yield config.redaction.profiles_file
    if config.redaction.recognizers_file is not None:
        yield config.redaction.recognizers_file


def _references(config: Config) -> Iterator[SecretReference]:
    yield from config.secret_keys
    if config.state_password is not None:
        yield config.state_password
    yield from (model.credential for model in config.models.values() if model.credential is not None)
    yield from (server.credential.reference for server in config.mcp_servers.values() if server.credential is not None)
