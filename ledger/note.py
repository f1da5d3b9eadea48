"""C2SP signed notes, verifier keys and cosignatures.

Signature types: Ed25519 (`0x01`, logs), `cosignature/v1` with Ed25519 (`0x04`, witnesses) and with ML-DSA-44 (`0x06`,
witnesses that must outlive quantum computers). A verifier key is bound to one type: a log's key never counts as a
witness.
"""

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from ledger.checkpoint import parse_checkpoint
from yingbi.clock import Clock
from yingbi.errors import ErrorCode, InvalidRequestError, VerificationError
from yingbi.keys import SigningKey, VerifyKey

__all__ = [
    "MAX_NOTE_BYTES",
    "MAX_NOTE_SIGNATURES",
    "Cosigner",
    "MlDsaCosigner",
    "Note",
    "NoteSignature",
    "NoteSigner",
    "NoteVerifier",
    "SignatureType",
    "TextSigner",
    "VerifiedSignature",
    "format_note",
    "parse_note",
    "parse_signature_lines",
    "sign_note",
    "verify_note",
]

MAX_NOTE_BYTES: Final = 1 << 20
MAX_NOTE_SIGNATURES: Final = 64
_PREFIX: Final = "— "
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_KEY_ID_BYTES: Final = 4
_MAX_TIMESTAMP: Final = 2**63 - 1
_VKEY: Final = re.compile(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})")


class SignatureType(IntEnum):
    """Signature type bytes of C2SP signed-note that this system reads and writes."""

    ED25519 = 0x01
    COSIGNATURE_ED25519 = 0x04
    COSIGNATURE_ML_DSA_44 = 0x06


_KEY_BYTES: Final = {
    SignatureType.ED25519: 32,
    SignatureType.COSIGNATURE_ED25519: 32,
    SignatureType.COSIGNATURE_ML_DSA_44: 1312,
}


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: key name, 4-byte key id and the signature after it."""

    name: str
    key_id: bytes
    blob: bytes

    def to_line(self) -> str:
        """Return the line without its newline."""
        return f"{_PREFIX}{self.name} {base64.b64encode(self.key_id + self.blob).decode()}"


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note: its text, final newline included, and its signatures, none of them verified."""

    text: bytes
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """A signature that verified: whose, and for cosignatures the POSIX time they state."""

    verifier: "NoteVerifier"
    timestamp: int | None


@dataclass(frozen=True, slots=True)
class NoteVerifier:
    """A public key of a log or witness, as a C2SP verifier key (`vkey`)."""

    name: str
    kind: SignatureType
    key: bytes

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.key) != _KEY_BYTES[self.kind]:
            raise InvalidRequestError(ErrorCode.KEY_MALFORMED, "expected a key of the length of its type")
        if self.kind is not SignatureType.COSIGNATURE_ML_DSA_44:
            VerifyKey(self.key)  # refuses keys under which anybody signs

    @classmethod
    def parse(cls, vkey: str) -> "NoteVerifier":
        """Parse `<name>+<key id>+<base64(type ‖ key)>`.

        Raises:
            InvalidRequestError: wrong form, unknown type, or an id that is not that of the key.
        """
        match = _VKEY.fullmatch(vkey)
        data = _decode_base64(match[3]) if match else None
        if match is None or not data:
            raise InvalidRequestError(ErrorCode.KEY_MALFORMED, "expected a key such as `name+01234567+base64`")
        if data[0] not in list(SignatureType):
            raise InvalidRequestError(ErrorCode.KEY_MALFORMED, f"unknown signature type {data[0]:#04x}")
        verifier = cls(match[1], SignatureType(data[0]), data[1:])
        if verifier.key_id.hex() != match[2]:
            raise InvalidRequestError(ErrorCode.KEY_MALFORMED, "expected the key id that belongs to the key")
        return verifier

    def encode(self) -> str:
        """Return the verifier key as text; the inverse of `parse`."""
        data = base64.b64encode(bytes([self.kind]) + self.key).decode()
        return f"{self.name}+{self.key_id.hex()}+{data}"

    @property
    def key_id(self) -> bytes:
        """Return SHA-256(name ‖ newline ‖ type ‖ key), first 4 bytes."""
        return _key_id(self.name, self.kind, self.key)

    @property
    def is_cosigner(self) -> bool:
        """Tell whether this key makes cosignatures (a witness) and not plain signatures (a log)."""
        return self.kind is not SignatureType.ED25519

    def verify(self, text: bytes, blob: bytes) -> VerifiedSignature:
        """Verify `blob` over the note's `text`.

        Raises:
            VerificationError: it does not verify.
        """
        if self.kind is SignatureType.ED25519:
            return self._accept(VerifyKey(self.key).is_valid(blob, text), None)
        if len(blob) < 8 or (timestamp := struct.unpack(">Q", blob[:8])[0]) > _MAX_TIMESTAMP:
            return self._accept(False, None)
        if self.kind is SignatureType.COSIGNATURE_ED25519:
            return self._accept(VerifyKey(self.key).is_valid(blob[8:], _cosigned_text(timestamp, text)), timestamp)
        return self._accept(_is_valid_ml_dsa(self.key, blob[8:], _cosigned_tree(self.name, timestamp, text)), timestamp)

    def _accept(self, is_valid: bool, timestamp: int | None) -> VerifiedSignature:
        if not is_valid:
            raise VerificationError(ErrorCode.NOTE_UNVERIFIED, f"signature of `{self.name}` does not verify")
        return VerifiedSignature(self, timestamp)


