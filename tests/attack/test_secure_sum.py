"""The secure sum under attack: chosen keys, swapped keys, missing parties, a context that is used twice."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from federated.secure_sum import add, check_public_key, decode, encode, mask, vector_digest
from federated.secure_sum.masks import pair_key
from tests.unit.federated.secure_sum.parties import Form, Piece, make_keys, mask_all, mask_one, public
from yingbi.errors import ErrorCode, InvalidRequestError

FIELD = 2**255 - 19
SMALL_ORDER = [
    0,
    1,
    FIELD - 1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
]
OTHER_SPELLINGS = [FIELD, FIELD + 1, *(u + 2**255 for u in SMALL_ORDER)]
FORM = Form((Piece(name="x", shape=(40,), bound=1_000.0),))


def vectors_of(names: list[str]) -> dict[str, np.ndarray]:
    return {
        name: encode({"x": np.full(40, float(number))}, FORM, parties=len(names)) for number, name in enumerate(names)
    }


def refused(peers: dict[str, bytes], own_key: X25519PrivateKey | None = None, own: str = "node:me") -> ErrorCode:
    with pytest.raises(InvalidRequestError) as caught:
        mask(
            np.zeros(4, np.uint64),
            own_key=own_key or X25519PrivateKey.generate(),
            own=own,
            peers=peers,
            context=b"round 1",
        )
    return caught.value.code


@pytest.mark.parametrize("u", [*SMALL_ORDER, *OTHER_SPELLINGS], ids=range(12))
def test_a_key_of_small_order_is_refused(u: int) -> None:
    weak = u.to_bytes(32, "little")
    peers = {**public(make_keys(2)), "node:x": weak}
    assert refused(peers) is ErrorCode.KEY_MALFORMED
    with pytest.raises(InvalidRequestError):
        check_public_key(weak)
    # Were it not refused by its bytes, it would be by the secret that it gives.
    with pytest.raises(InvalidRequestError):
        pair_key(X25519PrivateKey.generate(), weak, context=b"c", own="node:a", peer="node:x")


def test_the_library_itself_gives_no_secret_for_them() -> None:
    for u in SMALL_ORDER:
        with pytest.raises(ValueError):
            X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(u.to_bytes(32, "little")))


def test_one_party_in_two_guises_is_refused() -> None:
    peers, own_key = public(make_keys(3)), X25519PrivateKey.generate()
    twice = {**peers, "node:n-9": peers["node:n-0"]}
    assert refused(twice) is ErrorCode.KEY_MALFORMED
    reflected = {**peers, "node:n-9": own_key.public_key().public_bytes_raw()}
    assert refused(reflected, own_key) is ErrorCode.KEY_MALFORMED
    assert refused(peers, own="node:n-1") is ErrorCode.DATA_INVALID


def test_a_sum_with_one_other_party_would_show_its_vector() -> None:
    assert refused(public(make_keys(1))) is ErrorCode.DATA_INVALID
    assert refused({}) is ErrorCode.DATA_INVALID


def test_swapped_keys_of_two_parties_make_garbage() -> None:
    """A hub that tells one party other keys than the rest gets no sum. False alarm: 2^-10 an entry, 2^-400 in all."""
    keys = make_keys(4)
    vectors = vectors_of(list(keys))
    masked = mask_all(vectors, keys)
    honest = add(list(masked.values()))
    told = {**public(keys), "node:n-1": public(keys)["node:n-2"], "node:n-2": public(keys)["node:n-1"]}
    own = "node:n-0"
    others = {name: key for name, key in told.items() if name != own}
    masked[own] = mask(vectors[own], own_key=keys[own], own=own, peers=others, context=b"run-1")
    total = add(list(masked.values()))
    assert vector_digest(total) != vector_digest(honest)
    with pytest.raises(InvalidRequestError):
        decode(total, FORM, parties=4)


def test_a_key_in_the_middle_breaks_the_sum() -> None:
    """A hub that puts its own key between two parties knows their masks with it, and gets no sum."""
    keys, hub = make_keys(4), X25519PrivateKey.generate()
    vectors = vectors_of(list(keys))
    masked = mask_all(vectors, keys)
    told = {**public(keys), "node:n-3": hub.public_key().public_bytes_raw()}
    del told["node:n-0"]
    masked["node:n-0"] = mask(
        vectors["node:n-0"], own_key=keys["node:n-0"], own="node:n-0", peers=told, context=b"run-1"
    )
    with pytest.raises(InvalidRequestError):
        decode(add(list(masked.values())), FORM, parties=4)


def test_a_party_that_drops_out_leaves_no_sum() -> None:
    keys = make_keys(5)
    masked = mask_all(vectors_of(list(keys)), keys)
    for gone in keys:
        rest = [vector for name, vector in masked.items() if name != gone]
        with pytest.raises(InvalidRequestError):
            decode(add(rest), FORM, parties=5)


def test_a_contribution_of_another_attempt_leaves_no_sum() -> None:
    keys = make_keys(4)
    vectors = vectors_of(list(keys))
    masked = mask_all(vectors, keys, b"attempt 1")
    masked["node:n-2"] = mask_one(vectors["node:n-2"], keys, "node:n-2", b"attempt 2")
    with pytest.raises(InvalidRequestError):
        decode(add(list(masked.values())), FORM, parties=4)


def test_one_context_for_two_vectors_gives_their_difference_away() -> None:
    """Why a contribution is computed once, kept, and never masked again under its context with another content."""
    keys = make_keys(3)
    one, two = (np.array(values, np.uint64) for values in ([7, 7], [3, 9]))
    first, second = (mask_one(vector, keys, "node:n-0") for vector in (one, two))
    assert (first - second).tolist() == [4, 2**64 - 2]
