"""Audits of whole honest logs: every size, every older checkpoint, every way to read. Attacks are in tests/attack."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.lib.mini_log import NOW, NOW_S, START, START_S, MiniLog, log_key, signer, witness
from yingbi.verify import Check, Finding, Name, Outcome, Report, Verdict, audit_log, load_trust
from yingbi.verify.audit import choose_workers

W = witness("w1")
ROOT, BANK = signer("root", ""), signer("bank-a")


def make_log(size: int) -> MiniLog:
    """A log of `size` entries that begins with the registration of the only key that signs in it."""
    log = MiniLog()
    body = {"jwk": BANK.jwk, "owner": BANK.owner, "not_before": "2026-01-01T00:00:00.000000Z", "not_after": None}
    if size:
        log.append("key.registered", [ROOT, BANK], body=body)
    return log.fill(size - len(log.entries))


LOG = make_log(520)
FILES = LOG.export(cosign=[(W, NOW_S)])
TRUST = load_trust(LOG.trust(witnesses=[W], roots=[ROOT]))


def check_of(report: Report, name: Name) -> Check:
    return next(check for check in report.checks if check.name == name)


def write(files: dict[str, bytes], folder: Path) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 513])
def test_honest_logs_of_all_sizes_verify(size: int) -> None:
    log = make_log(size)
    report = audit_log(log.export(cosign=[(W, NOW_S)]).__getitem__, TRUST, now=NOW, max_age_s=1)
    assert report.verdict is Verdict.VERIFIED
    assert report.good_size == size
    assert {check.name for check in report.checks if check.outcome is not Outcome.PASSED} == {Name.HISTORY}


def test_every_older_checkpoint_is_still_a_prefix() -> None:
    for old in [*range(0, 520, 37), 1, 255, 256, 257, 511, 512, 513, 519, 520]:
        report = audit_log(FILES.__getitem__, TRUST, now=NOW, since=LOG.checkpoint(old), statements=False)
        assert check_of(report, Name.HISTORY).outcome is Outcome.PASSED, old
        assert report.verdict is Verdict.VERIFIED


@pytest.mark.parametrize("workers", [1, 2])
def test_folders_and_processes_give_the_same_report(tmp_path: Path, workers: int) -> None:
    from_memory = audit_log(FILES.__getitem__, TRUST, now=NOW, since=LOG.checkpoint(300))
    from_folder = audit_log(write(FILES, tmp_path), TRUST, now=NOW, since=LOG.checkpoint(300), workers=workers)
    assert from_folder == from_memory
    assert from_folder.verdict is Verdict.VERIFIED


def test_a_log_that_is_worth_it_gets_processes() -> None:
    assert choose_workers(0, 2047) == 1
    assert choose_workers(0, 2048) == (os.cpu_count() or 1)
    assert (choose_workers(3, 1), choose_workers(1, 10**9)) == (3, 1)
    assert audit_log(FILES.__getitem__, TRUST, now=NOW, workers=0).verdict is Verdict.VERIFIED


def test_processes_find_the_first_of_several_faults() -> None:
    log = LOG.copy()
    for index in (500, 300, 299):
        log.entries[index] = log.entries[index].replace(b"08:0", b"07:0")
    for workers in (1, 2):
        failure = audit_log(log.export().__getitem__, TRUST, now=NOW, workers=workers).first_failure
        assert failure is not None
        assert (failure.index, failure.finding) == (299, Finding.TIME_WENT_BACK)


def test_without_roots_statements_are_not_checked() -> None:
    for trust, statements in [(load_trust(LOG.trust(witnesses=[W])), True), (TRUST, False)]:
        report = audit_log(FILES.__getitem__, trust, now=NOW, statements=statements)
        assert check_of(report, Name.STATEMENTS).outcome is Outcome.NOT_CHECKED
        assert report.verdict is Verdict.VERIFIED


def test_progress_is_told_for_each_pass() -> None:
    told: list[tuple[int, int]] = []
    audit_log(FILES.__getitem__, TRUST, now=NOW, progress=lambda done, total: told.append((done, total)))
    assert told == [(256, 1040), (512, 1040), (520, 1040), (776, 1040), (1032, 1040), (1040, 1040)]
    told.clear()
    audit_log(FILES.__getitem__, TRUST, now=NOW, statements=False, progress=lambda *item: told.append(item))
    assert told == [(256, 520), (512, 520), (520, 520)]


def test_full_tiles_may_stand_for_partial_ones() -> None:
    """A log that grew meanwhile may have dropped its partial tiles (tlog-tiles, Partial Tiles)."""
    grown = make_log(800).export()
    files = {**grown, "checkpoint": FILES["checkpoint"]}
    assert not set(FILES) <= set(files)
    report = audit_log(files.__getitem__, TRUST, now=NOW)
    # Level 1 is not full yet, and its old partial tile is gone: the only thing that is missing.
    assert check_of(report, Name.TILES).ask_for == ("tile/1/000.p/2",)
    assert check_of(report, Name.ENTRIES).outcome is Outcome.PASSED
    assert check_of(report, Name.ROOT).outcome is Outcome.PASSED
    files["tile/1/000.p/2"] = FILES["tile/1/000.p/2"]
    assert audit_log(files.__getitem__, TRUST, now=NOW).verdict is Verdict.VERIFIED


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("tile/entries/000", Name.ENTRIES),
        ("tile/entries/001", Name.ENTRIES),
        ("tile/entries/002.p/8", Name.ENTRIES),
        ("tile/0/001", Name.TILES),
        ("tile/0/002.p/8", Name.TILES),
        ("tile/1/000.p/2", Name.TILES),
    ],
)
def test_missing_files_are_asked_for(path: str, name: Name) -> None:
    files = {key: data for key, data in FILES.items() if key != path}
    report = audit_log(files.__getitem__, TRUST, now=NOW, since=LOG.checkpoint(100))
    assert report.verdict is Verdict.COULD_NOT_CHECK
    assert check_of(report, name).ask_for == (path,)
    if name is Name.ENTRIES:
        for unread in (Name.CHAIN, Name.TIMES, Name.ROOT, Name.LOG_KEYS, Name.STATEMENTS):
            assert check_of(report, unread).outcome is Outcome.NOT_CHECKED


def test_a_fault_beyond_a_missing_file_is_still_found() -> None:
    files = {key: data for key, data in FILES.items() if key != "tile/entries/000"}
    files["tile/entries/001"] = files["tile/entries/001"].replace(b'"v":1', b'"v":2')
    report = audit_log(files.__getitem__, TRUST, now=NOW)
    assert report.verdict is Verdict.INVALID
    failure = report.first_failure
    assert failure is not None
    assert (failure.name, failure.index) == (Name.ENTRIES, 256)


def test_without_a_checkpoint_nothing_can_be_checked() -> None:
    files: dict[str, bytes] = {}
    report = audit_log(files.__getitem__, TRUST, now=NOW)
    assert (report.verdict, report.checks[0].ask_for) == (Verdict.COULD_NOT_CHECK, ("checkpoint",))


def test_a_huge_size_without_files_ends_soon() -> None:
    log = MiniLog()
    text = log.text().replace(b"\n0\n", b"\n%d\n" % (2**53 - 1))
    files = {"checkpoint": text + b"\n" + log_key().sign(text)}
    report = audit_log(files.__getitem__, TRUST, now=NOW)
    assert report.verdict is Verdict.COULD_NOT_CHECK
    assert len(check_of(report, Name.ENTRIES).ask_for) <= 20


def test_entries_that_change_between_the_passes_are_noticed() -> None:
    other = make_log(1)
    for number in range(519):
        other.append("job.submitted", body={"number": number})
    changed = other.export()
    reads: list[str] = []

    def read(path: str) -> bytes:
        reads.append(path)
        return (FILES if reads.count(path) == 1 else changed)[path]

    report = audit_log(read, TRUST, now=NOW)
    failure = report.first_failure
    assert failure is not None
    assert (failure.name, failure.finding) == (Name.STATEMENTS, Finding.HASH_MISMATCH)


def test_files_that_vanish_between_the_passes_are_noticed() -> None:
    reads: list[str] = []

    def read(path: str) -> bytes:
        reads.append(path)
        if reads.count(path) > 1:
            raise FileNotFoundError(path)
        return FILES[path]

    failure = audit_log(read, TRUST, now=NOW).first_failure
    assert failure is not None
    assert (failure.name, failure.index) == (Name.STATEMENTS, 0)


def test_missing_tiles_do_not_stop_the_statements() -> None:
    files = {key: data for key, data in FILES.items() if not key.startswith("tile/0/")}
    report = audit_log(files.__getitem__, TRUST, now=NOW)
    assert report.verdict is Verdict.COULD_NOT_CHECK
    assert check_of(report, Name.STATEMENTS).outcome is Outcome.PASSED


def cosigned(size: int | None, time: int) -> bytes:
    return LOG.checkpoint(size, cosign=[(W, time)])


@pytest.mark.parametrize(
    ("new", "old", "skew", "index", "finding"),
    [
        (START_S + 519, None, 0, None, None),
        (START_S + 518, None, 0, 519, Finding.POSTDATED),
        (START_S + 299, None, 0, 300, Finding.POSTDATED),
        (START_S + 299, None, 300, None, None),
        (NOW_S, (300, START_S + 300), 0, None, None),
        (NOW_S, (300, START_S + 301), 0, 300, Finding.BACKDATED),
        (NOW_S, (300, START_S + 600), 300, None, None),
        (NOW_S, (300, START_S + 601), 300, 300, Finding.BACKDATED),
        (NOW_S, (520, NOW_S), 0, None, None),
        (START_S + 400, (300, START_S + 310), 0, 300, Finding.BACKDATED),
    ],
)
def test_cosignatures_bound_the_times_of_entries(
    new: int, old: tuple[int, int] | None, skew: int, index: int | None, finding: Finding | None
) -> None:
    files = {**FILES, "checkpoint": cosigned(None, new)}
    since = None if old is None else cosigned(*old)
    report = audit_log(files.__getitem__, TRUST, now=NOW, since=since, skew_s=skew)
    check = check_of(report, Name.TIMES)
    assert (check.index, check.finding) == (index, finding)
    assert (report.verdict is Verdict.VERIFIED) is (finding is None)


def test_a_cosignature_covers_its_whole_second() -> None:
    """Its time is cut to seconds, so that an honest entry may seem to be younger by a fraction."""
    for fraction, finding in [(999_999, None), (1_000_000, Finding.POSTDATED)]:
        at = START + timedelta(microseconds=fraction)
        log = MiniLog()
        log.append("job.submitted", time=at)
        report = audit_log(log.export(cosign=[(W, START_S)]).__getitem__, TRUST, now=NOW, skew_s=0, statements=False)
        assert check_of(report, Name.TIMES).finding is finding


@pytest.mark.parametrize("make", [lambda: b"", lambda: LOG.checkpoint(10).replace(b"\n10\n", b"\n11\n")])
def test_an_old_checkpoint_that_is_not_sound_is_no_history(make: Callable[[], bytes]) -> None:
    report = audit_log(FILES.__getitem__, TRUST, now=NOW, since=make())
    assert (report.verdict, check_of(report, Name.HISTORY).outcome) == (Verdict.INVALID, Outcome.FAILED)
    assert report.heads == ()
