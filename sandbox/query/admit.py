"""The door of admission: what of a bound and permitted plan may reach the engine (docs/spec/plan.md, "Admission").

Allow-list by construction: every column of a question must have a role that its declaration gives it, and what has none
is refused. Nothing here depends on data: refusals follow from plan, catalogue and decision alone.
"""

from collections.abc import Iterator
from dataclasses import InitVar, dataclass
from decimal import Decimal
from fractions import Fraction
from math import prod
from typing import Final, NoReturn

from policies.decision import Decision, Reason
from policies.disclosure import DisclosureRules
from policies.request import ColumnUse, Request, Use
from sandbox.catalog.literals import order_key
from sandbox.catalog.model import Catalogue, DataItem, Dataset, DatasetVersion, ItemRole, ItemType, Visibility
from sandbox.operations.measure import Measure
from sandbox.operations.quantile import FRACTIONS
from sandbox.operations.registry import measures_of, operations_of
from sandbox.query.bind import bind
from sandbox.query.recipes import RecipeCheck, refuse_recipes
from sandbox.query.separate import separate_conditions
from sandbox.query.uses import datasets, operations, rounds, training, uses
from yingbi.errors import ErrorCode, RefusedError
from yingbi.events.fields import Grade, Openness
from yingbi.events.jobs import RefusalReason
from yingbi.events.outputs import DisclosureMode
from yingbi.plan.codec import common_digest, question_digest
from yingbi.plan.model import (
    Aggregate,
    AnsweredQuestion,
    CodedFeature,
    Column,
    Comparison,
    Condition,
    Dimension,
    Family,
    Function,
    JoinKind,
    Plan,
    RegressionQuestion,
    TableQuestion,
    TrainingFeature,
    TrainingQuestion,
)

__all__ = [
    "MAX_CELLS",
    "MAX_LEVELS",
    "MAX_PARAMETERS",
    "MAX_ROWS",
    "Admitted",
    "AdmittedDataset",
    "AdmittedTraining",
    "Rejection",
    "admit",
]

MAX_LEVELS: Final = 512
"""Most values of a public integer that can be grouped by."""

MAX_CELLS: Final = 1_000_000
"""Most cells that the declared values of the dimensions can make, margins included."""

MAX_PARAMETERS: Final = 256
"""Most parameters of a regression: one a number, one a level of a code or boolean beyond the first."""

MAX_ROWS: Final = 2**33
"""Most rows of a version: sums are proved to fit for that many, whatever a version holds, so that no refusal tells."""

