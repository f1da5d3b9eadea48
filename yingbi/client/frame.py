"""Data sets as lazy frames: they look like pandas, hold no row, and can only say what a plan can say.

Everything is checked where it is written: names and literals against the declaration, by the same binding that the
node will use. What no plan can ask for raises `OperationNotPermittedError` there and then, and names what is allowed.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, NoReturn

from sandbox.catalog.model import DataItem, ItemRole, ItemType
from sandbox.query.bind import bind
from yingbi.client.catalogue import DatasetRecord, catalogue_of
from yingbi.client.expressions import FUNCTIONS, Where, condition, fraction_text, literal, literals, not_permitted
from yingbi.client.problems import UnknownNameError, missing_extra
from yingbi.client.query import D, J, RegressionQuery, Session, TableQuery
from yingbi.client.shown import fields_html, fields_text, table_html, table_text
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.plan.model import (
    Aggregate,
    Column,
    Comparison,
    Condition,
    Dimension,
    Family,
    Function,
    Join,
    JoinKind,
    Plan,
    Presentation,
    Source,
    TableQuestion,
)

__all__ = ["Frame", "FrameColumn", "GroupBy", "GroupedColumn"]

_ALLOWED: Final = (
    "filter, join, groupby(...).agg(...), agg, count, units, describe, value_counts, crosstab, histogram, quantile, "
    "linear_regression, logistic_regression"
)
_EXTREMES: Final = frozenset({"min", "max", "first", "last", "mode", "idxmin", "idxmax", "nlargest", "nsmallest"})
# What people who know pandas try first; whatever else is neither a column nor like one is refused as well.
_PANDAS: Final = frozenset(
    {"T", "apply", "assign", "at", "cache", "corr", "cov", "drop", "dtypes", "eval", "head", "iat", "iloc", "index"}
    | {"info", "items", "iterrows", "itertuples", "keys", "loc", "map", "merge", "pipe", "pivot_table", "plot", "query"}
    | {"sample", "shape", "size", "sort_values", "style", "tail", "take", "transform", "unique", "values"}
)
_INSTEAD: Final = (
    dict.fromkeys(("head", "iloc", "loc", "sample", "tail"), ".twin(), which makes rows to develop with")
    | dict.fromkeys(("shape", "size"), ".count()")
    | dict.fromkeys(("dtypes", "info"), ".schema, or look at the frame itself")
    | {"merge": ".join(other)"}
)
_DESCRIBED: Final = (
    ("count", Function.COUNT_VALUES, None),
    ("mean", Function.MEAN, None),
    ("std", Function.STDDEV, None),
    ("p25", Function.QUANTILE, "0.25"),
    ("p50", Function.QUANTILE, "0.5"),
    ("p75", Function.QUANTILE, "0.75"),
)
_NUMBERS: Final = (ItemType.INTEGER, ItemType.DECIMAL)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Frame(Generic[D, J]):
    """Rows of one data set, or of several joined by their privacy unit, that meet conditions. Immutable."""

    records: tuple[DatasetRecord, ...]
    source: Source
    where: tuple[Condition, ...] = ()
    session: Session[D, J] = field(repr=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of all columns, as `unit/resource.name` where several data sets have the name."""
        names = [item.name for record in self.records for item in record.dataset.items]
        return tuple(
            item.name if names.count(item.name) == 1 else f"{record.name}.{item.name}"
            for record in self.records
            for item in record.dataset.items
        )

    @property
    def schema(self) -> tuple[DataItem, ...]:
        """Return the declarations of all columns: type, grade, bounds, domain, edges."""
        return tuple(item for record in self.records for item in record.dataset.items)

    # --- which rows ---------------------------------------------------------------------------------------------------

    def __getitem__(self, key: object) -> Any:
        """Return a column by name, or the rows that meet a condition."""
        if isinstance(key, Where):
            return self.filter(key)
        if isinstance(key, FrameColumn):
            return self.filter(key)
        if isinstance(key, str):
            return self.column(key)
        raise not_permitted("rows or several columns of a data set", f"a condition, one column, or {_ALLOWED}")

    def __getattr__(self, name: str) -> "FrameColumn[D, J]":
        if name.startswith("_"):
            raise AttributeError(name)
        if name in _EXTREMES:
            raise not_permitted(f"`.{name}`, the value of one unit,", ".quantile(column, 0.9), .histogram(column)")
        if name in self:
            return self.column(name)
        if name in _PANDAS or name.startswith("to_") or not self._like(name):
            usual = f"{_ALLOWED}; .twin() makes rows to develop with"
            raise not_permitted(f"`.{name[:40]}` of rows", _INSTEAD.get(name, usual))
        raise self._unknown(name, 0)

    def column(self, name: str) -> "FrameColumn[D, J]":
        """Return a column.

        Raises:
            UnknownNameError: there is none of this name, or several.
        """
        place, _, plain_name = name.rpartition(".")
        found = [
            (record, item)
            for record in self.records
            if place in ("", record.name) and (item := record.dataset.item(plain_name)) is not None
        ]
        if len(found) != 1:
            raise self._unknown(name, len(found))
        record, item = found[0]
        return FrameColumn(frame=self, item=item, named=Column(dataset=record.name, name=item.name))

    def filter(self, *conditions: "Where | FrameColumn[D, J]") -> "Frame[D, J]":
        """Return the rows that meet all conditions; a boolean column is a condition itself.

        Raises:
            InvalidRequestError: a literal does not fit its column; for a code the hint has the nearest of its domain.
        """
        more = tuple(one for each in conditions for one in _where(each).conditions)
        narrower = replace(self, where=(*self.where, *more))
        # Binding is what the node will do: a literal that does not fit fails here, not there.
        narrower._bound(Plan(question=narrower._table(()), presentation=Presentation(names=("n",))))
        return narrower

    def join(self, other: "Frame[D, J]", on: str | None = None, how: str = "inner") -> "Frame[D, J]":
        """Return these rows with the columns of another data set of the same node, looked up by the privacy unit.

        Args:
            other: a data set with one row a unit.
            on: the column that names the unit, where both call it so; it may be left out.
            how: `inner` drops rows without a match, `left` keeps them.
        """
        if len(other.records) != 1:
            raise not_permitted("a join with something else than one data set", "frame.join(client.dataset(...))")
        if how not in tuple(JoinKind) or (other.where and how == JoinKind.LEFT):
            raise InvalidRequestError(ErrorCode.USAGE, "expected how='inner', or how='left' without conditions")
        joined = Join(
            dataset=other.source.dataset,
            kind=JoinKind(how),
            version=other.source.version,
            on=None if on is None else (on, on),
        )
        return replace(
            self,
            records=(*self.records, *other.records),
            source=replace(self.source, joins=(*self.source.joins, joined)),
            where=self.where + other.where,
        ).filter()

    # --- what is asked of them ----------------------------------------------------------------------------------------

    def groupby(self, by: Any = (), *more: Any, margins: bool = False) -> "GroupBy[D, J]":
        """Return the rows by up to four columns; `margins` adds the totals of every subset of these."""
        named = [*(by if isinstance(by, list | tuple) else [by]), *more]
        return GroupBy(frame=self, by=tuple(self._dimension(one) for one in named), margins=margins)

    def agg(self, spec: Any = None, /, **named: object) -> "TableQuery[D, J]":
        """Return aggregates of all rows together: `agg(n="count", tax=("tax_paid", "mean"))`."""
        return self.groupby().agg(spec, **named)

    def count(self) -> "TableQuery[D, J]":
        """Return how many rows there are."""
        return self.agg(count="count")

    def units(self) -> "TableQuery[D, J]":
        """Return how many units (enterprises, persons) there are."""
        return self.agg(units="units")

    def quantile(self, column: "str | FrameColumn[D, J]", fraction: object = 0.5) -> "TableQuery[D, J]":
        """Return a quantile of a column."""
        return self._as_column(column).quantile(fraction)

    def describe(self, *columns: str) -> "TableQuery[D, J]":
        """Return count, mean, deviation and quartiles of numeric columns: two at a time, the first two by default."""
        numeric = [item.name for item in self.schema if item.type in _NUMBERS and item.role is ItemRole.ATTRIBUTE]
        wanted = columns or tuple(numeric[:2])
        aggregates = {
            f"{name}_{word}": Aggregate(function=function, column=self.column(name).named, fraction=fraction)
            for name in wanted
            for word, function, fraction in _DESCRIBED
        }
        return self.groupby()._table(aggregates)

    def value_counts(self, column: "str | FrameColumn[D, J]") -> "TableQuery[D, J]":
        """Return how many rows each value of a column has, the most frequent first."""
        counted = self.groupby(column).agg(count="count")
        return counted.sort_values("count", ascending=False)

    def histogram(self, column: "str | FrameColumn[D, J]", edges: Iterable[object] = ()) -> "TableQuery[D, J]":
        """Return how many rows lie between edges: all that the catalogue declares, or some of them."""
        return self.groupby(self._as_column(column).bins(edges)).agg(count="count")

    def crosstab(
        self,
        index: Any,
        columns: Any,
        values: str | None = None,
        aggfunc: str = "count",
        *,
        margins: bool = True,
    ) -> "TableQuery[D, J]":
        """Return a table over two sets of columns with all totals: counts, or a function of `values`."""
        by = [one for each in (index, columns) for one in (each if isinstance(each, list | tuple) else [each])]
        grouped = self.groupby(by, margins=margins)
        return grouped.agg(count="count") if values is None else grouped.agg({values: aggfunc})

    def linear_regression(self, target: Any, features: Sequence[Any]) -> "RegressionQuery[D, J]":
        """Return a linear regression of a number on features and an intercept."""
        return self._regression(Family.LINEAR, target, features)

    def logistic_regression(self, target: Any, features: Sequence[Any]) -> "RegressionQuery[D, J]":
        """Return a logistic regression of a boolean on features and an intercept."""
        return self._regression(Family.LOGISTIC, target, features)

    def twin(self, rows: int = 1000, seed: int = 1) -> Any:
        """Return made-up rows of this shape as a pandas frame, to develop with; nothing of the data is in them.

        Raises:
            UnavailableError: numpy and pyarrow are not installed.
        """
        if len(self.records) != 1:
            raise not_permitted("the twin of a join", ".twin() of each data set; their units are the same")
        try:
            from sandbox.twin import make_twin
        except ImportError as error:
            raise missing_extra("pyarrow", error) from error
        return make_twin(self.records[0].dataset, rows, seed).to_pandas()

    # --- what it is not -----------------------------------------------------------------------------------------------

    def __len__(self) -> NoReturn:
        raise not_permitted("`len` of a data set", ".count()")

    def __iter__(self) -> NoReturn:
        raise not_permitted("iterating over rows", f"{_ALLOWED}; `.columns` has the names")

    def __contains__(self, name: object) -> bool:
        return any(name in (item.name, f"{record.name}.{item.name}") for record, item in self._all_items())

    def __setitem__(self, name: object, value: object) -> NoReturn:
        raise not_permitted("new columns", _ALLOWED)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *(item.name for item in self.schema)})

    def __repr__(self) -> str:
        return f"{fields_text(self._title, self._facts())}\n{table_text(_HEADINGS, self._rows())}"

    def _repr_html_(self) -> str:
        return fields_html(self._title, self._facts()) + table_html(_HEADINGS, self._rows())

    # --- within -------------------------------------------------------------------------------------------------------

    @property
    def _title(self) -> str:
        return " + ".join(f"{record.name} {record.dataset.title}" for record in self.records)

    def _facts(self) -> dict[str, object]:
        first = self.records[0].dataset
        return {
            "version": self.source.version,
            "owner": first.owner,
            "unit": f"{first.privacy_unit}, named by {first.unit_item.name}",
            "openness": first.openness,
            "grade": self.records[0].grade,
            "conditions": len(self.where) or None,
            "rows": "never shown",
        }

    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (name, item.title, item.type, item.role, item.grade, _values_of(item))
            for name, item in zip(self.columns, self.schema, strict=True)
        ]

    def _all_items(self) -> list[tuple[DatasetRecord, DataItem]]:
        return [(record, item) for record in self.records for item in record.dataset.items]

    def _like(self, name: str) -> list[str]:
        """Return the columns whose names are near to a name."""
        return difflib.get_close_matches(name[:64], self.columns, n=3, cutoff=0.5)

    def _unknown(self, name: str, found: int) -> UnknownNameError:
        places = ", ".join(record.name for record in self.records)
        if found:
            wanted = " or ".join(f"`{record.name}.{name}`" for record in self.records)
            return UnknownNameError(ErrorCode.NAME_UNKNOWN, f"column `{name}` is in {found} data sets", hint=wanted)
        close = self._like(name)
        hint = f"did you mean {', '.join(f'`{word}`' for word in close)}" if close else "`.columns` has the names"
        return UnknownNameError(ErrorCode.NAME_UNKNOWN, f"no column `{name[:64]}` in {places}", hint=hint)

    def _as_column(self, column: "str | FrameColumn[D, J]") -> "FrameColumn[D, J]":
        return column if isinstance(column, FrameColumn) else self.column(column)

    def _dimension(self, by: object) -> Dimension:
        if isinstance(by, Dimension):
            return by
        if isinstance(by, str | FrameColumn):
            return Dimension(column=self._as_column(by).named)
        raise not_permitted("grouping by something else than columns", "names, columns, or column.bins([...])")

    def _table(
        self, by: Sequence[Dimension], aggregates: Sequence[Aggregate] = (), *, margins: bool = False
    ) -> TableQuestion:
        asked = tuple(aggregates) or (Aggregate(function=Function.COUNT),)
        return TableQuestion(
            source=self.source, where=self.where, group_by=tuple(by), aggregates=asked, margins=margins
        )

    def _regression(self, family: Family, target: Any, features: Sequence[Any]) -> "RegressionQuery[D, J]":
        return RegressionQuery.of(
            self.session,
            self.records,
            source=self.source,
            where=self.where,
            family=family,
            target=self._as_column(target).named,
            features=tuple(self._as_column(one).named for one in features),
        )

    def _bound(self, plan: Plan) -> Plan:
        return bind(plan, catalogue_of(self.records))


