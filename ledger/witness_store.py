"""A witness's memory in SQLite, with a high-water file beside it (docs/spec/witness.md, "State that was rolled back").

WAL, `synchronous=FULL`, `BEGIN IMMEDIATE`, compare-and-set: threads and processes may share one store. Triggers refuse
a head that shrinks and any change of evidence, whoever writes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    create_engine,
    event,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ledger.checkpoint import format_checkpoint, parse_checkpoint, parse_decimal
from ledger.note import parse_note
from ledger.witness import MAX_EVIDENCE
from ledger.witness_evidence import Evidence, empty_head, format_evidence, parse_evidence
from yingbi.errors import (
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    SandboxError,
    TamperDetectedError,
    UnavailableError,
)
from yingbi.receipts import Checkpoint, SignedCheckpoint

__all__ = ["SqlWitnessStore"]

_VERSION: Final = 1
_BUSY_TIMEOUT_S: Final = 10
_SUFFIX: Final = ".high-water"
_METADATA: Final = MetaData()
_HEAD: Final = Table(
    "witness_head",
    _METADATA,
    Column("origin", String(255), primary_key=True),
    Column("size", Integer, CheckConstraint("size >= 0"), nullable=False),
    Column("root", LargeBinary(32), CheckConstraint("length(root) = 32"), nullable=False),
    Column("note", LargeBinary, nullable=False),
)
_EVIDENCE: Final = Table(
    "witness_evidence",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("origin", String(255), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("seen", LargeBinary, nullable=False),
    Column("offered", LargeBinary, nullable=False),
    Column("record", LargeBinary, nullable=False),
    UniqueConstraint("origin", "kind", "seen", "offered"),
)
_SELECT_HEAD: Final = select(_HEAD.c.size, _HEAD.c.root, _HEAD.c.note).where(_HEAD.c.origin == bindparam("name"))
_TRIGGERS: Final = (
    """create trigger witness_head_grows before update on witness_head
       when new.origin <> old.origin or new.size < old.size or (new.size = old.size and new.root <> old.root)
       begin select raise(abort, 'a head never shrinks'); end""",
    """create trigger witness_head_stays before delete on witness_head
       begin select raise(abort, 'a head is never forgotten'); end""",
    """create trigger witness_evidence_is_not_changed before update on witness_evidence
       begin select raise(abort, 'evidence is never changed'); end""",
    """create trigger witness_evidence_stays before delete on witness_evidence
       begin select raise(abort, 'evidence is never forgotten'); end""",
)


class SqlWitnessStore:
    """Implements `ledger.witness.WitnessStore`. Use `create` once, `open` ever after."""

    def __init__(self, path: Path) -> None:
        self._mark = _HighWaterFile(path.with_name(path.name + _SUFFIX))
        self._engine = create_engine(
            URL.create("sqlite", database=str(path)), connect_args={"timeout": _BUSY_TIMEOUT_S}, hide_parameters=True
        )
        event.listen(self._engine, "connect", _prepare)

    @classmethod
    def create(cls, path: Path) -> "SqlWitnessStore":
        """Make a new store; its own step, so that a lost volume is never mistaken for a new witness.

        Raises:
            ConflictError: the database or its high-water file exists.
            UnavailableError: the folder cannot be written.
        """
        store = cls(path)
        with store._closed_on_error(), _translated():
            _create_private(store._mark.path)
            _create_private(path)
            with store._write() as connection:
                _METADATA.create_all(connection)
                for trigger in _TRIGGERS:
                    connection.exec_driver_sql(trigger)
                connection.exec_driver_sql(f"pragma user_version = {_VERSION}")
        return store

    @classmethod
    def open(cls, path: Path) -> "SqlWitnessStore":
        """Open an existing store.

        Raises:
            NotFoundError: there is none.
            InvalidRequestError: it is of another version, or something else.
            TamperDetectedError: it was rolled back.
        """
        if not path.is_file():
            raise NotFoundError(
                ErrorCode.LOG_NOT_FOUND,
                f"no witness store `{path.name}`",
                hint="a witness that lost its store needs a new key; `yingbi witness init` makes a new store",
            )
        store = cls(path)
        with store._closed_on_error():
            for origin in store._list_origins():
                store.load(origin)
        return store

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def load(self, origin: str) -> SignedCheckpoint:
        """Return the latest head, after comparing it with the high-water file."""
        with _translated():
            # INVARIANT: the file is raised after COMMIT, so it must be read before the database.
            marks = self._mark.read()
            with self._engine.connect() as connection:
                head = _read_head(connection, origin)
        _check_mark(marks, head)
        return head

    def advance(self, old: Checkpoint, new: SignedCheckpoint) -> bool:
        """Compare and set in one transaction; then raise the high-water file."""
        with _translated():
            with self._write() as connection:
                stored = _read_head(connection, old.origin)
                if stored.checkpoint != old:
                    return False
                if stored.checkpoint != new.checkpoint or not stored.note:
                    _put_head(connection, new)
            self._raise_mark(new.checkpoint)
        return True

    def keep_evidence(self, evidence: Evidence) -> bool:
        """Add evidence unless it is there or its places are taken."""
        row = {
            "origin": evidence.origin,
            "kind": evidence.kind.value,
            "seen": format_checkpoint(evidence.seen.checkpoint),
            "offered": format_checkpoint(evidence.offered.checkpoint),
        }
        alike = [_EVIDENCE.c[name] == row[name] for name in ("origin", "kind")]
        with _translated(), self._write() as connection:
            taken = connection.execute(select(func.count()).select_from(_EVIDENCE).where(*alike)).scalar_one()
            same = [_EVIDENCE.c[name] == value for name, value in row.items()]
            if taken >= MAX_EVIDENCE or connection.execute(select(_EVIDENCE.c.id).where(*same)).first():
                return False
            connection.execute(insert(_EVIDENCE).values(**row, record=format_evidence(evidence)))
        return True

    def list_evidence(self) -> tuple[Evidence, ...]:
        """Return the evidence, oldest first."""
        with _translated(), self._engine.connect() as connection:
            records = connection.execute(select(_EVIDENCE.c.record).order_by(_EVIDENCE.c.id)).scalars().all()
        return tuple(parse_evidence(record) for record in records)

    def _list_origins(self) -> set[str]:
        with _translated(), self._engine.connect() as connection:
            version = connection.exec_driver_sql("pragma user_version").scalar_one()
            if version != _VERSION:
                raise InvalidRequestError(
                    ErrorCode.CONFIG_INVALID, f"expected a witness store of version {_VERSION}, got {version}"
                )
            return {*connection.execute(select(_HEAD.c.origin)).scalars(), *(self._mark.read() or {})}

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _raise_mark(self, reached: Checkpoint) -> None:
        mark = (self._mark.read() or {}).get(reached.origin)
        if mark is not None and mark.size >= reached.size:
            return
        # The database's write lock orders the writers of the file, whatever thread or process they are in.
        with self._write() as connection:
            marks = self._mark.read()
            head = _read_head(connection, reached.origin)
            _check_mark(marks, head)
            self._mark.write({**(marks or {}), reached.origin: head.checkpoint})

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            connection.exec_driver_sql("begin immediate")
            yield connection
            connection.commit()


class _HighWaterFile:
    """The newest heads that may have been cosigned, one line a log: `<size> <root> <origin>`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Checkpoint] | None:
        """Return the marks; None when there is no file."""
        try:
            lines = self.path.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            raise _corrupt() from None
        marks = [_parse_mark(line) for line in lines]
        return {mark.origin: mark for mark in marks}

    def write(self, marks: dict[str, Checkpoint]) -> None:
        """Replace the file atomically and durably."""
        draft = self.path.with_name(self.path.name + ".new")
        text = "".join(f"{mark.size} {mark.root.hex()} {mark.origin}\n" for mark in marks.values())
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
        _sync_folder(self.path.parent)


