"""`yingbi demo` whole: real processes, TLS, signatures, data in a cage, an audit; and how it ends otherwise."""

import fcntl
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from ledger.tiles import decode_bundle
from tests.lib.command_line import Done, run
from tests.lib.town import processes_of
from tests.lib.waiting import wait_until
from yingbi.cli.text import load_catalogue

FUND_NAMES = ("guarantee", "incubator", "microcredit")
ROOT = Path(__file__).resolve().parents[2]


def start(folder: Path, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "yingbi", "demo", "--folder", str(folder), *arguments],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "here"


@pytest.fixture(scope="module")
def done(folder: Path) -> Done:
    """One whole demonstration; a log that the user works with must stay out of it."""
    real = folder.parent / "real.sqlite"
    process = start(folder, YINGBI_LANG="zh", YINGBI_LOG_DATABASE=f"sqlite:///{real}", YINGBI_HUB="elsewhere")
    out, err = process.communicate(timeout=500)
    assert not real.exists()
    return Done(process.returncode, out, err.decode())


def test_demo_ends_well_with_every_verdict_that_is_due(done: Done) -> None:
    done.ok()
    verdicts = [line.split()[0] for line in done.out.splitlines() if line.startswith(("VERIFIED", "INVALID", "COULD"))]
    assert verdicts == ["VERIFIED", "INVALID"]


def test_the_demo_tells_its_steps_in_the_users_language(done: Done) -> None:
    steps = {name: text for name, text in load_catalogue("zh").items() if name.startswith("demo.step.")}
    told = [line for line in done.out.splitlines() if line.partition(". ")[2] in steps.values()]
    assert len(told) == len(steps)
    assert [int(line.partition(".")[0]) for line in told] == list(range(1, len(steps) + 1))


def test_the_bank_has_its_answer_and_the_receipts_of_all_its_jobs(done: Done, folder: Path) -> None:
    (result,) = (folder / "results").iterdir()
    assert len(json.loads(result.read_text("utf-8"))["rows"]) == 10
    trust = ("--trust", folder / "roots.json")
    kinds = []
    for receipt in sorted((folder / "receipts").glob("*.tlog-proof")):
        verified = run("verify", receipt, "--entry", receipt.with_suffix(".entry"), *trust, "--no-statements", "--json")
        assert (verified.code, verified.json["verdict"]) == (0, "VERIFIED")
        kinds.append(receipt.stem.partition("-")[2])
    assert {"job.submitted", "job.approved", "job.leased", "job.started", "output.released", "output.held"} <= {*kinds}


def test_the_bundle_verifies_again_and_so_does_the_exported_log(done: Done, folder: Path) -> None:
    trust = ("--trust", folder / "roots.json")
    assert run("verify", folder / "bundle.zip", *trust, "--json").json["verdict"] == "VERIFIED"
    assert run("verify", folder / "log", *trust, "--json").json["verdict"] == "VERIFIED"
    assert (folder / "log" / "checkpoint").exists()
    assert (folder / "log" / "vkey").exists()
    assert (folder / "log" / "witness.vkey").read_text("utf-8").startswith("supervisor.example/witness+")


def test_everybody_signed_for_himself_and_two_where_two_are_due(done: Done, folder: Path) -> None:
    entries = [json.loads(line) for line in exported(folder)]
    signatures = {entry["type"]: len(entry["statement"]["signatures"]) for entry in entries}
    assert signatures["participant.admitted"] == 2
    assert signatures["job.approved"] == signatures["job.submitted"] == signatures["output.released"] == 1
    refused = [entry["type"] for entry in entries if entry["type"] in ("job.refused", "output.held")]
    assert {"job.refused", "output.held"} == set(refused), "refusals and holds are evidence too"


