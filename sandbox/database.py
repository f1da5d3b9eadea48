"""A node's own database: SQLite in WAL mode, `synchronous=FULL`; each package declares its own tables on `METADATA`.

Every transaction is `BEGIN IMMEDIATE`, so that what was read inside is still true when it is written; `reading` gives
an engine whose transactions are deferred and wait for nobody.
"""

import os
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, event

__all__ = ["METADATA", "open_database", "reading"]

METADATA: Final = MetaData()
_BUSY_TIMEOUT_MS: Final = 10_000
_READING: Final = "yingbi_reading"


def open_database(path: Path) -> Engine:
    """Return an engine on the SQLite file `path`, made with mode 0600 where it does not exist."""
    # SECURITY: SQLite would create it with the process's umask, readable by others.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    engine = create_engine(URL.create("sqlite", database=str(path)))
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def reading(engine: Engine) -> Engine:
    """Return a view of `engine` for transactions that only read."""
    return engine.execution_options(**{_READING: True})


def _configure(connection: Any, _record: object) -> None:
    # Python's sqlite3 would begin transactions by itself, late and deferred.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=wal", "synchronous=full", "foreign_keys=on", f"busy_timeout={_BUSY_TIMEOUT_MS}"):
        cursor.execute(f"pragma {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    is_reading = connection.get_execution_options().get(_READING, False)
    connection.exec_driver_sql("begin deferred" if is_reading else "begin immediate")
