"""The firms behind all tables of enterprises: who they are, where, how big, and what they have been through.

A `Firms` is drawn once; the tables of the units are read off it. Giants are ordinary rows at random places.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sandbox.synth.catalogue import INDUSTRIES, LAST_YEAR, QUARTERS, SIZES, YEARS
from sandbox.synth.geography import STREETS, block_map
from sandbox.synth.identifiers import MAX_ENTERPRISES, make_usccs
from sandbox.synth.planted import GIANT_CELLS, INDUSTRY_SHARES, SIZE_SHARES, GiantCell
from sandbox.synth.streams import allocate, stream

__all__ = ["FIRMS", "Filings", "Firms", "Insurance", "Power", "draw_firms", "giant_rows"]

FIRMS: Final = 121_000
"""Enterprises at scale 1."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Indices = NDArray[np.int32]
Flags = NDArray[np.bool_]

_CENTS: Final = 100
_REVENUE_MEANS: Final = np.log([4e5, 4e6, 3e7, 2e8])
_TAX_RATES: Final = np.array(
    [0.01, 0.06, 0.035, 0.05, 0.03, 0.015, 0.025, 0.02, 0.03, 0.06, 0.07, 0.03, 0.025, 0.02, 0.02, 0.01, 0.01, 0.02]
)
_MOST_TAX: Final = 2e7
"""Most that an ordinary firm pays in a year, CNY: giants stand out by construction."""
_LEAST_REST: Final = 100_000 * _CENTS
"""What giants' shares are measured against where the rest of their cell pays less."""
_STAFF_MEANS: Final = np.log([4.0, 20.0, 90.0, 500.0])
_KWH_MEANS: Final = np.log([2e3, 1.2e4, 1e5, 9e5])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Filings:
    """Tax by firm and year, arrays of shape (firms, years): money in cents, `is_filed` says which exist."""

    is_filed: Flags
    revenue: Integers
    tax: Integers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Insurance:
    """Staff by firm and quarter, arrays of shape (firms, quarters); `is_insured` says which exist."""

    is_insured: Flags
    headcount: Integers
    has_arrears: Flags


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Power:
    """Electricity by firm and quarter, arrays of shape (firms, quarters); readings may be missing."""

    is_metered: Flags
    is_known: Flags
    kwh: Integers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Firms:
    """All firms, arrays of shape (firms,) unless said otherwise.

    `uscc`: uint8 (firms, 18). `street`, `industry`, `size`: indices into their domains. `building`: into the block
    map. `giant`: the place of the giant in `GIANT_CELLS`, cell by cell, or -1. `penalties`: how many there were.
    """

    uscc: NDArray[np.uint8]
    street: Indices
    building: Indices
    industry: Indices
    size: Indices
    year: Integers
    giant: Indices
    filings: Filings
    insurance: Insurance
    power: Power
    penalties: Integers

    @property
    def count(self) -> int:
        """Return how many there are."""
        return len(self.street)


def giant_rows() -> list[tuple[GiantCell, int]]:
    """Return each giant's cell and its place among the giants of that cell, in the order of `Firms.giant`."""
    return [(cell, place) for cell in GIANT_CELLS for place in range(len(cell.shares))]


def draw_firms(count: int, seed: int) -> Firms:
    """Draw all firms of a seed."""
    giant = _place_giants(count, seed)
    street, industry, size = _draw_kinds(giant, seed)
    year = _draw_years(giant, seed)
    # What makes a firm thrive or ail shows in all its tables.
    vigour = stream(seed, "vigour").standard_normal(count)
    filings = _draw_filings(street, industry, size, year, giant, vigour, seed)
    return Firms(
        uscc=make_usccs(count, int(stream(seed, "uscc").integers(MAX_ENTERPRISES))),
        street=street,
        building=_draw_buildings(street, seed),
        industry=industry,
        size=size,
        year=year,
        giant=giant,
        filings=filings,
        insurance=_draw_insurance(size, year, giant, vigour, seed),
        power=_draw_power(size, year, vigour, seed),
        penalties=_draw_penalties(giant, seed),
    )


def _place_giants(count: int, seed: int) -> Indices:
    giants = len(giant_rows())
    giant = np.full(count, -1, dtype=np.int32)
    giant[stream(seed, "giants").choice(count, giants, replace=False)] = np.arange(giants, dtype=np.int32)
    return giant


def _draw_kinds(giant: Indices, seed: int) -> tuple[Indices, Indices, Indices]:
    """Draw street, industry and size: giants have theirs, the others exactly the planted shares of each."""
    ordinary = giant < 0
    names = [street.name for street in STREETS]
    cells = [cell for cell, _ in giant_rows()]
    planted = {
        "street": ([street.firms for street in STREETS], [names.index(cell.street) for cell in cells]),
        "industry": (INDUSTRY_SHARES, [INDUSTRIES.index(cell.industry) for cell in cells]),
        "size": (SIZE_SHARES, [len(SIZES) - 1] * len(cells)),
    }
    drawn = []
    for name, (shares, of_giants) in planted.items():
        values = np.array(of_giants, dtype=np.int32)[giant]
        values[ordinary] = allocate(int(ordinary.sum()), shares, stream(seed, name))
        drawn.append(values)
    return drawn[0], drawn[1], drawn[2]


