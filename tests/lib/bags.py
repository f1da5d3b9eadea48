"""Bags and their zip files, written naively from RFC 8493, and wrongly on request."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

__all__ = ["bag", "write_zip", "zip_bytes"]


def manifest(files: Mapping[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha512(files[name]).hexdigest()}  {name}\n" for name in sorted(files)).encode()


def bag(payload: Mapping[str, bytes], **overrides: bytes | None) -> dict[str, bytes]:
    """Return the files of a bag with this payload (paths below `data/`); `None` leaves a tag file out.

    Names of tag files are given with `_` for what an argument cannot be called.
    """
    files = {f"data/{name}": data for name, data in payload.items()}
    total = sum(map(len, files.values()))
    wanted = {name.replace("__", "-"): data for name, data in overrides.items()}
    tags: dict[str, bytes] = {
        "bagit.txt": b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n",
        "bag-info.txt": f"External-Identifier: urn:uuid:0\nPayload-Oxum: {total}.{len(files)}\n".encode(),
        "manifest-sha512.txt": manifest(files),
    }
    for name in tags:
        key = name.removesuffix(".txt")
        if key in wanted:
            tags[name] = wanted.pop(key) or b""
    tags["tagmanifest-sha512.txt"] = manifest(tags)
    return {**tags, **files}


def zip_bytes(files: Mapping[str, bytes], *, folder: str = "evidence/", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip file with these files in a folder."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in files.items():
            file.writestr(f"{folder}{name}", data)
    return out.getvalue()


def write_zip(path: Path, files: Mapping[str, bytes], *, folder: str = "evidence/") -> Path:
    """Write such a zip file."""
    path.write_bytes(zip_bytes(files, folder=folder))
    return path
