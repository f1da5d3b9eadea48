"""Between a stored log and its anchor: the worker's journal in the log's database, and which heads are anchored."""

import base64
from typing import Final, Protocol

from ledger.anchor import AnchorRecord, AnchorState, Submission
from ledger.note import parse_note, verify_note
from ledger.reader import LogReader
from ledger.trust_policy import TrustPolicy
from yingbi.canonical import JsonValue, canonical_bytes, parse_canonical
from yingbi.clock import format_time, parse_time
from yingbi.errors import ErrorCode, NotFoundError, TamperDetectedError, VerificationError
from yingbi.receipts import SignedCheckpoint

__all__ = ["CosignedHeads", "RecordStore", "StoredJournal"]

_MAX_BYTES: Final = 1 << 20


class RecordStore(Protocol):
    """Where the one record is kept."""

    def load_anchor(self) -> bytes | None:
        """Return what was kept last."""
        ...

    def save_anchor(self, record: bytes) -> None:
        """Keep a record durably."""
        ...


class StoredJournal:
    """Implements `ledger.anchor.AnchorJournal` in the log's database."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store

    def load(self) -> AnchorRecord | None:
        """Return the record kept last."""
        data = self._store.load_anchor()
        return None if data is None else _parse_record(data)

    def save(self, record: AnchorRecord) -> None:
        """Keep a record durably."""
        sent = record.submission
        self._store.save_anchor(
            canonical_bytes(
                {
                    "size": record.size,
                    "root": _encode(record.root),
                    "state": record.state.value,
                    "sent_at": format_time(record.sent_at),
                    "submission": None
                    if sent is None
                    else [_encode(sent.tx_hash), _encode(sent.transaction), _encode(sent.follows)],
                }
            )
        )


class CosignedHeads:
    """Implements `ledger.anchor.HeadSource`: the published head if it meets the quorum, never one that is log-signed only."""

    def __init__(self, reader: LogReader, policy: TrustPolicy) -> None:
        self._reader = reader
        self._policy = policy

    def latest_cosigned(self) -> SignedCheckpoint | None:
        """Return the newest head that a quorum cosigned."""
        try:
            signed = self._reader.published()
            verified = verify_note(parse_note(signed.note), self._policy.verifiers)
        except (NotFoundError, VerificationError):
            return None
        cosigners = [item.verifier for item in verified if item.verifier.is_cosigner]
        return signed if self._policy.has_quorum and self._policy.is_met(cosigners) else None

    def root_at(self, size: int) -> bytes:
        """Return the root of the log's first `size` entries."""
        return self._reader.root_at(size)


def _parse_record(data: bytes) -> AnchorRecord:
    match parse_canonical(data, max_bytes=_MAX_BYTES):
        case {"size": int(size), "root": str(root), "state": str(state), "sent_at": str(sent_at), "submission": sent}:
            return AnchorRecord(
                size=size,
                root=base64.b64decode(root),
                state=AnchorState(state),
                submission=_parse_submission(sent),
                sent_at=parse_time(sent_at),
            )
        case _:
            raise TamperDetectedError(ErrorCode.STORE_DAMAGED, "stored anchor record has a wrong form")


def _parse_submission(value: JsonValue) -> Submission | None:
    if value is None:
        return None
    match value:
        case [str(tx_hash), str(transaction), str(follows)]:
            parts = [base64.b64decode(item) for item in (tx_hash, transaction, follows)]
            return Submission(tx_hash=parts[0], transaction=parts[1], follows=parts[2])
        case _:
            raise TamperDetectedError(ErrorCode.STORE_DAMAGED, "stored anchor record has a wrong form")


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
