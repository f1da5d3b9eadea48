"""Signed notes, verifier keys, checkpoints and cosignatures (C2SP signed-note, tlog-checkpoint, tlog-cosignature)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from yingbi.verify.merkle import EMPTY_ROOT
from yingbi.verify.strict import Malformed, decode_base64, parse_decimal

__all__ = [
    "HASH_BYTES",
    "Algorithm",
    "BadSignature",
    "Checkpoint",
    "CheckpointNote",
    "SignatureLine",
    "Unsupported",
    "VerifierKey",
    "decode_hash",
    "parse_checkpoint_note",
    "parse_vkey",
    "verify_ed25519",
    "verify_line",
]

HASH_BYTES: Final = 32
_MAX_NOTE_BYTES: Final = 2**20
_MAX_SIGNATURES: Final = 64
# RFC 8032 §5.1: the field, and the y coordinates of the points whose order divides 8.
_FIELD: Final = 2**255 - 19
_Y_OF_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER: Final = frozenset({0, 1, _FIELD - 1, _Y_OF_ORDER_8, _FIELD - _Y_OF_ORDER_8})
_ID_BYTES: Final = 4
_TIME_BYTES: Final = 8
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")


class BadSignature(ValueError):  # noqa: N818 - the field's word for it
    """A signature that its key did not make."""


class Unsupported(ValueError):  # noqa: N818 - not an error of the note
    """An algorithm of the specification that this machine's library lacks."""


class Algorithm(IntEnum):
    """Signature types of C2SP signed-note that this log uses (log.md); others are refused in a trust file."""

    ED25519 = 1
    COSIGNATURE_ED25519 = 4
    COSIGNATURE_ML_DSA_44 = 6