class NoteSigner(Protocol):
    """Signs note texts as one key."""

    @property
    def verifier(self) -> NoteVerifier:
        """Return the public side."""
        ...

    def sign(self, text: bytes) -> NoteSignature:
        """Sign a note's text."""
        ...


@dataclass(frozen=True, slots=True)
class TextSigner:
    """A log's key: plain Ed25519 over the text (type `0x01`). Its name is the log's origin."""

    name: str
    key: SigningKey

    @property
    def verifier(self) -> NoteVerifier:
        """Return the public side."""
        return NoteVerifier(self.name, SignatureType.ED25519, self.key.public.raw)

    def sign(self, text: bytes) -> NoteSignature:
        """Sign a note's text."""
        return NoteSignature(self.name, self.verifier.key_id, self.key.sign(text))


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A witness's Ed25519 key: `cosignature/v1` with the time of signing (type `0x04`)."""

    name: str
    key: SigningKey
    clock: Clock

    @property
    def verifier(self) -> NoteVerifier:
        """Return the public side."""
        return NoteVerifier(self.name, SignatureType.COSIGNATURE_ED25519, self.key.public.raw)

    def sign(self, text: bytes) -> NoteSignature:
        """Cosign a checkpoint's text."""
        timestamp = int(self.clock.now().timestamp())
        blob = struct.pack(">Q", timestamp) + self.key.sign(_cosigned_text(timestamp, text))
        return NoteSignature(self.name, self.verifier.key_id, blob)


@dataclass(frozen=True, slots=True)
class MlDsaCosigner:
    """A witness's ML-DSA-44 key (FIPS 204): signs origin, size, root, its own name and the time (type `0x06`)."""

    name: str
    key: MLDSA44PrivateKey
    clock: Clock

    @property
    def verifier(self) -> NoteVerifier:
        """Return the public side."""
        return NoteVerifier(self.name, SignatureType.COSIGNATURE_ML_DSA_44, self.key.public_key().public_bytes_raw())

    def sign(self, text: bytes) -> NoteSignature:
        """Cosign a checkpoint's text."""
        timestamp = int(self.clock.now().timestamp())
        blob = struct.pack(">Q", timestamp) + self.key.sign(_cosigned_tree(self.name, timestamp, text))
        return NoteSignature(self.name, self.verifier.key_id, blob)


def sign_note(text: bytes, signers: Iterable[NoteSigner]) -> bytes:
    """Sign `text` with every signer and return the note."""
    return format_note(Note(text, tuple(signer.sign(text) for signer in signers)))


def format_note(note: Note) -> bytes:
    """Return the bytes of a note."""
    lines = "".join(signature.to_line() + "\n" for signature in note.signatures)
    return note.text + b"\n" + lines.encode()