def _draw_buildings(street: Indices, seed: int) -> Indices:
    """Draw a building in the street: some grids are full of firms and some nearly empty."""
    first = block_map().first
    place = stream(seed, "buildings").random(len(street)) ** 1.6
    return (first[street] + place * np.diff(first)[street]).astype(np.int32)


def _draw_years(giant: Indices, seed: int) -> Integers:
    ages = np.minimum(stream(seed, "years").exponential(8.0, len(giant)), 45).astype(np.int64)
    ages[giant >= 0] = 20
    return LAST_YEAR - ages


def _draw_filings(
    street: Indices, industry: Indices, size: Indices, year: Integers, giant: Indices, vigour: Floats, seed: int
) -> Filings:
    random = stream(seed, "filings")
    shape = (len(street), len(YEARS))
    of_year = np.array([int(text) for text in YEARS])
    is_filed = (year[:, None] <= of_year) & ((random.random(shape) >= 0.04) | (giant >= 0)[:, None])
    level = (_REVENUE_MEANS[size] + 0.9 * vigour)[:, None] + 0.04 * np.arange(len(YEARS))
    revenue = np.exp(level + 0.3 * random.standard_normal(shape))
    rate = _TAX_RATES[industry][:, None] * np.exp(0.4 * random.standard_normal(shape))
    tax = np.rint(np.minimum(revenue * rate, _MOST_TAX) * _CENTS).astype(np.int64)
    tax[~is_filed] = 0
    cents = np.rint(revenue * _CENTS).astype(np.int64)
    _plant_giants(street, industry, giant, tax, cents)
    return Filings(is_filed=is_filed, revenue=cents, tax=tax)


def _plant_giants(street: Indices, industry: Indices, giant: Indices, tax: Integers, revenue: Integers) -> None:
    """Write the giants' tax into `tax` and their revenue into `revenue`: their shares of what the others there pay."""
    for number, (cell, place) in enumerate(giant_rows()):
        row = int(np.flatnonzero(giant == number)[0])
        others = (street == street[row]) & (industry == industry[row]) & (giant < 0)
        rest = np.maximum(tax[others].sum(axis=0), _LEAST_REST)
        left = 1 - sum(cell.shares)
        tax[row] = [int(cents * cell.shares[place] / left) for cents in rest.tolist()]
        revenue[row] = tax[row] * 5


def _draw_insurance(size: Indices, year: Integers, giant: Indices, vigour: Floats, seed: int) -> Insurance:
    random = stream(seed, "insurance")
    shape = (len(size), len(QUARTERS))
    has_staff = (random.random(len(size)) < 0.85) | (size > 0)
    staff = np.exp(_STAFF_MEANS[size] + 0.5 * vigour + 0.4 * random.standard_normal(len(size)))
    staff[giant >= 0] = 5_000
    headcount = np.rint(staff[:, None] * np.exp(0.06 * random.standard_normal(shape))).astype(np.int64)
    is_prone = random.random(len(size)) < 0.08
    has_arrears = random.random(shape) < np.where(is_prone, 0.4, 0.01)[:, None]
    is_insured = has_staff[:, None] & (year[:, None] <= _quarter_years())
    return Insurance(
        is_insured=is_insured, headcount=np.clip(headcount, 1, 20_000), has_arrears=has_arrears & is_insured
    )


def _draw_power(size: Indices, year: Integers, vigour: Floats, seed: int) -> Power:
    random = stream(seed, "power")
    shape = (len(size), len(QUARTERS))
    is_metered = (random.random(len(size)) < 0.95)[:, None] & (year[:, None] <= _quarter_years())
    ails = random.random(len(size)) < 0.12
    kept = np.where(ails, random.uniform(0.2, 0.8, len(size)), np.exp(0.08 * random.standard_normal(len(size))))
    level = _KWH_MEANS[size] + 0.4 * vigour + 0.6 * random.standard_normal(len(size))
    season = 0.1 * np.sin(np.arange(len(QUARTERS)) * np.pi / 2)
    usage = np.exp(level[:, None] + season + 0.05 * random.standard_normal(shape))
    usage *= np.where(_quarter_years() == LAST_YEAR, kept[:, None], 1.0)
    is_known = is_metered & (random.random(shape) >= 0.03)
    return Power(is_metered=is_metered, is_known=is_known, kwh=np.rint(usage).astype(np.int64))


def _draw_penalties(giant: Indices, seed: int) -> Integers:
    random = stream(seed, "penalties")
    is_prone = random.random(len(giant)) < 0.08
    drawn = random.poisson(np.where(is_prone, 1.5, 0.01))
    return np.where(giant >= 0, 1, np.minimum(drawn, 8))


def _quarter_years() -> Integers:
    return np.array([int(quarter[:4]) for quarter in QUARTERS])
