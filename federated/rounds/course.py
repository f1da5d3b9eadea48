"""From a training question to what its recipe is told: the one reading that hub, members and auditors share."""

import json
from collections.abc import Iterator
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final

from federated.horizontal.recipe import RECIPES
from federated.horizontal.spec import TrainingSpec
from federated.rounds.chain import Course
from sandbox.privacy.zcdp import RHO_STEP, largest_rho
from yingbi.canonical import JsonValue
from yingbi.errors import SandboxError
from yingbi.plan.model import CodedFeature, TrainingFeature, TrainingQuestion

__all__ = ["HOLD_OUT", "MOST_ROWS", "check_recipe", "course_of"]

MOST_ROWS: Final = 1 << 21
"""Most rows of a member: two millions, with which sums of up to sixteen members are exact to 2^-28."""


HOLD_OUT: Final = "0.2"
"""The share of each unit's entities that is kept for the evaluation."""


def course_of(question: TrainingQuestion) -> Course:
    """Return the course of a question.

    Raises:
        InvalidRequestError: its recipe does not take it; every problem is named.
    """
    spec = TrainingSpec.from_json(_spec_json(question))
    return Course(recipe=RECIPES[question.recipe.value], spec=spec, members=len(question.members), rho=_rho(question))


def check_recipe(question: TrainingQuestion, /) -> Iterator[str]:
    """Yield what of a question its recipe does not take (`sandbox.query.recipes.RecipeCheck`)."""
    try:
        course = course_of(question)
    except SandboxError as error:
        yield error.message
        return
    most = course.recipe.max_rounds(course.spec)
    if question.rounds < most:
        yield f"the recipe may take {most} rounds with these parameters, and {question.rounds} are asked for"


def _rho(question: TrainingQuestion) -> Decimal | None:
    """Return what a round spends: an even part, rounded down, of the largest rho that the job's epsilon holds."""
    privacy = question.privacy
    if privacy is None:
        return None
    granted = largest_rho(Decimal(privacy.epsilon), Decimal(privacy.delta))
    return (granted / question.rounds).quantize(RHO_STEP, ROUND_FLOOR)


def _spec_json(question: TrainingQuestion) -> JsonValue:
    privacy = question.privacy
    return {
        "form": "yingbi-training/1",
        "recipe": question.recipe.value,
        "parameters": json.loads(question.parameters),
        "target": question.target,
        "positive": question.positive,
        "features": [_feature_json(feature) for feature in question.features],
        "min_entities": question.min_entities,
        # SECURITY: these are the same for every training. A share that the asker chose would move single entities
        # between the sums of two trainings; a bound that he chose would be refused, or not, by a unit's rows.
        "max_rows": MOST_ROWS,
        "hold_out": HOLD_OUT,
        "privacy": None if privacy is None else {"clip": privacy.clip},
    }


def _feature_json(feature: TrainingFeature) -> dict[str, Any]:
    if isinstance(feature, CodedFeature):
        return {"name": feature.name, "kind": "coded", "codes": list(feature.codes)}
    return {
        "name": feature.name,
        "kind": "numeric",
        "bounds": list(feature.bounds),
        "edges": list(feature.edges),
        "special": [],
    }
