"""The model document of a logistic regression (docs/spec/recipes.md, "logistic_regression").

INVARIANT: the same bits on every machine: + - * / and the square root only, in a fixed order.
"""

from dataclasses import dataclass
from math import sqrt

from federated.horizontal.documents import model_head
from federated.horizontal.encoding import Role, Term, scale_of
from federated.horizontal.exact import add_up, ln, two_sided_p
from federated.horizontal.logistic_rounds import Outcome, Use, parameters_of, penalised, terms
from federated.horizontal.reading import number_text
from federated.horizontal.solve import factor, unpack
from federated.horizontal.spec import TrainingSpec
from federated.horizontal.state import State
from yingbi.canonical import JsonValue

__all__ = ["model"]

Matrix = list[list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Estimate:
    """A coefficient with what is known of its error (nothing in private mode)."""

    value: float
    variance: float | None

    def to_json(self) -> dict[str, JsonValue]:
        if self.variance is None or self.variance <= 0.0:
            return {"value": number_text(self.value), "standard_error": None, "z": None, "p_value": None}
        error = sqrt(self.variance)
        z = self.value / error
        return {
            "value": number_text(self.value),
            "standard_error": number_text(error),
            "z": number_text(z),
            "p_value": number_text(two_sided_p(z)),
        }


def model(spec: TrainingSpec, state: State) -> dict[str, JsonValue]:
    """Return the model document."""
    coefficients: list[float] = state.arrays["coefficients"].tolist()
    uses: list[int] = state.arrays["uses"].tolist()
    covariance = None if spec.privacy is not None else _covariance(spec, state, uses)
    columns = [
        _column(spec, term, _scaled(coefficients, covariance, n), Use(uses[n]))
        for n, term in enumerate(terms(spec))
        if term.role is not Role.INTERCEPT
    ]
    return {
        **model_head(spec),
        "missing": str(parameters_of(spec).missing),
        "intercept": {
            "scaled": _scaled(coefficients, covariance, 0).to_json(),
            "original": _intercept(spec, coefficients, covariance).to_json(),
        },
        "columns": list(columns),
        "fit": _fit(spec, state, uses),
    }


def _column(spec: TrainingSpec, term: Term, scaled: _Estimate, use: Use) -> dict[str, JsonValue]:
    feature = spec.features[term.feature]
    half = scale_of(feature)[1] if term.role is Role.VALUE else 1.0
    variance = None if scaled.variance is None else scaled.variance / half / half
    return {
        "feature": feature.name,
        "role": str(term.role),
        "code": feature.codes[term.code] if term.role is Role.LEVEL else None,
        "use": use.name.lower(),
        "scaled": scaled.to_json(),
        "original": _Estimate(value=scaled.value / half, variance=variance).to_json(),
    }


def _scaled(coefficients: list[float], covariance: Matrix | None, index: int) -> _Estimate:
    return _Estimate(value=coefficients[index], variance=None if covariance is None else covariance[index][index])


def _intercept(spec: TrainingSpec, coefficients: list[float], covariance: Matrix | None) -> _Estimate:
    """Return the intercept in original units: that of the scaled values less what their middles add.

    A missing value counts as the middle of its bounds; original units describe rows without missing values, or with
    the middle put in.
    """
    weights = [1.0]
    for term in terms(spec)[1:]:
        middle, half = scale_of(spec.features[term.feature]) if term.role is Role.VALUE else (0.0, 1.0)
        weights.append(-middle / half)
    value = add_up(w * b for w, b in zip(weights, coefficients, strict=True))
    if covariance is None:
        return _Estimate(value=value, variance=None)
    rows = [add_up(w * v for w, v in zip(weights, row, strict=True)) for row in covariance]
    return _Estimate(value=value, variance=add_up(w * v for w, v in zip(weights, rows, strict=True)))


def _covariance(spec: TrainingSpec, state: State, uses: list[int]) -> Matrix:
    """Return the inverse information; with a penalty, between it the information itself (le Cessie 1992)."""
    hessian = unpack(state.arrays["hessian"].tolist(), len(uses))
    kept = [use == Use.ESTIMATED for use in uses]
    inverse = factor(penalised(spec, hessian), 0.0, kept).inverse()
    if parameters_of(spec).l2 == 0.0:
        return inverse
    return _product(_product(inverse, hessian), inverse)


def _product(left: Matrix, symmetric: Matrix) -> Matrix:
    """Return left times a symmetric matrix."""
    return [[add_up(x * y for x, y in zip(row, column, strict=True)) for column in symmetric] for row in left]


def _fit(spec: TrainingSpec, state: State, uses: list[int]) -> dict[str, JsonValue]:
    outcome = Outcome(int(state.arrays["progress"][0]))
    result: dict[str, JsonValue] = {"outcome": outcome.name.lower(), "l2": number_text(parameters_of(spec).l2)}
    if spec.privacy is not None:
        return result
    others, events = state.arrays["target_counts"].tolist()
    estimated = len([use for use in uses if use == Use.ESTIMATED])
    rows = others + events
    null = events * ln(events / rows) + others * ln(others / rows)
    return {
        **result,
        "rows": int(rows),
        "events": int(events),
        "degrees_of_freedom": int(rows) - estimated,
        "log_likelihood": number_text(-_loss(spec, state)),
        "null_log_likelihood": number_text(null),
    }


def _loss(spec: TrainingSpec, state: State) -> float:
    """Return the loss at the last accepted point; the final step, below the tolerance, changes it by nothing."""
    coefficients: list[float] = state.arrays["coefficients"].tolist()
    penalty = parameters_of(spec).l2 / 2.0 * add_up(value * value for value in coefficients[1:])
    return float(state.arrays["objective"][0]) - penalty
