"""A plan in words: what is computed of which rows, which columns take part and how they are graded."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sandbox.query.uses import operations, uses
from yingbi.canonical import JsonValue
from yingbi.client.catalogue import DatasetRecord
from yingbi.client.shown import list_html, table_html, table_text
from yingbi.plan.codec import question_digest
from yingbi.plan.model import (
    Aggregate,
    Column,
    Condition,
    Dimension,
    Function,
    Plan,
    Question,
    RegressionQuestion,
    TableQuestion,
    TrainingQuestion,
)

__all__ = ["ColumnUsed", "Explanation", "explain"]

_HEADINGS: Final = ("column", "title", "type", "grade", "visibility", "used to")
_MODEL_OUTPUTS: Final = ("coefficients", "standard errors", "observations", "r squared")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnUsed:
    """A column that takes part, how it is graded, and what it is used for."""

    name: str
    title: str
    type: str
    grade: str
    visibility: str
    uses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a plan asks."""

    sentences: tuple[str, ...]
    columns: tuple[ColumnUsed, ...]
    operations: tuple[str, ...]
    outputs: tuple[str, ...]
    digest: str

    def to_json(self) -> dict[str, JsonValue]:
        """Return the explanation as JSON."""
        return {
            "sentences": list(self.sentences),
            "columns": [
                {
                    "name": one.name,
                    "title": one.title,
                    "type": one.type,
                    "grade": one.grade,
                    "visibility": one.visibility,
                    "uses": list(one.uses),
                }
                for one in self.columns
            ],
            "operations": list(self.operations),
            "outputs": list(self.outputs),
            "question": self.digest,
        }

    def __str__(self) -> str:
        lines = [*self.sentences, table_text(_HEADINGS, self._rows()), *self._notes()]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return list_html(self.sentences) + table_html(_HEADINGS, self._rows()) + list_html(self._notes())

    def _rows(self) -> list[tuple[object, ...]]:
        return [(one.name, one.title, one.type, one.grade, one.visibility, ", ".join(one.uses)) for one in self.columns]

    def _notes(self) -> list[str]:
        return [
            f"operations: {', '.join(self.operations)}",
            f"outputs: {', '.join(self.outputs)}",
            f"question: {self.digest}",
        ]


def explain(plan: Plan, records: Sequence[DatasetRecord]) -> Explanation:
    """Explain a bound plan."""
    question = plan.question
    layout = plan.presentation
    sentences = _sentences(question)
    outputs = _MODEL_OUTPUTS if layout is None else layout.columns or layout.names
    return Explanation(
        sentences=tuple(sentences),
        columns=_columns(plan, records),
        operations=operations(plan),
        outputs=outputs,
        digest=question_digest(question),
    )


def _columns(plan: Plan, records: Sequence[DatasetRecord]) -> tuple[ColumnUsed, ...]:
    found: dict[tuple[str, str], list[str]] = {}
    for use in uses(plan):
        word = str(use.use) if use.function is None else f"{use.use} ({use.function})"
        words = found.setdefault((use.dataset, use.column), [])
        if word not in words:
            words.append(word)
    by_name = {record.name: record.dataset for record in records}
    used = []
    for (dataset, name), words in found.items():
        item = by_name[dataset].item(name)
        if item is not None:
            used.append(
                ColumnUsed(
                    name=f"{dataset}.{name}",
                    title=item.title,
                    type=str(item.type),
                    grade=str(item.grade),
                    visibility=str(item.visibility),
                    uses=tuple(words),
                )
            )
    return tuple(used)


def _sentences(question: Question) -> list[str]:
    if isinstance(question, RegressionQuestion):
        return _regression(question)
    return _table(question) if isinstance(question, TableQuestion) else _training(question)


def _table(question: TableQuestion) -> list[str]:
    asked = ", ".join(_aggregate(one) for one in question.aggregates)
    by = ", ".join(_dimension(one) for one in question.group_by)
    totals = ", with the totals of every subset of these" if question.margins else ""
    return [f"compute {asked}" + (f" by {by}{totals}" if by else " of all rows together"), *_rows(question)]


def _regression(question: RegressionQuestion) -> list[str]:
    features = ", ".join(_name(one) for one in question.features)
    return [f"fit a {question.family} regression of {_name(question.target)} on {features}", *_rows(question)]


def _training(question: TrainingQuestion) -> list[str]:
    features = ", ".join(feature.name for feature in question.features)
    source, privacy = question.source, question.privacy
    noise = "without noise" if privacy is None else f"with noise for epsilon {privacy.epsilon}, delta {privacy.delta}"
    return [
        f"train {question.recipe} of {question.target} = {question.positive} on {features}",
        f"with {len(question.members)} members, {question.quorum} at least, in up to {question.rounds} rounds, {noise}",
        f"over {source.dataset} version {source.version}",
    ]


def _rows(question: TableQuestion | RegressionQuestion) -> list[str]:
    source = question.source
    lines = [f"over {source.dataset} version {source.version}"]
    lines += [f"with {join.dataset} version {join.version} ({join.kind} join on the unit)" for join in source.joins]
    if question.where:
        lines.append(f"where {_conditions(question.where)}")
    return lines


def _aggregate(one: Aggregate) -> str:
    words = {Function.COUNT: "the number of rows", Function.COUNT_UNITS: "the number of units"}.get(one.function)
    if words is None and one.column is not None:
        fraction = "" if one.fraction is None else f" {one.fraction}"
        words = f"{str(one.function).replace('_', ' ')}{fraction} of {_name(one.column)}"
    return (words or str(one.function)) + (f" where {_conditions(one.where)}" if one.where else "")


def _dimension(one: Dimension) -> str:
    return _name(one.column) + ("" if one.edges is None else f" in {len(one.edges) + 1} bins")


def _conditions(conditions: Iterable[Condition]) -> str:
    return " and ".join(_condition(one) for one in conditions)


def _condition(one: Condition) -> str:
    values = ", ".join(str(value) for value in one.values[:8]) + (", ..." if len(one.values) > 8 else "")
    return f"{_name(one.column)} {one.comparison} {values}".strip()


def _name(column: Column) -> str:
    return column.name
