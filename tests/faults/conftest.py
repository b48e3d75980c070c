"""One PostgreSQL cluster for all fault tests of a session."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contracts.cluster import Cluster, private_cluster

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture(scope="session")
def cluster() -> Generator[Cluster]:
    """A running cluster."""
    # not in pytest's folders: another account may run it, and those are for one alone
    with tempfile.TemporaryDirectory(prefix="oncegate-cluster-") as folder, private_cluster(Path(folder)) as running:
        yield running
