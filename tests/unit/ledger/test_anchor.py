"""The anchor worker against a chain that reorganises, forgets and fails, and a log that may be rolled back."""

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ledger.anchor import (
    AnchorOutcome,
    AnchorState,
    AnchorWorker,
    ChainHead,
    MemoryJournal,
    NullAnchor,
    Submission,
    TransactionState,
    verify_chain_head,
)
from tests.lib.chain import FakeChain, FakeLog, make_checkpoint, make_root
from yingbi.clock import FixedClock
from yingbi.errors import ErrorCode, InvalidRequestError, TamperDetectedError, UnavailableError
from yingbi.receipts import SignedCheckpoint

_START = datetime(2026, 11, 21, 8, tzinfo=UTC)
_STUCK_S = 600


class Setting:
    """A log, a chain, a durable journal and a worker that can be started again."""

    def __init__(self, size: int = 5, confirmations: int = 2) -> None:
        self.log = FakeLog(size)
        self.chain = FakeChain(confirmations)
        self.journal = MemoryJournal()
        self.clock = FixedClock(_START)
        self.restart()

    def restart(self) -> None:
        self.worker = AnchorWorker(self.chain, self.log, self.journal, clock=self.clock, stuck_after_s=_STUCK_S)

    def run(self) -> AnchorState:
        return self.worker.run_once().state

    def settle(self) -> None:
        """Let time and blocks pass until the newest head is confirmed."""
        for _ in range(12):
            outcome = None
            with contextlib.suppress(UnavailableError):
                outcome = self.worker.run_once()
            if outcome is not None and outcome.state is AnchorState.CONFIRMED and outcome.size == self.log.size:
                return
            self.clock.at += timedelta(seconds=_STUCK_S)
            self.chain.mine(self.chain.confirmations + 1)
        raise AssertionError("the newest head was never confirmed")


@pytest.fixture
def setting() -> Setting:
    return Setting()


def test_a_head_is_sent_included_and_confirmed(setting: Setting) -> None:
    assert setting.run() is AnchorState.SENT
    assert setting.run() is AnchorState.SENT
    setting.chain.mine()
    assert setting.run() is AnchorState.INCLUDED
    setting.chain.mine()
    assert setting.run() is AnchorState.INCLUDED
    setting.chain.mine()
    outcome = setting.worker.run_once()
    assert (outcome.state, outcome.size, outcome.view.confirmed.root) == (AnchorState.CONFIRMED, 5, make_root(5))
    assert setting.run() is AnchorState.CONFIRMED
    assert (setting.chain.heads, setting.chain.paid) == ([5], 1)


def test_the_newest_head_is_taken_and_those_between_are_skipped(setting: Setting) -> None:
    setting.run()
    setting.log.size = 7
    setting.run()
    setting.log.size = 9
    setting.settle()
    assert setting.chain.heads == [5, 9]


def test_a_head_is_confirmed_before_the_next_is_sent(setting: Setting) -> None:
    setting.run()
    setting.chain.mine()
    setting.log.size = 9
    assert setting.run() is AnchorState.INCLUDED
    setting.chain.mine(2)
    assert setting.worker.run_once().size == 5
    assert setting.run() is AnchorState.SENT


@pytest.mark.parametrize("head", [None, SignedCheckpoint(checkpoint=make_checkpoint(0), note=b"note")])
def test_nothing_is_sent_without_a_cosigned_head_of_some_size(head: SignedCheckpoint | None) -> None:
    setting = Setting(size=0)
    _patch(setting.log, "latest_cosigned", lambda: head)
    assert setting.run() is AnchorState.IDLE
    assert setting.chain.signed == []
    assert setting.journal.load() is None


def test_a_confirmed_chain_is_only_read(setting: Setting) -> None:
    setting.settle()
    setting.journal = MemoryJournal()
    setting.restart()
    assert setting.run() is AnchorState.CONFIRMED
    assert len(setting.chain.signed) == 1


# --- restarts ---------------------------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process ends here."""


def _patch(target: object, name: str, value: object) -> None:
    setattr(target, name, value)


def _crash(*_: object, **__: object) -> None:
    raise Crash


def _crash_after(step: Callable[..., Any]) -> Callable[..., None]:
    def call(*args: Any, **kwargs: Any) -> None:
        step(*args, **kwargs)
        raise Crash

    return call


