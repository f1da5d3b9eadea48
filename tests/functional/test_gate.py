"""The gate as an operator meets it: every command from made-up data to a released result, in both languages."""

import csv
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.lib.command_line import Done, run, spawn
from yingbi.cli.text import load_catalogue

TAX = "tax/annual_filings"
FIRMS = "market/enterprises"
BY_STREET = "select street, avg(tax_paid), count(*) from tax.annual_filings where year = '2025' group by street"
TOO_SMALL = (
    "select size, sum(tax_paid) from tax.annual_filings "
    "where year = '2025' and street = '福保街道' and size in ('large', 'medium') group by size"
)
NOT_GRANTED = "select street, sum(revenue) from tax.annual_filings group by street"

AGREEMENT = """\
agreement: agr-tax-research-2026
version: 1
assigner: unit:futian-tax
assignee: partner:bank-a
purpose: research.aggregate
legal_basis: {kind: contract, reference: "2026-17"}
valid: {from: 2026-01-01, until: 2099-12-31}
place: {zones: [node:futian-lab]}
datasets:
  tax/annual_filings:
    privacy_unit: uscc
    columns:
      uscc: {uses: [aggregate], functions: [count_units]}
      year: [filter, group]
      street: [filter, group]
      size: [filter, group]
      tax_paid: [aggregate]
operations: [aggregate]
disclosure: {min_entities: 10}
limits: {jobs: 500, jobs_per_day: 50, filter_values: declared}
approvals: {agreement: [unit-cdo, bureau-approver], job: automatic, output: OUTPUT}
"""


