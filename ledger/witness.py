"""The witness: cosigns a log's checkpoint only when it is consistent with the one it cosigned before.

Pure rules of C2SP tlog-witness; docs/spec/witness.md says what that text leaves open. State comes in through
`WitnessStore`, bytes go in and out; HTTP is `ledger.witness_http`, SQLite is `ledger.witness_store`.
"""

import base64
import binascii
import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

from ledger.checkpoint import parse_checkpoint, parse_decimal
from ledger.note import Note, NoteSigner, NoteVerifier, format_note, parse_note, verify_note
from ledger.proof import verify_consistency
from ledger.witness_evidence import Evidence, classify_conflict, empty_head
from yingbi.clock import Clock
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError, VerificationError
from yingbi.receipts import HASH_BYTES, Checkpoint, ConsistencyProof, SignedCheckpoint

__all__ = [
    "MAX_EVIDENCE",
    "MAX_REQUEST_BYTES",
    "SIZE_CONTENT_TYPE",
    "TEXT_CONTENT_TYPE",
    "AddCheckpoint",
    "MemoryWitnessStore",
    "Witness",
    "WitnessResponse",
    "WitnessStore",
    "format_add_checkpoint",
    "parse_add_checkpoint",
]

MAX_REQUEST_BYTES: Final = 1 << 18
"""A note with 64 ML-DSA-44 cosignatures and 63 hashes before it still fits."""
MAX_EVIDENCE: Final = 32
"""Pieces kept for each log and kind."""
SIZE_CONTENT_TYPE: Final = "text/x.tlog.size"
TEXT_CONTENT_TYPE: Final = "text/plain; charset=utf-8"

_OLD: Final = "old "
_MAX_PROOF_LINES: Final = 63
_MAX_NAME_BYTES: Final = 255
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddCheckpoint:
    """A parsed request: nothing in it is verified, and `old_size` may be larger than the checkpoint."""

    old_size: int
    path: tuple[bytes, ...]
    checkpoint: Checkpoint
    note: Note


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessResponse:
    """What goes back over HTTP."""

    status: HTTPStatus
    content_type: str
    body: bytes


class WitnessStore(Protocol):
    """What a witness remembers. Threads and processes may share it."""

    def load(self, origin: str) -> SignedCheckpoint:
        """Return the latest cosigned head of a log, `empty_head(origin)` when there is none.

        Raises:
            TamperDetectedError: what is stored was rolled back or changed.
            UnavailableError: it cannot be read now.
        """
        ...

    def advance(self, old: Checkpoint, new: SignedCheckpoint) -> bool:
        """Replace `old` by `new`, atomically and durably; False, and no change, when the stored head is not `old`.

        With `old` equal to `new` it tells whether that is still, durably, the latest.
        """
        ...

    def keep_evidence(self, evidence: Evidence) -> bool:
        """Keep a piece of evidence for good; False when the same heads are kept already or the places are taken."""
        ...

    def list_evidence(self) -> tuple[Evidence, ...]:
        """Return the evidence, oldest first."""
        ...


