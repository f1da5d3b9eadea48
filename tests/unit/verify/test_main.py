"""The command line: exit codes are verdicts, and only verdicts are 0 to 3."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import yingbi
from tests.lib.mini_log import NOW, NOW_S, MiniLog, b64, signer, witness
from yingbi.verify import __main__ as command
from yingbi.verify.__main__ import main

W = witness("w1")
NOW_TEXT = NOW.isoformat()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An exported log with receipts, entries, checkpoints and a trust file."""
    log = MiniLog().fill(5)
    files = {
        **log.export(cosign=[(W, NOW_S)]),
        "trust.json": log.trust(witnesses=[W]),
        "3.tlog-proof": log.receipt(3, cosign=[(W, NOW_S)]),
        "3.json": log.entries[3],
        "4.json": log.entries[4],
        "old": log.checkpoint(2),
        "proof": "".join(f"{b64(item)}\n" for item in log.consistency(2)).encode(),
    }
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    return tmp_path


def python(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python where the package can be imported, whether it is installed or not."""
    root = Path(yingbi.__file__).parents[1]
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def run(folder: Path, *arguments: str) -> int:
    words = [str(folder / word[1:]) if word.startswith("@") else word for word in arguments]
    return main([*words, "--trust", str(folder / "trust.json"), "--now", NOW_TEXT])


CASES = {
    "receipt": (["receipt", "@3.tlog-proof", "--entry", "@3.json"], 0),
    "receipt of another entry": (["receipt", "@3.tlog-proof", "--entry", "@4.json"], 1),
    "receipt without entry": (["receipt", "@3.tlog-proof"], 3),
    "receipt of another log": (["receipt", "@3.tlog-proof", "--entry", "@3.json", "--origin", "other"], 1),
    "fresh checkpoint": (["checkpoint", "@checkpoint", "--max-age", "0"], 0),
    "checkpoint of the log alone": (["checkpoint", "@old"], 2),
    "consistency": (["consistency", "@old", "@checkpoint", "@proof"], 0),
    "consistency the wrong way round": (["consistency", "@checkpoint", "@old", "@proof"], 1),
    "log": (["log", "@", "--workers", "1"], 0),
    "log since": (["log", "@", "--workers", "1", "--since", "@old", "--no-statements"], 0),
    "no file": (["receipt", "@nothing"], 66),
    "no folder": (["log", "@checkpoint"], 66),
    "bad proof file": (["consistency", "@old", "@checkpoint", "@3.json"], 65),
}


@pytest.mark.parametrize(("arguments", "code"), CASES.values(), ids=CASES.keys())
def test_exit_codes(folder: Path, arguments: list[str], code: int) -> None:
    assert run(folder, *arguments) == code


def test_the_report_is_text_or_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(folder, "receipt", "@3.tlog-proof", "--entry", "@3.json")
    assert capsys.readouterr().out.startswith("VERIFIED\n")
    run(folder, "receipt", "@3.tlog-proof", "--entry", "@3.json", "--json")
    assert json.loads(capsys.readouterr().out)["verdict"] == "VERIFIED"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["receipt"],
        ["log", ".", "--workers", "-1"],
        ["log", ".", "--max-age", "1.5"],
        ["log", ".", "--skew", "٣"],
        ["log", ".", "--now", "yesterday"],
    ],
)
def test_a_wrong_command_is_not_a_verdict(folder: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(folder, *arguments)
    assert caught.value.code == 64


def test_a_trust_file_that_cannot_be_used_is_not_a_verdict(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "trust.json").write_text("quorum a\n")
    assert run(folder, "checkpoint", "@old") == 78
    assert "policy line 1" in capsys.readouterr().err


def test_a_defect_is_not_a_verdict(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(command, "verify_checkpoint", fail)
    assert run(folder, "checkpoint", "@old") == 70
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "secret" not in captured.err


def test_the_module_runs_and_imports_nothing_but_its_own(folder: Path) -> None:
    """Also: no pydantic, no kernel module and no ledger gets in."""
    code = (
        "import sys; from yingbi.verify.__main__ import main; code = main(sys.argv[1:]);"
        "known = {*sys.stdlib_module_names, 'yingbi', 'cryptography', 'cffi'};"
        "top = {name.split('.')[0] for name in sys.modules};"
        "own = {name for name in sys.modules if name.startswith('yingbi.')};"
        "foreign = {name for name in top - known if not name.startswith('_') and 'distutils' not in name};"
        "foreign |= {name for name in own if not name.startswith('yingbi.verify')};"
        "sys.exit(f'foreign: {foreign}' if foreign else code)"
    )
    names = {"trust": "trust.json", "entry": "3.json"}
    arguments = ["receipt", str(folder / "3.tlog-proof"), "--now", NOW_TEXT]
    arguments += [word for name, path in names.items() for word in (f"--{name}", str(folder / path))]
    done = python("-c", code, *arguments)
    assert (done.returncode, done.stderr) == (0, "")


def test_python_m(folder: Path) -> None:
    trust = str(folder / "trust.json")
    done = python("-m", "yingbi.verify", "log", str(folder), "--trust", trust, "--now", NOW_TEXT, "--workers", "2")
    assert (done.returncode, done.stdout.split("\n")[0], done.stderr) == (0, "VERIFIED", "")


def test_a_terminal_that_cannot_show_everything_gets_the_verdict(folder: Path) -> None:
    """The signed heads of a rollback hold an em dash; failing to print it must not change the exit code."""
    arguments = ["consistency", *(str(folder / name) for name in ("checkpoint", "old", "proof"))]
    arguments += ["--trust", str(folder / "trust.json"), "--now", NOW_TEXT]
    done = python("-m", "yingbi.verify", *arguments, environment={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (1, "")
    assert "\\u2014 log.example/futian" in done.stdout


def test_a_report_that_cannot_be_written_is_not_a_verdict(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w", buffering=1) as full:
        monkeypatch.setattr(sys, "stdout", full)
        code = run(folder, "checkpoint", "@old")
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            full.close()
    assert code == 74
    assert "cannot be written" in capsys.readouterr().err


def test_roots_named_in_the_trust_file_are_used(folder: Path) -> None:
    log = MiniLog().fill(5)
    (folder / "trust.json").write_bytes(log.trust(witnesses=[W], roots=[signer("root")]))
    assert run(folder, "log", "@", "--workers", "1") == 1
    assert run(folder, "log", "@", "--workers", "1", "--no-statements") == 0
