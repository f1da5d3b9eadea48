"""A log and its witnesses: nothing is published without them, and nobody waits for them who need not."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from ledger.cosigning import Ask, CosigningThread, NoCosignatures
from ledger.log import Log
from ledger.note import NoteSignature, parse_note, verify_note
from ledger.publish import read_published
from ledger.reader import LogReader
from ledger.receipt import format_receipt
from ledger.store import LogStore
from ledger.store_sql import SqlStore
from ledger.tree import hash_leaf
from ledger.witness import format_add_checkpoint
from tests.conftest import START
from tests.lib.databases import STORES, StoreMaker
from tests.lib.failing_store import FailingStore
from tests.lib.local_witnesses import LocalWitness, LocalWitnesses
from tests.lib.log_checks import check_log, read_all
from tests.lib.statements import make_statement
from tests.lib.stored_log import StoredLog
from tests.lib.waiting import wait_until
from tests.lib.witness_trees import ListLog
from yingbi.clock import FixedClock
from yingbi.errors import ErrorCode, NotFoundError, SandboxError, TamperDetectedError, UnavailableError
from yingbi.receipts import Receipt, SignedCheckpoint
from yingbi.verify import Verdict, verify_receipt

ORIGIN = "log.example/cosigned"
NOW = START + timedelta(seconds=1)


@pytest.fixture
def log(tmp_path: Path, clock: FixedClock) -> Iterator[StoredLog]:
    store = SqlStore.create(f"sqlite:///{tmp_path}/log.sqlite", ORIGIN)
    yield StoredLog(store, tmp_path, clock=clock)
    store.close()


@pytest.fixture
def witnesses(log: StoredLog, clock: FixedClock) -> LocalWitnesses:
    return LocalWitnesses(log.verifiers, clock)


def verdict(log: Log, receipt: Receipt, witnesses: LocalWitnesses) -> Verdict:
    entry = log.reader.entry(receipt.proof.index)
    return verify_receipt(format_receipt(receipt), entry, witnesses.trust, now=NOW).verdict


def fork_of(log: StoredLog, size: int) -> ListLog:
    """A log with the same key and the same entries so far, and then others."""
    leaves = [hash_leaf(data) for data in read_all(log.store)]
    fork = ListLog(origin=ORIGIN, seed=1, leaves=leaves)
    return fork.grow(size - len(leaves), mark="other")


def show(log: ListLog, witness: LocalWitness) -> None:
    """Let a witness see and cosign the newest checkpoint of a log."""
    known = witness.store.load(ORIGIN).checkpoint.size
    answer = witness.witness.add_checkpoint(format_add_checkpoint(log.prove(known), log.signed().note))
    assert answer.status == 200


@contextmanager
def opened(log: StoredLog, witnesses: LocalWitnesses) -> Iterator[Log]:
    """Open the log and wait for the two rounds about its stored head: before it signs, and to publish it."""
    asked = [len(item.sizes) for item in witnesses.members if not item.is_down]
    with log.open(CosigningThread(witnesses.round())) as opened_log:
        up = [item for item in witnesses.members if not item.is_down]
        wait_until(lambda: all(len(item.sizes) >= count + 2 for item, count in zip(up, asked, strict=True)))
        wait_until(lambda: not up or opened_log.reader.published().checkpoint.size == log.store.read_head().size)
        yield opened_log


# --- a quorum is needed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make_store", STORES, indirect=True)
def test_a_receipt_comes_only_with_the_quorum(make_store: StoreMaker, tmp_path: Path, clock: FixedClock) -> None:
    log = StoredLog(make_store(ORIGIN), tmp_path, clock=clock)
    witnesses = LocalWitnesses(log.verifiers, clock)
    with opened(log, witnesses) as opened_log:
        for size in range(1, 6):
            receipt = opened_log.append(make_statement())
            assert receipt.signed.checkpoint.size == size
            assert verdict(opened_log, receipt, witnesses) is Verdict.VERIFIED
            assert opened_log.reader.published() == receipt.signed
    check_log(log.store, log.verifiers)
    assert [item.store.load(ORIGIN).checkpoint.size for item in witnesses.members] == [5, 5]


@pytest.mark.parametrize("make_store", STORES, indirect=True)
def test_while_a_witness_is_down_nothing_is_published_and_the_same_key_gets_the_receipt_later(
    make_store: StoreMaker, tmp_path: Path, clock: FixedClock
) -> None:
    log = StoredLog(make_store(ORIGIN), tmp_path, clock=clock)
    witnesses = LocalWitnesses(log.verifiers, clock)
    statement = make_statement()
    with opened(log, witnesses) as opened_log:
        first = opened_log.append(make_statement())
        witnesses.members[1].is_down = True
        with pytest.raises(UnavailableError) as refused:
            opened_log.append(statement, idempotency_key="k", timeout_s=0.15)
        assert refused.value.code is ErrorCode.QUORUM_NOT_MET
        assert log.store.read_head().size == 2, "the entry is recorded"
        assert opened_log.reader.published() == first.signed
        for question in (
            lambda: opened_log.reader.entry(1),
            lambda: opened_log.reader.receipt(1),
            lambda: read_published(log.store, "tile/0/000.p/2"),
            lambda: read_published(log.store, "tile/entries/000.p/2"),
        ):
            with pytest.raises(NotFoundError):
                question()
        witnesses.members[1].is_down = False
        receipt = opened_log.append(statement, idempotency_key="k")
        assert receipt.proof.index == 1
        assert verdict(opened_log, receipt, witnesses) is Verdict.VERIFIED
    assert len(check_log(log.store, log.verifiers)) == 2


def test_what_was_not_published_before_the_end_is_published_after_the_next_start(
    log: StoredLog, witnesses: LocalWitnesses
) -> None:
    with opened(log, witnesses) as opened_log:
        for item in witnesses.members:
            item.is_down = True
        with pytest.raises(UnavailableError):
            opened_log.append(make_statement(), timeout_s=0.1)
    assert LogReader(log.store).published().checkpoint.size == 0
    for item in witnesses.members:
        item.is_down = False
    with opened(log, witnesses) as opened_log:
        wait_until(lambda: opened_log.reader.published().checkpoint.size == 1)
        assert verdict(opened_log, opened_log.reader.receipt(0), witnesses) is Verdict.VERIFIED


def test_one_witness_of_two_is_enough_where_the_policy_says_so(log: StoredLog, clock: FixedClock) -> None:
    witnesses = LocalWitnesses(log.verifiers, clock, count=2, threshold=1)
    with opened(log, witnesses) as opened_log:
        witnesses.members[0].is_down = True
        for _ in range(3):
            assert verdict(opened_log, opened_log.append(make_statement()), witnesses) is Verdict.VERIFIED


def test_a_witness_that_comes_back_is_brought_up_to_date(log: StoredLog, clock: FixedClock) -> None:
    witnesses = LocalWitnesses(log.verifiers, clock, count=2, threshold=1)
    late = witnesses.members[0]
    late.is_down = True
    with opened(log, witnesses) as opened_log:
        for _ in range(10):
            opened_log.append(make_statement())
        late.is_down = False
        opened_log.append(make_statement())
        wait_until(lambda: late.store.load(ORIGIN).checkpoint.size == 11)


# --- no quorum is needed ----------------------------------------------------------------------------------------------


def test_without_a_quorum_receipts_do_not_wait_and_cosignatures_are_added(log: StoredLog, clock: FixedClock) -> None:
    witnesses = LocalWitnesses(log.verifiers, clock, count=1, threshold=0)
    (member,) = witnesses.members
    with opened(log, witnesses) as opened_log:
        member.gate.clear()
        receipt = opened_log.append(make_statement(), timeout_s=2)
        assert verdict(opened_log, receipt, witnesses) is Verdict.LOG_SIGNED_ONLY
        member.gate.set()
        wait_until(lambda: len(parse_note(opened_log.reader.signed(1).note).signatures) == 2)
        verified = verify_note(parse_note(opened_log.reader.published().note), [member.cosigner.verifier])
        assert [item.timestamp for item in verified] == [int(START.timestamp())]


def test_nobody_is_asked_where_there_is_nobody(log: StoredLog) -> None:
    source = NoCosignatures()
    assert not source.is_required
    with log.open(source) as opened_log:
        note = parse_note(opened_log.append(make_statement()).signed.note)
    assert len(note.signatures) == 1


# --- witnesses that know better ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [0, 1, 2])
def test_a_log_that_is_behind_one_witness_is_not_opened(log: StoredLog, clock: FixedClock, threshold: int) -> None:
    witnesses = LocalWitnesses(log.verifiers, clock, threshold=threshold)
    show(fork_of(log, 3), witnesses.members[1])
    before = log.store.read_head()
    for _ in range(2):
        with pytest.raises(TamperDetectedError) as refused, opened(log, witnesses):
            pass
        assert refused.value.code is ErrorCode.LOG_ROLLED_BACK
    assert log.store.read_head() == before
    assert "yingbi-cosigning" not in [thread.name for thread in threading.enumerate()]
    with log.open() as opened_log:  # the lock was let go
        opened_log.append(make_statement())


@pytest.mark.parametrize("threshold", [0, 1, 2])
def test_a_log_that_forked_from_what_a_witness_saw_is_not_opened(
    log: StoredLog, clock: FixedClock, threshold: int
) -> None:
    witnesses = LocalWitnesses(log.verifiers, clock, threshold=threshold)
    log.grow(1)
    fork = fork_of(log, 3)
    log.grow(3)
    show(fork, witnesses.members[0])
    with pytest.raises(TamperDetectedError) as refused, opened(log, witnesses):
        pass
    assert refused.value.code is ErrorCode.LOG_FORKED
    assert len(witnesses.members[0].store.list_evidence()) == 1


@pytest.mark.parametrize("size", [2, 5])
def test_a_fork_that_a_witness_sees_later_stops_publication_and_is_shouted_about(
    log: StoredLog, witnesses: LocalWitnesses, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    with opened(log, witnesses) as opened_log:
        opened_log.append(make_statement())
        published = opened_log.reader.published()
        show(fork_of(log, size), witnesses.members[0])
        for _ in range(2):
            with pytest.raises(UnavailableError) as refused:
                opened_log.append(make_statement(), timeout_s=0.3)
            assert refused.value.code is ErrorCode.QUORUM_NOT_MET
        assert opened_log.reader.published() == published
    critical = [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]
    assert any(message.startswith("witnesses refuse the log: log-") for message in critical)
    with pytest.raises(TamperDetectedError), opened(log, witnesses):
        pass


# --- slow witnesses ---------------------------------------------------------------------------------------------------


def test_entries_go_on_while_witnesses_are_slow_and_each_round_takes_the_newest(
    log: StoredLog, witnesses: LocalWitnesses
) -> None:
    slow = witnesses.members[0]
    slow.delay_s = 0.05
    receipts: list[Receipt] = []
    problems: list[BaseException] = []

    def call(opened_log: Log) -> None:
        try:
            receipts.extend(opened_log.append(make_statement(), timeout_s=20) for _ in range(8))
        except BaseException as problem:
            problems.append(problem)

    with opened(log, witnesses) as opened_log:
        threads = [threading.Thread(target=call, args=(opened_log,)) for _ in range(25)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not problems
        assert {verdict(opened_log, receipt, witnesses) for receipt in receipts[::20]} == {Verdict.VERIFIED}
    assert sorted(receipt.proof.index for receipt in receipts) == list(range(200))
    # One after the other 200 entries would take 200 rounds; 25 callers with 8 each take about 8 to 16.
    assert len(slow.sizes) < 40
    assert slow.sizes == sorted(slow.sizes), "never an older head than before"
    heads = {receipt.signed.checkpoint.size: receipt.signed for receipt in receipts}
    keys = [item.cosigner.verifier for item in witnesses.members]
    for signed in heads.values():
        assert len(verify_note(parse_note(signed.note), keys)) == 2, "every published checkpoint was witnessed"
    check_log(log.store, log.verifiers)


def test_the_sequencer_commits_while_a_witness_keeps_silent(log: StoredLog, witnesses: LocalWitnesses) -> None:
    with opened(log, witnesses) as opened_log:
        witnesses.members[0].gate.clear()
        for _ in range(3):
            with pytest.raises(UnavailableError):
                opened_log.append(make_statement(), timeout_s=0.05)
            wait_until(lambda: 1 in witnesses.members[0].sizes)
        wait_until(lambda: log.store.read_head().size == 3)
        witnesses.members[0].gate.set()
        wait_until(lambda: opened_log.reader.published().checkpoint.size == 3)
    asked = [size for size in witnesses.members[0].sizes if size]
    assert asked == [1, 3], "size 2 was overtaken while the witness kept silent"


def test_a_witness_that_is_down_is_not_asked_without_pause(log: StoredLog, witnesses: LocalWitnesses) -> None:
    with opened(log, witnesses) as opened_log:
        witnesses.members[1].is_down = True
        witnesses.members[0].sizes.clear()
        with pytest.raises(UnavailableError):
            opened_log.append(make_statement(), timeout_s=0.5)
    assert 1 <= len(witnesses.members[0].sizes) <= 3


# --- rounds that fail in other ways -----------------------------------------------------------------------------------


class Rounds:
    """Implements `WitnessRound` with prepared failures, then with a real round."""

    is_required = True

    def __init__(self, witnesses: LocalWitnesses, *failures: Exception) -> None:
        self._round = witnesses.round()
        self.failures = list(failures)

    def collect(self, signed: SignedCheckpoint, prove: Ask) -> tuple[tuple[NoteSignature, ...], bool]:
        if signed.checkpoint.size and self.failures:
            raise self.failures.pop(0)
        return self._round.collect(signed, prove)


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("of the round"),
        OSError(5, "Input/output error"),
        KeyError("x"),
        UnavailableError(ErrorCode.WITNESS_UNAVAILABLE, "x"),
        SandboxError(ErrorCode.INTERNAL, "x"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_a_round_that_fails_is_repeated(log: StoredLog, witnesses: LocalWitnesses, failure: Exception) -> None:
    """Regression: any error but ours ended the thread, and nothing was published ever after."""
    rounds = Rounds(witnesses, failure)
    with log.open(CosigningThread(rounds)) as opened_log:
        receipt = opened_log.append(make_statement(), timeout_s=5)
        assert verdict(opened_log, receipt, witnesses) is Verdict.VERIFIED
    assert not rounds.failures


def test_a_store_that_cannot_publish_for_a_moment_publishes_later(
    log: StoredLog, witnesses: LocalWitnesses, caplog: pytest.LogCaptureFixture
) -> None:
    failing = FailingStore(log.store)
    log.store = cast("LogStore", failing)
    with opened(log, witnesses) as opened_log:
        failing.fail_at = "publish"
        receipt = opened_log.append(make_statement(), timeout_s=5)
        assert verdict(opened_log, receipt, witnesses) is Verdict.VERIFIED
    assert failing.failures == 1
    assert "witnesses refuse the log" not in caplog.text, "the witnesses have nothing to do with it"


def test_a_log_that_cannot_publish_at_start_leaves_no_thread_behind(log: StoredLog, clock: FixedClock) -> None:
    witnesses = LocalWitnesses(log.verifiers, clock, threshold=0)
    failing = FailingStore(log.store)
    log.store = cast("LogStore", failing)
    failing.fail_at = "publish"
    with pytest.raises(OSError, match="Input/output"), opened(log, witnesses):
        pass
    assert "yingbi-cosigning" not in [thread.name for thread in threading.enumerate()]
    with opened(log, witnesses) as opened_log:
        opened_log.append(make_statement())


def test_the_end_of_the_log_waits_for_the_round_that_is_under_way(log: StoredLog, witnesses: LocalWitnesses) -> None:
    with opened(log, witnesses) as opened_log:
        witnesses.members[0].gate.clear()
        with pytest.raises(UnavailableError):
            opened_log.append(make_statement(), timeout_s=0.05)
        threading.Timer(0.2, witnesses.members[0].gate.set).start()
    assert LogReader(log.store).published().checkpoint.size == 1