_MAX_HUGEINT: Final = 2**127 - 1
_MAX_BIGINT: Final = 2**63 - 1
_NUMBERS: Final = frozenset({ItemType.INTEGER, ItemType.DECIMAL})
_ORDERED: Final = _NUMBERS | {ItemType.DATE}
_SQUARED: Final = frozenset({Function.VARIANCE, Function.STDDEV})
_WEIGHING: Final = frozenset({Function.SUM, Function.MEAN, Function.QUANTILE, *_SQUARED})
_RANGES: Final = frozenset({Comparison.GE, Comparison.LT})
_NULL_TESTS: Final = frozenset({Comparison.IS_NULL, Comparison.NOT_NULL})
# SECURITY: nobody outside this module has it, so that nothing else makes an `Admitted`.
_SEAL: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedDataset:
    """One data set of an admitted question: its declaration and the pinned version."""

    dataset: Dataset
    version: DatasetVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A question that one node may answer; only `admit` makes one.

    `plan`: bound. `digest`: of the question. `datasets`: the base first, then those joined, in the plan's order.
    `measures`: what the answer publishes. `rules`, `terms`: of the agreements that permit.
    """

    plan: Plan
    digest: str
    datasets: tuple[AdmittedDataset, ...]
    operations: tuple[str, ...]
    uses: tuple[ColumnUse, ...]
    measures: tuple[Measure, ...]
    rules: DisclosureRules
    terms: tuple[str, ...]
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        _check_seal(seal)

    # SECURITY: neither a copy nor a pickle passes `__post_init__`; what was admitted is not changed on the way. Both
    # stand in the class itself: with slots, a frozen dataclass makes its own in place of inherited ones.
    def __reduce__(self) -> NoReturn:
        raise _not_copied()

    def __setstate__(self, state: object) -> NoReturn:
        raise _not_copied()

    @property
    def question(self) -> AnsweredQuestion:
        """Return the question."""
        question = self.plan.question
        if isinstance(question, TrainingQuestion):
            raise RefusedError(ErrorCode.JOB_REFUSED, "a training is not answered by one node")
        return question

    @property
    def base(self) -> AdmittedDataset:
        """Return the data set whose rows are read."""
        return self.datasets[0]

    def of(self, dataset: str) -> AdmittedDataset:
        """Return a data set of the question by its name."""
        return next(item for item in self.datasets if item.dataset.name == dataset)

    def item(self, column: Column) -> DataItem:
        """Return the declaration of a column of the question."""
        return next(item for item in self.of(column.dataset).dataset.items if item.name == column.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedTraining:
    """A member's part of a federation that may be computed on; only `admit` makes one.

    `question`: bound. `digest`: of the question; `common`: of what all members are asked alike. `base`: declaration and
    pinned version of the data set; the view has its columns `question.target` and those of the features, and nothing
    else. `rules`, `terms`: of the agreements that permit.
    """

    question: TrainingQuestion
    digest: str
    common: str
    base: AdmittedDataset
    operations: tuple[str, ...]
    uses: tuple[ColumnUse, ...]
    rules: DisclosureRules
    terms: tuple[str, ...]
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        _check_seal(seal)

    # SECURITY: neither a copy nor a pickle passes `__post_init__`; what was admitted is not changed on the way. Both
    # stand in the class itself: with slots, a frozen dataclass makes its own in place of inherited ones.
    def __reduce__(self) -> NoReturn:
        raise _not_copied()

    def __setstate__(self, state: object) -> NoReturn:
        raise _not_copied()

    @property
    def plan(self) -> Plan:
        """Return the question as a plan."""
        return Plan(question=self.question)

    @property
    def datasets(self) -> tuple[AdmittedDataset, ...]:
        """Return the data sets that are read: one."""
        return (self.base,)

    @property
    def unit_column(self) -> str:
        """Return the column that identifies the privacy unit; it is in no view."""
        return self.base.dataset.unit_item.name

    @property
    def min_units(self) -> int:
        """Return how many units a figure must be of, at least."""
        return self.rules.min_units

    def item(self, name: str) -> DataItem:
        """Return the declaration of a column of the question."""
        return next(item for item in self.base.dataset.items if item.name == name)


def _not_copied() -> RefusedError:
    return RefusedError(ErrorCode.JOB_REFUSED, "what was admitted is neither copied nor stored")


def _check_seal(seal: object) -> None:
    if seal is not _SEAL:
        raise RefusedError(ErrorCode.JOB_REFUSED, "only admission admits a question")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A question that may not run, and every reason; none of them depends on data."""

    reasons: tuple[Reason, ...]


def admit(
    plan: Plan, catalogue: Catalogue, decision: Decision, *, check_recipe: RecipeCheck = refuse_recipes
) -> Admitted | AdmittedTraining | Rejection:
    """Admit `plan` to the engine, or say why not (docs/spec/plan.md, "Admission").

    Binds the plan itself: an unbound one is made canonical, a bound one stays as it is. `decision` must be the answer
    of the policies about `uses(plan)`. What is admitted has its conditions on confidential columns in the aggregates.
    Of a training, `check_recipe` says whether its recipe takes it: without one, none does.

    Raises:
        InvalidRequestError: the plan cannot be bound.
        NotFoundError: a data set has no such version.
    """
    asked = bind(plan, catalogue)
    bound = separate_conditions(asked, catalogue)
    found = tuple(_facts(name, version, catalogue) for name, version in _pinned(bound))
    wanted = uses(asked)
    reasons = (*_check_decision(decision, asked), *_Checks(found).check(asked.question, wanted))
    if isinstance(asked.question, TrainingQuestion) and decision.disclosure is not None:
        reasons = (*reasons, *_check_entities(asked.question, decision.disclosure))
    if isinstance(asked.question, TrainingQuestion) and not reasons:
        reasons = tuple(_reason(problem, clause="recipe") for problem in check_recipe(asked.question))
    if reasons or decision.disclosure is None:
        return Rejection(reasons=reasons)
    if isinstance(bound.question, TrainingQuestion):
        return AdmittedTraining(
            question=bound.question,
            digest=question_digest(bound.question),
            common=common_digest(bound.question),
            base=found[0],
            operations=operations_of(bound.question),
            uses=wanted,
            rules=decision.disclosure,
            terms=decision.terms,
            seal=_SEAL,
        )
    return Admitted(
        plan=bound,
        digest=question_digest(bound.question),
        datasets=found,
        operations=operations_of(bound.question),
        uses=wanted,
        measures=measures_of(bound.question),
        rules=decision.disclosure,
        terms=decision.terms,
        seal=_SEAL,
    )


