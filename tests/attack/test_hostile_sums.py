"""Members that lie within their bounds: no sum that the fixed point lets through makes a state that is none."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from federated.horizontal.layout import Layout
from federated.horizontal.parameters import LogisticParameters, RecipeName
from federated.horizontal.state import Phase
from federated.rounds.chain import Course, take_step
from federated.secure_sum import encode
from tests.unit.federated.rounds.examples import NODES, course_of_recipe
from yingbi.errors import ErrorCode, SandboxError

RUNS = 40
KINDS = ("uniform", "largest", "smallest", "nothing", "a unit", "mixed")


def lies(layout: Layout, kind: str, draw: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Return arrays of the layout's shapes, every entry within its bound."""
    return {part.name: _entries(part, kind, draw) for part in layout.parts}


def _entries(part: Any, kind: str, draw: np.random.Generator) -> NDArray[np.float64]:
    kind = str(draw.choice(KINDS[:-1])) if kind == "mixed" else kind
    low = 0.0 if part.is_count else -part.bound
    found: NDArray[np.float64] = {
        "uniform": draw.uniform(low, part.bound, part.shape),
        "largest": np.full(part.shape, part.bound),
        "smallest": np.full(part.shape, low),
        "nothing": np.zeros(part.shape),
        "a unit": np.full(part.shape, 2.0**-40),
    }[kind]
    return np.floor(found) if part.is_count else found


def train(course: Course, draw: np.random.Generator) -> ErrorCode | None:
    """Train on lies to the end; return the code of what stopped it."""
    state = course.start()
    while state.phase is not Phase.DONE:
        layout, kind = course.layout(state), str(draw.choice(KINDS))
        vectors = {node: encode(lies(layout, kind, draw), layout, parties=3) for node in NODES}
        try:
            state = take_step(course, state, vectors).state
        except SandboxError as error:
            return error.code
        for array in state.arrays.values():
            assert array.dtype.kind != "f" or np.isfinite(array).all()
    course.recipe.model(course.spec, state)
    return None


@pytest.mark.parametrize("rho", [None, "0.01"], ids=["exact", "private"])
@pytest.mark.parametrize("recipe", RecipeName)
def test_lies_within_the_bounds_end_in_a_refusal_or_in_finite_numbers(recipe: RecipeName, rho: str | None) -> None:
    steps = LogisticParameters(max_steps=40) if recipe is RecipeName.LOGISTIC_REGRESSION else None
    course = course_of_recipe(recipe, rho=rho, parameters=steps)
    draw = np.random.default_rng(7)
    ends = [train(course, draw) for _ in range(RUNS)]
    assert set(ends) <= {None, ErrorCode.JOB_REFUSED}
    assert None in ends, "some go all the way"