def _parse_mark(line: str) -> Checkpoint:
    try:
        size, root, origin = line.split(" ", 2)
        return Checkpoint(origin=origin, size=parse_decimal(size), root=bytes.fromhex(root))
    except (SandboxError, ValueError):
        raise _corrupt() from None


def _check_mark(marks: dict[str, Checkpoint] | None, signed: SignedCheckpoint) -> None:
    """Refuse a head that is behind the high-water file, or stands without one."""
    if marks is None:
        raise TamperDetectedError(
            ErrorCode.LOG_ROLLED_BACK,
            "the high-water file of the witness store is missing",
            hint="move both files together; if it is lost, begin anew with a new key",
        )
    head = signed.checkpoint
    mark = marks.get(head.origin)
    if mark is not None and head.size < mark.size:
        raise TamperDetectedError(
            ErrorCode.LOG_ROLLED_BACK,
            f"the witness store is at size {head.size} of a log, but cosigned size {mark.size}",
            hint="an old backup was restored; bring the newer store back, or begin anew with a new key",
        )
    if mark is not None and head.size == mark.size and head.root != mark.root:
        raise _corrupt()


def _read_head(connection: Connection, origin: str) -> SignedCheckpoint:
    row = connection.execute(_SELECT_HEAD, {"name": origin}).one_or_none()
    if row is None:
        return empty_head(origin)
    try:
        checkpoint = Checkpoint(origin=origin, size=row.size, root=row.root)
        is_sound = parse_checkpoint(parse_note(row.note).text) == checkpoint
    except InvalidRequestError:
        raise _corrupt() from None
    if not is_sound:
        raise _corrupt()
    return SignedCheckpoint(checkpoint=checkpoint, note=row.note)


def _put_head(connection: Connection, head: SignedCheckpoint) -> None:
    row = {"size": head.checkpoint.size, "root": head.checkpoint.root, "note": head.note}
    statement = sqlite_insert(_HEAD).values(origin=head.checkpoint.origin, **row)
    connection.execute(statement.on_conflict_do_update(index_elements=["origin"], set_=row))


def _prepare(connection: Any, _: object) -> None:
    connection.isolation_level = None  # BEGIN is said in `_write`
    connection.executescript("pragma journal_mode=wal; pragma synchronous=full")


def _create_private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise ConflictError(
            ErrorCode.LOG_EXISTS, f"file `{path.name}` exists", hint="it belongs to a witness; keep it"
        ) from None
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's errors into ours; their texts stay out."""
    try:
        yield
    except (DBAPIError, SQLAlchemyError, OSError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise UnavailableError(
            ErrorCode.WITNESS_UNAVAILABLE, "the witness store cannot be used now", detail=type(cause).__name__
        ) from None


def _corrupt() -> TamperDetectedError:
    return TamperDetectedError(ErrorCode.LOG_FORKED, "the witness store contradicts itself")