def _pinned(plan: Plan) -> list[tuple[str, int]]:
    source = plan.question.source
    versions = (source.version, *(join.version for join in source.joins))
    return [(name, version or 0) for name, version in zip(datasets(plan), versions, strict=True)]


def _facts(name: str, version: int, catalogue: Catalogue) -> AdmittedDataset:
    return AdmittedDataset(dataset=catalogue.datasets[name], version=catalogue.versions[name, version])


def _check_decision(decision: Decision, plan: Plan) -> Iterator[Reason]:
    if not decision.is_permitted:
        yield from decision.reasons or (_reason("expected a permit of the policies"),)
    elif not _is_about(decision.request, plan):
        # SECURITY: a permit for one question is not one for another.
        yield _reason("expected a permit for this very question")
    elif decision.disclosure is None:
        yield _reason("expected a permit that says what may come out")
    elif not decision.terms:
        yield _reason("expected a permit that names its agreements")
    elif isinstance(plan.question, TrainingQuestion):
        # Defence in depth: the policies refuse this too.
        if (decision.disclosure.mode is DisclosureMode.PRIVATE) is (plan.question.privacy is None):
            yield _reason("expected noise in private mode, and none in exact mode", clause="privacy")
    elif decision.disclosure.mode is not DisclosureMode.EXACT:
        yield _reason("exact answers are not among the terms: the agreement says private mode, which is for training")


def _check_entities(question: TrainingQuestion, rules: DisclosureRules) -> Iterator[Reason]:
    if question.min_entities < rules.min_units:
        yield _reason(
            f"a model may not tell fewer than {rules.min_units} entities apart",
            code=RefusalReason.PARAMETER_NOT_ALLOWED,
            clause="min_entities",
            allowed=(str(rules.min_units),),
        )


def _is_about(request: Request | None, plan: Plan) -> bool:
    if request is None:
        return False
    asked = (uses(plan), operations(plan), datasets(plan), rounds(plan), training(plan))
    judged = (tuple(request.uses), tuple(request.operations), tuple(request.datasets))
    return asked == (*judged, request.rounds, request.training)


def _reason(
    message: str,
    *,
    code: RefusalReason = RefusalReason.PLAN_NOT_ADMITTED,
    clause: str | None = None,
    column: Column | None = None,
    allowed: tuple[str, ...] = (),
) -> Reason:
    return Reason(
        code=code,
        rule=None,
        clause=clause,
        dataset=None if column is None else column.dataset,
        column=None if column is None else column.name,
        allowed=allowed,
        message=message,
    )


