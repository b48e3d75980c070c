"""One running gateway with an emulated Anthropic behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.emulator.anthropic import AnthropicEmulator
from tests.messages.stand import CLIENTS, gateway_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway.running import RunningGateway


@pytest.fixture(scope="package")
def emulator() -> Iterator[AnthropicEmulator]:
    serving = AnthropicEmulator()
    yield serving
    serving.close()


@pytest.fixture(scope="package")
def gateway(emulator: AnthropicEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    running = gateway_for(tmp_path_factory.mktemp("messages"), emulator.url)
    running.start()
    yield running
    while CLIENTS:
        CLIENTS.pop().close()
    running.stop()


@pytest.fixture
def upstream(emulator: AnthropicEmulator) -> AnthropicEmulator:
    """The emulator as if new."""
    emulator.fresh()
    return emulator
