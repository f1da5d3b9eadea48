"""Drafts of catalogue entries from a Parquet file's schema or a database's table (docs/catalogue.md, "Drafts").

Only the schema is read, never a row. A draft is as strict as can be: every item confidential and ungraded, a text
column that of codes without a domain, the rest for a person to declare. `check_dataset` then says what is missing.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, Engine, inspect, types
from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError

from sandbox.catalog.grades import DRAFT_GRADE
from sandbox.catalog.model import DataItem, Dataset, ItemRole, ItemType, Visibility
from sandbox.catalog.problem import CatalogueInvalidError, Problem
from sandbox.catalog.validate import MAX_DECIMALS, MAX_LABEL, NAME_PATTERN, is_label
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.events.fields import Openness, PrivacyUnit

__all__ = ["DraftHead", "draft_from_arrow", "draft_from_database", "draft_from_parquet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftHead:
    """What no schema says: the data set's names, whose it is, and which column identifies the privacy unit.

    `names` gives items other names than their columns have, which columns with Chinese names need.
    """

    name: str
    title: str
    owner: str
    privacy_unit: PrivacyUnit
    unit_column: str
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A column as its schema tells: no type where it has no counterpart here, and then why."""

    name: str
    type: ItemType | None
    refusal: str = ""
    decimals: int = 0
    nullable: bool = True
    domain: tuple[str, ...] | None = None
    title: str | None = None
    is_key: bool = False


def draft_from_arrow(schema: pa.Schema, head: DraftHead) -> Dataset:
    """Return a draft from an Arrow schema.

    Raises:
        CatalogueInvalidError: columns have types or names with no counterpart; `problems` lists them all.
    """
    return _draft([_arrow_column(each) for each in schema], head)


def draft_from_parquet(path: Path, head: DraftHead) -> Dataset:
    """Return a draft from the schema in a Parquet file's footer.

    Raises:
        InvalidRequestError: not a Parquet file.
        CatalogueInvalidError: columns have types or names with no counterpart.
    """
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException):
        # SECURITY: the reader's own text may quote the file.
        raise InvalidRequestError(ErrorCode.SOURCE_UNREADABLE, "expected a Parquet file that can be read") from None
    return draft_from_arrow(schema, head)


def draft_from_database(
    source: Engine | Connection, table: str, head: DraftHead, *, schema: str | None = None
) -> Dataset:
    """Return a draft from a table of a database (SQLite, PostgreSQL); its primary key becomes the row key.

    Raises:
        InvalidRequestError: there is no such table, or the database does not answer.
        CatalogueInvalidError: columns have types or names with no counterpart.
    """
    try:
        inspector = inspect(source)
        columns = inspector.get_columns(table, schema=schema)
        keys = frozenset(inspector.get_pk_constraint(table, schema=schema)["constrained_columns"])
    except NoSuchTableError:
        raise InvalidRequestError(ErrorCode.SOURCE_UNREADABLE, "expected a table of the database") from None
    except SQLAlchemyError as error:
        raise InvalidRequestError(
            ErrorCode.SOURCE_UNREADABLE, "the database cannot be read", detail=type(error).__name__
        ) from None
    return _draft([_sql_column(each, is_key=each["name"] in keys) for each in columns], head)


def _draft(columns: Iterable[_Column], head: DraftHead) -> Dataset:
    found = list(columns)
    named = [(column, head.names.get(column.name) or _item_name(column.name)) for column in found]
    problems = [problem for column, name in named for problem in _refusals(column, name)]
    if head.unit_column not in {column.name for column in found}:
        problems.append(Problem(path="unit_column", message="expected a column of the source"))
    if problems:
        raise CatalogueInvalidError.of(problems)
    is_alone = {column.name for column in found if column.is_key} <= {head.unit_column}
    return Dataset(
        name=head.name,
        title=head.title,
        owner=head.owner,
        privacy_unit=head.privacy_unit,
        openness=Openness.CONDITIONAL,
        membership=Visibility.CONFIDENTIAL,
        items=tuple(_item(column, name or "", head, is_alone=is_alone) for column, name in named),
    )


def _refusals(column: _Column, name: str | None) -> list[Problem]:
    path = f"columns.{_shown(column.name)}"
    problems = []
    if column.type is None:
        problems.append(Problem(path=path, message=column.refusal))
    if name is None or not re.fullmatch(NAME_PATTERN, name):
        message = "expected a name of lower-case letters, digits and `_` for this column; give it one"
        problems.append(Problem(path=path, message=message))
    return problems


