from sandbox.operations.measure import MeasureKind
from sandbox.operations.registry import measures_of
from tests.unit.sandbox.operations.examples import LATE, aggregate, finished, kinds, question
from yingbi.plan.model import Function

MEDIAN = aggregate(Function.QUANTILE, fraction="0.5")


def test_it_publishes_its_value() -> None:
    assert kinds(aggregate(Function.QUANTILE, fraction="0.5", where=LATE)) == [MeasureKind.QUANTILE]


def test_every_fraction_is_a_measure_of_its_own() -> None:
    other = aggregate(Function.QUANTILE, fraction="0.25")
    assert [measure.fraction for measure in measures_of(question(MEDIAN, other))] == ["0.5", "0.25"]


def test_the_number_is_the_value() -> None:
    assert finished(MEDIAN) == "2.50"


def test_a_suppressed_value_gives_no_number() -> None:
    assert finished(MEDIAN, {MeasureKind.QUANTILE: None}) is None
