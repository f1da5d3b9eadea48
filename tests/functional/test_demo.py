"""`yingbi demo` whole: real processes, TLS, files, an audit; and what it does where it cannot go on."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lib.command_line import Done, run, spawn
from yingbi.cli.text import load_catalogue


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def done(folder: Path) -> Done:
    return spawn("demo", "--folder", folder, env={"YINGBI_LANG": "zh", "COLUMNS": "300"})


def test_demo_ends_well_with_every_verdict_that_is_due(done: Done) -> None:
    done.ok()
    verdicts = [line.split()[0] for line in done.out.splitlines() if line.startswith(("VERIFIED", "INVALID"))]
    assert verdicts == ["VERIFIED", "VERIFIED", "INVALID"]
    assert "COULD NOT CHECK" not in done.out
    assert "log has 0 entries, but the high-water mark remembers 8" in done.out


def test_the_demo_tells_its_steps_in_the_users_language(done: Done) -> None:
    steps = {name: text for name, text in load_catalogue("zh").items() if name.startswith("demo.step.")}
    places = [done.out.index(text) for text in steps.values()]
    assert len(places) == 8
    told = [text for _, text in sorted(zip(places, steps.values(), strict=True))]
    assert told == sorted(steps.values()), "in the order of their numbers"


def test_what_the_demo_leaves_verifies_again(done: Done, folder: Path) -> None:
    trust = ("--trust", folder / "trust.json")
    assert run("verify", folder / "export", *trust, "--json").json["verdict"] == "VERIFIED"
    receipt = run("verify", folder / "result.tlog-proof", "--entry", folder / "result.entry", *trust, "--json")
    assert (receipt.code, receipt.json["verdict"]) == (0, "VERIFIED")
    tampered = run("verify", folder / "tampered", *trust, "--json").json
    assert tampered["verdict"] == "INVALID"
    assert 0 <= tampered["good_size"] < 8
    assert run("log", "audit", "--log", folder / "log", *trust).code == 0
    refused = run("log", "append", "-", "--log", folder / "restored", stdin=(folder / "result.entry").read_bytes())
    assert refused.code == 65, "an entry is no statement"


def test_every_party_of_the_demo_signed_for_itself(done: Done, folder: Path) -> None:
    report = run("verify", folder / "export", "--trust", folder / "trust.json", "--json").json
    outcomes = {check["name"]: check["outcome"] for check in report["checks"]}
    assert outcomes["statements"] == outcomes["quorum"] == outcomes["cosignatures"] == "passed"
    entries = [json.loads(run("log", "entry", index, "--log", folder / "log").data) for index in range(8)]
    assert [entry["type"] for entry in entries[4:]] == [
        "job.submitted",
        "job.approved",
        "job.started",
        "output.released",
    ]
    assert len(entries[5]["statement"]["signatures"]) == 2, "four eyes"


def test_the_demos_secrets_are_its_owners_and_the_erased_record_is_gone(done: Done, folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.name.endswith((".key", "key.pem", ".sqlite")) and path.name != "backup.sqlite":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for path in folder.rglob("*"):
        if path.is_file():
            assert b'"retail":812' not in path.read_bytes(), path


def test_the_demo_leaves_no_process_behind(done: Done, folder: Path) -> None:
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(folder) not in running


def test_demo_does_not_go_over_an_older_one(done: Done, folder: Path) -> None:
    again = run("demo", "--folder", folder)
    assert again.code == 73
    assert again.err.startswith("error: log-exists ")


def test_the_demo_keeps_off_the_database_of_a_real_log(tmp_path: Path) -> None:
    """Regression: it would have put its log into the database that the environment names."""
    url = f"sqlite:///{tmp_path}/real.sqlite"
    refused = run("demo", "--folder", tmp_path / "demo", env={"YINGBI_LOG_DATABASE": url})
    assert refused.code == 78
    assert not (tmp_path / "real.sqlite").exists()


def test_a_witness_that_does_not_start_ends_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    stopped = run("demo", "--folder", tmp_path / "demo")
    assert stopped.code == 69
    assert stopped.err == "error: witness-unavailable witness `bank-a` did not start\n"
