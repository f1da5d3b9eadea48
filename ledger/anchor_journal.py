"""Between a stored log and its anchor: the worker's journal in the log's database, and which heads are anchored."""

import base64
import logging
from dataclasses import fields
from typing import Final, Protocol

from ledger.anchor import Anchor, AnchorRecord, AnchorState, Submission, verify_chain_head
from ledger.note import parse_note, verify_note
from ledger.reader import LogReader
from ledger.startup import HeadCheck
from ledger.store import Head
from ledger.trust_policy import TrustPolicy
from yingbi.canonical import JsonValue, canonical_bytes, parse_canonical
from yingbi.clock import format_time, parse_time
from yingbi.errors import (
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    TamperDetectedError,
    UnavailableError,
    VerificationError,
)
from yingbi.receipts import Checkpoint, SignedCheckpoint

__all__ = ["CosignedHeads", "RecordStore", "StoredJournal", "make_anchor_check"]

_MAX_BYTES: Final = 1 << 20
_MEMBERS: Final = {"size", "root", "state", "sent_at", "submission"}
_logger = logging.getLogger(__name__)


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
    """Implements `ledger.anchor.HeadSource`: the published head if it meets the quorum, never a log-signed one."""

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


def make_anchor_check(anchor: Anchor) -> HeadCheck:
    """Return the comparison with the chain that a log makes before it signs anything (fork rule 3).

    A chain that cannot be reached is a warning, not a refusal: the high-water mark and the witnesses are asked in any
    case, and a chain's outage must not stop the log.
    """

    def check(reader: LogReader, head: Head) -> None:
        try:
            tip = anchor.latest().tip
        except UnavailableError as error:
            _logger.warning("the log was not compared with its anchor: %s: %s", error.code, error.message)
            return
        stored = Checkpoint(origin=reader.origin, size=head.size, root=head.root)
        verify_chain_head(tip, stored, reader.root_at)

    return check


def _parse_record(data: bytes) -> AnchorRecord:
    try:
        value = parse_canonical(data, max_bytes=_MAX_BYTES)
        if not isinstance(value, dict) or set(value) != _MEMBERS or type(value["size"]) is not int:
            raise ValueError("expected the members of a record")
        head = Checkpoint(origin="stored", size=value["size"], root=_decode(value["root"]))  # judges size and root
        return AnchorRecord(
            size=head.size,
            root=head.root,
            state=AnchorState(str(value["state"])),
            submission=_parse_submission(value["submission"]),
            sent_at=parse_time(str(value["sent_at"])),
        )
    except (InvalidRequestError, ValueError):
        raise TamperDetectedError(ErrorCode.STORE_DAMAGED, "stored anchor record has a wrong form") from None


def _parse_submission(value: JsonValue) -> Submission | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != len(fields(Submission)):
        raise ValueError("expected the parts of a submission")
    tx_hash, transaction, follows = (_decode(item) for item in value)
    return Submission(tx_hash=tx_hash, transaction=transaction, follows=follows)


def _decode(value: JsonValue) -> bytes:
    if not isinstance(value, str):
        raise ValueError("expected base64")
    return base64.b64decode(value, validate=True)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
