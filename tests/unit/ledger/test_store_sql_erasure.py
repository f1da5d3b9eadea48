"""What is erased is gone from every file of the database; what fails says nothing; what is stored is its owner's."""

import logging
import os
import random
import secrets
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from ledger.log import Log
from ledger.store import Head
from ledger.store_sql import SqlStore, has_password
from tests.lib.databases import StoreMaker
from tests.lib.log_checks import check_log
from tests.lib.statements import make_statement
from tests.lib.stored_log import StoredLog
from yingbi.canonical import canonical_bytes
from yingbi.clock import FixedClock
from yingbi.commitment import Opening, commit
from yingbi.errors import ConflictError, ErrorCode, NotFoundError, SandboxError, UnavailableError

ORIGIN = "log.example/erased"
SQL = pytest.mark.parametrize(
    "make_store", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
CANARY = "canary-4711"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(SqlStore.create(f"sqlite:///{tmp_path}/log.sqlite", ORIGIN)) as made:
        made.acquire()
        yield made


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def remnants(folder: Path, opening: Opening) -> list[str]:
    """Files in which any part of an opening is left: its salt, or the beginning or the end of its value."""
    parts = (opening.salt, opening.value[:20], opening.value[-12:])
    return [name for name, data in files_of(folder).items() if any(part in data for part in parts)]


def make_opening(size: int) -> Opening:
    return commit({"name": f"{CANARY}-{secrets.token_hex(8)}", "more": secrets.token_hex(size)})


def keep(store: SqlStore, *openings: Opening) -> None:
    with store.write() as writer:
        writer.add_openings(openings)


# --- SQLite: every byte -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(4,), (4, 60, 250), (1500, 3000, 4), (100, 900, 6000)], ids=str)
def test_no_byte_of_what_was_erased_is_left_in_any_file(
    store: SqlStore, tmp_path: Path, sizes: tuple[int, ...]
) -> None:
    """Regression: rows that SQLite moved when it split and merged pages stayed behind in what was free of them.

    Without the overwriting of split pages, 2 to 4% of all erased openings left something.
    """
    choice = random.Random(4711)
    kept: list[Opening] = []
    erased: list[Opening] = []
    for turn in range(60):
        fresh = [make_opening(choice.choice(sizes)) for _ in range(choice.randint(1, 8))]
        keep(store, *fresh)
        kept += fresh
        for _ in range(choice.choice((0, 1, 3)) if turn else 0):
            opening = kept.pop(choice.randrange(len(kept)))
            assert "log.sqlite-wal" in remnants(tmp_path, opening) or "log.sqlite" in remnants(tmp_path, opening)
            store.erase_opening(opening.commitment)
            erased.append(opening)
            assert remnants(tmp_path, opening) == []
    assert len(erased) > 50
    assert all(remnants(tmp_path, opening) == [] for opening in erased), "and nothing comes back"
    assert all(store.read_opening(opening.commitment) == opening for opening in kept)


def test_an_erased_opening_is_as_unknown_as_one_that_never_was(store: SqlStore) -> None:
    opening = make_opening(4)
    keep(store, opening)
    store.erase_opening(opening.commitment)
    for commitment in (opening.commitment, make_opening(4).commitment):
        for question in (store.read_opening, store.erase_opening):
            with pytest.raises(NotFoundError) as refused:
                question(commitment)
            assert refused.value.code is ErrorCode.OPENING_NOT_FOUND


def test_an_erased_opening_does_not_come_back_with_another_statement(store: SqlStore) -> None:
    opening = make_opening(4)
    keep(store, opening)
    store.erase_opening(opening.commitment)
    keep(store, opening)
    with pytest.raises(NotFoundError):
        store.read_opening(opening.commitment)


def test_what_is_left_of_an_erased_opening_does_not_tell_its_length(store: SqlStore, tmp_path: Path) -> None:
    openings = [commit(value) for value in (True, False, "x" * 200)]
    keep(store, *openings)
    for opening in openings:
        store.erase_opening(opening.commitment)
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as database:
        rows = database.execute("select salt, value from ledger_opening").fetchall()
    assert set(rows) == {(bytes(32), bytes(256))}


@pytest.mark.parametrize("commitment", ["", "sha256:", "sha256:" + "g" * 64, "\udcff", "x\x00y", "' or 1=1 --"])
def test_what_is_no_commitment_is_unknown(store: SqlStore, commitment: str) -> None:
    keep(store, make_opening(4))
    with pytest.raises(NotFoundError) as refused:
        store.erase_opening(commitment)
    assert refused.value.code is ErrorCode.OPENING_NOT_FOUND


def test_erasing_empties_the_write_ahead_log_beside_other_connections(store: SqlStore, tmp_path: Path) -> None:
    opening = make_opening(50)
    keep(store, opening)
    wal = tmp_path / "log.sqlite-wal"
    assert wal.stat().st_size > 0
    with (
        closing(SqlStore.open(f"sqlite:///{tmp_path}/log.sqlite")) as other,
        closing(sqlite3.connect(tmp_path / "log.sqlite")) as foreign,
    ):
        assert foreign.execute("select count(*) from ledger_opening").fetchone() == (1,)
        assert other.read_opening(opening.commitment) == opening
        store.erase_opening(opening.commitment)
        assert wal.stat().st_size == 0
        assert remnants(tmp_path, opening) == []


def test_a_reader_in_the_way_is_reported_and_erasing_again_finishes(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the pragma's answer `busy` was not looked at, and the opening stayed in the write-ahead log."""
    monkeypatch.setattr("ledger.store_sql._BUSY_TIMEOUT_S", 0.1)
    with closing(SqlStore.open(f"sqlite:///{tmp_path}/log.sqlite")) as impatient:
        opening = make_opening(50)
        keep(store, opening)
        with closing(sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)) as reader:
            reader.execute("begin")
            reader.execute("select count(*) from ledger_opening").fetchone()
            with pytest.raises(UnavailableError) as refused:
                impatient.erase_opening(opening.commitment)
            assert "erase it again" in str(refused.value.hint)
            assert remnants(tmp_path, opening) == ["log.sqlite-wal"]
            with pytest.raises(NotFoundError):
                impatient.read_opening(opening.commitment)
            reader.execute("rollback")
        with pytest.raises(NotFoundError):
            impatient.erase_opening(opening.commitment)
        assert remnants(tmp_path, opening) == []


def test_connections_stay_as_they_were_prepared(store: SqlStore) -> None:
    """Regression: erasing left a connection in the pool whose driver opened transactions by itself."""
    opening = make_opening(4)
    keep(store, opening)
    store.erase_opening(opening.commitment)
    for engine, wanted in ((store._engine, (1, 1)), (store._writer_engine, (2, 2))):
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            assert driver.isolation_level is None
            assert connection.exec_driver_sql("pragma journal_mode").scalar_one() == "wal"
            synchronous, secure_delete = wanted
            assert connection.exec_driver_sql("pragma synchronous").scalar_one() == synchronous
            assert connection.exec_driver_sql("pragma secure_delete").scalar_one() == secure_delete


def test_erasing_goes_on_beside_appending(store: SqlStore, tmp_path: Path, clock: FixedClock) -> None:
    store.release()
    log = StoredLog(store, tmp_path, clock=clock)
    openings = [make_opening(30) for _ in range(40)]
    problems: list[BaseException] = []
    done = threading.Event()

    def append(opened_log: Log) -> None:
        try:
            while not done.is_set():
                opened_log.append(make_statement())
        except BaseException as problem:
            problems.append(problem)

    with log.open() as opened_log:
        for opening in openings:
            statement = make_statement(subject=[{"id": "person:p1", "digest": opening.commitment}])
            opened_log.append(statement, openings=[opening])
        writer = threading.Thread(target=append, args=(opened_log,))
        writer.start()
        for opening in openings:
            store.erase_opening(opening.commitment)
        done.set()
        writer.join()
        assert not problems
    store.close()
    assert [remnants(tmp_path, opening) for opening in openings] == [[]] * 40
    check_log(SqlStore.open(f"sqlite:///{tmp_path}/log.sqlite"), log.verifiers)


# --- both databases ---------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=5,
).filter(lambda value: "\\ud" not in ascii(value))


