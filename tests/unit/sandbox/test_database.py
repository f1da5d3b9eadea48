"""A node's database: who waits for whom, and what is told when it fails."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from sandbox.database import open_database, reading, translated, writing
from yingbi.errors import ErrorCode, TamperDetectedError, UnavailableError

CANARY = "CANARY-9b1f"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_database(tmp_path / "node.db")
    with writing(made) as connection:
        connection.execute(text("create table t (x text primary key)"))
    yield made
    made.dispose()


def test_the_file_is_its_owners_alone(engine: Engine, tmp_path: Path) -> None:
    assert (tmp_path / "node.db").stat().st_mode & 0o777 == 0o600


def test_a_database_that_is_open_already_stays_locked(engine: Engine, tmp_path: Path) -> None:
    """Closing any handle of a file ends all POSIX locks that its process has on it, SQLite's among them."""
    path = tmp_path / "node.db"

    def locks() -> list[str]:
        inode = str(path.stat().st_ino)
        lines = Path("/proc/locks").read_text().splitlines()
        return [
            line for line in lines if line.split()[5].split(":")[-1] == inode and line.split()[4] == str(os.getpid())
        ]

    with reading(engine) as connection:
        connection.execute(text("select count(*) from t"))
        held = locks()
        assert held
        open_database(path).dispose()
        assert locks() == held


def test_who_reads_waits_for_nobody_and_sees_what_was_committed(engine: Engine) -> None:
    is_written, is_read = threading.Event(), threading.Event()

    def write() -> None:
        with writing(engine) as connection:
            connection.execute(text("insert into t values ('a')"))
            is_written.set()
            assert is_read.wait(20)

    thread = threading.Thread(target=write)
    thread.start()
    assert is_written.wait(20)
    with reading(engine) as connection:
        assert connection.execute(text("select count(*) from t")).scalar_one() == 0
    is_read.set()
    thread.join()
    with reading(engine) as connection:
        assert connection.execute(text("select count(*) from t")).scalar_one() == 1


def test_a_failed_transaction_leaves_nothing(engine: Engine) -> None:
    def fail() -> None:
        with writing(engine) as connection:
            connection.execute(text("insert into t values ('a')"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with reading(engine) as connection:
        assert connection.execute(text("select count(*) from t")).scalar_one() == 0


@pytest.mark.parametrize("opened", [reading, writing])
def test_the_drivers_words_stay_out(engine: Engine, opened: object) -> None:
    with pytest.raises(UnavailableError) as raised, opened(engine) as connection:  # type: ignore[operator]
        connection.execute(text("select * from missing where x = :x"), {"x": CANARY})
    error = raised.value
    assert error.code is ErrorCode.NODE_UNAVAILABLE
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert CANARY not in f"{error}{error.detail}{error.hint}"


def test_a_file_that_is_no_database_is_damage(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"not a database" * 500)
    engine = open_database(tmp_path / "other.db")
    with pytest.raises(TamperDetectedError) as raised, reading(engine):
        pass
    assert raised.value.code is ErrorCode.STORE_DAMAGED


def test_a_store_names_its_own_code(engine: Engine) -> None:
    with pytest.raises(UnavailableError) as raised, translated(ErrorCode.HISTORY_BUSY), engine.begin() as connection:
        connection.execute(text("nonsense"))
    assert raised.value.code is ErrorCode.HISTORY_BUSY
