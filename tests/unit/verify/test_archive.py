"""Archives of anybody: nothing but plain files in one folder is read, and never more than was promised."""

import io
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lib.bags import zip_bytes
from yingbi.verify import archive as module
from yingbi.verify.archive import MAX_FILE_BYTES, open_archive
from yingbi.verify.strict import Malformed

FILES = {"a.txt": b"alpha", "data/b.bin": bytes(1000), "data/c/d.json": b"{}"}


def opened(tmp_path: Path, data: bytes) -> module.Archive:
    path = tmp_path / "archive.zip"
    path.write_bytes(data)
    return open_archive(path)


def made(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, data in members:
            file.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_are_read_by_their_path_below_the_folder(tmp_path: Path, method: int) -> None:
    with opened(tmp_path, zip_bytes(FILES, method=method)) as archive:
        assert archive.paths == set(FILES)
        assert {path: archive.read(path) for path in archive.paths} == FILES
        assert archive.size("data/b.bin") == 1000
        with pytest.raises(LookupError):
            archive.read("data/none")


def test_folders_may_stand_in_it(tmp_path: Path) -> None:
    folder = zipfile.ZipInfo("evidence/data/")
    folder.external_attr = (stat.S_IFDIR | 0o755) << 16
    with opened(tmp_path, made((folder, b""), ("evidence/data/x", b"1"))) as archive:
        assert archive.paths == {"data/x"}


BAD_NAMES = [
    "../evidence/x",
    "evidence/../x",
    "evidence/./x",
    "/evidence/x",
    "C:/evidence/x",
    "evidence\\x",
    "evidence//x",
    "evidence/.hidden",
    "evidence/x\ny",
    "evidence/x y",
    "evidence/é",
    "evidence/a\u202etxt",
    "evidence/-rf",
    "evidence/x.",
    "evidence/" + "x" * 240,
    "x",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Malformed):
        opened(tmp_path, made(("evidence/good", b""), (name, b"1")))


def test_a_name_with_a_nul_is_refused(tmp_path: Path) -> None:
    data = made(("evidence/xxx", b"1")).replace(b"evidence/xxx", b"evidence/x\0x")
    with pytest.raises(Malformed):
        opened(tmp_path, data)


@pytest.mark.parametrize(
    "names",
    [
        ("evidence/x", "evidence/X"),
        ("evidence/Data/x", "evidence/data/x"),
        ("evidence/x", "evidence/x/y"),
        ("evidence/X", "evidence/x/y"),
        ("evidence/x", "other/x"),
        ("evidence/x", "evidence"),
    ],
)
def test_names_that_collide_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    with pytest.raises(Malformed):
        opened(tmp_path, made(*((name, b"1") for name in names)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="once"):
        opened(tmp_path, made(("evidence/x", b"1"), ("evidence/x", b"2")))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    item = zipfile.ZipInfo("evidence/x")
    item.external_attr = (kind | 0o777) << 16
    with pytest.raises(Malformed, match="plain files"):
        opened(tmp_path, made((item, b"/etc/passwd")))


def test_a_folder_with_content_is_refused(tmp_path: Path) -> None:
    data = made(("evidence/y/", b""), ("evidence/x", b"1"))
    at = data.index(b"PK\x01\x02")
    changed = data[: at + 24] + struct.pack("<I", 1) + data[at + 28 :]
    with pytest.raises(Malformed):
        opened(tmp_path, changed)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="unpack"):
        opened(tmp_path, zip_bytes({"zeros": bytes(65 << 20)}))


def test_members_over_each_other_are_refused(tmp_path: Path) -> None:
    data = made(("evidence/a", b"same" * 100), ("evidence/b", b"same" * 100))
    directory = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", directory + 4)
    overlapping = data[: second + 42] + struct.pack("<I", 0) + data[second + 46 :]  # both point at the first
    with pytest.raises(Malformed, match="over each other"):
        opened(tmp_path, overlapping)


@pytest.mark.parametrize("bytes_over", [1, 5, 40])
def test_a_member_over_the_end_of_another_is_refused(tmp_path: Path, bytes_over: int) -> None:
    data = made(("evidence/a", b"1" * 100), ("evidence/b", b"2" * 100))
    second = data.rindex(b"PK\x01\x02")
    place = struct.pack("<I", data.rindex(b"PK\x03\x04") - bytes_over)
    with pytest.raises(Malformed, match="over each other"):
        opened(tmp_path, data[: second + 42] + place + data[second + 46 :])


def test_a_member_that_reaches_into_the_directory_is_refused(tmp_path: Path) -> None:
    data = zip_bytes({"x": b"0123456789"})
    at = data.index(b"PK\x01\x02")
    with pytest.raises(Malformed, match="before the archive's directory"):
        opened(tmp_path, data[: at + 20] + struct.pack("<I", len(data)) + data[at + 24 :])


def promise(data: bytes, size: int) -> bytes:
    """Change the size that the directory promises for the one member."""
    at = data.index(b"PK\x01\x02")
    return data[: at + 24] + struct.pack("<I", size) + data[at + 28 :]


@pytest.mark.parametrize("size", [3, 4096])
def test_a_member_of_another_size_than_promised_is_damaged(tmp_path: Path, size: int) -> None:
    with (
        opened(tmp_path, promise(zip_bytes({"x": b"0123456789"}), size)) as archive,
        pytest.raises(Malformed),
    ):
        archive.read("x")


def flip(data: bytes) -> bytes:
    at = data.index(b"alpha")
    return data[:at] + b"A" + data[at + 1 :]


def test_damaged_bytes_are_found(tmp_path: Path) -> None:
    data = flip(zip_bytes({"x": b"alpha"}, method=zipfile.ZIP_STORED))
    with opened(tmp_path, data) as archive, pytest.raises(Malformed, match="undamaged"):
        archive.read("x")


def test_a_file_too_large_to_be_read_whole_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 100)
    with opened(tmp_path, zip_bytes(FILES)) as archive:
        with pytest.raises(Malformed, match="at most 100"):
            archive.read("data/b.bin")
        assert b"".join(archive.chunks("data/b.bin")) == bytes(1000)
    assert MAX_FILE_BYTES > 100


def encrypted(data: bytes) -> bytes:
    at = data.index(b"PK\x01\x02")
    return data[: at + 8] + b"\x01\x00" + data[at + 10 :]


def other_method(data: bytes) -> bytes:
    at = data.index(b"PK\x01\x02")
    return data[: at + 10] + struct.pack("<H", zipfile.ZIP_LZMA) + data[at + 12 :]


@pytest.mark.parametrize("change", [encrypted, other_method])
def test_encrypted_and_strangely_packed_files_are_refused(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Malformed, match="stored or deflated"):
        opened(tmp_path, change(zip_bytes({"x": b"1"})))


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MEMBERS", 2)
    with pytest.raises(Malformed, match="at most 2"):
        opened(tmp_path, zip_bytes(FILES))
    monkeypatch.setattr(module, "MAX_MEMBERS", 3)
    opened(tmp_path, zip_bytes(FILES)).__exit__()


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x03\x04" + bytes(100), b"not a zip file", made()])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Malformed):
        opened(tmp_path, data)


def test_every_cut_and_every_changed_byte_is_refused_or_read_without_another_error(tmp_path: Path) -> None:
    data = zip_bytes(FILES)
    variants = [data[:end] for end in range(0, len(data), 7)]
    variants += [data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :] for at in range(len(data))]
    for variant in variants:
        try:
            with opened(tmp_path, variant) as archive:
                for path in archive.paths:
                    archive.read(path)
        except Malformed:
            continue


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_archive(tmp_path / "none.zip")
