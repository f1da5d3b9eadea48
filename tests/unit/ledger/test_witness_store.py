"""What a witness remembers: compare-and-set, durability, and refusals when its files were rolled back."""

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import pytest

from ledger.note import Cosigner
from ledger.witness import MAX_EVIDENCE, MemoryWitnessStore, Witness, WitnessStore, format_add_checkpoint
from ledger.witness_evidence import Evidence, EvidenceKind, empty_head
from ledger.witness_store import SqlWitnessStore
from tests.conftest import START
from tests.lib.witness_trees import ORIGIN, ListLog
from yingbi.clock import FixedClock
from yingbi.errors import (
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    SandboxError,
    TamperDetectedError,
    UnavailableError,
)
from yingbi.keys import SigningKey

LOG = ListLog().grow(40)
TWIN = LOG.fork(3, mark="b")
OTHER = ListLog(origin="other.example", seed=2).grow(9)
EMPTY = empty_head(ORIGIN).checkpoint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "witness.sqlite"


@pytest.fixture
def sql(path: Path) -> Iterator[SqlWitnessStore]:
    with closing(SqlWitnessStore.create(path)) as store:
        yield store


@pytest.fixture(params=["memory", "sql"])
def store(request: pytest.FixtureRequest, path: Path) -> Iterator[WitnessStore]:
    if request.param == "memory":
        yield MemoryWitnessStore()
        return
    with closing(SqlWitnessStore.create(path)) as made:
        yield made


def mark_of(path: Path) -> Path:
    return path.with_name(path.name + ".high-water")


def evidence(number: int, *, kind: EvidenceKind = EvidenceKind.TWO_ROOTS) -> Evidence:
    offered = LOG.fork(3, mark=f"twin{number}").signed(9)
    return Evidence(
        kind=kind, seen=LOG.signed(9), offered=offered, proof=(), observed_at=START + timedelta(seconds=number)
    )


# --- both stores ------------------------------------------------------------------------------------------------------


def test_nothing_is_known_of_a_new_log(store: WitnessStore) -> None:
    assert store.load(ORIGIN) == empty_head(ORIGIN)
    assert store.list_evidence() == ()


def test_a_head_replaces_the_one_it_was_compared_with(store: WitnessStore) -> None:
    assert store.advance(EMPTY, LOG.signed(5))
    assert store.load(ORIGIN) == LOG.signed(5)
    assert store.advance(LOG.checkpoint(5), LOG.signed(9))
    assert store.load(ORIGIN) == LOG.signed(9)


def test_nothing_changes_when_the_stored_head_is_another(store: WitnessStore) -> None:
    store.advance(EMPTY, LOG.signed(5))
    for old in (EMPTY, LOG.checkpoint(4), LOG.checkpoint(6), TWIN.checkpoint(5), TWIN.checkpoint(4)):
        assert not store.advance(old, LOG.signed(9))
    assert store.load(ORIGIN) == LOG.signed(5)


def test_the_empty_head_can_be_stored(store: WitnessStore) -> None:
    assert store.advance(EMPTY, LOG.signed(0))
    assert store.load(ORIGIN) == LOG.signed(0)
    assert store.advance(EMPTY, LOG.signed(5))


def test_the_same_head_again_says_whether_it_is_still_the_latest(store: WitnessStore) -> None:
    store.advance(EMPTY, LOG.signed(5))
    assert store.advance(LOG.checkpoint(5), LOG.signed(5))
    store.advance(LOG.checkpoint(5), LOG.signed(6))
    assert not store.advance(LOG.checkpoint(5), LOG.signed(5))


def test_logs_do_not_touch_each_other(store: WitnessStore) -> None:
    store.advance(EMPTY, LOG.signed(5))
    store.advance(empty_head(OTHER.origin).checkpoint, OTHER.signed(9))
    assert (store.load(ORIGIN), store.load(OTHER.origin)) == (LOG.signed(5), OTHER.signed(9))


def test_of_many_threads_one_wins(store: WitnessStore) -> None:
    barrier, won = threading.Barrier(8), []

    def race(size: int) -> None:
        barrier.wait()
        if store.advance(EMPTY, LOG.signed(size)):
            won.append(size)

    threads = [threading.Thread(target=race, args=(size,)) for size in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.load(ORIGIN).checkpoint.size] == won


def test_evidence_is_kept_once_in_order_and_never_replaced(store: WitnessStore) -> None:
    first = evidence(1)
    assert store.keep_evidence(first)
    assert not store.keep_evidence(replace(first, observed_at=START + timedelta(days=1)))
    assert store.keep_evidence(evidence(2))
    assert store.list_evidence() == (first, evidence(2))


def test_evidence_has_places_for_each_kind_and_log(store: WitnessStore) -> None:
    kept = [store.keep_evidence(evidence(number)) for number in range(MAX_EVIDENCE + 3)]
    assert kept == [True] * MAX_EVIDENCE + [False] * 3
    assert store.keep_evidence(evidence(0, kind=EvidenceKind.UNPROVEN))
    assert store.keep_evidence(replace(evidence(0), offered=OTHER.signed(9), seen=OTHER.signed(8)))


