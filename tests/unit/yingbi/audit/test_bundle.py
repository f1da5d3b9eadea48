"""Bundles that are made: what is in them, that they verify, and that they are the same wherever they are made."""

import csv
import hashlib
import io
import json
import subprocess
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from policies.model import terms_digest
from policies.parse import parse_agreement
from tests.lib.audited_log import AGREEMENT, BANK, NOW, TERMS, AuditedLog
from yingbi.audit.bundle import Built, Contents, build_bundle, chosen_jobs
from yingbi.audit.controls import run_controls
from yingbi.audit.folding import Documents
from yingbi.errors import InvalidRequestError, NotFoundError
from yingbi.verify import Finding, Report, Verdict, load_trust, verify_bundle


@pytest.fixture(scope="module")
def log() -> AuditedLog:
    return AuditedLog().found().run_day().run_incidents()


def build(log: AuditedLog, path: Path, **contents: Any) -> Built:
    case = log.case()
    whole = Contents(**{"documents": log.documents, **contents})
    return build_bundle(path, case, run_controls(case), log.read_file, whole)


def verify(log: AuditedLog, path: Path, **options: Any) -> Report:
    return verify_bundle(path, load_trust(log.trust()), **{"now": NOW, **options})


def names(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as file:
        return {name.removeprefix("evidence/") for name in file.namelist()}


def read(path: Path, name: str) -> bytes:
    with zipfile.ZipFile(path) as file:
        return file.read(f"evidence/{name}")


def test_a_bundle_is_verified(log: AuditedLog, tmp_path: Path) -> None:
    built = build(log, tmp_path / "b.zip")
    report = verify(log, tmp_path / "b.zip")
    assert report.verdict is Verdict.VERIFIED, report.to_text()
    assert (built.absent, built.jobs) == ((), 8)
    assert built.files == len([name for name in names(tmp_path / "b.zip") if name.startswith("data/")])
    assert not list(tmp_path.glob(".*")), "no temporary file is left"


def test_the_same_bundle_has_the_same_bytes(log: AuditedLog, tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        build(log, tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_sha512sum_gives_first_assurance(log: AuditedLog, tmp_path: Path) -> None:
    build(log, tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as file:
        file.extractall(tmp_path)
    for name in ("manifest-sha512.txt", "tagmanifest-sha512.txt"):
        done = subprocess.run(
            ["sha512sum", "-c", "--strict", name], cwd=tmp_path / "evidence", capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_it_holds_what_an_auditor_expects(log: AuditedLog, tmp_path: Path) -> None:
    build(log, tmp_path / "b.zip")
    found = names(tmp_path / "b.zip")
    files = {f"data/log/{name}" for name in log.files()}
    documents = {f"data/documents/{name.removeprefix('sha256:')}.json" for name in log.texts}
    tables = {f"{name}.csv" for name in ("findings", "jobs", "approvals", "checks", "keys")}
    reports = {"report.en.html", "report.zh.html", "report.json", "README.txt"} | tables
    assert found >= files | documents | {f"data/report/{name}" for name in reports}
    receipts = {name for name in found if name.startswith("data/receipts/")}
    assert len(receipts) == 4, "one for each released result"
    info = read(tmp_path / "b.zip", "bag-info.txt").decode()
    assert "External-Identifier: urn:uuid:" in info


def test_a_bundle_of_one_job_holds_all_its_receipts_and_only_its_documents(log: AuditedLog, tmp_path: Path) -> None:
    build(log, tmp_path / "b.zip", jobs=frozenset({"job-0003"}))
    found = names(tmp_path / "b.zip")
    indexes = {f"data/receipts/{fact.index:08}.tlog-proof" for fact in log.read().jobs["job-0003"]}
    assert {name for name in found if name.startswith("data/receipts/")} == indexes
    assert json.loads(read(tmp_path / "b.zip", "data/bundle.json"))["jobs"] == ["job-0003"]
    assert verify(log, tmp_path / "b.zip").verdict is Verdict.VERIFIED


def test_a_submission_without_an_effect_brings_its_documents_along(tmp_path: Path) -> None:
    """A verifier does not know which one had an effect, and asks for the documents of all."""
    log = AuditedLog().found()
    other = parse_agreement(TERMS.replace(AGREEMENT, "agr-tax-2026-02").encode())
    log.agree(other).run_job("job-0001")
    index = log.submit("job-0001", agreement=other.id)
    assert log.read().facts[index].refusal is not None
    build(log, tmp_path / "b.zip", jobs=frozenset({"job-0001"}))
    report = verify(log, tmp_path / "b.zip")
    assert report.verdict is Verdict.VERIFIED, report.to_text()
    assert f"data/documents/{terms_digest(other).removeprefix('sha256:')}.json" in names(tmp_path / "b.zip")


def test_jobs_are_chosen_by_id_or_by_their_last_entry(log: AuditedLog) -> None:
    case = log.case()
    assert chosen_jobs(case, job=None, since=None) is None
    assert chosen_jobs(case, job="job-0001", since=None) == frozenset({"job-0001"})
    last = case.stories["job-0004"].facts[-1].index
    later = frozenset({"job-0004", "job-0101", "job-0102", "job-0103", "job-0104"})
    assert chosen_jobs(case, job=None, since=last) == later
    with pytest.raises(NotFoundError):
        chosen_jobs(case, job="job-9999", since=None)


def test_documents_that_are_not_here_are_told_and_asked_for(log: AuditedLog, tmp_path: Path) -> None:
    terms = terms_digest(log.terms)
    built = build(log, tmp_path / "b.zip", documents=Documents({terms: log.texts[terms]}))
    assert len(built.absent) == 1
    assert verify(log, tmp_path / "b.zip").verdict is Verdict.COULD_NOT_CHECK
    build(log, tmp_path / "c.zip", documents=None)
    assert not any(name.startswith("data/documents") for name in names(tmp_path / "c.zip"))
    assert verify(log, tmp_path / "c.zip").verdict is Verdict.VERIFIED


def test_receipts_that_somebody_kept_tell_on_a_log_that_was_rewritten(log: AuditedLog, tmp_path: Path) -> None:
    kept = log.mini.receipt(40, 50)
    build(log, tmp_path / "good.zip", receipts=[kept])
    assert verify(log, tmp_path / "good.zip").verdict is Verdict.VERIFIED
    rewritten = AuditedLog(mini=log.mini.copy(), at=log.at)
    rewritten.mini.entries[40:42] = reversed(rewritten.mini.entries[40:42])
    times = [json.loads(entry)["time"] for entry in log.mini.entries]
    for index in (40, 41):
        value = json.loads(rewritten.mini.entries[index])
        rewritten.mini.entries[index] = json.dumps(
            {**value, "time": times[index]}, sort_keys=True, separators=(",", ":")
        ).encode()
    rewritten.mini.rechain(40)
    build(rewritten, tmp_path / "bad.zip", receipts=[kept])
    report = verify(rewritten, tmp_path / "bad.zip")
    assert report.verdict is Verdict.INVALID
    assert report.first_failure is not None
    assert report.first_failure.finding is Finding.SPLIT_VIEW
    assert len(report.heads) == 2


def test_what_is_no_receipt_is_not_packed(log: AuditedLog, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="index N"):
        build(log, tmp_path / "b.zip", receipts=[b"no receipt\n\n"])
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_where_a_bundle_cannot_be_made(log: AuditedLog, tmp_path: Path) -> None:
    case, files = log.case(), log.files()
    name = next(path for path in files if path.startswith("tile/0"))
    del files[name]
    with pytest.raises(NotFoundError, match="tile/0"):
        build_bundle(tmp_path / "b.zip", case, (), files.__getitem__, Contents(documents=log.documents))
    assert list(tmp_path.iterdir()) == []


# --- what it tells people and machines --------------------------------------------------------------------------------


def crate(path: Path) -> dict[str, dict[str, Any]]:
    document = json.loads(read(path, "data/ro-crate-metadata.json"))
    assert document["@context"] == "https://w3id.org/ro/crate/1.2/context"
    return {entity["@id"]: entity for entity in document["@graph"]}


def references(value: object) -> set[str]:
    if isinstance(value, dict):
        inner = set().union(*(references(item) for item in value.values())) if value else set()
        return {value["@id"]} if set(value) == {"@id"} else inner
    return set().union(*map(references, value)) if isinstance(value, list) and value else set()


def test_the_crate_is_of_the_profile(log: AuditedLog, tmp_path: Path) -> None:
    build(log, tmp_path / "b.zip")
    graph = crate(tmp_path / "b.zip")
    assert graph["ro-crate-metadata.json"]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.2"}
    root = graph["./"]
    assert root["conformsTo"] == {"@id": "https://w3id.org/5s-crate/0.4"}
    assert {"name", "description", "datePublished", "license"} <= set(root)
    assert graph[root["mainEntity"]["@id"]]["@type"] == "Dataset"
    assert graph[root["sourceOrganization"]["@id"]]["@type"] == "Project"
    assert graph[root["publisher"]["@id"]]["name"] == "bureau:futian"
    mentioned = [graph[item["@id"]] for item in root["mentions"]]
    runs = [item for item in mentioned if item["@type"] == "CreateAction"]
    assert len(runs) == 8
    for run in runs:
        assert run["instrument"] == root["mainEntity"]
        assert graph[run["agent"]["@id"]]["@type"] == "Person"
        assert run["actionStatus"].startswith("http://schema.org/")
    kinds = {item["additionalType"]["@id"] for item in mentioned if item["@type"] == "AssessAction"}
    assert kinds == {"https://w3id.org/shp#SignOff", "https://w3id.org/shp#DisclosureCheck"}


def test_the_crate_describes_everything_that_it_refers_to(log: AuditedLog, tmp_path: Path) -> None:
    build(log, tmp_path / "b.zip")
    graph = crate(tmp_path / "b.zip")
    named = {
        name for entity in graph.values() for key, item in entity.items() if key != "@id" for name in references(item)
    }
    assert {name for name in named - set(graph) if not name.startswith("https://w3id.org/")} == set()
    for part in graph["./"]["hasPart"]:
        assert any(name.startswith(f"data/{part['@id']}") for name in names(tmp_path / "b.zip"))


def test_a_log_without_jobs_claims_no_profile(tmp_path: Path) -> None:
    log = AuditedLog().found()
    build(log, tmp_path / "b.zip")
    assert "conformsTo" not in crate(tmp_path / "b.zip")["./"]
    assert verify(log, tmp_path / "b.zip").verdict is Verdict.VERIFIED


class Loaded(HTMLParser):
    """Collects what a page would load or lead to, and which elements are open."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [str(value) for name, value in attrs if name in ("href", "src", "data", "action")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [str(value) for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_is_one_page_a_language_that_loads_nothing(log: AuditedLog, tmp_path: Path) -> None:
    build(log, tmp_path / "b.zip")
    for language, title in (("en", "Control tests"), ("zh", "控制测试")):
        page = read(tmp_path / "b.zip", f"data/report/report.{language}.html").decode()
        assert f'<html lang="{language}">' in page
        assert title in page
        assert "<script" not in page
        assert "default-src &#x27;none&#x27;" in page
        assert page.count("<svg") == 3
        parser = Loaded()
        parser.feed(page)
        assert parser.open == []
        assert all(value.startswith(("#", "report.")) for value in parser.links)


def test_csv_and_json_say_the_same(log: AuditedLog, tmp_path: Path) -> None:
    build(log, tmp_path / "b.zip")
    value = json.loads(read(tmp_path / "b.zip", "data/report/report.json"))
    rows = list(csv.DictReader(io.StringIO(read(tmp_path / "b.zip", "data/report/jobs.csv").decode())))
    assert [row["job"] for row in rows] == [row["job"] for row in value["jobs"]]
    keys = list(csv.DictReader(io.StringIO(read(tmp_path / "b.zip", "data/report/keys.csv").decode())))
    assert len(keys) == len(value["keys"])
    approvals = list(csv.DictReader(io.StringIO(read(tmp_path / "b.zip", "data/report/approvals.csv").decode())))
    assert {(row["decision"], row["by"]) for row in approvals} == {
        ("approved", "bureau:futian"),
        ("refused", "bureau:futian"),
    }
    checks = list(csv.DictReader(io.StringIO(read(tmp_path / "b.zip", "data/report/checks.csv").decode())))
    assert {(row["verdict"], row["by"]) for row in checks} == {
        ("pass", "node:futian-tax"),
        ("held", "node:futian-tax"),
        ("pass", "person:chk(output-checker)"),
    }
    assert value["outcomes"] == {"delivered": 4, "refused": 3, "cancelled": 1}
    assert value["refusals"] == {"column-not-granted": 3}
    (agreement,) = value["agreements"]
    assert (agreement["id"], agreement["assignee"], len(agreement["signatures"])) == (AGREEMENT, BANK, 2)
    assert {trace["job"] for trace in value["traces"]} == {row["job"] for row in rows}


def test_the_identifier_tells_bundles_apart(log: AuditedLog, tmp_path: Path) -> None:
    whole = build(log, tmp_path / "a.zip").identifier
    part = build(log, tmp_path / "b.zip", jobs=frozenset({"job-0001"})).identifier
    assert whole != part
    assert whole == build(log, tmp_path / "c.zip").identifier
    digests = {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("a.zip", "b.zip", "c.zip")}
    assert len(digests) == 2
