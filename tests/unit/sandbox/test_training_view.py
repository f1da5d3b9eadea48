import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sandbox.training_view import VIEW_NAME, TrainingView, read_view, write_view
from yingbi.errors import ErrorCode, InvalidRequestError

VIEW = TrainingView(
    columns={"target": np.array([1.5, np.nan]), "industry": np.array([-1, 0])},
    target=np.array([0, 1]),
    is_held_out=np.array([True, False]),
)


def test_a_view_survives_its_file(tmp_path: Path) -> None:
    path = write_view(tmp_path, VIEW)
    assert path == tmp_path / VIEW_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert [item.name for item in tmp_path.iterdir()] == [VIEW_NAME]
    found = read_view(tmp_path)
    assert found.rows == 2
    assert list(found.columns) == ["target", "industry"]
    np.testing.assert_array_equal(found.columns["target"], VIEW.columns["target"])
    np.testing.assert_array_equal(found.columns["industry"], VIEW.columns["industry"])
    np.testing.assert_array_equal(found.target, VIEW.target)
    np.testing.assert_array_equal(found.is_held_out, VIEW.is_held_out)


def test_writing_again_replaces_the_file(tmp_path: Path) -> None:
    one = write_view(tmp_path, VIEW).read_bytes()
    assert write_view(tmp_path, VIEW).read_bytes() == one


GOOD = {"target": np.array([1]), "held_out": np.array([True]), "column.x": np.array([0.5])}
BROKEN: dict[str, dict[str, Any]] = {
    "no target": {"target": None},
    "a target of fractions": {"target": np.array([0.5])},
    "marks that are numbers": {"held_out": np.array([1])},
    "a column of another length": {"column.x": np.array([0.5, 1.0])},
    "a column of two dimensions": {"column.x": np.array([[0.5]])},
    "a column of texts": {"column.x": np.array(["a"])},
    "something else": {"unit": np.array([1])},
    "a pickle": {"column.x": np.array([{}], dtype=object)},
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_view_is_refused(name: str, tmp_path: Path) -> None:
    changed: dict[str, Any] = {**GOOD, **BROKEN[name]}
    arrays = {key: array for key, array in changed.items() if array is not None}
    np.savez(tmp_path / VIEW_NAME, **arrays)
    with pytest.raises(InvalidRequestError, match="expected the view") as found:
        read_view(tmp_path)
    assert found.value.code is ErrorCode.DATA_INVALID


@pytest.mark.parametrize("content", [None, b"", b"PK\x05\x06" + b"\0" * 18, b"PK\x03\x04xxxx"])
def test_what_is_no_file_of_arrays_is_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / VIEW_NAME).write_bytes(content)
    with pytest.raises(InvalidRequestError, match="expected the view"):
        read_view(tmp_path)


def test_one_array_without_a_name_is_refused(tmp_path: Path) -> None:
    with (tmp_path / VIEW_NAME).open("wb") as file:
        np.save(file, np.array([1]))
    with pytest.raises(InvalidRequestError, match="expected the view"):
        read_view(tmp_path)
