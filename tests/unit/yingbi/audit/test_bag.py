"""Bags that are written: read by the verifier, deterministic, whole or not there."""

import zipfile
from pathlib import Path

import pytest

from yingbi.audit import bag as module
from yingbi.audit.bag import BagWriter
from yingbi.errors import InvalidRequestError
from yingbi.verify.archive import MAX_MEMBERS, open_archive
from yingbi.verify.bag import check_bag
from yingbi.verify.report import Outcome


def write(path: Path, files: dict[str, bytes]) -> None:
    with BagWriter(path) as bag:
        for name, data in files.items():
            bag.add(name, data)
        bag.finish({"External-Identifier": "urn:uuid:1"})


def test_a_bag_is_whole(tmp_path: Path) -> None:
    write(tmp_path / "bag.zip", {"b/c.txt": b"2", "a.txt": b"one"})
    with open_archive(tmp_path / "bag.zip") as archive:
        assert {check.outcome for check in check_bag(archive)} == {Outcome.PASSED}
        assert archive.read("bag-info.txt") == b"External-Identifier: urn:uuid:1\nPayload-Oxum: 4.2\n"


def test_its_bytes_do_not_depend_on_when_and_where(tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        write(tmp_path / name, {"a.txt": bytes(5000)})
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as file:
        assert {(item.date_time, item.compress_type, item.create_system) for item in file.infolist()} == {
            ((1980, 1, 1, 0, 0, 0), zipfile.ZIP_STORED, 3)
        }


def test_what_verifiers_would_not_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert module._MAX_MEMBERS == MAX_MEMBERS
    files = {f"{number}.txt": b"1" for number in range(7)}
    monkeypatch.setattr(module, "_MAX_MEMBERS", 10)
    with pytest.raises(InvalidRequestError, match="more than 10 files"):
        write(tmp_path / "bag.zip", files)
    monkeypatch.setattr(module, "_MAX_MEMBERS", 11)
    write(tmp_path / "bag.zip", files)
    with open_archive(tmp_path / "bag.zip") as archive:
        assert len(archive.paths) == 11


@pytest.mark.parametrize("limit", range(100, 2000, 100))
def test_a_bag_never_needs_zip64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", limit)
    with pytest.raises(InvalidRequestError, match="2 GiB"):
        write(tmp_path / "bag.zip", {f"{number}.txt": b"1" for number in range(7)})
    assert list(tmp_path.iterdir()) == []


def test_a_bag_that_is_not_finished_is_not_there(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag.zip") as bag:
        bag.add("a.txt", b"1")
        assert not (tmp_path / "bag.zip").exists()
    assert list(tmp_path.iterdir()) == []


def test_an_older_bag_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "bag.zip").write_bytes(b"older")
    write(tmp_path / "bag.zip", {"a.txt": b"1"})
    assert [path.name for path in tmp_path.iterdir()] == ["bag.zip"]
    assert zipfile.is_zipfile(tmp_path / "bag.zip")
