"""The hub's own database: SQLite by default, PostgreSQL by URL. What the log knows is not in it.

Losing it loses drafts, sealed results that were not fetched, and answers to repeated requests; never what happened.
Two kinds of transactions write: durable ones, and ones that need not survive a crash of the machine (nonces, answers
kept for repeated requests), which cost no disk's round trip.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from yingbi.errors import ErrorCode, InvalidRequestError, UnavailableError
from yingbi.private_files import touch_private

__all__ = ["insert_new", "open_database", "reading", "writing"]

_BUSY_TIMEOUT_S: Final = 10
_KIND: Final = "yingbi_kind"
_INSERT: Final[dict[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def open_database(url: str) -> Engine:
    """Return an engine on the database of a URL; a file of SQLite is made with mode 0600 where there is none.

    Raises:
        InvalidRequestError: not the URL of a database that a hub can use.
    """
    parsed = _parse_url(url)
    if parsed.get_backend_name() == "postgresql":
        # SECURITY: parameters of statements hold what parties sent, and stay out of messages.
        engine = create_engine(parsed, pool_pre_ping=True, hide_parameters=True)
        event.listen(engine, "begin", _begin_postgresql)
        return engine
    touch_private(Path(str(parsed.database)))
    engine = create_engine(parsed, connect_args={"timeout": _BUSY_TIMEOUT_S}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that only reads.

    Raises:
        UnavailableError: the database cannot be used now.
    """
    with _translated(), engine.execution_options(**{_KIND: "reading"}).begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine, *, is_durable: bool = True) -> Iterator[Connection]:
    """Open a transaction that writes; on SQLite nobody writes beside it.

    Raises:
        UnavailableError: the database cannot be used now.
    """
    kind = "durable" if is_durable else "passing"
    with _translated(), engine.execution_options(**{_KIND: kind}).begin() as connection:
        yield connection


def insert_new(connection: Connection, table: Table, **values: object) -> bool:
    """Insert a row unless its key is taken; tell whether it was new."""
    statement = _INSERT[connection.dialect.name](table).values(**values).on_conflict_do_nothing()
    # A count of rows is not to be had from every driver; what was inserted is.
    return connection.execute(statement.returning(next(iter(table.primary_key)))).first() is not None


def _parse_url(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        backend = ""
    if backend not in _INSERT or (backend == "sqlite" and not (parsed.database or "\0").isprintable()):
        # SECURITY: the URL may hold a password, so it is not repeated.
        raise InvalidRequestError(
            ErrorCode.CONFIG_INVALID,
            "expected a database URL such as `sqlite:////var/lib/yingbi/hub.sqlite` or `postgresql://host/name`",
        )
    return parsed.set(drivername="sqlite" if backend == "sqlite" else "postgresql+psycopg")


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    connection.executescript("pragma journal_mode=wal; pragma foreign_keys=on; pragma secure_delete=on")


def _begin_sqlite(connection: Connection) -> None:
    kind = connection.get_execution_options().get(_KIND, "durable")
    # A pooled connection keeps what the transaction before it said.
    connection.exec_driver_sql(f"pragma synchronous={'full' if kind == 'durable' else 'normal'}")
    connection.exec_driver_sql("begin deferred" if kind == "reading" else "begin immediate")


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get(_KIND) == "passing":
        connection.execute(text("set local synchronous_commit = off"))


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's errors into ours; their texts may hold values and stay out."""
    try:
        yield
    except SQLAlchemyError as error:
        raise UnavailableError(
            ErrorCode.HUB_UNAVAILABLE, "the hub's database failed", detail=type(error).__name__
        ) from None
