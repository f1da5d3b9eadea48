from tests.unit.yingbi.plan.examples import QUESTION, column
from yingbi.plan.model import Aggregate, Function
from yingbi.plan.names import default_name, default_names, distinct_names


def test_outputs_are_named_after_what_they_are() -> None:
    assert default_names(QUESTION) == ("tax_bin", "size", "count", "quantile_50_tax")
    assert default_name(Aggregate(function=Function.COUNT_UNITS, column=column("uscc"))) == "count_units"


def test_names_differ() -> None:
    assert distinct_names(["a", "b", "a", "a", "a_2"]) == ("a", "b", "a_2", "a_3", "a_2_2")
