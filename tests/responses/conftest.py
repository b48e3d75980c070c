"""A provider that does as it is told, and a gateway in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.emulator.faults import Emulator
from tests.emulator.openai import answering, response
from tests.gateway.running import POLICIES, RunningGateway
from tests.responses import clients

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT = "".join(f"p, role:clerk, acme, model/allowed, {action}, -, allow, redact=off\n" for action in ("read", "change"))
HOSTED = "".join(
    f"p, role:clerk, acme, model/allowed/hosted/{name}, call, -, allow, -\n"
    for name in ("web_search/-", "background/-", "mcp/tools.example")
)
CANCEL = "p, agent:billing, acme, model/allowed, cancel, -, allow, redact=off\n"


@pytest.fixture(scope="session")
def provider() -> Iterator[Emulator]:
    running = Emulator(script=answering(response()))
    yield running
    running.close()


@pytest.fixture(scope="session")
def gateway(provider: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    running = RunningGateway(tmp_path_factory.mktemp("responses"), f"{provider.url}/v1")
    running.write_policies(POLICIES + KEPT + HOSTED + CANCEL)
    running.start()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def fresh(provider: Emulator) -> Iterator[None]:
    provider.received.clear()
    provider.script = answering(response())
    yield
    clients.OPEN.close()