class _Checks:
    """The rules of admission over the declarations of one question's data sets."""

    def __init__(self, found: tuple[AdmittedDataset, ...]) -> None:
        self._found = found
        self._items = {
            Column(dataset=fact.dataset.name, name=item.name): item for fact in found for item in fact.dataset.items
        }
        self._base = found[0].dataset

    def check(self, question: AnsweredQuestion | TrainingQuestion, wanted: tuple[ColumnUse, ...]) -> Iterator[Reason]:
        """Yield every reason against a question."""
        yield from self._check_datasets()
        yield from self._check_uses(wanted)
        if isinstance(question, TrainingQuestion):
            yield from self._check_training(question)
            return
        yield from self._check_membership(question, wanted)
        yield from self._check_conditions(question.where, "where")
        if isinstance(question, TableQuestion):
            yield from self._check_table(question)
        else:
            yield from self._check_regression(question)

    def _check_datasets(self) -> Iterator[Reason]:
        for index, fact in enumerate(self._found):
            dataset = fact.dataset
            clause = "source" if index == 0 else f"joins[{index - 1}]"
            if dataset.openness is Openness.NOT_OPEN:
                yield _reason(f"`{dataset.name}` is not open", code=RefusalReason.DATASET_NOT_GRANTED, clause=clause)
            if dataset.privacy_unit is not self._base.privacy_unit:
                yield _reason(f"`{dataset.name}` is about another kind of privacy unit", clause=clause)
            if index and dataset.max_rows_per_unit != 1:
                yield _reason(
                    f"`{dataset.name}` has several rows a unit: ask it first, and join the other", clause=clause
                )
            if not 0 <= fact.version.rows <= MAX_ROWS:
                yield _reason(f"`{dataset.name}` is larger than sums are proved for", clause=clause)

    def _check_uses(self, wanted: tuple[ColumnUse, ...]) -> Iterator[Reason]:
        # Defence in depth: the policies refuse these too.
        for use in wanted:
            column = Column(dataset=use.dataset, name=use.column)
            item = self._items[column]
            if item.on_negative_list:
                code = RefusalReason.NEGATIVE_LIST
                yield _reason(f"`{item.name}` is on the negative list", code=code, clause=use.clause, column=column)
            if item.grade is Grade.CORE:
                code = RefusalReason.GRADE_TOO_HIGH
                yield _reason(f"`{item.name}` is core data", code=code, clause=use.clause, column=column)
            if use.use is not Use.JOIN and (item.role is ItemRole.UNIT or item.type is ItemType.TEXT):
                what = "identifies units" if item.role is ItemRole.UNIT else "is free text"
                yield _reason(f"`{item.name}` {what}: it can only be joined on", clause=use.clause, column=column)

    def _check_membership(self, question: AnsweredQuestion, wanted: tuple[ColumnUse, ...]) -> Iterator[Reason]:
        """Refuse public columns that only those have who are in a data set whose members are confidential.

        SECURITY: in a left join such a column is null for everybody else, and nothing guards what is public.
        """
        left = {join.dataset for join in question.source.joins if join.kind is JoinKind.LEFT}
        hidden = {name for name in left if self._is_secret(name)}
        for use in wanted:
            column = Column(dataset=use.dataset, name=use.column)
            is_public = self._items[column].visibility is Visibility.PUBLIC
            if use.use is not Use.JOIN and use.dataset in hidden and is_public:
                message = f"`{use.column}` would tell who is in `{use.dataset}`: join it with JOIN, or leave it out"
                yield _reason(message, clause=use.clause, column=column)

    def _is_secret(self, dataset: str) -> bool:
        """Return whether it is confidential who is in a data set."""
        return any(
            fact.dataset.membership is Visibility.CONFIDENTIAL for fact in self._found if fact.dataset.name == dataset
        )

    def _is_set_secret(self, question: TableQuestion, aggregate: Aggregate) -> bool:
        """Return whether it is confidential which rows an aggregate adds up in a cell."""
        columns = [item.column for item in (*question.where, *aggregate.where)]
        columns += [dimension.column for dimension in question.group_by]
        source = question.source
        present = [source.dataset, *(join.dataset for join in source.joins if join.kind is JoinKind.INNER)]
        is_column = any(self._items[column].visibility is Visibility.CONFIDENTIAL for column in columns)
        return is_column or any(self._is_secret(name) for name in present)

    def _check_table(self, question: TableQuestion) -> Iterator[Reason]:
        for index, dimension in enumerate(question.group_by):
            yield from self._check_dimension(dimension, f"group_by[{index}]")
        if self._cells(question) > MAX_CELLS:
            yield _reason(f"the dimensions make more than {MAX_CELLS} cells", clause="group_by")
        for index, aggregate in enumerate(question.aggregates):
            clause = f"aggregates[{index}]"
            yield from self._check_aggregate(aggregate, clause)
            yield from self._check_weights(question, aggregate, clause)
            yield from self._check_conditions(aggregate.where, f"{clause}.where")

    def _check_dimension(self, dimension: Dimension, clause: str) -> Iterator[Reason]:
        column, item = dimension.column, self._items[dimension.column]
        if dimension.edges is not None:
            declared = item.edges or ()
            if not set(dimension.edges) <= set(declared):
                message = f"bins of `{item.name}` need edges that the catalogue declares"
                yield _reason(message, clause=clause, column=column, allowed=declared)
        elif not _is_groupable(item):
            allowed = tuple(item.name for item in self._items.values() if _is_groupable(item))
            message = f"`{item.name}` has no declared values to group by; numbers and dates need bins"
            yield _reason(message, clause=clause, column=column, allowed=allowed)

    def _cells(self, question: TableQuestion) -> int:
        # One more each for null, and one for the total.
        extra = 2 if question.margins else 1
        return prod(
            extra + (_levels(self._items[dimension.column]) if dimension.edges is None else len(dimension.edges) + 1)
            for dimension in question.group_by
        )

    def _check_aggregate(self, aggregate: Aggregate, clause: str) -> Iterator[Reason]:
        if aggregate.column is None:
            return
        column, item = aggregate.column, self._items[aggregate.column]
        if column.dataset != self._base.name:
            yield _reason(f"`{item.name}` is of a joined data set: ask that one first", clause=clause, column=column)
        if aggregate.function is not Function.COUNT_VALUES:
            yield from _check_measure(column, item, clause, squared=aggregate.function in _SQUARED)
        if aggregate.fraction is not None and Decimal(aggregate.fraction) not in FRACTIONS:
            allowed = tuple(map(str, FRACTIONS))
            code = RefusalReason.PARAMETER_NOT_ALLOWED
            message = f"there are quantiles at {', '.join(allowed)} only"
            yield _reason(message, code=code, clause=clause, column=column, allowed=allowed)

    def _check_weights(self, question: TableQuestion, aggregate: Aggregate, clause: str) -> Iterator[Reason]:
        """Refuse figures of a public number over a confidential set.

        SECURITY: everybody knows the numbers, so that one sum of them names the subset (a knapsack with small items);
        history counts members and does not weigh them.
        """
        column = aggregate.column
        if column is None or aggregate.function not in _WEIGHING:
            return
        item = self._items[column]
        if item.visibility is Visibility.PUBLIC and self._is_set_secret(question, aggregate):
            message = f"`{item.name}` is public: a figure of it over a confidential set would tell who is in it; count"
            yield _reason(message, clause=clause, column=column)

    def _check_conditions(self, conditions: tuple[Condition, ...], path: str) -> Iterator[Reason]:
        for index, condition in enumerate(conditions):
            column, item = condition.column, self._items[condition.column]
            if message := _problem_of_filter(condition, item):
                code = RefusalReason.PARAMETER_NOT_ALLOWED
                allowed = (item.edges if item.type in _ORDERED else item.domain) or ()
                yield _reason(message, code=code, clause=f"{path}[{index}]", column=column, allowed=allowed)

    def _check_regression(self, question: RegressionQuestion) -> Iterator[Reason]:
        target = self._items[question.target]
        if question.target.dataset != self._base.name:
            message = f"`{target.name}` is of a joined data set: ask that one first"
            yield _reason(message, clause="target", column=question.target)
        if question.family is Family.LINEAR:
            yield from _check_measure(question.target, target, "target", squared=True)
        elif target.type is not ItemType.BOOLEAN:
            message = f"`{target.name}` is not a boolean: a logistic regression is of one"
            yield _reason(message, clause="target", column=question.target)
        for index, feature in enumerate(question.features):
            item, clause = self._items[feature], f"features[{index}]"
            if item.type in _NUMBERS:
                yield from _check_measure(feature, item, clause, squared=True)
            elif item.type not in (ItemType.BOOLEAN, ItemType.CODE):
                yield _reason(f"`{item.name}` is neither number, boolean nor code", clause=clause, column=feature)
        items = [self._items[feature] for feature in question.features]
        if sum(1 if item.type in _NUMBERS else max(_levels(item) - 1, 1) for item in items) > MAX_PARAMETERS:
            yield _reason(f"the levels of the features make more than {MAX_PARAMETERS} parameters", clause="features")

    def _check_training(self, question: TrainingQuestion) -> Iterator[Reason]:
        if self._base.max_rows_per_unit != 1:
            message = f"`{self._base.name}` has several rows a unit: a training takes data sets with one row a unit"
            yield _reason(message, clause="source")
        column = Column(dataset=self._base.name, name=question.target)
        target = self._items[column]
        values = _target_values(target)
        if target.nullable:
            # SECURITY: rows without a target are left out; two targets of which one is missing once would tell of one.
            message = f"`{target.name}` may be missing: a target is a column that is declared to have a value always"
            yield _reason(message, clause="target", column=column)
        if values is None:
            message = f"`{target.name}` is no target: a boolean, a code, or an integer of few declared values is"
            yield _reason(message, clause="target", column=column)
        elif question.positive not in values:
            yield _reason(
                f"`{target.name}` does not have this value",
                code=RefusalReason.PARAMETER_NOT_ALLOWED,
                clause="positive",
                column=column,
                allowed=values,
            )
        for index, feature in enumerate(question.features):
            yield from self._check_feature(feature, f"features[{index}]")

    def _check_feature(self, feature: TrainingFeature, clause: str) -> Iterator[Reason]:
        column = Column(dataset=self._base.name, name=feature.name)
        item = self._items[column]
        if not isinstance(feature, CodedFeature):
            if item.type not in _NUMBERS:
                yield _reason(f"`{item.name}` is not a number", clause=clause, column=column)
            return
        values = _target_values(item) if item.type in (ItemType.BOOLEAN, ItemType.CODE) else None
        # SECURITY: with a code left out, whoever has it would stand out as somebody without a value.
        if values is None or set(feature.codes) != set(values):
            yield _reason(
                f"`{item.name}` is trained on with all codes that the catalogue declares",
                code=RefusalReason.PARAMETER_NOT_ALLOWED,
                clause=clause,
                column=column,
                allowed=values or (),
            )


