"""Public data sets that live outside the repository: named by `YINGBI_SHARED_DATA`, or in `../shared/data`."""

import os
from pathlib import Path
from typing import Final

import pytest

__all__ = ["shared_data"]

_ROOT: Final = Path(__file__).parents[2]


def shared_data(name: str) -> Path:
    """Return the path of a shared file or folder; skip the test, saying why, when it is not there."""
    path = Path(os.environ.get("YINGBI_SHARED_DATA", _ROOT.parent / "shared" / "data")) / name
    if not path.exists():
        pytest.skip(f"shared data `{name}` is absent: set YINGBI_SHARED_DATA to the folder that holds it")
    return path