@pytest.mark.parametrize("keeps_journal", [True, False], ids=["journal kept", "journal lost"])
@pytest.mark.parametrize(
    "crash",
    [
        lambda s: setattr(s.chain, "prepare", _crash_after(s.chain.prepare)),
        lambda s: setattr(s.journal, "save", _crash),
        lambda s: setattr(s.journal, "save", _crash_after(s.journal.save)),
        lambda s: setattr(s.chain, "submit", _crash),
        lambda s: setattr(s.chain, "submit", _crash_after(s.chain.submit)),
    ],
    ids=["signed", "before it is written", "written", "before it is sent", "sent"],
)
def test_a_restart_at_any_step_anchors_once(
    setting: Setting, crash: Callable[[Setting], None], keeps_journal: bool
) -> None:
    crash(setting)
    with pytest.raises(Crash):
        setting.run()
    for patched, name in ((setting.chain, "prepare"), (setting.chain, "submit"), (setting.journal, "save")):
        patched.__dict__.pop(name, None)
    setting.journal = setting.journal if keeps_journal else MemoryJournal()
    setting.restart()
    setting.settle()
    assert (setting.chain.heads, setting.chain.paid) == ([5], 1)


def test_a_transaction_is_written_before_it_is_sent(setting: Setting) -> None:
    _patch(setting.chain, "submit", _crash)
    with pytest.raises(Crash):
        setting.run()
    record = setting.journal.load()
    assert record is not None
    assert record.submission is not None
    assert (record.size, record.state, record.sent_at) == (5, AnchorState.SENT, _START)
    del setting.chain.submit
    setting.restart()
    setting.run()
    assert list(setting.chain.pool.values()) == [record.submission.transaction]
    assert len(setting.chain.signed) == 1


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_a_restart_while_included_looks_at_the_chain_first(setting: Setting, blocks: int) -> None:
    setting.run()
    setting.chain.mine(blocks)
    setting.journal = MemoryJournal()
    setting.restart()
    assert setting.run() is (AnchorState.CONFIRMED if blocks == 3 else AnchorState.INCLUDED)
    assert len(setting.chain.signed) == 1


@pytest.mark.parametrize("size", [5, 9], ids=["of one head", "of two heads"])
def test_two_workers_with_one_key_anchor_once(setting: Setting, size: int) -> None:
    other = AnchorWorker(setting.chain, setting.log, MemoryJournal(), clock=setting.clock)
    setting.run()
    setting.log.size = size
    with contextlib.suppress(UnavailableError):
        other.run_once()
    assert len(setting.chain.pool) == 1
    setting.chain.mine()
    assert other.run_once().state is AnchorState.INCLUDED
    assert (setting.chain.heads, setting.chain.paid) == ([5], 1)


# --- reorganisations and stuck transactions ---------------------------------------------------------------------------


@pytest.mark.parametrize("forgets", [True, False], ids=["forgotten", "back in the pool"])
def test_a_head_that_vanished_is_sent_again(setting: Setting, forgets: bool, caplog: pytest.LogCaptureFixture) -> None:
    setting.run()
    setting.chain.mine()
    setting.clock.at += timedelta(seconds=1)
    assert setting.run() is AnchorState.INCLUDED
    record = setting.journal.load()
    assert record is not None
    assert record.sent_at == _START
    setting.chain.reorganise(1, forgets=forgets)
    setting.clock.at += timedelta(seconds=_STUCK_S)
    with caplog.at_level(logging.WARNING, "ledger.anchor"):
        assert setting.run() is AnchorState.SENT
        assert setting.run() is AnchorState.SENT
    assert caplog.text.count("vanished") == 1
    assert len(setting.chain.pool) == 1
    assert len(setting.chain.signed) == 1
    setting.settle()
    assert (setting.chain.heads, setting.chain.paid) == ([5], 1)


def test_a_confirmed_head_that_vanished_is_sent_again(setting: Setting) -> None:
    setting.settle()
    setting.chain.reorganise(len(setting.chain.blocks), forgets=True)
    assert setting.run() is AnchorState.SENT
    setting.settle()
    assert setting.chain.heads == [5]


def test_a_head_that_only_the_chain_knew_of_is_signed_anew_after_it_vanished(setting: Setting) -> None:
    setting.run()
    setting.chain.mine()
    setting.journal = MemoryJournal()
    setting.restart()
    setting.run()
    setting.chain.reorganise(1, forgets=True)
    assert setting.run() is AnchorState.SENT
    setting.settle()
    assert setting.chain.heads == [5]


def test_a_transaction_for_another_past_is_replaced_not_resent(setting: Setting) -> None:
    setting.settle()
    setting.log.size = 9
    setting.run()
    setting.chain.reorganise(len(setting.chain.blocks), forgets=True)
    assert setting.run() is AnchorState.SENT
    setting.settle()
    assert (setting.chain.heads, setting.chain.paid) == ([9], 1)


