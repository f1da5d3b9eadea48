"""BagIt 1.0 (RFC 8493) as evidence bundles use it: complete, every file under a SHA-512 digest, nothing to be fetched.

One spelling where the RFC allows several: two spaces between digest and path (so that `sha512sum -c` reads the
manifests), lower-case digits, line feeds.
"""

import re
from hashlib import sha512
from typing import Final

from yingbi.verify.archive import Archive
from yingbi.verify.report import Check, Finding, Name, failed, missing, passed
from yingbi.verify.strict import Malformed

__all__ = ["PAYLOAD", "check_bag"]

PAYLOAD: Final = "data/"
_DECLARATION: Final = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
_INFO: Final = "bag-info.txt"
_MANIFEST: Final = "manifest-sha512.txt"
_TAG_MANIFEST: Final = "tagmanifest-sha512.txt"
_TAG_FILES: Final = ("bagit.txt", _INFO, _MANIFEST, _TAG_MANIFEST)
_LINE: Final = re.compile(r"([0-9a-f]{128})  ([A-Za-z0-9._/-]{1,240})")
_OXUM: Final = re.compile(r"^Payload-Oxum:[ ]*(.*)$", re.MULTILINE | re.IGNORECASE)


def check_bag(archive: Archive) -> tuple[Check, ...]:
    """Check that a bag is whole, and that every file has the digest that its manifest says."""
    absent = [path for path in _TAG_FILES if path not in archive.paths]
    if absent:
        return (missing(Name.BAG, "files of the bag are missing", absent),)
    try:
        listed = _read_manifest(archive, _MANIFEST)
        tags = _read_manifest(archive, _TAG_MANIFEST)
        form = _check_form(archive, listed, tags)
    except Malformed as error:
        return (failed(Name.BAG, Finding.MALFORMED, str(error)),)
    return form, _check_digests(archive, {**tags, **listed})


def _check_form(archive: Archive, listed: dict[str, str], tags: dict[str, str]) -> Check:
    if archive.read("bagit.txt") != _DECLARATION:
        raise Malformed("expected a bag of version 1.0, in UTF-8")
    payload = {path for path in archive.paths if path.startswith(PAYLOAD)}
    others = archive.paths - payload
    if set(tags) != set(_TAG_FILES) - {_TAG_MANIFEST} or others != set(_TAG_FILES):
        raise Malformed(f"expected {', '.join(_TAG_FILES)} beside the payload, and nothing else")
    if gone := sorted(set(listed) - payload):
        return missing(Name.BAG, "files that the manifest lists are missing", gone[:20])
    if extra := sorted(payload - set(listed)):
        return failed(Name.BAG, Finding.UNEXPECTED, "a file is in no manifest", actual=extra[0])
    total = sum(archive.size(path) for path in payload)
    expected = f"{total}.{len(payload)}"
    if _OXUM.findall(_decode(archive.read(_INFO), _INFO)) != [expected]:
        return failed(Name.BAG, Finding.MALFORMED, "the bag says another sum of its sizes", expected=expected)
    return passed(Name.BAG, f"BagIt 1.0, {len(payload)} files of {total} bytes")


def _check_digests(archive: Archive, listed: dict[str, str]) -> Check:
    for path, digest in sorted(listed.items()):
        if path not in archive.paths:
            continue
        actual = sha512()
        try:
            for chunk in archive.chunks(path):
                actual.update(chunk)
        except Malformed as error:
            return failed(Name.DIGESTS, Finding.MALFORMED, str(error))
        if actual.hexdigest() != digest:
            message = f"{path} has another digest than the manifest says"
            return failed(Name.DIGESTS, Finding.HASH_MISMATCH, message, expected=digest, actual=actual.hexdigest())
    return passed(Name.DIGESTS, f"SHA-512 of {len(listed)} files")


def _read_manifest(archive: Archive, name: str) -> dict[str, str]:
    text = _decode(archive.read(name), name)
    if not text.endswith("\n"):
        raise Malformed(f"expected lines in `{name}`, each ending in a newline")
    listed: dict[str, str] = {}
    for line in text[:-1].split("\n"):
        match = _LINE.fullmatch(line)
        if match is None or match[2] in listed:
            raise Malformed(f"expected `{name}` as sha512sum writes it, each file once")
        listed[match[2]] = match[1]
    return listed


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise Malformed(f"expected `{name}` in ASCII") from None
