"""Aggregates over a column of two decimals, and what a cell of four rows holds."""

from collections.abc import Mapping, Sequence

from sandbox.operations.measure import Measure, MeasureKind
from sandbox.operations.registry import finish, measures_of
from yingbi.plan.model import Aggregate, Column, Comparison, Condition, Function, Source, TableQuestion

TAX = Column(dataset="tax/filings", name="tax")
LATE = (Condition(column=Column(dataset="tax/filings", name="late"), comparison=Comparison.EQ, values=("true",)),)
SCALES = {TAX: 2}

# The values 1.00, 2.50, 4.00 and null.
TOTALS = {
    MeasureKind.ROWS: 4,
    MeasureKind.VALUES: 3,
    MeasureKind.UNITS: 2,
    MeasureKind.SUM: 750,
    MeasureKind.SQUARES: 100**2 + 250**2 + 400**2,
    MeasureKind.QUANTILE: 250,
}


def question(*aggregates: Aggregate) -> TableQuestion:
    """Return a question of these aggregates."""
    return TableQuestion(source=Source(dataset="tax/filings", version=1), aggregates=aggregates)


def aggregate(function: Function, *, fraction: str | None = None, where: tuple[Condition, ...] = ()) -> Aggregate:
    """Return an aggregate of the column, or of none where the function takes none."""
    column = None if function in (Function.COUNT, Function.COUNT_UNITS) else TAX
    return Aggregate(function=function, column=column, fraction=fraction, where=where)


def finished(asked: Aggregate, totals: Mapping[MeasureKind, int | None] = TOTALS) -> str | None:
    """Return the number of one cell that holds these totals."""
    whole = question(asked)
    cells: dict[Measure, Sequence[int | None]] = {measure: (totals[measure.kind],) for measure in measures_of(whole)}
    ((text,),) = finish(whole, cells, SCALES)
    return text


def kinds(asked: Aggregate) -> list[MeasureKind]:
    """Return which measures an aggregate publishes, after checking whose they are."""
    measures = measures_of(question(asked))
    for measure in measures:
        assert measure.where == asked.where
        assert measure.columns == (() if asked.column is None else (TAX,))
    return [measure.kind for measure in measures]