class MemoryWitnessStore:
    """Implements `WitnessStore` in memory, for tests and experiments. It forgets: never run a witness on it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heads: dict[str, SignedCheckpoint] = {}
        self._evidence: list[Evidence] = []

    def load(self, origin: str) -> SignedCheckpoint:
        """Return the latest head."""
        return self._heads.get(origin) or empty_head(origin)

    def advance(self, old: Checkpoint, new: SignedCheckpoint) -> bool:
        """Compare and set."""
        with self._lock:
            if self.load(old.origin).checkpoint != old:
                return False
            self._heads[old.origin] = new
            return True

    def keep_evidence(self, evidence: Evidence) -> bool:
        """Keep evidence."""
        with self._lock:
            alike = [item for item in self._evidence if (item.origin, item.kind) == (evidence.origin, evidence.kind)]
            heads = (evidence.seen.checkpoint, evidence.offered.checkpoint)
            if len(alike) >= MAX_EVIDENCE or heads in [
                (item.seen.checkpoint, item.offered.checkpoint) for item in alike
            ]:
                return False
            self._evidence.append(evidence)
            return True

    def list_evidence(self) -> tuple[Evidence, ...]:
        """Return the evidence."""
        return tuple(self._evidence)


class Witness:
    """Applies C2SP tlog-witness to requests; thread-safe. All state is in the store, none in the object.

    Args:
        cosigners: its keys, one of each kind.
        logs: the verifier keys of the logs it serves; a key's name is its log's origin.
        store: what it remembers.
        clock: dates evidence.

    Raises:
        InvalidRequestError: no cosigner, two of one kind, a key that is not of its kind, or a name over 255 bytes.
    """

    def __init__(
        self, cosigners: Sequence[NoteSigner], logs: Iterable[NoteVerifier], *, store: WitnessStore, clock: Clock
    ) -> None:
        self._cosigners = tuple(cosigners)
        self._logs: dict[str, list[NoteVerifier]] = {}
        for verifier in logs:
            self._logs.setdefault(verifier.name, []).append(verifier)
        self._store = store
        self._clock = clock
        _check_keys(self.verifiers, [verifier for keys in self._logs.values() for verifier in keys])

    @property
    def verifiers(self) -> tuple[NoteVerifier, ...]:
        """Return the public sides of its keys."""
        return tuple(cosigner.verifier for cosigner in self._cosigners)

    def add_checkpoint(self, body: bytes) -> WitnessResponse:
        """Answer an `add-checkpoint` request (C2SP tlog-witness; order of checks: docs/spec/witness.md).

        Writes the store before a cosignature is returned.

        Raises:
            TamperDetectedError, UnavailableError: from the store; no cosignature leaves.
        """
        try:
            request = parse_add_checkpoint(body)
        except InvalidRequestError:
            return _refuse(HTTPStatus.BAD_REQUEST)
        verifiers = self._logs.get(request.checkpoint.origin)
        if verifiers is None:
            return _refuse(HTTPStatus.NOT_FOUND)
        try:
            verify_note(request.note, verifiers)
        except VerificationError:
            return _refuse(HTTPStatus.FORBIDDEN)
        if request.old_size > request.checkpoint.size:
            return _refuse(HTTPStatus.BAD_REQUEST)
        return self._judge(request, _strip(request, verifiers))

    def _judge(self, request: AddCheckpoint, offered: SignedCheckpoint) -> WitnessResponse:
        seen = self._store.load(offered.checkpoint.origin)
        self._look_for_conflict(request, seen, offered)
        if request.old_size != seen.checkpoint.size:
            return _answer_size(seen.checkpoint.size)
        if (refusal := _check_consistency(request, seen.checkpoint)) is not None:
            return _refuse(refusal)
        # Signed before the head moves: a time taken after it might be later than the head that replaces this one.
        lines = "".join(cosigner.sign(request.note.text).to_line() + "\n" for cosigner in self._cosigners)
        # INVARIANT: no cosignature is returned for a head that was not, durably, made the latest one.
        if not self._store.advance(seen.checkpoint, offered):
            return _answer_size(self._store.load(offered.checkpoint.origin).checkpoint.size)
        return WitnessResponse(status=HTTPStatus.OK, content_type=TEXT_CONTENT_TYPE, body=lines.encode())

    def _look_for_conflict(self, request: AddCheckpoint, seen: SignedCheckpoint, offered: SignedCheckpoint) -> None:
        kind = classify_conflict(seen.checkpoint, offered.checkpoint, old_size=request.old_size, path=request.path)
        if kind is None:
            return
        evidence = Evidence(kind=kind, seen=seen, offered=offered, proof=request.path, observed_at=self._clock.now())
        if self._store.keep_evidence(evidence):
            _logger.critical("log %s contradicts a head it signed (%s); evidence kept", evidence.origin, kind)


def parse_add_checkpoint(body: bytes) -> AddCheckpoint:
    """Parse the body of an `add-checkpoint` request (C2SP tlog-witness).

    Raises:
        InvalidRequestError: too long, or another form; a checkpoint with extension lines is one.
    """
    if len(body) > MAX_REQUEST_BYTES:
        raise _malformed(f"expected at most {MAX_REQUEST_BYTES} bytes")
    head, separator, data = body.partition(b"\n\n")
    try:
        old, *hashes = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise _malformed("expected ASCII before the checkpoint") from None
    if not separator or not old.startswith(_OLD) or len(hashes) > _MAX_PROOF_LINES:
        raise _malformed(f"expected `old N`, at most {_MAX_PROOF_LINES} hashes, an empty line and a checkpoint")
    note = parse_note(data)
    return AddCheckpoint(
        old_size=parse_decimal(old.removeprefix(_OLD)),
        path=tuple(_decode_hash(line) for line in hashes),
        checkpoint=parse_checkpoint(note.text),
        note=note,
    )


def format_add_checkpoint(proof: ConsistencyProof, note: bytes) -> bytes:
    """Return the body of a request: the inverse of `parse_add_checkpoint`."""
    lines = [f"{_OLD}{proof.old_size}", *(base64.b64encode(node).decode() for node in proof.path), "", ""]
    return "\n".join(lines).encode() + note


def _check_consistency(request: AddCheckpoint, seen: Checkpoint) -> HTTPStatus | None:
    """Check the proof from `seen`, whose size is the request's old size; return the status of a refusal."""
    if request.checkpoint.size == seen.size and request.checkpoint.root != seen.root:
        return HTTPStatus.CONFLICT
    try:
        proof = ConsistencyProof(old_size=seen.size, new_size=request.checkpoint.size, path=request.path)
        verify_consistency(proof, seen.root, request.checkpoint.root)
    except SandboxError:
        return HTTPStatus.UNPROCESSABLE_ENTITY
    return None


