"""Serving: the agents' listener, the operators', and the owner's socket, in one process and one loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

import uvicorn
import uvloop

from durable.checkpoint import CheckpointInvalid
from durable.journal import JournalRefused
from gateway.admin.address import socket_path
from gateway.admin.api import build_admin
from gateway.admin.deeds import deed_record
from gateway.admin.openid import Logins
from gateway.admin.parts import AdminParts
from gateway.admin.peer import OwnerProtocol, SocketRefused, bind
from gateway.admin.sessions import Sessions
from gateway.app import Gateway
from gateway.budgets.ledger import Ledger
from gateway.config import ConfigInvalid, load
from gateway.console.site import build_console
from gateway.observed import insight_of
from gateway.otlp_metrics import MetricsExport
from gateway.reloading import Reloading
from gateway.secrets import SecretError
from gateway.tls import ListenerTls, TlsProtocol
from gateway.trying import Trying
from policy.decision import Question
from policy.source import PolicyInvalid
from redaction.finding import DetectionError
from redaction.model import ModelUnusable
from redaction.profile import ProfilesInvalid
from redaction.recognizers import RecognizersInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from starlette.types import ASGIApp

    from gateway.admin.parts import AdminAction
    from gateway.call import Headers
    from gateway.config import Address, Config
    from policy.decision import Decision, Principal

_log = logging.getLogger("oncegate")

_DONE: Final = 0
_UNUSABLE: Final = 2
_BROKEN: Final = 70  # EX_SOFTWARE of sysexits.h: the store failed under us
_REFUSALS: Final = (
    ConfigInvalid, PolicyInvalid, ProfilesInvalid, RecognizersInvalid, SecretError, JournalRefused, ModelUnusable,
    DetectionError, SocketRefused, CheckpointInvalid,
)  # fmt: skip


def serve(path: Path, *, crash_point: Callable[[str], None] | None = None) -> int:
    """Serve the configuration in `path` until told to stop; returns the process's exit code.

    Whatever makes serving impossible is printed, all of it, and nothing is served. `crash_point` is
    for fault tests: it is called with the name of each point around a commit of the journal.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        config = load(path)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(config, crash_point))
    except _REFUSALS as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"{line}\n")
        return _UNUSABLE
    except OSError as error:
        sys.stderr.write(f"cannot listen: {error.strerror or 'unknown'}\n")
        return _UNUSABLE
    return _DONE


class _Server(uvicorn.Server):
    """A uvicorn server among several: signals are the process's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def _serve(config: Config, crash_point: Callable[[str], None] | None) -> None:
    loop, hung_up = asyncio.get_running_loop(), asyncio.Event()
    # from the beginning: its default would end the process, and leave calls in doubt
    loop.add_signal_handler(signal.SIGHUP, hung_up.set)
    gateway = await Gateway.open(config, fatal=_end, crash_point=crash_point)
    exporting: MetricsExport | None = None
    reloading: Reloading | None = None
    logins = Logins.of(config)
    try:
        agents, operators = listen_at(config.listen), listen_at(config.admin)
        owner = bind(socket_path(config.state.path))
        ledger = Ledger(config, gateway.journal, gateway.policies.limits)
        parts = _parts(gateway, logins, ledger)
        exporting = _exporting(gateway, parts)
        tls = None if config.tls is None else ListenerTls(config.tls, gateway.authenticator.authorities)
        reloading = Reloading(gateway, ledger, tls, logins, hung_up)
        pairs = [
            (_agents(gateway, tls), agents),
            (_Server(_settings(_site(parts))), operators),
            (_Server(_settings(build_admin(parts, listener="socket"), http=OwnerProtocol)), owner),
        ]
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop, [server for server, _ in pairs])
        # what start-up made stays: collecting it again and again would halt every call for 0.15 s each time
        gc.collect()
        gc.freeze()
        reloading.start()
        scheme = "http" if config.tls is None else "https"
        _log.info("agents: %s://%s  operators: http://%s", scheme, config.listen, config.admin)
        await asyncio.gather(*(server.serve(sockets=[listening]) for server, listening in pairs))
    finally:
        if reloading is not None:
            await reloading.aclose()
        if exporting is not None:
            await exporting.aclose()
        await logins.aclose()
        await gateway.aclose()
        with contextlib.suppress(OSError):
            socket_path(config.state.path).unlink()


def _agents(gateway: Gateway, tls: ListenerTls | None) -> _Server:
    """Return what serves agents, over TLS where the configuration has a certificate."""
    if tls is None:
        return _Server(_settings(gateway.front))
    settings = _settings(gateway.front, http=TlsProtocol)
    settings.load()
    settings.ssl = tls.context
    return _Server(settings)


def _settings(app: ASGIApp, *, http: type[asyncio.Protocol] | Literal["httptools"] = "httptools") -> uvicorn.Config:
    # no access log: run tokens stand in paths
    return uvicorn.Config(
        app, http=http, lifespan="off", access_log=False, log_config=None, server_header=False, date_header=False,
        proxy_headers=False, timeout_graceful_shutdown=10, ws="none",
    )  # fmt: skip


def _stop(servers: list[_Server]) -> None:
    for server in servers:
        server.should_exit = True


def _end(reason: str) -> None:
    """End the process at once: after a failed flush nothing it says can be trusted."""
    _log.critical("%s; the gateway ends, sent calls are in doubt", reason)
    logging.shutdown()
    os._exit(_BROKEN)


def listen_at(address: Address) -> socket.socket:
    """Return a socket that listens at `address`. Raises `OSError`, which names it."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address.host, address.port))
    except OSError as error:
        listening.close()
        reason = (error.strerror or "unknown").lower()
        raise OSError(
            error.errno, f"{reason}: `{address}`; end what listens there, or change `listen` or `admin`"
        ) from None
    listening.listen(2048)
    listening.settimeout(0)
    return listening


