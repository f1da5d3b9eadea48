"""Questions that are ready to be asked: a bound plan, what it means in words, and the way to the hub."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Generic, NoReturn, Protocol, Self, TypeVar

from sandbox.query.bind import bind
from sandbox.query.uses import operations
from yingbi.canonical import JsonValue
from yingbi.client.catalogue import DatasetRecord, catalogue_of
from yingbi.client.explain import Explanation, explain
from yingbi.client.expressions import not_permitted
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.plan.codec import plan_to_json, question_digest
from yingbi.plan.model import (
    Column,
    Comparison,
    Condition,
    Direction,
    Family,
    OrderBy,
    Plan,
    Presentation,
    RegressionQuestion,
    ReleasedCondition,
    Scalar,
    Source,
    TableQuestion,
)
from yingbi.plan.names import default_names, distinct_names

__all__ = ["D", "J", "Query", "RegressionQuery", "Session", "TableQuery"]

D = TypeVar("D")
J = TypeVar("J")
_D_co = TypeVar("_D_co", covariant=True)
_J_co = TypeVar("_J_co", covariant=True)


class Session(Protocol[_D_co, _J_co]):
    """Where questions go: a client, which answers with values, or an asynchronous one, with what can be awaited."""

    def dry_run(
        self, query: "Query[Any, Any]", *, agreement: str | None, purpose: str | None, intermediary: str | None
    ) -> _D_co:
        """Return what would be decided, without recording or running anything."""
        ...

    def submit(
        self,
        query: "Query[Any, Any]",
        *,
        agreement: str | None,
        purpose: str | None,
        certificate: str | None,
        expires_in: timedelta | None,
    ) -> _J_co:
        """Sign and submit the question, and return its job."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Query(Generic[D, J]):
    """A question, checked against the catalogue. Nothing is sent before `dry_run` or `submit`."""

    session: Session[D, J] = field(repr=False)
    records: tuple[DatasetRecord, ...]
    plan: Plan

    @property
    def digest(self) -> str:
        """Return the name of the question in caches, histories and released results."""
        return question_digest(self.plan.question)

    @property
    def operations(self) -> tuple[str, ...]:
        """Return the operations of the whitelist that it asks for."""
        return operations(self.plan)

    @property
    def datasets(self) -> tuple[tuple[str, int], ...]:
        """Return the ids of the data sets that it reads, each with its version."""
        source = self.plan.question.source
        ids = {record.name: record.id for record in self.records}
        pinned = [(source.dataset, source.version), *((join.dataset, join.version) for join in source.joins)]
        return tuple((ids[name], version) for name, version in pinned if version is not None)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the plan as it is sent and committed to."""
        return plan_to_json(self.plan)

    def explain(self) -> Explanation:
        """Return what is asked, in words and as a table of columns; nothing is sent."""
        return explain(self.plan, self.records)

    def dry_run(
        self, *, agreement: str | None = None, purpose: str | None = None, intermediary: str | None = None
    ) -> D:
        """Ask whether it would be allowed and why, what it costs and who reviews it; nothing is recorded or run."""
        return self.session.dry_run(self, agreement=agreement, purpose=purpose, intermediary=intermediary)

    def submit(
        self,
        *,
        agreement: str | None = None,
        purpose: str | None = None,
        certificate: str | None = None,
        expires_in: timedelta | None = None,
    ) -> J:
        """Sign the question and submit it.

        Raises:
            JobRefusedError: the policies refuse it; that is recorded, and `reasons` says why.
        """
        return self.session.submit(
            self,
            agreement=agreement,
            purpose=purpose,
            certificate=certificate,
            expires_in=expires_in,
        )

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        raise not_permitted(f"`.{name[:40]}` of a question that has no answer yet", ".explain(), .dry_run(), .submit()")

    def __repr__(self) -> str:
        return str(self.explain())

    def _repr_html_(self) -> str:
        return self.explain()._repr_html_()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TableQuery(Query[D, J]):
    """Aggregates of rows, by groups or of all together. `asked` is the question before it was brought into its form."""

    asked: TableQuestion

    @classmethod
    def of(
        cls,
        session: Session[D, J],
        records: tuple[DatasetRecord, ...],
        question: TableQuestion,
        names: Sequence[str | None],
    ) -> Self:
        """Return the query; aggregates without a name get one."""
        usual = default_names(question)
        groups = len(question.group_by)
        wanted = [*usual[:groups], *(name or word for name, word in zip(names, usual[groups:], strict=True))]
        plan = Plan(question=question, presentation=Presentation(names=distinct_names(wanted)))
        return cls(session=session, records=records, plan=bind(plan, catalogue_of(records)), asked=question)

    @classmethod
    def of_plan(cls, session: Session[D, J], records: tuple[DatasetRecord, ...], plan: Plan) -> Self:
        """Return the query of a plan that was read from somewhere."""
        question = plan.question
        if not isinstance(question, TableQuestion):
            raise not_permitted("a regression as a table", ".linear_regression(...), .logistic_regression(...)")
        return cls(session=session, records=records, plan=bind(plan, catalogue_of(records)), asked=question)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of the columns of the answer, as they will be shown."""
        return self._layout.columns or self._layout.names

    def sort_values(self, by: str, *, ascending: bool = True) -> Self:
        """Return the query with the released rows in the order of an output."""
        order = OrderBy(output=by, direction=Direction.ASC if ascending else Direction.DESC)
        return self._laid_out(replace(self._layout, order_by=(order,)))

    def limit(self, rows: int) -> Self:
        """Return the query with so many of the released rows at most."""
        return self._laid_out(replace(self._layout, limit=rows))

    def having(self, output: str, comparison: str, value: Scalar) -> Self:
        """Return the query with a condition on a released value: `having("n", ">=", 30)`."""
        if comparison not in tuple(Comparison):
            raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, "expected =, !=, <, <=, > or >=")
        compared = ReleasedCondition(output=output, comparison=Comparison(comparison), value=value)
        return self._laid_out(replace(self._layout, having=(*self._layout.having, compared)))

    @property
    def _layout(self) -> Presentation:
        return self.plan.presentation or Presentation(names=())

    def _laid_out(self, layout: Presentation) -> Self:
        plan = bind(Plan(question=self.plan.question, presentation=layout), catalogue_of(self.records))
        return replace(self, plan=plan)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class RegressionQuery(Query[D, J]):
    """A regression."""

    @classmethod
    def of(
        cls,
        session: Session[D, J],
        records: tuple[DatasetRecord, ...],
        *,
        source: Source,
        where: tuple[Condition, ...],
        family: Family,
        target: Column,
        features: tuple[Column, ...],
    ) -> Self:
        """Return the query."""
        question = RegressionQuestion(source=source, family=family, target=target, features=features, where=where)
        return cls(session=session, records=records, plan=bind(Plan(question=question), catalogue_of(records)))
