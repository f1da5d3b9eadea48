"""Archives of anybody: nothing but plain files in one folder is read, and never more than was promised."""

import io
import stat
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.lib.bags import zip_bytes
from yingbi.verify import archive as module
from yingbi.verify.archive import MAX_FILE_BYTES, MAX_MEMBERS, open_archive
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


@pytest.mark.parametrize("name", ["run-me.exe/", "data/x/", "Data/", "data/y/z/"])
def test_no_folder_comes_along_that_holds_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(Malformed):
        opened(tmp_path, made(("evidence/data/x", b"1"), (f"evidence/{name}", b"")))


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


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("x", 0x10),  # a folder
        ("x", 0x08),  # a volume's label
        ("x", 0x400),  # a reparse point
        ("x", 0x02),  # hidden
        ("y/", 0x12),
    ],
)
def test_what_another_system_would_not_take_for_a_plain_file_is_refused(
    tmp_path: Path, name: str, attributes: int
) -> None:
    item = zipfile.ZipInfo(f"evidence/{name}")
    item.external_attr = (stat.S_IFDIR if name.endswith("/") else stat.S_IFREG) << 16 | attributes
    content = b"" if name.endswith("/") else b"1"
    with pytest.raises(Malformed, match="plain files"):
        opened(tmp_path, made((item, content), ("evidence/y/z", b"1")))


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


def sizes(data: bytes, *, packed: int | None = None, size: int | None = None) -> bytes:
    """Change the sizes of the one member, in the directory and in its own header."""
    changed = bytearray(data)
    for at in (data.index(b"PK\x01\x02") + 20, data.index(b"PK\x03\x04") + 18):
        for place, value in ((at, packed), (at + 4, size)):
            if value is not None:
                changed[place : place + 4] = struct.pack("<I", value)
    return bytes(changed)


def test_a_member_that_reaches_into_the_directory_is_refused(tmp_path: Path) -> None:
    data = zip_bytes({"x": b"0123456789"})
    with pytest.raises(Malformed, match="before the archive's directory"):
        opened(tmp_path, sizes(data, packed=len(data)))


@pytest.mark.parametrize("size", [3, 4096])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_of_another_size_than_promised_is_damaged(tmp_path: Path, size: int, method: int) -> None:
    data = sizes(zip_bytes({"x": b"0123456789"}, method=method), size=size)
    with opened(tmp_path, data) as archive, pytest.raises(Malformed, match="undamaged"):
        archive.read("x")


