import pytest

from policies.request import TRAINING, Use
from sandbox.operations.horizontal import OPERATIONS
from sandbox.operations.operation import Operation
from sandbox.operations.registry import cost_of, operation_for, operations_of
from tests.unit.yingbi.plan.examples import TRAINING as PLAN
from yingbi.events.outputs import Risk
from yingbi.plan.model import Recipe, TrainingQuestion

assert isinstance(PLAN.question, TrainingQuestion)
QUESTION = PLAN.question


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda item: str(item.recipe))
def test_an_operation_is_named_after_its_recipe_in_the_family_of_federations(operation: Operation) -> None:
    assert operation.name == f"{TRAINING}.{operation.recipe}"
    assert operation.right is Use.TRAIN
    assert Risk.MODEL_MEMORY in operation.risks


def test_there_is_one_for_every_recipe() -> None:
    assert {operation.recipe for operation in OPERATIONS} == set(Recipe)


def test_a_training_asks_for_its_recipe_and_costs_a_reading_a_round() -> None:
    assert operation_for(QUESTION).recipe is Recipe.LOGISTIC_REGRESSION
    assert operations_of(QUESTION) == ("train.horizontal.logistic_regression",)
    assert cost_of(QUESTION, 100).rows_scanned == 100 * 31
