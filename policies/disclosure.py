"""How much an agreement lets come out: the parameters of exact disclosure control, and the strictest of several."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from yingbi.events.fields import PrivacyUnit
from yingbi.events.outputs import DisclosureMode

__all__ = ["MIN_CONTRIBUTORS", "MIN_UNITS", "DisclosureRules", "Zeros", "strictest"]

# Thresholds that no agreement may go below: ACRO's for persons; less for enterprises, which dominance guards too.
MIN_UNITS: Final[Mapping[PrivacyUnit, int]] = MappingProxyType({PrivacyUnit.PERSON: 10, PrivacyUnit.ENTERPRISE: 5})

# Of a sum over two data sets, each of the two knows the other's part.
MIN_CONTRIBUTORS: Final = 3


class Zeros(StrEnum):
    """Whether a cell without units, or with a total of zero, may be told."""

    ALLOW = "allow"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class DisclosureRules:
    """The parameters of the rules of exact mode (defaults: ACRO's, and the Bureau's thresholds by privacy unit).

    `min_units`: fewest distinct privacy units in a released cell and in its complement. `dominance_top`,
    `dominance_share`: (n,k) rule, sensitive when the n largest units hold at least the share k of a cell's absolute
    total. `p_percent`: sensitive when total - x1 - x2 < p/100 * x1. `rounding`: base that counts and totals are rounded
    to, 1 for none. `min_degrees_of_freedom`: residual degrees of freedom of a regression. `min_contributors`: fewest
    data sets of different units whose sum a federation may tell.
    """

    min_units: int = 10
    dominance_top: int = 2
    dominance_share: Decimal = Decimal("0.90")
    p_percent: int = 10
    zeros: Zeros = Zeros.REFUSE
    rounding: int = 1
    min_degrees_of_freedom: int = 10
    min_contributors: int = MIN_CONTRIBUTORS
    mode: DisclosureMode = DisclosureMode.EXACT


def strictest(one: DisclosureRules, other: DisclosureRules) -> DisclosureRules:
    """Return the rules under which nothing comes out that either would hold back.

    Of two (n,k) rules neither of which implies the other, both cannot be kept in one pair: the larger n with the
    smaller k implies both.
    """
    private = DisclosureMode.PRIVATE in (one.mode, other.mode)
    return DisclosureRules(
        min_units=max(one.min_units, other.min_units),
        dominance_top=max(one.dominance_top, other.dominance_top),
        dominance_share=min(one.dominance_share, other.dominance_share),
        p_percent=max(one.p_percent, other.p_percent),
        zeros=Zeros.REFUSE if Zeros.REFUSE in (one.zeros, other.zeros) else Zeros.ALLOW,
        rounding=max(one.rounding, other.rounding),
        min_degrees_of_freedom=max(one.min_degrees_of_freedom, other.min_degrees_of_freedom),
        min_contributors=max(one.min_contributors, other.min_contributors),
        mode=DisclosureMode.PRIVATE if private else DisclosureMode.EXACT,
    )
