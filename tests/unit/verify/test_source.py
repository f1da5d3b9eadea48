"""Files of a log: paths as tlog-tiles writes them, folders read carefully."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lib import mini_log
from yingbi.verify.source import MAX_ABSENT, Files, read_folder, tile_path


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ((0, 0), "tile/0/000"),
        ((1, 7, 3), "tile/1/007.p/3"),
        ((63, 999), "tile/63/999"),
        ((0, 1000), "tile/0/x001/000"),
        ((0, 1234067), "tile/0/x001/x234/067"),
        ((None, 1234067, 255), "tile/entries/x001/x234/067.p/255"),
        ((0, 273, 256), "tile/0/273"),
    ],
)
def test_paths_of_the_specification(arguments: tuple[int, ...], path: str) -> None:
    assert tile_path(*arguments) == path


@given(st.none() | st.integers(0, 63), st.integers(0, 2**45), st.integers(1, 256))
def test_paths_are_those_of_the_other_writer(level: int | None, number: int, width: int) -> None:
    assert tile_path(level, number, width) == mini_log.tile_name("entries" if level is None else level, number, width)


def test_a_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_bytes(b"x")
    read = read_folder(tmp_path)
    assert read("checkpoint") == b"x"
    with pytest.raises(FileNotFoundError):
        read("tile/0/000")


def test_pipes_and_folders_are_not_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "checkpoint")
    (tmp_path / "tile").mkdir()
    files = Files(tmp_path)
    assert files.read("checkpoint") is None
    assert files.read("tile") is None


def test_endless_files_are_cut(tmp_path: Path) -> None:
    with (tmp_path / "checkpoint").open("wb") as file:
        file.truncate(2**40)
    assert len(Files(tmp_path).read("checkpoint") or b"") < 2**25


def test_a_full_tile_stands_for_a_partial_one() -> None:
    source = {"tile/0/000": bytes(range(64)), "tile/entries/000": b"abc", "tile/1/000.p/2": b"exact"}
    files = Files(source.__getitem__)
    assert files.read_hashes(0, 0, 1) == bytes(range(32))
    assert files.read_tile(None, 0, 5) == (b"abc", False)
    assert files.read_tile(1, 0, 2) == (b"exact", True)
    assert files.absent == []
    assert files.read_tile(0, 1, 7) == (None, False)
    assert files.read_tile(0, 2, 256) == (None, True)
    assert files.absent == ["tile/0/001.p/7", "tile/0/002"]


def test_a_log_of_missing_files_does_not_keep_one_busy() -> None:
    nothing: dict[str, bytes] = {}
    files = Files(nothing.__getitem__)
    assert len(list(files.bundles(2**53 - 1, tiles=True))) <= MAX_ABSENT
    assert files.again().absent == []
