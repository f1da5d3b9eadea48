"""Binding: a plan's names, literals and versions against the catalogue, and its one canonical form.

What two spellings of one question differ in ends here (docs/spec/plan.md, "Canonical form"): every column has its data
set, every literal its canonical text, every comparison of numbers and dates is `>=` or `<`, versions are pinned, and
what has no order is sorted.
"""

import difflib
from dataclasses import replace
from datetime import date, timedelta
from decimal import Context, Decimal
from itertools import pairwise
from typing import Final

from sandbox.catalog.literals import MAX_DIGITS, canonical_literal, decimal_text, order_key
from sandbox.catalog.model import Catalogue, DataItem, Dataset, ItemType
from yingbi.errors import ErrorCode, InvalidRequestError, NotFoundError
from yingbi.plan.check import check_plan
from yingbi.plan.codec import canonical_training, malformed_plan
from yingbi.plan.model import (
    Aggregate,
    Column,
    Comparison,
    Condition,
    Dimension,
    Function,
    Join,
    NumericFeature,
    Plan,
    Presentation,
    RegressionQuestion,
    Scalar,
    Source,
    TableQuestion,
    TrainingFeature,
    TrainingQuestion,
)

__all__ = ["bind"]

_ORDERED: Final = frozenset({ItemType.INTEGER, ItemType.DECIMAL, ItemType.DATE})
_EXACT: Final = Context(prec=2 * MAX_DIGITS)
_NUMBERS: Final = frozenset({ItemType.INTEGER, ItemType.DECIMAL})
_CODED: Final = frozenset({ItemType.BOOLEAN, ItemType.CODE})
_RANGES: Final = frozenset({Comparison.LT, Comparison.LE, Comparison.GT, Comparison.GE})
# Both sides of a boolean say the same about its two values; one of them is the canonical one.
_FLAGS: Final[dict[tuple[Comparison, tuple[str, ...]], tuple[str, ...]]] = {
    (Comparison.NE, ("true",)): ("false",),
    (Comparison.NE, ("false",)): ("true",),
    (Comparison.NOT_IN, ("true",)): ("false",),
    (Comparison.NOT_IN, ("false",)): ("true",),
}


def bind(plan: Plan, catalogue: Catalogue) -> Plan:
    """Return the canonical form of `plan` (docs/spec/plan.md, "Canonical form"); binding it again changes nothing.

    Raises:
        InvalidRequestError: the form is wrong, a data set or column is unknown or ambiguous, or a literal does not fit
            its column.
        NotFoundError: a data set has no such version.
    """
    if problems := check_plan(plan):
        raise malformed_plan(problems)
    source = _bind_source(plan.question.source, catalogue)
    names = _Names(source, catalogue)
    if isinstance(plan.question, RegressionQuestion):
        return Plan(question=_bind_regression(plan.question, source, names))
    if isinstance(plan.question, TrainingQuestion):
        return Plan(question=_bind_training(plan.question, source, names))
    return _bind_table(plan.question, plan.presentation, source, names)


class _Names:
    """The columns that a question can name."""

    def __init__(self, source: Source, catalogue: Catalogue) -> None:
        self._datasets = {name: _dataset(name, catalogue) for name in _dataset_names(source)}
        self.base = self._datasets[source.dataset]

    def resolve(self, column: Column) -> tuple[Column, DataItem]:
        """Return the column with its data set, and its item."""
        if column.dataset and column.dataset not in self._datasets:
            raise _unknown(
                f"`{column.dataset}` is not among the data sets of this question", column.dataset, self._datasets
            )
        places = [column.dataset] if column.dataset else list(self._datasets)
        found = [(place, item) for place in places if (item := self._datasets[place].item(column.name)) is not None]
        if not found:
            names = [item.name for place in places for item in self._datasets[place].items]
            raise _unknown(f"no column `{column.name}` in {', '.join(places)}", column.name, names)
        if len(found) > 1:
            raise InvalidRequestError(
                ErrorCode.NAME_UNKNOWN,
                f"column `{column.name}` is in {len(found)} data sets of this question",
                hint="write the data set, or its alias, before the name",
            )
        dataset, item = found[0]
        return Column(dataset=dataset, name=item.name), item


