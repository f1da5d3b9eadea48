"""Residents, in chunks of fixed size, so that memory does not grow with their number."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sandbox.catalog.model import Dataset
from sandbox.synth.catalogue import EMPLOYMENTS, LAST_YEAR
from sandbox.synth.columns import Columns, Values, days, fixed_point, in_bounds
from sandbox.synth.firms import Firms, Flags, Indices
from sandbox.synth.geography import STREETS, block_map
from sandbox.synth.identifiers import make_person_ids
from sandbox.synth.planted import AGE_SHARES, EMPLOYMENT_SHARES, INCOME_MEDIANS
from sandbox.synth.streams import allocate, stream
from sandbox.synth.units import block_columns

__all__ = ["PERSONS", "make_residents"]

PERSONS: Final = 1_946_000
"""Residents at scale 1."""

_CHUNK: Final = 1 << 17
_AGES: Final = np.array([0, 18, 25, 35, 45, 55, 65, 95])
"""First age of each band, and one past the last."""
_MALE: Final = 0.52
_HAS_LOCAL_EMPLOYER: Final = 0.6
_WORKING: Final = (EMPLOYMENTS.index("employed"), EMPLOYMENTS.index("self-employed"))

Floats = NDArray[np.float64]


def make_residents(dataset: Dataset, firms: Firms, count: int, seed: int) -> Iterator[Columns]:
    """Yield `population/residents` chunk by chunk: each has its own stream, and the planted shares in itself."""
    staff = np.cumsum(np.where(firms.insurance.is_insured, firms.insurance.headcount, 0)[:, -1])
    for chunk, start in enumerate(range(0, count, _CHUNK)):
        random = stream(seed, dataset.name, chunk)
        yield _make_chunk(dataset, firms, staff, chunk, min(_CHUNK, count - start), random)


def _make_chunk(
    dataset: Dataset, firms: Firms, staff: NDArray[np.int64], chunk: int, count: int, random: np.random.Generator
) -> Columns:
    street = allocate(count, [street.persons for street in STREETS], random)
    first = block_map().first
    building = first[street] + (random.random(count) * np.diff(first)[street]).astype(np.int64)
    band = allocate(count, AGE_SHARES, random)
    is_male = random.random(count) < _MALE
    employment = _draw_employment(band, random)
    employer = np.searchsorted(staff, random.integers(0, staff[-1], count), side="right")
    works_here = (employment == _WORKING[0]) & (random.random(count) < _HAS_LOCAL_EMPLOYER)
    income = _draw_income(band, random)
    return {
        "person_id": Values(make_person_ids(_draw_births(band, random), is_male, chunk)),
        **block_columns(building, random.integers(101, 4_000, count)),
        "age_band": Values(band),
        "sex": Values(is_male.astype(np.int32)),
        "employment": Values(employment, random.random(count) >= 0.02),
        "employer_uscc": Values(firms.uscc[employer], works_here),
        "monthly_income": Values(
            in_bounds(dataset, "monthly_income", fixed_point(income, 2)), _has_income(employment, random)
        ),
    }


def _draw_births(band: Indices, random: np.random.Generator) -> NDArray[np.datetime64]:
    """Draw a day of birth, so that the age at the end of the last year is in the band."""
    span = np.diff(_AGES)[band]
    age_days = (_AGES[band] + random.random(len(band)) * span) * 365.2425
    return np.datetime64("1970-01-01", "D") + (days(f"{LAST_YEAR}-12-31") - age_days.astype(np.int64))


def _draw_employment(band: Indices, random: np.random.Generator) -> Indices:
    bounds = np.cumsum(np.array(EMPLOYMENT_SHARES), axis=1)[band] / 1000
    drawn: Indices = (random.random(len(band))[:, None] >= bounds).sum(axis=1).astype(np.int32)
    return drawn


def _draw_income(band: Indices, random: np.random.Generator) -> Floats:
    medians = np.array(INCOME_MEDIANS, dtype=np.float64)[band]
    return medians * np.exp(0.5 * random.standard_normal(len(band)))


def _has_income(employment: Indices, random: np.random.Generator) -> Flags:
    return np.isin(employment, _WORKING) & (random.random(len(employment)) >= 0.02)
