"""`yingbi data` on a real node folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from sandbox.catalog.grading import GradeDecision
from sandbox.node.home import NodeConfig, NodeHome
from tests.unit.sandbox.data.examples import FILINGS, changed, texts, write_csv, write_duckdb, write_parquet
from yingbi.cli.data import Encoding, SourceFormat, app, make_source
from yingbi.errors import ErrorCode, InvalidRequestError, NotFoundError, SandboxError

NAME = FILINGS.name


@pytest.fixture
def node(tmp_path: Path) -> Path:
    config = NodeConfig(name="node:tax", owner="unit:futian-tax", isolation="none-for-development")
    home = NodeHome.create(tmp_path / "node", config)
    home.catalogue.register(FILINGS, by="person:ann")
    decisions = [GradeDecision(item=item.name, grade=item.grade) for item in FILINGS.items]
    home.catalogue.confirm_grades(NAME, decisions, expected_revision=1, by="person:ben")
    home.close()
    return tmp_path / "node"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def answer(*arguments: object) -> Any:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)


def error(*arguments: object) -> SandboxError:
    found = run(*arguments).exception
    assert isinstance(found, SandboxError), found
    return found


def test_publish_list_and_verify(node: Path, tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "x.parquet").path
    first = answer("publish", NAME, source, "--node", node)
    assert (first["version"], first["is_new"], first["rows"], first["units"]) == (1, True, 3, 2)
    write_csv(tmp_path / "g.csv", texts(), "gb18030")
    again = answer("publish", NAME, tmp_path / "g.csv", "--encoding", "gb18030", "--node", node)
    assert (again["is_new"], again["digest"]) == (False, first["digest"])
    write_csv(tmp_path / "x.csv", changed(0, staff="4"))
    assert answer("publish", NAME, tmp_path / "x.csv", "--node", node)["version"] == 2
    listed = answer("versions", NAME, "--node", node)
    assert [(row["version"], row["rows"]) for row in listed] == [(1, 3), (2, 3)]
    assert [row["version"] for row in answer("verify", NAME, "--node", node)] == [1, 2]
    assert isinstance(error("verify", NAME, "--version", "3", "--node", node), NotFoundError)
    path = node / "data" / NAME / "1" / "data.duckdb"
    path.chmod(0o600)
    path.write_bytes(b"x")
    assert error("verify", NAME, "--node", node).code is ErrorCode.SNAPSHOT_DAMAGED


def test_problems_are_a_table_of_counts(node: Path, tmp_path: Path) -> None:
    write_csv(tmp_path / "x.csv", changed(0, staff="Canary", street="Canary"))
    done = run("publish", NAME, tmp_path / "x.csv", "--node", node, "--json")
    assert isinstance(done.exception, InvalidRequestError)
    assert json.loads(done.stdout) == [
        {"item": "street", "fault": "outside-domain", "count": 1},
        {"item": "staff", "fault": "malformed", "count": 1},
    ]
    assert "Canary" not in done.output + str(done.exception)
    assert answer("versions", NAME, "--node", node) == []


def test_a_publication_that_died_before_it_was_recorded_is_done_again(node: Path, tmp_path: Path) -> None:
    answer("publish", NAME, write_parquet(tmp_path / "x.parquet").path, "--node", node)
    folder = node / "data" / NAME
    shutil.copytree(folder / "1", folder / "2")
    write_csv(tmp_path / "x.csv", changed(0, staff="4"))
    assert answer("publish", NAME, tmp_path / "x.csv", "--node", node)["version"] == 2
    assert len(answer("verify", NAME, "--node", node)) == 2


def test_a_profile_is_shown_and_its_suggestions_are_kept(node: Path, tmp_path: Path) -> None:
    rows = [texts()[0] | {"phone": f"139{at:08}", "staff": str(at)} for at in range(1200)]
    write_csv(tmp_path / "x.csv", rows)
    found = {row["name"]: row for row in answer("profile", tmp_path / "x.csv", "--dataset", NAME, "--node", node)}
    assert found["staff"]["bounds"] == "10 … 2000"
    assert found["phone"]["matches"] == "mobile-phone 100 %"
    home = NodeHome.open(node)
    suggested = {grading.item: grading.suggested for grading in home.catalogue.entry(NAME).gradings}
    home.close()
    assert suggested["phone"] is not None


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_twin_is_written(node: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"twin.{suffix}"
    answer("twin", NAME, out, "--rows", 20, "--seed", 5, "--node", node)
    table = pq.read_table(out) if suffix == "parquet" else pa_csv.read_csv(out)
    assert table.num_rows == 20
    assert isinstance(error("twin", NAME, tmp_path / "no" / "x.csv", "--node", node), InvalidRequestError)


def test_people_see_tables_in_their_language(node: Path, tmp_path: Path) -> None:
    done = run("publish", NAME, write_parquet(tmp_path / "x.parquet").path, "--node", node)
    assert done.exit_code == 0, done.exception
    assert "sha256:" in done.output


def test_kinds_of_sources_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "csvs").mkdir()
    write_csv(tmp_path / "csvs" / "a.csv", texts())
    assert type(make_source(str(tmp_path / "csvs"))).__name__ == "CsvSource"
    assert type(make_source("x.PARQUET")).__name__ == "ParquetSource"
    assert type(make_source("x", SourceFormat.CSV, encoding=Encoding.GB18030, nulls=["-"])).__name__ == "CsvSource"
    path = write_duckdb(tmp_path / "x.duckdb").path
    assert type(make_source(str(path), table="filings")).__name__ == "DuckdbSource"
    assert type(make_source("postgresql://me@h/x", table="t")).__name__ == "PostgresSource"
    for text, table in (
        ("x", None),
        (str(path), None),
        ("postgresql://h/x", None),
        ("postgresql://me:pw@h/x", "t"),
        ("postgresql://h/x?password=pw", "t"),
        ("postgresql://[h/x", "t"),
    ):
        with pytest.raises(InvalidRequestError) as caught:
            make_source(text, table=table)
        assert "pw" not in str(caught.value)


def test_commands_are_documented() -> None:
    command = typer.main.get_command(app)
    assert set(command.commands) == {  # type: ignore[attr-defined]  # a group
        *("publish", "versions", "verify", "profile", "twin"),
        *("register", "grade", "withdraw"),
    }
    assert duckdb.__version__ >= "2"