def test_three_funds_trained_one_model_and_another_run_was_stopped(done: Done, folder: Path) -> None:
    entries = [json.loads(line) for line in exported(folder)]
    types = [entry["type"] for entry in entries]
    assert types.count("federation.joined") >= 7, "three for each bank, and once more by the node that was killed"
    assert (types.count("federation.completed"), types.count("federation.interrupted")) == (1, 1)
    model = json.loads((folder / "models" / "model.json").read_text("utf-8"))
    assert {member["node"] for member in model["members"]} == {f"node:futian-{name}" for name in FUND_NAMES}
    audited = run(
        "audit", "federations", "--log", folder / "bundle.zip", "--trust", folder / "roots.json", "--json"
    ).ok()
    completed, stopped = audited.json["federations"]
    assert (completed["state"], stopped["state"]) == ("completed", "interrupted")
    assert completed["recomputed"] == completed["rounds"] >= 3
    assert stopped["recomputed"] == stopped["rounds"] >= 1
    assert "<svg" in (folder / "models" / "card.html").read_text("utf-8")


def exported(folder: Path) -> list[bytes]:
    tiles = [path for path in (folder / "log" / "tile" / "entries").rglob("*") if path.is_file()]
    return [entry for path in sorted(tiles) for entry in decode_bundle(path.read_bytes())]


def test_no_row_and_no_value_of_a_unit_is_in_what_the_bank_or_the_auditor_got(done: Done, folder: Path) -> None:
    filings = pd.read_parquet(folder / "district" / "tax" / "annual_filings.parquet", columns=["uscc"])
    loans = pd.concat([pd.read_parquet(folder / "district" / name / "loans.parquet") for name in FUND_NAMES])
    codes = {code.encode() for code in (*filings.uscc.unique(), *loans.uscc)}
    assert len(loans) == 4500
    assert len(codes) > 5000
    seen = (
        b"".join(
            path.read_bytes()
            for name in ("results", "receipts", "log", "documents", "processes", "hub", "models", "federations")
            for path in sorted((folder / name).rglob("*"))
            if path.is_file()
        )
        + (folder / "bundle.zip").read_bytes()
    )
    assert {len(code) for code in codes} == {18}
    assert codes & runs_of_18(seen + min(codes)), "one would be found"
    assert not codes & runs_of_18(seen)


def runs_of_18(data: bytes) -> set[bytes]:
    return {match[1] for match in re.finditer(rb"(?=([0-9A-Z]{18}))", data)}


def test_the_demos_secrets_are_its_owners(done: Done, folder: Path) -> None:
    secrets = [path for path in folder.rglob("*") if path.suffix in (".pem", ".key", ".sqlite") and path.is_file()]
    private = [path for path in secrets if path.suffix == ".sqlite" or b"PRIVATE" in path.read_bytes()]
    assert len(private) > 15
    assert [path for path in private if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_the_demo_leaves_no_process_behind(done: Done, folder: Path) -> None:
    wait_until(lambda: not processes_of(folder))


def test_demo_goes_over_an_older_one_and_over_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    refused = run("demo", "--folder", tmp_path)
    assert refused.code == 73
    assert refused.err.startswith("error: node-exists ")
    assert (tmp_path / "mine.txt").exists()


def test_demo_does_not_go_over_one_that_is_running(tmp_path: Path) -> None:
    """Whoever holds the mark is running; a mark that nobody holds is of one that has ended."""
    mark = tmp_path / "made-by-yingbi-demo"
    (tmp_path / "hub").mkdir()
    with mark.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused = run("demo", "--folder", tmp_path)
    assert refused.code == 73
    assert "a demonstration is running" in refused.err
    assert (tmp_path / "hub").exists()


def test_a_process_that_does_not_start_ends_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    stopped = run("demo", "--folder", tmp_path / "demo")
    assert stopped.code == 70
    assert "`yingbi hub init` failed" in stopped.err
    assert "was removed" not in stopped.out
    (tmp_path / "demo" / "left.txt").write_text("old")
    again = run("demo", "--folder", tmp_path / "demo")
    assert "was removed" in again.out
    assert not (tmp_path / "demo" / "left.txt").exists()
