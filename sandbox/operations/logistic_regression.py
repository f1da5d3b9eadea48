"""`model.logistic_regression`: a logistic regression with an intercept (docs/operations/logistic_regression.md)."""

from dataclasses import dataclass
from typing import Final

from policies.request import Use
from sandbox.operations.measure import Measure, MeasureKind
from sandbox.operations.operation import Operation
from yingbi.events.outputs import Risk
from yingbi.plan.model import Column, Condition, Family, RegressionQuestion

__all__ = ["OPERATION", "LogisticRegressionParameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticRegressionParameters:
    """What is explained by what, in which rows."""

    target: Column
    features: tuple[Column, ...]
    where: tuple[Condition, ...]


def _measures(question: RegressionQuestion) -> tuple[Measure, ...]:
    return (Measure(kind=MeasureKind.MODEL, columns=(question.target, *question.features)),)


OPERATION: Final = Operation(
    name="model.logistic_regression",
    summary="logistic regression with an intercept",
    family=Family.LOGISTIC,
    parameters=LogisticRegressionParameters,
    right=Use.TRAIN,
    risks=frozenset({Risk.THRESHOLD, Risk.SATURATED_MODEL, Risk.MODEL_MEMORY, Risk.DIFFERENCING}),
    docs="docs/operations/logistic_regression.md",
    passes=25,
    measures=_measures,
)
