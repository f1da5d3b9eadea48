"""A small course, its members' tables, and masks that only all of them cancel."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from federated.horizontal.parameters import LogisticParameters, Parameters, RecipeName
from federated.horizontal.recipe import RECIPES
from federated.horizontal.state import State
from federated.rounds.chain import ClosedRound, Course, take_step
from federated.secure_sum import encode, vector_digest
from tests.unit.federated.horizontal.examples import make_spec, make_table, private, split
from tests.unit.federated.secure_sum.parties import make_keys, mask_all

__all__ = ["NODES", "closed", "course_of_recipe", "masked", "plain"]

NODES = ("node:n-0", "node:n-1", "node:n-2")
Vectors = dict[str, NDArray[np.uint64]]


def course_of_recipe(
    recipe: RecipeName = RecipeName.LOGISTIC_REGRESSION,
    *,
    rho: str | None = None,
    parameters: Parameters | None = None,
) -> Course:
    """Return a course of three members; with `rho` it is private."""
    usual = LogisticParameters(max_steps=2) if recipe is RecipeName.LOGISTIC_REGRESSION else None
    spec = make_spec(recipe, parameters or usual, privacy=None if rho is None else private(recipe))
    return Course(recipe=RECIPES[str(recipe)], spec=spec, members=3, rho=None if rho is None else Decimal(rho))


def plain(course: Course, state: State, nodes: Sequence[str] = NODES) -> Vectors:
    """Return what three members have to give, without masks."""
    layout = course.layout(state)
    tables = split(make_table(1200), 3)
    return {
        node: encode(course.recipe.contribute(course.spec, state, table), layout, parties=3)
        for node, table in zip(nodes, tables, strict=True)
    }


def masked(course: Course, state: State) -> Vectors:
    """Return what three members send."""
    return mask_all(plain(course, state), make_keys(3))


def closed(course: Course, state: State, vectors: Mapping[str, NDArray[np.uint64]], **changes: Any) -> ClosedRound:
    """Return what the log has of a round with these contributions."""
    step = take_step(course, state, vectors)
    usual: dict[str, Any] = {
        "round": 1,
        "contributions": {node: vector_digest(vector) for node, vector in vectors.items()},
        "aggregate": step.aggregate,
        "state": step.state.digest(),
    }
    return ClosedRound(**(usual | changes))
