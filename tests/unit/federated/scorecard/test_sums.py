"""From sums to evaluation and decision; and what partners score with agrees with what nodes count with."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from federated.horizontal.counting import count_scores
from federated.horizontal.design import probabilities
from federated.horizontal.evaluation import LOSS_COUNTS, SCORE_COUNTS, score_edges
from federated.horizontal.parameters import (
    LogisticParameters,
    NetworkParameters,
    Parameters,
    TreesParameters,
    WoeParameters,
)
from federated.horizontal.recipe import RECIPES, Feature, Phase, Table, TrainingSpec
from federated.horizontal.spec import Kind
from federated.scorecard.sums import check_sums, evaluate_sums, read_scores
from yingbi.canonical import canonical_bytes
from yingbi.errors import InvalidRequestError
from yingbi.models.membership import MembershipReason, MembershipRule
from yingbi.models.metrics import auc
from yingbi.models.scoring import log_odds, score, scorecard_of, woe_columns
from yingbi.models.woe import woe_table

FEATURES = (
    Feature(name="tax", kind=Kind.NUMERIC, bounds=(0.0, 1000.0), edges=(10.0, 100.0, 500.0), special=(-1.0,)),
    Feature(name="age", kind=Kind.NUMERIC, bounds=(0.0, 40.0), edges=(1.0, 2.0, 5.0, 10.0)),
    Feature(name="industry", kind=Kind.CODED, codes=("A", "B", "餐饮")),
)
PARAMETERS: dict[str, Parameters] = {
    "logistic_regression": LogisticParameters(l2=0.01),
    "gradient_boosted_trees": TreesParameters(trees=5),
    "small_network": NetworkParameters(steps=5),
    "woe_bins": WoeParameters(),
}


def make_table(rows: int, seed: int) -> Table:
    random = np.random.default_rng(seed)
    tax = np.round(random.exponential(150, rows), 2)
    tax[random.random(rows) < 0.1] = np.nan
    tax[random.random(rows) < 0.05] = -1.0
    age = random.integers(0, 60, rows).astype(float)
    industry = random.integers(-1, 3, rows).astype(np.int64)
    margin = -1 + 0.004 * (100 - np.nan_to_num(tax)) - 0.03 * age + 0.4 * (industry == 1)
    target = (random.random(rows) < 1 / (1 + np.exp(-margin))).astype(np.int64)
    columns: dict[str, NDArray[Any]] = {"tax": tax, "age": age, "industry": industry}
    return Table(columns=columns, target=target, is_held_out=random.random(rows) < 0.3)


TABLES = [make_table(700, seed) for seed in range(3)]


def train(name: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Train over three parties; return the model document and the sums of the last exchange."""
    recipe = RECIPES[name]
    spec = TrainingSpec(
        recipe=recipe.name, parameters=PARAMETERS[name], target="bad", positive="1", features=FEATURES, min_entities=5
    )
    state, sums = recipe.start(spec), {}
    while state.phase is not Phase.DONE:
        parts = [recipe.contribute(spec, state, table) for table in TABLES]
        sums = {key: np.sum([part[key] for part in parts], axis=0) for key in parts[0]}
        state = recipe.advance(spec, state, sums, len(parts))
    return recipe.model(spec, state), sums


def frame_of(table: Table) -> dict[str, list[Any]]:
    codes = [None if place < 0 else FEATURES[2].codes[place] for place in table.columns["industry"]]
    return {"tax": table.columns["tax"].tolist(), "age": table.columns["age"].tolist(), "industry": codes}


@pytest.mark.parametrize("name", ["logistic_regression", "gradient_boosted_trees", "small_network"])
def test_what_a_partner_scores_is_what_the_nodes_counted(name: str) -> None:
    model, sums = train(name)
    counted = [count_scores(table, log_odds(model, frame_of(table))) for table in TABLES]
    assert np.sum([part[SCORE_COUNTS] for part in counted], axis=0).tolist() == sums[SCORE_COUNTS].tolist()
    margins = log_odds(model, frame_of(TABLES[0]))
    assert score(model, frame_of(TABLES[0])).tolist() == probabilities(margins).tolist()
    evaluation = evaluate_sums(sums)
    assert canonical_bytes(evaluation) == canonical_bytes(evaluate_sums(sums))


def test_metrics_are_those_of_the_pooled_rows() -> None:
    model, sums = train("logistic_regression")
    chances = np.concatenate([score(model, frame_of(table)) for table in TABLES])
    target, held = (np.concatenate([getattr(table, name) for table in TABLES]) for name in ("target", "is_held_out"))
    training, hold_out = read_scores(sums)
    assert training.edges == score_edges()
    for mask, sample in ((~held, training), (held, hold_out)):
        events, others = chances[mask & (target == 1)], chances[mask & (target == 0)]
        assert (sample.bad, sample.good) == (len(events), len(others))
        area = auc(sample)
        assert area is not None
        assert area.value == pytest.approx((events[:, None] > others[None, :]).mean(), abs=5e-3)


def test_weights_of_evidence_agree() -> None:
    model, _ = train("woe_bins")
    for variable in model["variables"]:
        bins = variable["bins"]
        table = woe_table([one["rows"] - one["events"] for one in bins], [one["events"] for one in bins])
        assert [row.woe for row in table.rows] == pytest.approx([float(one["woe"]) for one in bins], abs=1e-12)
        assert table.iv == pytest.approx(float(variable["iv"]), abs=1e-12)
    found = woe_columns(model, frame_of(TABLES[0]))
    assert {len(column) for column in found.values()} == {700}
    assert all(
        set(np.unique(column)) <= {float(one["woe"]) for one in variable["bins"]}
        for column, variable in zip(found.values(), model["variables"], strict=True)
    )


def test_a_trained_regression_has_a_scorecard() -> None:
    model, _ = train("logistic_regression")
    card, rows = scorecard_of(model, places=None), frame_of(TABLES[1])
    for place, margin in enumerate(log_odds(model, rows)[:50]):
        row = {name: column[place] for name, column in rows.items()}
        assert card.score(row) == pytest.approx(card.scaling.score(float(margin)), abs=1e-9)


def test_the_decision_comes_with_its_reasons() -> None:
    losses = np.zeros((2, 100))
    losses[0, 0], losses[1, 99] = 500, 500
    held = check_sums({LOSS_COUNTS: losses})
    assert held.reasons == (MembershipReason.ADVANTAGE,)
    _, sums = train("logistic_regression")
    assert check_sums(sums).is_passed
    assert check_sums(sums, MembershipRule(most_bound=0.001)).reasons == (MembershipReason.BOUND,)


@pytest.mark.parametrize("name", [SCORE_COUNTS, LOSS_COUNTS])
@pytest.mark.parametrize("wrong", [None, np.zeros((2, 3, 100)), np.zeros((3, 2)), np.zeros(4)], ids=repr)
def test_sums_of_another_shape_are_refused(name: str, wrong: NDArray[Any] | None) -> None:
    sums: dict[str, NDArray[Any]] = {SCORE_COUNTS: np.ones((2, 2, 100)), LOSS_COUNTS: np.ones((2, 100))}
    if wrong is None:
        del sums[name]
    else:
        sums[name] = wrong
    with pytest.raises(InvalidRequestError, match=name):
        evaluate_sums(sums)
