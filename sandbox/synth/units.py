"""The tables of the source units, read off the firms."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sandbox.catalog.model import Dataset
from sandbox.synth.catalogue import PENALTY_KINDS, YEARS
from sandbox.synth.columns import Columns, Values, days, fixed_point, in_bounds, texts
from sandbox.synth.firms import Firms, Indices
from sandbox.synth.geography import STREETS, block_map
from sandbox.synth.identifiers import digits, make_addresses, make_names, make_phones
from sandbox.synth.planted import POWER_PRICE
from sandbox.synth.streams import stream

__all__ = [
    "UNIT_TABLES",
    "block_columns",
    "make_electricity",
    "make_enterprises",
    "make_filings",
    "make_insurance",
    "make_penalties",
    "make_premises",
]

_YEAR_DAYS: Final = tuple(days(f"{int(year) + 1}-01-01") for year in YEARS)
_STREET_CODES: Final = np.array([np.frombuffer(street.code.encode(), dtype=np.uint8) for street in STREETS])


def make_enterprises(dataset: Dataset, firms: Firms, seed: int) -> Columns:
    """Return `market/enterprises`: one row a firm."""
    random = stream(seed, dataset.name)
    count = firms.count
    capital = np.exp(np.log([5e5, 3e6, 2e7, 2e8])[firms.size] + 1.2 * random.standard_normal(count))
    room = random.integers(101, 4_000, count)
    return {
        "uscc": Values(firms.uscc),
        "name": Values(make_names(np.arange(count))),
        "contact_phone": Values(make_phones(random.integers(0, 10**7, count)), random.random(count) >= 0.1),
        **block_columns(firms.building, room),
        "industry": Values(firms.industry),
        "size": Values(firms.size),
        "registration_year": Values(firms.year),
        "registered_capital": Values(
            in_bounds(dataset, "registered_capital", np.rint(capital / 1e4).astype(np.int64) * 1_000_000),
            random.random(count) >= 0.04,
        ),
    }


def make_premises(dataset: Dataset, firms: Firms, seed: int) -> Columns:
    """Return `block/premises`: the registered place of each firm, and up to two more anywhere in the district."""
    random = stream(seed, dataset.name)
    places = np.minimum(random.geometric(0.85, firms.count), 3)
    row = np.repeat(np.arange(firms.count), places)
    number = np.arange(len(row)) - np.repeat(np.cumsum(places) - places, places) + 1
    elsewhere = random.integers(0, len(block_map().street), len(row))
    building = np.where(number == 1, firms.building[row], elsewhere)
    area = np.exp(np.log([80.0, 300.0, 1_200.0, 6_000.0])[firms.size[row]] + 0.7 * random.standard_normal(len(row)))
    return {
        "uscc": Values(firms.uscc[row]),
        "premise_no": Values(number),
        **block_columns(building, random.integers(101, 4_000, len(row))),
        "floor_area": Values(in_bounds(dataset, "floor_area", fixed_point(area, 1)), random.random(len(row)) >= 0.02),
    }


def make_filings(dataset: Dataset, firms: Firms, seed: int) -> Columns:
    """Return `tax/annual_filings`: a row for each firm and year that was filed."""
    random = stream(seed, dataset.name)
    row, year = np.nonzero(firms.filings.is_filed)
    tax = firms.filings.tax[row, year]
    is_adjusted = random.random(len(row)) < 0.015
    part = np.rint(tax * random.uniform(0.02, 0.5, len(row))).astype(np.int64)
    adjustment = np.where(random.random(len(row)) < 0.7, -part, part)
    is_late = random.random(len(row)) < 0.03
    day = np.where(is_late, random.integers(151, 330, len(row)), random.integers(5, 151, len(row)))
    return {
        "uscc": Values(firms.uscc[row]),
        "year": Values(year),
        "street": Values(firms.street[row]),
        "industry": Values(firms.industry[row]),
        "size": Values(firms.size[row]),
        "revenue": Values(
            in_bounds(dataset, "revenue", firms.filings.revenue[row, year]),
            (random.random(len(row)) >= 0.02) | (firms.giant[row] >= 0),
        ),
        "tax_paid": Values(tax),
        "adjustment": Values(in_bounds(dataset, "adjustment", adjustment), is_adjusted),
        "adjusted": Values(is_adjusted),
        "filed_on": Values((np.array(_YEAR_DAYS)[year] + day).astype(np.int32)),
    }


def make_insurance(dataset: Dataset, firms: Firms, seed: int) -> Columns:
    """Return `social/insurance`: a row for each firm with staff and quarter."""
    random = stream(seed, dataset.name)
    row, quarter = np.nonzero(firms.insurance.is_insured)
    headcount = firms.insurance.headcount[row, quarter]
    due = headcount * np.exp(np.log(4_500) + 0.2 * random.standard_normal(len(row)))
    has_arrears = firms.insurance.has_arrears[row, quarter]
    owed = np.where(has_arrears, due * random.uniform(0.2, 1.0, len(row)), 0.0)
    return {
        "uscc": Values(firms.uscc[row]),
        "quarter": Values(quarter),
        "headcount": Values(headcount),
        "contribution": Values(
            in_bounds(dataset, "contribution", fixed_point(due - owed, 2)), random.random(len(row)) >= 0.01
        ),
        "arrears": Values(has_arrears),
        "arrears_amount": Values(in_bounds(dataset, "arrears_amount", fixed_point(owed, 2))),
    }


def make_penalties(dataset: Dataset, firms: Firms, seed: int) -> Columns:
    """Return `justice/penalties`: a row for each report; a twentieth of the cases was reported twice."""
    random = stream(seed, dataset.name)
    firm = np.repeat(np.arange(firms.count), firms.penalties)
    cases = len(firm)
    kind = random.choice(len(PENALTY_KINDS), cases, p=(0.3, 0.55, 0.1, 0.05)).astype(np.int32)
    whole = np.rint(np.exp(np.log(8_000) + 1.3 * random.standard_normal(cases))).astype(np.int64)
    amount = in_bounds(dataset, "amount", whole * 100)
    day = random.integers(days("2023-01-01"), days("2026-01-01"), cases).astype(np.int32)
    twice = np.flatnonzero(random.random(cases) < 0.05)
    # A second report stands behind all others: its case number is its own.
    row = np.concatenate([np.arange(cases), twice])
    is_second = np.arange(len(row)) >= cases
    return {
        "uscc": Values(firms.uscc[firm[row]]),
        "case_no": Values(texts([b"FT-", digits(np.arange(len(row)) + 1, 8)])),
        "kind": Values(kind[row]),
        "decided_on": Values(day[row]),
        "amount": Values(amount[row], kind[row] > 0),
        "reported_twice": Values(is_second),
    }


def make_electricity(dataset: Dataset, firms: Firms, seed: int) -> Columns:
    """Return `power/electricity`: a row for each metered firm and quarter, with a linear charge."""
    random = stream(seed, dataset.name)
    row, quarter = np.nonzero(firms.power.is_metered)
    kwh = in_bounds(dataset, "kwh", firms.power.kwh[row, quarter])
    is_known = firms.power.is_known[row, quarter]
    noise = float(POWER_PRICE.noise) * random.standard_normal(len(row))
    charge = fixed_point(float(POWER_PRICE.price) * kwh + float(POWER_PRICE.base) + noise, 2)
    return {
        "uscc": Values(firms.uscc[row]),
        "quarter": Values(quarter),
        "kwh": Values(kwh, is_known),
        "charge": Values(in_bounds(dataset, "charge", charge), is_known),
    }


def block_columns(building: Indices | NDArray[np.int64], room: NDArray[np.int64]) -> Columns:
    """Return the standard address of each building and room, and its place in both versions of the hierarchy."""
    blocks = block_map()
    street = blocks.street[building]
    return {
        "address": Values(make_addresses(_STREET_CODES[street], building, room)),
        "street": Values(street),
        "community": Values(blocks.community[building]),
        "grid": Values(blocks.grid[building]),
        "community_2025": Values(blocks.community_2025[building]),
        "grid_2025": Values(blocks.grid_2025[building]),
    }


UNIT_TABLES: Final[dict[str, Callable[[Dataset, Firms, int], Columns]]] = {
    "market/enterprises": make_enterprises,
    "block/premises": make_premises,
    "tax/annual_filings": make_filings,
    "social/insurance": make_insurance,
    "justice/penalties": make_penalties,
    "power/electricity": make_electricity,
}
"""How each of these data sets is made from the firms of a seed."""
