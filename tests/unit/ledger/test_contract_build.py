"""The shipped contract is what its source gives, everywhere."""

import json
import shutil
from importlib import resources
from pathlib import Path

import pytest

from ledger.contracts import ARTEFACT_NAME, SOURCE_NAME, load_artefact
from ledger.contracts.build import build_artefact, main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the contract's files."""
    for name in (ARTEFACT_NAME, SOURCE_NAME):
        with resources.as_file(resources.files("ledger.contracts") / name) as path:
            shutil.copy(path, tmp_path / name)
    return tmp_path


def test_the_shipped_artefact_is_up_to_date() -> None:
    assert main(["--check"]) == 0


def test_it_is_rebuilt_byte_for_byte(folder: Path) -> None:
    shipped = (folder / ARTEFACT_NAME).read_bytes()
    (folder / ARTEFACT_NAME).unlink()
    assert main(["--check"], folder=folder) == 1
    assert main([], folder=folder) == 0
    assert (folder / ARTEFACT_NAME).read_bytes() == shipped


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [(ARTEFACT_NAME, '"size": 1', '"size": 2'), (SOURCE_NAME, "size > self.size", "size >= self.size")],
)
def test_a_change_of_either_file_is_noticed(
    folder: Path, name: str, old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (folder / name).read_text("utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new), "utf-8")
    assert main(["--check"], folder=folder) == 1
    assert "run python -m ledger.contracts.build" in capsys.readouterr().err


def test_the_artefact_says_where_things_are_stored_and_what_made_it(folder: Path) -> None:
    artefact = json.loads(build_artefact((folder / SOURCE_NAME).read_text("utf-8")))
    assert artefact["compiler"].startswith("vyper 0.4.3+commit.")
    slots = {"size": 1, "root": 2, "chain_value": 3, "origin_hash": 4, "anchorer": 5, "proposed": 6}
    assert artefact["storage_slots"] == slots
    assert artefact["runtime_code_hash"] == "0x" + load_artefact().runtime_code_hash.hex()
    assert {item["name"] for item in artefact["abi"] if item.get("stateMutability") == "payable"} == set()
