"""Does a table keep to its declaration? Written plainly, apart from the product's own checks at publication."""

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from sandbox.catalog.model import DataItem, Dataset, ItemRole, ItemType


def broken(dataset: Dataset, table: pa.Table) -> set[str]:
    """Return what a table breaks, as `rule item`."""
    names = [item.name for item in dataset.items]
    if table.column_names != names:
        return {"columns"}
    found = {f"{rule} {item.name}" for item in dataset.items for rule in _broken_by(item, table[item.name])}
    units = table[dataset.unit_item.name].to_pylist()
    if max(Counter(units).values()) > dataset.max_rows_per_unit:
        found.add("rows a unit")
    keys = [item.name for item in dataset.items if item.role is not ItemRole.ATTRIBUTE]
    if len(set(zip(*(table[name].to_pylist() for name in keys), strict=True))) < table.num_rows:
        found.add("row key")
    return found


def _broken_by(item: DataItem, column: pa.ChunkedArray) -> set[str]:
    if not _fits(item, column.type):
        return {"type"}
    found = set()
    if column.null_count and not item.nullable:
        found.add("null")
    if item.bounds is not None and column.null_count < len(column):
        extremes = pc.min_max(column).as_py()
        if not item.bounds[0] <= extremes["min"] <= extremes["max"] <= item.bounds[1]:
            found.add("bounds")
    if item.domain is not None and not set(pc.unique(column).to_pylist()) - {None} <= set(item.domain):
        found.add("domain")
    return found


def _fits(item: DataItem, kind: pa.DataType) -> bool:
    match item.type:
        case ItemType.INTEGER:
            return bool(pa.types.is_int64(kind))
        case ItemType.DECIMAL:
            return bool(pa.types.is_decimal(kind)) and kind.scale == item.decimals
        case ItemType.BOOLEAN:
            return bool(pa.types.is_boolean(kind))
        case ItemType.DATE:
            return bool(pa.types.is_date32(kind))
        case _:
            return bool(pa.types.is_string(kind) or pa.types.is_dictionary(kind))
