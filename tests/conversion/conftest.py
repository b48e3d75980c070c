"""A gateway in front of both providers: agents of either SDK call models of either."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conversion.stand import Crossing
from tests.emulator.anthropic import AnthropicEmulator
from tests.gateway.model_upstream import ModelUpstream

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crossing]:
    stand = Crossing(tmp_path_factory.mktemp("conversion"), AnthropicEmulator(), ModelUpstream())
    stand.gateway.start()
    yield stand
    stand.close()


@pytest.fixture
def crossing(standing: Crossing) -> Crossing:
    """The stand as if new."""
    standing.fresh()
    return standing
