"""The secure sum, whatever the parties, layouts and entries: masks cancel, and the sum is the sum."""

from fractions import Fraction
from typing import Any, Final

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.secure_sum import add, decode, encode, fixed_point, vector_digest
from tests.unit.federated.secure_sum.parties import Form, Piece, make_keys, mask_all

KEYS: Final = make_keys(8)
BOUNDS: Final = st.floats(2.0**-40, 2.0**40)
SHAPES: Final = st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple)


@st.composite
def forms(draw: Any) -> Form:
    count = draw(st.integers(1, 3))
    return Form(
        tuple(
            Piece(name=f"p{number}", shape=draw(SHAPES), bound=draw(BOUNDS), is_count=draw(st.booleans()))
            for number in range(count)
        )
    )


def array(draw: Any, piece: Piece) -> np.ndarray:
    entries = st.integers(0, int(piece.bound)) if piece.is_count else st.floats(-piece.bound, piece.bound)
    size = int(np.prod(piece.shape))
    drawn = draw(st.lists(entries, min_size=size, max_size=size))
    return np.array(drawn, np.float64).reshape(piece.shape)


@settings(max_examples=100, deadline=None)
@given(st.data(), forms(), st.integers(3, 8))
def test_the_sum_of_masked_vectors_is_the_sum(data: st.DataObject, form: Form, parties: int) -> None:
    names = sorted(KEYS)[:parties]
    given_arrays = {name: {piece.name: array(data.draw, piece) for piece in form.parts} for name in names}
    vectors = {name: encode(arrays, form, parties=parties) for name, arrays in given_arrays.items()}
    keys = {name: KEYS[name] for name in names}
    masked = mask_all(vectors, keys, data.draw(st.binary(min_size=1, max_size=40)))
    total = add(data.draw(st.permutations(list(masked.values()))))
    assert vector_digest(total) == vector_digest(add(list(vectors.values())))
    sums = decode(total, form, parties=parties)
    error = Fraction(parties, 2 * fixed_point(form, parties=parties).scale)
    for piece in form.parts:
        for place in np.ndindex(*piece.shape):
            exact = sum(Fraction(float(given_arrays[name][piece.name][place])) for name in names)
            found = Fraction(float(sums[piece.name][place]))
            assert found == exact if piece.is_count else abs(found - exact) <= error