def test_a_stuck_transaction_is_replaced_by_the_newest_head_with_a_higher_fee(setting: Setting) -> None:
    setting.run()
    setting.log.size = 9
    setting.clock.at += timedelta(seconds=_STUCK_S - 1)
    setting.run()
    assert len(setting.chain.signed) == 1
    setting.clock.at += timedelta(seconds=1)
    setting.run()
    assert list(setting.chain.pool) == [0]
    assert b'"fee": 2' in setting.chain.pool[0]
    setting.settle()
    assert (setting.chain.heads, setting.chain.paid) == ([9], 1)


def test_a_dropped_transaction_is_sent_again_as_it_was(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    setting.run()
    (sent,) = setting.chain.pool.values()
    setting.chain.pool.clear()
    setting.run()
    assert list(setting.chain.pool.values()) == [sent]
    assert caplog.records == []


def test_a_transaction_whose_nonce_was_used_elsewhere_is_signed_anew_at_once(setting: Setting) -> None:
    setting.run()
    setting.chain.pool.clear()
    last = setting.chain.blocks[-1]
    setting.chain.blocks.append(replace(last, used=1))
    assert setting.run() is AnchorState.SENT
    assert list(setting.chain.pool) == [1]


def test_a_receipt_without_its_head_is_waited_out(setting: Setting) -> None:
    setting.run()
    setting.clock.at += timedelta(seconds=_STUCK_S)
    _patch(setting.chain, "status", lambda _: TransactionState.INCLUDED)
    assert setting.run() is AnchorState.SENT
    assert len(setting.chain.signed) == 1


def test_a_chain_that_is_down_changes_nothing(setting: Setting) -> None:
    setting.chain.is_down = True
    with pytest.raises(UnavailableError) as caught:
        setting.run()
    assert caught.value.code is ErrorCode.ANCHOR_UNAVAILABLE
    assert setting.journal.load() is None


# --- refusals and tampering -------------------------------------------------------------------------------------------


def test_a_stranger_is_refused(setting: Setting) -> None:
    setting.chain.sender = "stranger"
    with pytest.raises(TamperDetectedError) as caught:
        setting.run()
    assert caught.value.code is ErrorCode.ANCHOR_REFUSED
    assert setting.chain.paid == 0


def test_a_transaction_that_failed_stops_the_worker_and_is_tried_anew_after_a_person_looked(setting: Setting) -> None:
    setting.run()
    setting.chain.anchorer = "somebody else"
    setting.chain.mine()
    with pytest.raises(TamperDetectedError) as caught:
        setting.run()
    assert caught.value.code is ErrorCode.ANCHOR_REFUSED
    record = setting.journal.load()
    assert record is not None
    assert record.state is AnchorState.REFUSED
    with pytest.raises(TamperDetectedError):
        setting.run()
    assert setting.chain.paid == 1
    setting.chain.anchorer = "anchorer"
    setting.settle()
    assert setting.chain.heads == [5]


@pytest.mark.parametrize("blocks", [1, 3], ids=["at the tip", "confirmed"])
@pytest.mark.parametrize("size", [0, 4])
def test_a_log_behind_the_chain_was_rolled_back(setting: Setting, blocks: int, size: int) -> None:
    setting.run()
    setting.chain.mine(blocks)
    setting.journal = MemoryJournal()
    setting.log.size = size
    setting.restart()
    with pytest.raises(TamperDetectedError) as caught:
        setting.run()
    assert caught.value.code is ErrorCode.LOG_ROLLED_BACK


def test_each_of_the_two_heads_of_a_view_is_checked(setting: Setting) -> None:
    setting.settle()
    view = setting.chain.latest()
    other = replace(view.confirmed, size=4, root=make_root(4, "other"))
    _patch(setting.chain, "latest", lambda: replace(view, confirmed=other))
    with pytest.raises(TamperDetectedError) as caught:
        setting.run()
    assert caught.value.code is ErrorCode.LOG_FORKED


@pytest.mark.parametrize("size", [5, 9])
def test_a_log_with_another_past_than_the_chain_was_forked(setting: Setting, size: int) -> None:
    setting.run()
    setting.chain.mine()
    setting.journal = MemoryJournal()
    setting.log.size, setting.log.branch = size, "other"
    setting.restart()
    with pytest.raises(TamperDetectedError) as caught:
        setting.run()
    assert caught.value.code is ErrorCode.LOG_FORKED
    assert len(setting.chain.signed) == 1


@pytest.mark.parametrize(
    ("size", "branch", "code"),
    [(4, "", ErrorCode.LOG_ROLLED_BACK), (9, "other", ErrorCode.LOG_FORKED)],
    ids=["rolled back", "forked"],
)
def test_what_was_sent_is_evidence_before_a_block_has_it(
    setting: Setting, size: int, branch: str, code: ErrorCode
) -> None:
    setting.run()
    setting.log.size, setting.log.branch = size, branch
    with pytest.raises(TamperDetectedError) as caught:
        setting.run()
    assert caught.value.code is code


def test_a_cosigned_root_that_the_log_does_not_have_is_not_anchored(setting: Setting) -> None:
    setting.log.cosigned_root = make_root(5, "other")
    with pytest.raises(TamperDetectedError) as caught:
        setting.run()
    assert caught.value.code is ErrorCode.LOG_FORKED
    assert setting.chain.signed == []


def test_the_chain_is_read_before_the_log(setting: Setting) -> None:
    """Another worker may anchor a newer head between the two: that must not look like a rollback."""
    setting.settle()
    read_log = setting.log.latest_cosigned

    def grow_meanwhile() -> Any:
        before = read_log()
        setting.log.size = 9
        _patch(setting.log, "latest_cosigned", read_log)
        AnchorWorker(setting.chain, setting.log, MemoryJournal(), clock=setting.clock).run_once()
        setting.chain.mine(3)
        return before

    _patch(setting.log, "latest_cosigned", grow_meanwhile)
    assert setting.run() is AnchorState.CONFIRMED
    assert setting.chain.heads == [5, 9]


def test_verify_chain_head_accepts_an_empty_chain_and_a_prefix() -> None:
    log = FakeLog(9)
    head = ChainHead(size=5, root=make_root(5), chain_value=bytes(32), block_number=1)
    verify_chain_head(head, make_checkpoint(9), log.root_at)
    verify_chain_head(replace(head, size=0), None, log.root_at)
    with pytest.raises(TamperDetectedError):
        verify_chain_head(replace(head, size=10), make_checkpoint(9), log.root_at)


# --- the loop ---------------------------------------------------------------------------------------------------------


class Pauses(threading.Event):
    """A stop event that is set after a number of pauses, and remembers them; nothing really waits."""

    def __init__(self, steps: list[Callable[[], object]]) -> None:
        super().__init__()
        self.steps = steps
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        if self.steps:
            self.steps.pop(0)()
        else:
            self.set()
        return self.is_set()


def test_the_loop_polls_while_a_head_is_under_way_and_rests_afterwards(setting: Setting) -> None:
    mine = setting.chain.mine
    stop = Pauses([mine, mine, mine])
    seen: list[AnchorOutcome] = []
    setting.worker.run(stop, interval_s=3600, poll_s=15, on_outcome=seen.append)
    assert stop.seconds == [15, 15, 15, 3600]
    states = [AnchorState.SENT, AnchorState.INCLUDED, AnchorState.INCLUDED, AnchorState.CONFIRMED]
    assert [outcome.state for outcome in seen] == states


def test_the_loop_backs_off_while_the_chain_is_down_and_recovers(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    def turn(is_down: bool) -> Callable[[], object]:
        return lambda: _patch(setting.chain, "is_down", is_down)

    down, up = turn(True), turn(False)
    setting.chain.is_down = True
    stop = Pauses([down, down, down, down, up, down, down])
    setting.worker.run(stop, interval_s=200, poll_s=10)
    assert stop.seconds == [20, 40, 80, 160, 200, 10, 20, 40]
    assert caplog.text.count("anchor-unavailable") == 7


def test_the_loop_ends_at_once_when_the_log_was_rolled_back(setting: Setting) -> None:
    setting.settle()
    setting.log.size = 4
    stop = Pauses([])
    with pytest.raises(TamperDetectedError):
        setting.worker.run(stop)
    assert stop.seconds == []


def test_a_stopped_loop_does_nothing(setting: Setting) -> None:
    stop = threading.Event()
    stop.set()
    setting.worker.run(stop)
    assert setting.chain.signed == []


# --- values -----------------------------------------------------------------------------------------------------------


def test_null_anchor_warns_by_name_and_anchors_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        anchor = NullAnchor()
    assert "NullAnchor" in caplog.text
    setting = Setting()
    worker = AnchorWorker(anchor, setting.log, setting.journal, clock=setting.clock)
    with pytest.raises(UnavailableError) as caught:
        worker.run_once()
    assert caught.value.code is ErrorCode.ANCHOR_UNAVAILABLE
    assert setting.journal.load() is None
    submission = Submission(tx_hash=bytes(32), transaction=b"x", follows=bytes(32))
    assert anchor.status(submission) is TransactionState.UNKNOWN
    with pytest.raises(UnavailableError):
        anchor.submit(submission)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ChainHead(size=-1, root=bytes(32), chain_value=bytes(32), block_number=0),
        lambda: ChainHead(size=2**53, root=bytes(32), chain_value=bytes(32), block_number=0),
        lambda: ChainHead(size=1, root=bytes(31), chain_value=bytes(32), block_number=0),
        lambda: ChainHead(size=1, root=bytes(32), chain_value=bytes(33), block_number=0),
        lambda: ChainHead(size=1, root=bytes(32), chain_value=bytes(32), block_number=-1),
        lambda: Submission(tx_hash=bytes(31), transaction=b"x", follows=bytes(32)),
        lambda: Submission(tx_hash=bytes(32), transaction=b"", follows=bytes(32)),
        lambda: Submission(tx_hash=bytes(32), transaction=b"x", follows=b""),
    ],
)
def test_values_of_another_shape_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        make()
    assert caught.value.code is ErrorCode.ANCHOR_MALFORMED


