"""Fixed point: the scale, rounding, what is refused, and that whole numbers come back exactly."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from federated.secure_sum import add, decode, encode, fixed_point
from tests.unit.federated.secure_sum.parties import Form, Piece
from yingbi.errors import ErrorCode, InvalidRequestError

WEIGHTS = Form((Piece(name="weights", shape=(2, 2), bound=100.0), Piece(name="rows", shape=(1,), is_count=True)))


def arrays(weights: object, rows: object = (1.0,)) -> dict[str, np.ndarray]:
    return {"weights": np.array(weights), "rows": np.array(rows)}


GOOD = [[1.5, -2.25], [100.0, -100.0]]


def test_what_is_encoded_is_decoded_in_its_shape() -> None:
    vector = encode(arrays(GOOD), WEIGHTS, parties=3)
    assert vector.dtype == np.uint64
    assert vector.shape == (5,)
    sums = decode(add([vector] * 3), WEIGHTS, parties=3)
    assert sums["weights"].tolist() == (3 * np.array(GOOD)).tolist()
    assert sums["weights"].dtype == np.float64
    assert sums["rows"].tolist() == [3.0]


@pytest.mark.parametrize("bound", [1e-30, 0.1, 1.0, 3.0, 1e6, 1e12, 2.0**51])
@pytest.mark.parametrize("parties", [3, 10, 64])
def test_the_scale_is_the_largest_under_which_no_sum_leaves_53_bits(bound: float, parties: int) -> None:
    form = Form((Piece(name="small", shape=(7,), bound=bound / 2), Piece(name="large", shape=(1,), bound=bound)))
    if bound == 2.0**51 and parties > 3:
        with pytest.raises(InvalidRequestError):
            fixed_point(form, parties=parties)
        return
    scale = fixed_point(form, parties=parties).scale
    assert scale.bit_count() == 1
    assert parties * (Fraction(bound) * scale + 1) <= 2**53
    assert scale == 2**64 or parties * (Fraction(bound) * scale * 2 + 1) > 2**53
    each = encode({"small": np.zeros(7), "large": np.array([bound])}, form, parties=parties)
    found = decode(add([each] * parties), form, parties=parties)["large"][0]
    assert abs(Fraction(float(found)) - parties * Fraction(bound)) <= Fraction(parties, 2 * scale)


def test_rounding_is_half_to_even() -> None:
    form = Form((Piece(name="x", shape=(6,), bound=2.0**50),))
    assert fixed_point(form, parties=3).scale == 2
    halves = np.array([0.25, 0.75, 1.25, -0.25, -0.75, 0.26])
    assert encode({"x": halves}, form, parties=3).view(np.int64).tolist() == [0, 2, 2, 0, -2, 1]


def test_the_fixed_point_counts_what_rounding_can_move() -> None:
    form = fixed_point(WEIGHTS, parties=3)
    assert (form.size, form.rounded) == (5, 4)


NOT_ENCODED = {
    "an entry beyond its bound": arrays([[100.00000000000001, 0.0], [0.0, 0.0]]),
    "an entry below": arrays([[-100.00000000000001, 0.0], [0.0, 0.0]]),
    "not a number": arrays([[np.nan, 0.0], [0.0, 0.0]]),
    "without end": arrays([[np.inf, 0.0], [0.0, 0.0]]),
    "another shape": arrays([1.0, 2.0, 3.0, 4.0]),
    "integers": arrays([[1, 2], [3, 4]]),
    "half precision": {**arrays(GOOD), "weights": np.zeros((2, 2), np.float32)},
    "a count that is not whole": arrays(GOOD, [0.5]),
    "a count below zero": arrays(GOOD, [-1.0]),
    "a name too many": {**arrays(GOOD), "more": np.zeros(1)},
    "a name too few": {"weights": np.array(GOOD)},
    "other names": {"weights": np.array(GOOD), "row": np.ones(1)},
}


@pytest.mark.parametrize("name", NOT_ENCODED)
def test_what_does_not_fit_is_refused_and_not_told(name: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        encode(NOT_ENCODED[name], WEIGHTS, parties=3)
    assert caught.value.code is ErrorCode.DATA_INVALID
    assert "100.0" not in caught.value.message


NO_LAYOUTS = {
    "nothing": Form(()),
    "a name twice": Form((Piece(name="x", shape=(1,)), Piece(name="x", shape=(1,)))),
    "no dimension": Form((Piece(name="x", shape=()),)),
    "an empty array": Form((Piece(name="x", shape=(3, 0)),)),
    "a bound of zero": Form((Piece(name="x", shape=(1,), bound=0.0),)),
    "a bound below zero": Form((Piece(name="x", shape=(1,), bound=-1.0),)),
    "a bound without end": Form((Piece(name="x", shape=(1,), bound=float("inf")),)),
    "a bound that is none": Form((Piece(name="x", shape=(1,), bound=float("nan")),)),
    "a bound too large": Form((Piece(name="x", shape=(1,), bound=2.0**52),)),
}


@pytest.mark.parametrize("name", NO_LAYOUTS)
def test_a_layout_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError):
        fixed_point(NO_LAYOUTS[name], parties=3)


def test_two_parties_are_too_few() -> None:
    for use in (fixed_point, lambda form, parties: encode(arrays(GOOD), form, parties=parties)):
        with pytest.raises(InvalidRequestError):
            use(WEIGHTS, parties=2)


@pytest.mark.parametrize("entry", [2**63, 2**63 - 1, 2**62, 2**64 - 2**62])
def test_a_sum_that_no_entries_have_is_refused(entry: int) -> None:
    total = np.zeros(5, np.uint64)
    total[1] = entry
    with pytest.raises(InvalidRequestError):
        decode(total, WEIGHTS, parties=3)


def test_the_bounds_of_a_sum_are_those_of_its_part() -> None:
    scale = fixed_point(WEIGHTS, parties=3).scale
    total = np.zeros(5, np.uint64)
    total[4] = 3 * scale
    assert decode(total, WEIGHTS, parties=3)["rows"].tolist() == [3.0]
    total[4] += np.uint64(1)
    with pytest.raises(InvalidRequestError):
        decode(total, WEIGHTS, parties=3)
    # With noise of one thousandth it is within sixteen deviations of each party.
    assert decode(total, WEIGHTS, parties=3, noise=0.001)["rows"][0] == 3 + 1 / scale


@pytest.mark.parametrize("noise", [-1.0, float("nan"), float("inf"), 1e12])
def test_noise_that_a_sum_has_no_room_for_is_refused(noise: float) -> None:
    with pytest.raises(InvalidRequestError):
        decode(np.zeros(5, np.uint64), WEIGHTS, parties=3, noise=noise)


def test_a_vector_of_another_form_is_no_sum() -> None:
    totals: list[Any] = [np.zeros(4, np.uint64), np.zeros((5, 1), np.uint64), np.zeros(5, np.int64)]
    for total in totals:
        with pytest.raises(InvalidRequestError):
            decode(total, WEIGHTS, parties=3)
