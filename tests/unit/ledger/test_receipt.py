"""C2SP tlog-proof: receipts as text."""

import base64
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.checkpoint import format_checkpoint
from ledger.note import MAX_NOTE_BYTES, Cosigner, TextSigner, parse_note, sign_note, verify_note
from ledger.proof import prove_inclusion, verify_inclusion
from ledger.receipt import add_cosignatures, format_receipt, parse_receipt
from tests.lib.trees import ListTiles, make_hashes
from yingbi.clock import FixedClock
from yingbi.errors import ErrorCode, InvalidRequestError, SandboxError
from yingbi.keys import SigningKey
from yingbi.receipts import Checkpoint, InclusionProof, Receipt, SignedCheckpoint

LOG = TextSigner("log.example/2026", SigningKey.from_seed(b"L" * 32))
HASHES = make_hashes(300)
TREE = ListTiles(HASHES).tree()


def _signed(size: int) -> SignedCheckpoint:
    checkpoint = Checkpoint(origin=LOG.name, size=size, root=TREE.root(size))
    return SignedCheckpoint(checkpoint=checkpoint, note=sign_note(format_checkpoint(checkpoint), [LOG]))


def _receipt(index: int, size: int) -> Receipt:
    return Receipt(proof=prove_inclusion(TREE, index, size), signed=_signed(size))


def _is_good(data: bytes, index: int) -> bool:
    try:
        receipt = parse_receipt(data)
        verify_note(parse_note(receipt.signed.note), [LOG.verifier])
        verify_inclusion(receipt.proof, HASHES[index], receipt.signed.checkpoint.root)
    except SandboxError:
        return False
    return receipt.proof.index == index and receipt.signed.checkpoint.origin == LOG.name


@given(st.data())
def test_receipts_round_trip(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 300))
    receipt = _receipt(data.draw(st.integers(0, size - 1)), size)
    text = format_receipt(receipt)
    assert parse_receipt(text) == receipt
    assert _is_good(text, receipt.proof.index)


def test_a_receipt_is_the_text_of_the_specification() -> None:
    receipt = _receipt(5, 7)
    path = [base64.b64encode(item) for item in receipt.proof.path]
    expected = [b"c2sp.org/tlog-proof@v1", b"index 5", *path, b"", receipt.signed.note]
    assert format_receipt(receipt) == b"\n".join(expected)
    assert len(path) == 3


def test_the_only_leaf_needs_no_hashes() -> None:
    receipt = _receipt(0, 1)
    assert format_receipt(receipt) == b"c2sp.org/tlog-proof@v1\nindex 0\n\n" + receipt.signed.note


def test_no_flipped_bit_goes_unseen() -> None:
    data = format_receipt(_receipt(5, 7))
    assert _is_good(data, 5)
    for at in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            assert not _is_good(bytes(flipped), 5), (at, bit)


HEADER = "c2sp.org/tlog-proof@v1\n"
NOTE = _signed(4).note.decode()
PATH = "".join(base64.b64encode(item).decode() + "\n" for item in prove_inclusion(TREE, 2, 4).path)
HASH = base64.b64encode(bytes(32)).decode() + "\n"
BROKEN_RECEIPTS = {
    "nothing": "",
    "a note alone": NOTE,
    "no header": f"index 2\n{PATH}\n{NOTE}",
    "another version": f"c2sp.org/tlog-proof@v2\nindex 2\n{PATH}\n{NOTE}",
    "a header in upper case": f"C2SP.org/tlog-proof@v1\nindex 2\n{PATH}\n{NOTE}",
    "a space after the header": f"c2sp.org/tlog-proof@v1 \nindex 2\n{PATH}\n{NOTE}",
    "an empty line before the header": f"\n{HEADER}index 2\n{PATH}\n{NOTE}",
    "an empty line after the header": f"{HEADER}\nindex 2\n{PATH}\n{NOTE}",
    "no index": f"{HEADER}{PATH}\n{NOTE}",
    "a number without the word index": f"{HEADER}2\n{PATH}\n{NOTE}",
    "an index without its number": f"{HEADER}index\n{PATH}\n{NOTE}",
    "an empty index": f"{HEADER}index \n{PATH}\n{NOTE}",
    "an index with a leading zero": f"{HEADER}index 02\n{PATH}\n{NOTE}",
    "an index with a plus sign": f"{HEADER}index +2\n{PATH}\n{NOTE}",
    "a negative index": f"{HEADER}index -2\n{PATH}\n{NOTE}",
    "an index after two spaces": f"{HEADER}index  2\n{PATH}\n{NOTE}",
    "an index after a tab": f"{HEADER}index\t2\n{PATH}\n{NOTE}",
    "an index with a space after": f"{HEADER}index 2 \n{PATH}\n{NOTE}",
    "an index in hexadecimal": f"{HEADER}index 0x2\n{PATH}\n{NOTE}",
    "a full-width index": f"{HEADER}index ２\n{PATH}\n{NOTE}",
    "two indexes": f"{HEADER}index 2\nindex 2\n{PATH}\n{NOTE}",
    "the index of the size": f"{HEADER}index 4\n{PATH}\n{NOTE}",
    "an index beyond 2^53": f"{HEADER}index {2**53}\n{PATH}\n{NOTE}",
    "an extra line": f"{HEADER}extra YWdl\nindex 2\n{PATH}\n{NOTE}",
    "an empty extra line": f"{HEADER}extra \nindex 2\n{PATH}\n{NOTE}",
    "an extra line after the index": f"{HEADER}index 2\nextra YWdl\n{PATH}\n{NOTE}",
    "no line between path and note": f"{HEADER}index 2\n{PATH}{NOTE}",
    "two lines between path and note": f"{HEADER}index 2\n{PATH}\n\n{NOTE}",
    "no note": f"{HEADER}index 2\n{PATH}\n",
    "half a note": f"{HEADER}index 2\n{PATH}\n{NOTE[:-20]}",
    "a note without signatures": f"{HEADER}index 2\n{PATH}\n" + NOTE.split("\n\n")[0] + "\n\n",
    "a note that is no checkpoint": f"{HEADER}index 2\n{PATH}\n" + sign_note(b"text\n", [LOG]).decode(),
    "a checkpoint with an extension line": f"{HEADER}index 2\n{PATH}\n" + NOTE.replace("\n\n", "\nmore\n\n", 1),
    "an empty tree": f"{HEADER}index 0\n\n" + _signed(0).note.decode(),
    "a hash of 31 bytes": f"{HEADER}index 2\n{base64.b64encode(bytes(31)).decode()}\n{HASH}\n{NOTE}",
    "a hash of 33 bytes": f"{HEADER}index 2\n{base64.b64encode(bytes(33)).decode()}\n{HASH}\n{NOTE}",
    "a hash without padding": f"{HEADER}index 2\n{HASH.replace('=', '')}{HASH}\n{NOTE}",
    "a hash with trailing bits": f"{HEADER}index 2\n{HASH.replace('A=', 'B=')}{HASH}\n{NOTE}",
    "a hash in base64url": f"{HEADER}index 2\n{'_' * 42}8=\n{HASH}\n{NOTE}",
    "a hash in hexadecimal": f"{HEADER}index 2\n{'00' * 32}\n{HASH}\n{NOTE}",
    "a hash that is no ASCII": f"{HEADER}index 2\nＡ{HASH[1:]}{HASH}\n{NOTE}",
    "64 hashes": f"{HEADER}index 2\n{HASH * 64}\n{NOTE}",
    "carriage returns": f"{HEADER}index 2\n{PATH}\n{NOTE}".replace("\n", "\r\n"),
    "carriage returns in the head": f"{HEADER}index 2\n{PATH}".replace("\n", "\r\n") + "\n" + NOTE,
}


