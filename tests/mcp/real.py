"""Published MCP servers behind a gateway, as anybody runs them, and the same servers without it."""

from __future__ import annotations

import contextlib
import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mcp import StdioServerParameters

from tests.mcp import conformance
from tests.mcp.stand import TOP, gateway, process, wait_until_ready, write
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

PYTHON_PEERS: Final = TOP / ".build" / "peers"
#: Over standard streams, then over HTTP; the last two are one published server over two transports.
OVER_STREAMS: Final = ("git", "sqlite", "filesystem", "memory", "everything")
OVER_HTTP: Final = ("everything_http", "everything_sse")
NAMES: Final = (*OVER_STREAMS, *OVER_HTTP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A call of a tool: what is asked, and what its text says."""

    tool: str
    arguments: dict[str, Any]
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RealStand:
    """What runs: the gateway, and how to reach each server without it (a URL or a command)."""

    gateway: str
    folder: Path
    direct: dict[str, StdioServerParameters | str]
    works: dict[str, Tried]
    fails: dict[str, Tried]


def missing() -> str | None:
    """Return what is not there to run them, `None` when all is."""
    if not all((PYTHON_PEERS / line / "installed").exists() for line in ("newer", "older")):
        return "the published servers are brought by `make test-parts`"
    if conformance.node() is None:
        return "there is no Node.js of 22 or newer; `make setup` brings one"
    return None


@contextlib.contextmanager
def real(folder: Path) -> Generator[RealStand]:
    """Run the published servers and a gateway in front of them in `folder`."""
    conformance.install()
    data, repository = folder / "data", folder / "repository"
    data.mkdir()
    (data / "notes.txt").write_text("Ada wrote the first program.\n", encoding="utf-8")
    _commit(repository)
    memory = folder / "memory.jsonl"
    entity = {"type": "entity", "name": "Ada", "entityType": "person", "observations": ["wrote programs"]}
    memory.write_text(json.dumps(entity) + "\n", encoding="utf-8")
    commands = _commands(folder, data, repository)
    direct: dict[str, StdioServerParameters | str] = {
        name: StdioServerParameters(command=command[0], args=[*command[1:]], env={"MEMORY_FILE_PATH": str(memory)})
        for name, command in commands.items()
    }
    with contextlib.ExitStack() as stack:
        for name, kind, path in (("everything_http", "streamableHttp", "/mcp"), ("everything_sse", "sse", "/sse")):
            direct[name] = stack.enter_context(_everything(folder, kind)) + path
        write(folder, policy=_policy(), servers=_configured(commands, direct))
        url, _ = stack.enter_context(gateway(folder, environment={"MEMORY_FILE_PATH": str(memory)}))
        works, fails = _works(data, repository), _fails(repository)
        yield RealStand(gateway=url, folder=folder, direct=direct, works=works, fails=fails)


def _commands(folder: Path, data: Path, repository: Path) -> dict[str, list[str]]:
    node, peers = f"{conformance.node()}/node", conformance.PEERS
    return {
        "git": [str(PYTHON_PEERS / "newer/bin/mcp-server-git"), "--repository", str(repository)],
        "sqlite": [str(PYTHON_PEERS / "older/bin/mcp-server-sqlite"), "--db-path", str(folder / "data.sqlite")],
        "filesystem": [node, str(peers / "server-filesystem/dist/index.js"), str(data)],
        "memory": [node, str(peers / "server-memory/dist/index.js")],
        "everything": [node, str(peers / "server-everything/dist/index.js"), "stdio"],
    }


def _works(data: Path, repository: Path) -> dict[str, Tried]:
    echo = Tried(tool="echo", arguments={"message": "hello"}, says="Echo: hello")
    return {
        "git": Tried(tool="git_log", arguments={"repo_path": str(repository)}, says="the first commit"),
        "sqlite": Tried(tool="read_query", arguments={"query": "SELECT 6 * 7 AS answer"}, says="42"),
        "filesystem": Tried(
            tool="read_text_file", arguments={"path": str(data / "notes.txt")}, says="Ada wrote the first program."
        ),
        "memory": Tried(tool="search_nodes", arguments={"query": "Ada"}, says="wrote programs"),
        "everything": echo, "everything_http": echo, "everything_sse": echo,
    }  # fmt: skip


def _fails(repository: Path) -> dict[str, Tried]:
    reference = Tried(
        tool="get-resource-reference", arguments={"resourceType": "Text", "resourceId": -1}, says="resourceId"
    )
    unknown = {"observations": [{"entityName": "nobody", "contents": ["x"]}]}
    return {
        "git": Tried(
            tool="git_show", arguments={"repo_path": str(repository), "revision": "nowhere"}, says="nowhere"
        ),
        "sqlite": Tried(tool="read_query", arguments={"query": "DROP TABLE x"}, says="Only SELECT"),
        "filesystem": Tried(tool="read_text_file", arguments={"path": "/etc/hostname"}, says="outside allowed"),
        "memory": Tried(tool="add_observations", arguments=unknown, says="nobody"),
        "everything": reference, "everything_http": reference, "everything_sse": reference,
    }  # fmt: skip


def _policy() -> str:
    lines = (f"p, role:any, *, mcp/{n}, list, -, allow, -\np, role:any, *, mcp/{n}/**, *, -, allow, redact=off\n"
             for n in NAMES)  # fmt: skip
    return "p, role:any, *, run/*, create, -, allow, redact=off\n" + "".join(lines)


def _configured(commands: dict[str, list[str]], direct: dict[str, Any]) -> str:
    lines: list[str] = []
    for name, command in commands.items():
        more = ", env: [MEMORY_FILE_PATH]" if name == "memory" else ""
        lines.append(f"  {name}: {{command: {json.dumps(command)}{more}}}\n")
    for name in OVER_HTTP:
        more = ", transport: sse" if name == "everything_sse" else ""
        lines.append(f"  {name}: {{url: '{direct[name]}'{more}}}\n")
    return "".join(lines)


@contextlib.contextmanager
def _everything(folder: Path, kind: str) -> Generator[str]:
    port = free_port()
    command = [f"{conformance.node()}/node", str(conformance.PEERS / "server-everything/dist/index.js"), kind]
    log = folder / f"{kind}.log"
    with process(command, log, environment={"PORT": str(port)}):
        wait_until_ready(f"http://127.0.0.1:{port}/", log, answers_anything=True)
        yield f"http://127.0.0.1:{port}"


def _commit(repository: Path) -> None:
    repository.mkdir()
    own = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "init.defaultBranch=main"]
    steps: list[Sequence[str]] = [["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "the first commit"]]
    for step in steps:
        subprocess.run(["git", *own, *step], cwd=repository, check=True)
