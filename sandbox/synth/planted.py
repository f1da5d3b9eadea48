"""What is planted in the data, so that results can be checked (docs/synth.md): shares, giants, coefficients.

Numbers that a check compares with are `Decimal` or whole numbers here, and text in `truth.json`.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

__all__ = [
    "AGE_SHARES",
    "BANK_A",
    "BANK_B",
    "EMPLOYMENT_SHARES",
    "FEATURES",
    "GIANT_CELLS",
    "INCOME_MEDIANS",
    "INDUSTRY_SHARES",
    "OVERLAP",
    "POWER_PRICE",
    "SIZE_SHARES",
    "BankModel",
    "CellKind",
    "GiantCell",
    "Overlap",
    "PowerPrice",
]

INDUSTRY_SHARES: Final = (2, 1, 60, 4, 50, 330, 40, 45, 120, 25, 45, 130, 75, 3, 30, 12, 8, 20)
"""Firms by industry, ‰, in the order of `INDUSTRIES`."""

SIZE_SHARES: Final = (800, 140, 50, 10)
"""Firms by size, ‰, in the order of `SIZES`."""

AGE_SHARES: Final = (160, 80, 260, 210, 140, 90, 60)
"""Residents by age band, ‰, in the order of `AGE_BANDS`."""

EMPLOYMENT_SHARES: Final = (
    (0, 0, 0, 980, 0, 20),
    (420, 40, 60, 450, 0, 30),
    (780, 110, 50, 20, 0, 40),
    (760, 140, 50, 0, 0, 50),
    (700, 160, 60, 0, 20, 60),
    (330, 90, 40, 0, 480, 60),
    (30, 20, 0, 0, 920, 30),
)
"""Employment by age band, ‰: a row for each band, columns in the order of `EMPLOYMENTS`."""

INCOME_MEDIANS: Final = (0, 6_000, 11_000, 13_000, 11_500, 8_500, 4_500)
"""Median monthly income of those who work, CNY, by age band."""


class CellKind(StrEnum):
    """What the usual rules say of a cell with giants, by construction."""

    ALONE = "alone"
    PAIR = "pair"
    TRIO = "trio"
    BELOW = "below"


@dataclass(frozen=True, slots=True, kw_only=True)
class GiantCell:
    """A street and industry where giants pay these shares of all tax, in every year and in their sum."""

    kind: CellKind
    street: str
    industry: str
    shares: tuple[Decimal, ...]


def _cell(kind: CellKind, street: str, industry: str, *shares: str) -> GiantCell:
    return GiantCell(kind=kind, street=street, industry=industry, shares=tuple(Decimal(share) for share in shares))


GIANT_CELLS: Final = (
    _cell(CellKind.ALONE, "南园街道", "J", "0.95"),
    _cell(CellKind.ALONE, "莲花街道", "R", "0.97"),
    _cell(CellKind.ALONE, "福保街道", "C", "0.96"),
    _cell(CellKind.PAIR, "香蜜湖街道", "I", "0.50", "0.42"),
    _cell(CellKind.PAIR, "华强北街道", "C", "0.48", "0.44"),
    _cell(CellKind.TRIO, "沙头街道", "K", "0.50", "0.30", "0.17"),
    _cell(CellKind.BELOW, "梅林街道", "C", "0.60", "0.25"),
    _cell(CellKind.BELOW, "园岭街道", "M", "0.55", "0.30"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Which ordinary firms borrow: the probability of bank A, and of bank B given A or not."""

    bank_a: Decimal
    bank_b_given_a: Decimal
    bank_b_otherwise: Decimal


OVERLAP: Final = Overlap(bank_a=Decimal("0.20"), bank_b_given_a=Decimal("0.35"), bank_b_otherwise=Decimal("0.15"))

FEATURES: Final = ("tax_level", "arrears_quarters", "penalty_count", "power_drop")
"""Items of `bureau/credit_features` that default depends on, in the order of the coefficients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BankModel:
    """Log odds of default: intercept, a coefficient for each of `FEATURES`, and one for an item of the bank's own."""

    intercept: Decimal
    coefficients: tuple[Decimal, ...]
    own_item: str
    own_coefficient: Decimal


_COEFFICIENTS: Final = tuple(Decimal(number) for number in ("-0.5", "0.45", "0.6", "1.8"))

BANK_A: Final = BankModel(
    intercept=Decimal("-0.6"),
    coefficients=_COEFFICIENTS,
    own_item="collateral = none",
    own_coefficient=Decimal("0.5"),
)
BANK_B: Final = BankModel(
    intercept=Decimal("-1.1"), coefficients=_COEFFICIENTS, own_item="utilisation", own_coefficient=Decimal("1.0")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerPrice:
    """`charge = price * kwh + base` and normal noise, cut off at 0."""

    price: Decimal
    base: Decimal
    noise: Decimal


POWER_PRICE: Final = PowerPrice(price=Decimal("0.68"), base=Decimal(120), noise=Decimal(30))
