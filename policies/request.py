"""What is asked of the policies: who wants which uses of which columns, for what, where and when.

A plan is not known here: whoever holds one lists its uses (`sandbox.query.uses`), so that the decision is the same for
a table, a model or a match.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, Protocol

from policies.bureau import BureauRules
from yingbi.events.fields import Grade, Openness, PrivacyUnit

__all__ = [
    "TRAINING",
    "CatalogueView",
    "ColumnFacts",
    "ColumnUse",
    "Consumption",
    "Context",
    "DatasetFacts",
    "Request",
    "Spending",
    "Training",
    "Use",
]

TRAINING: Final = "train.horizontal"
"""The family of operations of federations; a request with one of them says what of it is agreed upon (`Training`)."""


class Use(StrEnum):
    """What a column may be used for; nothing else is ever allowed."""

    JOIN = "join"
    FILTER = "filter"
    GROUP = "group"
    AGGREGATE = "aggregate"
    TRAIN = "train"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnUse:
    """One use of one column, and the clause of the plan it comes from (`where[0]`, `group_by[1]`, `aggregates[0]`).

    `function` is the aggregate's (`sum`, `mean`); `values` are a filter's literals, or the bin edges of what is trained
    on, in the column's canonical text form. `bounds`: the public bounds that a number is trained with.
    """

    dataset: str
    column: str
    use: Use
    clause: str
    function: str | None = None
    values: tuple[str, ...] = ()
    bounds: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What a job in private mode asks of its agreement's budget."""

    epsilon: Decimal
    delta: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a member job of a federation says besides its uses.

    `agreement`, `node`: under which and where its plan says that it runs. `quorum`: of how many members a sum is, at
    least. `min_entities`: how many entities everything is of that the model tells apart, at least. `privacy` is absent
    in exact mode.
    """

    agreement: str
    node: str
    quorum: int
    min_entities: int
    privacy: Spending | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A job, seen by the policies; `training` is there where its operations are of a federation, and only there."""

    assignee: str
    purpose: str
    operations: tuple[str, ...]
    datasets: tuple[str, ...]
    uses: tuple[ColumnUse, ...]
    place: str
    intermediary: str | None = None
    rounds: int = 0
    training: Training | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFacts:
    """What the catalogue says of a column that a decision needs."""

    grade: Grade
    on_negative_list: bool
    type: str
    domain: frozenset[str] | None = None
    edges: frozenset[str] | None = None
    bounds: tuple[Decimal, Decimal] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    """What the catalogue says of a data set that a decision needs.

    `privacy_unit` sets the least threshold; a catalogue that does not say is read as one of persons, the higher one.
    """

    owner: str
    openness: Openness
    unit_column: str
    columns: Mapping[str, ColumnFacts]
    privacy_unit: PrivacyUnit = PrivacyUnit.PERSON


class CatalogueView(Protocol):
    """The catalogue as the policies see it."""

    def facts(self, dataset: str) -> DatasetFacts | None:
        """Return what is known of a data set, or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumption:
    """What was used of an agreement's limits before this request."""

    jobs: int = 0
    jobs_today: int = 0
    rounds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Everything a decision depends on besides agreements and request: time, facts, consumption, licences, freezes.

    `consumption` is by agreement id. `frozen` holds parties, data sets and agreements that are stopped; `bureau` the
    rules that stand above all agreements.
    """

    at: datetime
    catalogue: CatalogueView
    consumption: Mapping[str, Consumption] = field(default_factory=dict)
    licensed_intermediaries: frozenset[str] = frozenset()
    frozen: frozenset[str] = frozenset()
    bureau: BureauRules = field(default_factory=BureauRules)
