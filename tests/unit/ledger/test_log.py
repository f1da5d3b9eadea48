"""The log on every store: appending, batches, repetition, openings, order of time, reopening, many callers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from ledger.entry import parse_entry
from ledger.high_water import HighWaterMark
from ledger.log import MAX_BATCH, Log, create_log
from ledger.note import TextSigner
from ledger.proof import verify_consistency, verify_inclusion
from ledger.store import LogStore
from ledger.tree import hash_leaf
from tests.lib.databases import STORES, StoreMaker
from tests.lib.log_checks import check_log
from tests.lib.statements import make_statement
from yingbi.clock import FixedClock
from yingbi.commitment import commit
from yingbi.errors import (
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    SandboxError,
    UnavailableError,
    VerificationError,
)
from yingbi.keys import SigningKey

ORIGIN = "log.example/test"

pytestmark = pytest.mark.parametrize("make_store", STORES, indirect=True)


class Bench:
    """A log that can be opened again and again."""

    def __init__(self, store: LogStore, mark: HighWaterMark, signer: TextSigner, clock: FixedClock) -> None:
        self.store, self.mark, self.signer, self.clock = store, mark, signer, clock

    @contextmanager
    def open(self) -> Iterator[Log]:
        with Log.open(self.store, [self.signer], clock=self.clock, high_water=self.mark) as log:
            yield log

    def check(self) -> list[bytes]:
        return check_log(self.store, [self.signer.verifier])


@pytest.fixture
def bench(make_store: StoreMaker, tmp_path: Path, key: SigningKey, clock: FixedClock) -> Bench:
    store, mark, signer = make_store(ORIGIN), HighWaterMark(tmp_path / "mark"), TextSigner(ORIGIN, key)
    create_log(store, [signer], mark)
    return Bench(store, mark, signer, clock)


def test_an_empty_log_publishes_the_empty_tree(bench: Bench) -> None:
    with bench.open() as log:
        assert log.reader.published().checkpoint.size == 0
        assert log.origin == ORIGIN
    assert bench.check() == []


def test_append_returns_a_receipt_that_verifies(bench: Bench) -> None:
    statement = make_statement()
    with bench.open() as log:
        receipt = log.append(statement)
        entry = log.reader.entry(receipt.proof.index)
    verify_inclusion(receipt.proof, hash_leaf(entry), receipt.signed.checkpoint.root)
    assert parse_entry(entry).statement.envelope == statement.envelope
    assert bench.check() == [entry]


@pytest.mark.parametrize("counts", [(1, 2, 3), (255, 1, 1), (256, 256), (300, 1, 400)])
def test_batches_stand_together_and_every_receipt_verifies(bench: Bench, counts: tuple[int, ...]) -> None:
    statements = [make_statement() for _ in range(sum(counts))]
    start = 0
    with bench.open() as log:
        for count in counts:
            done = log.append_batch(statements[start : start + count])
            assert (done.start, done.count) == (start, count)
            start += count
        for index in {0, 1, start // 2, start - 1}:
            receipt = log.reader.receipt(index)
            root = receipt.signed.checkpoint.root
            verify_inclusion(receipt.proof, hash_leaf(log.reader.entry(index)), root)
    entries = bench.check()
    assert [parse_entry(entry).statement.envelope for entry in entries] == [item.envelope for item in statements]


def test_every_published_head_is_a_prefix_of_the_next(bench: Bench) -> None:
    with bench.open() as log:
        heads = [log.append(make_statement()).signed.checkpoint for _ in range(20)]
        for old in heads:
            for new in heads[heads.index(old) :]:
                verify_consistency(log.reader.consistency(old.size, new.size), old.root, new.root)
    assert [head.size for head in heads] == list(range(1, 21))


def test_the_same_key_and_statement_is_one_entry_now_and_after_reopening(bench: Bench) -> None:
    statement = make_statement()
    with bench.open() as log:
        first = log.append(statement, idempotency_key="k")
        assert log.append(statement, idempotency_key="k").proof.index == first.proof.index
    with bench.open() as log:
        assert log.append(statement, idempotency_key="k").proof.index == first.proof.index
    assert len(bench.check()) == 1


def test_the_same_key_with_another_statement_is_refused_and_stores_nothing(bench: Bench) -> None:
    with bench.open() as log:
        log.append(make_statement(), idempotency_key="k")
        with pytest.raises(InvalidRequestError) as refused:
            log.append(make_statement(), idempotency_key="k")
        log.append(make_statement())
    assert refused.value.code is ErrorCode.IDEMPOTENCY_CONFLICT
    assert len(bench.check()) == 2


def test_a_batch_is_repeated_as_a_whole(bench: Bench) -> None:
    batch = [make_statement() for _ in range(3)]
    with bench.open() as log:
        log.append(make_statement())
        first = log.append_batch(batch, idempotency_key="b")
        again = log.append_batch(batch, idempotency_key="b")
        with pytest.raises(InvalidRequestError):
            log.append_batch(batch[:2], idempotency_key="b")
    assert (again.start, again.count) == (first.start, first.count) == (1, 3)
    assert len(bench.check()) == 4


def test_many_callers_get_each_entry_once_in_one_chain(bench: Bench) -> None:
    places: list[int] = []
    problems: list[Exception] = []

    def call(log: Log, number: int) -> None:
        try:
            for turn in range(10):
                statement = make_statement()
                receipt = log.append(statement, idempotency_key=f"{number}-{turn}")
                entry = log.reader.entry(receipt.proof.index)
                verify_inclusion(receipt.proof, hash_leaf(entry), receipt.signed.checkpoint.root)
                assert parse_entry(entry).statement.envelope == statement.envelope
                places.append(receipt.proof.index)
        except Exception as problem:
            problems.append(problem)

    with bench.open() as log:
        threads = [threading.Thread(target=call, args=(log, number)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not problems
    assert sorted(places) == list(range(160))
    assert len(bench.check()) == 160


def test_the_logs_time_never_goes_back(bench: Bench) -> None:
    with bench.open() as log:
        log.append(make_statement())
        bench.clock.at -= timedelta(days=1)
        log.append(make_statement())
        bench.clock.at += timedelta(days=2)
        log.append(make_statement())
    times = [parse_entry(entry).time for entry in bench.check()]
    assert times == [
        "2026-11-21T08:00:00.000000Z",
        "2026-11-21T08:00:00.000000Z",
        "2026-11-22T08:00:00.000000Z",
    ]


def test_an_opening_is_kept_until_it_is_erased_and_the_log_still_verifies(bench: Bench) -> None:
    opening = commit({"name": "canary-4711"})
    statement = make_statement(subject=[{"id": "person:p1", "digest": opening.commitment}])
    with bench.open() as log:
        log.append(statement, openings=[opening])
    assert bench.store.read_opening(opening.commitment) == opening
    before = bench.check()
    bench.store.erase_opening(opening.commitment)
    with pytest.raises(NotFoundError):
        bench.store.read_opening(opening.commitment)
    with pytest.raises(NotFoundError):
        bench.store.erase_opening(opening.commitment)
    assert bench.check() == before


def test_an_opening_of_nothing_is_refused(bench: Bench) -> None:
    with bench.open() as log:
        with pytest.raises(VerificationError) as refused:
            log.append(make_statement(), openings=[commit("x")])
        assert refused.value.code is ErrorCode.COMMITMENT_MISMATCH
    assert bench.check() == []


@pytest.mark.parametrize("count", [0, MAX_BATCH + 1])
def test_no_statements_or_too_many_are_refused(bench: Bench, count: int) -> None:
    with bench.open() as log, pytest.raises(InvalidRequestError):
        log.append_batch([make_statement()] * count)


@pytest.mark.parametrize("wrong", ["", "k" * 201])
def test_an_idempotency_key_of_a_wrong_length_is_refused(bench: Bench, wrong: str) -> None:
    with bench.open() as log, pytest.raises(InvalidRequestError):
        log.append(make_statement(), idempotency_key=wrong)


def test_a_closed_log_takes_nothing(bench: Bench) -> None:
    with bench.open() as log:
        pass
    with pytest.raises(UnavailableError) as refused:
        log.append(make_statement())
    assert refused.value.code is ErrorCode.LOG_CLOSED
    log.close()


def test_a_second_sequencer_is_refused_until_the_first_lets_go(bench: Bench) -> None:
    with bench.open():
        with pytest.raises(SandboxError) as refused, bench.open():
            pass
        assert refused.value.code is ErrorCode.LOG_BUSY
    with bench.open() as log:
        log.append(make_statement())
    assert len(bench.check()) == 1


def test_a_log_is_not_made_twice(bench: Bench, tmp_path: Path) -> None:
    with bench.open() as log:
        log.append(make_statement())
    with pytest.raises(ConflictError) as refused:
        create_log(bench.store, [bench.signer], HighWaterMark(tmp_path / "other"))
    assert refused.value.code is ErrorCode.LOG_EXISTS


def test_what_is_not_there_is_not_found(bench: Bench) -> None:
    with bench.open() as log:
        log.append(make_statement())
        for question in (
            lambda: log.reader.entry(1),
            lambda: log.reader.receipt(1),
            lambda: log.reader.receipt(-1),
            lambda: log.reader.signed(7),
            lambda: bench.store.read_entries(0, 2),
            lambda: bench.store.read_entries(2, 1),
        ):
            with pytest.raises(NotFoundError):
                question()
