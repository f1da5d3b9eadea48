"""`model.linear_regression`: a linear regression with an intercept (docs/operations/linear_regression.md)."""

from dataclasses import dataclass
from typing import Final

from policies.request import Use
from sandbox.operations.measure import Measure, MeasureKind
from sandbox.operations.operation import Operation
from yingbi.events.outputs import Risk
from yingbi.plan.model import Column, Condition, Family, RegressionQuestion

__all__ = ["OPERATION", "LinearRegressionParameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearRegressionParameters:
    """What is explained by what, in which rows."""

    target: Column
    features: tuple[Column, ...]
    where: tuple[Condition, ...]


def _measures(question: RegressionQuestion) -> tuple[Measure, ...]:
    return (Measure(kind=MeasureKind.MODEL, columns=(question.target, *question.features)),)


OPERATION: Final = Operation(
    name="model.linear_regression",
    summary="linear regression with an intercept",
    family=Family.LINEAR,
    parameters=LinearRegressionParameters,
    right=Use.TRAIN,
    risks=frozenset({Risk.THRESHOLD, Risk.SATURATED_MODEL, Risk.MODEL_MEMORY, Risk.DIFFERENCING}),
    docs="docs/operations/linear_regression.md",
    passes=2,
    measures=_measures,
)
