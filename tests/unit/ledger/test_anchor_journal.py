"""The anchoring worker's journal in the database, and which heads may be anchored at all."""

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.anchor import AnchorRecord, AnchorState, Submission
from ledger.anchor_journal import CosignedHeads, StoredJournal
from ledger.cosigning import CosigningThread
from ledger.reader import LogReader
from ledger.store_memory import MemoryStore
from ledger.store_sql import SqlStore
from ledger.trust_policy import parse_trust_policy
from tests.lib.databases import StoreMaker
from tests.lib.local_witnesses import LocalWitnesses
from tests.lib.statements import make_statement
from tests.lib.stored_log import StoredLog
from yingbi.clock import FixedClock
from yingbi.errors import ErrorCode, TamperDetectedError

ORIGIN = "log.example/anchored"
SQL = ("sqlite", pytest.param("postgresql", marks=pytest.mark.postgres))
RECORD = AnchorRecord(
    size=5,
    root=b"\x01" * 32,
    state=AnchorState.SENT,
    submission=Submission(tx_hash=b"\x02" * 32, transaction=b"\x03" * 110, follows=b"\x04" * 32),
    sent_at=datetime(2026, 11, 21, 8, 0, 0, 5, tzinfo=UTC),
)


class Kept:
    """The one place of a record."""

    def __init__(self, data: bytes | None = None) -> None:
        self.data = data

    def load_anchor(self) -> bytes | None:
        return self.data

    def save_anchor(self, record: bytes) -> None:
        self.data = record


hashes = st.binary(min_size=32, max_size=32)
records = st.builds(
    AnchorRecord,
    size=st.integers(0, 2**53 - 1),
    root=hashes,
    state=st.sampled_from(AnchorState),
    submission=st.none() | st.builds(Submission, tx_hash=hashes, transaction=st.binary(min_size=1), follows=hashes),
    sent_at=st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 Hypothesis adds the zone
)


@given(records)
def test_what_is_saved_is_loaded(record: AnchorRecord) -> None:
    journal = StoredJournal(Kept())
    journal.save(record)
    assert journal.load() == record


@pytest.mark.parametrize("make_store", SQL, indirect=True)
def test_the_database_keeps_one_record_the_newest(make_store: StoreMaker) -> None:
    store = make_store(ORIGIN)
    assert isinstance(store, SqlStore)
    journal = StoredJournal(store)
    assert journal.load() is None
    for size in (1, 2, 3):
        record = AnchorRecord(
            size=size, root=bytes([size]) * 32, state=AnchorState.CONFIRMED, submission=None, sent_at=RECORD.sent_at
        )
        journal.save(record)
        assert journal.load() == record
    journal.save(RECORD)
    with closing(SqlStore.open(store._engine.url.render_as_string(hide_password=False))) as again:
        assert StoredJournal(again).load() == RECORD


def saved() -> dict[str, Any]:
    kept = Kept()
    StoredJournal(kept).save(RECORD)
    value: dict[str, Any] = json.loads(kept.data or b"")
    return value


