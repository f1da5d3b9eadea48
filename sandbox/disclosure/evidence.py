"""What a reviewer at the node needs to see of a candidate, as JSON without floats. It never leaves the node."""

from sandbox.candidate import Candidate, MeasureValues, Population, RegressionCandidate
from sandbox.disclosure.verdict import CellState, Finding, Judgement
from sandbox.operations.measure import Measure
from sandbox.operations.registry import estimate_text
from yingbi.canonical import JsonValue, digest_json
from yingbi.plan.codec import question_to_json

__all__ = ["describe_measure", "finding_json", "model_evidence", "table_evidence"]


def table_evidence(candidate: Candidate, judgement: Judgement) -> dict[str, JsonValue]:
    """Return every cell with its counts, totals, largest units and state; a digest of it names the candidate."""
    return {
        "kind": "table",
        "question": _question(candidate),
        "selected": _population(candidate.selected),
        "outside": _population(candidate.outside),
        "cells": [
            {"key": list(key), "totals": totals, "rows": rows, "units": units}
            for key, totals, rows, units in zip(
                candidate.keys,
                candidate.is_total.tolist(),
                candidate.rows.tolist(),
                candidate.units.tolist(),
                strict=True,
            )
        ],
        "measures": [
            {"measure": describe_measure(measure), "values": _values(values, judgement, measure)}
            for measure, values in candidate.measures.items()
        ],
    }


def model_evidence(candidate: RegressionCandidate) -> dict[str, JsonValue]:
    """Return the sizes and the fit of a model, in released digits, so that its digest survives a new run."""
    return {
        "kind": "model",
        "question": _question(candidate),
        "selected": _population(candidate.selected),
        "outside": _population(candidate.outside),
        "rows": candidate.rows,
        "units": candidate.units,
        "terms": [
            {
                "name": name,
                "coefficient": estimate_text(float(coefficient)),
                "standard_error": estimate_text(float(error)),
            }
            for name, coefficient, error in zip(
                candidate.terms, candidate.coefficients, candidate.standard_errors, strict=True
            )
        ],
        "levels": [
            {"feature": feature, "level": level, "units": units}
            for (feature, level), units in sorted(candidate.level_units.items())
        ],
        "classes": [{"class": name, "units": units} for name, units in sorted(candidate.target_units.items())],
        "events": candidate.events,
        "leverage": estimate_text(float(candidate.leverage)),
        "r_squared": None if candidate.r_squared is None else estimate_text(float(candidate.r_squared)),
        "converged": candidate.converged,
    }


def _terms(candidate: RegressionCandidate) -> list[JsonValue]:
    rows = zip(candidate.terms, candidate.coefficients.tolist(), candidate.standard_errors.tolist(), strict=True)
    return [
        {"name": name, "coefficient": estimate_text(coefficient), "standard_error": estimate_text(error)}
        for name, coefficient, error in rows
    ]


def describe_measure(measure: Measure) -> str:
    """Return `kind(column, …)`, and the digest of its condition where it has one."""
    columns = ", ".join(f"{column.dataset}.{column.name}" for column in measure.columns)
    fraction = "" if measure.fraction is None else f" at {measure.fraction}"
    where = "" if not measure.where else f" where {digest_json([_condition(c) for c in measure.where])[:19]}"
    return f"{measure.kind}({columns}){fraction}{where}"


def finding_json(finding: Finding) -> dict[str, JsonValue]:
    """Return a finding for the node: with the number of cells."""
    return {
        "risk": finding.risk.value,
        "rule": finding.rule,
        "verdict": finding.verdict.value,
        "dimension": finding.dimension,
        "cells": finding.cells,
    }


def _question(candidate: Candidate | RegressionCandidate) -> JsonValue:
    return question_to_json(candidate.question)


def _condition(condition: object) -> str:
    return repr(condition)


def _population(population: Population) -> dict[str, JsonValue]:
    return {"rows": population.rows, "units": population.units, "units_exact": population.units_exact}


def _values(values: MeasureValues, judgement: Judgement, measure: Measure) -> list[JsonValue]:
    states = _states(judgement, measure, len(values.rows))
    return [
        {
            "total": None if total is None else str(total),
            "rows": rows,
            "units": units,
            "largest": str(first),
            "second": str(second),
            "absolute": str(absolute),
            "state": state,
        }
        for total, rows, units, first, second, absolute, state in zip(
            values.totals,
            values.rows.tolist(),
            values.units.tolist(),
            values.largest,
            values.second,
            values.absolute,
            states,
            strict=True,
        )
    ]


def _states(judgement: Judgement, measure: Measure, cells: int) -> list[str]:
    failed = judgement.suppress.get(measure)
    reviewed = judgement.review.get(measure)
    names = [CellState.RELEASED.value] * cells
    for cell in range(cells):
        if failed is not None and failed[cell]:
            names[cell] = CellState.PRIMARY.value
        elif reviewed is not None and reviewed[cell]:
            names[cell] = "review"
    return names