_KEY_BYTES: Final = {
    Algorithm.ED25519: 32,
    Algorithm.COSIGNATURE_ED25519: 32,
    Algorithm.COSIGNATURE_ML_DSA_44: 1312,
}
_SIGNATURE_BYTES: Final = {
    Algorithm.ED25519: 64,
    Algorithm.COSIGNATURE_ED25519: _TIME_BYTES + 64,
    Algorithm.COSIGNATURE_ML_DSA_44: _TIME_BYTES + 2420,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A public key with the name and key ID under which its signatures stand."""

    name: str
    id: bytes
    algorithm: Algorithm
    public: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureLine:
    """One signature line of a note: name, key ID and the bytes after the ID."""

    name: str
    id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The three lines of a checkpoint."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointNote:
    """A parsed checkpoint with its signature lines, none of them verified yet."""

    checkpoint: Checkpoint
    text: bytes
    lines: tuple[SignatureLine, ...]


def parse_vkey(text: str) -> VerifierKey:
    """Parse a verifier key `<name>+<key ID>+<base64>` (C2SP signed-note) and recompute its ID."""
    name, _, rest = text.partition("+")
    hex_id, _, encoded = rest.partition("+")
    data = decode_base64(encoded)
    if not _is_key_name(name) or not data:
        raise Malformed("expected a verifier key such as name+0123abcd+base64")
    if data[0] not in _KEY_BYTES:
        raise Malformed(f"expected a key of type 1, 4 or 6, got type {data[0]}")
    algorithm = Algorithm(data[0])
    if len(data) != 1 + _KEY_BYTES[algorithm]:
        raise Malformed(f"expected {_KEY_BYTES[algorithm]} bytes of key, got {len(data) - 1}")
    key_id = sha256(name.encode() + b"\n" + data).digest()[:_ID_BYTES]
    if hex_id != key_id.hex():
        raise Malformed(f"expected key id {key_id.hex()} for this name and key")
    return VerifierKey(name=name, id=key_id, algorithm=algorithm, public=data[1:])


def parse_checkpoint_note(data: bytes) -> CheckpointNote:
    """Parse a signed note whose text is a checkpoint of exactly three lines (log.md: no extension lines)."""
    if len(data) > _MAX_NOTE_BYTES:
        raise Malformed(f"expected a note of at most {_MAX_NOTE_BYTES} bytes, got {len(data)}")
    try:
        note = data.decode()
    except UnicodeDecodeError:
        raise Malformed("expected a note in UTF-8") from None
    if _CONTROL.search(note):
        raise Malformed("expected no control characters in a note")
    text, blank, tail = note.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise Malformed("expected a text, an empty line and signature lines that end in a newline")
    rows = tail[:-1].split("\n")
    if len(rows) > _MAX_SIGNATURES:
        raise Malformed(f"expected at most {_MAX_SIGNATURES} signatures, got {len(rows)}")
    lines = tuple(_parse_signature_line(row) for row in rows)
    return CheckpointNote(checkpoint=_parse_checkpoint(text), text=text.encode() + b"\n", lines=lines)


def decode_hash(text: str) -> bytes:
    """Decode a base64 SHA-256 hash."""
    value = decode_base64(text)
    if len(value) != HASH_BYTES:
        raise Malformed(f"expected a hash of {HASH_BYTES} bytes, got {len(value)}")
    return value


def verify_line(key: VerifierKey, line: SignatureLine, note: CheckpointNote) -> int | None:
    """Verify one signature of a checkpoint; return the time of a cosignature, `None` for a log's signature.

    Raises:
        BadSignature: the signature has a wrong length or does not verify.
        Unsupported: the library here cannot verify ML-DSA-44.
    """
    if len(line.signature) != _SIGNATURE_BYTES[key.algorithm]:
        raise BadSignature(f"expected {_SIGNATURE_BYTES[key.algorithm]} bytes of signature, got {len(line.signature)}")
    if key.algorithm is Algorithm.ED25519:
        _require(verify_ed25519(key.public, line.signature, note.text))
        return None
    time = int.from_bytes(line.signature[:_TIME_BYTES])
    if time >= 2**63:
        raise BadSignature("expected a time below 2^63")
    verify, message = _COSIGNATURES[key.algorithm]
    _require(verify(key.public, line.signature[_TIME_BYTES:], message(key, note, time)))
    return time


def verify_ed25519(public: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether an Ed25519 signature verifies (RFC 8032 §5.1.7); under a key of small order, none does."""
    # SECURITY: for such a key signatures that nobody made verify over any message, and prove possession of nothing.
    y = int.from_bytes(public, "little") & (1 << 255) - 1
    if y >= _FIELD or y in _SMALL_ORDER:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _verify_ml_dsa_44(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        MLDSA44PublicKey.from_public_bytes(public).verify(signature, message)
    except UnsupportedAlgorithm:
        raise Unsupported("ML-DSA-44 is not supported by this machine's library") from None
    except (InvalidSignature, ValueError):
        return False
    return True


def _cosignature_text(_: VerifierKey, note: CheckpointNote, time: int) -> bytes:
    """C2SP tlog-cosignature, Ed25519 signed message."""
    return b"cosignature/v1\ntime %d\n%b" % (time, note.text)


def _cosigned_message(key: VerifierKey, note: CheckpointNote, time: int) -> bytes:
    """C2SP tlog-cosignature, ML-DSA-44 signed message (`cosigned_message`), for a checkpoint: start is 0."""
    name, origin = key.name.encode(), note.checkpoint.origin.encode()
    if max(len(name), len(origin)) > 255:
        raise BadSignature("expected names of at most 255 bytes under ML-DSA-44")
    head = b"subtree/v1\n\x00" + bytes([len(name)]) + name + time.to_bytes(8) + bytes([len(origin)]) + origin
    return head + bytes(8) + note.checkpoint.size.to_bytes(8) + note.checkpoint.root


_COSIGNATURES: Final[
    dict[Algorithm, tuple[Callable[[bytes, bytes, bytes], bool], Callable[[VerifierKey, CheckpointNote, int], bytes]]]
] = {
    Algorithm.COSIGNATURE_ED25519: (verify_ed25519, _cosignature_text),
    Algorithm.COSIGNATURE_ML_DSA_44: (_verify_ml_dsa_44, _cosigned_message),
}


def _parse_checkpoint(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) != 3 or not lines[0]:
        raise Malformed("expected exactly three lines (origin, size, root) and no extension lines")
    checkpoint = Checkpoint(origin=lines[0], size=parse_decimal(lines[1]), root=decode_hash(lines[2]))
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise Malformed("expected the root of the empty tree at size 0")
    return checkpoint


def _parse_signature_line(row: str) -> SignatureLine:
    dash, _, rest = row.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "\u2014" or not _is_key_name(name):
        raise Malformed("expected signature lines of an em dash, a key name and base64")
    blob = decode_base64(encoded)
    if len(blob) <= _ID_BYTES:
        raise Malformed("expected a key id and a signature")
    return SignatureLine(name=name, id=blob[:_ID_BYTES], signature=blob[_ID_BYTES:])


def _is_key_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(char.isspace() for char in name)


def _require(holds: bool) -> None:
    if not holds:
        raise BadSignature("the signature does not verify")