def _target_values(item: DataItem) -> tuple[str, ...] | None:
    """Return the values that an item is declared to have, where they are few; data takes no part."""
    if item.role is ItemRole.UNIT:
        return None
    if item.type is ItemType.BOOLEAN:
        return ("false", "true")
    if item.type is ItemType.CODE:
        return item.domain
    if item.type is ItemType.INTEGER and item.bounds is not None and _levels(item) <= MAX_LEVELS:
        return tuple(str(value) for value in range(int(item.bounds[0]), int(item.bounds[1]) + 1))
    return None


def _check_measure(column: Column, item: DataItem, clause: str, *, squared: bool) -> Iterator[Reason]:
    if item.type not in _NUMBERS:
        message = f"`{item.name}` is not a number; count its values, or rows that meet a condition"
        yield _reason(message, clause=clause, column=column)
    elif item.bounds is None:
        yield _reason(f"`{item.name}` has no declared bounds", clause=clause, column=column)
    elif not _fits(item, item.bounds, squared=squared):
        yield _reason(f"`{item.name}` has bounds too wide for exact sums", clause=clause, column=column)


def _fits(item: DataItem, bounds: tuple[Decimal, Decimal], *, squared: bool) -> bool:
    """Tell whether every total fits in the engine's integers: |bound| (or its square) times `MAX_ROWS`."""
    scale = 10**item.decimals if item.type is ItemType.DECIMAL else 1
    largest = max(abs(Fraction(bound)) for bound in bounds) * scale
    return largest <= _MAX_BIGINT and largest ** (2 if squared else 1) * MAX_ROWS <= _MAX_HUGEINT


