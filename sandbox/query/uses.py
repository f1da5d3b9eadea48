"""What a bound plan uses: which columns for what, which data sets, which operations (docs/spec/plan.md, "Uses").

The policies judge these and never see the plan. Admission asks for the same list again, so that a decision made on
another one does not count.
"""

from collections.abc import Iterator
from decimal import Decimal

from policies.request import ColumnUse, Spending, Training, Use
from sandbox.operations.registry import operations_of
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.plan.model import (
    Column,
    Condition,
    NumericFeature,
    Plan,
    RegressionQuestion,
    Scalar,
    Source,
    TableQuestion,
    TrainingQuestion,
)

__all__ = ["datasets", "operations", "rounds", "training", "uses"]


def uses(plan: Plan) -> tuple[ColumnUse, ...]:
    """Return every use of every column by a bound plan, clause by clause.

    Raises:
        InvalidRequestError: the plan was not bound.
    """
    question = plan.question
    if isinstance(question, TrainingQuestion):
        return tuple(_training(question))
    found = [*_joins(question.source), *_filters(question.where, "where")]
    if isinstance(question, TableQuestion):
        found += _table(question)
    else:
        found += _regression(question)
    if any(not use.dataset for use in found):
        raise _not_bound()
    return tuple(found)


def operations(plan: Plan) -> tuple[str, ...]:
    """Return the names of the operations that a plan asks for, as agreements write them, sorted."""
    return operations_of(plan.question)


def datasets(plan: Plan) -> tuple[str, ...]:
    """Return the data sets that a plan reads: the first one, then those joined."""
    source = plan.question.source
    return source.dataset, *(join.dataset for join in source.joins)


def rounds(plan: Plan) -> int:
    """Return how many rounds of a federation a plan may take; none where it is not of one."""
    question = plan.question
    return question.rounds if isinstance(question, TrainingQuestion) else 0


def training(plan: Plan) -> Training | None:
    """Return what a member job of a federation says besides its uses; nothing for other plans.

    Raises:
        InvalidRequestError: the plan was never checked.
    """
    question = plan.question
    if not isinstance(question, TrainingQuestion):
        return None
    own, asked = question.own, question.privacy
    if own is None:
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected the data set of the source among the members")
    privacy = None if asked is None else Spending(epsilon=Decimal(asked.epsilon), delta=Decimal(asked.delta))
    return Training(
        agreement=own.agreement,
        node=own.node,
        quorum=question.quorum,
        min_entities=question.min_entities,
        privacy=privacy,
    )


def _joins(source: Source) -> Iterator[ColumnUse]:
    for index, join in enumerate(source.joins):
        if join.on is None:
            raise _not_bound()
        clause = f"joins[{index}]"
        yield ColumnUse(dataset=source.dataset, column=join.on[0], use=Use.JOIN, clause=clause)
        yield ColumnUse(dataset=join.dataset, column=join.on[1], use=Use.JOIN, clause=clause)


def _filters(conditions: tuple[Condition, ...], path: str) -> Iterator[ColumnUse]:
    for index, condition in enumerate(conditions):
        values = tuple(_text(value) for value in condition.values)
        yield _use(condition.column, Use.FILTER, f"{path}[{index}]", values=values)


def _table(question: TableQuestion) -> Iterator[ColumnUse]:
    for index, dimension in enumerate(question.group_by):
        yield _use(dimension.column, Use.GROUP, f"group_by[{index}]")
    for index, aggregate in enumerate(question.aggregates):
        clause = f"aggregates[{index}]"
        if aggregate.column is not None:
            yield _use(aggregate.column, Use.AGGREGATE, clause, function=str(aggregate.function))
        yield from _filters(aggregate.where, f"{clause}.where")


def _regression(question: RegressionQuestion) -> Iterator[ColumnUse]:
    yield _use(question.target, Use.TRAIN, "target")
    for index, feature in enumerate(question.features):
        yield _use(feature, Use.TRAIN, f"features[{index}]")


def _training(question: TrainingQuestion) -> Iterator[ColumnUse]:
    dataset = question.source.dataset
    yield ColumnUse(dataset=dataset, column=question.target, use=Use.TRAIN, clause="target")
    for index, feature in enumerate(question.features):
        clause, name = f"features[{index}]", feature.name
        if isinstance(feature, NumericFeature):
            yield ColumnUse(
                dataset=dataset,
                column=name,
                use=Use.TRAIN,
                clause=clause,
                values=feature.edges,
                bounds=feature.bounds,
            )
        else:
            yield ColumnUse(dataset=dataset, column=name, use=Use.TRAIN, clause=clause)


def _use(
    column: Column, use: Use, clause: str, *, function: str | None = None, values: tuple[str, ...] = ()
) -> ColumnUse:
    return ColumnUse(
        dataset=column.dataset, column=column.name, use=use, clause=clause, function=function, values=values
    )


def _text(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _not_bound() -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected a plan that was bound to the catalogue")
