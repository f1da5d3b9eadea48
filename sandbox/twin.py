"""The synthetic twin of a data set: a table of its shape, made from its declaration alone, to develop against.

*Guarantee*: a twin is a function of the (public) declaration, a number of rows and a seed; no data are read, so that
nothing of them can be in it. *Not given*: any resemblance. Marginals, correlations and shares of nulls are made up.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sandbox.catalog.model import DataItem, Dataset, ItemRole, ItemType
from sandbox.synth.identifiers import make_person_ids, make_usccs
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events.fields import Grade, PrivacyUnit

__all__ = ["MAX_TWIN_ROWS", "make_twin"]

MAX_TWIN_ROWS: Final = 10_000_000

_NULL_SHARE: Final = 0.05
_EPOCH: Final = np.datetime64("2020-01-01", "D")
_UNDECLARED: Final = 1000

Ints = NDArray[np.int64]


def make_twin(dataset: Dataset, rows: int, seed: int) -> pa.Table:
    """Make a table that keeps to a declaration: types, domains, bounds, rows of a unit, row keys, hierarchies.

    Units are the same in all twins: two data sets of one privacy unit join, on identifiers that are nobody's. A code
    belongs to the parent whose text it begins with; where none does, parents share the codes out in declared order.
    Items on the negative list or graded core are left out.

    Raises:
        InvalidRequestError: `rows` is out of range.
    """
    if not 0 <= rows <= MAX_TWIN_ROWS:
        raise InvalidRequestError(ErrorCode.USAGE, f"expected 0 to {MAX_TWIN_ROWS} rows, got {rows}")
    random = np.random.default_rng(seed)
    unit, nth = _units(dataset, rows, random)
    codes = _codes(dataset, len(unit), random)
    columns = {
        item.name: _column(item, dataset, unit, nth, codes, random)
        for item in dataset.items
        if not item.on_negative_list and item.grade is not Grade.CORE
    }
    return pa.table(columns)


def _units(dataset: Dataset, rows: int, random: np.random.Generator) -> tuple[Ints, Ints]:
    """Return for each row whose it is, and which one of that unit: units from 0 on, 1 to K rows each."""
    most = min(dataset.max_rows_per_unit, _row_keys(dataset))
    counts = random.integers(1, most, rows, endpoint=True)
    unit = np.repeat(np.arange(rows), counts)[:rows]
    starts = np.concatenate([[0], np.cumsum(counts)])
    return unit, np.arange(rows) - starts[unit]


def _row_keys(dataset: Dataset) -> int:
    """Return how many row keys a unit can have."""
    keys = [item for item in dataset.items if item.role is ItemRole.ROW_KEY]
    return max((_key_values(item) for item in keys), default=1)


def _key_values(item: DataItem) -> int:
    if item.type is ItemType.CODE and item.domain:
        return len(item.domain)
    if item.type is ItemType.BOOLEAN:
        return 2
    if item.bounds is not None:
        low, high = _fixed_bounds(item)
        return high - low + 1
    return MAX_TWIN_ROWS


def _column(
    item: DataItem,
    dataset: Dataset,
    unit: Ints,
    nth: Ints,
    codes: Mapping[str, Ints],
    random: np.random.Generator,
) -> pa.Array:
    if item.role is ItemRole.UNIT:
        return _identifiers(dataset.privacy_unit, unit)
    if item.role is ItemRole.ROW_KEY:
        return _rendered(item, nth % _key_values(item) + _least(item))
    values = codes[item.name] if item.name in codes else _drawn(item, len(unit), random)
    is_null = random.random(len(unit)) < _NULL_SHARE if item.nullable else None
    return _rendered(item, values, is_null)


def _identifiers(kind: PrivacyUnit, unit: Ints) -> pa.Array:
    count = int(unit.max(initial=-1)) + 1
    if kind is PrivacyUnit.ENTERPRISE:
        made = make_usccs(count, 0)
    else:
        numbers = np.arange(count)
        born_on = np.datetime64("1950-01-01", "D") + (numbers * 7919 % 20_000).astype("timedelta64[D]")
        made = make_person_ids(born_on, numbers % 2 == 0, 0)
    texts = np.ascontiguousarray(made).view("S18").ravel().astype("U18")
    return pa.array(texts[unit], pa.string())


def _least(item: DataItem) -> int:
    return _fixed_bounds(item)[0] if item.type in (ItemType.INTEGER, ItemType.DECIMAL) else 0


def _drawn(item: DataItem, count: int, random: np.random.Generator) -> Ints:
    """Draw values: numbers and dates from bins between declared edges, each as often, so that every bin has some."""
    match item.type:
        case ItemType.INTEGER | ItemType.DECIMAL:
            low, high = _fixed_bounds(item)
            inner = [int(Decimal(edge).scaleb(item.decimals)) for edge in item.edges or ()]
            return _binned(sorted({low, *(edge for edge in inner if low < edge < high), high}), count, random)
        case ItemType.DATE:
            days = [int((np.datetime64(edge, "D") - _EPOCH).astype(np.int64)) for edge in item.edges or ()]
            return _binned(days if len(days) > 1 else [0, 2000], count, random)
        case ItemType.BOOLEAN:
            return random.integers(0, 2, count)
        case _:
            return random.integers(0, _UNDECLARED, count)


def _binned(edges: list[int], count: int, random: np.random.Generator) -> Ints:
    if len(edges) == 1:
        return np.full(count, edges[0], np.int64)
    ends = np.array(edges, np.int64)
    at = random.integers(0, len(edges) - 1, count)
    return random.integers(ends[at], ends[at + 1], endpoint=True)


def _fixed_bounds(item: DataItem) -> tuple[int, int]:
    if item.bounds is None:
        return 0, _UNDECLARED * 10**item.decimals
    low, high = (bound.scaleb(item.decimals) for bound in item.bounds)
    return int(low.to_integral_value("ROUND_CEILING")), int(high.to_integral_value("ROUND_FLOOR"))


def _codes(dataset: Dataset, count: int, random: np.random.Generator) -> dict[str, Ints]:
    """Draw the codes of all items with a domain, parents first, as indices into their domains."""
    drawn: dict[str, Ints] = {}
    items = {item.name: item for item in dataset.items if item.type is ItemType.CODE and item.domain}

    def draw(item: DataItem, seen: frozenset[str]) -> None:
        parent = items.get(item.parent or "")
        size = len(item.domain or ())
        if parent is None or parent.name in seen:
            drawn[item.name] = random.integers(0, size, count)
            return
        if parent.name not in drawn:
            draw(parent, seen | {item.name})
        drawn[item.name] = _children(drawn[parent.name], _parents(item, parent), random)

    for item in items.values():
        if item.name not in drawn:
            draw(item, frozenset())
    return drawn


def _parents(item: DataItem, parent: DataItem) -> Ints:
    """Return for each code of `item` the index of its parent."""
    names, codes = parent.domain or (), item.domain or ()
    longest = sorted(range(len(names)), key=lambda at: -len(names[at]))
    found = [next((at for at in longest if code.startswith(names[at])), None) for code in codes]
    shared = [at * len(names) // len(codes) for at in range(len(codes))]
    return np.array(
        [share if known is None else known for known, share in zip(found, shared, strict=True)], dtype=np.int64
    )


def _children(drawn: Ints, parents: Ints, random: np.random.Generator) -> Ints:
    """Draw for each drawn parent one of its codes; for one that has none, any."""
    order = np.argsort(parents, kind="stable")
    first = np.searchsorted(parents[order], drawn, "left")
    count = np.searchsorted(parents[order], drawn, "right") - first
    inside = first + (random.random(len(drawn)) * count).astype(np.int64)
    anywhere = random.integers(0, len(parents), len(drawn))
    result: Ints = order[np.where(count > 0, inside, anywhere)]
    return result


def _rendered(item: DataItem, values: Ints, is_null: NDArray[np.bool_] | None = None) -> pa.Array:
    make = _RENDERERS[item.type]
    column = make(item, values)
    if is_null is None:
        return column
    return pc.if_else(pa.array(is_null), pa.nulls(len(column), column.type), column)


def _decimals(item: DataItem, values: Ints) -> pa.Array:
    whole = pa.array(values, pa.int64()).cast(pa.decimal128(38, 0))
    return pa.Array.from_buffers(pa.decimal128(38, item.decimals), len(whole), whole.buffers())


def _texts(item: DataItem, values: Ints) -> pa.Array:
    if item.type is ItemType.CODE and item.domain:
        return pa.array(np.array(item.domain, dtype=object)[values], pa.string())
    return pa.array([f"{item.name}-{value:06}" for value in values.tolist()], pa.string())


_RENDERERS: Final[Mapping[ItemType, Callable[[DataItem, Ints], Any]]] = {
    ItemType.INTEGER: lambda _, values: pa.array(values, pa.int64()),
    ItemType.DECIMAL: _decimals,
    ItemType.BOOLEAN: lambda _, values: pa.array(values == 1, pa.bool_()),
    ItemType.DATE: lambda _, values: pa.array(_EPOCH + values.astype("timedelta64[D]")),
    ItemType.CODE: _texts,
    ItemType.TEXT: _texts,
}