@dataclass(frozen=True)
class Place:
    """A folder with made-up data, a node that has published some of it, and agreements."""

    folder: Path

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    @property
    def node(self) -> tuple[str, Path]:
        return ("--node", self.folder / "node")

    def ask(self, sql: str, *options: object, agreement: str = "agreement.yaml") -> Done:
        return run("node", "ask", sql, *self.asker(agreement), *options)

    def asker(self, agreement: str = "agreement.yaml") -> tuple[object, ...]:
        asker = ("--partner", "partner:bank-a", "--purpose", "research.aggregate")
        return (*self.node, "--agreement", self.folder / agreement, *asker)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Made once, with the command line alone."""
    place = Place(tmp_path_factory.mktemp("gate"))
    run("synth", "--scale", "0.01", "--out", place / "district").ok()
    kind = ("--isolation", "none-for-development")
    run("node", "init", "node:futian-lab", "--owner", "unit:futian-bureau", *place.node, *kind).ok()
    run("catalog", "import", place / "district" / "catalogue.json", "--by", "person:li-si", *place.node).ok()
    for name in (TAX, FIRMS):
        run("catalog", "confirm", name, "--all", "--by", "person:li-si", *place.node).ok()
        run("data", "publish", name, place / "district" / f"{name}.parquet", *place.node).ok()
    for output in ("automatic", "checked"):
        name = "agreement.yaml" if output == "automatic" else "checked.yaml"
        (place / name).write_text(AGREEMENT.replace("OUTPUT", output), encoding="utf-8")
    return place


@pytest.fixture
def empty(tmp_path: Path) -> Place:
    """A folder with a node that has nothing."""
    kind = ("--isolation", "none-for-development")
    run("node", "init", "node:futian-lab", "--owner", "unit:futian-bureau", "--node", tmp_path / "node", *kind).ok()
    return Place(tmp_path)


@pytest.fixture
def declared(empty: Place, place: Place) -> Place:
    """A node with one data set that is declared, and not more."""
    found = json.loads((place / "district" / "catalogue.json").read_bytes())
    (empty / "tax.json").write_text(json.dumps([one for one in found if one["name"] == TAX]), encoding="utf-8")
    run("catalog", "import", empty / "tax.json", "--by", "person:li-si", *empty.node).ok()
    return empty


def refused(done: Done, code: str, exit_code: int) -> dict[str, Any]:
    """Return the error of a command that was asked for JSON and must have failed so."""
    assert (done.code, done.error["code"]) == (exit_code, code), done.err
    return done.error


def truth(place: Place, sql: str) -> list[tuple[Any, ...]]:
    """Return what plain SQL says of the file that was published."""
    with duckdb.connect() as plain:
        return plain.sql(sql.replace("FILE", f"'{place / 'district' / TAX}.parquet'")).fetchall()


# --- synth ------------------------------------------------------------------------------------------------------------


def test_synth_writes_the_same_tables_for_the_same_seed(tmp_path: Path) -> None:
    made = [run("synth", "--scale", "0.001", "--seed", "7", "--out", tmp_path / name, "--json") for name in "ab"]
    assert [(row["name"], row["rows"]) for row in made[0].ok().json] == [
        (row["name"], row["rows"]) for row in made[1].ok().json
    ]
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert Path("tax/annual_filings.parquet") in files
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)
    other = run("synth", "--scale", "0.001", "--seed", "8", "--out", tmp_path / "c").ok()
    assert TAX in other.out
    assert (tmp_path / "a" / f"{TAX}.parquet").read_bytes() != (tmp_path / "c" / f"{TAX}.parquet").read_bytes()


@pytest.mark.parametrize("scale", ["0", "-1", "5", "x", "nan"])
def test_synth_refuses_other_scales(tmp_path: Path, scale: str) -> None:
    assert run("synth", "--scale", scale, "--out", tmp_path / "x").code == 64
    assert not (tmp_path / "x").exists()


def test_synth_leaves_a_folder_that_holds_something_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine", encoding="utf-8")
    assert run("synth", "--scale", "0.001", "--out", tmp_path).code not in (0, 70)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


# --- catalog ----------------------------------------------------------------------------------------------------------


def test_catalog_list_and_show_say_what_there_is(place: Place) -> None:
    listed = {row["dataset"]: row for row in run("catalog", "list", *place.node, "--json").ok().json}
    assert len(listed) == 10
    assert (listed[TAX]["version"], listed["banka/loans"]["version"]) == (1, None)
    shown = run("catalog", "show", TAX, *place.node, "--json").ok().json
    assert shown["dataset"]["owner"] == "unit:futian-tax"
    assert {state["state"] for state in shown["grading"].values()} == {"confirmed"}
    assert "企业年度纳税申报" in run("catalog", "show", TAX, *place.node).ok().out
    refused(run("catalog", "show", "tax/nothing", *place.node, "--json"), "dataset-not-found", 66)
    refused(run("catalog", "list", "--node", place / "district", "--json"), "node-not-found", 66)


def test_catalog_import_and_export_are_each_others_inverse(place: Place, empty: Place) -> None:
    for form in ("csv", "json"):
        written = run("catalog", "export", "--format", form, *place.node).ok().data
        (empty / f"catalogue.{form}").write_bytes(written)
        checked = run("catalog", "import", empty / f"catalogue.{form}", "--check", "--by", "person:a-b", *empty.node)
        assert TAX in checked.ok().out
    assert run("catalog", "list", *empty.node, "--json").ok().json == []
    run("catalog", "import", empty / "catalogue.csv", "--by", "person:a-b", *empty.node).ok()
    again = run("catalog", "export", "--format", "json", *empty.node).ok().data
    assert json.loads(again) == json.loads((empty / "catalogue.json").read_bytes())
    dcat = run("catalog", "export", TAX, "--format", "dcat", *place.node).ok().json
    assert "企业年度纳税申报" in json.dumps(dcat, ensure_ascii=False)


def test_catalog_import_tells_every_problem_and_registers_nothing(place: Place, empty: Place) -> None:
    text = (place / "district" / "catalogue.csv").read_text("utf-8-sig")
    rows = list(csv.reader(text.splitlines()))
    for row in rows[1:3]:
        row[rows[0].index("数据类型")] = "?"
    with (empty / "wrong.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    done = run("catalog", "import", empty / "wrong.csv", "--by", "person:a-b", *empty.node, "--json")
    refused(done, "catalogue-invalid", 65)
    assert len(done.json) >= 2, done.out
    assert run("catalog", "list", *empty.node, "--json").ok().json == []
    (empty / "not.json").write_text("{", encoding="utf-8")
    refused(
        run("catalog", "import", empty / "not.json", "--by", "person:a-b", *empty.node, "--json"), "json-malformed", 65
    )
    nobody = run("catalog", "import", place / "district" / "catalogue.csv", "--by", "li si", *empty.node, "--json")
    assert nobody.code == 65, nobody.err


def test_catalog_draft_describes_a_file_that_nobody_declared(place: Place, empty: Place) -> None:
    source = place / "district" / f"{TAX}.parquet"
    who = ("--name", "lab/filings", "--title", "申报", "--owner", "unit:lab", "--unit-column", "uscc")
    run("catalog", "draft", source, *who, "--privacy-unit", "enterprise", "--out", empty / "draft.json").ok()
    draft = json.loads((empty / "draft.json").read_bytes())
    assert {item["visibility"] for item in draft["items"]} == {"confidential"}
    done = run("catalog", "import", empty / "draft.json", "--check", "--by", "person:a-b", *empty.node)
    assert done.code == 65, "bounds and domains are for a person to declare"
    assert "bounds" in done.out
    wrong = run("catalog", "draft", place / "agreement.yaml", *who, "--privacy-unit", "enterprise", "--json")
    assert wrong.code == 64, "a draft has no JSON flag"
    assert run("catalog", "draft", place / "agreement.yaml", *who, "--privacy-unit", "enterprise").code == 65


def test_catalog_suggest_and_confirm_go_before_publishing(place: Place, declared: Place) -> None:
    source = place / "district" / f"{TAX}.parquet"
    early = run("data", "publish", TAX, source, *declared.node, "--json")
    refused(early, "grades-not-confirmed", 73)
    found = run("catalog", "suggest", TAX, *declared.node, "--json").ok().json
    assert [(row["item"], row["detector"]) for row in found] == [("uscc", "uscc")]
    lower = run(
        "catalog", "confirm", TAX, "--grade", "tax_paid=general-1", "--by", "person:li-si", *declared.node, "--json"
    )
    assert lower.code in (65, 77), "going below takes a reason and a second person"
    states = run("catalog", "confirm", TAX, "--all", "--by", "person:li-si", *declared.node, "--json").ok().json
    assert {row["state"] for row in states} == {"confirmed"}
    run("data", "publish", TAX, source, *declared.node).ok()
    assert run("catalog", "confirm", TAX, "--grade", "tax_paid", "--by", "person:li-si", *declared.node).code == 64


def test_catalog_withdraw_takes_a_data_set_away_for_good(declared: Place) -> None:
    assert run("catalog", "withdraw", TAX, *declared.node, "--json").ok().json == {"dataset": TAX}
    assert run("catalog", "list", *declared.node, "--json").ok().json == []
    again = run("catalog", "import", declared / "tax.json", "--by", "person:li-si", *declared.node)
    assert again.code != 0
    refused(run("catalog", "withdraw", TAX, *declared.node, "--json"), "dataset-not-found", 66)


def test_catalog_negative_show_set_and_check_rule_columns_out(place: Place, declared: Place) -> None:
    rules = [{"kind": "name", "pattern": "tax_paid", "reason": "agreed with the chamber"}]
    (declared / "rules.json").write_text(json.dumps(rules), encoding="utf-8")
    hits = run("catalog", "negative", "set", declared / "rules.json", "--by", "person:li-si", *declared.node, "--json")
    assert [row["item"] for row in hits.ok().json] == ["tax_paid"]
    assert run("catalog", "negative", "show", *declared.node, "--json").ok().json == rules
    assert run("catalog", "negative", "check", *declared.node, "--json").ok().json == hits.json
    run("catalog", "confirm", TAX, "--all", "--by", "person:li-si", *declared.node).ok()
    run("data", "publish", TAX, place / "district" / f"{TAX}.parquet", *declared.node).ok()
    (declared / "agreement.yaml").write_text((place / "agreement.yaml").read_text("utf-8"), encoding="utf-8")
    done = run("node", "ask", BY_STREET, *declared.asker(), "--json")
    assert done.code == 77
    assert {reason["code"] for reason in done.json["reasons"]} == {"negative-list"}
    (declared / "none.json").write_text("[]", encoding="utf-8")
    alone = run("catalog", "negative", "set", declared / "none.json", "--by", "person:li-si", *declared.node)
    assert alone.code == 77, "taking a rule away takes two people"


# --- data -------------------------------------------------------------------------------------------------------------


def test_data_publish_versions_and_verify_hold_a_snapshot(place: Place, declared: Place) -> None:
    run("catalog", "confirm", TAX, "--all", "--by", "person:li-si", *declared.node).ok()
    source = place / "district" / f"{TAX}.parquet"
    first = run("data", "publish", TAX, source, *declared.node, "--json").ok().json
    assert (first["version"], first["is_new"]) == (1, True)
    assert first["rows"] == truth(place, "select count(*) from FILE")[0][0]
    assert run("data", "publish", TAX, source, *declared.node, "--json").ok().json["is_new"] is False
    (row,) = run("data", "versions", TAX, *declared.node, "--json").ok().json
    assert row["digest"] == first["digest"]
    assert run("data", "verify", TAX, *declared.node, "--json").ok().json == [{"version": 1, "digest": row["digest"]}]
    refused(run("data", "verify", TAX, "--version", "9", *declared.node, "--json"), "version-not-found", 66)
    damaged = declared / "node" / "data" / TAX / "1" / "data.duckdb"
    damaged.chmod(0o600)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0\1")
    found = run("data", "verify", TAX, *declared.node, "--json")
    assert found.code not in (0, 70), found.err
    assert found.error["code"] == "snapshot-damaged"


FAULTS = ("null-unit", "out-of-bounds", "too-precise", "duplicate-rows", "null-not-allowed", "truncated", "not-parquet")


@pytest.mark.parametrize("fault", FAULTS)
def test_data_publish_refuses_faulty_files_and_tells_counts_only(place: Place, declared: Place, fault: str) -> None:
    source = place / "district" / "faulty" / fault / f"{TAX}.parquet"
    run("catalog", "confirm", TAX, "--all", "--by", "person:li-si", *declared.node).ok()
    done = run("data", "publish", TAX, source, *declared.node, "--json")
    unreadable = fault in ("truncated", "not-parquet")
    refused(done, "source-unreadable" if unreadable else "data-invalid", 65)
    assert unreadable or all(set(row) == {"item", "fault", "count"} for row in done.json)
    assert run("data", "versions", TAX, *declared.node, "--json").ok().json == []


def test_data_profile_tells_aggregates_and_suggests(place: Place, declared: Place) -> None:
    source = place / "district" / f"{TAX}.parquet"
    done = run("data", "profile", source, "--dataset", TAX, *declared.node, "--json").ok()
    columns = {row["name"]: row for row in done.json}
    assert columns["street"]["distinct"] == "10"
    identifiers = [row[0] for row in truth(place, "select distinct uscc from FILE")]
    assert not [each for each in identifiers if each in done.out]
    graded = run("catalog", "show", TAX, *declared.node, "--json").ok().json["grading"]
    assert graded["uscc"] == {"state": "suggested", "suggested": "general-2"}
    assert run("data", "profile", place / "nothing.parquet", "--json").code in (65, 66)
    assert run("data", "profile", "postgresql://u:secret@localhost/x", "--table", "t", "--json").code == 64


def test_data_twin_has_the_shape_and_nothing_of_the_data(place: Place, tmp_path: Path) -> None:
    twin = tmp_path / "twin.parquet"
    done = run("data", "twin", TAX, twin, "--rows", "500", "--seed", "3", *place.node, "--json").ok()
    assert done.json["rows"] == 500
    with duckdb.connect() as plain:
        shape = f"select column_name, column_type from (describe select * from '{twin}') order by 1"
        names = [row[0] for row in plain.sql(shape).fetchall()]
        real = f"'{place / 'district' / TAX}.parquet'"
        assert names == [row[0] for row in plain.sql(shape.replace(f"'{twin}'", real)).fetchall()]
        shared = f"select count(*) from '{twin}' where uscc in (select uscc from {real})"
        assert plain.sql(shared).fetchall() == [(0,)]


# --- agreement --------------------------------------------------------------------------------------------------------


def test_agreement_check_lists_every_problem_with_its_place(place: Place, tmp_path: Path) -> None:
    assert "sha256:" in run("agreement", "check", place / "agreement.yaml", *place.node).ok().out
    wrong = tmp_path / "wrong.yaml"
    text = AGREEMENT.replace("tax_paid:", "tax_pad:").replace("jobs: 500, ", "").replace("OUTPUT", "automatic")
    wrong.write_text(text.replace("jobs_per_day: 50", "jobs: 500, jobs_per_day: 50"), encoding="utf-8")
    done = run("agreement", "check", wrong, *place.node, "--json")
    assert done.code == 65
    (problem,) = done.json["problems"]
    assert (problem["line"], "tax_pad" in problem["path"]) == (17, True)
    wrong.write_text("agreement: [", encoding="utf-8")
    assert run("agreement", "check", wrong, "--json").code == 65


def test_agreement_explain_says_what_would_be_enough(place: Place, tmp_path: Path) -> None:
    use = {"dataset": TAX, "column": "revenue", "use": "aggregate", "clause": "aggregates[0]", "function": "sum"}
    request = {
        "assignee": "partner:bank-a",
        "purpose": "research.aggregate",
        "operations": ["aggregate.sum"],
        "datasets": [TAX],
        "uses": [use],
        "place": "node:futian-lab",
    }
    path = tmp_path / "request.json"
    path.write_text(json.dumps(request), encoding="utf-8")
    asked = ("agreement", "explain", path, "--agreement", place / "agreement.yaml", *place.node)
    done = run(*asked, "--json")
    assert (done.code, done.json["outcome"]) == (77, "refuse")
    assert done.json["reasons"][0]["grant"]["column"] == "revenue"
    assert "would be enough" in run(*asked).out
    path.write_text(json.dumps(request | {"uses": [use | {"column": "tax_paid"}]}), encoding="utf-8")
    assert run(*asked, "--json").ok().json["outcome"] == "permit"
    path.write_text(json.dumps(request | {"more": 1}), encoding="utf-8")
    assert run(*asked).code == 65


def test_agreement_diff_says_what_is_newly_allowed(place: Place, tmp_path: Path) -> None:
    after = tmp_path / "after.yaml"
    text = (place / "agreement.yaml").read_text("utf-8").replace("version: 1", "version: 2")
    after.write_text(
        text.replace("tax_paid: [aggregate]", "tax_paid: [aggregate]\n      revenue: [aggregate]"), "utf-8"
    )
    done = run("agreement", "diff", place / "agreement.yaml", after, "--json").ok()
    effects = {change["path"]: change["effect"] for change in done.json["changes"]}
    assert any("revenue" in path and "allow" in effect for path, effect in effects.items()), effects
    assert "revenue" in run("agreement", "diff", place / "agreement.yaml", after).ok().out


def test_agreement_odrl_and_digest_name_the_same_terms(place: Place, tmp_path: Path) -> None:
    digest = run("agreement", "digest", place / "agreement.yaml", "--json").ok().json["terms"]
    checked = run("agreement", "check", place / "agreement.yaml", "--json").ok().json["terms"]
    run("agreement", "odrl", place / "agreement.yaml", "--out", tmp_path / "odrl.json").ok()
    text = (tmp_path / "odrl.json").read_text("utf-8")
    assert checked == digest
    assert digest in text
    assert json.loads(text)["@type"] == "Agreement"
    run("agreement", "digest", place / "agreement.yaml", "--out", tmp_path / "terms.json").ok()
    assert run("agreement", "digest", tmp_path / "terms.json", "--json").ok().json["terms"] == digest


# --- node -------------------------------------------------------------------------------------------------------------


def test_node_init_makes_a_private_folder_once(tmp_path: Path) -> None:
    made = ("node", "init", "node:futian-tax", "--owner", "unit:futian-tax", "--node", tmp_path / "node", "--json")
    fields = run(*made).ok().json
    assert (fields["name"], fields["isolation"]) == ("node:futian-tax", "bubblewrap")
    assert stat.S_IMODE((tmp_path / "node").stat().st_mode) == 0o700
    for path in (tmp_path / "node").rglob("*"):
        assert path.is_dir() or not stat.S_IMODE(path.stat().st_mode) & 0o077 or path.name == "node.toml", path
    refused(run(*made), "node-exists", 73)
    for name, owner in (("futian", "unit:a"), ("unit:a", "unit:a"), ("node:a", "partner:a")):
        assert run("node", "init", name, "--owner", owner, "--node", tmp_path / "x").code == 78
    assert run(*made[:-3], "--node", tmp_path / "y", "--isolation", "none").code == 78


def test_node_check_tries_the_cage_and_node_upgrade_changes_nothing_twice(tmp_path: Path, empty: Place) -> None:
    run("node", "init", "node:caged", "--owner", "unit:futian-tax", "--node", tmp_path / "caged").ok()
    rows = run("node", "check", "--node", tmp_path / "caged", "--json").ok().json
    assert len(rows) > 8
    assert all(row["refused"] for row in rows), rows
    run("node", "upgrade", "--node", tmp_path / "caged").ok()
    open_one = run("node", "check", *empty.node, "--json")
    refused(open_one, "cage-unavailable", 78)
    assert not all(row["refused"] for row in open_one.json)
    refused(run("node", "check", "--node", tmp_path, "--json"), "node-not-found", 66)


def test_node_explain_runs_and_records_nothing(place: Place) -> None:
    before = run("node", "questions", *place.node, "--json").ok().json
    fields = run("node", "explain", BY_STREET, *place.asker(), "--json").ok().json
    assert (fields["outcome"], fields["versions"]) == ("permit", f"{TAX}@1")
    done = run("node", "explain", NOT_GRANTED, *place.asker(), "--json")
    assert (done.code, done.json["reasons"][0]["code"]) == (77, "column-not-granted")
    assert run("node", "questions", *place.node, "--json").ok().json == before


def test_node_ask_releases_what_plain_sql_says(place: Place) -> None:
    done = place.ask(BY_STREET, "--json").ok()
    assert done.json["outcome"] == "released"
    got = {row[0]: row[1:] for row in done.json["result"]["rows"]}
    plain = truth(
        place, "select street, sum(tax_paid), count(tax_paid), count(*) from FILE where year = '2025' group by street"
    )
    assert set(got) == {row[0] for row in plain}
    for street, total, present, rows in plain:
        count, mean = got[street]
        assert int(count) == rows
        assert float(mean) == pytest.approx(float(total) / present)


def test_node_ask_shows_a_table_and_node_output_gives_the_same_bytes_again(place: Place, tmp_path: Path) -> None:
    shown = place.ask(BY_STREET).ok().out
    assert "福田街道" in shown
    output = next(word for word in shown.split() if word.startswith("out-"))
    place.ask(BY_STREET, "--out", tmp_path / "result.json").ok()
    again = run("node", "output", output, *place.node).ok().data
    assert again == (tmp_path / "result.json").read_bytes()
    assert run("node", "output", "out-nothing", *place.node).code == 66


def test_node_ask_takes_a_plan_and_writes_what_it_would_show(place: Place, tmp_path: Path) -> None:
    plan = {
        "v": 1,
        "question": {
            "kind": "table",
            "source": {"dataset": TAX},
            "group_by": [{"column": "size"}],
            "aggregates": [{"function": "count_units"}],
        },
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    done = run("node", "ask", "--plan", tmp_path / "plan.json", *place.asker(), "--json")
    by_size = dict(truth(place, "select size, count(distinct uscc) from FILE group by size"))
    rows = done.ok().json["result"]["rows"]
    released = [(size, int(units)) for size, units in rows if units != {"suppressed": True}]
    assert len(released) >= 2
    assert all(by_size[size] == units for size, units in released)
    both = run("node", "ask", BY_STREET, "--plan", tmp_path / "plan.json", *place.asker(), "--json")
    refused(both, "usage", 64)
    refused(run("node", "ask", *place.asker(), "--json"), "usage", 64)
    (tmp_path / "plan.json").write_text("{", encoding="utf-8")
    refused(run("node", "ask", "--plan", tmp_path / "plan.json", *place.asker(), "--json"), "json-malformed", 65)
    (tmp_path / "plan.json").write_text(json.dumps(plan | {"more": 1}), encoding="utf-8")
    refused(run("node", "ask", "--plan", tmp_path / "plan.json", *place.asker(), "--json"), "plan-malformed", 65)


def test_node_ask_refuses_with_reasons_and_the_smallest_grant(place: Place) -> None:
    done = place.ask(NOT_GRANTED, "--json")
    assert (done.code, done.json["outcome"]) == (77, "refuse")
    (reason,) = done.json["reasons"]
    assert (reason["code"], reason["clause"], reason["missing"]) == ("column-not-granted", "aggregates[0]", "aggregate")
    grant = {name: value for name, value in reason["grant"].items() if value}
    assert grant == {
        "agreement": "agr-tax-research-2026",
        "dataset": TAX,
        "column": "revenue",
        "use": "aggregate",
        "function": "sum",
    }
    shown = place.ask(NOT_GRANTED)
    assert "would be enough: grant aggregate of column `revenue`" in shown.out
    stranger = run("node", "ask", BY_STREET, *place.asker()[:4], "--partner", "partner:bank-b", "--purpose", "x")
    assert (stranger.code, "agr-tax" in stranger.out) == (77, False), "nothing of agreements with others"


BAD = {
    "select": "sql-not-supported",
    "select * from tax.annual_filings": "sql-not-supported",
    "select street from tax.annual_filings; drop table rows": "sql-not-supported",
    "select count(*) from read_text('node.toml')": "sql-not-supported",
    "select street, count(*) from tax.nothing group by street": "name-unknown",
    "select stret, count(*) from tax.annual_filings group by stret": "name-unknown",
    "select street, count(*) from tax.annual_filings where street = '没有街道' group by street": "literal-invalid",
}


@pytest.mark.parametrize("sql", BAD)
def test_node_ask_says_what_is_wrong_with_a_question(place: Place, sql: str) -> None:
    done = place.ask(sql, "--json")
    assert (done.code, done.data) == (65, b"")
    assert done.error["code"] == BAD[sql], done.err
    assert "没有" not in done.err


def test_node_ask_holds_with_remedies_and_node_held_list_show_and_reject_decide(place: Place) -> None:
    done = place.ask(TOO_SMALL, "--json")
    assert (done.code, done.json["outcome"]) == (77, "held")
    assert {"coarser-level", "fewer-dimensions"} <= set(done.json["remedies"])
    output = done.json["output"]
    values = [str(int(row[0])) for row in truth(place, "select tax_paid from FILE where street = '福保街道'") if row[0]]
    assert not [value for value in values if len(value) > 5 and value in done.out + done.err]
    listed = run("node", "held", "list", *place.node, "--json").ok().json
    assert output in {row["output"] for row in listed}
    evidence = run("node", "held", "show", output, *place.node).ok().json
    assert evidence
    mine = run("node", "held", "reject", output, "--person", "partner:bank-a", *place.node, "--json")
    refused(mine, "duties-not-separated", 77)
    rejected = run("node", "held", "reject", output, "--person", "person:li-si", *place.node, "--json").ok().json
    assert rejected["state"] == "rejected"
    assert run("node", "held", "show", output, *place.node).code == 66, "its evidence is destroyed"
    assert run("node", "held", "reject", output, "--person", "person:wang-wu", *place.node).code != 0
    states = {row["question"]: row["state"] for row in run("node", "questions", *place.node, "--json").ok().json}
    assert "rejected" in states.values()


def test_node_held_approve_takes_two_people_where_the_output_is_checked(place: Place) -> None:
    held = [
        done for done in (place.ask(sql, "--json", agreement="checked.yaml") for sql in REVIEWED) if done.code == 77
    ]
    assert held, "one of these is for a person"
    output = held[0].json["output"]
    approve = ("node", "held", "approve", output, "--agreement", place / "checked.yaml", *place.node, "--json")
    first = run(*approve, "--person", "person:li-si").ok().json
    assert first == {"output": output, "state": "half-checked"}
    refused(run(*approve, "--person", "person:li-si"), "duties-not-separated", 77)
    second = run(*approve, "--person", "person:wang-wu").ok().json
    assert second["outcome"] == "released"
    assert run("node", "output", second["output"], *place.node).ok().json == second["result"]
    assert run(*approve, "--person", "person:zhao-liu").code != 0


REVIEWED: Sequence[str] = (
    "select size, street, sum(tax_paid) from tax.annual_filings where year = '2025' group by size, street",
    TOO_SMALL,
)


def test_node_questions_tells_how_each_ended(place: Place) -> None:
    place.ask(BY_STREET).ok()
    place.ask(NOT_GRANTED)
    rows = run("node", "questions", *place.node, "--json").ok().json
    assert {"released", "refused"} <= {row["state"] for row in rows}
    assert {row["partner"] for row in rows} <= {"partner:bank-a", "partner:bank-b"}
    assert all((row["output"] is not None) == (row["state"] == "released") for row in rows)
    assert "released" in run("node", "questions", *place.node).ok().out


# --- everything -------------------------------------------------------------------------------------------------------


def test_node_ask_in_chinese_as_a_process_and_loud_where_nothing_isolates(place: Place) -> None:
    env = {"YINGBI_LANG": "zh", "COLUMNS": "160", "OPENBLAS_NUM_THREADS": "1"}
    words = load_catalogue("zh")
    done = spawn("node", "ask", BY_STREET, *place.asker(), env=env)
    assert (done.code, "WARNING" in done.err, "UNCAGED" in done.err) == (0, True, True), done.err
    assert words["released.title"] in done.out
    assert words["field.output"] in done.out
    assert "福田街道" in done.out
    held = spawn("node", "ask", TOO_SMALL, *place.asker(), env=env)
    assert (held.code, words["node.held.final"] in held.out) == (77, True)
    assert words["field.remedies"] in held.out
    assert words["node.ask.help"] in spawn("node", "ask", "--help", env=env).out
    assert words["catalog.items.title"] in run("catalog", "show", TAX, *place.node, env=env).ok().out


# --- the tour ---------------------------------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[2]


def test_the_tour_of_the_gate_can_be_pasted(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "tour.md").read_text("utf-8")
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    program = tmp_path / "bin" / "yingbi"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m yingbi "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    (program.parent / "python3").symlink_to(sys.executable)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("YINGBI_")}
    path = f"{program.parent}:{os.environ.get('PATH', os.defpath)}"
    own = {"PATH": path, "PYTHONPATH": str(ROOT), "YINGBI_LANG": "en", "COLUMNS": "120", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=kept | own, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert re.findall(r"exit code \d+", done.stdout) == ["exit code 77", "exit code 77"]
    for said in ("福田街道", "would be enough: grant aggregate of column `revenue`", "table.empty", "rejected"):
        assert said in done.stdout, said
    assert "NOT REFUSED" not in done.stdout
    states = [row["state"] for row in run("node", "questions", "--node", tmp_path / "gate/node", "--json").json]
    assert states == ["released", "refused", "rejected"]
    assert json.loads((tmp_path / "gate" / "result.json").read_bytes())["kind"] == "table"