def _dataset_names(source: Source) -> list[str]:
    return [source.dataset, *(join.dataset for join in source.joins)]


def _dataset(name: str, catalogue: Catalogue) -> Dataset:
    dataset = catalogue.dataset(name)
    if dataset is None:
        raise _unknown(f"no data set `{name}`", name, catalogue.datasets)
    return dataset


def _unknown(message: str, name: str, known: object) -> InvalidRequestError:
    close = difflib.get_close_matches(name, list(known), n=3)  # type: ignore[call-overload]
    hint = f"did you mean {', '.join(f'`{word}`' for word in close)}" if close else None
    return InvalidRequestError(ErrorCode.NAME_UNKNOWN, message, hint=hint)


# --- sources ----------------------------------------------------------------------------------------------------------


def _bind_source(source: Source, catalogue: Catalogue) -> Source:
    base = _dataset(source.dataset, catalogue)
    joins = [_bind_join(join, base, catalogue) for join in source.joins]
    return Source(
        dataset=source.dataset,
        version=_pin(source.dataset, source.version, catalogue),
        joins=tuple(sorted(joins, key=lambda join: join.dataset)),
    )


def _bind_join(join: Join, base: Dataset, catalogue: Catalogue) -> Join:
    joined = _dataset(join.dataset, catalogue)
    units = (base.unit_item.name, joined.unit_item.name)
    if join.on is not None and join.on != units:
        raise InvalidRequestError(
            ErrorCode.PLAN_MALFORMED,
            f"expected a join on the privacy unit, `{units[0]}` with `{units[1]}`, got another column",
        )
    return Join(dataset=join.dataset, kind=join.kind, version=_pin(join.dataset, join.version, catalogue), on=units)


def _pin(dataset: str, version: int | None, catalogue: Catalogue) -> int:
    if version is None:
        current = catalogue.current(dataset)
        if current is None:
            raise NotFoundError(ErrorCode.VERSION_NOT_FOUND, f"no version of `{dataset}` was published")
        return current.version
    if (dataset, version) not in catalogue.versions:
        raise NotFoundError(ErrorCode.VERSION_NOT_FOUND, f"no version {version} of `{dataset}`")
    return version


# --- questions --------------------------------------------------------------------------------------------------------


def _bind_regression(question: RegressionQuestion, source: Source, names: _Names) -> RegressionQuestion:
    target, _ = names.resolve(question.target)
    features = sorted(names.resolve(feature)[0] for feature in question.features)
    if len({target, *features}) != 1 + len(features):
        raise malformed_plan(["$.question.features: expected each column once, and not the target"])
    return RegressionQuestion(
        source=source,
        family=question.family,
        target=target,
        features=tuple(features),
        where=_bind_conditions(question.where, names),
    )


def _bind_training(question: TrainingQuestion, source: Source, names: _Names) -> TrainingQuestion:
    """Pin the version, and check that names and literals are those of the catalogue.

    INVARIANT: nothing but `source` and the spelling of numbers changes, so that the terms of a federation are the same
    at all members.
    """
    bound = replace(canonical_training(question), source=source)
    target = names.resolve(Column(dataset=source.dataset, name=bound.target))[1]
    _check_literal(target, bound.positive)
    for feature in bound.features:
        item = names.resolve(Column(dataset=source.dataset, name=feature.name))[1]
        for literal in _literals(feature, item):
            _check_literal(item, literal)
    return bound


def _literals(feature: TrainingFeature, item: DataItem) -> tuple[str, ...]:
    if not isinstance(feature, NumericFeature):
        if item.type not in _CODED:
            raise _misfit(item, "only codes and booleans are trained on as codes")
        return feature.codes
    if item.type not in _NUMBERS:
        raise _misfit(item, "only numbers have bounds and bins in a training")
    return (*feature.bounds, *feature.edges)


