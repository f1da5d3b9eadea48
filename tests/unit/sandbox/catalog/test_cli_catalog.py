"""`yingbi catalog` on a node's folder, of which only the database is here."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from sandbox.catalog.codec import parse_dataset
from sandbox.catalog.core_metadata import format_core_metadata, parse_core_metadata
from sandbox.catalog.detectors import Basis, Detector, Suggestion
from sandbox.catalog.problem import CatalogueInvalidError
from sandbox.catalog.store import CatalogueStore
from sandbox.database import METADATA, open_database
from sandbox.synth.catalogue import catalogue
from tests.unit.sandbox.catalog.declarations import FILINGS, with_item
from yingbi.cli.catalog import app
from yingbi.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    RefusedError,
    SandboxError,
    UnavailableError,
)
from yingbi.events.fields import Grade

BY = ("--by", "person:ann")
TWO = (*BY, "--second", "person:bob")


@dataclass
class Node:
    """What the commands need of a node's home."""

    folder: Path

    def __post_init__(self) -> None:
        self.database = open_database(self.folder / "node.sqlite")
        METADATA.create_all(
            self.database, tables=[table for name, table in METADATA.tables.items() if name.startswith("catalog_")]
        )
        self.catalogue = CatalogueStore(self.database)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A node's folder, with the generated data sets registered."""
    home = SimpleNamespace(NodeHome=SimpleNamespace(open=Node))
    monkeypatch.setitem(sys.modules, "sandbox.node.home", home)
    monkeypatch.setenv("YINGBI_NODE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    made = Node(tmp_path)
    made.catalogue.put([*catalogue(), FILINGS], by="person:ann")
    yield tmp_path
    made.database.dispose()


def run(*arguments: object, stdin: bytes = b"") -> str:
    done = CliRunner().invoke(app, [str(each) for each in arguments], input=stdin)
    if done.exception is not None:
        raise done.exception
    return done.stdout


def run_json(*arguments: object, stdin: bytes = b"") -> Any:
    return json.loads(run(*arguments, "--json", stdin=stdin))


@pytest.mark.usefixtures("node")
def test_list_and_show() -> None:
    rows = run_json("list")
    assert {row["dataset"] for row in rows} == {FILINGS.name, *(each.name for each in catalogue())}
    shown = run_json("show", FILINGS.name)
    assert parse_dataset(shown["dataset"]) == FILINGS
    assert shown["grading"]["street"] == {"state": "declared", "suggested": None}
    assert FILINGS.name in run("list")
    assert FILINGS.items[0].name in run("show", FILINGS.name)
    with pytest.raises(NotFoundError):
        run("show", "tax/nowhere")


def test_what_is_exported_can_be_imported_and_is_checked_first(node: Path) -> None:
    for form in ("csv", "json"):
        path = node / f"catalogue.{form}"
        run("export", "--format", form, "--out", path)
        assert [row["revision"] for row in run_json("import", path, *BY)] == [1] * (len(catalogue()) + 1)
    changed = node / "changed.csv"
    changed.write_bytes(format_core_metadata([with_item(FILINGS, "street", title="街")]))
    assert run_json("import", changed, "--check", *BY)[0]["revision"] is None
    assert run_json("import", changed, *BY)[0]["revision"] == 2


def test_owners_are_named_and_problems_are_listed(node: Path) -> None:
    data = format_core_metadata([FILINGS]).decode("utf-8-sig").replace(FILINGS.owner, "福田税务").encode("gb18030")
    assert run_json("import", "-", *BY, "--owner", f"福田税务={FILINGS.owner}", stdin=data)[0]["revision"] == 1
    done = CliRunner().invoke(app, ["import", "-", *BY, "--json"], input=data)
    assert isinstance(done.exception, CatalogueInvalidError)
    assert json.loads(done.stdout)[0]["place"] == "row 2, column 数源单位"
    assert node.exists()


@pytest.mark.usefixtures("node")
def test_selected_data_sets_are_exported_and_offered_ones_as_dcat() -> None:
    done = CliRunner().invoke(app, ["export", FILINGS.name, "--format", "csv"])
    assert parse_core_metadata(done.stdout_bytes) == (FILINGS,)
    value = json.loads(run("export", FILINGS.name, "--format", "dcat", "--base", "https://data.example.org/"))
    assert [each["dcterms:identifier"] for each in value["dcat:dataset"]] == [FILINGS.name]
    with pytest.raises(NotFoundError):
        run("export", "tax/nowhere", "--format", "dcat")


def test_suggestions_are_kept_and_confirmed(node: Path) -> None:
    by_values = Suggestion(
        item="street", detector=Detector.ID_CARD, grade=Grade.GENERAL_4, basis=Basis.VALUES, tenths=9
    )
    Node(node).catalogue.record_suggestions(FILINGS.name, [by_values])
    rows = run_json("suggest", FILINGS.name)
    assert {(row["item"], row["detector"], row["basis"], row["tenths"]) for row in rows} == {
        ("uscc", "uscc", "name", None),
        ("street", "id-card", "values", 9),
    }
    confirmed = {row["item"]: row for row in run_json("confirm", FILINGS.name, "--all", *BY)}
    assert (confirmed["street"]["grade"], confirmed["street"]["state"]) == ("general-4", "raised")
    assert (confirmed["uscc"]["grade"], confirmed["uscc"]["state"]) == ("general-4", "confirmed")
    lower = ("confirm", FILINGS.name, "--grade", "street=general-1")
    with pytest.raises(InvalidRequestError):
        run(*lower, *BY)
    with pytest.raises(RefusedError):
        run(*lower, *BY, "--reason", "graded-in-error")
    run(*lower, *TWO, "--reason", "graded-in-error")
    assert run_json("show", FILINGS.name)["grading"]["street"]["state"] == "lowered"
    with pytest.raises(InvalidRequestError):
        run("confirm", FILINGS.name, "--all", *BY)  # nothing is left, and what was lowered stays so


@pytest.mark.parametrize(
    "arguments",
    [
        ("confirm", FILINGS.name, "--grade", "street", *BY),
        ("confirm", FILINGS.name, "--grade", "street=7", *BY),
        ("confirm", FILINGS.name, *BY),
        ("confirm", FILINGS.name, "--all", "--reason", "because", *BY),
        ("confirm", FILINGS.name, "--all", "--by", "ann"),
        ("import", "-", *BY),
        ("negative", "set", "-", *BY),
    ],
)
@pytest.mark.usefixtures("node")
def test_wrong_arguments_are_errors_of_ours(arguments: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequestError):
        run(*arguments, stdin=b'{"a": 1, "a": 2}')


@pytest.mark.usefixtures("node")
def test_negative_list() -> None:
    rules = b'[{"kind": "title", "pattern": "*\xe8\xa1\x97\xe9\x81\x93*", "reason": "statute"}]'
    hits = run_json("negative", "set", "-", *BY, stdin=rules)
    assert {(hit["dataset"], hit["item"], hit["kind"]) for hit in hits} >= {
        (FILINGS.name, "street", "title"),
        ("market/enterprises", "contact_phone", None),
    }
    assert run_json("negative", "check") == hits
    assert run_json("negative", "show") == [{"kind": "title", "pattern": "*街道*", "reason": "statute"}]
    with pytest.raises(RefusedError):
        run("negative", "set", "-", *BY, stdin=b"[]")
    assert FILINGS.name not in [hit["dataset"] for hit in run_json("negative", "set", "-", *TWO, stdin=b"[]")]


@pytest.mark.usefixtures("node")
def test_withdraw() -> None:
    assert run_json("withdraw", FILINGS.name) == {"dataset": FILINGS.name}
    assert FILINGS.name not in [row["dataset"] for row in run_json("list")]
    with pytest.raises(ConflictError):
        run("import", "-", *BY, stdin=format_core_metadata([FILINGS]))


def test_draft_from_a_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"uscc": ["x"], "税额": [1]}), path)
    head = ("--name", "tax/a", "--title", "t", "--owner", "unit:a", "--unit-column", "uscc")
    value = json.loads(run("draft", path, *head, "--privacy-unit", "enterprise", "--rename", "税额=tax"))
    assert [item["name"] for item in value["items"]] == ["uscc", "tax"]
    with pytest.raises(SandboxError):
        run("draft", path, *head, "--privacy-unit", "enterprise")


def test_without_the_extra_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sandbox.node.home", raising=False)
    monkeypatch.setattr("builtins.__import__", _without_sqlalchemy(__import__))
    with pytest.raises(UnavailableError):
        run("list")


def _without_sqlalchemy(real: Any) -> Any:
    def load(name: str, *rest: Any, **named: Any) -> Any:
        if name == "sandbox.node.home":
            raise ImportError(name="sqlalchemy")
        return real(name, *rest, **named)

    return load


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_command_is_described(language: str) -> None:
    texts = json.loads(Path("yingbi", "locale", language, "catalog.json").read_text("utf-8"))
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group)
    assert {"list", "show", "import", "export", "draft", "suggest", "confirm", "withdraw", "negative", "search"} == set(
        group.commands
    )
    if group.help in texts.values():
        assert all(command.help in texts.values() for command in group.commands.values())
