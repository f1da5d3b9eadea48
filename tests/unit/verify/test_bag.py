"""Bags: complete, nothing beside the manifests, every digest right, one spelling."""

from pathlib import Path

import pytest

from tests.lib.bags import bag, manifest, write_zip
from yingbi.verify.archive import open_archive
from yingbi.verify.bag import check_bag
from yingbi.verify.report import Check, Finding, Outcome

PAYLOAD = {"one.txt": b"1", "two/three.json": b"{}"}
FILES = bag(PAYLOAD)


def checked(tmp_path: Path, files: dict[str, bytes]) -> tuple[Check, ...]:
    with open_archive(write_zip(tmp_path / "bag.zip", files)) as archive:
        return check_bag(archive)


def test_a_good_bag_passes(tmp_path: Path) -> None:
    form, digests = checked(tmp_path, FILES)
    assert (form.outcome, form.message) == (Outcome.PASSED, "BagIt 1.0, 2 files of 3 bytes")
    assert (digests.outcome, digests.message) == (Outcome.PASSED, "SHA-512 of 5 files")


@pytest.mark.parametrize("name", ["bagit.txt", "bag-info.txt", "manifest-sha512.txt", "tagmanifest-sha512.txt"])
def test_a_tag_file_that_is_not_there_is_missing(tmp_path: Path, name: str) -> None:
    (check,) = checked(tmp_path, {path: data for path, data in FILES.items() if path != name})
    assert (check.outcome, check.ask_for) == (Outcome.MISSING, (name,))


def test_a_payload_file_that_is_not_there_is_missing_and_the_others_are_still_checked(tmp_path: Path) -> None:
    files = {path: data for path, data in FILES.items() if path != "data/one.txt"}
    form, digests = checked(tmp_path, files)
    assert (form.outcome, form.ask_for) == (Outcome.MISSING, ("data/one.txt",))
    assert digests.outcome is Outcome.PASSED


def test_a_file_that_no_manifest_lists_is_found(tmp_path: Path) -> None:
    form, _ = checked(tmp_path, {**FILES, "data/extra.txt": b"x"})
    assert (form.finding, form.actual) == (Finding.UNEXPECTED, "data/extra.txt")


@pytest.mark.parametrize("name", ["fetch.txt", "manifest-md5.txt", "readme.txt"])
def test_nothing_else_stands_beside_the_payload(tmp_path: Path, name: str) -> None:
    (check,) = checked(tmp_path, {**FILES, name: b""})
    assert check.finding is Finding.MALFORMED


@pytest.mark.parametrize("name", sorted(set(FILES) - {"tagmanifest-sha512.txt", "bagit.txt", "bag-info.txt"}))
def test_a_changed_file_has_another_digest(tmp_path: Path, name: str) -> None:
    data = FILES[name]
    changed = data.replace(b"1", b"2", 1) if name.endswith("one.txt") else data + b" "
    checks = checked(tmp_path, {**FILES, name: changed})
    assert any(check.outcome is Outcome.FAILED for check in checks)


def test_expected_and_actual_digest_are_told(tmp_path: Path) -> None:
    _, digests = checked(tmp_path, {**FILES, "data/one.txt": b"2"})
    assert digests.finding is Finding.HASH_MISMATCH
    assert digests.expected == manifest({"data/one.txt": b"1"}).decode()[:128]
    assert digests.actual == manifest({"data/one.txt": b"2"}).decode()[:128]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"no newline",
        b"\n",
        FILES["manifest-sha512.txt"] * 2,
        FILES["manifest-sha512.txt"].replace(b"  ", b" "),
        FILES["manifest-sha512.txt"].replace(b"  ", b" *"),
        FILES["manifest-sha512.txt"].upper(),
        FILES["manifest-sha512.txt"].replace(b"\n", b"\r\n"),
        FILES["manifest-sha512.txt"].replace(b"data/one.txt", b"data/%31ne.txt"),
        "é\n".encode(),
    ],
)
def test_manifests_have_one_spelling(tmp_path: Path, text: bytes) -> None:
    checks = checked(tmp_path, bag(PAYLOAD, manifest__sha512=text))
    assert checks[0].finding is Finding.MALFORMED


@pytest.mark.parametrize(
    "declaration",
    [
        b"BagIt-Version: 0.97\nTag-File-Character-Encoding: UTF-8\n",
        b"BagIt-Version: 1.0\n",
        b"BagIt-Version: 1.0\r\nTag-File-Character-Encoding: UTF-8\r\n",
    ],
)
def test_only_version_1_is_read(tmp_path: Path, declaration: bytes) -> None:
    checks = checked(tmp_path, bag(PAYLOAD, bagit=declaration))
    assert checks[0].finding is Finding.MALFORMED


@pytest.mark.parametrize(
    "info",
    [
        b"",
        b"Payload-Oxum: 3\n",
        b"Payload-Oxum: 4.2\n",
        b"Payload-Oxum: 3.3\n",
        b"Payload-Oxum: 3.2\npayload-oxum: 9.9\n",
    ],
)
def test_the_sums_are_compared(tmp_path: Path, info: bytes) -> None:
    form, _ = checked(tmp_path, bag(PAYLOAD, bag__info=info))
    assert (form.finding, form.expected) == (Finding.MALFORMED, "3.2")
