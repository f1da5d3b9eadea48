from sandbox.operations.measure import MeasureKind
from tests.unit.sandbox.operations.examples import LATE, aggregate, finished, kinds
from yingbi.plan.model import Function


def test_it_publishes_its_measure() -> None:
    assert kinds(aggregate(Function.SUM, where=LATE)) == [MeasureKind.SUM]


def test_the_number_is_the_total() -> None:
    assert finished(aggregate(Function.SUM)) == "7.50"


def test_a_suppressed_total_gives_no_number() -> None:
    assert finished(aggregate(Function.SUM), {MeasureKind.SUM: None}) is None


def test_digits_are_those_of_the_column() -> None:
    assert finished(aggregate(Function.SUM), {MeasureKind.SUM: -5}) == "-0.05"
    assert finished(aggregate(Function.SUM), {MeasureKind.SUM: 0}) == "0.00"
    assert finished(aggregate(Function.SUM), {MeasureKind.SUM: 10**38 + 1}) == "1" + "0" * 36 + ".01"
