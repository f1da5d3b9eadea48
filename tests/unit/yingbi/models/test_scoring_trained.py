"""A partner's scores from a document are the scores that training counted, of every recipe."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from federated.horizontal import trees_rounds
from federated.horizontal.counting import count_scores
from federated.horizontal.evaluation import SCORE_COUNTS
from federated.horizontal.gradient_boosted_trees import tree_margins
from federated.horizontal.parameters import RecipeName
from federated.horizontal.recipe import RECIPES
from federated.horizontal.table import Table
from tests.unit.federated.horizontal.examples import FEATURES, TRADE, make_spec, make_table, split, train
from yingbi.canonical import canonical_bytes, parse_canonical
from yingbi.errors import InvalidRequestError
from yingbi.models.scoring import log_odds, score, woe_columns

TABLE = make_table(1200)
SCORING = [name for name in RecipeName if name is not RecipeName.WOE_BINS]


def model_of(recipe: RecipeName) -> Any:
    spec = make_spec(recipe)
    state, _ = train(spec, split(TABLE, 3))
    document = RECIPES[recipe].model(spec, state)
    return parse_canonical(canonical_bytes(document), max_bytes=1 << 20), state


def columns_of(table: Table) -> dict[str, Any]:
    codes = [None if code < 0 else TRADE.codes[code] for code in table.columns["trade"].tolist()]
    return {**table.columns, "trade": codes}


@pytest.mark.parametrize("recipe", SCORING)
def test_scores_are_those_that_training_counted(recipe: RecipeName) -> None:
    document, state = model_of(recipe)
    margins = log_odds(document, columns_of(TABLE))
    assert np.array_equal(count_scores(TABLE, margins)[SCORE_COUNTS], state.arrays[SCORE_COUNTS])
    assert np.array_equal(score(document, pd.DataFrame(columns_of(TABLE))), 1.0 / (1.0 + np.exp(-margins)))


def test_trees_of_a_document_are_the_trained_ones_bit_for_bit() -> None:
    document, state = model_of(RecipeName.GRADIENT_BOOSTED_TREES)
    expected = tree_margins(FEATURES, trees_rounds.model_arrays(state), TABLE)
    assert np.array_equal(log_odds(document, columns_of(TABLE)), expected)


@pytest.mark.parametrize("recipe", SCORING)
def test_one_row_scores_as_among_many(recipe: RecipeName) -> None:
    document, _ = model_of(recipe)
    scores = score(document, columns_of(TABLE))
    for row in (0, 17, 600):
        alone = score(document, columns_of(TABLE.part(np.arange(1200) == row)))
        assert alone.tolist() == [scores[row]]


def test_woe_of_each_row() -> None:
    document, _ = model_of(RecipeName.WOE_BINS)
    found = woe_columns(document, columns_of(TABLE))
    for variable in document["variables"]:
        values = found[variable["feature"]]
        counted = dict(zip(*np.unique(values[~TABLE.is_held_out], return_counts=True), strict=True))
        assert {float(item["woe"]): item["rows"] for item in variable["bins"]} == counted


def test_a_document_of_bins_scores_nothing_and_others_have_no_woe() -> None:
    bins, _ = model_of(RecipeName.WOE_BINS)
    with pytest.raises(InvalidRequestError):
        score(bins, columns_of(TABLE))
    trees, _ = model_of(RecipeName.GRADIENT_BOOSTED_TREES)
    with pytest.raises(InvalidRequestError):
        woe_columns(trees, columns_of(TABLE))


Change = Callable[[Any], object]


def walk(value: Any, path: tuple[Any, ...] = ()) -> Any:
    """Yield the path of every member and item of a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from walk(inner, (*path, key))


@pytest.mark.parametrize("recipe", list(RecipeName))
@pytest.mark.parametrize("wrong", [None, [], {}, "x", 1.5, -7], ids=repr)
def test_a_document_that_was_changed_anywhere_is_refused_or_understood(recipe: RecipeName, wrong: Any) -> None:
    """Every member in turn becomes something else: an error of ours, or scores that are finite."""
    document, _ = model_of_cached(recipe)
    columns = columns_of(TABLE.part(np.arange(1200) < 5))
    act = woe_columns if recipe is RecipeName.WOE_BINS else score
    refused = 0
    for path in walk(document):
        changed = json.loads(json.dumps(document))
        inner = changed
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = wrong
        try:
            result: Any = act(changed, columns)
        except InvalidRequestError:
            refused += 1
            continue
        values = list(result.values()) if isinstance(result, dict) else [result]
        assert np.isfinite(values).all()
    assert refused > 10


CACHE: dict[RecipeName, Any] = {}


def model_of_cached(recipe: RecipeName) -> Any:
    if recipe not in CACHE:
        CACHE[recipe] = model_of(recipe)
    return CACHE[recipe]


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("age"),
        lambda c: c.update(trade=["Z"] * 1200),
        lambda c: c.update(age=c["age"][:10]),
        lambda c: c.update(debt=np.full(1200, np.inf)),
        lambda c: c.update(age=["30"] * 1200),
        lambda c: c.update(age=np.array([30.0] * 1199 + ["30"], dtype=object)),
        lambda c: c.update(age=np.array(["30"] * 1200)),
        lambda c: c.update(age=pd.Series([30.0] * 1199 + ["30"], dtype=object)),
        lambda c: c.update(age=pd.Series(["30"] * 1200, dtype="string")),
        lambda c: c.update(age=[b"30"] * 1200),
    ],
    ids=["no column", "unknown code", "length", "infinite", "text", "object", "texts", "Series", "strings", "bytes"],
)
def test_columns_that_the_model_does_not_know_are_refused(change: Change) -> None:
    document, _ = model_of_cached(RecipeName.LOGISTIC_REGRESSION)
    columns = columns_of(TABLE)
    change(columns)
    with pytest.raises(InvalidRequestError):
        score(document, columns)
