"""A log in SQLite (default) or PostgreSQL, by URL.

SQLite: WAL, `synchronous=FULL`, `BEGIN IMMEDIATE`, and a lock on a file beside the database. PostgreSQL: a session's
advisory lock on the very connection that commits, so that losing one is losing the other. Both: compare-and-swap on the
head, so that even two sequencers that both believe to hold the lock cannot both commit.
"""

import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

from sqlalchemy import (
    Connection,
    CursorResult,
    Engine,
    Update,
    bindparam,
    create_engine,
    delete,
    event,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from ledger.entry import genesis_hash
from ledger.migrations import VERSION_TABLE, newest_revision, upgrade
from ledger.note import Note, NoteSignature, format_note, parse_note
from ledger.store import Head, Submission
from ledger.tables import ANCHOR, COSIGNATURE, ENTRY, HEAD, LOG, OPENING, SIGNED, SUBMISSION, TILE
from ledger.tiles import TileCoordinate
from ledger.tree import EMPTY_ROOT
from yingbi.commitment import SALT_BYTES, Opening
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, NotFoundError, UnavailableError
from yingbi.ids import DIGEST_PATTERN
from yingbi.private_files import touch_private
from yingbi.receipts import HASH_BYTES

__all__ = ["SqlStore", "has_password", "upgrade_database"]

# An arbitrary constant: "yingbi" in ASCII. One database holds one log.
_ADVISORY_LOCK: Final = 0x79696E676269
_BUSY_TIMEOUT_S: Final = 10
_LOCK_WAIT_S: Final = 2.0
_LOCK_POLL_S: Final = 0.05
_PUT_TILE: Final = {
    name: (made := dialect.insert(TILE)).on_conflict_do_update(
        index_elements=["level", "position"], set_={"hashes": made.excluded.hashes}
    )
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}
# The same opening may come with two statements.
_ADD_OPENING: Final = {
    name: dialect.insert(OPENING).on_conflict_do_nothing(index_elements=["commitment"])
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}
_MIN_VALUE_BYTES: Final = 256
_ERASED: Final = bytes(SALT_BYTES)
_SELECT_TILE: Final = select(TILE.c.hashes).where(
    TILE.c.level == bindparam("level"), TILE.c.position == bindparam("at")
)
_SELECT_HEAD: Final = select(HEAD.c.size, HEAD.c.root, HEAD.c.last_leaf, HEAD.c.last_time)


class SqlStore:
    """Implements `ledger.store.LogStore` on a database that holds one log."""

    def __init__(self, engine: Engine, writer: Engine, origin: str) -> None:
        self._engine = engine
        self._writer_engine = writer
        self._writer: Connection | None = None
        self._lock: int | None = None
        self.origin = origin

    @classmethod
    def create(cls, url: str, origin: str) -> "SqlStore":
        """Make the tables of a new log.

        Raises:
            ConflictError: the database holds a log already.
        """
        parsed = _parse_url(url)
        with _translated():
            _touch_private(parsed)
        writer = _make_engine(parsed, is_writer=True)
        with _disposed_on_error(writer), _translated(), writer.begin() as connection:
            if inspect(connection).has_table(LOG.name):
                raise ConflictError(ErrorCode.LOG_EXISTS, "the database holds a log already")
            upgrade(connection)
            connection.execute(insert(LOG).values(id=1, origin=origin, published_size=None))
            genesis = genesis_hash(origin)
            connection.execute(insert(HEAD).values(id=1, size=0, root=EMPTY_ROOT, last_leaf=genesis, last_time=""))
        return cls(_make_engine(parsed, is_writer=False), writer, origin)

    @classmethod
    def open(cls, url: str) -> "SqlStore":
        """Open an existing log.

        Raises:
            NotFoundError: there is none.
            InvalidRequestError: its tables are of another version of this software.
        """
        parsed = _parse_url(url)
        _check_exists(parsed)
        engine = _make_engine(parsed, is_writer=False)
        with _disposed_on_error(engine), _translated(), engine.connect() as connection:
            if not inspect(connection).has_table(LOG.name):
                raise NotFoundError(ErrorCode.LOG_NOT_FOUND, "the database holds no log")
            revision = connection.execute(text(f"select version_num from {VERSION_TABLE}")).scalar_one()  # noqa: S608 a constant
            if revision != newest_revision():
                raise InvalidRequestError(
                    ErrorCode.CONFIG_INVALID, "the log's tables are of another version", hint="run `yingbi log upgrade`"
                )
            origin = connection.execute(select(LOG.c.origin)).scalar_one()
        return cls(engine, _make_engine(parsed, is_writer=True), origin)

    def acquire(self) -> None:
        """Become the only sequencer: a file lock (SQLite) or the session's advisory lock (PostgreSQL)."""
        if self._writer is not None:
            raise _busy()
        with _translated():
            if self._engine.dialect.name == "sqlite":
                self._lock = _lock_file(Path(str(self._engine.url.database) + ".sequencer"))
            try:
                self._writer = self._connect_writer()
            except BaseException:
                self.release()
                raise

    def release(self) -> None:
        """Stop being the sequencer; the connection is dropped, and PostgreSQL's lock with it."""
        if self._writer is not None:
            self._writer.invalidate()
            self._writer.close()
            self._writer = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def close(self) -> None:
        """Let go of the database."""
        self.release()
        self._engine.dispose()
        self._writer_engine.dispose()

    @contextmanager
    def write(self) -> Iterator["_SqlWriter"]:
        """Open the sequencer's transaction on the connection that holds the lock."""
        if self._writer is None:
            raise _busy()
        with _translated(), self._writer.begin():
            yield _SqlWriter(self._writer)

    def read_head(self) -> Head:
        """Return the newest committed head."""
        with self._read() as connection:
            return _read_head(connection)

    def read_tile(self, tile: TileCoordinate) -> bytes:
        """Return a tile; older widths are prefixes of the stored one."""
        with self._read() as connection:
            return _read_tile(connection, tile)

    def read_entries(self, start: int, stop: int) -> list[bytes]:
        """Return entries."""
        query = select(ENTRY.c.data).where(ENTRY.c.seq >= start, ENTRY.c.seq < stop).order_by(ENTRY.c.seq)
        with self._read() as connection:
            entries = list(connection.execute(query).scalars())
        if not 0 <= start <= stop or len(entries) != stop - start:
            raise NotFoundError(ErrorCode.ENTRY_NOT_FOUND, f"no entries {start} to {stop}")
        return entries

    def read_signed(self, size: int) -> bytes:
        """Return a signed checkpoint with its cosignatures, oldest first."""
        with self._read() as connection:
            data = connection.execute(select(SIGNED.c.note).where(SIGNED.c.size == size)).scalar_one_or_none()
            if data is None:
                raise NotFoundError(ErrorCode.CHECKPOINT_NOT_FOUND, f"no checkpoint of size {size} was signed")
            rows = connection.execute(
                select(COSIGNATURE.c.name, COSIGNATURE.c.key_id, COSIGNATURE.c.blob)
                .where(COSIGNATURE.c.size == size)
                .order_by(COSIGNATURE.c.name, COSIGNATURE.c.key_id)
            ).all()
        note = parse_note(data)
        return format_note(Note(note.text, (*note.signatures, *(NoteSignature(*row) for row in rows))))

    def published_size(self) -> int | None:
        """Return the newest published size."""
        with self._read() as connection:
            size: int | None = connection.execute(select(LOG.c.published_size)).scalar_one()
            return size

    def publish(self, size: int, cosignatures: Sequence[NoteSignature]) -> None:
        """Serve the checkpoint of `size`; cheap, because it need not survive a crash."""
        newest = func.coalesce(LOG.c.published_size, -1)
        with _translated(), self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("set local synchronous_commit = off"))
            _put_cosignatures(connection, size, cosignatures)
            connection.execute(update(LOG).where(newest < size).values(published_size=size))

    def add_cosignatures(self, size: int, cosignatures: Sequence[NoteSignature]) -> None:
        """Add cosignatures."""
        with _translated(), self._engine.begin() as connection:
            _put_cosignatures(connection, size, cosignatures)

    def read_opening(self, commitment: str) -> Opening:
        """Return an opening."""
        query = select(OPENING.c.salt, OPENING.c.value).where(OPENING.c.commitment == commitment)
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None or row.salt == _ERASED:
            raise _no_opening()
        return Opening(salt=row.salt, value=row.value.rstrip(b"\0"))

    def erase_opening(self, commitment: str) -> None:
        """Erase an opening, and its bytes from the database's files as far as the database can.

        SQLite overwrites them in place and empties the WAL; PostgreSQL keeps dead rows until VACUUM, which is run here.
        Backups are the operator's (docs/limitations.md).

        Raises:
            NotFoundError: unknown or erased.
            UnavailableError: erased, but the WAL still holds it; to be called again.
        """
        if not re.fullmatch(DIGEST_PATTERN, commitment):
            raise _no_opening()
        with _translated(), self._engine.begin() as connection:
            gone: CursorResult[Any] = connection.execute(
                _overwrite(commitment)
                if connection.dialect.name == "sqlite"
                else delete(OPENING).where(OPENING.c.commitment == commitment)
            )
        self._clean()
        if gone.rowcount != 1:
            raise _no_opening()

    def _clean(self) -> None:
        if self._engine.dialect.name == "postgresql":
            with _translated(), self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text(f"vacuum {OPENING.name}"))
            return
        with self._read() as connection:
            is_busy = connection.exec_driver_sql("pragma wal_checkpoint(truncate)").one()[0]
        if is_busy:
            raise UnavailableError(
                ErrorCode.LOG_UNAVAILABLE,
                "the opening is erased, but a reader keeps the write-ahead log, which still holds it",
                hint="end long reads of the database and erase it again",
            )

    def load_anchor(self) -> bytes | None:
        """Return what `save_anchor` kept last."""
        with self._read() as connection:
            return connection.execute(select(ANCHOR.c.record)).scalar_one_or_none()

    def save_anchor(self, record: bytes) -> None:
        """Keep the state of the anchoring, durably."""
        with _translated(), self._writer_engine.begin() as connection:
            connection.execute(delete(ANCHOR))
            connection.execute(insert(ANCHOR).values(id=1, record=record))

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with _translated(), self._engine.connect() as connection:
            yield connection

    def _connect_writer(self) -> Connection:
        connection = self._writer_engine.connect()
        if connection.dialect.name == "postgresql":
            try:
                _lock_session(connection)
            except BaseException:
                connection.close()
                raise
        return connection