def _exporting(gateway: Gateway, parts: AdminParts) -> MetricsExport | None:
    """Return what sends metrics to the collector, sending already; `None` where there is none."""
    url, insight = gateway.config.telemetry.otlp_url, parts.insight
    if url is None or insight is None:
        return None
    exporting = MetricsExport(gateway.metrics, insight.samples, url)
    exporting.start()
    return exporting


def _site(parts: AdminParts) -> ASGIApp:
    """Return the operators' listener: the admin API and the console, behind one door."""
    sessions = Sessions(secure=parts.logins is not None and parts.logins.secure)
    return build_admin(parts, listener="tcp", pages=build_console(parts, sessions), sessions=sessions)


def _parts(gateway: Gateway, logins: Logins, ledger: Ledger) -> AdminParts:
    def decide(principal: Principal, resource: str, action: AdminAction) -> Decision:
        question = Question(
            principal=principal, resource=resource, resource_domain=principal.domain, action=action, time=time.time()
        )
        return gateway.policies.current.decide(question)

    def admit(principal: Principal) -> None:
        if (closed := gateway.blocks.of_caller(principal, None)) is not None:
            raise closed

    async def authenticate(headers: Headers) -> Principal:
        principal = await gateway.authenticator.authenticate_operator(headers)
        admit(principal)
        return principal

    admin = gateway.config.admin
    names = {str(admin), f"localhost:{admin.port}"} if admin.loopback else {str(admin)}
    if gateway.config.admin_url is not None:
        names.add(urlsplit(gateway.config.admin_url).netloc.lower())
    return AdminParts(
        runs=gateway.journal, operator=gateway.journal, authenticate=authenticate, blocks=gateway.journal,
        look_at_blocks=gateway.blocks.look, named=gateway.config,
        logins=logins, admit=admit,
        decide=decide, record=deed_record, write_audit=gateway.journal.write_audit, open_run=gateway.desk.open_as,
        given=gateway.given, accept_past=gateway.journal.accept_past,
        approvals=gateway.journal, definitions=gateway.journal, unveil=gateway.unveil,
        redaction=Trying(gateway.redaction, gateway.journal),
        budgets=ledger, insight=insight_of(gateway, ledger),
        hosts=frozenset({*names, *gateway.config.hosts}), version=version("oncegate"),
        models=frozenset(gateway.config.models), upstreams=gateway.gates.views,
        policy_sets=frozenset(gateway.config.policy_sets),
    )  # fmt: skip
