"""Databases of hubs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from api.database import open_database, writing
from api.migrations import upgrade
from tests.lib.databases import new_postgres_url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind; PostgreSQL is started only for whom needs it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/hub.sqlite"
    return new_postgres_url(request.getfixturevalue("postgres_folder"))


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """A hub's database with its tables."""
    engine = open_database(url)
    with writing(engine) as connection:
        upgrade(connection)
    yield engine
    engine.dispose()
