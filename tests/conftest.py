"""What all tests share: asyncio as the one event loop, one PostgreSQL cluster, and Hypothesis' examples everywhere."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.contracts.cluster import Cluster, private_cluster
from tests.contracts.place import DatabasePlace, FilePlace, Place
from tests.serving import prepare

if TYPE_CHECKING:
    from collections.abc import Generator

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("local", deadline=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
_NAMES = itertools.count()


def pytest_sessionstart() -> None:
    """Have gateways ready to be forked where the whole suite is run, by several workers."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        prepare()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def cluster() -> Generator[Cluster]:
    """A PostgreSQL cluster for this session alone."""
    # not in pytest's folders: another account may run it, and those are for one alone
    with tempfile.TemporaryDirectory(prefix="oncegate-cluster-") as folder, private_cluster(Path(folder)) as running:
        yield running


@pytest.fixture
def database(cluster: Cluster) -> str:
    """The URL of an empty database."""
    return cluster.create(f"test_{next(_NAMES)}")


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place for a store, empty: whoever asks for one runs on a file and on a database."""
    if request.param == "sqlite":
        return FilePlace(tmp_path)
    url: str = request.getfixturevalue("database")
    return DatabasePlace(url)