def _is_groupable(item: DataItem) -> bool:
    if item.role is ItemRole.UNIT:
        return False
    if item.type is ItemType.CODE:
        return item.domain is not None
    if item.type is ItemType.INTEGER:
        return item.visibility is Visibility.PUBLIC and _levels(item) <= MAX_LEVELS
    return item.type is ItemType.BOOLEAN


def _levels(item: DataItem) -> int:
    """Return how many values an item can have that can be grouped by: as declared, data takes no part."""
    if item.type is ItemType.BOOLEAN:
        return 2
    if item.domain is not None:
        return len(item.domain)
    return MAX_LEVELS + 1 if item.bounds is None else int(item.bounds[1] - item.bounds[0]) + 1


def _problem_of_filter(condition: Condition, item: DataItem) -> str | None:
    """Say what is wrong with a filter, or nothing.

    INVARIANT: a filter on a confidential column selects whole declared blocks: values of a declared domain, or the bins
    between declared edges. Boundaries cannot be shaved, and history knows every block.
    """
    if item.type not in _ORDERED or condition.comparison in _NULL_TESTS or item.visibility is Visibility.PUBLIC:
        return None
    if condition.comparison not in _RANGES:
        return f"`{item.name}` is confidential: filter it by a range between declared edges"
    declared = {order_key(item, edge) for edge in item.edges or ()}
    if not all(order_key(item, str(value)) in declared for value in condition.values):
        return f"`{item.name}` is confidential: filter it at declared edges only"
    return None
