from sandbox.operations.measure import MeasureKind
from tests.unit.sandbox.operations.examples import LATE, aggregate, finished, kinds
from yingbi.plan.model import Function


def test_it_publishes_its_measure() -> None:
    assert kinds(aggregate(Function.COUNT, where=LATE)) == [MeasureKind.ROWS]


def test_the_number_is_the_total() -> None:
    assert finished(aggregate(Function.COUNT)) == "4"


def test_a_suppressed_total_gives_no_number() -> None:
    assert finished(aggregate(Function.COUNT), {MeasureKind.ROWS: None}) is None
