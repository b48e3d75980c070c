"""The Unix socket: its mode, its owner, and who is turned away, with real processes."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from gateway.admin.address import ADDRESS_BYTES_MAX, address, socket_path
from gateway.admin.api import build_admin
from gateway.admin.peer import OwnerProtocol, SocketRefused, bind, peer_uid
from tests.cli.ledger import Ledger
from tests.cli.stand import parts_of, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

_STRANGER = """
import os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(5)
connection.connect(sys.argv[1])
connection.sendall(b"GET /api/v1/runs HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n")
answer = b""
while part := connection.recv(65536):
    answer += part
sys.stdout.buffer.write(answer)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder other users can enter (pytest's own cannot be)."""
    folder = Path(tempfile.mkdtemp(prefix="oncegate-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def get(path: Path, where: str = "/api/v1/runs") -> httpx.Response:
    with address(path) as name, httpx.Client(transport=httpx.HTTPTransport(uds=name), timeout=60) as client:
        return client.get(f"http://oncegate{where}", timeout=60)


@pytest.mark.requirement("CLI-10")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_owner_is_answered_without_a_credential_and_audited_as_the_socket(tmp_path: Path, loop: str) -> None:
    ledger = Ledger()
    ledger.add_call("call_1", state="doubt")
    path = socket_path(tmp_path / "oncegate.db")
    with serving(build_admin(parts_of(ledger), listener="socket"), bind(path), owner_only=True, loop=loop):
        assert get(path, "/api/v1/calls").json()[0]["id"] == "call_1"
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=60) as client:
            done = client.post("http://oncegate/api/v1/calls/call_1/resolve", json={"verdict": "execute"})
    assert done.json() == {"id": "call_1", "state": "granted"}
    (record,) = ledger.audit
    assert (record["method"], record["credential"], record["rule"]) == ("socket", f"uid:{os.geteuid()}", "owner")


@pytest.mark.requirement("CLI-10")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_another_users_process_is_refused_even_where_the_mode_lets_it_in(open_folder: Path, loop: str) -> None:
    ledger = Ledger()
    path = socket_path(open_folder / "oncegate.db")
    script = [sys.executable, "-c", _STRANGER, str(path)]
    with serving(build_admin(parts_of(ledger), listener="socket"), bind(path), owner_only=True, loop=loop):
        path.chmod(0o666)
        stranger = subprocess.run(script, capture_output=True, timeout=60, check=True)
        assert stranger.stdout.startswith(b"HTTP/1.1 403 ")
        assert b"not_the_owner" in stranger.stdout
        assert get(path).status_code == 200


@pytest.mark.requirement("CLI-10")
def test_the_kernel_says_who_is_at_the_other_end() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with here, there:
        assert peer_uid(here) == os.geteuid()


@pytest.mark.requirement("CLI-10")
def test_a_connection_that_is_no_unix_socket_has_no_owner(tmp_path: Path) -> None:
    del tmp_path
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    with serving(build_admin(parts_of(Ledger()), listener="socket"), listening, owner_only=True):
        answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/runs", timeout=60, trust_env=False)
    assert answer.status_code == 403
    assert OwnerProtocol.__name__ not in answer.text


@pytest.mark.requirement("CLI-11")
def test_the_socket_is_made_for_its_owner_alone_and_replaces_a_dead_one(tmp_path: Path) -> None:
    path = socket_path(tmp_path / "oncegate.db")
    bind(path).close()
    with bind(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.requirement("CLI-11")
def test_something_else_in_the_sockets_place_is_left_alone(tmp_path: Path) -> None:
    path = socket_path(tmp_path / "oncegate.db")
    path.write_text("kept")
    with pytest.raises(SocketRefused, match="something else lies there"):
        bind(path)
    assert path.read_text() == "kept"
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SocketRefused):
        bind(path)
    with pytest.raises(SocketRefused, match="cannot be made"):
        bind(tmp_path / "absent" / "oncegate.db.sock")


@pytest.mark.requirement("CLI-11")
def test_a_state_in_a_very_deep_folder_has_its_socket_too(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 40)
    folder.mkdir()
    path = socket_path(folder / "oncegate.db")
    assert len(os.fsencode(path)) > ADDRESS_BYTES_MAX
    with serving(build_admin(parts_of(Ledger()), listener="socket"), bind(path), owner_only=True):
        assert get(path).json() == []
    assert stat.S_ISSOCK(path.stat().st_mode)
