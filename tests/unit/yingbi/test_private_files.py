"""Files of their owner alone, and nothing done to those that are there."""

import os
from pathlib import Path

import pytest

from yingbi.private_files import touch_private


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        touch_private(tmp_path / "new")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").read_bytes() == b""


def test_a_file_that_is_there_is_not_even_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "there"
    path.write_bytes(b"kept")
    closed: list[int] = []
    monkeypatch.setattr(os, "close", closed.append)
    touch_private(path)
    assert (path.read_bytes(), closed) == (b"kept", [])


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        touch_private(tmp_path / "none" / "new")
