"""Quantiles: a quantile is some unit's own value, so that there must be enough units on each side of it.

Only a few fractions are answered, so that asking for one after another does not spell out the distribution, and the
released value keeps two significant digits.
"""

from decimal import Decimal
from typing import Final

import numpy as np

from policies.disclosure import DisclosureRules
from sandbox.candidate import Bools, Candidate, MeasureValues
from sandbox.disclosure.facts import TableFacts
from sandbox.disclosure.verdict import Judgement, RuleId, find, merge_masks
from sandbox.operations.measure import Measure, MeasureKind
from sandbox.operations.quantile import FRACTIONS
from yingbi.events.outputs import Remedy, Risk

__all__ = ["SIGNIFICANT_DIGITS", "check_quantiles", "round_quantile", "thin_sides"]

SIGNIFICANT_DIGITS: Final = 2


def check_quantiles(candidate: Candidate, rules: DisclosureRules, facts: TableFacts) -> Judgement:
    """Fail quantiles of other fractions, and those with fewer than `min_units` units strictly on either side."""
    del facts
    quantiles = {m: values for m, values in candidate.measures.items() if m.kind is MeasureKind.QUANTILE}
    fractions = {m: np.full(candidate.cells, not _is_allowed(m), dtype=np.bool_) for m in quantiles}
    sides = {m: thin_sides(values, rules.min_units) for m, values in quantiles.items()}
    dimension = next((measure.columns[0].name for measure in quantiles), None)
    findings = (
        *find(Risk.QUANTILE, RuleId.QUANTILE_FRACTION, fractions.values(), dimension),
        *find(Risk.QUANTILE, RuleId.QUANTILE_SIDES, sides.values(), dimension),
    )
    remedies = (Remedy.COARSER_LEVEL, Remedy.PRIVATE_MODE) if findings else ()
    return Judgement(suppress=merge_masks(fractions, sides), findings=findings, remedies=remedies)


def thin_sides(values: MeasureValues, min_units: int) -> Bools:
    """Return where fewer than `min_units` units lie strictly below or strictly above; nothing known of a side is few.

    Many units with one value leave a side empty, and the quantile is then the value of all of them.
    """
    if values.below is None or values.above is None:
        return np.ones(len(values.rows), dtype=np.bool_)
    found: Bools = (values.rows > 0) & ((values.below < min_units) | (values.above < min_units))
    return found


def round_quantile(value: int) -> int:
    """Round half away from zero to two significant digits: `12650 -> 13000`."""
    step = int(10 ** max(len(str(abs(value))) - SIGNIFICANT_DIGITS, 0))
    rounded = (2 * abs(value) + step) // (2 * step) * step
    return rounded if value >= 0 else -rounded


def _is_allowed(measure: Measure) -> bool:
    return measure.fraction is not None and Decimal(measure.fraction) in FRACTIONS
