"""A state as bytes: bit for bit there and back, and whatever else it is, is found."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from federated.horizontal.state import Phase, State
from federated.rounds.state_bytes import read_state, write_state
from yingbi.errors import ErrorCode, TamperDetectedError

ARRAYS = st.sampled_from([np.float64, np.int64, np.uint64]).flatmap(
    lambda dtype: arrays(dtype, array_shapes(max_dims=3, max_side=3))
)


@given(st.sampled_from(Phase), st.integers(0, 1000), st.dictionaries(st.text("abc_", min_size=1), ARRAYS, max_size=4))
def test_a_state_comes_back_bit_for_bit(phase: Phase, step: int, values: dict[str, Any]) -> None:
    state = State(phase=phase, step=step, arrays=values)
    found = read_state(write_state(state))
    assert found.digest() == state.digest()
    for name, array in values.items():
        assert (found.arrays[name].dtype, found.arrays[name].shape) == (array.dtype, array.shape)
        assert found.arrays[name].tobytes() == array.tobytes()


STATE = State(phase=Phase.TRAIN, step=2, arrays={"a": np.array([1.5, -0.0]), "b": np.array([[7]], np.int64)})
DATA = write_state(STATE)


def headed(**changes: object) -> bytes:
    head, _, rest = DATA.partition(b"\n")
    return json.dumps(json.loads(head) | changes).encode() + b"\n" + rest


DAMAGED: dict[str, bytes] = {
    "nothing": b"",
    "no head": DATA.partition(b"\n")[2],
    "a head alone": DATA.partition(b"\n")[0],
    "one byte less": DATA[:-1],
    "one byte more": DATA + b"\0",
    "a phase that there is not": headed(phase="begin"),
    "without arrays": headed(arrays=[]),
    "an array of another type": headed(arrays=[{"name": "a", "dtype": "object", "shape": [2]}]),
    "an array of another shape": headed(arrays=[{"name": "a", "dtype": "float64", "shape": [9]}]),
    "arrays that are none": headed(arrays=[1]),
    "a list": b"[]\n",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_found(name: str) -> None:
    with pytest.raises(TamperDetectedError) as caught:
        read_state(DAMAGED[name])
    assert caught.value.code is ErrorCode.STORE_DAMAGED
