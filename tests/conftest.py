"""Fixtures that all tests share. Time and randomness come in only through fixtures."""

import gc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.lib.databases import StoreMaker, stop_postgres, store_makers
from yingbi.clock import FixedClock
from yingbi.keys import SigningKey

# How long drawing an example takes depends on what else the machine does; nothing is learnt from it.
settings.register_profile("yingbi", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("yingbi")


def pytest_collection_finish() -> None:
    """Have the garbage collector look less often, and never at what has been collected, which lives to the end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands still."""
    return FixedClock(START)


@pytest.fixture
def key() -> SigningKey:
    """A fixed key."""
    return SigningKey.from_seed(bytes(range(32)))


@pytest.fixture(scope="session")
def postgres_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where this test process keeps its PostgreSQL server's files; short, because its socket's path must be."""
    folder = tmp_path_factory.mktemp("pg")
    yield folder
    stop_postgres(folder)


@pytest.fixture
def make_store(request: pytest.FixtureRequest, tmp_path: Path, postgres_folder: Path) -> Iterator[StoreMaker]:
    """A maker of stores of the kind that the test is parametrised with (indirectly)."""
    yield from store_makers(request.param, tmp_path, postgres_folder)
