"""Published vectors, kept as small JSON files."""

import json
from pathlib import Path
from typing import Any, Final

__all__ = ["load_vectors"]

_FOLDER: Final = Path(__file__).parents[1] / "vectors"


def load_vectors(name: str) -> Any:
    """Read `tests/vectors/<name>`."""
    return json.loads((_FOLDER / name).read_text(encoding="utf-8"))
