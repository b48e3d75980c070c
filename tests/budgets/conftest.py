"""Fixtures of this area: a PostgreSQL cluster of its own for gateways that share a database."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contracts.cluster import Cluster, private_cluster

if TYPE_CHECKING:
    from collections.abc import Generator

_NAMES = itertools.count()


@pytest.fixture(scope="session")
def cluster() -> Generator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="oncegate-cluster-") as folder, private_cluster(Path(folder)) as running:
        yield running


@pytest.fixture
def database(cluster: Cluster) -> str:
    """The URL of an empty database."""
    return cluster.create(f"budgets_{next(_NAMES)}")
