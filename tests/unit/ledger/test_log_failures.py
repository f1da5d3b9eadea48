"""What a log does when something fails: nothing is acknowledged that is not there, and nothing is signed twice.

Also what it refuses to start on: a restored backup, another sequencer, a database that contradicts itself.
"""

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from ledger.high_water import HighWaterMark
from ledger.log import Log, create_log
from ledger.note import TextSigner
from ledger.reader import LogReader
from ledger.startup import HeadCheck, check_against
from ledger.store import Head, LogStore
from ledger.store_sql import SqlStore
from tests.lib.databases import STORES, StoreMaker
from tests.lib.failing_store import STEPS, FailingStore
from tests.lib.log_checks import check_log
from tests.lib.statements import make_statement
from yingbi.clock import FixedClock
from yingbi.errors import ConflictError, ErrorCode, NotFoundError, SandboxError, TamperDetectedError, UnavailableError
from yingbi.keys import SigningKey
from yingbi.receipts import Checkpoint

ORIGIN = "log.example/test"


@pytest.fixture
def signer(key: SigningKey) -> TextSigner:
    return TextSigner(ORIGIN, key)


@pytest.fixture
def mark(tmp_path: Path) -> HighWaterMark:
    return HighWaterMark(tmp_path / "mark")


def open_log(
    store: LogStore, signer: TextSigner, mark: HighWaterMark, clock: FixedClock, checks: Sequence[HeadCheck] = ()
) -> Log:
    return Log.open(store, [signer], clock=clock, high_water=mark, checks=checks)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("make_store", STORES, indirect=True)
def test_a_failure_at_any_step_loses_nothing_and_forks_nothing(
    make_store: StoreMaker, step: str, signer: TextSigner, mark: HighWaterMark, clock: FixedClock
) -> None:
    inner = make_store(ORIGIN)
    create_log(inner, [signer], mark)
    store = FailingStore(inner)
    heads: list[Checkpoint] = []
    statements = [make_statement() for _ in range(4)]
    with open_log(cast("LogStore", store), signer, mark, clock) as log:
        heads.append(log.append(statements[0], idempotency_key="0").signed.checkpoint)
        if step == "acquire":  # reached only while recovering from another failure
            store.fail_at = "head"
            with pytest.raises(UnavailableError):
                log.append(statements[1], idempotency_key="1")
        store.fail_at = step
        with pytest.raises(UnavailableError) as refused:
            log.append(statements[1], idempotency_key="1")
        assert refused.value.code is ErrorCode.LOG_UNAVAILABLE
        assert store.failures
        heads += [log.append(statements[at], idempotency_key=str(at)).signed.checkpoint for at in (1, 2, 3)]
        assert [log.reader.root_at(head.size) for head in heads] == [head.root for head in heads]
    entries = check_log(inner, [signer.verifier])
    assert len(entries) == 4, "each statement is recorded once, whether or not its first answer was lost"


