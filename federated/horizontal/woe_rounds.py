"""WOE bins after their one exchange (docs/spec/recipes.md, "woe_bins").

INVARIANT: the same bits on every machine: whole numbers decide what is merged; logarithms are those of exact.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import sqrt
from typing import Final

import numpy as np

from federated.content import Arrays
from federated.horizontal.documents import model_head
from federated.horizontal.encoding import bin_counts, bin_offsets
from federated.horizontal.exact import add_up, log_odds
from federated.horizontal.layout import Layout, Part
from federated.horizontal.parameters import Direction, WoeParameters
from federated.horizontal.reading import number_text
from federated.horizontal.spec import Feature, Kind, TrainingSpec
from federated.horizontal.state import Phase, State
from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError

__all__ = ["Band", "Block", "advance", "band_of", "layout", "merge", "model", "parameters_of", "start"]


class Band(StrEnum):
    """What an information value is called (Siddiqi, "Credit Risk Scorecards", 2006)."""

    UNPREDICTIVE = "unpredictive"
    WEAK = "weak"
    MEDIUM = "medium"
    STRONG = "strong"
    SUSPICIOUS = "suspicious"


_BANDS: Final = ((0.02, Band.UNPREDICTIVE), (0.1, Band.WEAK), (0.3, Band.MEDIUM), (0.5, Band.STRONG))


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Public bins that are one bin of the model, with the rows that are no event and those that are."""

    bins: tuple[int, ...]
    others: int
    events: int

    @property
    def rows(self) -> int:
        """Return how many rows it has."""
        return self.others + self.events

    def with_(self, other: "Block") -> "Block":
        """Return both as one."""
        return Block(
            bins=tuple(sorted(self.bins + other.bins)),
            others=self.others + other.others,
            events=self.events + other.events,
        )


def parameters_of(spec: TrainingSpec) -> WoeParameters:
    """Return the typed parameters.

    Raises:
        InvalidRequestError: the specification is of another recipe.
    """
    if not isinstance(spec.parameters, WoeParameters):
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected parameters of `woe_bins`")
    return spec.parameters


def start(spec: TrainingSpec) -> State:
    """Return the state before the exchange."""
    return State(phase=Phase.TRAIN, step=0, arrays={"counts": np.zeros((_bins(spec), 2))})


def layout(spec: TrainingSpec, state: State) -> Layout:
    """Return what the exchange sends: rows by bin and target; a record is in one bin of each feature."""
    part = Part(name="counts", shape=(_bins(spec), 2), bound=float(spec.max_rows), is_count=True)
    return Layout(parts=(part,), sensitivity=sqrt(float(len(spec.features))))


def advance(spec: TrainingSpec, state: State, sums: Arrays, parties: int) -> State:
    """Return the last state.

    Raises:
        RefusedError: too few rows of a target for even one bin.
    """
    counts = np.array(sums["counts"], dtype=np.float64)
    done = State(phase=Phase.DONE, step=state.step + 1, arrays={"counts": counts})
    for blocks in _blocks(spec, done):
        others, events = _totals(blocks)
        if not _is_enough(spec, Block(bins=(), others=others, events=events)) or min(others, events) < _least(spec):
            raise RefusedError(ErrorCode.JOB_REFUSED, f"expected at least {_least(spec)} rows of each target")
    return done


def model(spec: TrainingSpec, state: State) -> dict[str, JsonValue]:
    """Return the model document: of each feature its bins, their WOE, and its information value."""
    features = [
        _described(spec, feature, blocks) for feature, blocks in zip(spec.features, _blocks(spec, state), strict=True)
    ]
    return {**model_head(spec), "woe": "ln(share of others / share of events)", "variables": list(features)}


def band_of(information: float) -> Band:
    """Return what an information value is called."""
    return next((band for limit, band in _BANDS if information < limit), Band.SUSPICIOUS)


def merge(spec: TrainingSpec, feature: Feature, blocks: Sequence[Block]) -> list[Block]:
    """Merge the public bins of one feature until the rest is monotonic, and large enough to be told.

    Bins that are too small are merged by their place or size, never by their own bad rate alone; a missing bin without
    rows looks like one with few.
    """
    ordinary = len(feature.codes) if feature.kind is Kind.CODED else len(feature.edges) + 1
    if feature.kind is Kind.CODED:
        return _absorb(spec, *_pooled(spec, blocks))
    extra, small = _pooled(spec, blocks[ordinary:])
    direction = parameters_of(spec).direction
    tried = [direction] if direction is not Direction.AUTO else [Direction.INCREASING, Direction.DECREASING]
    results = [_ordered(spec, list(blocks[:ordinary]), extra, small, each) for each in tried]
    return max(results, key=_information)  # the first among equals


def _bins(spec: TrainingSpec) -> int:
    return bin_offsets(bin_counts(spec.features, with_special=True))[-1]


def _least(spec: TrainingSpec) -> int:
    return max(spec.min_entities, parameters_of(spec).min_events)


def _blocks(spec: TrainingSpec, state: State) -> list[list[Block]]:
    """Return the public bins of each feature; noisy counts are rounded and never negative."""
    offsets = bin_offsets(bin_counts(spec.features, with_special=True))
    rows = [tuple(max(0, round(count)) for count in pair) for pair in state.arrays["counts"].tolist()]
    return [
        [Block(bins=(n,), others=pair[0], events=pair[1]) for n, pair in enumerate(rows[first:end])]
        for first, end in pairwise(offsets)
    ]


def _totals(blocks: Sequence[Block]) -> tuple[int, int]:
    others = events = 0
    for block in blocks:
        others += block.others
        events += block.events
    return others, events


