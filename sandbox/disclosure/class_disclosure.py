"""Class disclosure: a group about which too much is known, although no single unit was counted.

When all units of a public group, or all but fewer than the threshold, fall in one category of a confidential column,
the table says that category of every one of them. The same holds for a condition inside an aggregate that everybody
or nobody in the cell meets, for a column of two values whose sum counts either, for a sum at a declared bound, and for
a variance of zero.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import numpy as np

from policies.disclosure import DisclosureRules
from sandbox.candidate import Bools, Candidate, Ints, MeasureValues
from sandbox.disclosure.counting import least_units
from sandbox.disclosure.facts import TableFacts
from sandbox.disclosure.threshold import small_cells, small_conditions
from sandbox.disclosure.verdict import Finding, Judgement, RuleId, find, merge_masks
from sandbox.operations.measure import Measure, MeasureKind
from yingbi.events.outputs import Remedy, Risk

__all__ = [
    "check_class_disclosure",
    "constant_values",
    "one_sided_conditions",
    "slice_disclosures",
    "thin_conditions",
    "two_valued_sums",
]

_REMEDIES: Final = (Remedy.FEWER_DIMENSIONS, Remedy.COARSER_LEVEL, Remedy.PRIVATE_MODE)


def check_class_disclosure(candidate: Candidate, rules: DisclosureRules, facts: TableFacts) -> Judgement:
    """Fail every value that tells a confidential category of (nearly) all units of a public group."""
    slices, slice_findings = _check_slices(candidate, rules.min_units, facts)
    masks: dict[RuleId, dict[Measure, Bools]] = {
        RuleId.CLASS_CONDITION: {m: thin_conditions(candidate, m, rules.min_units, facts) for m in candidate.measures},
        RuleId.CLASS_CONSTANT: {m: constant_values(candidate, m, facts) for m in candidate.measures},
        RuleId.CLASS_INDICATOR: {m: two_valued_sums(candidate, m, rules.min_units, facts) for m in candidate.measures},
    }
    findings = slice_findings + tuple(
        finding
        for rule, by_measure in masks.items()
        for measure, mask in by_measure.items()
        for finding in find(Risk.CLASS_DISCLOSURE, rule, [mask], _column_name(measure))
    )
    suppress = merge_masks(dict.fromkeys(candidate.measures, slices), *masks.values())
    return Judgement(suppress=suppress, findings=findings, remedies=_REMEDIES if findings else ())


def slice_disclosures(candidate: Candidate, place: int, rows: Ints, units: Ints, min_units: int, k: int) -> Bools:
    """Return the cells of every slice along dimension `place` in which (nearly) all units have one category.

    A slice fixes every other dimension at a category or a total. `rows`, `units` are per cell, `k` is the most rows a
    unit can have: the other categories together have at least max(their largest, rows / k) units.
    """
    found = np.zeros(candidate.cells, dtype=np.bool_)
    for cells in _slices(candidate, place):
        inside = np.array(cells)
        largest = inside[np.argmax(rows[inside])]
        others = inside[inside != largest]
        other_rows = rows[others].sum()
        other_units = max(int(units[others].max(initial=0)), int(least_units(other_rows, k)))
        if rows[largest] > 0 and other_units < min_units:
            found[inside] = True
    return found


def one_sided_conditions(candidate: Candidate, measure: Measure, facts: TableFacts) -> Bools:
    """Return cells where all rows, or none, meet an aggregate's condition on a confidential column."""
    if not facts.has_confidential(measure.where):
        return np.zeros(candidate.cells, dtype=np.bool_)
    rows = candidate.measures[measure].rows
    found: Bools = (candidate.rows > 0) & ((rows == 0) | (rows == candidate.rows))
    return found


def thin_conditions(candidate: Candidate, measure: Measure, min_units: int, facts: TableFacts) -> Bools:
    """Return cells where an aggregate's condition on a confidential column is met by all, none, few, or all but few.

    The threshold fails few and all but few too. Here they are found once more, so that a partner is told one thing of
    all four: which of them it is would be a fact about everybody in the cell.
    """
    if not facts.has_confidential(measure.where):
        return np.zeros(candidate.cells, dtype=np.bool_)
    few = small_cells(candidate.measures[measure], min_units)
    rest = small_conditions(candidate, measure, min_units, facts)
    found: Bools = one_sided_conditions(candidate, measure, facts) | few | rest
    return found