def _check_literal(item: DataItem, text: str) -> None:
    if _literal(item, text) != text:
        raise _misfit(item, "expected the literals in their canonical spelling")


def _bind_table(question: TableQuestion, presentation: Presentation | None, source: Source, names: _Names) -> Plan:
    where = _bind_conditions(question.where, names)
    dimensions = [_bind_dimension(dimension, names) for dimension in question.group_by]
    aggregates = [_bind_aggregate(aggregate, names, where) for aggregate in question.aggregates]
    if len({dimension.column for dimension in dimensions}) != len(dimensions):
        raise malformed_plan(["$.question.group_by: expected each column once"])
    if len(set(aggregates)) != len(aggregates):
        raise malformed_plan(["$.question.aggregates: expected each one once"])
    by_dimension = sorted(range(len(dimensions)), key=lambda index: dimensions[index].column)
    by_aggregate = sorted(range(len(aggregates)), key=lambda index: _aggregate_key(aggregates[index]))
    bound = TableQuestion(
        source=source,
        where=where,
        group_by=tuple(dimensions[index] for index in by_dimension),
        aggregates=tuple(aggregates[index] for index in by_aggregate),
        margins=question.margins,
    )
    order = [*by_dimension, *(len(dimensions) + index for index in by_aggregate)]
    return Plan(question=bound, presentation=None if presentation is None else _rearrange(presentation, order))


def _rearrange(presentation: Presentation, order: list[int]) -> Presentation:
    """Let names follow their dimensions and aggregates; what the partner sees keeps the partner's order."""
    names = tuple(presentation.names[index] for index in order)
    columns = presentation.columns or presentation.names
    return replace(
        presentation,
        names=names,
        columns=() if columns == names else columns,
        having=tuple(replace(item, value=_number(item.value)) for item in presentation.having),
    )


def _number(value: Scalar) -> str:
    return decimal_text(Decimal(value))


def _bind_dimension(dimension: Dimension, names: _Names) -> Dimension:
    column, item = names.resolve(dimension.column)
    if dimension.edges is None:
        return Dimension(column=column)
    if item.type not in _ORDERED:
        raise _misfit(item, "bins are for numbers and dates")
    edges = tuple(_literal(item, edge) for edge in dimension.edges) or item.edges
    if not edges:
        raise _misfit(item, "the catalogue declares no edges")
    keys = [order_key(item, edge) for edge in edges]
    if any(one >= other for one, other in pairwise(keys)):
        raise _misfit(item, "expected edges in ascending order")
    return Dimension(column=column, edges=edges)


def _bind_aggregate(aggregate: Aggregate, names: _Names, everywhere: tuple[Condition, ...]) -> Aggregate:
    # A condition that every row meets already would make one measure look like two.
    where = tuple(item for item in _bind_conditions(aggregate.where, names) if item not in everywhere)
    fraction = None if aggregate.fraction is None else decimal_text(Decimal(aggregate.fraction))
    return Aggregate(
        function=aggregate.function, column=_bind_measured(aggregate, names), fraction=fraction, where=where
    )


def _bind_measured(aggregate: Aggregate, names: _Names) -> Column | None:
    if aggregate.column is None:
        return None
    if aggregate.function is not Function.COUNT_UNITS:
        return names.resolve(aggregate.column)[0]
    base = names.base
    if aggregate.column.dataset in ("", base.name) and aggregate.column.name == base.unit_item.name:
        return None
    raise InvalidRequestError(
        ErrorCode.PLAN_MALFORMED,
        f"expected distinct units of `{base.name}`, `{base.unit_item.name}`, got another column",
    )


def _aggregate_key(aggregate: Aggregate) -> tuple[object, ...]:
    return (
        aggregate.function,
        aggregate.column or Column(dataset="", name=""),
        aggregate.fraction or "",
        tuple(_condition_key(condition) for condition in aggregate.where),
    )


# --- conditions -------------------------------------------------------------------------------------------------------


def _bind_conditions(conditions: tuple[Condition, ...], names: _Names) -> tuple[Condition, ...]:
    return tuple(sorted({_bind_condition(condition, names) for condition in conditions}, key=_condition_key))