@pytest.mark.parametrize("length", [100, 1 << 20, (1 << 20) + 7, 5 << 20])
@pytest.mark.parametrize("fill", [b"\0", b"0123456789abcdef\n"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_are_read_in_parts_of_bounded_size(tmp_path: Path, length: int, fill: bytes, method: int) -> None:
    content = (fill * length)[:length]
    with opened(tmp_path, zip_bytes({"x": content}, method=method)) as archive:
        chunks = list(archive.chunks("x"))
        assert b"".join(chunks) == content
        assert max(map(len, chunks)) <= 1 << 20


def test_a_member_that_unpacks_to_more_than_promised_is_not_unpacked(tmp_path: Path) -> None:
    data = sizes(zip_bytes({"x": bytes(60 << 20)}), size=10)
    with opened(tmp_path, data) as archive:
        read: list[int] = []
        with pytest.raises(Malformed, match="undamaged"):
            read.extend(len(chunk) for chunk in archive.chunks("x"))
        assert sum(read) <= 10


@pytest.mark.parametrize(
    "packed", [b"\x03\x00more", b"\x03", b"", b"\x03\x00" + b"\0" * (2 << 20)], ids=["after", "cut", "none", "long"]
)
def test_what_was_deflated_ends_where_its_member_ends(tmp_path: Path, packed: bytes) -> None:
    data = built([b"evidence/x"], packed, b"", method=zipfile.ZIP_DEFLATED)
    with opened(tmp_path, data) as archive, pytest.raises(Malformed, match="undamaged"):
        archive.read("x")
    with opened(tmp_path, built([b"evidence/x"], b"\x03\x00", b"", method=zipfile.ZIP_DEFLATED)) as archive:
        assert archive.read("x") == b""


# --- one archive for every reader -------------------------------------------------------------------------------------


def built(
    names: Sequence[bytes],
    packed: bytes,
    content: bytes,
    *,
    method: int = zipfile.ZIP_STORED,
    extra: bytes = b"",
    local_extra: bytes = b"",
    comment: bytes = b"",
    internal: int = 0,
    flags: int = 0,
    local_flags: int | None = None,
) -> bytes:
    """Return a zip of members with the same content, written from APPNOTE.TXT; each may have what it should not."""
    crc, body, directory = zlib.crc32(content), bytearray(), bytearray()
    for name in names:
        of_both = (method, 0, 33, crc, len(packed), len(content), len(name))
        row = (20, 20, flags, *of_both, len(extra), len(comment), 0, internal, 0, len(body))
        directory += struct.pack("<4s6H3I5H2I", b"PK\x01\x02", *row) + name + extra + comment
        head = (20, flags if local_flags is None else local_flags, *of_both, len(local_extra))
        body += struct.pack("<4s5H3I2H", b"PK\x03\x04", *head) + name + local_extra + packed
    count = len(names)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)
    return bytes(body + directory) + end


def test_an_archive_built_by_hand_is_read(tmp_path: Path) -> None:
    with opened(tmp_path, built([b"evidence/x", b"evidence/y"], b"same", b"same", internal=1, flags=0x0806)) as archive:
        assert (archive.read("x"), archive.read("y")) == (b"same", b"same")


OTHERWISE: dict[str, dict[str, Any]] = {
    "other-name": {"extra": struct.pack("<HHBI", 0x7075, 15, 1, zlib.crc32(b"evidence/x")) + b"evidence/z"},
    "local-extra": {"local_extra": b"\x01\0\x04\0abcd"},
    "comment": {"comment": b"hidden"},
    "internal": {"internal": int.from_bytes(b"PK", "little")},
    "sizes-after-the-data": {"flags": 8},
    "patched": {"flags": 0x20},
    "another-header": {"local_flags": 8},
}


@pytest.mark.parametrize("otherwise", OTHERWISE.values(), ids=OTHERWISE)
def test_members_say_nothing_that_only_some_readers_read(tmp_path: Path, otherwise: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        opened(tmp_path, built([b"evidence/x"], b"1", b"1", **otherwise))


@pytest.mark.parametrize("before", [b"#!/bin/sh\necho hello\nexit\n", zip_bytes({"a.txt": b"another"})])
@pytest.mark.parametrize("is_adjusted", [False, True])
def test_nothing_stands_before_the_first_member(tmp_path: Path, before: bytes, is_adjusted: bool) -> None:
    data = before + zip_bytes(FILES)
    with pytest.raises(Malformed):
        opened(tmp_path, moved(data, len(before)) if is_adjusted else data)


def moved(data: bytes, by: int) -> bytes:
    """Adjust the offsets in a directory to bytes that were put before an archive, as `zip -A` does."""
    changed = bytearray(data)
    start = struct.unpack("<I", data[-6:-2])[0] + by
    changed[-6:-2] = struct.pack("<I", start)
    at = start
    while data[at : at + 4] == b"PK\x01\x02":
        (offset,) = struct.unpack("<I", data[at + 42 : at + 46])
        changed[at + 42 : at + 46] = struct.pack("<I", offset + by)
        at += 46 + struct.unpack("<H", data[at + 28 : at + 30])[0]
    return bytes(changed)


def test_an_adjusted_archive_is_one_for_the_standard_library(tmp_path: Path) -> None:
    data = moved(b"before" + zip_bytes(FILES), 6)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert file.testzip() is None
        assert len(file.infolist()) == 3
    with pytest.raises(Malformed, match="first byte"):
        opened(tmp_path, data)


def test_nothing_stands_between_members_or_before_the_directory(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("evidence/x", b"1")
        out.write(b"between")
        file.start_dir = out.tell()
        file.writestr("evidence/y", b"2")
    with pytest.raises(Malformed, match="one after the other"):
        opened(tmp_path, out.getvalue())
    data = zip_bytes(FILES)
    start = struct.unpack("<I", data[-6:-2])[0]
    data = data[:start] + b"between" + data[start:-6] + struct.pack("<I", start + 7) + data[-2:]
    with pytest.raises(Malformed, match="between the last member"):
        opened(tmp_path, data)


def test_the_order_of_the_directory_is_that_of_the_members(tmp_path: Path) -> None:
    data = made(("evidence/a", b"1" * 100), ("evidence/b", b"2" * 100))
    start = struct.unpack("<I", data[-6:-2])[0]
    first, second = data[start : start + 56], data[start + 56 : start + 112]
    with pytest.raises(Malformed, match="one after the other"):
        opened(tmp_path, data[:start] + second + first + data[-22:])


@pytest.mark.parametrize("data", [b"after", b"PK\x05\x06" + bytes(18), zip_bytes({"b.txt": b"2"})])
def test_nothing_stands_after_the_end(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Malformed):
        opened(tmp_path, zip_bytes(FILES) + data)
    commented = zip_bytes(FILES)[:-2] + struct.pack("<H", len(data)) + data
    with pytest.raises(Malformed):
        opened(tmp_path, commented)


@pytest.mark.parametrize("place", [4, 6, 8, 10, 12, 16])
@pytest.mark.parametrize("value", [0, 1, 0xFFFF])
def test_the_end_record_says_what_is_there(tmp_path: Path, place: int, value: int) -> None:
    data = zip_bytes(FILES)
    changed = data[: place - 22] + struct.pack("<H", value) + data[place - 20 :]
    if changed == data:
        return
    with pytest.raises(Malformed):
        opened(tmp_path, changed)


def zip64(directory: bytes, count: int) -> bytes:
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), 0)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, len(directory), 1)
    return directory + record + locator + b"PK\x05\x06" + bytes(4) + b"\xff" * 12 + bytes(2)


def test_a_directory_of_too_many_members_is_not_read(tmp_path: Path) -> None:
    row = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    count = 1 << 18
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, len(row) * count, 0, 0)
    for data in (zip64(row * count, count), row * count + end):
        tracemalloc.start()
        try:
            with pytest.raises(Malformed):
                opened(tmp_path, data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1 << 20


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


def test_as_many_members_as_are_allowed_are_read(tmp_path: Path) -> None:
    names = [f"evidence/{number}".encode() for number in range(MAX_MEMBERS)]
    with opened(tmp_path, built(names, b"1", b"1")) as archive:
        assert len(archive.paths) == MAX_MEMBERS
        assert archive.read(str(MAX_MEMBERS - 1)) == b"1"
    with pytest.raises(Malformed, match="at most"):
        opened(tmp_path, built([*names, b"evidence/more"], b"1", b"1"))


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