def _item(column: _Column, name: str, head: DraftHead, *, is_alone: bool) -> DataItem:
    role = ItemRole.ATTRIBUTE
    if column.name == head.unit_column:
        role = ItemRole.UNIT
    elif column.is_key and not is_alone:
        role = ItemRole.ROW_KEY
    return DataItem(
        name=name,
        title=column.title or (column.name if is_label(column.name) else name),
        type=column.type or ItemType.TEXT,
        role=role,
        visibility=Visibility.CONFIDENTIAL,
        grade=DRAFT_GRADE,
        decimals=column.decimals,
        nullable=column.nullable and role is ItemRole.ATTRIBUTE,
        domain=column.domain,
    )


def _item_name(column: str) -> str | None:
    """Return the item's name for a column's, where that takes no more than lower case and underscores."""
    name = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")
    return name if column.isascii() and re.fullmatch(NAME_PATTERN, name) else None


def _shown(name: str) -> str:
    # SECURITY: a column's name is what somebody else wrote.
    return "".join(char if char.isprintable() else "?" for char in name[:MAX_LABEL])


def _arrow_column(column: pa.Field) -> _Column:
    kind = column.type
    found = {"name": column.name, "nullable": column.nullable}
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            # A dictionary's values are data; its domain is for a person to declare.
            return _Column(type=ItemType.CODE, **found)
    if pa.types.is_decimal(kind):
        return _decimal_column(kind.scale, found)
    for holds, meant, decimals in _ARROW_TYPES:
        if holds(kind):
            return _Column(type=meant, decimals=decimals, **found)
    return _Column(type=None, refusal=f"expected another type than `{_shown(str(kind))}`; {_CONVERT}", **found)


def _sql_column(column: Mapping[str, Any], *, is_key: bool) -> _Column:
    kind = column["type"]
    comment = column.get("comment") or ""
    found = {
        "name": column["name"],
        "nullable": bool(column["nullable"]),
        "is_key": is_key,
        "title": comment if is_label(comment) else None,
    }
    if isinstance(kind, types.Enum):
        return _Column(type=ItemType.CODE, domain=tuple(kind.enums), **found)
    if isinstance(kind, types.Numeric) and not isinstance(kind, types.Float):
        return _decimal_column(MAX_DECIMALS if kind.scale is None else kind.scale, found)
    for classes, meant, decimals in _SQL_TYPES:
        if isinstance(kind, classes):
            return _Column(type=meant, decimals=decimals, **found)
    return _Column(
        type=None, refusal=f"expected another type than `{type(kind).__name__.lower()}`; {_CONVERT}", **found
    )


def _decimal_column(scale: int, found: Mapping[str, Any]) -> _Column:
    if not 0 <= scale <= MAX_DECIMALS:
        return _Column(type=None, refusal=f"expected at most {MAX_DECIMALS} decimals, got {scale}", **found)
    return _Column(type=ItemType.DECIMAL if scale else ItemType.INTEGER, decimals=scale, **found)


_CONVERT: Final = "convert it at its source (a time to its date, a part of a record to a column)"
# A binary fraction has no declared digits; the draft takes the most there are, and a person fewer.
_ARROW_TYPES: Final = (
    (pa.types.is_boolean, ItemType.BOOLEAN, 0),
    (pa.types.is_integer, ItemType.INTEGER, 0),
    (pa.types.is_floating, ItemType.DECIMAL, MAX_DECIMALS),
    (pa.types.is_date, ItemType.DATE, 0),
    (pa.types.is_string, ItemType.TEXT, 0),
    (pa.types.is_large_string, ItemType.TEXT, 0),
    (pa.types.is_string_view, ItemType.TEXT, 0),
)
_SQL_TYPES: Final[tuple[tuple[tuple[type[Any], ...], ItemType, int], ...]] = (
    ((types.Boolean,), ItemType.BOOLEAN, 0),
    ((types.Integer,), ItemType.INTEGER, 0),
    ((types.Float,), ItemType.DECIMAL, MAX_DECIMALS),
    ((types.Date,), ItemType.DATE, 0),
    ((types.String, types.Uuid), ItemType.TEXT, 0),
)
