"""Servers that are commands run as an account that reaches nothing the gateway lives by, or not at all."""

from __future__ import annotations

import os
import secrets
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from gateway.cli import checks
from gateway.config import ConfigInvalid, load
from gateway.mcp.account import Account, account_of, may_become
from gateway.mcp.confinement import unconfined, unstartable
from gateway.mcp.stdio import StdioUpstream
from tests.mcp.test_processes import result_of

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Config

pytestmark = pytest.mark.anyio

NOBODY = account_of("nobody")
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may start a process as somebody else")


def configured(folder: Path, server: str, *, development: bool = False) -> Config:
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "a.csv").write_text("", encoding="utf-8")
    (folder / "oncegate.key").write_bytes(b64encode(secrets.token_bytes(32)))
    (folder / "oncegate.key").chmod(0o600)
    path = folder / "oncegate.yaml"
    path.write_text(
        f"version: 1\ndevelopment: {str(development).lower()}\nsecret_key: file:oncegate.key\n"
        f"mcp_servers:\n  s: {server}\n",
        encoding="utf-8",
    )
    return load(path)


def other(folder: Path) -> Account:
    """Return an account that owns nothing here."""
    uid = folder.stat().st_uid + 1
    return Account(name="other", uid=uid, gid=uid, groups=frozenset({uid}), home="/")


def opened(folder: Path) -> Path:
    """Let others pass through the folders above `folder`."""
    for above in (folder, *folder.parents):
        if above.stat().st_uid == os.geteuid() and not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)
    return folder


@pytest.mark.requirement("MCP-35")
@pytest.mark.parametrize("user", ["", "root"])
def test_a_command_that_runs_as_the_gateway_or_as_root_is_refused_outside_development(
    tmp_path: Path, user: str
) -> None:
    server = "{command: [x]" + (f", user: {user}" if user else "") + "}"
    (problem,) = unconfined(configured(tmp_path, server))
    assert "`user:`" in problem.message
    assert not list(unconfined(configured(tmp_path, server, development=True)))
    assert not list(unconfined(configured(tmp_path, "{url: 'http://127.0.0.1:9/mcp'}")))


@pytest.mark.requirement("MCP-35")
def test_an_account_that_can_read_the_key_or_change_a_rule_is_found_out(tmp_path: Path) -> None:
    if NOBODY is None:
        pytest.skip("there is no account `nobody` here")
    config = configured(opened(tmp_path), "{command: [x], user: nobody}")
    assert not list(unconfined(config))
    for path, mode, said in (
        (tmp_path / "oncegate.key", 0o644, "can read"),
        (tmp_path / "policies", 0o777, "can change"),
        (tmp_path / "policies" / "a.csv", 0o666, "can change"),
        (tmp_path / "oncegate.yaml", 0o666, "can change"),
        (tmp_path, 0o777, "can change"),
    ):
        before = path.stat().st_mode & 0o7777
        path.chmod(mode)
        (problem,) = unconfined(config)
        assert said in problem.message
        health = {check.subject: check.health for check in checks.commands(config)}
        assert health == {"commands": "failure"}
        path.chmod(before)
    assert not list(unconfined(config))


@pytest.mark.requirement("MCP-35")
def test_rights_are_judged_by_owner_group_others_and_the_folders_above(tmp_path: Path) -> None:
    one = other(opened(tmp_path))
    path = tmp_path / "deep" / "file"
    path.parent.mkdir()
    path.write_text("x", encoding="utf-8")
    path.chmod(0o604)
    assert one.can_read(path)
    assert not one.can_change(path)
    path.parent.chmod(0o700)
    assert not one.can_read(path)
    path.parent.chmod(0o711)
    assert one.can_read(path)
    path.chmod(0o640)
    assert not one.can_read(path)
    member = Account(name="m", uid=one.uid, gid=one.gid, groups=frozenset({path.stat().st_gid}), home="/")
    assert member.can_read(path)
    path.parent.chmod(0o777)
    assert one.can_change(path)
    path.parent.chmod(0o1777)
    assert not one.can_change(path)
    assert not one.can_read(tmp_path / "absent")


@pytest.mark.requirement("MCP-35")
def test_an_account_that_is_not_there_is_said(tmp_path: Path) -> None:
    config = configured(tmp_path, "{command: [x], user: no-such-account}")
    (problem,) = unstartable(config)
    assert "there is no account `no-such-account`" in problem.message


@pytest.mark.requirement("MCP-35")
def test_only_a_command_runs_as_somebody(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="only a `command` runs as somebody"):
        configured(tmp_path, "{url: 'http://127.0.0.1:9/mcp', user: nobody}")


@ROOT
@pytest.mark.requirement("MCP-35")
async def test_a_command_runs_as_its_account_with_that_ones_home_and_groups() -> None:
    assert NOBODY is not None
    assert may_become(NOBODY)
    # a shell, for others need not be able to run this Python; the first request's id is known
    said = '{"jsonrpc": "2.0", "id": "g1", "result": ["%s", "%s", "%s"]}'
    script = f'read line; printf \'{said}\\n\' "$(id -u)" "$(id -G)" "$HOME"; read line'
    one = StdioUpstream("s", ["/bin/sh", "-c", script], (), user="nobody")
    try:
        found = await result_of(one)
    finally:
        await one.aclose()
    assert found == [str(NOBODY.uid), " ".join(map(str, sorted(NOBODY.groups))), NOBODY.home]
