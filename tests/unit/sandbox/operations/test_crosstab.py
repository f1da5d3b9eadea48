from dataclasses import replace

from sandbox.operations.registry import measures_of, operations_of
from tests.unit.sandbox.operations.examples import TAX, aggregate, question
from yingbi.plan.model import Dimension, Function

PLAIN = replace(question(aggregate(Function.COUNT)), group_by=(Dimension(column=TAX),))


def test_margins_are_the_operation() -> None:
    assert operations_of(PLAIN) == ("aggregate.count",)
    assert operations_of(replace(PLAIN, margins=True)) == ("aggregate.count", "aggregate.crosstab")


def test_margins_publish_what_the_aggregates_do() -> None:
    assert measures_of(replace(PLAIN, margins=True)) == measures_of(PLAIN)
