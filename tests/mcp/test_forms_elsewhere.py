"""Forms whose answer comes to another gateway than the one that asked: official clients and servers of both eras."""

from __future__ import annotations

import contextlib
import shutil
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest
from anyio import to_thread
from httpx2 import AsyncClient, Limits
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult

from tests.mcp.relay import Relay, relay
from tests.mcp.stand import fixture, serving, wait_until_ready, write
from tests.mcp.test_clients import SECONDS_MAX
from tests.mcp.test_forms import FILLED, Mode, chosen, demand_fitting

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from tests.contracts.cluster import Cluster
    from tests.serving import Running

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

POLICY: Final = """\
p, role:any, *, mcp/everything, list, -, allow, redact=standard
p, role:any, *, mcp/everything/**, *, -, allow, redact=standard
"""
ERAS: Final[list[tuple[Mode, str]]] = [("legacy", "contact_in_stream"), ("2026-07-28", "contact_in_rounds")]


@dataclass(slots=True)
class Gateways:
    """Gateways on one store before one server; a client reaches, at one address, the one that `relay` leads to."""

    folders: list[Path]
    effects: Path
    relay: Relay
    stack: contextlib.ExitStack
    running: dict[int, Running] = field(default_factory=dict[int, "Running"])

    def start(self, at: int) -> None:
        """Start one, and lead clients to it."""
        config = (self.folders[at] / "oncegate.yaml").read_text(encoding="utf-8")
        listen = config.partition("listen: ")[2].partition("\n")[0]
        self.running[at] = self.stack.enter_context(serving(self.folders[at]))
        wait_until_ready(f"http://{listen}/readyz", self.folders[at] / "gateway.log")
        self.lead(at)

    def lead(self, at: int) -> None:
        """Lead every new connection to one."""
        config = (self.folders[at] / "oncegate.yaml").read_text(encoding="utf-8")
        self.relay.port = int(config.partition("listen: ")[2].partition("\n")[0].rpartition(":")[2])

    def again(self, ending: signal.Signals) -> None:
        """End the first one, and start it again."""
        self.relay.open.clear()  # nobody is refused meanwhile: clients ask only so often
        self.running[0].send_signal(ending)
        self.running[0].wait(30)
        self.start(0)
        self.relay.open.set()

    @property
    def url(self) -> str:
        """The server's address at whichever gateway."""
        return f"http://127.0.0.1:{self.relay.server_address[1]}/mcp/everything"

    def contacts(self) -> list[str]:
        """Return what the server was answered so far."""
        lines = self.effects.read_text(encoding="utf-8").splitlines() if self.effects.exists() else []
        return [line for line in lines if line.startswith("contact ")]


@contextlib.contextmanager
def gateways(folders: list[Path], state: str = "") -> Generator[Gateways]:
    effects = folders[0] / "effects.txt"
    with fixture(effects) as direct, relay() as leading, contextlib.ExitStack() as stack:
        for folder in folders:
            write(folder, policy=POLICY, servers=f"  everything: {{url: '{direct}'}}\n")
            if state:
                config = folder / "oncegate.yaml"
                text = config.read_text(encoding="utf-8")
                config.write_text(text.replace("sqlite:///oncegate.db", state), encoding="utf-8")
            if folder is not folders[0]:
                shutil.copy(folders[0] / "oncegate.key", folder / "oncegate.key")
        yield Gateways(folders, effects, leading, stack)


async def answered(running: Gateways, mode: Mode, tool: str, meanwhile: Callable[[], None]) -> str:
    """Have the tool ask, do something `meanwhile`, answer, and return what the server was answered."""
    before = len(running.contacts())

    async def elicited(context: object, params: object) -> ElicitResult:
        del context
        await to_thread.run_sync(meanwhile)
        return ElicitResult(action="accept", content={**FILLED, "cc": chosen(params)})

    # each request on a connection of its own, so that it goes where it is led
    apart = AsyncClient(limits=Limits(max_keepalive_connections=0), timeout=SECONDS_MAX)
    async with apart, Client(
        streamable_http_client(running.url, http_client=apart), mode=mode, read_timeout_seconds=SECONDS_MAX,
        elicitation_callback=elicited,
    ) as client:  # fmt: skip
        assert not (await client.call_tool(tool)).is_error
    assert len(running.contacts()) == before + 1
    return running.contacts()[before]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Gateways]:
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    with gateways(folders, cluster.create("forms_of_two")) as running:
        running.start(1)
        running.start(0)
        yield running


@pytest.mark.requirement("RED-52")
@pytest.mark.parametrize(("mode", "tool"), ERAS)
async def test_what_one_instance_has_asked_fits_its_form_when_it_is_answered_through_another(
    pair: Gateways, mode: Mode, tool: str
) -> None:
    pair.lead(0)
    demand_fitting(await answered(pair, mode, tool, lambda: pair.lead(1)))


@pytest.mark.requirement("RED-52")
async def test_what_was_asked_before_a_restart_fits_its_form_after_it(tmp_path: Path) -> None:
    with gateways([tmp_path]) as running:
        running.start(0)
        for mode, tool in ERAS:
            demand_fitting(await answered(running, mode, tool, lambda: running.again(signal.SIGKILL)))
        # one that ends in order waits for streams of the older era
        mode, tool = ERAS[1]
        demand_fitting(await answered(running, mode, tool, lambda: running.again(signal.SIGTERM)))
