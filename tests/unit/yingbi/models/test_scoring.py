"""Scoring: by hand, with other kinds of frames, and what is refused."""

import copy
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from federated.horizontal.prepare import coded_column
from federated.horizontal.spec import Feature, Kind
from tests.unit.yingbi.models.samples import BINS, FEATURES, HEAD, LOGISTIC, MODELS, NETWORK, TREES, frame
from yingbi.errors import InvalidRequestError
from yingbi.models.features import ModelFeature, read_column
from yingbi.models.scoring import log_odds, score, woe_columns


def one(tax: float | None, age: float | None, industry: str | None) -> dict[str, list[Any]]:
    return {"tax": [tax], "age": [age], "industry": [industry]}


@pytest.mark.parametrize(
    ("row", "margin"),
    [
        (one(500.0, 20.0, "A"), -1.25),  # all in the middle, reference code
        (one(0.0, 40.0, "B"), -1.25 + 1.5 + 0.5 + 0.75),
        (one(-5.0, 99.0, "餐饮"), -1.25 + 1.5 + 0.5 - 0.125),  # beyond the bounds
        (one(-1.0, None, None), -1.25 + 0.25 + 0.375),  # special, missing, missing
        (one(math.nan, math.nan, "A"), -1.25 + 0.25),
    ],
)
def test_a_regression_by_hand(row: dict[str, list[Any]], margin: float) -> None:
    assert log_odds(LOGISTIC, row) == pytest.approx([margin], abs=1e-15)
    assert score(LOGISTIC, row) == pytest.approx([1 / (1 + math.exp(-margin))], abs=1e-15)


@pytest.mark.parametrize(
    ("row", "margin"),
    [
        (one(9.0, 1.0, "A"), -1 + 0.7 - 0.01 + 0.001),
        (one(10.0, 1.0, "B"), -1 + 0.30000001 - 0.01 + 0.001),  # on an edge: right
        (one(500.0, 1.0, "A"), -1 - 0.2 - 0.4 + 0.001),
        (one(None, None, "A"), -1 + 0.1 - 0.01 + 0.001),  # missing: right, right, left
        (one(-1.0, 3.0, None), -1 - 0.2 + 0.05 + 0.001),  # special counts as missing
    ],
)
def test_trees_by_hand(row: dict[str, list[Any]], margin: float) -> None:
    assert log_odds(TREES, row) == pytest.approx([margin], abs=1e-15)


def test_a_network_by_hand() -> None:
    first, second = math.tanh(0.1 + 0.5 * 1 + 0.75), math.tanh(-0.3 - 1.0 * 1)
    assert log_odds(NETWORK, one(1000.0, None, "B")) == pytest.approx([-0.5 + 1.25 * first - 0.75 * second])


def test_trees_may_be_none_at_all() -> None:
    assert log_odds({**TREES, "trees": []}, frame(3)) == pytest.approx([-1.0] * 3)


@pytest.mark.parametrize("name", MODELS)
def test_frames_of_every_kind_give_the_same(name: str) -> None:
    rows = frame(100)
    wanted = score(MODELS[name], rows)
    frames = [
        pd.DataFrame(rows),
        pd.DataFrame(rows).convert_dtypes(),
        pd.DataFrame(rows).astype({"industry": "category"}),
        {name: np.array(column, dtype=object) for name, column in rows.items()},
    ]
    for other in frames:
        assert score(MODELS[name], other).tolist() == wanted.tolist()
    assert np.all((wanted > 0) & (wanted < 1))


def test_weights_of_evidence_by_hand() -> None:
    rows = {"tax": [9.0, 10.0, -1.0, None, 2000.0], "age": [1.0] * 5, "industry": ["A", "B", "餐饮", None, "A"]}
    found = woe_columns(BINS, rows)
    assert {name: column.tolist() for name, column in found.items()} == {
        "tax": [-0.7, 0.4, 0.2, 0.4, 0.4],
        "age": [0.0] * 5,
        "industry": [0.3, -0.3, -0.3, 0.3, 0.3],
    }


