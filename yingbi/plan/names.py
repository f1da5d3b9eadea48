"""Names of the outputs of a table for which a partner gave none."""

from yingbi.plan.model import Aggregate, Dimension, Function, TableQuestion

__all__ = ["default_name", "default_names", "distinct_names"]


def default_name(part: Dimension | Aggregate) -> str:
    """Return the name of one output: `street`, `tax_paid_bin`, `count`, `sum_tax_paid`, `quantile_50_tax_paid`."""
    if isinstance(part, Dimension):
        return part.column.name if part.edges is None else f"{part.column.name}_bin"
    words = [str(part.function)]
    if part.fraction is not None:
        words.append(part.fraction.removeprefix("0.").ljust(2, "0"))
    if part.column is not None and part.function is not Function.COUNT_UNITS:
        words.append(part.column.name)
    return "_".join(words)


def default_names(question: TableQuestion) -> tuple[str, ...]:
    """Return one name a dimension, then one an aggregate, all different."""
    dimensions = [default_name(dimension) for dimension in question.group_by]
    return distinct_names(dimensions + [default_name(aggregate) for aggregate in question.aggregates])


def distinct_names(names: list[str]) -> tuple[str, ...]:
    """Return the names with `_2`, `_3`, ... where one was taken already."""
    taken: list[str] = []
    for name in names:
        number, unused = 1, name
        while unused in taken:
            number += 1
            unused = f"{name}_{number}"
        taken.append(unused)
    return tuple(taken)
