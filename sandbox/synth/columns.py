"""From NumPy arrays to Arrow columns of the type that a data item declares, without a loop over rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sandbox.catalog.model import DataItem, Dataset, ItemType

__all__ = [
    "Columns",
    "Values",
    "arrow_column",
    "arrow_schema",
    "arrow_table",
    "days",
    "fixed_point",
    "in_bounds",
    "text_array",
    "texts",
]

Array = NDArray[Any]
_EPOCH: Final = date(1970, 1, 1)
_DECIMAL_DIGITS: Final = 18
_PLAIN: Final = {ItemType.INTEGER: pa.int64(), ItemType.BOOLEAN: pa.bool_(), ItemType.DATE: pa.date32()}


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """A column: what `data` holds depends on the item's type, and `known` (bool) says where there is a value.

    INTEGER: int64. DECIMAL: int64, fixed-point of the item's scale. BOOLEAN: bool. DATE: int32, days since 1970.
    CODE: an index into the item's domain. TEXT: uint8 of shape (rows, bytes), UTF-8 of fixed width.
    """

    data: Array
    known: NDArray[np.bool_] | None = None


Columns = Mapping[str, Values]


def arrow_schema(dataset: Dataset) -> pa.Schema:
    """Return the schema of a data set's table: an item's own name and type, in the declared order."""
    return pa.schema([pa.field(item.name, _arrow_type(item), nullable=item.nullable) for item in dataset.items])


def arrow_table(dataset: Dataset, columns: Columns) -> pa.Table:
    """Return the table that has a column for each item of a data set."""
    arrays = [arrow_column(item, columns[item.name]) for item in dataset.items]
    return pa.Table.from_arrays(arrays, schema=arrow_schema(dataset))


def arrow_column(item: DataItem, values: Values) -> pa.Array:
    """Return a column as the Arrow array that its item's type asks for."""
    match item.type:
        case ItemType.TEXT:
            return _text_array(values)
        case ItemType.CODE:
            indices = _plain_array(pa.int32(), values.data.astype(np.int32), values.known)
            return pa.DictionaryArray.from_arrays(indices, text_array(item.domain or ()))
        case ItemType.DECIMAL:
            # A decimal of 128 bits is two words, the lower one first: the number, and its sign all over again.
            words = np.stack([values.data, values.data >> 63], axis=1)
            return _plain_array(_arrow_type(item), words, values.known)
        case ItemType.BOOLEAN:
            return _plain_array(pa.bool_(), np.packbits(values.data, bitorder="little"), values.known, len(values.data))
        case ItemType.INTEGER:
            return _plain_array(pa.int64(), values.data.astype(np.int64), values.known)
        case ItemType.DATE:
            return _plain_array(pa.date32(), values.data.astype(np.int32), values.known)


def texts(parts: Iterable[Array | bytes]) -> Array:
    """Put byte matrices and constants side by side: a text of fixed width in each row."""
    listed = list(parts)
    rows = next(len(part) for part in listed if not isinstance(part, bytes))
    matrices = [
        np.broadcast_to(np.frombuffer(part, dtype=np.uint8), (rows, len(part))) if isinstance(part, bytes) else part
        for part in listed
    ]
    return np.concatenate(matrices, axis=1)


def fixed_point(numbers: NDArray[np.float64], decimals: int) -> NDArray[np.int64]:
    """Round to integers of a scale."""
    rounded: NDArray[np.int64] = np.rint(numbers * 10**decimals).astype(np.int64)
    return rounded


def in_bounds(dataset: Dataset, name: str, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return fixed-point values moved into the bounds that an item declares."""
    item = next(item for item in dataset.items if item.name == name)
    if item.bounds is None:
        return values
    least, most = item.bounds
    inside: NDArray[np.int64] = np.clip(values, int(least.scaleb(item.decimals)), int(most.scaleb(item.decimals)))
    return inside


def text_array(values: Sequence[str]) -> pa.Array:
    """Return texts as an Arrow array."""
    # Made from buffers: for a list or a NumPy array Arrow would import pandas, which takes longer than small scales.
    encoded = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(encoded), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    )


def days(day: str) -> int:
    """Return an ISO date as days since 1970."""
    return (date.fromisoformat(day) - _EPOCH).days


def _arrow_type(item: DataItem) -> pa.DataType:
    if item.type is ItemType.DECIMAL:
        return pa.decimal128(_DECIMAL_DIGITS, item.decimals)
    if item.type is ItemType.CODE:
        return pa.dictionary(pa.int32(), pa.string())
    return _PLAIN.get(item.type, pa.string())


def _text_array(values: Values) -> pa.Array:
    rows, width = values.data.shape
    lengths = np.full(rows, width) if values.known is None else values.known * width
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
    data = values.data if values.known is None else values.data[values.known]
    buffers = [_validity(values.known), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(pa.string(), rows, buffers)


def _plain_array(kind: pa.DataType, data: Array, known: NDArray[np.bool_] | None, rows: int | None = None) -> pa.Array:
    buffers = [_validity(known), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(kind, len(data) if rows is None else rows, buffers)


def _validity(known: NDArray[np.bool_] | None) -> pa.Buffer | None:
    return None if known is None else pa.py_buffer(np.packbits(known, bitorder="little"))
