"""Scaling of log odds to points: so many points at these odds, and so many more each time the odds double (PDO)."""

import math
from dataclasses import dataclass
from typing import Final

from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.models.numbers import ln, read_number, write_number

__all__ = ["USUAL_SCALING", "Scaling"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """`points` at odds of `odds` goods to one bad; `pdo` points more double the odds. More points are better.

    Raises:
        InvalidRequestError: odds or points to double them that are not positive, or anything infinite.
    """

    points: float
    odds: float
    pdo: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.points, self.odds, self.pdo))) or self.odds <= 0 or self.pdo <= 0:
            raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected positive `odds` and `pdo`")

    @property
    def factor(self) -> float:
        """Return how many points one unit of log odds is worth."""
        return self.pdo / ln(2.0)

    @property
    def offset(self) -> float:
        """Return the points at even odds."""
        return self.points - self.factor * ln(self.odds)

    def score(self, log_odds: float) -> float:
        """Return the points of log odds of the event (the bad)."""
        return self.offset - self.factor * log_odds

    def log_odds(self, score: float) -> float:
        """Return the log odds of the event that a score stands for."""
        return (self.offset - score) / self.factor

    def to_json(self) -> dict[str, JsonValue]:
        """Return the scaling as decimal strings."""
        return {name: write_number(getattr(self, name)) for name in ("points", "odds", "pdo")}

    @classmethod
    def from_json(cls, value: object) -> "Scaling":
        """Read a scaling.

        Raises:
            InvalidRequestError: other members, or no decimal strings.
        """
        if not isinstance(value, dict) or set(value) != {"points", "odds", "pdo"}:
            raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected `points`, `odds` and `pdo`")
        return cls(**{name: read_number(value[name], name) for name in ("points", "odds", "pdo")})


USUAL_SCALING: Final = Scaling(points=600.0, odds=50.0, pdo=20.0)
"""600 points at 50 to 1, 20 points to double the odds."""
