"""A provider that does as it is told, and a gateway in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.emulator.faults import Emulator, plain
from tests.emulator.openai import embeddings
from tests.gateway.running import RunningGateway
from tests.responses import clients

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def provider() -> Iterator[Emulator]:
    running = Emulator(script=lambda _: plain(embeddings([0.5])))
    yield running
    running.close()


@pytest.fixture(scope="session")
def gateway(provider: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    running = RunningGateway(tmp_path_factory.mktemp("embeddings"), f"{provider.url}/v1")
    running.start()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def fresh(provider: Emulator) -> Iterator[None]:
    provider.received.clear()
    yield
    clients.OPEN.close()
