"""`yingbi agreement`, called as the command line calls it."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from policies.codec import request_to_json
from policies.model import terms_digest, to_json
from policies.request import Use
from tests.unit.policies.examples import DATASET, TEXT, agreement, edited, request, use
from yingbi.canonical import canonical_bytes
from yingbi.cli import agreement as command
from yingbi.cli.text import load_catalogue
from yingbi.errors import SandboxError

CATALOGUE = [
    {
        "name": DATASET,
        "title": "年度纳税申报",
        "owner": "unit:futian-tax",
        "privacy_unit": "enterprise",
        "items": [
            {"name": "uscc", "title": "u", "type": "text", "role": "unit", "nullable": False},
            {"name": "year", "title": "y", "type": "integer"},
            {"name": "industry", "title": "i", "type": "code", "domain": ["C26", "F51"]},
            {"name": "tax_paid", "title": "t", "type": "decimal", "decimals": 2, "bounds": ["0", "5000000"]},
        ],
    }
]
AROUND = ("--licensed", "partner:credit-bureau-1", "--at", "2026-12-01T00:00:00.000000Z")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text(TEXT, "utf-8")
    (tmp_path / "c.json").write_text(json.dumps(CATALOGUE), "utf-8")
    (tmp_path / "r.json").write_text(json.dumps(request_to_json(request())), "utf-8")
    return tmp_path


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(command.app, [str(item) for item in arguments])
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout


def test_check_lists_every_problem_and_fails(place: Path) -> None:
    good = json.loads(run("check", place / "a.yaml", "--catalogue", place / "c.json", *AROUND, "--json"))
    assert good == {"terms": terms_digest(agreement()), "problems": []}
    (place / "b.yaml").write_text(edited("[join]", "[jion]", edited("version: 1", "version: 0")), "utf-8")
    bad = json.loads(run("check", place / "b.yaml", "--json", code=65))
    assert [(item["line"], item["column"]) for item in bad["problems"]] == [(2, 10), (14, 14)]
    (place / "b.yaml").write_text(edited("tax_paid:", "tax_pay:"), "utf-8")
    assert json.loads(run("check", place / "b.yaml", "--json"))["problems"] == []
    found = json.loads(run("check", place / "b.yaml", "--catalogue", place / "c.json", *AROUND, "--json", code=65))
    assert found["problems"][0]["hint"] == "did you mean `tax_paid`"


def test_check_says_that_all_is_well(place: Path) -> None:
    assert terms_digest(agreement()) in run("check", place / "a.yaml")


def test_explain_permits_or_says_what_would_be_enough(place: Path) -> None:
    arguments = ("--agreement", place / "a.yaml", "--catalogue", place / "c.json", *AROUND)
    assert run("explain", place / "r.json", *arguments).startswith("permitted\n")
    asked = request(uses=(use("tax_paid", Use.AGGREGATE, "aggregates[0]", function="variance"),))
    (place / "r.json").write_text(json.dumps(request_to_json(asked)), "utf-8")
    lines = run("explain", place / "r.json", *arguments, code=77)
    assert "would be enough: grant aggregate of column `tax_paid`" in lines
    decision = json.loads(run("explain", place / "r.json", *arguments, "--json", code=77))
    assert decision["reasons"][0]["grant"]["function"] == "variance"


def test_diff_names_changes_and_flips(place: Path) -> None:
    (place / "b.yaml").write_text(edited("[sum, mean]", "[mean]"), "utf-8")
    arguments = ("--requests", place / "r.json", "--catalogue", place / "c.json", *AROUND, "--json")
    found = json.loads(run("diff", place / "a.yaml", place / "b.yaml", *arguments))
    path = f"datasets.{DATASET}.columns.tax_paid.functions"
    assert found["changes"] == [{"effect": "refuses", "path": path, "before": "sum", "after": None}]
    assert found["flips"] == [{"index": 0, "before": "permit", "after": "refuse"}]
    assert json.loads(run("diff", place / "a.yaml", place / "a.yaml", "--json")) == {"changes": [], "flips": []}


def test_odrl_and_digest_write_files(place: Path) -> None:
    assert json.loads(run("odrl", place / "a.yaml"))["yb:terms"] == terms_digest(agreement())
    fields = json.loads(run("digest", place / "a.yaml", "--json", "--out", place / "terms.json"))
    assert fields == {"agreement": agreement().id, "version": 1, "terms": terms_digest(agreement())}
    assert (place / "terms.json").read_bytes() == canonical_bytes(to_json(agreement()))


WRONG: dict[str, tuple[Any, ...]] = {
    "no catalogue": ("explain", "r.json", "--agreement", "a.yaml"),
    "two catalogues": ("check", "a.yaml", "--catalogue", "c.json", "--node", "."),
    "catalogue that is none": ("check", "a.yaml", "--catalogue", "r.json"),
    "request that is none": ("explain", "c.json", "--agreement", "a.yaml", "--catalogue", "c.json"),
    "not json": ("check", "a.yaml", "--catalogue", "a.yaml"),
    "agreement that is none": ("digest", "r.json"),
    "no node": ("check", "a.yaml", "--node", "."),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_read_is_an_error_of_ours(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    done = CliRunner().invoke(command.app, [str(item) for item in WRONG[name]])
    assert isinstance(done.exception, SandboxError), done.exception


def test_the_texts_are_all_used_and_in_both_languages() -> None:
    source = Path(command.__file__).read_text("utf-8")
    for language in ("en", "zh"):
        keys = [key for key in load_catalogue(language) if key.startswith("agreement.")]
        assert keys
        assert [key for key in keys if f'"{key}"' not in source] == []
    assert isinstance(command.app, typer.Typer)
