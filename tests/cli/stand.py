"""A real admin API on a real socket and a real port, in a thread of the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from durable.blocks import BlockRecord
from durable.step import Owner
from gateway.admin.address import socket_path
from gateway.admin.api import build_admin
from gateway.admin.deeds import deed_record
from gateway.admin.parts import AdminAction, AdminParts, OpenedRun
from gateway.admin.peer import OwnerProtocol, bind
from gateway.call import Headers, Refusal, header
from gateway.config import Config
from gateway.given import Given, demand, outcome_of
from policy.decision import Decision, Principal
from tests.cli.ledger import Ledger
from tests.definitions.shelf import Shelf
from tests.serving import oncegate as run_to_its_end

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from durable.journal import Audit
    from durable.records import CallRecord

HOST = "gateway.test:8081"
_ROLES = {b"Bearer viewer-token": "viewer", b"Bearer operator-token": "operator", b"Bearer nobody-token": "nobody"}


async def authenticate(headers: Headers) -> Principal:
    """Know three tokens."""
    role = _ROLES.get(header(headers, b"authorization") or b"")
    if role is None:
        raise Refusal(code="unauthenticated", message="a valid credential is needed", status=401)
    return Principal(agent=role, domain="acme", method="api_key", credential=f"key:{role}")


def decide(principal: Principal, resource: str, action: AdminAction) -> Decision:
    """Let viewers read and operators do all."""
    del resource
    allowed = principal.agent == "operator" or (principal.agent == "viewer" and action == "read")
    reason = "a line allows it" if allowed else "no line allows it"
    return Decision(effect="allow" if allowed else "deny", reason=reason, digest="sha256:0")


async def given(call: CallRecord, tree: object) -> Given:
    """Hide one planted name, as inward redaction would."""
    demand(call.resource, tree)
    kept = {"content": [{"type": "text", "text": "«PERSON_1»"}]} if "Ada" in str(tree) else tree
    return Given(outcome=outcome_of(call.resource, kept, "operator"), uses={}, vault=())


async def unveil(scope: str, tree: object, entities: frozenset[str]) -> object:
    """Return the tree as it is: this ledger keeps no originals."""
    del scope, entities
    return tree


class Unblocked:
    """Nothing is blocked."""

    async def block(self, subject: str, *, reason: str, blocker: str, audit: Audit) -> BlockRecord:
        """Say that it is."""
        del audit
        return BlockRecord(subject=subject, reason=reason, blocker=blocker, since=1.0)

    async def lift_block(self, subject: str, *, audit: Audit) -> BlockRecord:
        """Refuse."""
        del audit
        raise LookupError(subject)

    async def list_blocks(self) -> list[BlockRecord]:
        """Return nothing."""
        return []

    async def person(self, domain: str, user: str) -> str:
        """Return a name that is nobody's."""
        del domain, user
        return "person_x"


def parts_of(ledger: Ledger, *, host: str = HOST) -> AdminParts:
    """Return the parts over a ledger."""

    async def nothing_new() -> None:
        """Nothing is blocked."""

    async def open_run(agent: str, domain: str, run_id: str | None) -> OpenedRun:
        run = await ledger.open_run(Owner(domain, agent), run_id)
        return OpenedRun(
            id=run.id,
            token=f"ogr_secret_{run.attempt}",
            attempt=run.attempt,
            openai_base_url="http://127.0.0.1:1/v1",
            anthropic_base_url="http://127.0.0.1:1",
            mcp_url="http://127.0.0.1:1/mcp",
        )

    return AdminParts(
        runs=ledger,
        operator=ledger,
        authenticate=authenticate,
        decide=decide,
        record=deed_record,
        write_audit=ledger.write_audit,
        open_run=open_run,
        given=given,
        accept_past=ledger.accept_past,
        approvals=ledger,
        definitions=Shelf(),
        blocks=Unblocked(),
        look_at_blocks=nothing_new,
        named=Config(version=1),
        unveil=unveil,
        budgets=ledger,
        hosts=frozenset({host}),
        version="test",
        models=frozenset({"demo-model", "other-model"}),
    )


class _Announcing(uvicorn.Server):
    """Says when it has started."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.up.set()


@contextlib.contextmanager
def serving(
    app: ASGIApp, listening: socket.socket, *, owner_only: bool = False, loop: str = "asyncio"
) -> Generator[None]:
    """Serve `app` on a bound socket in a thread."""
    protocol = OwnerProtocol if owner_only else "httptools"
    config = uvicorn.Config(app, http=protocol, lifespan="off", log_level="critical", ws="none")
    server = _Announcing(config)
    factory = uvicorn.Config(app, loop=loop, log_level="critical").get_loop_factory()

    def work() -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(server.serve(sockets=[listening]))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert server.up.wait(60)
        yield
    finally:
        server.should_exit = True
        thread.join(60)
        listening.close()
        assert not thread.is_alive()


def loopback() -> socket.socket:
    """Return a socket bound to a free port of loopback."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    return listening


@dataclass(slots=True)
class Stand:
    """A folder with a configuration whose gateway's socket answers."""

    folder: Path
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "oncegate.yaml"

    def write_config(self, *, development: bool = True) -> None:
        """Write a configuration with one model."""
        lines = [
            "version: 1",
            f"development: {str(development).lower()}",
            "models:",
            '  demo-model: {provider: openai, url: "http://127.0.0.1:1/v1", credential: "env:PLANTED_PROVIDER_KEY"}',
        ]
        self.config.write_text("\n".join(lines) + "\n")

    @contextlib.contextmanager
    def serving(self) -> Generator[None]:
        """Serve the socket beside the state."""
        app = build_admin(parts_of(self.ledger), listener="socket")
        with serving(app, bind(socket_path(self.folder / "oncegate.db")), owner_only=True):
            yield


ROOT = Path(__file__).parents[2]


def command(*words: str) -> list[str]:
    """Return the command line of `oncegate` with these words."""
    return [sys.executable, "-m", "gateway.cli", *words]


def surroundings(**more: str) -> dict[str, str]:
    """Return an environment in which `oncegate` is found without an installation."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent", "LANG": "C.UTF-8"} | more


def oncegate(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `oncegate` in a folder to its end."""
    return run_to_its_end(*words, folder=folder, environment=surroundings(**more))


class AgentsListener:
    """`POST /runs` and `POST /runs/{id}/finish` as the agents' listener answers them, for one credential."""

    def __init__(self, token: str) -> None:
        self._authorization = f"Bearer {token}".encode()
        self.asked: list[tuple[str, object]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        if dict(scope["headers"]).get(b"authorization") != self._authorization:
            await self._answer(send, 401, {"error": {"code": "unauthenticated", "message": "a credential is needed"}})
            return
        self.asked.append((scope["path"], json.loads(body)))
        attempt = sum(path == "/runs" for path, _ in self.asked)
        base = "http://127.0.0.1:1"
        opened = OpenedRun(
            id="run_1", token=f"ogr_{attempt}", attempt=attempt, openai_base_url=f"{base}/v1",
            anthropic_base_url=base, mcp_url=f"{base}/mcp",
        )  # fmt: skip
        await self._answer(send, 200, asdict(opened))

    async def _answer(self, send: Send, status: int, content: object) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(content).encode()})