@given(json_values)
def test_an_opening_of_any_value_is_stored_and_read_as_it_is(value: Any) -> None:
    from ledger.store_sql import _pad

    data = canonical_bytes(value)
    assert _pad(data).rstrip(b"\0") == data
    assert len(_pad(data)) & (len(_pad(data)) - 1) == 0, "a power of two"


@SQL
def test_openings_are_kept_and_erased_in_both_databases(make_store: StoreMaker) -> None:
    store = cast("SqlStore", make_store(ORIGIN))
    store.acquire()
    openings = [make_opening(size) for size in (0, 1, 500, 5000)]
    keep(store, *openings)
    assert [store.read_opening(opening.commitment) for opening in openings] == openings
    store.erase_opening(openings[1].commitment)
    for opening in openings:
        if opening is openings[1]:
            with pytest.raises(NotFoundError):
                store.read_opening(opening.commitment)
            with pytest.raises(NotFoundError):
                store.erase_opening(opening.commitment)
        else:
            assert store.read_opening(opening.commitment) == opening


@SQL
def test_the_same_opening_may_come_with_two_statements(
    make_store: StoreMaker, tmp_path: Path, clock: FixedClock
) -> None:
    """Regression: the second statement failed, and with it whatever else was in its group, every time."""
    log = StoredLog(make_store(ORIGIN), tmp_path, clock=clock)
    opening = make_opening(10)
    with log.open() as opened_log:
        for index in range(3):
            statement = make_statement(subject=[{"id": "person:p1", "digest": opening.commitment}])
            receipt = opened_log.append(statement, openings=[opening, opening])
            assert receipt.proof.index == index
    assert log.store.read_opening(opening.commitment) == opening
    check_log(log.store, log.verifiers)