def _is_enough(spec: TrainingSpec, block: Block) -> bool:
    least = parameters_of(spec).min_events
    return block.rows >= spec.min_entities and min(block.others, block.events) >= least


def _pooled(spec: TrainingSpec, blocks: Sequence[Block]) -> tuple[list[Block], Block | None]:
    """Return the blocks that are large enough, with the others as one where that is; else the others apart."""
    enough = [block for block in blocks if _is_enough(spec, block)]
    pool: Block | None = None
    for block in blocks:
        if not _is_enough(spec, block):
            pool = block if pool is None else pool.with_(block)
    if pool is not None and _is_enough(spec, pool):
        return [*enough, pool], None
    return enough, pool


def _absorb(spec: TrainingSpec, blocks: list[Block], small: Block | None) -> list[Block]:
    """Put a block that is too small into the largest one."""
    if small is None:
        return blocks
    if not blocks:
        return [small]
    largest = max(range(len(blocks)), key=lambda n: (blocks[n].rows, -n))
    blocks = [block.with_(small) if n == largest else block for n, block in enumerate(blocks)]
    return sorted(blocks, key=lambda block: block.bins)


def _ordered(
    spec: TrainingSpec, blocks: list[Block], extra: list[Block], small: Block | None, direction: Direction
) -> list[Block]:
    blocks = _enlarged(spec, _monotonic(blocks, direction))
    if small is not None and _is_enough(spec, blocks[0]):
        # What comes into the largest block can break the order: it is restored over blocks.
        blocks = _enlarged(spec, _monotonic(_in_place(_absorb(spec, blocks, small)), direction))
        small = None
    if not _is_enough(spec, blocks[0]):
        rest = blocks[0] if small is None else blocks[0].with_(small)
        return _absorb(spec, extra, rest)
    return [*blocks, *extra]


def _in_place(blocks: list[Block]) -> list[Block]:
    """Return blocks in the order of their lowest bins: missing and special ones stand last within a block."""
    return sorted(blocks, key=lambda block: block.bins[0])


def _monotonic(blocks: list[Block], direction: Direction) -> list[Block]:
    """Pool neighbours until the bad rate goes strictly one way (pool adjacent violators, Ayer et al. 1955)."""
    if direction is Direction.ANY:
        return blocks
    done: list[Block] = []
    for block in blocks:
        done.append(block)
        while len(done) > 1 and not _is_in_order(done[-2], done[-1], direction):
            last = done.pop()
            done[-1] = done[-1].with_(last)
    return done


def _is_in_order(one: Block, other: Block, direction: Direction) -> bool:
    left, right = one.events * other.rows, other.events * one.rows
    return left < right if direction is Direction.INCREASING else left > right


def _enlarged(spec: TrainingSpec, blocks: list[Block]) -> list[Block]:
    """Merge blocks that are too small with the neighbour of the nearer bad rate, the smallest first."""
    while len(blocks) > 1:
        small = [n for n, block in enumerate(blocks) if not _is_enough(spec, block)]
        if not small:
            break
        first = min(small, key=lambda n: (blocks[n].rows, n))
        left = _nearer(blocks, first)
        blocks = [*blocks[:left], blocks[left].with_(blocks[left + 1]), *blocks[left + 2 :]]
    return blocks


def _nearer(blocks: list[Block], at: int) -> int:
    """Return the left one of the two neighbours that are to be merged."""
    if at in (0, len(blocks) - 1):
        return max(0, at - 1)
    below, own, above = blocks[at - 1 : at + 2]
    to_below = abs(own.events * below.rows - below.events * own.rows) * max(above.rows, 1)
    to_above = abs(own.events * above.rows - above.events * own.rows) * max(below.rows, 1)
    return at - 1 if to_below <= to_above else at


def _woe(block: Block, others: int, events: int) -> float:
    return log_odds(block.others * events, block.events * others)


def _information(blocks: Sequence[Block]) -> float:
    others, events = _totals(blocks)
    return add_up(_gain(block, others, events) for block in blocks)


def _gain(block: Block, others: int, events: int) -> float:
    return (block.others / others - block.events / events) * _woe(block, others, events)


def _described(spec: TrainingSpec, feature: Feature, blocks: list[Block]) -> dict[str, JsonValue]:
    merged = merge(spec, feature, blocks)
    information = _information(merged)
    others, events = _totals(merged)
    bins = [
        {
            **_members(feature, block),
            "rows": block.rows,
            "events": block.events,
            "woe": number_text(_woe(block, others, events)),
            "iv": number_text(_gain(block, others, events)),
        }
        for block in merged
    ]
    return {
        "feature": feature.name,
        "iv": number_text(information),
        "band": str(band_of(information)),
        "bins": list(bins),
    }


def _members(feature: Feature, block: Block) -> dict[str, JsonValue]:
    """Describe what is in a block: codes, or a range of numbers (from <= x < to); missing and special values."""
    if feature.kind is Kind.CODED:
        codes: list[JsonValue] = [feature.codes[n] for n in block.bins if n < len(feature.codes)]
        return {"codes": codes, "missing": len(feature.codes) in block.bins}
    last = len(feature.edges)
    ordinary = [n for n in block.bins if n <= last]
    special: list[JsonValue] = [number_text(feature.special[n - last - 2]) for n in block.bins if n > last + 1]
    ends: dict[str, JsonValue] = {"from": None, "to": None}
    if ordinary:
        low, high = ordinary[0], ordinary[-1]
        ends["from"] = number_text(feature.edges[low - 1]) if low > 0 else None
        ends["to"] = number_text(feature.edges[high]) if high < last else None
    return {"is_range": bool(ordinary), **ends, "missing": last + 1 in block.bins, "special": special}
