"""Released tables, models and notices of what is held, in canonical JSON: decimals as texts, no floats."""

from sandbox.disclosure.released import Held, ReleasedModel, ReleasedRow, ReleasedTable
from yingbi.canonical import JsonValue

__all__ = ["held_json", "model_json", "table_json"]


def table_json(table: ReleasedTable) -> dict[str, JsonValue]:
    """Return the released table without its digest (which is of this).

    A category is a text, null, or `{"total": true}`; a value is a text, null, or `{"suppressed": true}`.
    """
    return {
        "v": 1,
        "kind": "table",
        "question": table.question,
        "rules": table.rules,
        "columns": [{"name": column.name, "kind": column.kind.value} for column in table.columns],
        "order": list(table.order),
        "rows": [_row_json(row) for row in table.rows],
        "suppressed_for": [risk.value for risk in table.risks],
        "rounding": table.rounding,
    }


def model_json(model: ReleasedModel) -> dict[str, JsonValue]:
    """Return the released model without its digest."""
    return {
        "v": 1,
        "kind": "model",
        "question": model.question,
        "rules": model.rules,
        "family": model.family,
        "terms": [
            {"name": term.name, "coefficient": term.coefficient, "standard_error": term.standard_error}
            for term in model.terms
        ],
        "observations": model.observations,
        "r_squared": model.r_squared,
    }


def held_json(held: Held) -> dict[str, JsonValue]:
    """Return the notice for the partner: risks, rules, dimensions and remedies; no evidence, no number of cells."""
    unique = dict.fromkeys((one.risk.value, one.rule, one.dimension, one.verdict.value) for one in held.findings)
    findings: list[JsonValue] = [
        {"risk": risk, "rule": rule, "dimension": dimension, "verdict": verdict}
        for risk, rule, dimension, verdict in unique
    ]
    return {
        "v": 1,
        "kind": "held",
        "question": held.question,
        "rules": held.rules,
        "findings": findings,
        "remedies": [remedy.value for remedy in held.remedies],
    }


def _row_json(row: ReleasedRow) -> JsonValue:
    keys: list[JsonValue] = [
        {"total": True} if is_total else key for key, is_total in zip(row.keys, row.totals, strict=True)
    ]
    values: list[JsonValue] = [
        {"suppressed": True} if gone else value for value, gone in zip(row.values, row.suppressed, strict=True)
    ]
    return [*keys, *values]