class _Measured(Generic[D, J]):
    """What can be computed of a column."""

    def _measure(self, function: Function, fraction: str | None = None) -> "TableQuery[D, J]":
        raise NotImplementedError

    def sum(self) -> "TableQuery[D, J]":
        """Return the sum."""
        return self._measure(Function.SUM)

    def mean(self) -> "TableQuery[D, J]":
        """Return the mean."""
        return self._measure(Function.MEAN)

    def var(self) -> "TableQuery[D, J]":
        """Return the variance."""
        return self._measure(Function.VARIANCE)

    def std(self) -> "TableQuery[D, J]":
        """Return the standard deviation."""
        return self._measure(Function.STDDEV)

    def median(self) -> "TableQuery[D, J]":
        """Return the median."""
        return self.quantile(0.5)

    def quantile(self, fraction: object = 0.5) -> "TableQuery[D, J]":
        """Return a quantile."""
        return self._measure(Function.QUANTILE, fraction_text(fraction))

    def count(self) -> "TableQuery[D, J]":
        """Return how many rows have a value."""
        return self._measure(Function.COUNT_VALUES)

    def nunique(self) -> "TableQuery[D, J]":
        """Return how many units there are; of other columns different values are not counted."""
        return self._measure(Function.COUNT_UNITS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class FrameColumn(_Measured[D, J]):
    """A column of a frame: comparisons make conditions, functions make questions."""

    frame: Frame[D, J]
    item: DataItem
    named: Column

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, value: object) -> Where:  # type: ignore[override]
        return self._compare(Comparison.EQ, value)

    def __ne__(self, value: object) -> Where:  # type: ignore[override]
        return self._compare(Comparison.NE, value)

    def __lt__(self, value: object) -> Where:
        return self._compare(Comparison.LT, value)

    def __le__(self, value: object) -> Where:
        return self._compare(Comparison.LE, value)

    def __gt__(self, value: object) -> Where:
        return self._compare(Comparison.GT, value)

    def __ge__(self, value: object) -> Where:
        return self._compare(Comparison.GE, value)

    def __and__(self, other: object) -> Where:
        return _where(self) & (_where(other) if isinstance(other, FrameColumn) else other)

    def __rand__(self, other: object) -> Where:
        return _where(other) & _where(self)

    def __invert__(self) -> Where:
        return ~_where(self)

    @property
    def codes(self) -> tuple[str, ...]:
        """Return the declared codes: public, whether any row has them or not; none where none are declared."""
        return self.item.domain or ()

    def isin(self, values: Iterable[object]) -> Where:
        """Return the condition that the value is one of these."""
        return condition(self.named, Comparison.IN, *literals(values))

    def between(self, low: object, high: object) -> Where:
        """Return the condition that the value is from `low` to `high`, both included."""
        return (self >= low) & (self <= high)

    def isna(self) -> Where:
        """Return the condition that there is no value."""
        return condition(self.named, Comparison.IS_NULL)

    def notna(self) -> Where:
        """Return the condition that there is a value."""
        return condition(self.named, Comparison.NOT_NULL)

    def bins(self, edges: Iterable[object] = ()) -> Dimension:
        """Return bins to group by, between the given edges, or between all that the catalogue declares."""
        return Dimension(column=self.named, edges=tuple(str(edge) for edge in literals(edges)))

    def value_counts(self) -> "TableQuery[D, J]":
        """Return how many rows each value has, the most frequent first."""
        return self.frame.value_counts(self)

    def histogram(self, edges: Iterable[object] = ()) -> "TableQuery[D, J]":
        """Return how many rows lie between edges."""
        return self.frame.histogram(self, edges)

    def __bool__(self) -> NoReturn:
        raise not_permitted("the truth of a column", "a condition, such as column == value")

    def __iter__(self) -> NoReturn:
        raise not_permitted("iterating over values", "value_counts, histogram, quantile")

    def __len__(self) -> NoReturn:
        raise not_permitted("`len` of a column", ".count()")

    def __getitem__(self, key: object) -> NoReturn:
        raise not_permitted("values of single rows", "value_counts, histogram, quantile")

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        allowed = "sum, mean, var, std, median, quantile, count, nunique, value_counts, histogram, bins, isin, between"
        allowed = ".codes, the declared ones" if name == "unique" else allowed
        raise not_permitted(f"`.{name[:40]}` of a column", allowed)

    def __repr__(self) -> str:
        return fields_text(f"{self.named.dataset}.{self.named.name} {self.item.title}", self._facts())

    def _repr_html_(self) -> str:
        return fields_html(f"{self.named.dataset}.{self.named.name} {self.item.title}", self._facts())

    def _facts(self) -> dict[str, object]:
        item = self.item
        return {
            "type": item.type,
            "role": item.role,
            "grade": item.grade,
            "visibility": item.visibility,
            "values": _values_of(item),
            "description": item.description,
        }

    def _compare(self, comparison: Comparison, value: object) -> Where:
        if value is None:
            raise not_permitted("a comparison with nothing", ".isna() and .notna()")
        if isinstance(value, FrameColumn):
            raise not_permitted("a comparison of two columns", "a comparison with a value")
        return condition(self.named, comparison, literal(value))

    def _measure(self, function: Function, fraction: str | None = None) -> "TableQuery[D, J]":
        asked = Aggregate(function=function, column=self.named, fraction=fraction)
        return GroupBy(frame=self.frame, by=())._table({"": asked})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupBy(Generic[D, J]):
    """Rows in groups, waiting for what is asked of each."""

    frame: Frame[D, J] = field(repr=False)
    by: tuple[Dimension, ...]
    margins: bool = False

    def agg(self, spec: Any = None, /, **named: object) -> "TableQuery[D, J]":
        """Return aggregates of each group.

        `n="count"` counts rows and `u="units"` units; `x=("tax_paid", "mean")` is a function of a column, and
        `("tax_paid", "quantile", 0.9)` a quantile; `x=frame[condition].tax_paid.mean()` is one of the rows that meet a
        condition. As in pandas, `agg({"tax_paid": ["mean", "std"]})` names the outputs itself.
        """
        if not isinstance(spec, Mapping | None):
            raise not_permitted("one word for all columns", 'agg(n="count"), agg({"column": ["mean", "std"]})')
        pairs: dict[str, Aggregate] = {}
        for column, words in (spec or {}).items():
            for word in words if isinstance(words, list | tuple) else [words]:
                pairs[f"\0{len(pairs)}"] = self._aggregate((column, word))
        pairs |= {name: self._aggregate(asked) for name, asked in named.items()}
        return self._table(pairs)

    def size(self) -> "TableQuery[D, J]":
        """Return how many rows each group has."""
        return self.agg(count="count")

    def count(self) -> "TableQuery[D, J]":
        """Return how many rows each group has."""
        return self.size()

    def __getitem__(self, name: str) -> "GroupedColumn[D, J]":
        return GroupedColumn(group=self, named=self.frame.column(name).named)

    def __getattr__(self, name: str) -> "GroupedColumn[D, J]":
        if name.startswith("_"):
            raise AttributeError(name)
        if name in _PANDAS or name in _EXTREMES or name in FUNCTIONS:
            raise not_permitted(f"`.{name}` of groups", f"['column'].{name}() and the like, agg, count, size")
        return self[name]

    def __iter__(self) -> NoReturn:
        raise not_permitted("iterating over groups", "agg, count, size")

    def _aggregate(self, asked: object) -> Aggregate:
        if isinstance(asked, TableQuery):
            return self._of_query(asked)
        words = (asked,) if isinstance(asked, str) else asked
        if not isinstance(words, list | tuple) or not 1 <= len(words) <= 3:
            raise not_permitted("this aggregate", f"a word or (column, word): {', '.join(FUNCTIONS)}")
        column = None if len(words) == 1 else self.frame._as_column(words[0]).named
        return _named_aggregate(words[0] if len(words) == 1 else words[1], column, *words[2:])

    def _of_query(self, query: "TableQuery[D, J]") -> Aggregate:
        """Return the aggregate of a query of one with its conditions; binding drops those that all rows meet."""
        question = query.asked
        if len(question.aggregates) != 1 or question.group_by or question.source != self.frame.source:
            raise not_permitted("this query as an aggregate", "one aggregate of the same data set, without groups")
        return replace(question.aggregates[0], where=(*question.aggregates[0].where, *question.where))

    def _table(self, pairs: Mapping[str, Aggregate]) -> "TableQuery[D, J]":
        if not pairs:
            raise not_permitted("an answer without an aggregate", f"one of {', '.join(FUNCTIONS)}")
        question = self.frame._table(self.by, tuple(pairs.values()), margins=self.margins)
        names = [name if name and not name.startswith("\0") else None for name in pairs]
        return TableQuery.of(self.frame.session, self.frame.records, question, names)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupedColumn(_Measured[D, J]):
    """A column of rows in groups."""

    group: GroupBy[D, J] = field(repr=False)
    named: Column

    def _measure(self, function: Function, fraction: str | None = None) -> "TableQuery[D, J]":
        asked = Aggregate(function=function, column=self.named, fraction=fraction)
        return self.group._table({"": asked})