def two_valued_sums(candidate: Candidate, measure: Measure, min_units: int, facts: TableFacts) -> Bools:
    """Return cells where the sum of a column of two values counts fewer than `min_units` units with either value.

    A mean of an indicator is a count of ones and, with the number of values, a count of zeros: both are guarded as
    cells. `n` rows with a value belong to at least n / K units.
    """
    bounds = _two_values(measure, facts)
    if bounds is None:
        return np.zeros(candidate.cells, dtype=np.bool_)
    values = candidate.measures[measure]
    upper = np.array([_upper_rows(t, int(n), bounds) for t, n in zip(values.totals, values.rows, strict=True)])
    lower = values.rows - upper
    k = facts.max_rows_per_unit
    few = (least_units(upper, k) < min_units) | (least_units(lower, k) < min_units)
    found: Bools = (values.rows > 0) & few
    return found


def constant_values(candidate: Candidate, measure: Measure, facts: TableFacts) -> Bools:
    """Return cells where a sum is at a declared bound of a confidential column, or a variance is zero."""
    values = candidate.measures[measure]
    if measure.kind is MeasureKind.SUM:
        return _at_bounds(measure, values, facts)
    if measure.kind is MeasureKind.SQUARES and facts.is_confidential(measure.columns[0]):
        return _without_variance(candidate, measure)
    return np.zeros(candidate.cells, dtype=np.bool_)


def _check_slices(candidate: Candidate, min_units: int, facts: TableFacts) -> tuple[Bools, tuple[Finding, ...]]:
    suppressed = np.zeros(candidate.cells, dtype=np.bool_)
    findings: list[Finding] = []
    k = facts.max_rows_per_unit
    for place, dimension in enumerate(candidate.question.group_by):
        if not facts.is_confidential(dimension.column):
            continue
        found = slice_disclosures(candidate, place, candidate.rows, candidate.units, min_units, k)
        for measure, values in candidate.measures.items():
            if measure.where:
                found = found | slice_disclosures(candidate, place, values.rows, values.units, min_units, k)
        findings += find(Risk.CLASS_DISCLOSURE, RuleId.CLASS_SLICE, [found], dimension.column.name)
        suppressed |= found
    return suppressed, tuple(findings)


def _slices(candidate: Candidate, place: int) -> Iterator[list[int]]:
    groups: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    totals = candidate.is_total.tolist()
    for cell, key in enumerate(candidate.keys):
        if not totals[cell][place]:
            others = (*key[:place], *key[place + 1 :], *totals[cell])
            groups[others].append(cell)
    yield from groups.values()


def _column_name(measure: Measure) -> str | None:
    if measure.where:
        return measure.where[0].column.name
    return measure.columns[0].name if measure.columns else None


def _two_values(measure: Measure, facts: TableFacts) -> tuple[int, int] | None:
    if measure.kind not in (MeasureKind.SUM, MeasureKind.SQUARES):
        return None
    fact = facts.columns.get(measure.columns[0])
    if fact is None or not fact.is_confidential or not fact.is_two_valued:
        return None
    lower, upper = int(fact.lower or 0), int(fact.upper or 0)
    if measure.kind is MeasureKind.SUM:
        return lower, upper
    return None if abs(lower) == abs(upper) else (lower**2, upper**2)


def _upper_rows(total: int | None, rows: int, bounds: tuple[int, int]) -> int:
    """Return how many of `rows` rows have the upper of two values, when they add up to `total`."""
    lower, upper = bounds
    return ((total or 0) - lower * rows) // (upper - lower)


def _at_bounds(measure: Measure, values: MeasureValues, facts: TableFacts) -> Bools:
    fact = facts.columns.get(measure.columns[0])
    bounds = () if fact is None or not fact.is_confidential else (fact.lower, fact.upper)
    ends = {bound for bound in bounds if bound is not None and bound != 0}  # a total of zero belongs to `zeros`
    pairs = zip(values.totals, values.rows.tolist(), strict=True)
    return np.array([rows > 0 and any(total == end * rows for end in ends) for total, rows in pairs], dtype=np.bool_)


def _without_variance(candidate: Candidate, measure: Measure) -> Bools:
    sums = candidate.measures.get(Measure(kind=MeasureKind.SUM, columns=measure.columns, where=measure.where))
    squares = candidate.measures[measure]
    if sums is None:
        return np.zeros(candidate.cells, dtype=np.bool_)
    triples = zip(squares.totals, sums.totals, squares.rows.tolist(), strict=True)
    return np.array(
        [rows > 0 and rows * (square or 0) == (total or 0) ** 2 for square, total, rows in triples], dtype=np.bool_
    )