# --- what failures say ------------------------------------------------------------------------------------------------


def everything(error: SandboxError, caplog: pytest.LogCaptureFixture) -> str:
    formatted = logging.Formatter().formatException((type(error), error, error.__traceback__))
    frames = "\n".join(line for line in formatted.splitlines() if not line.startswith("  "))
    return f"{error.message} {error.hint} {error.detail} {error!r} {frames} {caplog.text}"


@SQL
def test_no_text_of_a_driver_gets_out(make_store: StoreMaker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ledger")
    store = cast("SqlStore", make_store(ORIGIN))
    store.acquire()
    entry = CANARY.encode()
    with store.write() as writer:
        writer.add_entries(0, [entry])
        writer.put_signed(0, entry)
    questions: dict[str, Callable[[Any], object]] = {
        "same entry twice": lambda writer: writer.add_entries(0, [entry]),
        "same checkpoint twice": lambda writer: writer.put_signed(0, entry),
        "a type that is none": lambda writer: writer._connection.execute(text(f"select {CANARY.replace('-', '_')}")),
    }
    for name, question in questions.items():
        with pytest.raises(SandboxError) as refused, store.write() as writer:
            question(writer)
        assert refused.value.code is ErrorCode.LOG_UNAVAILABLE, name
        shown = everything(refused.value, caplog)
        assert "canary" not in shown, name
        assert "ledger_entry" not in shown, name
    assert store.read_entries(0, 1) == [entry]


@SQL
def test_a_head_that_moved_is_not_moved_again(make_store: StoreMaker) -> None:
    store = cast("SqlStore", make_store(ORIGIN))
    store.acquire()
    head = store.read_head()
    other = Head(size=0, root=b"\x01" * 32, last_leaf=head.last_leaf, last_time="")
    with pytest.raises(ConflictError), store.write() as writer:
        writer.advance(other, head)
    assert store.read_head() == head


def test_a_damaged_file_is_reported_without_its_contents(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "log.sqlite").write_bytes(CANARY.encode() * 1000)
    with pytest.raises(UnavailableError) as refused:
        SqlStore.open(f"sqlite:///{tmp_path}/log.sqlite")
    assert CANARY not in everything(refused.value, caplog)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{CANARY}@127.0.0.1:1/name",
        f"postgresql://{CANARY}:{CANARY}@127.0.0.1:1/{CANARY}?connect_timeout=1&options={CANARY}",
        f"postgresql://user:{CANARY}@host:port{CANARY}/name",
        f"postgresql://user@127.0.0.1:1/name?password={CANARY}",
        f"postgresql://127.0.0.1:1/name?{CANARY}={CANARY}",
        f"mysql://user:{CANARY}@host/name",
        f"sqlite:///{CANARY}/{CANARY}/x.sqlite",
        CANARY,
    ],
)
def test_no_part_of_a_url_gets_out(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for question in (SqlStore.open, lambda url: SqlStore.create(url, ORIGIN)):
        with pytest.raises(SandboxError) as refused:
            question(url)
        assert CANARY not in everything(refused.value, caplog)


@pytest.mark.parametrize(
    ("url", "has_one"),
    [
        ("sqlite:///log.sqlite", False),
        ("postgresql://host/name", False),
        ("postgresql://user@host/name?host=/run/postgresql", False),
        ("postgresql://user:secret@host/name", True),
        ("postgresql://user:@host/name", False),
        ("postgresql://host/name?password=secret", True),
        ("postgresql://host/name?pass%77ord=secret", True),
        ("postgresql://host/name?sslPassword=secret", True),
    ],
)
def test_a_password_is_found_wherever_it_stands(url: str, *, has_one: bool) -> None:
    assert has_password(url) is has_one


# --- modes of files ---------------------------------------------------------------------------------------------------


def test_the_files_of_a_database_are_its_owners(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with closing(SqlStore.create(f"sqlite:///{tmp_path}/log.sqlite", ORIGIN)) as store:
            store.acquire()
            keep(store, make_opening(4))
            store.publish(0, ())
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    names = ("log.sqlite", "log.sqlite-wal", "log.sqlite-shm", "log.sqlite.sequencer")
    assert modes == dict.fromkeys(names, 0o600)
