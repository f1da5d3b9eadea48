"""Masks: published vectors, what is bound into a key, what is refused, and that what is sent is uniform."""

import hashlib
import hmac
import itertools
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from scipy.stats import chi2

from federated.secure_sum import add, check_public_key, mask
from federated.secure_sum.masks import pair_key, stream
from tests.unit.federated.secure_sum.parties import make_keys, mask_all, mask_one, public
from yingbi.errors import ErrorCode, InvalidRequestError

# RFC 7748, section 6.1
ALICE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
ALICE_PUBLIC = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
BOB = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
BOB_PUBLIC = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
SHARED = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
# RFC 8439, appendix A.1, the first two blocks of the key and nonce of zeros
ZERO_STREAM = bytes.fromhex(
    "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
    "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
    "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
    "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"
)


def hkdf(ikm: bytes, info: bytes, size: int) -> bytes:
    """Return what RFC 5869 says, without a salt."""
    key = hmac.digest(bytes(32), ikm, hashlib.sha256)
    block, made = b"", b""
    for number in itertools.count(1):
        if len(made) >= size:
            return made[:size]
        block = hmac.digest(key, block + info + bytes([number]), hashlib.sha256)
        made += block
    raise AssertionError


def test_the_oracle_is_rfc_5869() -> None:
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    assert hkdf(b"\x0b" * 22, b"", 42).hex() == expected  # test case 3


