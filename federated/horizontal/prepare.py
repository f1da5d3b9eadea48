"""From columns as an engine gives them (NumPy, pandas, Arrow) to a `Table`; no message tells a value."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from federated.horizontal.holdout import hold_out
from federated.horizontal.reading import number_text, parse_number
from federated.horizontal.spec import Feature, Kind, TrainingSpec
from federated.horizontal.table import Table, check_table
from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["coded_column", "numeric_column", "prepare", "target_column"]


def prepare(spec: TrainingSpec, columns: Mapping[str, Any], *, keys: Sequence[bytes], secret: bytes) -> Table:
    """Return a node's rows as a table.

    `columns`: by name, arrays, series or Arrow columns of one length; others than the specification's are left aside.
    `keys`: the entity of each row; `secret`: the node's, for the hold-out.

    Raises:
        InvalidRequestError: a column is missing or has another length, a value is no number or no public code, a target
            is missing, or an entity has several rows.
    """
    if len(set(keys)) < len(keys):
        # INVARIANT: one row an entity: thresholds and sensitivities count rows.
        raise InvalidRequestError(ErrorCode.DATA_INVALID, "expected one row for each entity")
    taken = {feature.name: _column(columns, feature.name, len(keys)) for feature in spec.features}
    table = Table(
        columns={
            feature.name: coded_column(feature, taken[feature.name])
            if feature.kind is Kind.CODED
            else numeric_column(feature, taken[feature.name])
            for feature in spec.features
        },
        target=target_column(spec, _column(columns, spec.target, len(keys))),
        is_held_out=hold_out(keys, secret=secret, share=spec.hold_out),
    )
    check_table(spec, table)
    return table


def numeric_column(feature: Feature, column: Any) -> NDArray[np.float64]:
    """Return a column as float64, NaN where missing; infinite values are refused."""
    values = _values(column, feature.name)
    if values.dtype.kind not in "iufbO":
        raise _invalid("numbers", feature.name)
    try:
        # Missing values of all sorts are None here (or NaN); texts are no numbers, even those that look like one.
        if values.dtype.kind == "O":
            values = np.array([np.nan if _is_missing(value) else _number(value) for value in values.tolist()])
        numbers = values.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise _invalid("numbers", feature.name) from None
    if bool(np.isinf(numbers).any()):
        raise _invalid("finite numbers", feature.name)
    return numbers


def coded_column(feature: Feature, column: Any) -> NDArray[np.int64]:
    """Return a column as indices into the public codes, -1 where missing; numbers match codes by their value."""
    values, places = _distinct(column, feature.name)
    index = {code: n for n, code in enumerate(feature.codes)}
    for code, n in list(index.items()):
        number = parse_number(code)
        if number is not None:
            index.setdefault(number_text(number), n)
    found = [-1 if _is_missing(value) else index.get(_text(value), -2) for value in values]
    if -2 in found:
        raise _invalid("public codes only", feature.name)
    return np.array(found, dtype=np.int64)[places] if found else np.zeros(0, dtype=np.int64)


def target_column(spec: TrainingSpec, column: Any) -> NDArray[np.int64]:
    """Return 1 where the target is the event, else 0; a row without a target is refused."""
    values, places = _distinct(column, spec.target)
    if any(_is_missing(value) for value in values):
        raise _invalid("a target in every row", spec.target)
    number = parse_number(spec.positive)
    positive = {spec.positive} if number is None else {spec.positive, number_text(number)}
    found = [int(_text(value) in positive) for value in values]
    return np.array(found, dtype=np.int64)[places] if found else np.zeros(0, dtype=np.int64)


def _column(columns: Mapping[str, Any], name: str, rows: int) -> Any:
    if name not in columns:
        raise InvalidRequestError(ErrorCode.DATA_INVALID, f"expected a column `{name}`")
    column = columns[name]
    if len(column) != rows:
        raise _invalid("one value a row", name)
    return column


def _values(column: Any, name: str) -> NDArray[Any]:
    """Return a column's values in one dimension; Arrow and pandas hand over arrays, missing values as None or NaN."""
    if isinstance(column, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(column).tolist()
        column = [None if is_hidden else value for value, is_hidden in zip(column.data, hidden, strict=True)]
    try:
        values = np.asarray(column)
    except ValueError:
        # Its message would show values.
        values = np.zeros((0, 0))
    if values.ndim != 1:
        raise _invalid("one value a row", name)
    return values


def _distinct(column: Any, name: str) -> tuple[list[Any], NDArray[np.int64]]:
    """Return the distinct values, and the place of each row's value among them."""
    place: dict[Any, int] = {}
    places = []
    for value in _values(column, name).tolist():
        key = (
            None if _is_missing(value) else (type(value), value if isinstance(value, str | int | float) else str(value))
        )
        places.append(place.setdefault(key, len(place)))
    return [None if key is None else key[1] for key in place], np.array(places, dtype=np.int64)


def _is_missing(value: Any) -> bool:
    # NaN, NaT and pandas' NA are the values that are not equal to themselves, or do not say whether they are.
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and value != value


def _number(value: Any) -> float:
    if isinstance(value, str | bytes):
        raise TypeError
    return float(value)


def _text(value: Any) -> str:
    """Return a value as codes are written: whole numbers without a point, booleans as true and false."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return number_text(value) if abs(value) < 2**53 else str(value)
    if isinstance(value, float):
        return number_text(value)
    return str(value)


def _invalid(expected: str, name: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.DATA_INVALID, f"expected {expected} in `{name}`")
