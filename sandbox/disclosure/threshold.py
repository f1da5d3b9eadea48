"""Threshold rule: every released value, and its complement, is about enough distinct privacy units.

A *unit* is counted once however many rows it has. The complement of a cell is the rest of what the filter selects, the
complement of a condition inside an aggregate is the rest of the cell, and the complement of the filter is the rest of
the data set: whoever knows the whole gets each of them by one subtraction.
"""

from dataclasses import replace

import numpy as np

from policies.disclosure import DisclosureRules
from sandbox.candidate import Bools, Candidate, Ints, MeasureValues
from sandbox.disclosure.counting import units_beyond
from sandbox.disclosure.facts import TableFacts
from sandbox.disclosure.layout import finest_dimension
from sandbox.disclosure.verdict import Judgement, RuleId, find, merge_masks
from sandbox.operations.measure import Measure
from yingbi.events.outputs import Remedy, Risk

__all__ = ["check_threshold", "small_cells", "small_complements", "small_conditions", "small_outside"]


def check_threshold(candidate: Candidate, rules: DisclosureRules, facts: TableFacts) -> Judgement:
    """Fail every value whose cell, or whose complement, has fewer than `min_units` units but not none."""
    small = {m: small_cells(values, rules.min_units) for m, values in candidate.measures.items()}
    rest = small_complements(candidate, rules.min_units, facts)
    complements = {
        measure: rest | small_conditions(candidate, measure, rules.min_units, facts) for measure in candidate.measures
    }
    outside = {measure: small_outside(candidate, rules.min_units) for measure in candidate.measures}
    dimension = finest_dimension(candidate)
    # SECURITY: that few, or all but few, meet a confidential condition is told as `class.condition`, like all and none.
    told = [m for m in candidate.measures if not facts.has_confidential(m.where)]
    beside = [complements[m] if m in told else rest for m in candidate.measures]
    findings = (
        *find(Risk.THRESHOLD, RuleId.THRESHOLD_CELL, [small[m] for m in told], dimension),
        *find(Risk.THRESHOLD, RuleId.THRESHOLD_COMPLEMENT, beside, dimension),
        *find(Risk.DIFFERENCING, RuleId.THRESHOLD_OUTSIDE, outside.values(), None),
    )
    remedies = (Remedy.COARSER_LEVEL, Remedy.FEWER_DIMENSIONS, Remedy.LONGER_PERIOD) if findings else ()
    return Judgement(suppress=merge_masks(small, complements, outside), findings=findings, remedies=remedies)


def small_cells(values: MeasureValues, min_units: int) -> Bools:
    """Return where some, but fewer than `min_units`, units contribute (none at all is the business of `zeros`)."""
    found: Bools = (values.rows > 0) & (values.units < min_units)
    return found


def small_complements(candidate: Candidate, min_units: int, facts: TableFacts) -> Bools:
    """Return cells whose rest of the selection has some, but fewer than `min_units`, units."""
    selected = candidate.selected
    rows, units = units_beyond(
        rows=candidate.rows,
        units=candidate.units,
        units_exact=candidate.units_exact,
        of_rows=np.full_like(candidate.rows, selected.rows),
        of_units=np.full_like(candidate.units, selected.units),
        max_rows_per_unit=facts.max_rows_per_unit,
    )
    found: Bools = (rows > 0) & (np.maximum(units, _units_beside(candidate)) < min_units)
    return found


def small_conditions(candidate: Candidate, measure: Measure, min_units: int, facts: TableFacts) -> Bools:
    """Return cells where an aggregate's own condition leaves some, but fewer than `min_units`, units aside.

    Compared with the same measure without its condition where the table has it, otherwise with the cell as such.
    """
    values = candidate.measures[measure]
    if not measure.where:
        return np.zeros(candidate.cells, dtype=np.bool_)
    whole = candidate.measures.get(replace(measure, where=()))
    rows, units = units_beyond(
        rows=values.rows,
        units=values.units,
        units_exact=values.units_exact,
        of_rows=candidate.rows if whole is None else whole.rows,
        of_units=candidate.units if whole is None else whole.units,
        max_rows_per_unit=facts.max_rows_per_unit,
    )
    found: Bools = (rows > 0) & (units < min_units)
    return found


def small_outside(candidate: Candidate, min_units: int) -> Bools:
    """Return every cell where the filter leaves some, but fewer than `min_units`, units of the data set aside."""
    outside = candidate.outside
    return np.full(candidate.cells, outside.rows > 0 and outside.units < min_units, dtype=np.bool_)


def _units_beside(candidate: Candidate) -> Ints:
    """Return at least how many units the rest of a cell has: those of the largest cell beside it (same totals)."""
    beside = np.zeros_like(candidate.units)
    patterns = candidate.is_total @ (1 << np.arange(candidate.is_total.shape[1]))
    for pattern in np.unique(patterns):
        cells = np.flatnonzero(patterns == pattern)
        order = cells[np.argsort(candidate.units[cells], kind="stable")]
        if len(order) > 1:
            beside[order] = candidate.units[order[-1]]
            beside[order[-1]] = candidate.units[order[-2]]
    return beside
