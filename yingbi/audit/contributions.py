"""What a bundle holds of federations besides the log: their terms, and masked contributions (docs/spec/bundle.md).

A contribution means nothing by itself; only the sum with the others of its attempt does.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["MAX_VECTOR_BYTES", "Evidence", "read_evidence_folder", "terms_path", "vector_path"]

MAX_VECTOR_BYTES: Final = 1 << 26
"""Of one contribution, and of terms: as much as a verifier reads whole."""

_ID: Final = r"fed(?:-[A-Za-z0-9]+)+"
_TERMS: Final = re.compile(rf"{_ID}/terms\.json")
_VECTOR: Final = re.compile(
    rf"(?P<federation>{_ID})/(?P<round>[1-9][0-9]{{0,6}})-(?P<attempt>[1-9][0-9]?)/"
    r"(?P<node>[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\.bin"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Terms and contributions as far as they are here, by paths as they stand in a bundle's folder `federations/`.

    `read` gives the bytes of one of `paths`; of what is too large, or is not there after all, nothing.
    """

    paths: Collection[str] = frozenset()
    read: Callable[[str], bytes | None] = field(default=lambda _: None, repr=False)

    def terms(self, federation: str) -> bytes | None:
        """Return the terms of a federation, where they are here."""
        return self._get(terms_path(federation))

    def vector(self, federation: str, number: int, attempt: int, node: str) -> bytes | None:
        """Return what a node gave to an attempt, where it is here."""
        return self._get(vector_path(federation, number, attempt, node))

    def vectors(self, federation: str) -> tuple[tuple[int, int, str], ...]:
        """Return round, attempt and node of all contributions to a federation that are here, in order."""
        found = (_VECTOR.fullmatch(path) for path in self.paths if path.startswith(f"{federation}/"))
        rows = ((int(item["round"]), int(item["attempt"]), f"node:{item['node']}") for item in found if item)
        return tuple(sorted(rows))

    def _get(self, path: str) -> bytes | None:
        return self.read(path) if path in self.paths else None


def read_evidence_folder(folder: Path) -> Evidence:
    """Return the evidence in a folder that is laid out as in a bundle; what has another name is passed over."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    known = {name: path for name, path in files.items() if _TERMS.fullmatch(name) or _VECTOR.fullmatch(name)}

    def read(name: str) -> bytes | None:
        path = known[name]
        return None if path.stat().st_size > MAX_VECTOR_BYTES else path.read_bytes()

    return Evidence(paths=frozenset(known), read=read)


def terms_path(federation: str) -> str:
    """Return where the terms of a federation lie."""
    return f"{federation}/terms.json"


def vector_path(federation: str, number: int, attempt: int, node: str) -> str:
    """Return where lies what a node gave to an attempt."""
    return f"{federation}/{number}-{attempt}/{node.removeprefix('node:')}.bin"
