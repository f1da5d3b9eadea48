"""The hold-out: keyed, stable, and as large as agreed."""

import hashlib
import hmac
from fractions import Fraction

import numpy as np
import pytest

from federated.horizontal.holdout import hold_out
from yingbi.errors import InvalidRequestError

SECRET = bytes(range(32))
KEYS = [f"entity {n}".encode() for n in range(20_000)]


def test_it_is_hmac_sha_256_below_the_share() -> None:
    expected = []
    for key in KEYS[:200]:
        data = hmac.new(SECRET, b"yingbi hold-out 1\n" + key, hashlib.sha256).digest()
        expected.append(Fraction(int.from_bytes(data[:8], "big"), 2**64) < Fraction(0.2))
    assert hold_out(KEYS[:200], secret=SECRET, share=0.2).tolist() == expected


def test_the_share_is_held_out() -> None:
    # 20,000 draws at 0.2: five standard deviations are 283; a false alarm once in 1.7 million.
    assert abs(int(hold_out(KEYS, secret=SECRET, share=0.2).sum()) - 4000) < 283


def test_who_is_held_out_does_not_depend_on_who_else_is_there() -> None:
    whole = hold_out(KEYS[:1000], secret=SECRET, share=0.3)
    assert np.array_equal(whole[::-1], hold_out(KEYS[:1000][::-1], secret=SECRET, share=0.3))
    assert np.array_equal(whole[:10], hold_out(KEYS[:10], secret=SECRET, share=0.3))


def test_a_larger_share_holds_out_those_of_a_smaller_one_too() -> None:
    small, large = (hold_out(KEYS, secret=SECRET, share=share) for share in (0.1, 0.3))
    assert bool((large >= small).all())


def test_another_secret_holds_out_others() -> None:
    one, other = (hold_out(KEYS, secret=secret, share=0.5) for secret in (SECRET, SECRET[::-1]))
    assert 0.45 < float((one == other).mean()) < 0.55


def test_none_and_all() -> None:
    assert not hold_out(KEYS, secret=SECRET, share=0.0).any()
    assert hold_out(KEYS, secret=SECRET, share=1.0).all()
    assert hold_out([], secret=SECRET, share=0.5).dtype == np.bool_


@pytest.mark.parametrize(("secret", "share"), [(SECRET[:31], 0.2), (b"", 0.2), (SECRET, -0.1), (SECRET, 1.1)])
def test_short_secrets_and_shares_beyond_1_are_refused(secret: bytes, share: float) -> None:
    with pytest.raises(InvalidRequestError):
        hold_out(KEYS, secret=secret, share=share)
