import statistics
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.operations.measure import MeasureKind
from tests.unit.sandbox.operations.examples import LATE, TOTALS, aggregate, finished, kinds
from yingbi.plan.model import Function

BOTH = [Function.VARIANCE, Function.STDDEV]


def totals(values: list[int]) -> dict[MeasureKind, int | None]:
    return {
        MeasureKind.SUM: sum(values),
        MeasureKind.SQUARES: sum(value * value for value in values),
        MeasureKind.VALUES: len(values),
    }


@pytest.mark.parametrize("function", BOTH)
def test_it_publishes_squares_sum_and_number(function: Function) -> None:
    assert kinds(aggregate(function, where=LATE)) == [MeasureKind.SQUARES, MeasureKind.SUM, MeasureKind.VALUES]


def test_it_is_the_sample_variance() -> None:
    assert finished(aggregate(Function.VARIANCE)) == "2.2500000000"
    assert finished(aggregate(Function.STDDEV)) == "1.50000000"


@given(st.lists(st.integers(-(10**15), 10**15), min_size=2, max_size=20))
def test_it_equals_the_variance_of_the_values(values: list[int]) -> None:
    exact = statistics.variance([Decimal(value).scaleb(-2) for value in values])
    found = finished(aggregate(Function.VARIANCE), totals(values))
    assert found is not None
    assert Decimal(found) == pytest.approx(exact, rel=Decimal("1e-15"), abs=Decimal("1e-9"))
    root = finished(aggregate(Function.STDDEV), totals(values))
    assert root is not None
    assert Decimal(root) == pytest.approx(exact.sqrt(), rel=Decimal("1e-15"), abs=Decimal("1e-7"))


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize("kind", [MeasureKind.SUM, MeasureKind.VALUES, MeasureKind.SQUARES])
def test_a_suppressed_part_gives_no_number(function: Function, kind: MeasureKind) -> None:
    assert finished(aggregate(function), TOTALS | {kind: None}) is None


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize("values", [[], [5]])
def test_there_is_no_variance_of_less_than_two(function: Function, values: list[int]) -> None:
    assert finished(aggregate(function), totals(values)) is None


def test_rounded_totals_that_contradict_each_other_have_no_root() -> None:
    contradiction = {MeasureKind.SUM: 100, MeasureKind.SQUARES: 10, MeasureKind.VALUES: 2}
    assert finished(aggregate(Function.STDDEV), contradiction) is None
