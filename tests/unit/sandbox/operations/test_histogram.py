from dataclasses import replace

from sandbox.operations.registry import measures_of, operations_of
from tests.unit.sandbox.operations.examples import TAX, aggregate, question
from yingbi.plan.model import Dimension, Function

PLAIN = question(aggregate(Function.COUNT))


def test_bins_are_the_operation() -> None:
    assert operations_of(replace(PLAIN, group_by=(Dimension(column=TAX),))) == ("aggregate.count",)
    binned = replace(PLAIN, group_by=(Dimension(column=TAX, edges=("0",)),))
    assert operations_of(binned) == ("aggregate.count", "aggregate.histogram")


def test_bins_publish_what_the_aggregates_do() -> None:
    assert measures_of(replace(PLAIN, group_by=(Dimension(column=TAX, edges=("0",)),))) == measures_of(PLAIN)
