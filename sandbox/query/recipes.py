"""What admission asks of recipes, which it does not know: whoever puts a hub or node together brings the check."""

from collections.abc import Iterable
from typing import Protocol

from yingbi.plan.model import TrainingQuestion

__all__ = ["RecipeCheck", "refuse_recipes"]


class RecipeCheck(Protocol):
    """Says what of a bound training question its recipe does not take."""

    def __call__(self, question: TrainingQuestion, /) -> Iterable[str]:
        """Return every problem of parameters, features and rounds in one line each; none where the recipe runs it."""


def refuse_recipes(question: TrainingQuestion, /) -> tuple[str, ...]:
    """Refuse every recipe: what holds where nobody brought a check."""
    return (f"no recipe `{question.recipe}` is installed here",)