@pytest.mark.parametrize("make_store", STORES, indirect=True)
def test_no_answer_while_the_mark_cannot_be_raised(
    make_store: StoreMaker, signer: TextSigner, mark: HighWaterMark, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(ORIGIN)
    create_log(store, [signer], mark)
    with open_log(store, signer, mark, clock) as log:
        log.append(make_statement())
        published = log.reader.published()
        with monkeypatch.context() as patch:
            patch.setattr("os.fdatasync", _fail)
            for _ in range(2):
                with pytest.raises(UnavailableError):
                    log.append(make_statement())
            assert log.reader.published() == published
        log.append(make_statement())
    check_log(store, [signer.verifier])


def _fail(_: int) -> None:
    raise OSError(5, "Input/output error")


@pytest.mark.parametrize(
    "make_store", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
def test_of_two_sequencers_that_both_think_they_hold_the_lock_one_wins(
    make_store: StoreMaker, signer: TextSigner, mark: HighWaterMark, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = cast("SqlStore", make_store(ORIGIN))
    create_log(store, [signer], mark)
    other = SqlStore(store._engine, store._writer_engine, ORIGIN)
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    monkeypatch.setattr("ledger.store_sql._ADVISORY_LOCK", 1)
    first = open_log(store, signer, mark, clock)
    monkeypatch.setattr("ledger.store_sql._ADVISORY_LOCK", 2)
    second = open_log(other, signer, mark, clock)
    try:
        first.append(make_statement())
        with pytest.raises(ConflictError) as refused:
            second.append(make_statement())
        assert refused.value.code is ErrorCode.LOG_BUSY
        assert len(check_log(store, [signer.verifier])) == 1
    finally:
        first.close()
        second.close()


@pytest.mark.parametrize(
    "make_store", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
def test_a_second_process_of_one_log_is_refused(
    make_store: StoreMaker, signer: TextSigner, mark: HighWaterMark, clock: FixedClock
) -> None:
    store = cast("SqlStore", make_store(ORIGIN))
    create_log(store, [signer], mark)
    other = SqlStore.open(store._engine.url.render_as_string(hide_password=False))
    with open_log(store, signer, mark, clock), pytest.raises(ConflictError) as refused:
        open_log(other, signer, mark, clock)
    assert refused.value.code is ErrorCode.LOG_BUSY
    open_log(other, signer, mark, clock).close()
    other.close()


def test_a_restored_backup_refuses_to_sign(
    signer: TextSigner, mark: HighWaterMark, clock: FixedClock, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/log.sqlite"
    store = SqlStore.create(url, ORIGIN)
    create_log(store, [signer], mark)
    with open_log(store, signer, mark, clock) as log:
        log.append(make_statement())
    store.close()
    shutil.copy(tmp_path / "log.sqlite", tmp_path / "backup")
    store = SqlStore.open(url)
    with open_log(store, signer, mark, clock) as log:
        log.append(make_statement())
    store.close()
    shutil.copy(tmp_path / "backup", tmp_path / "log.sqlite")
    store = SqlStore.open(url)
    with pytest.raises(TamperDetectedError) as refused:
        open_log(store, signer, mark, clock)
    assert refused.value.code is ErrorCode.LOG_ROLLED_BACK
    store.close()


def test_a_log_without_its_mark_refuses_to_sign(
    signer: TextSigner, mark: HighWaterMark, clock: FixedClock, tmp_path: Path
) -> None:
    store = SqlStore.create(f"sqlite:///{tmp_path}/log.sqlite", ORIGIN)
    create_log(store, [signer], mark)
    mark.path.unlink()
    with pytest.raises(NotFoundError):
        open_log(store, signer, mark, clock)
    mark.path.write_bytes(b"\x00" * 8192)
    with pytest.raises(TamperDetectedError):
        open_log(store, signer, mark, clock)
    store.close()


def test_a_torn_write_of_the_mark_leaves_the_one_before(
    signer: TextSigner, mark: HighWaterMark, clock: FixedClock, tmp_path: Path
) -> None:
    store = SqlStore.create(f"sqlite:///{tmp_path}/log.sqlite", ORIGIN)
    create_log(store, [signer], mark)
    with open_log(store, signer, mark, clock) as log:
        for _ in range(3):
            log.append(make_statement())
    whole = mark.path.read_bytes()
    for slot in (0, 1):
        torn = bytearray(whole)
        torn[slot * 4096 + 20 : slot * 4096 + 120] = bytes(100)
        mark.path.write_bytes(torn)
        assert HighWaterMark(mark.path).read((signer.verifier,)).size >= 2
    store.close()


def _edit_entry(database: sqlite3.Connection) -> None:
    data = database.execute("select data from ledger_entry where seq = 2").fetchone()[0]
    database.execute("update ledger_entry set data = ? where seq = 2", (data.replace(b'"v":1', b'"v":2'),))


TAMPERED: dict[str, tuple[Callable[[sqlite3.Connection], object], ErrorCode]] = {
    "last entry edited": (_edit_entry, ErrorCode.ENTRY_MALFORMED),
    "last entry deleted": (lambda db: db.execute("delete from ledger_entry where seq = 2"), ErrorCode.ENTRY_NOT_FOUND),
    "tile changed": (
        lambda db: db.execute("update ledger_tile set hashes = zeroblob(length(hashes))"),
        ErrorCode.LOG_FORKED,
    ),
    "tile cut": (
        lambda db: db.execute("update ledger_tile set hashes = substr(hashes, 1, 32)"),
        ErrorCode.TILE_NOT_FOUND,
    ),
    "root changed": (lambda db: db.execute("update ledger_head set root = zeroblob(32)"), ErrorCode.LOG_FORKED),
    "size lowered": (lambda db: db.execute("update ledger_head set size = 2"), ErrorCode.LOG_FORKED),
    "time moved": (lambda db: db.execute("update ledger_head set last_time = '2020'"), ErrorCode.LOG_FORKED),
    "chain moved": (lambda db: db.execute("update ledger_head set last_leaf = zeroblob(32)"), ErrorCode.LOG_FORKED),
    "checkpoint deleted": (lambda db: db.execute("delete from ledger_signed"), ErrorCode.CHECKPOINT_NOT_FOUND),
    "checkpoint of an older size": (
        lambda db: db.execute("update ledger_signed set note = (select note from ledger_signed where size = 2)"),
        ErrorCode.LOG_FORKED,
    ),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_a_database_that_contradicts_itself_is_not_opened(
    case: str, signer: TextSigner, mark: HighWaterMark, clock: FixedClock, tmp_path: Path
) -> None:
    store = SqlStore.create(f"sqlite:///{tmp_path}/log.sqlite", ORIGIN)
    create_log(store, [signer], mark)
    with open_log(store, signer, mark, clock) as log:
        log.append_batch([make_statement(), make_statement()])
        log.append(make_statement())
    tamper, code = TAMPERED[case]
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as database, database:
        tamper(database)
    with pytest.raises(SandboxError) as refused:
        open_log(store, signer, mark, clock)
    assert refused.value.code is code
    store.close()


def test_a_stored_tile_that_changes_under_the_log_stops_it_before_it_signs(
    signer: TextSigner, mark: HighWaterMark, clock: FixedClock, tmp_path: Path
) -> None:
    store = SqlStore.create(f"sqlite:///{tmp_path}/log.sqlite", ORIGIN)
    create_log(store, [signer], mark)
    with open_log(store, signer, mark, clock) as log:
        log.append_batch([make_statement() for _ in range(300)])
        published = log.reader.published()
        with closing(sqlite3.connect(tmp_path / "log.sqlite")) as database, database:
            database.execute("update ledger_tile set hashes = zeroblob(length(hashes)) where level = 1")
        for _ in range(2):
            with pytest.raises(SandboxError) as refused:
                log.append(make_statement())
            assert refused.value.code is ErrorCode.LOG_FORKED
        assert log.reader.published() == published
    store.close()


@pytest.mark.parametrize("make_store", STORES, indirect=True)
def test_a_log_that_contradicts_an_anchor_or_witness_is_not_opened(
    make_store: StoreMaker, signer: TextSigner, mark: HighWaterMark, clock: FixedClock
) -> None:
    store = make_store(ORIGIN)
    create_log(store, [signer], mark)
    with open_log(store, signer, mark, clock) as log:
        head = log.append(make_statement()).signed.checkpoint

    def anchored(other: Checkpoint) -> HeadCheck:
        def check(reader: LogReader, stored: Head) -> None:
            check_against(reader, stored, [("the last anchor", other)])

        return check

    cases = {
        ErrorCode.LOG_ROLLED_BACK: Checkpoint(origin=ORIGIN, size=2, root=head.root),
        ErrorCode.LOG_FORKED: Checkpoint(origin=ORIGIN, size=1, root=b"\x01" * 32),
    }
    for code, other in cases.items():
        with pytest.raises(TamperDetectedError) as refused:
            open_log(store, signer, mark, clock, [anchored(other)])
        assert refused.value.code is code
    with pytest.raises(TamperDetectedError):
        open_log(store, signer, mark, clock, [anchored(Checkpoint(origin="log.example/b", size=1, root=head.root))])
    open_log(store, signer, mark, clock, [anchored(head)]).close()
