"""Evidence that a log misbehaved: two heads it signed that cannot both be true (docs/spec/witness.md, "Evidence")."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from ledger.checkpoint import parse_checkpoint
from ledger.note import NoteVerifier, parse_note, verify_note
from ledger.proof import verify_consistency
from ledger.tree import EMPTY_ROOT, hash_node, largest_power_below
from yingbi.canonical import canonical_bytes, parse_canonical
from yingbi.clock import format_time, parse_time
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError, VerificationError
from yingbi.receipts import HASH_BYTES, Checkpoint, ConsistencyProof, SignedCheckpoint

__all__ = [
    "Evidence",
    "EvidenceKind",
    "classify_conflict",
    "empty_head",
    "format_evidence",
    "parse_evidence",
    "verify_evidence",
]

_MAX_EVIDENCE_BYTES: Final = 1 << 20


class EvidenceKind(StrEnum):
    """How two signed heads contradict each other; `unproven` ones may be innocent."""

    TWO_ROOTS = "two-roots"
    REWRITTEN = "rewritten"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a witness kept: the head it had cosigned, the head it was then offered, and the proof that came along."""

    kind: EvidenceKind
    seen: SignedCheckpoint
    offered: SignedCheckpoint
    proof: tuple[bytes, ...]
    observed_at: datetime

    @property
    def origin(self) -> str:
        """Return the log's name."""
        return self.offered.checkpoint.origin


def empty_head(origin: str) -> SignedCheckpoint:
    """Return where a log stands before anything was seen of it: size 0, the root of nothing, an empty note."""
    return SignedCheckpoint(checkpoint=Checkpoint(origin=origin, size=0, root=EMPTY_ROOT), note=b"")


def classify_conflict(
    seen: Checkpoint, offered: Checkpoint, *, old_size: int, path: Sequence[bytes]
) -> EvidenceKind | None:
    """Say how `offered` contradicts `seen`; None when it does not, or when the two cannot be compared.

    Trusts that the log signed both.
    """
    if seen.size == offered.size:
        return EvidenceKind.TWO_ROOTS if seen.root != offered.root else None
    if old_size != seen.size or not 0 < seen.size < offered.size:
        return None
    try:
        proof = ConsistencyProof(old_size=seen.size, new_size=offered.size, path=tuple(path))
        verify_consistency(proof, seen.root, offered.root)
    except SandboxError:
        return _classify_unverified(seen, offered, tuple(path))
    return None


def verify_evidence(evidence: Evidence, verifiers: Sequence[NoteVerifier]) -> None:
    """Verify that `evidence` proves misbehaviour of the log with these keys.

    Raises:
        VerificationError: the log did not sign one of the heads, or the heads do not contradict each other.
    """
    keys = [verifier for verifier in verifiers if verifier.name == evidence.origin and not verifier.is_cosigner]
    for signed in (evidence.seen, evidence.offered):
        verify_note(parse_note(signed.note), keys)
    seen, offered = evidence.seen.checkpoint, evidence.offered.checkpoint
    kind = classify_conflict(seen, offered, old_size=seen.size, path=evidence.proof)
    if seen.origin != offered.origin or kind is not evidence.kind or kind is EvidenceKind.UNPROVEN:
        raise VerificationError(ErrorCode.PROOF_UNVERIFIED, "evidence does not prove that the log misbehaved")


def format_evidence(evidence: Evidence) -> bytes:
    """Return evidence as canonical JSON."""
    return canonical_bytes(
        {
            "kind": evidence.kind.value,
            "observed_at": format_time(evidence.observed_at),
            "offered": evidence.offered.note.decode(),
            "proof": [base64.b64encode(node).decode() for node in evidence.proof],
            "seen": evidence.seen.note.decode(),
            "v": 1,
        }
    )


def parse_evidence(data: bytes) -> Evidence:
    """Parse what `format_evidence` wrote; nothing is verified.

    Raises:
        InvalidRequestError: another form.
    """
    match parse_canonical(data, max_bytes=_MAX_EVIDENCE_BYTES):
        case {
            "kind": str(kind),
            "observed_at": str(at),
            "offered": str(offered),
            "proof": list(proof),
            "seen": str(seen),
        }:
            evidence = _make_evidence(kind, at, offered, proof, seen)
        case _:
            raise _malformed()
    if format_evidence(evidence) != data:
        raise _malformed()
    return evidence


def _make_evidence(kind: str, at: str, offered: str, proof: Sequence[object], seen: str) -> Evidence:
    if kind not in list(EvidenceKind):
        raise _malformed()
    return Evidence(
        kind=EvidenceKind(kind),
        seen=_parse_head(seen),
        offered=_parse_head(offered),
        proof=tuple(_decode_hash(item) for item in proof),
        observed_at=parse_time(at),
    )


def _classify_unverified(seen: Checkpoint, offered: Checkpoint, path: tuple[bytes, ...]) -> EvidenceKind | None:
    roots = _fold(seen.size, offered.size, path)
    if roots is None or roots[1] != offered.root:
        return EvidenceKind.UNPROVEN
    # The signed root of `offered` commits to the first root; SHA-256 does not let anybody choose another.
    return EvidenceKind.REWRITTEN if roots[0] != seen.root else None


def _fold(old_size: int, new_size: int, path: tuple[bytes, ...]) -> tuple[bytes, bytes] | None:
    """Compute the roots of both sizes that `path` leads to (RFC 6962 §2.1.2, read from the root down).

    None when the path has another length. So it has for an old size that is a power of two: its root is no part of it.
    """
    if not path:
        return None
    if old_size == new_size:
        return (path[0], path[0]) if len(path) == 1 else None
    split, node = largest_power_below(new_size), path[-1]
    if old_size <= split:
        below = _fold(old_size, split, path[:-1])
        return below and (below[0], hash_node(below[1], node))
    below = _fold(old_size - split, new_size - split, path[:-1])
    return below and (hash_node(node, below[0]), hash_node(node, below[1]))


def _parse_head(note: str) -> SignedCheckpoint:
    data = note.encode()
    return SignedCheckpoint(checkpoint=parse_checkpoint(parse_note(data).text), note=data)


def _decode_hash(text: object) -> bytes:
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != HASH_BYTES or base64.b64encode(data).decode() != text:
        raise _malformed()
    return data


def _malformed() -> InvalidRequestError:
    return InvalidRequestError(
        ErrorCode.PROOF_MALFORMED, "expected evidence of version 1 as `yingbi witness evidence` prints it"
    )