def _strip(request: AddCheckpoint, verifiers: Sequence[NoteVerifier]) -> SignedCheckpoint:
    """Keep one signature of each of the log's keys: what else came along is not worth storing."""
    known = {(verifier.name, verifier.key_id) for verifier in verifiers}
    kept = {
        (signature.name, signature.key_id): signature
        for signature in request.note.signatures
        if (signature.name, signature.key_id) in known
    }
    return SignedCheckpoint(
        checkpoint=request.checkpoint, note=format_note(Note(request.note.text, tuple(kept.values())))
    )


def _answer_size(size: int) -> WitnessResponse:
    return WitnessResponse(status=HTTPStatus.CONFLICT, content_type=SIZE_CONTENT_TYPE, body=b"%d\n" % size)


def _refuse(status: HTTPStatus) -> WitnessResponse:
    # SECURITY: fixed texts only; why exactly something was refused goes to nobody.
    return WitnessResponse(status=status, content_type=TEXT_CONTENT_TYPE, body=f"{status.phrase.lower()}\n".encode())


def _decode_hash(line: str) -> bytes:
    try:
        data = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != HASH_BYTES or base64.b64encode(data).decode() != line:
        raise _malformed(f"expected hashes of {HASH_BYTES} bytes in canonical base64")
    return data


def _check_keys(own: Sequence[NoteVerifier], logs: Sequence[NoteVerifier]) -> None:
    if not own or len({verifier.kind for verifier in own}) != len(own):
        raise _misconfigured("expected one key for cosignatures, or one of each kind")
    if not all(verifier.is_cosigner for verifier in own):
        raise _misconfigured("expected keys that make cosignatures, got a log's key")
    if any(verifier.is_cosigner for verifier in logs):
        raise _misconfigured("expected keys of logs, got a witness's key")
    if {verifier.key for verifier in own} & {verifier.key for verifier in logs}:
        raise _misconfigured("expected keys of its own, got a log's key as a witness's key")
    if any(len(verifier.name.encode()) > _MAX_NAME_BYTES for verifier in (*own, *logs)):
        raise _misconfigured(f"expected names of at most {_MAX_NAME_BYTES} bytes")


def _misconfigured(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.CONFIG_INVALID, message)


def _malformed(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.PROOF_MALFORMED, message)
