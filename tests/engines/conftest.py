"""Fixtures of this area: the parts below the engines, once for all its tests (and test process)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines.above import Above, above

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture(scope="session")
def below(tmp_path_factory: pytest.TempPathFactory) -> Generator[Above]:
    with above(tmp_path_factory.mktemp("engines")) as running:
        yield running
