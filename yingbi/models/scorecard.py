"""Scorecards: points for every attribute of every characteristic; a score is their sum, its reasons what was lost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum

from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.models.numbers import rounded, write_number
from yingbi.models.scaling import USUAL_SCALING, Scaling

__all__ = [
    "Attribute",
    "Characteristic",
    "Reason",
    "Scorecard",
    "Where",
    "make_scorecard",
    "reason_codes",
    "scorecard_json",
    "woe_characteristic",
]

Value = str | float | int | None


class Where(StrEnum):
    """Where the part of the score that all rows have goes: beside the characteristics, or spread evenly over them."""

    APART = "apart"
    SPREAD = "spread"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One bin of a characteristic and what it adds to the log odds of the event.

    A numeric bin holds `lower` <= value < `upper` (`None`: without end), a coded one `codes`, `special` numbers that
    are no quantities, the missing one (`is_missing`) rows without a value. With a `slope`, `log_odds` is what is added
    at `lower`, and the slope for each unit above it, up to `upper`; values beyond both are taken as these.
    `woe` is the bin's weight of evidence, where the model has one.
    """

    log_odds: float
    lower: float | None = None
    upper: float | None = None
    codes: tuple[str, ...] = ()
    special: tuple[float, ...] = ()
    is_missing: bool = False
    slope: float | None = None
    woe: float | None = None

    @property
    def is_range(self) -> bool:
        """Tell whether the attribute is a range of numbers."""
        return not (self.codes or self.special or self.is_missing)

    def holds(self, value: Value) -> bool:
        """Tell whether a value belongs here; a special value or none at all to nothing but its own attribute."""
        if isinstance(value, str):
            return value in self.codes
        if value is None or math.isnan(value):
            return self.is_missing
        if not self.is_range:
            return value in self.special
        if self.slope is not None:
            return True
        return (self.lower is None or self.lower <= value) and (self.upper is None or value < self.upper)

    def added(self, value: Value) -> float:
        """Return what a value that belongs here adds to the log odds."""
        if self.slope is None or self.lower is None or self.upper is None or not isinstance(value, int | float):
            return self.log_odds
        return self.log_odds + self.slope * (min(max(value, self.lower), self.upper) - self.lower)

    @property
    def ends(self) -> tuple[float, float]:
        """Return what is added at the lower and at the upper end; the same without a slope."""
        return self.log_odds, self.added(self.upper) if self.upper is not None else self.log_odds


