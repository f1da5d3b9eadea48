"""Keccak-256 against published digests and against eth-hash."""

import hashlib

import pytest
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from yingbi.verify.keccak import keccak256

# From the Ethereum yellow paper (empty string, empty list), ERC-20 (selector) and the Keccak team's test suite.
_PUBLISHED = {
    "empty string": (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
    "empty RLP list": (b"\xc0", "1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"),
    "empty trie": (b"\x80", "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"),
    "abc": (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
    "pangram": (
        b"The quick brown fox jumps over the lazy dog",
        "4d741b6f1eb29cb2a9b9911c82f56fa8d73b04959d3d9d222895df6c0b28aa15",
    ),
}


@pytest.mark.parametrize("name", _PUBLISHED)
def test_published_digests(name: str) -> None:
    message, digest = _PUBLISHED[name]
    assert keccak256(message).hex() == digest


def test_a_published_function_selector() -> None:
    assert keccak256(b"transfer(address,uint256)")[:4].hex() == "a9059cbb"


def test_it_is_not_sha3() -> None:
    assert keccak256(b"abc") != hashlib.sha3_256(b"abc").digest()


def test_every_length_around_the_block_size_agrees_with_eth_hash() -> None:
    for length in range(3 * 136 + 2):
        message = bytes((7 * at + length) % 256 for at in range(length))
        assert keccak256(message) == keccak(message), length


@given(st.binary(max_size=1000))
def test_any_message_agrees_with_eth_hash(message: bytes) -> None:
    assert keccak256(message) == keccak(message)
