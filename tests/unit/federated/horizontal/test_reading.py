"""Strict reading: numbers as text, and all problems at once."""

import math
import re

import pytest

from federated.horizontal.parameters import PARAMETERS, RecipeName, TreesParameters, parse_logistic, parse_trees
from federated.horizontal.reading import Reading, number_text, parse_number
from yingbi.canonical import canonical_bytes
from yingbi.errors import ErrorCode, InvalidRequestError


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (1.0, "1.0"), (-0.0, "0.0"), (1e-300, "1e-300"), (2.0**53, "9007199254740992.0"), (1e22, "1e+22")],
)
def test_numbers_are_written_so_that_they_read_back(value: float, text: str) -> None:
    assert number_text(value) == text
    assert parse_number(text) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_not_written(value: float) -> None:
    with pytest.raises(InvalidRequestError):
        number_text(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nan",
        "inf",
        "1e999",
        "0x1",
        "1_0",
        " 1",
        "1 ",
        "01",
        "+1",
        ".5",
        "5.",
        "1e5000",
        "١",
        "9" * 41,
        1,
        1.0,
        None,
        True,
    ],
)
def test_what_is_no_plain_decimal_is_no_number(text: object) -> None:
    assert parse_number(text) is None  # type: ignore[arg-type]  # hostile


def test_every_problem_is_named_and_no_value_is_shown() -> None:
    hostile = {"trees": 0, "depth": "secret", "learning_rate": 0.5, "l2": "-1", "min_gain": None, "surprise": 1}
    with pytest.raises(InvalidRequestError) as caught:
        parse_trees(hostile)  # type: ignore[arg-type]  # hostile
    message = caught.value.message
    assert caught.value.code is ErrorCode.PLAN_MALFORMED
    assert re.findall(r"`([\w.]+)`", message) == [
        f"parameters.{name}" for name in ("trees", "depth", "learning_rate", "l2")
    ] + ["parameters"]
    assert "secret" not in message
    assert "surprise" not in message
    assert "\n" not in message


@pytest.mark.parametrize("value", [None, [], "x", 3, True])
def test_parameters_are_an_object(value: object) -> None:
    for parse in PARAMETERS.values():
        with pytest.raises(InvalidRequestError, match="expected an object at `parameters`"):
            parse(value)  # type: ignore[arg-type]  # hostile


@pytest.mark.parametrize("recipe", list(RecipeName))
def test_parameters_have_defaults_and_read_back(recipe: RecipeName) -> None:
    default = PARAMETERS[recipe]({})
    assert PARAMETERS[recipe](default.to_json()) == default
    canonical_bytes(default.to_json())


def test_whole_numbers_are_neither_booleans_nor_text() -> None:
    for value in (True, "3", 3.0):
        with pytest.raises(InvalidRequestError, match=r"parameters\.depth"):
            parse_trees({"depth": value})  # type: ignore[dict-item]  # hostile


def test_bounds_are_included() -> None:
    assert parse_trees({"trees": 500, "depth": 6, "learning_rate": "1"}) == TreesParameters(
        trees=500, depth=6, learning_rate=1.0
    )
    for beyond in ({"trees": 501}, {"depth": 7}, {"learning_rate": "1.001"}):
        with pytest.raises(InvalidRequestError):
            parse_trees(beyond)  # type: ignore[arg-type]  # a JSON object
    with pytest.raises(InvalidRequestError):
        parse_logistic({"max_steps": 51})


def test_an_inner_reading_leaves_its_problems_to_the_outer_one() -> None:
    outer = Reading({"a": {"b": 1}}, "")
    inner = outer.inside("a")
    inner.text("b", re.compile("x"), "an x")
    inner.finish()
    with pytest.raises(InvalidRequestError, match=r"expected an x at `a\.b`"):
        outer.finish()