def _condition_key(condition: Condition) -> tuple[object, ...]:
    return condition.column, condition.comparison, condition.values


def _bind_condition(condition: Condition, names: _Names) -> Condition:
    column, item = names.resolve(condition.column)
    values = tuple(sorted({_literal(item, value) for value in condition.values}))
    comparison = condition.comparison
    if comparison in _RANGES:
        return _bind_range(column, item, comparison, values[0])
    if item.type is ItemType.BOOLEAN:
        return _bind_flag(column, comparison, values)
    if len(values) == 1 and comparison is Comparison.IN:
        comparison = Comparison.EQ
    elif len(values) == 1 and comparison is Comparison.NOT_IN:
        comparison = Comparison.NE
    return Condition(column=column, comparison=comparison, values=values)


def _bind_range(column: Column, item: DataItem, comparison: Comparison, value: str) -> Condition:
    """Write `<=` and `>` as `<` and `>=` of the next value: numbers are fixed-point, dates are days."""
    if item.type not in _ORDERED:
        raise _misfit(item, "only numbers and dates have an order, use IN")
    if comparison in (Comparison.LE, Comparison.GT):
        value = _next(item, value)
        comparison = Comparison.LT if comparison is Comparison.LE else Comparison.GE
    return Condition(column=column, comparison=comparison, values=(value,))


def _bind_flag(column: Column, comparison: Comparison, values: tuple[str, ...]) -> Condition:
    if comparison is Comparison.IN and len(values) > 1:
        return Condition(column=column, comparison=Comparison.NOT_NULL)
    if comparison is Comparison.NOT_IN and len(values) > 1:
        raise malformed_plan(["$.question: expected a condition that a row can meet"])
    values = _FLAGS.get((comparison, values), values)
    return Condition(column=column, comparison=Comparison.EQ if values else comparison, values=values)


def _next(item: DataItem, value: str) -> str:
    if item.type is not ItemType.DATE:
        step = Decimal((0, (1,), -item.decimals if item.type is ItemType.DECIMAL else 0))
        return decimal_text(_EXACT.add(Decimal(value), step))
    try:
        return (date.fromisoformat(value) + timedelta(days=1)).isoformat()
    except OverflowError:
        raise _misfit(item, "expected an earlier date") from None


def _literal(item: DataItem, value: Scalar) -> str:
    if isinstance(value, bool):
        text = ("true" if value else "false") if item.type is ItemType.BOOLEAN else None
    else:
        text = str(value)
    literal = None if text is None else canonical_literal(item, text)
    if literal is None:
        raise _misfit(item, _EXPECTED[item.type], hint=_nearest(item, text))
    return literal


def _nearest(item: DataItem, text: str | None) -> str | None:
    """Return a hint that names declared values near a literal; a domain is public, the literal is not repeated."""
    codes = tuple(item.domain or ())
    near = difflib.get_close_matches((text or "")[:80], codes, n=2, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(f'`{value}`' for value in near)}"
    told = ", ".join(f"`{value}`" for value in codes[:_MAX_TOLD])
    more = f" and {len(codes) - _MAX_TOLD} more" if len(codes) > _MAX_TOLD else ""
    return f"one of {told}{more}" if codes else None


_MAX_TOLD: Final = 8
_EXPECTED: Final = {
    ItemType.INTEGER: "expected an integer",
    ItemType.DECIMAL: "expected a decimal with no more digits than the column has",
    ItemType.BOOLEAN: "expected true or false",
    ItemType.DATE: "expected a date, YYYY-MM-DD",
    ItemType.CODE: "expected a code of the declared domain",
    ItemType.TEXT: "free text cannot be compared",
}


def _misfit(item: DataItem, what: str, *, hint: str | None = None) -> InvalidRequestError:
    # SECURITY: the literal is not repeated; it may be an identifier that somebody tried.
    message = f"column `{item.name}` is of type {item.type}: {what}"
    return InvalidRequestError(ErrorCode.LITERAL_INVALID, message, hint=hint)
