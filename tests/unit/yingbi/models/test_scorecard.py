"""Scaling, points, reasons, against optbinning and by hand."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.yingbi.models.samples import BINS, LOGISTIC, TREES, frame
from tests.unit.yingbi.models.test_woe import X1, X2
from yingbi.canonical import canonical_bytes
from yingbi.errors import InvalidRequestError
from yingbi.models.document import woe_attributes
from yingbi.models.scaling import USUAL_SCALING, Scaling
from yingbi.models.scorecard import (
    Attribute,
    Characteristic,
    Where,
    make_scorecard,
    reason_codes,
    scorecard_json,
    woe_characteristic,
)
from yingbi.models.scoring import log_odds, scorecard_of
from yingbi.models.woe import woe_table

# optbinning 1.0.0, Scorecard(scaling_method="pdo_odds", pdo 20, odds 50, scorecard_points 600) on the rows of test_woe:
# coefficients and intercept of its scikit-learn 1.9.1 regression, and points of bins, special and missing ones last.
COEFFICIENTS = (-1.051778536450011, -1.0456349171115777)
INTERCEPT = -1.0293867215171395
POINTS = (
    [235.26979722064732, 250.7719705702363, 259.8129240070911, 280.1359143186655, 258.41234928515, 258.41234928515],
    [277.745997410826, 269.63903173663687, 252.28619036785898, 239.97456405434716, 258.41234928515, 255.44597408832],
)


def test_the_usual_scaling() -> None:
    assert USUAL_SCALING.score(-math.log(50)) == pytest.approx(600)
    assert USUAL_SCALING.score(-math.log(100)) == pytest.approx(620)
    assert USUAL_SCALING.factor == pytest.approx(28.85390081777927)
    assert USUAL_SCALING.offset == pytest.approx(487.1228762045055)
    assert Scaling.from_json(USUAL_SCALING.to_json()) == USUAL_SCALING


@given(st.floats(-30, 30), st.floats(1, 100), st.floats(0.01, 1000))
def test_scaling_turns_back(value: float, pdo: float, odds: float) -> None:
    scaling = Scaling(points=600, odds=odds, pdo=pdo)
    assert scaling.log_odds(scaling.score(value)) == pytest.approx(value, abs=1e-8)


@pytest.mark.parametrize(("odds", "pdo"), [(0, 20), (-1, 20), (50, 0), (50, -20), (math.nan, 20), (50, math.inf)])
def test_scalings_that_are_none(odds: float, pdo: float) -> None:
    with pytest.raises(InvalidRequestError):
        Scaling(points=600, odds=odds, pdo=pdo)


@pytest.mark.parametrize(
    "value", [None, {}, {"points": "600", "odds": "50", "pdo": 20}, {"points": "600", "odds": "50"}]
)
def test_scalings_that_are_not_read(value: object) -> None:
    with pytest.raises(InvalidRequestError):
        Scaling.from_json(value)


def test_points_are_optbinnings() -> None:
    characteristics = []
    for place, counts in enumerate((X1, X2)):
        attributes = [Attribute(log_odds=0, special=(n,), woe=row.woe) for n, row in enumerate(woe_table(*counts).rows)]
        characteristics.append(woe_characteristic(f"x{place + 1}", COEFFICIENTS[place], attributes))
    card = make_scorecard(INTERCEPT, characteristics, base=Where.SPREAD)
    found = [[card.points(one.log_odds) for one in item.attributes] for item in card.characteristics]
    for points, wanted in zip(found, POINTS, strict=True):
        assert points == pytest.approx(wanted, abs=1e-9)
    assert card.base == 0


def test_points_that_are_counted_by_hand() -> None:
    # Doubling the odds of an event costs 20 points.
    attributes = (Attribute(log_odds=0, codes=("A",)), Attribute(log_odds=math.log(2), codes=("B",)))
    card = make_scorecard(-math.log(50), [Characteristic(feature="x", attributes=attributes)], places=0)
    assert (card.base, card.score({"x": "A"}), card.score({"x": "B"})) == (600, 600, 580)


@pytest.mark.parametrize("base", Where)
def test_points_sum_to_the_score_of_the_model(base: Where) -> None:
    rows = frame(200)
    card = scorecard_of(LOGISTIC, places=None, base=base)
    for place, value in enumerate(log_odds(LOGISTIC, rows)):
        row = {name: column[place] for name, column in rows.items()}
        assert card.score(row) == pytest.approx(USUAL_SCALING.score(float(value)), abs=1e-9)
        assert card.score(row) == card.base + sum(card.row_points(row).values())


def test_rounded_points_are_whole_and_their_sum_is_the_score() -> None:
    card = scorecard_of(LOGISTIC)
    row = {"tax": 123.4, "age": None, "industry": "B"}
    assert all(points == int(points) for points in card.row_points(row).values())
    assert card.score(row) == card.base + sum(card.row_points(row).values())
    exact = scorecard_of(LOGISTIC, places=None)
    assert abs(card.score(row) - exact.score(row)) <= 2, "half a point for each of four terms"


def test_reasons_are_what_was_lost_the_costliest_first() -> None:
    card = scorecard_of(LOGISTIC, places=None)
    factor = USUAL_SCALING.factor
    # Best: tax at its upper bound (-1.5), age at its lower one (-0.5), industry 餐饮 (-0.125).
    reasons = reason_codes(card, {"tax": 0.0, "age": None, "industry": "A"})
    assert [reason.feature for reason in reasons] == ["tax", "age", "industry"]
    assert [reason.lost / factor for reason in reasons] == pytest.approx([3.0, 0.5, 0.125])
    assert reasons[1].attribute.is_missing
    assert reason_codes(card, {"tax": 1000.0, "age": 0.0, "industry": "餐饮"}) == ()
    assert len(reason_codes(card, {"tax": 0.0, "age": None, "industry": "A"}, most=1)) == 1


def test_a_special_value_is_no_quantity() -> None:
    card = scorecard_of(LOGISTIC, places=None)
    missing, special, least = (
        card.row_points({"tax": value, "age": 1, "industry": "A"})["tax"] for value in (None, -1, -2)
    )
    assert special == missing
    assert least == pytest.approx(-1.5 * USUAL_SCALING.factor), "beyond its bounds, a number is at them"


def test_edges_belong_to_the_upper_bin() -> None:
    bins = woe_attributes(BINS)
    tax = woe_characteristic("tax", -1.0, bins["tax"])
    found = [tax.find(value).woe for value in (9.99, 10.0, -1.0, None, math.nan)]
    assert found == [-0.7, 0.4, 0.2, 0.4, 0.4]
    industry = woe_characteristic("industry", -1.0, bins["industry"])
    assert [industry.find(value).woe for value in ("A", "B", "餐饮", None)] == [0.3, -0.3, -0.3, 0.3]
    with pytest.raises(InvalidRequestError, match="`industry` has a bin for"):
        industry.find("Z")


def test_what_is_missing_from_a_row_is_no_missing_value() -> None:
    with pytest.raises(InvalidRequestError, match="feature `industry`"):
        scorecard_of(LOGISTIC).score({"tax": 1.0, "age": 1.0})


def test_scorecards_that_are_none() -> None:
    one = Characteristic(feature="x", attributes=(Attribute(log_odds=0, is_missing=True),))
    for wrong in ([], [one, one], [Characteristic(feature="x", attributes=())]):
        with pytest.raises(InvalidRequestError, match="different characteristics"):
            make_scorecard(0, wrong)
    with pytest.raises(InvalidRequestError, match="weights of evidence"):
        woe_characteristic("x", 1, one.attributes)
    with pytest.raises(InvalidRequestError, match="adds up"):
        scorecard_of(TREES)


def test_its_json_is_canonical_and_says_everything() -> None:
    form: Any = scorecard_json(scorecard_of(LOGISTIC))
    assert canonical_bytes(form) == canonical_bytes(scorecard_json(scorecard_of(LOGISTIC)))
    assert form["scaling"] == {"points": "600.0", "odds": "50.0", "pdo": "20.0"}
    assert form["base"] == "523"
    tax, age, industry = form["characteristics"]
    assert [item["points"] for item in tax["attributes"]] == ["-43", "-7", "-7"]
    assert tax["attributes"][0]["points_at_upper"] == "43"
    assert age["most"] == "14"
    assert [item["codes"] for item in industry["attributes"]] == [["A"], ["B"], ["餐饮"], []]
