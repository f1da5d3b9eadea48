"""Credit features of firms, and the loans of two banks whose defaults depend on them as planted.

Features are rounded first and default is drawn from the rounded ones: a logistic regression of the published columns
finds the planted coefficients again.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sandbox.catalog.model import Dataset
from sandbox.synth.catalogue import COLLATERALS, LAST_YEAR, QUARTERS
from sandbox.synth.columns import Columns, Values, fixed_point, in_bounds
from sandbox.synth.firms import Filings, Firms, Power
from sandbox.synth.planted import BANK_A, BANK_B, FEATURES, OVERLAP, BankModel
from sandbox.synth.streams import stream

__all__ = ["Credit", "draw_credit", "make_features", "make_loans_a", "make_loans_b"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_SCALE: Final = 10_000
"""Shares and levels have four decimals."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Credit:
    """By firm, arrays of shape (firms,): features (those with decimals of scale 10,000), and who borrows where."""

    tax_level: Integers
    arrears_quarters: Integers
    penalty_count: Integers
    power_drop: Integers
    is_power_known: Flags
    in_bank_a: Flags
    in_bank_b: Flags

    @property
    def matrix(self) -> Floats:
        """Return the features as numbers, float64 of shape (firms, 4), in the order of `FEATURES`."""
        scales = {"tax_level": _SCALE, "power_drop": _SCALE}
        return np.stack([getattr(self, name) / scales.get(name, 1) for name in FEATURES], axis=1)


def draw_credit(firms: Firms, seed: int) -> Credit:
    """Derive the features of all firms and draw who borrows where; giants borrow elsewhere."""
    random = stream(seed, "credit")
    ordinary = firms.giant < 0
    in_a = ordinary & (random.random(firms.count) < float(OVERLAP.bank_a))
    chance_of_b = np.where(in_a, float(OVERLAP.bank_b_given_a), float(OVERLAP.bank_b_otherwise))
    drop, is_known = _power_drop(firms.power)
    return Credit(
        tax_level=_tax_level(firms.filings),
        arrears_quarters=firms.insurance.has_arrears.sum(axis=1),
        penalty_count=firms.penalties,
        power_drop=drop,
        is_power_known=is_known,
        in_bank_a=in_a,
        in_bank_b=ordinary & (random.random(firms.count) < chance_of_b),
    )


def make_features(firms: Firms, credit: Credit) -> Columns:
    """Return `bureau/credit_features`: one row a firm."""
    return {
        "uscc": Values(firms.uscc),
        "tax_level": Values(credit.tax_level),
        "arrears_quarters": Values(credit.arrears_quarters),
        "penalty_count": Values(credit.penalty_count),
        "power_drop": Values(credit.power_drop),
        "power_known": Values(credit.is_power_known),
    }


def make_loans_a(dataset: Dataset, firms: Firms, credit: Credit, seed: int) -> Columns:
    """Return `banka/loans`: one row a borrower of bank A."""
    random = stream(seed, dataset.name)
    row = np.flatnonzero(credit.in_bank_a)
    amount = np.exp(np.log([3e5, 1.5e6, 8e6, 3e7])[firms.size[row]] + 0.6 * random.standard_normal(len(row)))
    collateral = random.choice(len(COLLATERALS), len(row), p=(0.4, 0.35, 0.25)).astype(np.int32)
    rate = 0.035 + 0.015 * (collateral == 0) + 0.02 * random.random(len(row))
    return {
        "uscc": Values(firms.uscc[row]),
        "loan_amount": Values(in_bounds(dataset, "loan_amount", np.rint(amount / 1e3).astype(np.int64) * 100_000)),
        "term_months": Values(random.choice([6, 12, 24, 36, 60], len(row))),
        "rate": Values(fixed_point(rate, 4)),
        "collateral": Values(collateral),
        "defaulted": Values(_draw_default(BANK_A, credit.matrix[row], (collateral == 0).astype(np.float64), random)),
    }


def make_loans_b(dataset: Dataset, firms: Firms, credit: Credit, seed: int) -> Columns:
    """Return `bankb/loans`: one row a borrower of bank B."""
    random = stream(seed, dataset.name)
    row = np.flatnonzero(credit.in_bank_b)
    line = np.exp(np.log([4e5, 2e6, 1e7, 4e7])[firms.size[row]] + 0.5 * random.standard_normal(len(row)))
    utilisation = fixed_point(random.beta(2.0, 2.0, len(row)), 4)
    opened = np.maximum(firms.year[row], 2010) + random.integers(0, 6, len(row))
    return {
        "uscc": Values(firms.uscc[row]),
        "credit_line": Values(in_bounds(dataset, "credit_line", np.rint(line / 1e3).astype(np.int64) * 100_000)),
        "utilisation": Values(utilisation),
        "opened_year": Values(np.minimum(opened, LAST_YEAR)),
        "defaulted": Values(_draw_default(BANK_B, credit.matrix[row], utilisation / _SCALE, random)),
    }


def _draw_default(model: BankModel, features: Floats, own: Floats, random: np.random.Generator) -> Flags:
    coefficients = np.array([float(number) for number in model.coefficients])
    log_odds: Floats = float(model.intercept) + features @ coefficients + float(model.own_coefficient) * own
    return random.random(len(own)) < 1.0 / (1.0 + np.exp(-log_odds))


def _tax_level(filings: Filings) -> Integers:
    """Return log10(1 + mean tax of the years that were filed, CNY), 0 where none was."""
    count = filings.is_filed.sum(axis=1)
    mean = np.where(filings.is_filed, filings.tax, 0).sum(axis=1) / 100 / np.maximum(count, 1)
    return fixed_point(np.log10(1.0 + mean), 4)


def _power_drop(power: Power) -> tuple[Integers, Flags]:
    """Return 1 - mean known reading of the last year / that of the year before, within [-1, 1]; 0 where unknown."""
    last = np.array([int(quarter[:4]) == LAST_YEAR for quarter in QUARTERS])
    before, is_before_known = _mean_reading(power, ~last)
    now, is_now_known = _mean_reading(power, last)
    is_known = is_before_known & is_now_known & (before > 0)
    drop = np.where(is_known, 1.0 - now / np.where(is_known, before, 1.0), 0.0)
    return fixed_point(np.clip(drop, -1.0, 1.0), 4), is_known


def _mean_reading(power: Power, quarters: Flags) -> tuple[Floats, Flags]:
    count = power.is_known[:, quarters].sum(axis=1)
    total = np.where(power.is_known, power.kwh, 0)[:, quarters].sum(axis=1)
    return total / np.maximum(count, 1), count > 0
