"""The hub's database: what its migrations make is what the code declares; what it says of itself when it fails."""

import stat
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, insert, select

from api.database import insert_new, open_database, reading, writing
from api.migrations import VERSION_TABLE, is_current, upgrade
from api.tables import DOCUMENT, METADATA, NONCE
from yingbi.errors import ErrorCode, InvalidRequestError, UnavailableError


def test_the_migrations_make_the_tables_that_the_code_declares(engine: Engine) -> None:
    with reading(engine) as connection:
        options = {"compare_type": True, "compare_server_default": True, "version_table": VERSION_TABLE}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), METADATA) == []
        assert is_current(connection)


def test_upgrading_twice_changes_nothing(engine: Engine) -> None:
    with writing(engine) as connection:
        upgrade(connection)
        assert is_current(connection)


def test_an_empty_database_is_of_no_version(url: str) -> None:
    engine = open_database(url)
    with reading(engine) as connection:
        assert not is_current(connection)
    engine.dispose()


def test_a_row_is_inserted_once(engine: Engine) -> None:
    row = {"keyid": "k", "nonce": "n", "expires_at": "2026"}
    for expected in (True, False):
        with writing(engine, is_durable=False) as connection:
            assert insert_new(connection, NONCE, **row) is expected


def test_a_transaction_that_fails_leaves_nothing(engine: Engine) -> None:
    values = {"digest": "d", "content": b"c", "kept_at": "2026"}

    def fail() -> None:
        with writing(engine) as connection:
            connection.execute(insert(DOCUMENT).values(**values))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with reading(engine) as connection:
        assert connection.execute(select(DOCUMENT)).all() == []


def test_the_drivers_words_stay_inside(engine: Engine) -> None:
    values = {"digest": "d", "content": b"secret", "kept_at": "2026"}
    with writing(engine) as connection:
        connection.execute(insert(DOCUMENT).values(**values))
    with pytest.raises(UnavailableError) as caught, writing(engine) as connection:
        connection.execute(insert(DOCUMENT).values(**values))
    assert "secret" not in f"{caught.value.message} {caught.value.detail}"


def test_a_new_file_is_its_owners(tmp_path: Path) -> None:
    open_database(f"sqlite:///{tmp_path}/hub.sqlite").dispose()
    assert stat.S_IMODE((tmp_path / "hub.sqlite").stat().st_mode) == 0o600


@pytest.mark.parametrize("url", ["mysql://x/y", "nothing", "sqlite://", "postgresql://u:secret@h:x/y"])
def test_what_is_no_database_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        open_database(url)
    assert caught.value.code is ErrorCode.CONFIG_INVALID
    assert "secret" not in caught.value.message
