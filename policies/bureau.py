"""The bureau's rules: what stands above all agreements (docs/spec/agreement.md, "Rules above all agreements")."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from policies.disclosure import MIN_UNITS
from yingbi.events.fields import Grade, PrivacyUnit

__all__ = ["BUREAU", "GRADE_ORDER", "BureauRules", "is_credit"]

# GB/T 43697-2024: general 1 to 4, important, core.
GRADE_ORDER: Final[Mapping[Grade, int]] = {grade: rank for rank, grade in enumerate(Grade)}

BUREAU: Final = "bureau"


@dataclass(frozen=True, slots=True, kw_only=True)
class BureauRules:
    """The bureau's rules.

    `min_units`: fewest privacy units of a cell, whatever an agreement says. `max_grade`: the highest grade that may be
    granted (never core, whatever stands here). `reviewed_from`: grades from this one on need a person before the job
    and before its output, whatever an agreement says. `max_dominance_share`, `min_dominance_top`, `min_p_percent`: the
    weakest parameters that validation lets pass. `too_high` and `reviewed` are the grades that follow from these.
    """

    min_units: Mapping[PrivacyUnit, int] = field(default_factory=lambda: MIN_UNITS)
    max_grade: Grade = Grade.IMPORTANT
    reviewed_from: Grade = Grade.IMPORTANT
    max_dominance_share: Decimal = Decimal("0.9")
    min_dominance_top: int = 2
    min_p_percent: int = 10
    too_high: frozenset[Grade] = field(init=False)
    reviewed: frozenset[Grade] = field(init=False)

    def __post_init__(self) -> None:
        rank = GRADE_ORDER
        too_high = {grade for grade in Grade if grade is Grade.CORE or rank[grade] > rank[self.max_grade]}
        reviewed = {grade for grade in Grade if rank[grade] >= rank[self.reviewed_from]}
        # Worked out once: a decision looks at every column that it is asked for.
        object.__setattr__(self, "too_high", frozenset(too_high))
        object.__setattr__(self, "reviewed", frozenset(reviewed))


def is_credit(purpose: str) -> bool:
    """Return whether a purpose is credit business, which needs a licensed credit bureau in the chain."""
    return purpose == "credit" or purpose.startswith("credit.")
