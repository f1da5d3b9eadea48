"""Salted commitments."""

import hashlib
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yingbi.canonical import canonical_bytes
from yingbi.commitment import SALT_BYTES, Opening, commit, verify_opening
from yingbi.errors import ErrorCode, InvalidRequestError, VerificationError
from yingbi.ids import DIGEST_PATTERN

VALUE = {"uscc": "secret", "years": [2024, 2025]}


def test_a_commitment_is_the_hash_of_salt_and_canonical_value() -> None:
    opening = Opening(salt=bytes(range(32)), value=canonical_bytes(VALUE))
    expected = hashlib.sha256(bytes(range(32)) + b'{"uscc":"secret","years":[2024,2025]}').hexdigest()
    assert opening.commitment == f"sha256:{expected}"
    assert re.fullmatch(DIGEST_PATTERN, opening.commitment)


def test_a_fresh_opening_opens_its_commitment() -> None:
    opening = commit(VALUE)
    verify_opening(opening.commitment, opening)
    assert opening.value == canonical_bytes(VALUE)
    assert len(opening.salt) == SALT_BYTES == 32


def test_the_same_value_is_never_committed_to_twice_alike() -> None:
    assert len({commit(True).commitment for _ in range(100)}) == 100


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=40), st.integers(0, 71), st.integers(0, 7))
def test_no_flipped_bit_opens_the_commitment(salt: bytes, value: bytes, at: int, bit: int) -> None:
    opening = Opening(salt=salt, value=value)
    data = bytearray(salt + value)
    data[at % len(data)] ^= 1 << bit
    with pytest.raises(VerificationError) as caught:
        verify_opening(opening.commitment, Opening(salt=bytes(data[:32]), value=bytes(data[32:])))
    assert caught.value.code is ErrorCode.COMMITMENT_MISMATCH


def test_bytes_cannot_be_moved_between_salt_and_value() -> None:
    opening = Opening(salt=bytes(32), value=b"\x00" * 8)
    for length in (0, 31, 33, 40):
        with pytest.raises(InvalidRequestError):
            Opening(salt=bytes(length), value=bytes(40 - length))
    with pytest.raises(VerificationError):
        verify_opening(opening.commitment, replace(opening, value=b"\x00" * 7))


@pytest.mark.parametrize("change", ["", "sha256:", "no digest", "é", "\ud800", "\x00", "UPPER", "longer"])
def test_other_commitments_do_not_match(change: str) -> None:
    opening = commit(VALUE)
    text = {"UPPER": opening.commitment.upper(), "longer": opening.commitment + "0"}.get(change, change)
    with pytest.raises(VerificationError):
        verify_opening(text, opening)


def test_neither_salt_nor_value_is_shown() -> None:
    opening = Opening(salt=b"S" * 32, value=b'"secret"')
    for shown in (repr(opening), str(opening), f"{opening}", f"{[opening]}"):
        assert "SSS" not in shown
        assert "secret" not in shown


def test_what_has_no_canonical_form_is_not_committed_to() -> None:
    with pytest.raises(InvalidRequestError):
        commit({"amount": 1.5})
