"""A log read whole: every entry with its body, its signers, and whether it has an effect."""

import pytest

from tests.lib.audited_log import BANK, BUREAU, AuditedLog
from tests.lib.mini_log import make_tiles
from yingbi.audit.facts import read_log, read_once, read_published
from yingbi.errors import NotFoundError, SandboxError
from yingbi.events import EntryType


def test_every_entry_is_read_in_order() -> None:
    log = AuditedLog().found().run_day()
    reading = log.read()
    assert [fact.index for fact in reading.facts] == list(range(log.size))
    assert (reading.origin, reading.size) == (log.mini.origin, log.size)
    assert reading.until == reading.facts[-1].time
    assert list(reading.jobs) == ["job-0001", "job-0002", "job-0003", "job-0004"]
    assert [fact.type for fact in reading.jobs["job-0002"]] == [EntryType.JOB_SUBMITTED, EntryType.JOB_REFUSED]
    assert set(reading.documents) == {fact.id for fact in reading.of(EntryType.DATASET_REGISTERED)} | {log.terms.id}


def test_more_than_one_bundle_is_read_also_from_full_ones() -> None:
    log = AuditedLog().found()
    while log.size < 300:
        log.submit(f"job-{log.size}")
    files = log.files()
    assert len(read_log(files.__getitem__, log.roots).facts) == 300
    longer = AuditedLog(mini=log.mini.copy(), at=log.at)
    while longer.size < 512:
        longer.submit(f"job-{longer.size}")
    mirror = {**make_tiles(longer.mini.entries), "checkpoint": files["checkpoint"]}
    assert len(read_log(mirror.__getitem__, log.roots).facts) == 300


def test_people_and_parties_of_an_entry() -> None:
    log = AuditedLog().found()
    index = log.submit("job-0001")
    fact = log.read().facts[index]
    assert fact.people == {"person:ana"}
    assert fact.parties == {"person:ana", BANK}
    assert fact.job == "job-0001"
    assert log.read().facts[0].job is None
    assert log.read().facts[0].parties == {BUREAU}


def test_an_entry_without_effect_says_by_which_rule() -> None:
    log = AuditedLog().found()
    index = log.approve("job-0404")
    refusal = log.read().facts[index].refusal
    assert refusal is not None
    assert (refusal.rule, refusal.message) == ("state", "expected a job that was submitted")


def test_a_log_without_checkpoint_or_with_a_hole_is_said_so() -> None:
    log = AuditedLog().found()
    files = log.files()
    with pytest.raises(NotFoundError):
        read_published(dict[str, bytes]().__getitem__)
    name = next(path for path in files if "entries" in path)
    del files[name]
    with pytest.raises(NotFoundError, match="tile/entries"):
        read_log(files.__getitem__, log.roots)


def test_an_entry_that_cannot_be_read_ends_the_reading() -> None:
    log = AuditedLog().found()
    log.mini.append("job.submitted", body={"free": "text"})
    with pytest.raises(SandboxError):
        read_log(log.read_file, log.roots)


def test_an_empty_log_is_a_log() -> None:
    reading = read_log(AuditedLog().read_file, AuditedLog().roots)
    assert (reading.facts, reading.until) == ((), "")


def test_what_was_read_once_stays_as_it_was() -> None:
    files = {"checkpoint": b"as it was verified"}
    read = read_once(files.__getitem__)
    assert read("checkpoint") == b"as it was verified"
    with pytest.raises(LookupError):
        read("tile/entries/000.p/1")
    files |= {"checkpoint": b"another one", "tile/entries/000.p/1": b"forged"}
    assert read("checkpoint") == b"as it was verified"
    with pytest.raises(LookupError):
        read("tile/entries/000.p/1")