def test_an_unknown_code_is_refused_unless_it_may_be_missing() -> None:
    rows = one(1.0, 1.0, "secret-code")
    with pytest.raises(InvalidRequestError, match="`industry`") as caught:
        score(LOGISTIC, rows)
    assert "secret" not in str(caught.value)
    assert score(LOGISTIC, rows, is_lenient=True) == score(LOGISTIC, one(1.0, 1.0, None))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"tax": [1.0], "age": [1.0]}, "feature `industry`"),
        ({"tax": ["12,5"], "age": [1.0], "industry": ["A"]}, "numbers in `tax`"),
        ({"tax": [math.inf], "age": [1.0], "industry": ["A"]}, "finite numbers in `tax`"),
        ({"tax": [1.0, 2.0], "age": [1.0], "industry": ["A"]}, "same length"),
        ({"tax": [1.0], "age": [1.0], "industry": [3]}, "codes that the model has"),
        (pd.DataFrame({"tax": [1.0]}), "feature `age`"),
    ],
)
def test_rows_that_do_not_fit(rows: Any, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        score(LOGISTIC, rows)


def bent(document: dict[str, Any], *path: str | int, value: Any) -> dict[str, Any]:
    result = copy.deepcopy(document)
    place: Any = result
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return result


BENT: dict[str, Any] = {
    "no object": [],
    "another form": bent(LOGISTIC, "form", value="yingbi-model/2"),
    "an unknown recipe": bent(LOGISTIC, "recipe", value="x"),
    "bins do not score": BINS,
    "a recipe that is a list": bent(LOGISTIC, "recipe", value=["x"]),
    "no features": bent(LOGISTIC, "features", value=[]),
    "a feature twice": bent(LOGISTIC, "features", value=[*FEATURES, FEATURES[0]]),
    "a feature that is none": bent(LOGISTIC, "features", value=[*FEATURES, "x"]),
    "a name with markup": bent(LOGISTIC, "features", 0, "name", value="<b>"),
    "a name with a slash": bent(LOGISTIC, "features", 0, "name", value="/constant_0"),
    "a float": bent(LOGISTIC, "intercept", "scaled", "value", value=1.5),
    "no number": bent(LOGISTIC, "intercept", "scaled", "value", value="nan"),
    "turned bounds": bent(LOGISTIC, "features", 0, "bounds", value=["2", "1"]),
    "a code with a control character": bent(LOGISTIC, "features", 2, "codes", value=["A", "\x00"]),
    "half a character": bent(LOGISTIC, "features", 2, "codes", value=["A", "\ud800"]),
    "a code twice": bent(LOGISTIC, "features", 2, "codes", value=["A", "A"]),
    "a column of nothing": bent(LOGISTIC, "columns", 0, "feature", value="x"),
    "a level of a number": bent(LOGISTIC, "columns", 0, "role", value="level"),
    "a level of an unknown code": bent(LOGISTIC, "columns", 4, "code", value="Z"),
    "a column twice": bent(LOGISTIC, "columns", 1, value=LOGISTIC["columns"][0]),  # type: ignore[index]
    "a column that is none": bent(LOGISTIC, "columns", 1, value=None),
    "too few weights": bent(NETWORK, "hidden", 0, "weights", value=["1"]),
    "no units": bent(NETWORK, "hidden", value=[]),
    "missing values that become something else": bent(NETWORK, "missing", value="x"),
    "a node that leads nowhere": bent(TREES, "trees", 2, "nodes", 0, value={"node": 1, "value": "1"}),
    "a node that is not there": bent(TREES, "trees", 0, "nodes", 1, value={"node": 3, "value": "1"}),
    "a node too many": bent(TREES, "trees", 2, "nodes", value=[{"node": 0, "value": "1"}, {"node": 1, "value": "1"}]),
    "a node twice": bent(TREES, "trees", 0, "nodes", 1, value={"node": 2, "value": "1"}),
    "a node far below": bent(
        TREES, "trees", 2, "nodes", value=[{"node": 0, "value": "1"}, {"node": 10**9, "value": "1"}]
    ),
    "a split by an unknown code": bent(TREES, "trees", 0, "nodes", 2, "equal", value="Z"),
    "a split that does not say where missing values go": bent(TREES, "trees", 0, "nodes", 0, "missing", value=None),
    "a tree that is none": bent(TREES, "trees", 0, value="x"),
}


@pytest.mark.parametrize("name", BENT)
def test_documents_that_are_no_models(name: str) -> None:
    with pytest.raises(InvalidRequestError):
        score(BENT[name], frame(3))


@pytest.mark.parametrize(
    "document",
    [
        LOGISTIC,
        bent(BINS, "form", value="yingbi-model-0"),
        bent(BINS, "recipe", value="logistic_regression"),
        bent(BINS, "variables", 0, "feature", value="x"),
        bent(BINS, "variables", 1, "feature", value="tax"),
        bent(BINS, "variables", 1, "bins", 0, "codes", value=["Z"]),
        bent(BINS, "variables", 1, "bins", 0, "codes", value="A"),
        bent(BINS, "variables", 0, "bins", 0, "woe", value=None),
    ],
)
def test_documents_that_are_no_bins(document: Any) -> None:
    with pytest.raises(InvalidRequestError):
        woe_columns(document, frame(3))


def test_the_head_alone_is_no_model() -> None:
    with pytest.raises(InvalidRequestError):
        score({**HEAD, "recipe": "logistic_regression"}, frame(3))


def test_numbers_of_a_frame_are_codes_by_their_value() -> None:
    """A frame has 1 where the code is `1`, and 1.0 where another row's is missing; as the nodes read their own."""
    feature = ModelFeature(name="grade", codes=("1", "2.50", "true", "01"))
    whole = pd.Series([1, 1], dtype="Int8")
    columns: list[Any] = [["1", "2.5", "true", "01"], [1, 2.5], [True], np.array([1.0, 2.5, np.nan]), whole]
    found = [read_column(feature, {"grade": column}).tolist() for column in columns]
    assert found == [[0, 1, 2, 3], [0, 1], [2], [0, 1, -1], [0, 0]]
    for column in columns:
        own = Feature(name="grade", kind=Kind.CODED, codes=feature.codes)
        assert coded_column(own, column).tolist() == read_column(feature, {"grade": column}).tolist()
    for unknown in (["3"], [3], [2], [None, 0], [False], [float("inf")], [object()]):
        with pytest.raises(InvalidRequestError):
            read_column(feature, {"grade": unknown})