def has_password(url: str) -> bool:
    """Tell whether a database URL holds a password, in its usual place or among its options.

    Raises:
        InvalidRequestError: not the URL of a database that a log can be in.
    """
    parsed = _parse_url(url)
    return bool(parsed.password) or any("password" in name.lower() for name in parsed.query)


def upgrade_database(url: str) -> None:
    """Bring the tables of an existing log to this version of the software, in one transaction.

    Raises:
        NotFoundError: there is none.
    """
    parsed = _parse_url(url)
    _check_exists(parsed)
    engine = _make_engine(parsed, is_writer=True)
    try:
        with _translated(), engine.begin() as connection:
            if not inspect(connection).has_table(LOG.name):
                raise NotFoundError(ErrorCode.LOG_NOT_FOUND, "the database holds no log")
            upgrade(connection)
    finally:
        engine.dispose()


class _SqlWriter:
    """Implements `ledger.store.StoreWriter` inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def head(self) -> Head:
        """Return the head."""
        return _read_head(self._connection)

    def read_tile(self, tile: TileCoordinate) -> bytes:
        """Return a tile."""
        return _read_tile(self._connection, tile)

    def find_submissions(self, keys: Sequence[str]) -> dict[str, Submission]:
        """Return known idempotency keys."""
        found: dict[str, Submission] = {}
        for at in range(0, len(keys), 500):
            rows = self._connection.execute(select(SUBMISSION).where(SUBMISSION.c.key.in_(keys[at : at + 500])))
            found |= {row.key: Submission(**row._mapping) for row in rows}
        return found

    def add_submissions(self, submissions: Sequence[Submission]) -> None:
        """Remember idempotency keys."""
        rows = [
            {"key": item.key, "fingerprint": item.fingerprint, "start": item.start, "count": item.count}
            for item in submissions
        ]
        if rows:
            self._connection.execute(insert(SUBMISSION), rows)

    def add_entries(self, start: int, entries: Sequence[bytes]) -> None:
        """Add entries."""
        rows = [{"seq": seq, "data": data} for seq, data in enumerate(entries, start)]
        self._connection.execute(insert(ENTRY), rows)

    def put_tiles(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        """Write tiles."""
        rows = [{"level": level, "position": index, "hashes": hashes} for (level, index), hashes in tiles.items()]
        self._connection.execute(_PUT_TILE[self._connection.dialect.name], rows)

    def add_openings(self, openings: Iterable[Opening]) -> None:
        """Keep openings."""
        rows = [{"commitment": item.commitment, "salt": item.salt, "value": _pad(item.value)} for item in openings]
        if rows:
            self._connection.execute(_ADD_OPENING[self._connection.dialect.name], rows)

    def put_signed(self, size: int, note: bytes) -> None:
        """Keep a signed checkpoint."""
        self._connection.execute(insert(SIGNED).values(size=size, note=note))

    def advance(self, old: Head, new: Head) -> None:
        """Move the head by compare-and-swap."""
        moved: CursorResult[Any] = self._connection.execute(
            update(HEAD)
            .where(HEAD.c.size == old.size, HEAD.c.root == old.root)
            .values(size=new.size, root=new.root, last_leaf=new.last_leaf, last_time=new.last_time)
        )
        if moved.rowcount != 1:
            raise ConflictError(ErrorCode.LOG_BUSY, "another sequencer moved the head")


def _read_head(connection: Connection) -> Head:
    row = connection.execute(_SELECT_HEAD).one()
    return Head(size=row.size, root=row.root, last_leaf=row.last_leaf, last_time=row.last_time)


def _read_tile(connection: Connection, tile: TileCoordinate) -> bytes:
    data = connection.execute(_SELECT_TILE, {"level": tile.level, "at": tile.index}).scalar_one_or_none()
    if data is None or len(data) < HASH_BYTES * tile.width:
        raise NotFoundError(ErrorCode.TILE_NOT_FOUND, "tile does not exist in that width")
    return bytes(data[: HASH_BYTES * tile.width])


def _pad(value: bytes) -> bytes:
    # SECURITY: what is overwritten in place keeps its length, which must not tell a `true` from a `false`. JSON never
    # ends in a zero byte.
    return value.ljust(max(_MIN_VALUE_BYTES, 1 << (len(value) - 1).bit_length()), b"\0")


def _overwrite(commitment: str) -> Update:
    # SECURITY: a deleted row would let SQLite merge pages, and what it moves it copies: remnants of other rows stay in
    # places where nothing erases them any more. Rows of an unchanged length stay where they are.
    is_meant = (OPENING.c.commitment == commitment, OPENING.c.salt != _ERASED)
    return update(OPENING).where(*is_meant).values(salt=_ERASED, value=func.zeroblob(func.length(OPENING.c.value)))


def _put_cosignatures(connection: Connection, size: int, cosignatures: Sequence[NoteSignature]) -> None:
    for item in cosignatures:
        mine = (COSIGNATURE.c.size == size, COSIGNATURE.c.name == item.name, COSIGNATURE.c.key_id == item.key_id)
        connection.execute(delete(COSIGNATURE).where(*mine))
        connection.execute(insert(COSIGNATURE).values(size=size, name=item.name, key_id=item.key_id, blob=item.blob))


def _parse_url(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        backend = ""
    if backend not in _PUT_TILE or (backend == "sqlite" and not (parsed.database or "\0").isprintable()):
        # SECURITY: the URL may hold a password, so it is not repeated.
        raise InvalidRequestError(
            ErrorCode.CONFIG_INVALID,
            "expected a database URL such as `sqlite:////var/lib/yingbi/log.sqlite` or `postgresql://host/name`",
        )
    return parsed.set(drivername="sqlite" if backend == "sqlite" else "postgresql+psycopg")


def _check_exists(url: URL) -> None:
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        raise NotFoundError(ErrorCode.LOG_NOT_FOUND, "no such database", hint="`yingbi log init` makes a log")


def _make_engine(url: URL, *, is_writer: bool) -> Engine:
    if url.get_backend_name() == "postgresql":
        engine = create_engine(url, pool_pre_ping=True, hide_parameters=True)
        event.listen(engine, "connect", _prepare_postgresql)
        return engine
    engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite_writer if is_writer else _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate if is_writer else _begin_deferred)
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    # What readers write (published size, cosignatures) need not survive a crash; what they erase must not come back.
    connection.executescript("pragma journal_mode=wal; pragma synchronous=normal; pragma secure_delete=on")


def _prepare_sqlite_writer(connection: Any, _: object) -> None:
    connection.isolation_level = None
    # `fast`: a page that is split is overwritten too, at no further write; openings must not stay behind in it.
    connection.executescript("pragma journal_mode=wal; pragma synchronous=full; pragma secure_delete=fast")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("begin immediate")


def _begin_deferred(connection: Connection) -> None:
    connection.exec_driver_sql("begin")


def _prepare_postgresql(connection: Any, _: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("set synchronous_commit = on")
        is_durable = cursor.execute("show fsync").fetchone()[0] == "on"
    connection.commit()
    if not is_durable:
        raise UnavailableError(
            ErrorCode.LOG_UNAVAILABLE, "the database runs with `fsync = off`; it would forget entries"
        )


def _touch_private(url: URL) -> None:
    if url.get_backend_name() == "sqlite":
        touch_private(Path(str(url.database)))


def _lock_file(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise _busy() from None
    return handle


def _lock_session(connection: Connection) -> None:
    # The server lets go of a lost session's lock a moment after its client is gone: that moment is waited for.
    deadline = monotonic() + _LOCK_WAIT_S
    while not connection.execute(select(func.pg_try_advisory_lock(_ADVISORY_LOCK))).scalar_one():
        connection.commit()
        if monotonic() > deadline:
            raise _busy()
        sleep(_LOCK_POLL_S)
    connection.commit()


@contextmanager
def _disposed_on_error(engine: Engine) -> Iterator[None]:
    try:
        yield
    except BaseException:
        engine.dispose()
        raise


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's errors into ours; their texts may hold values and stay out."""
    try:
        yield
    except DBAPIError as error:
        detail = type(error.orig).__name__
        raise UnavailableError(ErrorCode.LOG_UNAVAILABLE, "the log's database failed", detail=detail) from None
    except SQLAlchemyError as error:
        raise UnavailableError(
            ErrorCode.LOG_UNAVAILABLE, "the log's database failed", detail=type(error).__name__
        ) from None
    except OSError as error:
        raise UnavailableError(
            ErrorCode.LOG_UNAVAILABLE, "the log's files cannot be written", detail=type(error).__name__
        ) from None


def _busy() -> ConflictError:
    return ConflictError(
        ErrorCode.LOG_BUSY, "another sequencer holds the log", hint="one process writes a log; ask it to append"
    )


def _no_opening() -> NotFoundError:
    return NotFoundError(ErrorCode.OPENING_NOT_FOUND, "opening is unknown or erased")