@pytest.mark.parametrize("name", BROKEN_RECEIPTS)
def test_broken_receipts_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_receipt(BROKEN_RECEIPTS[name].encode())


def test_the_parts_of_the_broken_receipts_make_a_good_receipt() -> None:
    assert _is_good(f"{HEADER}index 2\n{PATH}\n{NOTE}".encode(), 2)


def test_a_receipt_is_as_large_as_a_note_at_most() -> None:
    tail = f"\n5\n{HASH}\n" + NOTE.split("\n\n")[1]
    head = f"{HEADER}index 0\n\n"
    origin = "x" * (MAX_NOTE_BYTES - len((head + tail).encode()))
    largest = (head + origin + tail).encode()
    assert len(largest) == MAX_NOTE_BYTES
    assert parse_receipt(largest).signed.checkpoint.size == 5
    with pytest.raises(InvalidRequestError) as caught:
        parse_receipt((head + "x" + origin + tail).encode())
    assert caught.value.code is ErrorCode.RECEIPT_MALFORMED


def test_a_proof_for_another_size_is_no_receipt() -> None:
    receipt = _receipt(2, 4)
    with pytest.raises(InvalidRequestError) as caught:
        replace(receipt, proof=InclusionProof(index=2, size=5, path=receipt.proof.path))
    assert caught.value.code is ErrorCode.RECEIPT_MALFORMED


# Cosignatures that come later

CLOCK = FixedClock(datetime(2026, 11, 21, 8, tzinfo=UTC))
W1 = Cosigner("witness.example/w1", SigningKey.from_seed(b"W" * 32), CLOCK)
W2 = Cosigner("witness.example/w2", SigningKey.from_seed(b"V" * 32), CLOCK)


def test_cosignatures_are_added_below_the_log_s_signature() -> None:
    signed = _signed(4)
    text = format_checkpoint(signed.checkpoint)
    cosigned = add_cosignatures(add_cosignatures(signed, [W1.sign(text)]), [W2.sign(text)])
    assert cosigned.checkpoint == signed.checkpoint
    assert cosigned.note == sign_note(text, [LOG, W1, W2])
    assert add_cosignatures(signed, [W1.sign(text), W2.sign(text)]) == cosigned
    verify_note(parse_note(cosigned.note), [LOG.verifier, W1.verifier, W2.verifier])


def test_nothing_is_added_to_a_checkpoint_without_cosignatures() -> None:
    signed = _signed(4)
    assert add_cosignatures(signed, []) is signed


def test_the_last_cosignature_of_a_key_is_kept_once() -> None:
    signed = _signed(4)
    text = format_checkpoint(signed.checkpoint)
    later = replace(W1, clock=FixedClock(datetime(2026, 11, 21, 9, tzinfo=UTC)))
    cosigned = add_cosignatures(add_cosignatures(signed, [W1.sign(text), W2.sign(text)]), [later.sign(text)])
    assert cosigned.note == sign_note(text, [LOG, later, W2])


@given(st.binary(max_size=100))
def test_random_bytes_are_refused_by_error_only(data: bytes) -> None:
    for junk in (data, HEADER.encode() + data, f"{HEADER}index 2\n{PATH}\n".encode() + data):
        with pytest.raises(InvalidRequestError):
            parse_receipt(junk)