@dataclass(frozen=True, slots=True, kw_only=True)
class Characteristic:
    """A feature of a model with its attributes."""

    feature: str
    attributes: tuple[Attribute, ...]

    def find(self, value: Value) -> Attribute:
        """Return the attribute of a value: its own, that of a special one before a range.

        Raises:
            InvalidRequestError: there is none.
        """
        found = [item for item in self.attributes if item.holds(value)]
        if not found:
            raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected a value that `{self.feature}` has a bin for")
        return next((item for item in found if not item.is_range), found[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A characteristic that cost a row points against the best that it could have had there."""

    feature: str
    attribute: Attribute
    lost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """A scorecard: `base` and the points of one attribute of each characteristic add up to the score.

    `each` is what every attribute has beside its own part. Points are rounded to `places`, where that is said.
    """

    scaling: Scaling
    base: float
    each: float
    characteristics: tuple[Characteristic, ...]
    places: int | None

    def points(self, log_odds: float) -> float:
        """Return the points of what an attribute adds to the log odds."""
        return _round(self.each - self.scaling.factor * log_odds, self.places)

    def most(self, characteristic: Characteristic) -> float:
        """Return the points of a characteristic's best attribute."""
        return max(self.points(end) for item in characteristic.attributes for end in item.ends)

    def row_points(self, row: Mapping[str, Value]) -> dict[str, float]:
        """Return the points that a row has in each characteristic.

        Raises:
            InvalidRequestError: a feature is missing from the row (not: without value), or has a value without a bin.
        """
        found = {}
        for item in self.characteristics:
            if item.feature not in row:
                raise InvalidRequestError(ErrorCode.NAME_UNKNOWN, f"expected the feature `{item.feature}`")
            value = row[item.feature]
            found[item.feature] = self.points(item.find(value).added(value))
        return found

    def score(self, row: Mapping[str, Value]) -> float:
        """Return a row's score: base points and the points of its attributes."""
        return self.base + sum(self.row_points(row).values())


def make_scorecard(
    intercept: float,
    characteristics: Sequence[Characteristic],
    scaling: Scaling = USUAL_SCALING,
    *,
    base: Where = Where.APART,
    places: int | None = None,
) -> Scorecard:
    """Make a scorecard of an additive model of the log odds of the event.

    Points are rounded (halves to even) to `places` decimal places where that is said: the score is then the sum of the
    rounded ones. With `Where.SPREAD` and no rounding they are `optbinning`'s with `pdo_odds`.

    Raises:
        InvalidRequestError: no characteristic, one twice, or one without attributes.
    """
    names = [item.feature for item in characteristics]
    if not names or len(set(names)) != len(names) or not all(item.attributes for item in characteristics):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected different characteristics with attributes")
    common = scaling.score(intercept)
    apart, each = (common, 0.0) if base is Where.APART else (0.0, common / len(names))
    return Scorecard(
        scaling=scaling, base=_round(apart, places), each=each, characteristics=tuple(characteristics), places=places
    )


def woe_characteristic(feature: str, coefficient: float, attributes: Sequence[Attribute]) -> Characteristic:
    """Return the characteristic of a regression on weights of evidence: each attribute adds coefficient times weight.

    Raises:
        InvalidRequestError: an attribute without weight.
    """
    found = []
    for item in attributes:
        if item.woe is None:
            raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected weights of evidence in `{feature}`")
        found.append(replace(item, log_odds=coefficient * item.woe))
    return Characteristic(feature=feature, attributes=tuple(found))


def reason_codes(card: Scorecard, row: Mapping[str, Value], most: int = 4) -> tuple[Reason, ...]:
    """Return the characteristics that cost a row the most points, the costliest first, equal ones as the card has them.

    A characteristic in which nothing was lost is no reason.
    """
    points = card.row_points(row)
    lost = [(card.most(item) - points[item.feature], item) for item in card.characteristics]
    found = sorted(((cost, item) for cost, item in lost if cost > 0), key=lambda pair: -pair[0])
    return tuple(
        Reason(feature=item.feature, attribute=item.find(row[item.feature]), lost=cost) for cost, item in found[:most]
    )


def scorecard_json(card: Scorecard) -> dict[str, JsonValue]:
    """Return the scorecard as canonical JSON has it: decimal strings, no floats."""
    return {
        "v": 1,
        "kind": "scorecard",
        "scaling": card.scaling.to_json(),
        "places": card.places,
        "base": _points(card.base, card.places),
        "characteristics": [
            {
                "feature": item.feature,
                "attributes": [_attribute_json(card, one) for one in item.attributes],
                "most": _points(card.most(item), card.places),
            }
            for item in card.characteristics
        ],
    }


def _attribute_json(card: Scorecard, item: Attribute) -> dict[str, JsonValue]:
    first, last = (card.points(end) for end in item.ends)
    named = {"lower": item.lower, "upper": item.upper, "woe": item.woe, "log_odds": item.log_odds, "slope": item.slope}
    return {
        **{name: None if value is None else write_number(value) for name, value in named.items()},
        "codes": list(item.codes),
        "special": [write_number(value) for value in item.special],
        "is_missing": item.is_missing,
        "points": _points(first, card.places),
        "points_at_upper": None if item.slope is None else _points(last, card.places),
    }


def _points(value: float, places: int | None) -> str:
    return write_number(value) if places is None else rounded(value, places)


def _round(value: float, places: int | None) -> float:
    if places is None:
        return value
    return float(Decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)) + 0.0
