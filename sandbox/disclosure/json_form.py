"""Released tables, models and notices of what is held, in canonical JSON: decimals as texts, no floats."""

from sandbox.disclosure.released import Held, ReleasedModel, ReleasedRow, ReleasedTable, ReleasedTraining
from sandbox.disclosure.verdict import RISKS_OF_VALUES, Finding, RuleId
from yingbi.canonical import JsonValue
from yingbi.events.outputs import CheckVerdict, Risk

__all__ = ["held_json", "model_json", "table_json", "training_json"]


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


def training_json(training: ReleasedTraining) -> dict[str, JsonValue]:
    """Return what was trained without its digest."""
    return {
        "v": 1,
        "kind": "training",
        "question": training.question,
        "rules": training.rules,
        "document": dict(training.document),
    }


def held_json(held: Held) -> dict[str, JsonValue]:
    """Return the notice for the partner: risks, rules, dimensions and remedies; no evidence, no number of cells.

    SECURITY: rules that look at confidential values are told as one, `values`. To a question of one cell, `zeros` would
    answer that nobody paid, and `dominance` that one firm paid nearly all.
    """
    unique = dict.fromkeys(_told(one) for one in held.findings)
    findings: list[JsonValue] = [
        {"risk": risk, "rule": rule, "dimension": dimension, "verdict": verdict}
        for risk, rule, dimension, verdict in unique
    ]
    return {
        "v": 1,
        "kind": "held",
        "question": held.question,
        "rules": held.rules,
        "final": held.is_final,
        "findings": findings,
        "remedies": [remedy.value for remedy in held.remedies],
    }


def _told(finding: Finding) -> tuple[str, str, str | None, str]:
    if finding.risk in RISKS_OF_VALUES and finding.rule != RuleId.TABLE_EMPTY.value:
        return Risk.THRESHOLD.value, "values", None, CheckVerdict.FAIL.value
    return finding.risk.value, finding.rule, finding.dimension, finding.verdict.value


def _row_json(row: ReleasedRow) -> JsonValue:
    keys: list[JsonValue] = [
        {"total": True} if is_total else key for key, is_total in zip(row.keys, row.totals, strict=True)
    ]
    values: list[JsonValue] = [
        {"suppressed": True} if gone else value for value, gone in zip(row.values, row.suppressed, strict=True)
    ]
    return [*keys, *values]
