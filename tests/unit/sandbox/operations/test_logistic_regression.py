from sandbox.operations.measure import Measure, MeasureKind
from sandbox.operations.registry import measures_of, operations_of
from tests.unit.sandbox.operations.examples import TAX
from yingbi.plan.model import Column, Family, RegressionQuestion, Source

SIZE = Column(dataset="tax/filings", name="size")
QUESTION = RegressionQuestion(
    source=Source(dataset="tax/filings", version=1), family=Family.LOGISTIC, target=TAX, features=(SIZE,)
)


def test_it_is_its_own_operation() -> None:
    assert operations_of(QUESTION) == ("model.logistic_regression",)


def test_it_publishes_one_model_of_all_its_columns_the_target_first() -> None:
    assert measures_of(QUESTION) == (Measure(kind=MeasureKind.MODEL, columns=(TAX, SIZE)),)
