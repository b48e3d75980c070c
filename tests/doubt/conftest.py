"""What stands behind the gateways of these tests: a model's provider, and a bank with tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.doubt.bank import Bank
from tests.gateway.model_upstream import ModelUpstream

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def upstream() -> Iterator[ModelUpstream]:
    server = ModelUpstream()
    yield server
    server.close()


@pytest.fixture(scope="module")
def bank() -> Iterator[Bank]:
    made = Bank()
    yield made
    made.close()
