import dataclasses
import importlib
import pkgutil
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sandbox.operations
from policies.request import Use
from sandbox.operations.measure import MeasureKind
from sandbox.operations.operation import Operation, fraction_text
from sandbox.operations.registry import OPERATIONS, cost_of, estimate_text, finish, measures_of, operation_for
from tests.lib.product_code import ROOT
from tests.unit.sandbox.operations.examples import LATE, SCALES, TAX, aggregate, question
from yingbi.errors import InvalidRequestError
from yingbi.events.outputs import Risk
from yingbi.plan.model import Aggregate, Family, Function, Recipe, RegressionQuestion, Source

SHARED = {"measure", "operation", "registry"}
MODULES = {item.name for item in pkgutil.iter_modules(sandbox.operations.__path__)} - SHARED
EACH = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


def module_name(operation: Operation) -> str:
    # All recipes of federations share a module, a page and a test.
    return operation.name.split(".")[1]


# --- completeness -----------------------------------------------------------------------------------------------------


def test_every_module_is_an_operation_and_every_operation_a_module() -> None:
    assert {module_name(operation) for operation in OPERATIONS.values()} == MODULES
    for name in MODULES:
        module = importlib.import_module(f"sandbox.operations.{name}")
        for found in getattr(module, "OPERATIONS", None) or (module.OPERATION,):
            assert OPERATIONS[found.name] is found


def test_every_function_family_and_recipe_of_a_plan_has_one_operation() -> None:
    functions = [function for operation in OPERATIONS.values() for function in operation.functions]
    families = [operation.family for operation in OPERATIONS.values() if operation.family is not None]
    recipes = [operation.recipe for operation in OPERATIONS.values() if operation.recipe is not None]
    assert sorted(functions) == sorted(Function)
    assert sorted(families) == sorted(Family)
    assert sorted(recipes) == sorted(Recipe)


@EACH
def test_every_operation_has_parameters_with_types(operation: Operation) -> None:
    assert dataclasses.is_dataclass(operation.parameters)
    assert operation.parameters.__module__ == f"sandbox.operations.{module_name(operation)}"
    fields = {field.name for field in dataclasses.fields(operation.parameters)}
    assert operation.parameters.__dataclass_params__.frozen  # type: ignore[attr-defined]
    # A column among the parameters needs a right; without one there is nothing to have a right to.
    assert bool(fields & {"column", "target", "dimensions"}) is (operation.right is not None)


@EACH
def test_every_operation_says_what_it_is_judged_for(operation: Operation) -> None:
    assert {Risk.THRESHOLD, Risk.DIFFERENCING} <= operation.risks
    if operation.family is not None:
        assert {Risk.SATURATED_MODEL, Risk.MODEL_MEMORY} <= operation.risks
    kinds = {measure.kind for measure in measures(operation)}
    assert (MeasureKind.SUM in kinds) <= (Risk.DOMINANCE in operation.risks)
    assert (MeasureKind.QUANTILE in kinds) is (Risk.QUANTILE in operation.risks)


def measures(operation: Operation) -> tuple[sandbox.operations.measure.Measure, ...]:
    fraction = {Function.QUANTILE: "0.5"}
    asked = [aggregate(function, fraction=fraction.get(function)) for function in operation.functions]
    return tuple(measure for item in asked for measure in measures_of(question(item)))


@EACH
def test_every_operation_has_a_right_a_cost_a_page_and_a_test(operation: Operation) -> None:
    assert operation.right in {None, Use.AGGREGATE, Use.GROUP, Use.TRAIN}
    assert operation.passes >= 0
    assert operation.summary == operation.summary.strip()
    page = ROOT / operation.docs
    assert page.name == f"{module_name(operation)}.md"
    text = page.read_text("utf-8")
    assert f"`{operation.name}`" in text
    for heading in ("## Rights", "## What it publishes", "## Rules", "## Cost", "## Limits"):
        assert heading in text, heading
    assert all(f"`{risk}`" in text for risk in operation.risks)
    assert (Path(__file__).parent / f"test_{module_name(operation)}.py").exists()


def test_every_page_belongs_to_an_operation() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "operations").glob("*.md")} - {"README"}
    assert pages == MODULES


@EACH
def test_an_operation_with_measures_finishes_them(operation: Operation) -> None:
    assert (operation.measures is not None) is bool(operation.functions or operation.family)
    assert (operation.finish is not None) is bool(operation.functions)


# --- what follows for a question --------------------------------------------------------------------------------------


def test_measures_are_published_once() -> None:
    asked = question(aggregate(Function.MEAN), aggregate(Function.SUM), aggregate(Function.VARIANCE))
    assert [measure.kind for measure in measures_of(asked)] == ["sum", "values", "squares"]
    apart = question(aggregate(Function.SUM), aggregate(Function.SUM, where=LATE))
    assert len(measures_of(apart)) == 2


def test_a_table_is_finished_cell_by_cell() -> None:
    asked = question(aggregate(Function.COUNT), aggregate(Function.MEAN))
    rows, total, values = measures_of(asked)
    totals = {rows: (3, None, 0), total: (100, 5, 0), values: (2, 2, 0)}
    assert finish(asked, totals, SCALES) == (("3", None, "0"), ("0.50000000", "0.02500000", None))


def test_a_table_whose_measures_differ_in_length_is_not_finished() -> None:
    asked = question(aggregate(Function.MEAN))
    total, values = measures_of(asked)
    with pytest.raises(ValueError, match="shorter"):
        finish(asked, {total: (1, 2), values: (1,)}, SCALES)
    with pytest.raises(KeyError):
        finish(asked, {total: (1, 2)}, SCALES)


def test_an_aggregate_without_its_column_has_no_measures() -> None:
    with pytest.raises(InvalidRequestError, match="expected a column for `sum`"):
        measures_of(question(Aggregate(function=Function.SUM)))


def test_the_cost_is_rows_times_readings() -> None:
    assert cost_of(question(aggregate(Function.COUNT)), 100).rows_scanned == 100
    assert cost_of(question(aggregate(Function.SUM), aggregate(Function.QUANTILE, fraction="0.5")), 100).passes == 3
    fit = RegressionQuestion(source=Source(dataset="a/b"), family=Family.LOGISTIC, target=TAX, features=())
    assert cost_of(fit, 10).passes == 1 + operation_for(fit).passes


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-1234567.0, "-1234570"),
        (0.000123456789, "0.000123457"),
        (1e20, "100000000000000000000"),
        (0.1 + 0.2, "0.3"),
        (float("nan"), None),
        (float("inf"), None),
    ],
)
def test_an_estimate_has_six_significant_digits(value: float, text: str | None) -> None:
    assert estimate_text(value) == text


@given(st.fractions(), st.integers(0, 12))
def test_a_fraction_is_rounded_to_the_nearest(value: Fraction, digits: int) -> None:
    text = fraction_text(value, digits)
    assert abs(Fraction(Decimal(text)) - value) <= Fraction(1, 2 * 10**digits)
    assert len(text.partition(".")[2]) == digits
    assert text.strip("-0.") or not text.startswith("-")