# --- any order of events ----------------------------------------------------------------------------------------------


class AnchorMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order: no head twice, none out of order, and in the end the newest one."""

    @initialize(confirmations=st.integers(0, 3))
    def start(self, confirmations: int) -> None:
        self.setting = Setting(size=0, confirmations=confirmations)
        self.chain = self.setting.chain
        self.was_final = True

    @rule(entries=st.integers(1, 5))
    def grow(self, entries: int) -> None:
        self.setting.log.size += entries

    @rule()
    def step(self) -> None:
        with contextlib.suppress(UnavailableError):
            self.setting.run()

    @rule(name=st.sampled_from(["prepare", "submit", "save"]), after=st.booleans())
    def crash(self, name: str, after: bool) -> None:
        target: Any = self.setting.journal if name == "save" else self.chain
        setattr(target, name, _crash_after(getattr(target, name)) if after else _crash)
        with contextlib.suppress(Crash, UnavailableError):
            self.setting.run()
        del target.__dict__[name]
        self.setting.restart()

    @rule()
    def lose_journal(self) -> None:
        self.setting.journal = MemoryJournal()
        self.setting.restart()

    @rule()
    def second_worker(self) -> None:
        other = AnchorWorker(self.chain, self.setting.log, MemoryJournal(), clock=self.setting.clock)
        with contextlib.suppress(UnavailableError):
            other.run_once()

    @rule(blocks=st.integers(1, 3))
    def mine(self, blocks: int) -> None:
        self.chain.mine(blocks)

    @rule(depth=st.integers(1, 6), forgets=st.booleans())
    def reorganise(self, depth: int, forgets: bool) -> None:
        # Below the confirmed depth a chain may bring back several transactions at once, and some may then be in vain.
        self.was_final &= depth <= self.chain.confirmations
        self.chain.reorganise(depth, forgets=forgets)

    @precondition(lambda self: self.chain.pool)
    @rule()
    def drop(self) -> None:
        self.chain.pool.clear()

    @rule(seconds=st.integers(1, 2 * _STUCK_S))
    def wait(self, seconds: int) -> None:
        self.setting.clock.at += timedelta(seconds=seconds)

    @rule(is_down=st.booleans())
    def outage(self, is_down: bool) -> None:
        self.chain.is_down = is_down

    @invariant()
    def heads_are_the_logs_own_and_grow(self) -> None:
        heads = self.chain.heads
        assert heads == sorted(set(heads))
        for block in self.chain.blocks:
            assert block.head.size == 0 or block.head.root == make_root(block.head.size)

    @invariant()
    def at_most_one_transaction_waits(self) -> None:
        assert not self.was_final or len([nonce for nonce in self.chain.pool if nonce >= self.chain.paid]) <= 1

    @invariant()
    def nothing_is_paid_for_in_vain(self) -> None:
        assert not self.was_final or self.chain.paid == len(self.chain.heads)

    def teardown(self) -> None:
        self.chain.is_down = False
        if self.setting.log.size:
            self.setting.settle()
            assert self.chain.heads[-1] == self.setting.log.size


AnchorMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyOrderOfEvents = AnchorMachine.TestCase