def field(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def test_a_pairs_key_is_made_of_the_secret_of_rfc_7748_by_rfc_5869() -> None:
    alice, bob = X25519PrivateKey.from_private_bytes(ALICE), X25519PrivateKey.from_private_bytes(BOB)
    fields = [b"context", b"node:a", b"node:b", ALICE_PUBLIC, BOB_PUBLIC]
    info = b"yingbi/secure-sum/mask/v1\n" + b"".join(map(field, fields))
    expected = hkdf(SHARED, info, 32)
    assert pair_key(alice, BOB_PUBLIC, context=b"context", own="node:a", peer="node:b") == expected
    assert pair_key(bob, ALICE_PUBLIC, context=b"context", own="node:b", peer="node:a") == expected


def test_the_stream_is_that_of_rfc_8439() -> None:
    words = np.concatenate([piece for _, piece in stream(bytes(32), 16)])
    assert words.astype("<u8").tobytes() == ZERO_STREAM


def test_the_pieces_of_a_stream_join() -> None:
    whole = np.empty(50_000, np.uint64)
    for start, piece in stream(bytes(32), whole.size):
        whole[start : start + piece.size] = piece
    words = np.concatenate([piece.copy() for _, piece in stream(bytes(32), 40_001)])
    assert (whole[:40_001] == words).all()
    assert len(set(whole.tolist())) == whole.size


def test_who_is_smaller_adds_and_who_is_larger_subtracts() -> None:
    keys = {"node:b": X25519PrivateKey.generate(), "node:a": X25519PrivateKey.generate()} | make_keys(1)
    names = sorted(keys)
    streams = {}
    for one, two in itertools.combinations(names, 2):
        key = pair_key(keys[one], public(keys)[two], context=b"run-1", own=one, peer=two)
        streams[one, two] = np.concatenate([piece for _, piece in stream(key, 4)])
    zero = np.zeros(4, np.uint64)
    first, middle, last = (mask_one(zero, keys, name) for name in names)
    assert (first == streams[names[0], names[1]] + streams[names[0], names[2]]).all()
    assert (middle == streams[names[1], names[2]] - streams[names[0], names[1]]).all()
    assert (last == zero - streams[names[0], names[2]] - streams[names[1], names[2]]).all()


def test_masks_cancel_in_the_sum_of_all_and_only_there() -> None:
    keys = make_keys(4)
    vectors = {name: np.arange(20_000, dtype=np.uint64) * np.uint64(number) for number, name in enumerate(keys)}
    masked = mask_all(vectors, keys)
    assert (add(list(masked.values())) == add(list(vectors.values()))).all()
    for left_out in keys:
        others = [vector for name, vector in masked.items() if name != left_out]
        plain = [vector for name, vector in vectors.items() if name != left_out]
        assert (add(others) != add(plain)).all()


def test_the_vector_that_is_given_is_not_changed() -> None:
    vector = np.arange(5, dtype=np.uint64)
    mask_one(vector, make_keys(3), "node:n-0")
    assert vector.tolist() == [0, 1, 2, 3, 4]


def test_every_context_key_and_name_gives_other_masks() -> None:
    keys = make_keys(3)
    peers = {name: key for name, key in public(keys).items() if name != "node:n-0"}
    other = X25519PrivateKey.generate()
    zero = np.zeros(1_000, np.uint64)

    def masked(
        own_key: X25519PrivateKey = keys["node:n-0"], own: str = "node:n-0", context: bytes = b"1"
    ) -> np.ndarray:
        return mask(zero, own_key=own_key, own=own, peers=peers, context=context)

    made = [masked(), masked(context=b"2"), masked(context=b"1\0"), masked(own="node:n"), masked(own_key=other)]
    for one, two in itertools.combinations(made, 2):
        assert (one != two).all()
    assert (masked() == made[0]).all()


def chi_square_of_bytes(words: np.ndarray) -> float:
    """Return the probability that uniform bytes are as uneven as these, the smallest of all eight places in a word."""
    places = words.astype("<u8").view(np.uint8).reshape(-1, 8)
    worst = 1.0
    for place in range(8):
        counts = np.bincount(places[:, place], minlength=256)
        expected = len(words) / 256
        worst = min(worst, float(chi2.sf(((counts - expected) ** 2 / expected).sum(), 255)))
    return worst


def test_one_masked_vector_is_uniform() -> None:
    """False alarm: 8 comparisons at 1e-9, so under 1e-8."""
    assert chi_square_of_bytes(mask_one(np.zeros(2**17, np.uint64), make_keys(3), "node:n-1")) > 1e-9
    assert chi_square_of_bytes(np.arange(2**17, dtype=np.uint64)) < 1e-9, "the test would see what is not"


def test_what_all_but_two_see_of_these_two_is_uniform_but_for_their_sum() -> None:
    """All but two put together what they know. False alarm: 16 comparisons at 1e-9, so under 2e-8."""
    keys = make_keys(6)
    honest, colluding = ["node:n-1", "node:n-4"], ["node:n-0", "node:n-2", "node:n-3", "node:n-5"]
    secret = {name: np.full(2**17, number + 1, np.uint64) for number, name in enumerate(honest)}
    seen = {name: mask_one(secret[name], keys, name) for name in honest}
    for name, one in itertools.product(honest, colluding):
        key = pair_key(keys[one], public(keys)[name], context=b"run-1", own=one, peer=name)
        pair = np.concatenate([piece.copy() for _, piece in stream(key, 2**17)])
        # What the colluding one would have subtracted if its own name is smaller, it now takes from the other side.
        seen[name] = seen[name] - pair if name < one else seen[name] + pair
    for name in honest:
        assert chi_square_of_bytes(seen[name]) > 1e-9
    assert (seen[honest[0]] + seen[honest[1]] == 3).all()


def test_masks_of_two_rounds_are_unrelated() -> None:
    """False alarm: 8 comparisons at 1e-9, so under 1e-8."""
    keys, zero = make_keys(3), np.zeros(2**17, np.uint64)
    rounds = [mask_one(zero, keys, "node:n-0", context) for context in (b"round 1", b"round 2")]
    assert chi_square_of_bytes(rounds[0] - rounds[1]) > 1e-9


@pytest.mark.parametrize("name", ["", "a\n", "节点", "x" * 256], ids=["empty", "control", "beyond ASCII", "long"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    keys = make_keys(3)
    with pytest.raises(InvalidRequestError):
        mask_one(np.zeros(1, np.uint64), {**keys, name: X25519PrivateKey.generate()}, "node:n-0")


def test_what_is_no_vector_or_no_context_is_refused() -> None:
    keys = make_keys(3)
    vectors: list[Any] = [np.zeros(3), np.zeros(0, np.uint64), np.zeros((2, 2), np.uint64)]
    for vector in vectors:
        with pytest.raises(InvalidRequestError):
            mask_one(vector, keys, "node:n-0")
    with pytest.raises(InvalidRequestError):
        mask_one(np.zeros(1, np.uint64), keys, "node:n-0", b"")
    # Beyond the block counter of RFC 8439; a view of one number, not 256 GiB of memory.
    endless = np.broadcast_to(np.uint64(0), (2**35 + 1,))
    with pytest.raises(InvalidRequestError):
        mask_one(endless, keys, "node:n-0")


def test_a_key_has_one_spelling() -> None:
    key = X25519PrivateKey.generate().public_key().public_bytes_raw()
    check_public_key(key)
    beyond = (2**255 - 19 + 2).to_bytes(32, "little")
    small = [number.to_bytes(32, "little") for number in (0, 1, 2**255 - 20)]
    for wrong in (key[:-1], key + b"\0", key[:-1] + bytes([key[-1] | 128]), beyond, *small):
        with pytest.raises(InvalidRequestError) as caught:
            check_public_key(wrong)
        assert caught.value.code is ErrorCode.KEY_MALFORMED
