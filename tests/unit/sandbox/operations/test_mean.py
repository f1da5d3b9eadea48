import pytest

from sandbox.operations.measure import MeasureKind
from tests.unit.sandbox.operations.examples import LATE, TOTALS, aggregate, finished, kinds
from yingbi.plan.model import Function

MEAN = aggregate(Function.MEAN)


def test_it_publishes_the_sum_and_the_number_of_values() -> None:
    assert kinds(aggregate(Function.MEAN, where=LATE)) == [MeasureKind.SUM, MeasureKind.VALUES]


def test_nulls_do_not_count() -> None:
    assert finished(MEAN) == "2.50000000"


@pytest.mark.parametrize(
    ("total", "number", "expected"),
    [
        (100, 3, "0.33333333"),
        (-200, 3, "-0.66666667"),
        (1, 2_000_000, "0.00000000"),  # 0.5 of the last digit: to even
        (3, 2_000_000, "0.00000002"),  # 1.5 of the last digit: to even
        (10**30, 1, "1" + "0" * 28 + ".00000000"),
    ],
)
def test_it_is_exact_to_six_digits_beyond_the_column(total: int, number: int, expected: str) -> None:
    assert finished(MEAN, {MeasureKind.SUM: total, MeasureKind.VALUES: number}) == expected


@pytest.mark.parametrize("kind", [MeasureKind.SUM, MeasureKind.VALUES])
def test_a_suppressed_part_gives_no_number(kind: MeasureKind) -> None:
    assert finished(MEAN, TOTALS | {kind: None}) is None


def test_there_is_no_mean_of_nothing() -> None:
    assert finished(MEAN, {MeasureKind.SUM: 0, MeasureKind.VALUES: 0}) is None
