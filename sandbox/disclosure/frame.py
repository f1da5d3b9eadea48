"""A released table as a pandas frame, for notebooks."""

from typing import Any

import pandas as pd

from sandbox.disclosure.released import ColumnKind, ReleasedTable

__all__ = ["TOTAL", "to_dataframe"]

TOTAL = "(total)"
"""How the total over a dimension is named in a frame; `attrs["totals"]` says which cells are meant."""


def to_dataframe(table: ReleasedTable) -> Any:
    """Return the table as a `pandas.DataFrame`, with its columns as shown.

    Values are `Int64`, or `Float64` where they have a fraction. A suppressed value is `pandas.NA`, and so is null: the
    companion `attrs["suppressed"]` lists (row, column) of what is suppressed, `attrs["totals"]` of what is a total,
    `attrs["rules"]` says by what and why.
    """
    dimensions = sum(column.kind is ColumnKind.DIMENSION for column in table.columns)
    frame = pd.DataFrame(index=pd.RangeIndex(len(table.rows)))
    suppressed: list[tuple[int, str]] = []
    totals: list[tuple[int, str]] = []
    for place, column in enumerate(table.columns):
        if place < dimensions:
            frame[column.name] = _categories(table, place)
            totals += [(number, column.name) for number, row in enumerate(table.rows) if row.totals[place]]
        else:
            frame[column.name] = _numbers(table, place - dimensions)
            gone = [row.suppressed[place - dimensions] for row in table.rows]
            suppressed += [(number, column.name) for number, is_gone in enumerate(gone) if is_gone]
    shown = frame[list(table.order)]
    shown.attrs["suppressed"] = suppressed
    shown.attrs["totals"] = totals
    shown.attrs["rules"] = {
        "digest": table.rules,
        "suppressed_for": [risk.value for risk in table.risks],
        "rounding": table.rounding,
    }
    return shown


def _categories(table: ReleasedTable, place: int) -> Any:
    texts = [TOTAL if row.totals[place] else row.keys[place] for row in table.rows]
    return pd.Series(texts, dtype="string")


def _numbers(table: ReleasedTable, place: int) -> Any:
    texts = [None if row.suppressed[place] else row.values[place] for row in table.rows]
    is_whole = all(text is None or ("." not in text and abs(int(text)) < 2**63) for text in texts)
    numbers = [pd.NA if text is None else (int(text) if is_whole else float(text)) for text in texts]
    return pd.Series(numbers, dtype="Int64" if is_whole else "Float64")
