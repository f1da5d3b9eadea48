"""Bundles of a federation that really ran: what is wrong with its evidence is found, what is missing is asked for."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.lib.bags import bag, write_zip
from tests.lib.federation_evidence import Run, digest_of, real_run
from tests.lib.mini_log import NOW as LOG_NOW
from tests.lib.mini_log import NOW_S, MiniLog, signer, witness
from tests.lib.nodes import NOW
from yingbi.audit.bundle import Contents, build_bundle
from yingbi.audit.controls import run_controls
from yingbi.audit.folding import Documents
from yingbi.verify import Check, Finding, Name, Outcome, Report, Verdict, load_trust, verify_bundle
from yingbi.verify.bundle_vectors import vector_digest

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def run() -> Run:
    return real_run()


def build(run: Run, *, with_evidence: bool = True, jobs: frozenset[str] | None = None) -> Files:
    """Return the payload of the bundle that the product makes of a run."""
    case = run.case()
    evidence = run.evidence if with_evidence else None
    contents = Contents(documents=Documents(dict(run.texts)), jobs=jobs, evidence=evidence)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "b.zip"
        build_bundle(path, case, run_controls(case), run.published().__getitem__, contents)
        with zipfile.ZipFile(path) as file:
            names = [name for name in file.namelist() if name.startswith("evidence/data/")]
            return {name.removeprefix("evidence/data/"): file.read(name) for name in names}


@pytest.fixture(scope="module")
def good(run: Run) -> Files:
    return build(run)


def verify(run: Run, files: Files, tmp_path: Path) -> Report:
    path = write_zip(tmp_path / "b.zip", bag(files))
    return verify_bundle(path, load_trust(run.trust()), now=NOW + timedelta(minutes=2))


def check(report: Report, name: str = Name.FEDERATIONS) -> Check:
    (found,) = (item for item in report.checks if item.name == name)
    return found


def test_a_good_bundle_is_verified(run: Run, good: Files, tmp_path: Path) -> None:
    report = verify(run, good, tmp_path)
    assert report.verdict is Verdict.VERIFIED, report.to_text()
    rounds = sum(1 for _ in run.all("federation.round_completed"))
    assert check(report).message.startswith(f"{1 + 3 * rounds} terms and contributions, {rounds} sums")
    held = {name for name in good if name.startswith("federations/")}
    assert held == {f"federations/{name}" for name in run.files}


def test_a_bundle_without_contributions_says_so_and_has_none(run: Run, good: Files, tmp_path: Path) -> None:
    files = build(run, with_evidence=False)
    report = verify(run, files, tmp_path)
    assert report.verdict is Verdict.VERIFIED
    assert check(report).outcome is Outcome.NOT_CHECKED
    assert "federations" not in json.loads(files["bundle.json"])
    smuggled = verify(run, {**good, "bundle.json": files["bundle.json"]}, tmp_path)
    assert check(smuggled, Name.CONTENTS).finding is Finding.UNEXPECTED


def shift(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


DAMAGES: dict[str, tuple[Callable[[Run, Files, str], Files], Finding]] = {
    "an altered contribution": (
        lambda _, files, at: {**files, f"{at}/2-1/bao.bin": shift(files[f"{at}/2-1/bao.bin"])},
        Finding.HASH_MISMATCH,
    ),
    "another's contribution": (
        lambda _, files, at: {**files, f"{at}/2-1/bao.bin": files[f"{at}/2-1/luohu.bin"]},
        Finding.HASH_MISMATCH,
    ),
    "a contribution of another round": (
        lambda _, files, at: {**files, f"{at}/2-1/bao.bin": files[f"{at}/1-1/bao.bin"]},
        Finding.HASH_MISMATCH,
    ),
    "half a number": (
        lambda _, files, at: {**files, f"{at}/2-1/bao.bin": files[f"{at}/2-1/bao.bin"][:-1]},
        Finding.MALFORMED,
    ),
    "nothing": (lambda _, files, at: {**files, f"{at}/2-1/bao.bin": b""}, Finding.MALFORMED),
    "other terms": (
        lambda _, files, at: {**files, f"{at}/terms.json": files[f"{at}/terms.json"] + b" "},
        Finding.HASH_MISMATCH,
    ),
    "a contribution too many": (
        lambda _, files, at: {**files, f"{at}/2-2/bao.bin": files[f"{at}/2-1/bao.bin"]},
        Finding.UNEXPECTED,
    ),
    "a stranger's contribution": (
        lambda _, files, at: {**files, f"{at}/2-1/nobody.bin": files[f"{at}/2-1/bao.bin"]},
        Finding.UNEXPECTED,
    ),
    "another federation": (
        lambda _, files, at: {**files, "federations/fed-other/terms.json": files[f"{at}/terms.json"]},
        Finding.UNEXPECTED,
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_evidence_is_found(run: Run, good: Files, tmp_path: Path, name: str) -> None:
    damage, finding = DAMAGES[name]
    report = verify(run, damage(run, good, f"federations/{run.federation}"), tmp_path)
    assert (report.verdict, check(report).finding) == (Verdict.INVALID, finding)


def test_an_altered_sum_is_found_at_its_entry(run: Run, tmp_path: Path) -> None:
    index = run.find("federation.round_completed", round=2)
    bad = run.change(index, aggregate=digest_of("another sum"))
    found = check(verify(bad, build(bad), tmp_path))
    assert (found.finding, found.index) == (Finding.HASH_MISMATCH, index)
    assert found.expected == digest_of("another sum")


def test_contributions_of_two_lengths_are_no_sum(run: Run, tmp_path: Path) -> None:
    data = run.file("2-1/bao.bin")[:-8]
    bad = run.with_file("2-1/bao.bin", data)
    bad = bad.change(bad.find("federation.contributed", round=2, issuer="node:bao"), contribution=vector_digest(data))
    assert "different lengths" in str(check(verify(bad, build(bad), tmp_path)).actual)


@pytest.mark.parametrize("name", ["terms.json", "2-1/bao.bin"])
def test_what_is_missing_is_asked_for(run: Run, good: Files, tmp_path: Path, name: str) -> None:
    path = f"federations/{run.federation}/{name}"
    report = verify(run, {key: data for key, data in good.items() if key != path}, tmp_path)
    assert report.verdict is Verdict.COULD_NOT_CHECK
    assert check(report).ask_for == (path,)


def test_a_maker_says_what_is_missing(run: Run, tmp_path: Path) -> None:
    case = run.case()
    lacking = run.with_file("2-1/bao.bin", None)
    contents = Contents(documents=None, evidence=lacking.evidence)
    built = build_bundle(tmp_path / "b.zip", case, run_controls(case), run.published().__getitem__, contents)
    assert built.absent == (f"{run.federation}/2-1/bao.bin",)


def test_a_bundle_of_other_jobs_needs_no_contributions(run: Run, tmp_path: Path) -> None:
    mine = build(run, jobs=frozenset({run.jobs[0]}))
    assert any(name.startswith("federations/") for name in mine)
    row = run.rows[run.find("job.submitted")].again("alone")
    alone = run.insert(len(run.rows), replace(row, payload=row.payload | {"id": "job-alone"}))
    files = build(alone, jobs=frozenset({"job-alone"}))
    assert not any(name.startswith("federations/") for name in files)
    assert check(verify(alone, files, tmp_path)).outcome is Outcome.PASSED


def test_nothing_that_an_entry_may_say_breaks_the_reader(tmp_path: Path) -> None:
    log, w1 = MiniLog(), witness("w1")
    for body in ({}, {"members": 1, "contributions": [1], "aggregate": "x"}, {"round": {}, "attempt": [], "terms": 1}):
        for kind in ("started", "contributed", "round_completed"):
            log.append(f"federation.{kind}", [signer("root", "")], id="fed-x", body=body)
    about = {"v": 1, "origin": log.origin, "size": len(log.entries), "jobs": None, "documents": "included"}
    files = {f"log/{name}": data for name, data in log.export(cosign=[(w1, NOW_S - 60)]).items()}
    files |= {"ro-crate-metadata.json": b"{}", "federations/fed-x/terms.json": b"{}"}
    files["bundle.json"] = json.dumps(
        about | {"federations": "included"}, sort_keys=True, separators=(",", ":")
    ).encode()
    path = write_zip(tmp_path / "b.zip", bag(files))
    trust = load_trust(log.trust(witnesses=[w1], roots=[signer("root", "")]))
    report = verify_bundle(path, trust, now=LOG_NOW, statements=False)
    assert check(report).finding is Finding.HASH_MISMATCH, report.to_text()


@pytest.mark.parametrize("value", ["yes", None, True, 1])
def test_what_the_bundle_says_of_contributions_is_one_of_two_words(
    run: Run, good: Files, tmp_path: Path, value: object
) -> None:
    about = json.loads(good["bundle.json"]) | {"federations": value}
    files = {**good, "bundle.json": json.dumps(about, sort_keys=True, separators=(",", ":")).encode()}
    assert check(verify(run, files, tmp_path), Name.CONTENTS).finding is Finding.MALFORMED