# --- SQLite -----------------------------------------------------------------------------------------------------------


def test_everything_is_there_after_reopening(path: Path) -> None:
    with closing(SqlWitnessStore.create(path)) as store:
        store.advance(EMPTY, LOG.signed(5))
        store.keep_evidence(evidence(1))
    with closing(SqlWitnessStore.open(path)) as store:
        assert store.load(ORIGIN) == LOG.signed(5)
        assert store.list_evidence() == (evidence(1),)


def test_two_stores_on_one_file_see_each_other(path: Path, sql: SqlWitnessStore) -> None:
    with closing(SqlWitnessStore.open(path)) as other:
        assert sql.advance(EMPTY, LOG.signed(5))
        assert other.load(ORIGIN) == LOG.signed(5)
        assert not other.advance(EMPTY, LOG.signed(6))
        assert other.advance(LOG.checkpoint(5), LOG.signed(6))
        assert sql.load(ORIGIN) == LOG.signed(6)


def test_the_database_is_durable_and_private(path: Path, sql: SqlWitnessStore) -> None:
    sql.advance(EMPTY, LOG.signed(5))
    with sql._engine.connect() as connection:
        assert connection.exec_driver_sql("pragma synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("pragma journal_mode").scalar_one() == "wal"
    assert path.stat().st_mode & 0o077 == 0


def test_a_store_is_created_once(path: Path, sql: SqlWitnessStore) -> None:
    with pytest.raises(ConflictError):
        SqlWitnessStore.create(path)
    path.unlink()
    with pytest.raises(ConflictError):
        SqlWitnessStore.create(path)


def test_a_missing_store_is_not_made_by_opening_it(path: Path) -> None:
    with pytest.raises(NotFoundError):
        SqlWitnessStore.open(path)
    assert not path.exists()


def test_a_path_with_odd_characters_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a?b#c%20d.sqlite"
    SqlWitnessStore.create(path).close()
    assert path.is_file()


@pytest.mark.parametrize("version", [0, 2])
def test_a_store_of_another_version_is_refused(path: Path, sql: SqlWitnessStore, version: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"pragma user_version = {version}")
    with pytest.raises(InvalidRequestError) as caught:
        SqlWitnessStore.open(path)
    assert caught.value.code is ErrorCode.CONFIG_INVALID


def test_a_file_that_is_no_database_is_unavailable(path: Path) -> None:
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(UnavailableError):
        SqlWitnessStore.open(path)


def test_a_locked_database_is_unavailable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.witness_store._BUSY_TIMEOUT_S", 0.05)
    with closing(SqlWitnessStore.create(path)) as store, closing(sqlite3.connect(path)) as other:
        other.execute("begin exclusive")
        with pytest.raises(UnavailableError):
            store.advance(EMPTY, LOG.signed(5))
        other.rollback()
        assert store.advance(EMPTY, LOG.signed(5))


FORBIDDEN_SQL = {
    "a smaller head": "update witness_head set size = size - 1",
    "another root at the same size": "update witness_head set root = zeroblob(32)",
    "another log's name": "update witness_head set origin = 'x'",
    "no head": "delete from witness_head",
    "a short root": "update witness_head set size = size + 1, root = zeroblob(31)",
    "other evidence": "update witness_evidence set kind = 'x'",
    "no evidence": "delete from witness_evidence",
}


@pytest.mark.parametrize("case", FORBIDDEN_SQL)
def test_the_database_itself_refuses(path: Path, sql: SqlWitnessStore, case: str) -> None:
    sql.advance(EMPTY, LOG.signed(5))
    sql.keep_evidence(evidence(1))
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(FORBIDDEN_SQL[case])


# --- rolled back ------------------------------------------------------------------------------------------------------


def make_witness(store: WitnessStore) -> Witness:
    cosigner = Cosigner("witness.example", SigningKey.from_seed(b"W" * 32), FixedClock(START))
    return Witness([cosigner], [LOG.verifier], store=store, clock=FixedClock(START))


def backup(path: Path, *, to: str) -> Path:
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(path.with_name(to))) as target:
        source.backup(target)
    return path.with_name(to)


def restore(path: Path, copy: Path) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.copy(copy, path)


def roll_back(path: Path) -> None:
    """Restore the database as it was at size 5, after size 9 was cosigned."""
    with closing(SqlWitnessStore.create(path)) as store:
        store.advance(EMPTY, LOG.signed(5))
        copy = backup(path, to="backup")
        store.advance(LOG.checkpoint(5), LOG.signed(9))
    restore(path, copy)


def fork(path: Path) -> None:
    """Put another database with another root at the same size in its place."""
    with closing(SqlWitnessStore.create(path)) as store:
        store.advance(EMPTY, LOG.signed(9))
    with closing(SqlWitnessStore.create(path.with_name("other"))) as store:
        store.advance(EMPTY, TWIN.signed(9))
        copy = backup(path.with_name("other"), to="backup")
    restore(path, copy)


