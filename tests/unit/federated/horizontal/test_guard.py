"""The reply guard refuses whatever is not what the layout announces."""

from typing import Any

import numpy as np
import pytest

from federated.horizontal.guard import guard
from federated.horizontal.layout import Layout, Part
from yingbi.errors import ErrorCode, InvalidRequestError

LAYOUT = Layout(
    parts=(
        Part(name="gradient", shape=(2, 2), bound=10.0),
        Part(name="count", shape=(3,), bound=100.0, is_count=True),
    ),
    sensitivity=1.0,
)
GRADIENT = np.array([[1.0, -10.0], [0.5, 10.0]])
COUNT = np.array([0.0, 3.0, 100.0])


class Sly(np.ndarray):
    """An array that finds itself smaller than anything."""

    def __abs__(self) -> Any:
        return np.zeros(self.shape)


def test_what_was_announced_passes_as_a_copy_in_the_order_of_the_layout() -> None:
    passed = guard(LAYOUT, {"count": COUNT, "gradient": GRADIENT})
    assert list(passed) == ["gradient", "count"]
    assert np.array_equal(passed["gradient"], GRADIENT)
    assert not np.shares_memory(passed["gradient"], GRADIENT)
    assert LAYOUT.size == 7


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a name is missing": ({"gradient": GRADIENT}, "2 arrays"),
    "a name too many": ({"gradient": GRADIENT, "count": COUNT, "rows": COUNT}, "2 arrays"),
    "another name": ({"gradient": GRADIENT, "counts": COUNT}, "2 arrays"),
    "a list": ({"gradient": GRADIENT.tolist(), "count": COUNT}, "an array"),
    "a number": ({"gradient": 1.0, "count": COUNT}, "an array"),
    "a NumPy number": ({"gradient": np.float64(1.0), "count": COUNT}, "an array"),
    "nothing": ({"gradient": None, "count": COUNT}, "an array"),
    "a subclass": ({"gradient": (GRADIENT * 9).view(Sly), "count": COUNT}, "an array"),
    "a masked array": ({"gradient": np.ma.array(GRADIENT), "count": COUNT}, "an array"),
    "no dimension": ({"gradient": np.array(1.0), "count": COUNT}, "shape"),
    "flat": ({"gradient": GRADIENT.reshape(4), "count": COUNT}, "shape"),
    "one entry more": ({"gradient": GRADIENT, "count": np.append(COUNT, 1.0)}, "shape"),
    "no entry": ({"gradient": GRADIENT, "count": np.zeros(0)}, "shape"),
    "float32": ({"gradient": GRADIENT.astype(np.float32), "count": COUNT}, "float64"),
    "whole numbers": ({"gradient": GRADIENT, "count": COUNT.astype(np.int64)}, "float64"),
    "objects": ({"gradient": GRADIENT.astype(object), "count": COUNT}, "float64"),
    "complex": ({"gradient": GRADIENT.astype(complex), "count": COUNT}, "float64"),
    "bytes turned round": ({"gradient": GRADIENT.astype(">f8"), "count": COUNT}, "float64"),
    "NaN": ({"gradient": np.where(GRADIENT == 0.5, np.nan, GRADIENT), "count": COUNT}, "finite"),
    "infinite": ({"gradient": np.where(GRADIENT == 0.5, -np.inf, GRADIENT), "count": COUNT}, "finite"),
    "NaN among counts": ({"gradient": GRADIENT, "count": np.array([0.0, np.nan, 1.0])}, "finite"),
    "too large": ({"gradient": np.nextafter(GRADIENT, np.inf), "count": COUNT}, "bound"),
    "too small": ({"gradient": np.nextafter(GRADIENT, -np.inf), "count": COUNT}, "bound"),
    "a count beyond the rows": ({"gradient": GRADIENT, "count": COUNT + 1.0}, "bound"),
    "a negative count": ({"gradient": GRADIENT, "count": -COUNT}, "counts"),
    "half a row": ({"gradient": GRADIENT, "count": COUNT / 2.0}, "counts"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_something_else_is_refused_without_its_value(name: str) -> None:
    arrays, expected = REFUSED[name]
    with pytest.raises(InvalidRequestError, match=expected) as caught:
        guard(LAYOUT, arrays)
    assert caught.value.code is ErrorCode.DATA_INVALID
    assert "10.0" not in caught.value.message


def test_no_layout_lets_an_array_without_dimensions_pass() -> None:
    scalar = Layout(parts=(Part(name="intercept", shape=(), bound=10.0),), sensitivity=1.0)
    with pytest.raises(InvalidRequestError, match="shape"):
        guard(scalar, {"intercept": np.array(1.0)})


def test_later_changes_do_not_reach_what_passed() -> None:
    array = COUNT.copy()
    passed = guard(LAYOUT, {"gradient": GRADIENT, "count": array})
    array[0] = np.nan
    assert passed["count"][0] == 0.0