def parse_note(data: bytes) -> Note:
    """Parse a signed note strictly.

    Raises:
        InvalidRequestError: too long, not UTF-8, control characters, no empty line before the signatures, no or too
            many signatures, or a line of another form.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise _malformed(f"expected at most {MAX_NOTE_BYTES} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise _malformed("expected UTF-8") from None
    if _CONTROL.search(text):
        raise _malformed("expected no control characters")
    body, separator, tail = text.rpartition("\n\n")
    if not separator or not body:
        raise _malformed("expected a text, an empty line and signatures")
    return Note((body + "\n").encode(), parse_signature_lines(tail))


def parse_signature_lines(text: str) -> tuple[NoteSignature, ...]:
    """Parse 1 to 64 signature lines, each ended by a newline.

    Raises:
        InvalidRequestError: a line of another form, or none, or too many.
    """
    lines = text.split("\n")
    if lines.pop() != "" or not 1 <= len(lines) <= MAX_NOTE_SIGNATURES:
        raise _malformed(f"expected 1 to {MAX_NOTE_SIGNATURES} signature lines, each ended by a newline")
    return tuple(_parse_signature_line(line) for line in lines)


def verify_note(note: Note, verifiers: Sequence[NoteVerifier]) -> tuple[VerifiedSignature, ...]:
    """Verify every signature of `note` by a key of `verifiers`; signatures by unknown keys are ignored.

    Raises:
        VerificationError: a signature by a known key does not verify, no known key signed, or two known keys share a
            name and a key id.
    """
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    if len(known) != len(set(verifiers)):
        raise VerificationError(ErrorCode.NOTE_UNVERIFIED, "two known keys have the same name and key id")
    verified: dict[NoteVerifier, VerifiedSignature] = {}
    for signature in note.signatures:
        verifier = known.get((signature.name, signature.key_id))
        if verifier is not None:
            verified.setdefault(verifier, verifier.verify(note.text, signature.blob))
    if not verified:
        raise VerificationError(ErrorCode.NOTE_UNVERIFIED, "no known key signed the note")
    return tuple(verified.values())


def _parse_signature_line(line: str) -> NoteSignature:
    name, _, encoded = line.removeprefix(_PREFIX).partition(" ")
    data = _decode_base64(encoded)
    if not line.startswith(_PREFIX) or data is None or len(data) <= _KEY_ID_BYTES:
        raise _malformed("expected signature lines such as `— name base64`")
    _check_name(name)
    return NoteSignature(name, data[:_KEY_ID_BYTES], data[_KEY_ID_BYTES:])


def _check_name(name: str) -> None:
    if not name or "+" in name or any(char.isspace() or ord(char) < 0x20 or _is_surrogate(char) for char in name):
        raise _malformed("expected a key name in UTF-8 without spaces and plus signs")


def _is_surrogate(char: str) -> bool:
    return "\ud800" <= char <= "\udfff"


def _key_id(name: str, kind: SignatureType, key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + key).digest()[:_KEY_ID_BYTES]


def _decode_base64(text: str) -> bytes | None:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None


def _cosigned_text(timestamp: int, text: bytes) -> bytes:
    # C2SP tlog-cosignature, "Ed25519 signed message"
    return b"cosignature/v1\ntime %d\n" % timestamp + text


def _cosigned_tree(name: str, timestamp: int, text: bytes) -> bytes:
    # C2SP tlog-cosignature, "ML-DSA-44 signed message": the struct `cosigned_message` with start = 0
    checkpoint = parse_checkpoint(text)
    cosigner, origin = name.encode(), checkpoint.origin.encode()
    if not (0 < len(cosigner) < 256 and 0 < len(origin) < 256):
        raise _malformed("expected names of at most 255 bytes")
    head = b"subtree/v1\n\x00" + bytes([len(cosigner)]) + cosigner + struct.pack(">Q", timestamp)
    return head + bytes([len(origin)]) + origin + struct.pack(">QQ", 0, checkpoint.size) + checkpoint.root


def _is_valid_ml_dsa(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        MLDSA44PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _malformed(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.NOTE_MALFORMED, message)