def empty(path: Path) -> None:
    """Put a new database in its place, which knows no log at all."""
    with closing(SqlWitnessStore.create(path)) as store:
        copy = backup(path, to="backup")
        store.advance(EMPTY, LOG.signed(9))
    restore(path, copy)


def lose_mark(path: Path) -> None:
    """Bring the database to a new machine without its high-water file."""
    with closing(SqlWitnessStore.create(path)) as store:
        store.advance(EMPTY, LOG.signed(9))
    mark_of(path).unlink()


def spoil_mark(path: Path) -> None:
    """Leave half a line in the high-water file."""
    with closing(SqlWitnessStore.create(path)) as store:
        store.advance(EMPTY, LOG.signed(9))
    mark_of(path).write_bytes(mark_of(path).read_bytes()[:20])


def spoil_mark_with_bytes(path: Path) -> None:
    """Leave bytes in the high-water file that are no text."""
    with closing(SqlWitnessStore.create(path)) as store:
        store.advance(EMPTY, LOG.signed(9))
    mark_of(path).write_bytes(b"9 \xff\xff")


def spoil_note(path: Path) -> None:
    """Put another note beside the head."""
    with closing(SqlWitnessStore.create(path)) as store:
        store.advance(EMPTY, LOG.signed(9))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("update witness_head set note = ?", (LOG.signed(8).note,))
        connection.commit()


def spoil_note_form(path: Path) -> None:
    """Put something beside the head that is no note."""
    with closing(SqlWitnessStore.create(path)) as store:
        store.advance(EMPTY, LOG.signed(9))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("update witness_head set note = x'00'")
        connection.commit()


@pytest.mark.parametrize(
    "damage", [roll_back, fork, empty, lose_mark, spoil_mark, spoil_mark_with_bytes, spoil_note, spoil_note_form]
)
def test_a_damaged_store_is_not_opened(path: Path, damage: Callable[[Path], None]) -> None:
    damage(path)
    with pytest.raises(TamperDetectedError) as caught:
        SqlWitnessStore.open(path)
    assert caught.value.code in (ErrorCode.LOG_ROLLED_BACK, ErrorCode.LOG_FORKED)


def test_a_witness_whose_store_is_rolled_back_while_it_runs_cosigns_nothing(path: Path) -> None:
    """As a volume's snapshot would do it: the rows are old, the connection is the same."""
    with closing(SqlWitnessStore.create(path)) as store:
        witness = make_witness(store)
        for old, size in ((0, 5), (5, 9)):
            body = format_add_checkpoint(LOG.prove(old, size), LOG.signed(size).note)
            assert witness.add_checkpoint(body).status == HTTPStatus.OK
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript("drop trigger witness_head_grows")
            row = (5, LOG.root(5), LOG.signed(5).note)
            connection.execute("update witness_head set size = ?, root = ?, note = ?", row)
            connection.commit()
        with pytest.raises(TamperDetectedError):
            witness.add_checkpoint(format_add_checkpoint(TWIN.prove(5, 8), TWIN.signed(8).note))


def test_another_logs_mark_does_not_disturb(path: Path, sql: SqlWitnessStore) -> None:
    sql.advance(empty_head(OTHER.origin).checkpoint, OTHER.signed(9))
    sql.advance(EMPTY, LOG.signed(5))
    assert sql.load(OTHER.origin) == OTHER.signed(9)
    lines = mark_of(path).read_text().splitlines()
    assert lines == [f"9 {OTHER.root(9).hex()} {OTHER.origin}", f"5 {LOG.root(5).hex()} {ORIGIN}"]


def test_a_crash_between_commit_and_mark_loses_nothing(path: Path, sql: SqlWitnessStore) -> None:
    """The head is committed, the mark is not: nothing was released, and the same request succeeds later."""
    sql.advance(EMPTY, LOG.signed(5))
    obstacle = mark_of(path).with_name(mark_of(path).name + ".new")
    obstacle.mkdir()
    with pytest.raises(UnavailableError):
        sql.advance(LOG.checkpoint(5), LOG.signed(9))
    assert mark_of(path).read_text().startswith("5 ")
    sql.close()
    obstacle.rmdir()
    with closing(SqlWitnessStore.open(path)) as again:
        assert again.load(ORIGIN) == LOG.signed(9)
        assert again.advance(LOG.checkpoint(9), LOG.signed(9))
    assert mark_of(path).read_text().startswith("9 ")


def test_a_head_is_not_confirmed_while_its_mark_cannot_be_written(path: Path, sql: SqlWitnessStore) -> None:
    obstacle = mark_of(path).with_name(mark_of(path).name + ".new")
    obstacle.mkdir()
    for old in (EMPTY, LOG.checkpoint(5)):
        with pytest.raises(UnavailableError):
            sql.advance(old, LOG.signed(5))


def test_no_message_shows_what_the_driver_said(path: Path) -> None:
    path.write_bytes(b"secret" * 1000)
    with pytest.raises(SandboxError) as caught:
        SqlWitnessStore.open(path)
    assert caught.value.message == "the witness store cannot be used now"
    assert caught.value.__cause__ is None
