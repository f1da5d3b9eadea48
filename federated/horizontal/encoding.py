"""What columns and bins a specification makes of its features (docs/spec/recipes.md, "Columns" and "Bins").

INVARIANT: deterministic; used by `advance` and `model`.
"""

from dataclasses import dataclass
from enum import StrEnum

from federated.horizontal.parameters import Missing
from federated.horizontal.spec import Feature, Kind

__all__ = ["Role", "Term", "bin_counts", "bin_offsets", "scale_of", "terms_of"]


class Role(StrEnum):
    """What a column of the design says."""

    INTERCEPT = "intercept"
    VALUE = "value"
    LEVEL = "level"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One column of the design: `feature` and `code` are indices, -1 where there is none."""

    role: Role
    feature: int = -1
    code: int = -1


def terms_of(features: tuple[Feature, ...], missing: Missing) -> tuple[Term, ...]:
    """Return the columns: intercept; of each feature its scaled value or its codes but the first; missing or not."""
    terms = [Term(role=Role.INTERCEPT)]
    for index, feature in enumerate(features):
        if feature.kind is Kind.NUMERIC:
            terms.append(Term(role=Role.VALUE, feature=index))
        else:
            terms.extend(Term(role=Role.LEVEL, feature=index, code=code) for code in range(1, len(feature.codes)))
        if missing is Missing.INDICATOR:
            terms.append(Term(role=Role.MISSING, feature=index))
    return tuple(terms)


def scale_of(feature: Feature) -> tuple[float, float]:
    """Return middle and half width of the bounds; a scaled value is (x - middle) / half, within [-1, 1]."""
    low, high = feature.bounds
    return (low + high) / 2.0, (high - low) / 2.0


def bin_counts(features: tuple[Feature, ...], *, with_special: bool) -> tuple[int, ...]:
    """Return the number of bins of each feature: those between edges (or codes), then missing, then special values."""
    return tuple(
        (len(feature.codes) if feature.kind is Kind.CODED else len(feature.edges) + 1)
        + 1
        + (len(feature.special) if with_special else 0)
        for feature in features
    )


def bin_offsets(counts: tuple[int, ...]) -> tuple[int, ...]:
    """Return where the bins of each feature begin in a row of all bins; the last entry is their number."""
    offsets = [0]
    for count in counts:
        offsets.append(offsets[-1] + count)
    return tuple(offsets)
