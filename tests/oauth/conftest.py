"""Fixtures of the OAuth tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.oauth.authority import Authority
from tests.oauth.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    running = Authority(clients={"agent": "agent-secret"})
    yield running
    running.close()


@pytest.fixture(scope="module")
def ledger() -> Iterator[Ledger]:
    running = Ledger()
    yield running
    running.close()
