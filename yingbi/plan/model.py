"""Frozen nodes of a plan: what is asked (`Question`), and how the answer is laid out (`Presentation`).

The digest of a plan is over the question only: aliases, order, limit and conditions on released values change nothing
about what is computed, so that cache, ledger and history know one question by one name.

Scalars are untyped here (`str`, `int` or `bool`): a decimal or a date is a `str`, and the column's type in the
catalogue says what it means. Binding to the catalogue makes them canonical (`"12.50"` becomes `"12.5"`).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = [
    "MAX_AGGREGATES",
    "MAX_CONDITIONS",
    "MAX_DIMENSIONS",
    "MAX_FEATURES",
    "MAX_JOINS",
    "MAX_MEMBERS",
    "MAX_ROUNDS",
    "MAX_TRAINING_FEATURES",
    "MAX_VALUES",
    "MIN_MEMBERS",
    "Aggregate",
    "AnsweredQuestion",
    "CodedFeature",
    "Column",
    "Comparison",
    "Condition",
    "Dimension",
    "Direction",
    "Family",
    "Function",
    "Join",
    "JoinKind",
    "Member",
    "NumericFeature",
    "OrderBy",
    "Plan",
    "Presentation",
    "Question",
    "Recipe",
    "RegressionQuestion",
    "ReleasedCondition",
    "Scalar",
    "Source",
    "TableQuestion",
    "TrainingFeature",
    "TrainingPrivacy",
    "TrainingQuestion",
]

MAX_DIMENSIONS: Final = 4
MAX_AGGREGATES: Final = 16
MAX_CONDITIONS: Final = 16
MAX_VALUES: Final = 256
MAX_JOINS: Final = 4
MAX_FEATURES: Final = 32
MAX_TRAINING_FEATURES: Final = 64
MIN_MEMBERS: Final = 3
MAX_MEMBERS: Final = 64
MAX_ROUNDS: Final = 1000

Scalar = str | int | bool


class Comparison(StrEnum):
    """How a column is compared with literals."""

    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    IN = "in"
    NOT_IN = "not in"
    IS_NULL = "is null"
    NOT_NULL = "is not null"


class Function(StrEnum):
    """What is computed of the rows of a cell."""

    COUNT = "count"
    COUNT_VALUES = "count_values"
    COUNT_UNITS = "count_units"
    SUM = "sum"
    MEAN = "mean"
    VARIANCE = "variance"
    STDDEV = "stddev"
    QUANTILE = "quantile"


class JoinKind(StrEnum):
    """Whether rows without a partner in the joined data set are dropped or kept."""

    INNER = "inner"
    LEFT = "left"


class Family(StrEnum):
    """Which regression."""

    LINEAR = "linear"
    LOGISTIC = "logistic"


class Recipe(StrEnum):
    """What a federation trains, or adds up."""

    LOGISTIC_REGRESSION = "logistic_regression"
    GRADIENT_BOOSTED_TREES = "gradient_boosted_trees"
    SMALL_NETWORK = "small_network"
    WOE_BINS = "woe_bins"


class Direction(StrEnum):
    """Ascending or descending."""

    ASC = "asc"
    DESC = "desc"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Column:
    """One data item of one data set: `dataset` is `unit/resource`, or empty until binding finds it."""

    dataset: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A column against literals; `values` is empty for the null tests, one for comparisons, 1.. for `in`, `not in`."""

    column: Column
    comparison: Comparison
    values: tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """A column to group by: its values, or with ascending `edges` the bins (-inf, e0), [e0, e1), ..., [en, +inf).

    Empty `edges` stand for all edges that the catalogue declares; binding puts them there.
    """

    column: Column
    edges: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """A function of a column over the rows of a cell that meet `where`.

    `column` is absent for `COUNT` and `COUNT_UNITS` only; `fraction` (a decimal in (0, 1)) is of `QUANTILE` only.
    Before binding a `COUNT_UNITS` may name the column that the partner takes for the privacy unit.
    """

    function: Function
    column: Column | None = None
    fraction: str | None = None
    where: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Attributes of another data set of the same node, looked up by the privacy unit (it has one row a unit).

    `on`: the item that names the unit in the first data set, and in this one; binding checks it, or puts it there.
    """

    dataset: str
    kind: JoinKind
    version: int | None = None
    on: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The data set whose rows are read; `version` absent means the current one, and admission pins it."""

    dataset: str
    version: int | None = None
    joins: tuple[Join, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableQuestion:
    """Aggregates of rows that meet `where`, by up to four dimensions; `margins` adds the totals of every subset."""

    source: Source
    where: tuple[Condition, ...] = ()
    group_by: tuple[Dimension, ...] = ()
    aggregates: tuple[Aggregate, ...]
    margins: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressionQuestion:
    """A regression of `target` on `features` and an intercept; codes and booleans become indicators of levels."""

    source: Source
    family: Family
    target: Column
    features: tuple[Column, ...]
    where: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member job of a federation: its agreement, data set, job and node."""

    agreement: str
    dataset: str
    job: str
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericFeature:
    """A number: its public bounds, and public bin edges in ascending order (none where the recipe takes no bins)."""

    name: str
    bounds: tuple[str, str]
    edges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedFeature:
    """A code or boolean: all its public values; a value's place in `codes` is its number."""

    name: str
    codes: tuple[str, ...]


TrainingFeature = NumericFeature | CodedFeature


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPrivacy:
    """What a member job spends of its agreement's budget; `clip`: norm of one record's part, where a recipe clips."""

    epsilon: str
    delta: str
    clip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingQuestion:
    """One member's part of a federation: the same for all members but for `source` (docs/spec/federation.md).

    Columns are named alone, because each member reads them from its own data set. `parameters` is the canonical JSON
    (RFC 8785) of the recipe's parameters, which only the recipe interprets. `positive` is the target's value that
    counts as the event. `min_entities`: fewest entities in anything that the model tells
    apart. The order of the features is part of the question; `privacy` is absent in exact mode.
    """

    source: Source
    federation: str
    members: tuple[Member, ...]
    quorum: int
    rounds: int
    min_entities: int
    recipe: Recipe
    parameters: str = "{}"
    target: str
    positive: str
    features: tuple[TrainingFeature, ...]
    privacy: TrainingPrivacy | None = None

    @property
    def own(self) -> Member | None:
        """Return the member whose data set is the source, or nothing where none is."""
        return next((member for member in self.members if member.dataset == self.source.dataset), None)


AnsweredQuestion = TableQuestion | RegressionQuestion
"""What one node answers by itself."""

Question = AnsweredQuestion | TrainingQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedCondition:
    """`HAVING`: a condition on a released value, applied after the gate; `output` is a name in `Presentation.names`."""

    output: str
    comparison: Comparison
    value: Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderBy:
    """Order of the released rows by one output."""

    output: str
    direction: Direction = Direction.ASC


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """How the released answer is laid out: `names` has one name a dimension, then one an aggregate.

    `columns` has the same names in the order in which they are shown; empty means the order of `names`.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...] = ()
    having: tuple[ReleasedCondition, ...] = ()
    order_by: tuple[OrderBy, ...] = ()
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A question and how its answer is laid out; only a table has a `presentation`."""

    question: Question
    presentation: Presentation | None = None
