"""A node's own database: SQLite in WAL mode, `synchronous=FULL`; each package declares its own tables on `METADATA`.

Every transaction that writes is `BEGIN IMMEDIATE`, so that what was read inside is still true when it is written; one
that only reads is deferred and waits for nobody.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, event
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from yingbi.errors import ErrorCode, TamperDetectedError, UnavailableError
from yingbi.private_files import touch_private

__all__ = ["METADATA", "open_database", "reading", "translated", "writing"]

METADATA: Final = MetaData()
_BUSY_TIMEOUT_MS: Final = 10_000
# SECURITY: what is deleted is overwritten; not every SQLite is built so.
_PRAGMAS: Final = ("journal_mode=wal", "synchronous=full", "foreign_keys=on", "secure_delete=on")
_READING: Final = "yingbi_reading"


def open_database(path: Path) -> Engine:
    """Return an engine on the SQLite file `path`, made with mode 0600 where it does not exist."""
    # SECURITY: SQLite would create it with the process's umask, readable by others.
    touch_private(path)
    engine = create_engine(URL.create("sqlite", database=str(path)))
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that only reads.

    Raises:
        UnavailableError, TamperDetectedError: as for `translated` (`node-unavailable`).
    """
    with translated(), engine.execution_options(**{_READING: True}).begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that nobody else writes beside.

    Raises:
        UnavailableError, TamperDetectedError: as for `translated` (`node-unavailable`).
    """
    with translated(), engine.begin() as connection:
        yield connection


@contextmanager
def translated(code: ErrorCode = ErrorCode.NODE_UNAVAILABLE) -> Iterator[None]:
    """Turn the driver's errors into ours; their texts may hold values and stay out.

    Raises:
        TamperDetectedError: what the file holds is no database (any more).
        UnavailableError: the database cannot be used now (`code`).
    """
    try:
        yield
    except SQLAlchemyError as error:
        # Of SQLite's errors, the plain one is about the file; all others have classes of their own.
        if type(error) is DatabaseError:
            raise TamperDetectedError(ErrorCode.STORE_DAMAGED, "the node's database cannot be read") from None
        raise UnavailableError(code, "the node's database failed", detail=type(error).__name__) from None


def _configure(connection: Any, _record: object) -> None:
    # Python's sqlite3 would begin transactions by itself, late and deferred.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (*_PRAGMAS, f"busy_timeout={_BUSY_TIMEOUT_MS}"):
        cursor.execute(f"pragma {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    is_reading = connection.get_execution_options().get(_READING, False)
    connection.exec_driver_sql("begin deferred" if is_reading else "begin immediate")
