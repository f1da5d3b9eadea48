"""Which software runs here: one digest over every file of the installed packages that take part in a decision."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from yingbi.canonical import digest_json

__all__ = ["software_digest"]

_ROOT: Final = Path(__file__).parents[2]
_PACKAGES: Final = ("ledger", "policies", "sandbox", "yingbi")
_SUFFIXES: Final = frozenset({".py", ".json", ".sql"})


@cache
def software_digest() -> str:
    """Return the digest of the names and contents of all files, computed once a process."""
    files = {
        path.relative_to(_ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for package in _PACKAGES
        for path in sorted((_ROOT / package).rglob("*"))
        if path.suffix in _SUFFIXES and path.is_file()
    }
    return digest_json(files)