def encode(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


DAMAGED: dict[str, bytes] = {
    "nothing": b"",
    "not JSON": b"\xff",
    "list": b"[]",
    "not canonical": json.dumps(saved()).encode(),
    "member missing": encode({key: value for key, value in saved().items() if key != "sent_at"}),
    "member too many": encode({**saved(), "more": 1}),
    "size as text": encode({**saved(), "size": "5"}),
    "size as truth": encode({**saved(), "size": True}),
    "size below 0": encode({**saved(), "size": -1}),
    "root short": encode({**saved(), "root": "AAAA"}),
    "root not base64": encode({**saved(), "root": "*" * 44}),
    "root padding": encode({**saved(), "root": "A" * 41}),
    "root number": encode({**saved(), "root": 5}),
    "state unknown": encode({**saved(), "state": "lost"}),
    "state null": encode({**saved(), "state": None}),
    "time": encode({**saved(), "sent_at": "2026-11-21"}),
    "submission text": encode({**saved(), "submission": "x"}),
    "submission short": encode({**saved(), "submission": saved()["submission"][:2]}),
    "submission long": encode({**saved(), "submission": [*saved()["submission"], "AAAA"]}),
    "submission number": encode({**saved(), "submission": [1, 2, 3]}),
    "submission not base64": encode({**saved(), "submission": ["x", "y", "z"]}),
    "submission hash": encode({**saved(), "submission": ["AAAA", *saved()["submission"][1:]]}),
    "submission empty": encode({**saved(), "submission": [saved()["submission"][0], "", saved()["submission"][2]]}),
    "too long": encode({**saved(), "submission": [saved()["submission"][0], "A" * (1 << 20), ""]}),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_record_stops_the_anchoring(case: str) -> None:
    with pytest.raises(TamperDetectedError) as refused:
        StoredJournal(Kept(DAMAGED[case])).load()
    assert refused.value.code is ErrorCode.STORE_DAMAGED


# --- which heads ------------------------------------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path: Path, clock: FixedClock) -> StoredLog:
    return StoredLog(MemoryStore(ORIGIN), tmp_path, clock=clock)


def test_a_head_that_a_quorum_cosigned_is_offered(log: StoredLog, clock: FixedClock) -> None:
    witnesses = LocalWitnesses(log.verifiers, clock)
    heads = CosignedHeads(LogReader(log.store), witnesses.policy)
    assert heads.latest_cosigned() is None
    with log.open(CosigningThread(witnesses.round())) as opened_log:
        receipt = opened_log.append(make_statement())
    assert heads.latest_cosigned() == receipt.signed
    assert heads.root_at(1) == receipt.signed.checkpoint.root


def test_a_log_signed_head_is_never_offered(log: StoredLog, clock: FixedClock) -> None:
    log.grow(3)
    for threshold in (0, 1, 2):
        witnesses = LocalWitnesses(log.verifiers, clock, threshold=threshold)
        assert CosignedHeads(LogReader(log.store), witnesses.policy).latest_cosigned() is None


def test_too_few_witnesses_are_no_quorum(log: StoredLog, clock: FixedClock) -> None:
    one = LocalWitnesses(log.verifiers, clock, count=2, threshold=1)
    one.members[1].is_down = True
    with log.open(CosigningThread(one.round())) as opened_log:
        opened_log.append(make_statement())
    assert CosignedHeads(LogReader(log.store), one.policy).latest_cosigned() is not None
    both = LocalWitnesses(log.verifiers, clock, count=2, threshold=2)
    assert CosignedHeads(LogReader(log.store), both.policy).latest_cosigned() is None


def test_without_a_quorum_in_the_policy_nothing_is_offered_even_if_witnesses_signed(
    log: StoredLog, clock: FixedClock
) -> None:
    witnesses = LocalWitnesses(log.verifiers, clock, threshold=1)
    with log.open(CosigningThread(witnesses.round())) as opened_log:
        opened_log.append(make_statement())
    nobody = parse_trust_policy(witnesses.text.replace(b"quorum quorum", b"quorum none"))
    assert CosignedHeads(LogReader(log.store), nobody).latest_cosigned() is None


def test_a_cosignature_that_does_not_verify_is_none(log: StoredLog, clock: FixedClock) -> None:
    log.grow(2)
    witnesses = LocalWitnesses(log.verifiers, clock, count=1, threshold=1)
    (member,) = witnesses.members
    forged = member.cosigner.sign(b"log.example/anchored\n2\nother\n")
    log.store.publish(2, [forged])
    assert CosignedHeads(LogReader(log.store), witnesses.policy).latest_cosigned() is None


def test_a_log_that_published_nothing_offers_nothing(clock: FixedClock) -> None:
    policy = parse_trust_policy(b"quorum none\n")
    assert CosignedHeads(LogReader(MemoryStore(ORIGIN)), policy).latest_cosigned() is None
