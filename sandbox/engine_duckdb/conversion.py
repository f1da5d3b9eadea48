"""From a source's types to a snapshot's: SQL that gives the stored value, or NULL for what the declaration forbids.

Nothing is rounded, guessed or cut (docs/data.md): a number with more digits than declared is a fault, not a smaller
number. One meaning has one stored value, whatever kind of source it came from.
"""

import re
from decimal import Decimal
from typing import Final

from sandbox.catalog.model import DataItem, ItemRole, ItemType
from sandbox.catalog.validate import MAX_FIXED_POINT
from sandbox.engine_duckdb.registry import normalised
from sandbox.engine_duckdb.sources import literal
from yingbi.events.fields import Grade

__all__ = ["converted", "fixed_point", "is_stored", "stored_type"]

_INTEGERS: Final = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}
    | {"UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"}
)
_TEXTS: Final = re.compile(r"VARCHAR|ENUM\(.*|UUID", re.DOTALL)
_TRUE: Final = ("true", "t", "1", "yes", "y", "是")
_FALSE: Final = ("false", "f", "0", "no", "n", "否")


def is_stored(item: DataItem) -> bool:
    """Tell whether a snapshot has a column for this item: identifiers, free text and what is denied have none."""
    return not (
        item.role is ItemRole.UNIT or item.type is ItemType.TEXT or item.on_negative_list or item.grade is Grade.CORE
    )


def stored_type(item: DataItem) -> str:
    """Return the DuckDB type of an item's column; a code's is the ENUM of its domain, in declared order."""
    match item.type:
        case ItemType.INTEGER | ItemType.DECIMAL:
            return "BIGINT"
        case ItemType.BOOLEAN:
            return "BOOLEAN"
        case ItemType.DATE:
            return "DATE"
        case ItemType.CODE if item.domain is not None:
            return f"ENUM({', '.join(map(literal, item.domain))})"
        case _:
            return "VARCHAR"


def fixed_point(value: Decimal, decimals: int) -> Decimal:
    """Return a number in the fixed point that an item's column is stored in."""
    return value.scaleb(decimals)


def converted(item: DataItem, column: str, source_type: str) -> str:
    """Return SQL for the stored value of `column`; NULL where it is absent or breaks the item's type or domain."""
    if not _is_readable(item, source_type):
        return f"CAST(NULL AS {stored_type(item)})"
    if item.role is ItemRole.UNIT:
        return normalised(f"CAST({column} AS VARCHAR)")
    match item.type:
        case ItemType.INTEGER | ItemType.DECIMAL:
            return _in_range(_number(item.decimals, column, source_type))
        case ItemType.BOOLEAN:
            return _boolean(column, source_type)
        case ItemType.DATE:
            return _date(column, source_type)
        case ItemType.CODE:
            return f"TRY_CAST({_trimmed(column)} AS {stored_type(item)})"
        case ItemType.TEXT:
            return f"CAST({column} AS VARCHAR)"


def _is_readable(item: DataItem, source_type: str) -> bool:
    if _TEXTS.fullmatch(source_type) or source_type in _INTEGERS:
        return item.type is not ItemType.DATE or source_type not in _INTEGERS
    match item.type:
        case ItemType.INTEGER | ItemType.DECIMAL:
            return source_type in ("DOUBLE", "FLOAT") or source_type.startswith("DECIMAL(")
        case ItemType.DATE:
            return source_type == "DATE" or source_type.startswith("TIMESTAMP")
        case ItemType.BOOLEAN:
            return source_type == "BOOLEAN"
        case _:
            return source_type == "DATE"


def _trimmed(column: str) -> str:
    return f"trim(CAST({column} AS VARCHAR))"


def _number(decimals: int, column: str, source_type: str) -> str:
    scale = 10**decimals
    if source_type in _INTEGERS:
        return f"TRY(CAST({column} AS HUGEINT) * {scale})"
    if source_type == "DOUBLE":
        # The double nearest to a decimal of the declared digits stands for it; any other has digits too many.
        fixed = f"round({column} * {scale}.0)"
        is_exact = (
            f"isfinite({column}) AND abs({column} * {scale}.0) < 9007199254740992 AND {fixed} / {scale}.0 = {column}"
        )
        return f"CASE WHEN {is_exact} THEN CAST({fixed} AS HUGEINT) END"
    text = _trimmed(column)
    pattern = literal(rf"[+-]?[0-9]{{1,19}}(\.[0-9]{{0,{decimals}}}0*)?")
    value = f"TRY_CAST({text} AS DECIMAL(38, {decimals})) * {scale}"
    return f"CASE WHEN regexp_full_match({text}, {pattern}) THEN TRY_CAST({value} AS HUGEINT) END"


def _in_range(number: str) -> str:
    return f"CASE WHEN {number} BETWEEN -{MAX_FIXED_POINT} AND {MAX_FIXED_POINT} THEN TRY_CAST({number} AS BIGINT) END"


def _boolean(column: str, source_type: str) -> str:
    if source_type == "BOOLEAN":
        return column
    text = f"lower({_trimmed(column)})"
    true, false = (", ".join(map(literal, words)) for words in (_TRUE, _FALSE))
    return f"CASE WHEN {text} IN ({true}) THEN true WHEN {text} IN ({false}) THEN false END"


def _date(column: str, source_type: str) -> str:
    if source_type == "DATE":
        return f"CASE WHEN isfinite({column}) THEN {column} END"
    if source_type.startswith("TIMESTAMP"):
        time = f"CAST({column} AS TIMESTAMP)"
        return f"CASE WHEN isfinite({time}) AND date_trunc('day', {time}) = {time} THEN CAST({time} AS DATE) END"
    text = _trimmed(column)
    dashed = literal(r"[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}( 00:00:00)?")
    compact = f"regexp_full_match({text}, '[0-9]{{8}}')"
    return (
        f"CASE WHEN regexp_full_match({text}, {dashed}) THEN TRY_CAST(replace(left({text}, 10), '/', '-') AS DATE)"
        f" WHEN {compact} THEN TRY_CAST(try_strptime({text}, '%Y%m%d') AS DATE) END"
    )
