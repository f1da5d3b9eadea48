"""C2SP tlog-proof: a receipt as text, for people to keep and for programs of others to read."""

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from ledger.checkpoint import parse_checkpoint, parse_decimal
from ledger.note import MAX_NOTE_BYTES, Note, NoteSignature, format_note, parse_note
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.receipts import InclusionProof, Receipt, SignedCheckpoint

__all__ = ["add_cosignatures", "format_receipt", "parse_receipt"]

_HEADER: Final = "c2sp.org/tlog-proof@v1"
_INDEX: Final = "index "


def format_receipt(receipt: Receipt) -> bytes:
    """Return the receipt as a tlog-proof file without an `extra` line."""
    lines = [_HEADER, f"{_INDEX}{receipt.proof.index}"]
    lines += [base64.b64encode(node).decode() for node in receipt.proof.path]
    return "\n".join([*lines, "", ""]).encode() + receipt.signed.note


def add_cosignatures(signed: SignedCheckpoint, cosignatures: Sequence[NoteSignature]) -> SignedCheckpoint:
    """Return the checkpoint with more signature lines; a key that signed already keeps only its newest line."""
    if not cosignatures:
        return signed
    note = parse_note(signed.note)
    lines = {(item.name, item.key_id): item for item in (*note.signatures, *cosignatures)}
    return SignedCheckpoint(checkpoint=signed.checkpoint, note=format_note(Note(note.text, tuple(lines.values()))))


def parse_receipt(data: bytes) -> Receipt:
    """Parse a receipt; signatures and proof are not verified.

    Raises:
        InvalidRequestError: another form. An `extra` line is refused: it would be read by nobody and signed by nobody.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise _malformed(f"expected at most {MAX_NOTE_BYTES} bytes")
    head, separator, note = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
        path = tuple(_decode_hash(line) for line in lines[2:])
    except (UnicodeDecodeError, binascii.Error, ValueError):
        raise _malformed("expected base64 hashes, one a line") from None
    if not separator or len(lines) < 2 or lines[0] != _HEADER or not lines[1].startswith(_INDEX):
        raise _malformed(f"expected `{_HEADER}` and `index N` on the first two lines")
    checkpoint = parse_checkpoint(parse_note(note).text)
    proof = InclusionProof(index=parse_decimal(lines[1].removeprefix(_INDEX)), size=checkpoint.size, path=path)
    return Receipt(proof=proof, signed=SignedCheckpoint(checkpoint=checkpoint, note=note))


def _decode_hash(line: str) -> bytes:
    data = base64.b64decode(line, validate=True)
    if base64.b64encode(data).decode() != line:
        raise _malformed("expected canonical base64")
    return data


def _malformed(message: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.RECEIPT_MALFORMED, message)
