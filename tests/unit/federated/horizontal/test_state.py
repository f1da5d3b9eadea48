"""A state's digest says all of its bits, and nothing of the machine."""

import numpy as np
import pytest

from federated.horizontal.state import Phase, State

ONE = State(phase=Phase.TRAIN, step=3, arrays={"a": np.array([[1.5, -0.0]]), "n": np.array([1, 2], dtype=np.int64)})


def test_the_digest_is_that_of_version_1() -> None:
    assert ONE.digest() == "sha256:5a69a123b9032c9fbce74e24f492d2c7458d59f00e8ed2c06451f2fec120e007"


def test_order_of_names_and_of_memory_does_not_matter() -> None:
    square = np.arange(6.0).reshape(2, 3)
    one = State(phase=Phase.TRAIN, step=0, arrays={"a": square, "b": np.ones(1)})
    other = State(phase=Phase.TRAIN, step=0, arrays={"b": np.ones(1), "a": np.asfortranarray(square)})
    swapped = State(phase=Phase.TRAIN, step=0, arrays={"b": np.ones(1), "a": square.astype(">f8")})
    assert one.digest() == other.digest() == swapped.digest()


@pytest.mark.parametrize(
    "changed",
    [
        State(phase=Phase.EVALUATE, step=3, arrays=ONE.arrays),
        State(phase=Phase.TRAIN, step=4, arrays=ONE.arrays),
        State(phase=Phase.TRAIN, step=3, arrays={"a": ONE.arrays["a"]}),
        State(phase=Phase.TRAIN, step=3, arrays={"b": ONE.arrays["a"], "n": ONE.arrays["n"]}),
        State(phase=Phase.TRAIN, step=3, arrays={**ONE.arrays, "a": np.array([[1.5, 0.0]])}),
        State(phase=Phase.TRAIN, step=3, arrays={**ONE.arrays, "a": np.array([1.5, -0.0])}),
        State(phase=Phase.TRAIN, step=3, arrays={**ONE.arrays, "a": np.array([[np.nextafter(1.5, 2.0), -0.0]])}),
        State(phase=Phase.TRAIN, step=3, arrays={**ONE.arrays, "n": np.array([1, 2], dtype=np.uint64)}),
    ],
    ids=["phase", "step", "one less", "name", "sign of zero", "shape", "last bit", "type"],
)
def test_whatever_changes_changes_the_digest(changed: State) -> None:
    assert changed.digest() != ONE.digest()
