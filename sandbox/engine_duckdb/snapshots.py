"""Where published snapshots are, and that they are what was published before the first use of a process."""

from pathlib import Path
from typing import Protocol

from sandbox.catalog.model import DatasetVersion
from sandbox.engine_duckdb.manifest import DATA_NAME, verify_snapshot, version_folder

__all__ = ["FolderSnapshots", "Snapshots"]


class Snapshots(Protocol):
    """Finds the folder of a version."""

    def folder(self, version: DatasetVersion) -> Path:
        """Return the folder that holds a version's `data.duckdb`, after its digest was checked.

        Raises:
            NotFoundError: there is no such version.
            TamperDetectedError: it is not what was published.
        """


class FolderSnapshots:
    """Snapshots in the node's data folder; each is hashed before its first use, and again when its file changed."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._verified: dict[tuple[str, int], tuple[str, int, int, int]] = {}

    def folder(self, version: DatasetVersion) -> Path:
        """Return the folder of a version, after its digest was checked (once a process and state of the file).

        Raises:
            NotFoundError: there is no such version.
            TamperDetectedError: it is not what was published.
        """
        key = (version.dataset, version.version)
        folder = version_folder(self._data, version.dataset, version.version)
        if self._verified.get(key) != _state(version, folder):
            verify_snapshot(self._data, version.dataset, version.version, digest=version.digest)
            self._verified[key] = _state(version, folder)
        return folder


def _state(version: DatasetVersion, folder: Path) -> tuple[str, int, int, int]:
    """Return what a checked file is recognised by; a file that is not there has none."""
    try:
        found = (folder / DATA_NAME).stat()
    except OSError:
        return version.digest, -1, -1, -1
    return version.digest, found.st_ino, found.st_size, found.st_mtime_ns
