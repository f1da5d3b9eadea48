"""Plans for tests."""

from yingbi.canonical import JsonValue
from yingbi.plan.model import (
    Aggregate,
    CodedFeature,
    Column,
    Comparison,
    Condition,
    Dimension,
    Family,
    Function,
    Join,
    JoinKind,
    Member,
    NumericFeature,
    OrderBy,
    Plan,
    Presentation,
    Recipe,
    RegressionQuestion,
    ReleasedCondition,
    Source,
    TableQuestion,
    TrainingQuestion,
)


def column(name: str, dataset: str = "tax/filings") -> Column:
    """Return a column of the data set of the examples."""
    return Column(dataset=dataset, name=name)


QUESTION = TableQuestion(
    source=Source(
        dataset="tax/filings",
        version=2,
        joins=(Join(dataset="market/firms", kind=JoinKind.LEFT, version=5, on=("uscc", "code")),),
    ),
    where=(Condition(column=column("street"), comparison=Comparison.IN, values=("east", "west")),),
    group_by=(Dimension(column=column("tax"), edges=("0", "100")), Dimension(column=column("size"))),
    aggregates=(
        Aggregate(function=Function.COUNT),
        Aggregate(
            function=Function.QUANTILE,
            column=column("tax"),
            fraction="0.5",
            where=(Condition(column=column("late"), comparison=Comparison.EQ, values=(True,)),),
        ),
    ),
    margins=True,
)

TABLE = Plan(
    question=QUESTION,
    presentation=Presentation(
        names=("tax_bin", "size", "n", "median"),
        columns=("n", "size", "tax_bin", "median"),
        having=(ReleasedCondition(output="n", comparison=Comparison.GT, value=5),),
        order_by=(OrderBy(output="n"),),
        limit=10,
    ),
)

REGRESSION = Plan(
    question=RegressionQuestion(
        source=Source(dataset="tax/filings", version=2),
        family=Family.LINEAR,
        target=column("tax"),
        features=(column("size"), column("staff")),
    )
)

MEMBERS = tuple(
    Member(agreement=f"agr-{name}", dataset=f"{name}/credit", job=f"job-{name}", node=f"node:{name}")
    for name in ("market", "power", "tax")
)

TRAINING = Plan(
    question=TrainingQuestion(
        source=Source(dataset="tax/credit", version=1),
        federation="fed-1",
        members=MEMBERS,
        quorum=3,
        rounds=30,
        min_entities=10,
        recipe=Recipe.LOGISTIC_REGRESSION,
        parameters='{"l2":"0.01"}',
        target="defaulted",
        positive="1",
        features=(
            NumericFeature(name="tax_paid", bounds=("0", "5000000"), edges=("0", "1000")),
            CodedFeature(name="industry", codes=("A", "B")),
        ),
    )
)

SHORT: dict[str, JsonValue] = {
    "v": 1,
    "question": {
        "kind": "table",
        "source": {"dataset": "tax/filings"},
        "group_by": [{"column": "street"}],
        "aggregates": [{"function": "count"}],
    },
}
