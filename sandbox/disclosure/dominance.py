"""Dominance rules: no released total is mostly one unit's, and no large contributor can compute another.

(n,k): sensitive when the n largest units hold at least the share k of the absolute total. p %: sensitive when what is
left besides the two largest is too small to hide the largest from the second: T - x1 - x2 < p/100 * x1 (Hundepool et
al., Statistical Disclosure Control, 2012, chapter 4). Both are of absolute totals of units, in exact integers.
"""

from decimal import Decimal
from typing import Final

import numpy as np

from policies.disclosure import DisclosureRules
from sandbox.candidate import Candidate, MeasureValues
from sandbox.disclosure.facts import TableFacts
from sandbox.disclosure.layout import finest_dimension
from sandbox.disclosure.threshold import small_cells
from sandbox.disclosure.verdict import Bools, Judgement, Masks, RuleId, find, merge_masks
from sandbox.operations.measure import Measure, MeasureKind
from yingbi.events.outputs import CheckVerdict, Remedy, Risk

__all__ = ["check_dominance", "is_dominated", "is_p_sensitive"]

_ADDITIVE: Final = frozenset(
    {MeasureKind.ROWS, MeasureKind.VALUES, MeasureKind.SUM, MeasureKind.SQUARES, MeasureKind.PRODUCT}
)


def is_dominated(absolute: int, largest: int, second: int, *, top: int, share: Decimal) -> bool:
    """Return whether the `top` largest units hold at least `share` of the absolute total.

    Only the two largest are known: further ones are at most as large as the second, so that for more than two the
    answer may be yes where it is no, never the other way round.
    """
    if absolute <= 0:
        return False
    held = largest if top == 1 else largest + (top - 1) * second
    numerator, denominator = share.as_integer_ratio()
    return min(held, absolute) * denominator >= numerator * absolute


def is_p_sensitive(absolute: int, largest: int, second: int, *, p_percent: int) -> bool:
    """Return whether the second largest unit could estimate the largest one to within p percent."""
    if absolute <= 0:
        return False
    rest = max(absolute - largest - second, 0)
    return 100 * rest < p_percent * min(largest, absolute)


def check_dominance(candidate: Candidate, rules: DisclosureRules, facts: TableFacts) -> Judgement:
    """Fail dominated values; ask for a person where contributions of both signs make shares meaningless.

    SECURITY: a column that is declared never to be negative is (publication checks it); of any other every sum is for
    a person, whatever it holds. Asked only where there is a loss, the person would be the sign of somebody's profit.
    """
    added = {m: values for m, values in candidate.measures.items() if m.kind in _ADDITIVE}
    top = {m: _dominated(values, rules) for m, values in added.items()}
    p_percent = {m: _p_sensitive(values, rules) for m, values in added.items()}
    negative = {m: values.negative | _may_be_negative(m, facts) for m, values in added.items()}
    dimension = finest_dimension(candidate)
    findings = (
        *find(Risk.DOMINANCE, RuleId.DOMINANCE_TOP, _told(top, candidate, rules, facts), dimension),
        *find(Risk.DOMINANCE, RuleId.DOMINANCE_P_PERCENT, _told(p_percent, candidate, rules, facts), dimension),
        *find(Risk.NEGATIVE_VALUES, RuleId.NEGATIVE, negative.values(), dimension, CheckVerdict.REVIEW),
    )
    remedies = (Remedy.COARSER_LEVEL, Remedy.LONGER_PERIOD, Remedy.PRIVATE_MODE) if findings else ()
    return Judgement(suppress=merge_masks(top, p_percent), findings=findings, remedies=remedies, review=negative)


def _told(masks: Masks, candidate: Candidate, rules: DisclosureRules, facts: TableFacts) -> list[Bools]:
    """Return what findings are about: not that one or two units meet a confidential condition (`class.condition`)."""
    return [
        mask & ~small_cells(candidate.measures[one], rules.min_units) if facts.has_confidential(one.where) else mask
        for one, mask in masks.items()
    ]


def _may_be_negative(measure: Measure, facts: TableFacts) -> bool:
    if measure.kind not in (MeasureKind.SUM, MeasureKind.PRODUCT):
        return False
    lowest = [None if (fact := facts.columns.get(column)) is None else fact.lower for column in measure.columns]
    return any(lower is None or lower < 0 for lower in lowest)


def _dominated(values: MeasureValues, rules: DisclosureRules) -> Bools:
    return np.array(
        [
            is_dominated(total, first, second, top=rules.dominance_top, share=rules.dominance_share)
            for total, first, second in zip(values.absolute, values.largest, values.second, strict=True)
        ],
        dtype=np.bool_,
    )


def _p_sensitive(values: MeasureValues, rules: DisclosureRules) -> Bools:
    return np.array(
        [
            is_p_sensitive(total, first, second, p_percent=rules.p_percent)
            for total, first, second in zip(values.absolute, values.largest, values.second, strict=True)
        ],
        dtype=np.bool_,
    )
