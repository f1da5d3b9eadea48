"""Checkpoints, proofs and receipts check their own shape."""

from dataclasses import FrozenInstanceError

import pytest

from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.receipts import (
    HASH_BYTES,
    MAX_TREE_SIZE,
    Checkpoint,
    ConsistencyProof,
    InclusionProof,
    Receipt,
    SignedCheckpoint,
)

HASH = bytes(HASH_BYTES)


def test_the_limits_are_those_of_the_specification() -> None:
    assert HASH_BYTES == 32
    assert MAX_TREE_SIZE == 2**53 - 1


@pytest.mark.parametrize("size", [0, 1, MAX_TREE_SIZE])
def test_a_checkpoint(size: int) -> None:
    checkpoint = Checkpoint(origin="log.example", size=size, root=HASH)
    with pytest.raises(FrozenInstanceError):
        checkpoint.size = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [
        ("log.example", -1, HASH),
        ("log.example", 2**53, HASH),
        ("log.example", 1, b""),
        ("log.example", 1, HASH[1:]),
        ("log.example", 1, HASH + b"\0"),
        ("", 1, HASH),
        ("log\nexample", 1, HASH),
        ("log.example\n", 1, HASH),
        ("log.example\r", 1, HASH),
        ("log\texample", 1, HASH),
        ("log\ud800", 1, HASH),
    ],
)
def test_what_is_no_checkpoint(origin: str, size: int, root: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Checkpoint(origin=origin, size=size, root=root)
    assert caught.value.code is ErrorCode.CHECKPOINT_MALFORMED


@pytest.mark.parametrize(
    ("index", "size", "path"),
    [
        (0, 0, ()),
        (1, 1, ()),
        (-1, 1, ()),
        (0, 2**53, ()),
        (0, 1, (HASH[1:],)),
        (0, 1, (HASH + b"\0",)),
        (0, 1, (b"",)),
        (0, 1, (HASH,) * 64),
    ],
)
def test_what_is_no_inclusion_proof(index: int, size: int, path: tuple[bytes, ...]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        InclusionProof(index=index, size=size, path=path)
    assert caught.value.code is ErrorCode.PROOF_MALFORMED


@pytest.mark.parametrize(
    ("old", "new", "path"), [(1, 0, ()), (-1, 0, ()), (0, 2**53, ()), (1, 2, (b"",)), (1, 2, (HASH,) * 64)]
)
def test_what_is_no_consistency_proof(old: int, new: int, path: tuple[bytes, ...]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        ConsistencyProof(old_size=old, new_size=new, path=path)
    assert caught.value.code is ErrorCode.PROOF_MALFORMED


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 1), (1, 1), (MAX_TREE_SIZE, MAX_TREE_SIZE)])
def test_a_tree_is_compared_with_itself_and_with_larger_ones(old: int, new: int) -> None:
    assert ConsistencyProof(old_size=old, new_size=new, path=()).new_size == new


def test_63_hashes_are_taken() -> None:
    assert len(InclusionProof(index=0, size=MAX_TREE_SIZE, path=(HASH,) * 63).path) == 63
    assert len(ConsistencyProof(old_size=0, new_size=MAX_TREE_SIZE, path=(HASH,) * 63).path) == 63


def test_a_receipt_is_about_one_size() -> None:
    signed = SignedCheckpoint(checkpoint=Checkpoint(origin="log.example", size=4, root=HASH), note=b"")
    Receipt(proof=InclusionProof(index=3, size=4, path=()), signed=signed)
    with pytest.raises(InvalidRequestError) as caught:
        Receipt(proof=InclusionProof(index=3, size=5, path=()), signed=signed)
    assert caught.value.code is ErrorCode.RECEIPT_MALFORMED
