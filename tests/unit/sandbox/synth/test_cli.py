"""`yingbi synth`, as a command of its own."""

import json
import warnings
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # this version of typer imports what click is going to remove
    import typer
    from typer.testing import CliRunner

    from yingbi.cli.synth import synth

APP = typer.Typer()
APP.command()(synth)


def run(*arguments: object) -> tuple[int, str, BaseException | None]:
    done = CliRunner().invoke(APP, [str(argument) for argument in arguments])
    return done.exit_code, done.output, done.exception


def test_tables_are_written_and_listed(tmp_path: Path) -> None:
    code, output, _ = run("--scale", "0.001", "--seed", "3", "--out", tmp_path / "x", "--json")
    assert code == 0, output
    assert '"seed":3' in (tmp_path / "x" / "truth.json").read_text("utf-8")
    listed = {row["name"]: row for row in json.loads(output)}
    assert listed["market/enterprises"]["rows"] == 121
    assert all(Path(row["file"]).stat().st_size == row["size_bytes"] for row in listed.values())


def test_a_scale_that_is_none_is_refused(tmp_path: Path) -> None:
    for scale in ("x", "nan", "0", "1e99"):
        code, _, error = run("--scale", scale, "--out", tmp_path / "x")
        assert code == 1
        assert getattr(error, "code", None) == "usage", scale
    assert list(tmp_path.iterdir()) == []