_HEADINGS: Final = ("column", "title", "type", "role", "grade", "values")
_SHOWN_VALUES: Final = 6


def _values_of(item: DataItem) -> str:
    """Return what the declaration says of an item's values, in short."""
    if item.domain is not None:
        more = len(item.domain) - _SHOWN_VALUES
        return ", ".join(item.domain[:_SHOWN_VALUES]) + (f", and {more} more" if more > 0 else "")
    parts = [] if item.bounds is None else [f"{item.bounds[0]} to {item.bounds[1]}"]
    parts += [] if item.edges is None else [f"{len(item.edges)} edges"]
    parts += [] if item.unit_of_measure is None else [item.unit_of_measure]
    return ", ".join(parts)


def _where(value: object) -> Where:
    if isinstance(value, Where):
        return value
    if isinstance(value, FrameColumn) and value.item.type is ItemType.BOOLEAN:
        return condition(value.named, Comparison.EQ, True)
    raise not_permitted("a filter that is no condition", "comparisons of columns with values, joined by `&`")


def _named_aggregate(word: object, column: Column | None, fraction: object = None) -> Aggregate:
    function = FUNCTIONS.get(word) if isinstance(word, str) else None
    if function is None:
        near = difflib.get_close_matches(str(word)[:64], FUNCTIONS, n=1)
        named = f"the aggregate `{str(word)[:64]}`" if isinstance(word, str) else "this aggregate"
        raise not_permitted(named, f"`{near[0]}`" if near else ", ".join(FUNCTIONS))
    if function is Function.COUNT and column is not None and word == "count":
        function = Function.COUNT_VALUES
    if function is Function.QUANTILE:
        return Aggregate(
            function=function, column=column, fraction=fraction_text(0.5 if fraction is None else fraction)
        )
    return Aggregate(function=function, column=column)
