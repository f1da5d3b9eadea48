"""Exporting a log into a folder: every size, in steps, after crashes, over other logs, and who may not."""

import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger.checkpoint import parse_checkpoint
from ledger.note import parse_note
from ledger.publish import export_log, read_published
from ledger.reader import LogReader
from ledger.store_sql import SqlStore
from tests.lib.databases import STORES, StoreMaker
from tests.lib.log_checks import read_all
from tests.lib.mini_log import make_tiles
from tests.lib.stored_log import StoredLog
from yingbi.errors import (
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    SandboxError,
    TamperDetectedError,
)
from yingbi.receipts import Checkpoint
from yingbi.verify import Name, Outcome, Report, Verdict, audit_log

ORIGIN = "log.example/publish"


@pytest.fixture
def log(tmp_path: Path) -> StoredLog:
    return StoredLog(SqlStore.create(f"sqlite:///{tmp_path}/log.sqlite", ORIGIN), tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "export"


def export(log: StoredLog, folder: Path) -> Checkpoint:
    return export_log(log.store, log.verifiers, folder).checkpoint


def audit(log: StoredLog, folder: Path, since: bytes | None = None) -> Report:
    return audit_log(folder, log.trust, now=datetime.now(UTC), since=since)


def read_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def expected_files(log: StoredLog) -> dict[str, bytes]:
    """What an independent writer of C2SP tlog-tiles makes of the same entries."""
    head = LogReader(log.store).published()
    vkey = f"{log.signer.verifier.encode()}\n".encode()
    return {"checkpoint": head.note, "vkey": vkey, **make_tiles(read_all(log.store))}


@pytest.mark.parametrize("make_store", STORES, indirect=True)
def test_an_export_is_what_another_writer_would_write_and_the_verifier_accepts(
    make_store: StoreMaker, tmp_path: Path
) -> None:
    log = StoredLog(make_store(ORIGIN), tmp_path)
    for size in (0, 1, 2, 255, 256, 257, 511, 512, 513):
        log.grow(size)
        folder = tmp_path / f"export-{size}"
        assert export(log, folder) == LogReader(log.store).published().checkpoint
        assert read_files(folder) == expected_files(log)
        report = audit(log, folder)
        assert (report.verdict, report.good_size) == (Verdict.LOG_SIGNED_ONLY, size)


def test_steps_give_what_one_export_gives_and_keep_every_older_checkpoint_readable(
    log: StoredLog, folder: Path, tmp_path: Path
) -> None:
    kept: dict[str, bytes] = {}
    older: list[bytes] = []
    for size in (0, 1, 3, 3, 200, 256, 300, 600):
        log.grow(size)
        export(log, folder)
        files = read_files(folder)
        assert expected_files(log).items() <= files.items()
        published = {path for path in files if path.startswith("tile/")}
        assert {path: files[path] for path in kept} == kept, "what was published stays as it was"
        kept |= {path: files[path] for path in published}
        for old in older:
            history = next(check for check in audit(log, folder, since=old).checks if check.name == Name.HISTORY)
            assert history.outcome is Outcome.PASSED
        older.append(files["checkpoint"])
    for old in older:
        (folder / "checkpoint").write_bytes(old)
        assert audit(log, folder).verdict is Verdict.LOG_SIGNED_ONLY, "an older checkpoint still has all its tiles"


def test_an_export_of_more_than_one_tile_of_tiles(log: StoredLog, folder: Path) -> None:
    for size in (65_535, 65_536, 65_537):
        log.grow(size)
        export(log, folder)
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
        assert export(log, folder).size == size
        assert {path: path.stat().st_mtime_ns for path in before} == before, "nothing new, nothing written"
    files = read_files(folder)
    assert expected_files(log).items() <= files.items()
    assert {"tile/0/255", "tile/0/256.p/1", "tile/1/000", "tile/1/000.p/255", "tile/2/000.p/1"} <= set(files)
    assert audit(log, folder).verdict is Verdict.LOG_SIGNED_ONLY


def test_progress_counts_the_entries_that_are_written(log: StoredLog, folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    log.grow(300)
    export_log(log.store, log.verifiers, folder, progress=lambda done, total: seen.append((done, total)))
    log.grow(520)
    export_log(log.store, log.verifiers, folder, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(256, 300), (300, 300), (512, 520), (520, 520)]


def test_only_what_is_new_is_written(log: StoredLog, folder: Path) -> None:
    log.grow(600)
    export(log, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    log.grow(601)
    export(log, folder)
    changed = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {
        str(path.relative_to(folder)) for path, at in before.items() if path.stat().st_mtime_ns == at
    }
    assert changed == {"checkpoint", "tile/0/002.p/89", "tile/entries/002.p/89"}


class Crash(BaseException):
    """The process ends here."""


def crash_at(number: int, monkeypatch: pytest.MonkeyPatch, name: str) -> Callable[[], int]:
    """Let the `number`-th call of a method of `Path` end the run; return how many calls there were."""
    count = 0
    original = getattr(Path, name)

    def call(path: Path, *args: object) -> object:
        nonlocal count
        count += 1
        if count == number:
            raise Crash
        return original(path, *args)

    monkeypatch.setattr(Path, name, call)
    return lambda: count


def test_a_crash_at_any_step_leaves_a_whole_folder_and_the_next_run_completes_it(
    log: StoredLog, folder: Path, tmp_path: Path
) -> None:
    log.grow(300)
    export(log, folder)
    log.grow(600)
    shutil.copytree(folder, tmp_path / "before")
    step = 0
    while True:
        step += 1
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "before", folder)
        with pytest.MonkeyPatch.context() as patch:
            crash_at(step, patch, "replace")
            try:
                export(log, folder)
            except Crash:
                pass
            else:
                break
        report = audit(log, folder)
        assert (report.verdict, report.good_size) == (Verdict.LOG_SIGNED_ONLY, 300)
        export(log, folder)
        assert expected_files(log).items() <= read_files(folder).items()
        assert not [path for path in read_files(folder) if path.endswith(".tmp")]
    assert step > 6


def test_a_crash_of_the_first_export_is_resumed(log: StoredLog, folder: Path) -> None:
    log.grow(300)
    for step in range(1, 9):
        with pytest.MonkeyPatch.context() as patch:
            crash_at(step, patch, "replace")
            try:
                export(log, folder)
            except Crash:
                assert not (folder / "checkpoint").exists()
    assert read_files(folder) == expected_files(log)


def test_a_full_disk_leaves_the_folder_as_it_was(log: StoredLog, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.grow(10)
    export(log, folder)
    before = read_files(folder)
    log.grow(20)

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space"):
            export(log, folder)
    assert read_files(folder) | before == read_files(folder)
    assert audit(log, folder).good_size == 10
    assert export(log, folder).size == 20


def test_tiles_of_another_log_without_a_checkpoint_are_replaced(log: StoredLog, folder: Path, tmp_path: Path) -> None:
    other = StoredLog(SqlStore.create(f"sqlite:///{tmp_path}/other.sqlite", "log.example/other"), tmp_path, seed=2)
    export(other.grow(300), folder)
    (folder / "checkpoint").unlink()
    export(log.grow(300), folder)
    assert read_files(folder) == expected_files(log)


def refusal(log: StoredLog, folder: Path) -> SandboxError:
    before = read_files(folder)
    with pytest.raises(SandboxError) as refused:
        export(log, folder)
    assert read_files(folder) == before, "nothing is written"
    return refused.value


def test_a_folder_with_another_log_is_refused(log: StoredLog, folder: Path, tmp_path: Path) -> None:
    other = StoredLog(SqlStore.create(f"sqlite:///{tmp_path}/other.sqlite", "log.example/other"), tmp_path, seed=2)
    export(other.grow(3), folder)
    error = refusal(log.grow(5), folder)
    assert isinstance(error, InvalidRequestError)
    assert error.code is ErrorCode.USAGE
    assert error.message == "the folder holds another log"


def test_a_log_that_is_behind_the_folder_is_refused(log: StoredLog, folder: Path, tmp_path: Path) -> None:
    export(log.grow(5), folder)
    behind = StoredLog(SqlStore.create(f"sqlite:///{tmp_path}/behind.sqlite", ORIGIN), tmp_path, seed=2)
    error = refusal(behind.grow(4), folder)
    assert isinstance(error, TamperDetectedError)
    assert error.code is ErrorCode.LOG_ROLLED_BACK


@pytest.mark.parametrize("size", [5, 6, 300])
def test_a_log_that_forked_from_the_folder_is_refused(log: StoredLog, folder: Path, tmp_path: Path, size: int) -> None:
    export(log.grow(5), folder)
    forked = StoredLog(SqlStore.create(f"sqlite:///{tmp_path}/forked.sqlite", ORIGIN), tmp_path, seed=2)
    error = refusal(forked.grow(size), folder)
    assert isinstance(error, TamperDetectedError)
    assert error.code is ErrorCode.LOG_FORKED


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "checkpoint.bak"])
def test_a_folder_with_something_else_is_refused(log: StoredLog, folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / name).write_text("mine")
    assert refusal(log.grow(1), folder).message == "folder `export` holds something else"


def test_stray_files_beside_a_log_stay_as_they_are(log: StoredLog, folder: Path) -> None:
    export(log.grow(3), folder)
    (folder / "robots.txt").write_text("mine")
    (folder / "tile" / "0" / ".000.tmp").write_text("of a crash")
    export(log.grow(600), folder)
    assert (folder / "robots.txt").read_text() == "mine"
    assert not (folder / "tile" / "0" / ".000.tmp").exists(), "a temporary file of the same name is used up"
    assert audit(log, folder).good_size == 600


@pytest.mark.parametrize("damaged", [b"", b"\xff\n", b"log.example/publish\n1\n"])
def test_a_damaged_checkpoint_in_the_folder_is_refused(log: StoredLog, folder: Path, damaged: bytes) -> None:
    export(log.grow(3), folder)
    (folder / "checkpoint").write_bytes(damaged)
    assert refusal(log, folder).code is ErrorCode.NOTE_MALFORMED


def test_two_exports_at_a_time_are_refused(log: StoredLog, folder: Path) -> None:
    folder.mkdir()
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        error = refusal(log, folder)
        assert isinstance(error, ConflictError)
        assert error.code is ErrorCode.LOG_BUSY
    finally:
        os.close(handle)
    assert export(log, folder).size == 0


def test_a_log_that_grows_while_it_is_exported(log: StoredLog, folder: Path) -> None:
    log.grow(700)
    grown = threading.Event()

    def progress(done: int, _: int) -> None:
        if done == 256 and not grown.is_set():
            grown.set()
            log.grow(1000)

    assert export_log(log.store, log.verifiers, folder, progress=progress).checkpoint.size == 700
    assert audit(log, folder).good_size == 700
    assert export(log, folder).size == 1000


def test_what_is_not_yet_published_is_not_there(log: StoredLog) -> None:
    log.grow(300)
    head = parse_checkpoint(parse_note(read_published(log.store, "checkpoint")).text)
    assert head == LogReader(log.store).published().checkpoint
    for path in ("tile/0/000", "tile/0/001.p/1", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"):
        assert read_published(log.store, path)
    for path in ("tile/0/001", "tile/0/001.p/45", "tile/1/000.p/2", "tile/1/000", "tile/0/002.p/1", "tile/2/000.p/1"):
        with pytest.raises(NotFoundError):
            read_published(log.store, path)
    with pytest.raises(NotFoundError):
        read_published(log.store, "tile/entries/001.p/45")
