"""The manifest of a published version: what a snapshot is, in canonical JSON whose digest names the version."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from sandbox.catalog.model import DataItem, Dataset, DatasetVersion
from sandbox.engine_duckdb.conversion import is_stored
from yingbi.canonical import JsonValue, canonical_bytes, digest_bytes, digest_json, parse_canonical
from yingbi.clock import format_time, parse_time
from yingbi.errors import ErrorCode, NotFoundError, SandboxError, TamperDetectedError

__all__ = [
    "DATA_NAME",
    "MANIFEST_NAME",
    "Manifest",
    "hash_file",
    "list_versions",
    "read_manifest",
    "render_manifest",
    "schema_json",
    "verify_snapshot",
    "version_folder",
]

DATA_NAME: Final = "data.duckdb"
MANIFEST_NAME: Final = "manifest.json"
_FORMAT: Final = 1
_MAX_BYTES: Final = 64 << 20
_MEMBERS: Final = frozenset(
    {"content", "data", "dataset", "format", "max_rows_per_unit", "published_at", "rows", "schema", "units", "version"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A version and its snapshot.

    `content` is over the rows themselves, so that the same rows have the same content wherever they came from;
    `data` is over the file that holds them; `digest`, of the version, is over the manifest.
    """

    version: DatasetVersion
    content: str
    data: str
    schema: JsonValue


def version_folder(data: Path, dataset: str, version: int) -> Path:
    """Return the folder of a version below the node's data folder."""
    return data.joinpath(*dataset.split("/"), str(version))


def schema_json(dataset: Dataset) -> JsonValue:
    """Return what a snapshot's columns are, as its manifest says it."""
    items: list[JsonValue] = [_item_json(item) for item in dataset.items]
    return {
        "items": items,
        "max_rows_per_unit": dataset.max_rows_per_unit,
        "membership": dataset.membership.value,
        "privacy_unit": dataset.privacy_unit.value,
    }


def render_manifest(version: DatasetVersion, *, content: str, data: str, schema: JsonValue) -> bytes:
    """Return the canonical bytes of a manifest; the version's own digest is not in it, because it is over them."""
    return canonical_bytes(
        {
            "content": content,
            "data": data,
            "dataset": version.dataset,
            "format": _FORMAT,
            "max_rows_per_unit": version.max_rows_per_unit,
            "published_at": format_time(version.published_at),
            "rows": version.rows,
            "schema": schema,
            "units": version.units,
            "version": version.version,
        }
    )


def read_manifest(data: Path, dataset: str, version: int) -> Manifest:
    """Read a version's manifest.

    Raises:
        NotFoundError: there is no such version.
        TamperDetectedError: the manifest has another form, or is another version's.
    """
    try:
        text = (version_folder(data, dataset, version) / MANIFEST_NAME).read_bytes()
    except OSError:
        raise NotFoundError(ErrorCode.VERSION_NOT_FOUND, f"data set `{dataset}` has no version {version}") from None
    try:
        found = _parse(text)
    except (SandboxError, KeyError, TypeError, ValueError):
        found = None
    if found is None or (found.version.dataset, found.version.version) != (dataset, version):
        raise _damaged(dataset, version)
    return found


def list_versions(data: Path, dataset: str) -> tuple[int, ...]:
    """Return the numbers of a data set's published versions, ascending."""
    folder = version_folder(data, dataset, 0).parent
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return tuple(
        sorted(int(name) for name in names if name.isascii() and name.isdecimal() and not name.startswith("0"))
    )


def verify_snapshot(
    data: Path,
    dataset: str,
    version: int,
    *,
    digest: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Hash a version's files again, and compare with its manifest, and the manifest with `digest` where given.

    Raises:
        NotFoundError: there is no such version.
        TamperDetectedError: anything differs.
    """
    found = read_manifest(data, dataset, version)
    if digest is not None and found.version.digest != digest:
        raise _damaged(dataset, version)
    path = version_folder(data, dataset, version) / DATA_NAME
    try:
        actual = hash_file(path, on_progress=on_progress)
    except OSError:
        actual = ""
    if actual != found.data:
        raise _damaged(dataset, version)
    return found


def hash_file(path: Path, *, on_progress: Callable[[int, int], None] | None = None) -> str:
    """Return the digest of a file."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        total = os.fstat(file.fileno()).st_size
        while block := file.read(8 << 20):
            hasher.update(block)
            if on_progress is not None:
                on_progress(file.tell(), total)
    return "sha256:" + hasher.hexdigest()


def _parse(text: bytes) -> Manifest:
    value = cast("dict[str, Any]", parse_canonical(text, max_bytes=_MAX_BYTES))
    if set(value) != _MEMBERS or value["format"] != _FORMAT:
        raise ValueError
    version = DatasetVersion(
        dataset=value["dataset"],
        version=value["version"],
        digest=digest_bytes(text),
        schema_digest=digest_json(value["schema"]),
        rows=value["rows"],
        units=value["units"],
        max_rows_per_unit=value["max_rows_per_unit"],
        published_at=parse_time(value["published_at"]),
    )
    return Manifest(version=version, content=value["content"], data=value["data"], schema=value["schema"])


def _item_json(item: DataItem) -> JsonValue:
    return {
        "bounds": None if item.bounds is None else [format(bound, "f") for bound in item.bounds],
        "decimals": item.decimals,
        "domain": None if item.domain is None else list(item.domain),
        "edges": None if item.edges is None else list(item.edges),
        "grade": item.grade.value,
        "name": item.name,
        "nullable": item.nullable,
        "parent": item.parent,
        "role": item.role.value,
        "stored": is_stored(item),
        "type": item.type.value,
        "visibility": item.visibility.value,
    }


def _damaged(dataset: str, version: int) -> TamperDetectedError:
    return TamperDetectedError(
        ErrorCode.SNAPSHOT_DAMAGED, f"version {version} of `{dataset}` is not what was published"
    )
