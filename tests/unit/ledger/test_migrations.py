"""The history of the log's tables ends where `ledger.tables` stands, on both databases; other versions are refused."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Engine, create_engine, inspect, make_url, text

import ledger.migrations
from ledger.high_water import HighWaterMark
from ledger.log import Log
from ledger.migrations import VERSION_TABLE, newest_revision, upgrade
from ledger.store_sql import SqlStore, upgrade_database
from ledger.tables import METADATA
from tests.lib.databases import new_postgres_url
from tests.lib.log_checks import check_log
from tests.lib.statements import make_statement
from tests.lib.stored_log import StoredLog
from yingbi.clock import FixedClock
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, NotFoundError

ORIGIN = "log.example/migrated"
BOTH = pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database; PostgreSQL is started only for whom needs it."""
    if request.getfixturevalue("kind") == "sqlite":
        return f"sqlite:///{tmp_path}/log.sqlite"
    return new_postgres_url(request.getfixturevalue("postgres_folder"))


def engine_of(url: str) -> Engine:
    name = "sqlite" if url.startswith("sqlite") else "postgresql+psycopg"
    return create_engine(make_url(url).set(drivername=name))


def execute(url: str, *statements: str) -> None:
    engine = engine_of(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def differences(url: str) -> list[object]:
    engine = engine_of(url)
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "version_table": VERSION_TABLE}
        found = compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)
        checks = {
            (table, str(check["name"]))
            for table in inspect(connection).get_table_names()
            for check in inspect(connection).get_check_constraints(table)
        }
    engine.dispose()
    wanted = {
        (name, str(constraint.name))
        for name, table in METADATA.tables.items()
        for constraint in {*table.constraints, *(item for column in table.columns for item in column.constraints)}
        if isinstance(constraint, CheckConstraint)
    }
    return [*found, *(checks ^ wanted)]


@BOTH
def test_the_history_ends_at_the_tables_of_this_version(url: str, kind: str) -> None:
    engine = engine_of(url)
    with engine.begin() as connection:
        upgrade(connection)
    engine.dispose()
    assert differences(url) == []


@BOTH
def test_a_difference_would_be_seen(url: str, kind: str) -> None:
    SqlStore.create(url, ORIGIN).close()
    execute(url, "drop table ledger_anchor", "alter table ledger_tile add column more integer")
    assert len(differences(url)) == 3, "a table, its check and a column"


@BOTH
def test_tables_are_made_by_the_history_only(url: str, kind: str) -> None:
    SqlStore.create(url, ORIGIN).close()
    assert differences(url) == []
    with closing(SqlStore.open(url)) as store:
        assert store.origin == ORIGIN


@BOTH
@pytest.mark.parametrize("revision", ["0000", "9999", ""])
def test_tables_of_another_version_are_refused_with_what_to_do(url: str, kind: str, revision: str) -> None:
    SqlStore.create(url, ORIGIN).close()
    execute(url, f"update {VERSION_TABLE} set version_num = '{revision}'")
    for _ in range(2):
        with pytest.raises(InvalidRequestError) as refused:
            SqlStore.open(url)
        assert refused.value.code is ErrorCode.CONFIG_INVALID
        assert refused.value.hint == "run `yingbi log upgrade`"


@BOTH
def test_an_upgrade_changes_nothing_of_a_log_that_is_up_to_date(
    url: str, kind: str, tmp_path: Path, clock: FixedClock
) -> None:
    store = SqlStore.create(url, ORIGIN)
    log = StoredLog(store, tmp_path, clock=clock).grow(3)
    entries = check_log(store, log.verifiers)
    store.close()
    for _ in range(2):
        upgrade_database(url)
    with closing(SqlStore.open(url)) as store:
        assert check_log(store, log.verifiers) == entries
        with Log.open(store, [log.signer], clock=clock, high_water=HighWaterMark(log.mark.path)) as opened_log:
            opened_log.append(make_statement())
        assert len(check_log(store, log.verifiers)) == 4


@BOTH
def test_a_database_without_a_log_is_not_upgraded(url: str, kind: str) -> None:
    engine = engine_of(url)
    engine.connect().close()
    for question in (upgrade_database, SqlStore.open):
        with pytest.raises(NotFoundError) as refused:
            question(url)
        assert refused.value.code is ErrorCode.LOG_NOT_FOUND
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == []
    engine.dispose()


@pytest.mark.parametrize("question", [upgrade_database, SqlStore.open])
def test_no_database_is_made_by_asking_for_one(tmp_path: Path, question: Callable[[str], object]) -> None:
    """Regression: an upgrade left an empty file behind, readable by all."""
    with pytest.raises(NotFoundError):
        question(f"sqlite:///{tmp_path}/nothing.sqlite")
    assert list(tmp_path.iterdir()) == []


@BOTH
def test_a_log_is_not_made_over_another(url: str, kind: str) -> None:
    SqlStore.create(url, ORIGIN).close()
    with pytest.raises(ConflictError) as refused:
        SqlStore.create(url, "log.example/other")
    assert refused.value.code is ErrorCode.LOG_EXISTS
    with closing(SqlStore.open(url)) as store:
        assert store.origin == ORIGIN


@BOTH
def test_making_a_log_is_all_or_nothing(url: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> bytes:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr("ledger.store_sql.genesis_hash", fail)
        with pytest.raises(RuntimeError):
            SqlStore.create(url, ORIGIN)
    SqlStore.create(url, ORIGIN).close()
    assert differences(url) == []


def test_the_history_is_one_line_of_numbered_revisions() -> None:
    script = ScriptDirectory(str(Path(ledger.migrations.__file__).parent))
    revisions = [revision.revision for revision in script.walk_revisions()]
    assert revisions == [f"{number:04}" for number in range(len(revisions), 0, -1)]
    assert newest_revision() == revisions[0]
    for revision in script.walk_revisions():
        assert Path(revision.path).name.startswith(f"r{revision.revision}_")
