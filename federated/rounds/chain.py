"""From one state to the next: what everybody computes who believes nobody.

Coordinator, members and auditors hold the masked contributions of a closed round against the digests that the log has
of them, sum them, and let the recipe make the next state; the log's digests of sum and state must be the same. Pure:
O(members x length of the vector).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from federated.content import Arrays
from federated.horizontal.layout import Layout
from federated.horizontal.recipe import Recipe
from federated.horizontal.spec import TrainingSpec
from federated.horizontal.state import State
from federated.secure_sum import add, decode, fixed_point, vector_digest
from policies.model import decimal_text
from sandbox.privacy.noise import Noise, plan_noise, sensitivity_in_units
from yingbi.errors import ErrorCode, VerificationError

__all__ = ["ClosedRound", "Course", "Step", "check_step", "take_step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a federation computes: its recipe, what that is told, how many members there are, and what a round spends.

    `rho` (of zCDP, in private mode) has at most ten decimals, as it stands in the log.
    """

    recipe: Recipe
    spec: TrainingSpec
    members: int
    rho: Decimal | None = None

    def start(self) -> State:
        """Return the state that is the input of the first round."""
        return self.recipe.start(self.spec)

    def layout(self, state: State) -> Layout:
        """Return what is sent in the round whose input is `state`."""
        return self.recipe.layout(self.spec, state)

    def noise(self, layout: Layout) -> Noise | None:
        """Return the noise that each member adds to all that it sends, in units of the fixed point, or nothing."""
        if self.rho is None:
            return None
        form = fixed_point(layout, parties=self.members)
        units = sensitivity_in_units(layout.sensitivity, scale=form.scale, rounded=form.rounded)
        return plan_noise(units, self.rho)

    def sums(self, state: State, total: NDArray[np.uint64]) -> Arrays:
        """Return the arrays of a sum of all members' vectors, or of fewer.

        Raises:
            InvalidRequestError: no sum of such vectors looks like this.
        """
        layout = self.layout(state)
        noise, form = self.noise(layout), fixed_point(layout, parties=self.members)
        deviation = 0.0 if noise is None else noise.deviation / form.scale
        return decode(total, layout, parties=self.members, noise=deviation)

    def spent(self, rounds: int) -> str | None:
        """Return what so many rounds spent at each member, or nothing in exact mode."""
        return None if self.rho is None else decimal_text(self.rho * rounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedRound:
    """A completed round as the log has it: digests of each node's contribution, of their sum, of the next state."""

    round: int
    contributions: Mapping[str, str]
    aggregate: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a round came to: the digest of the sum, and the next state."""

    aggregate: str
    state: State


def take_step(course: Course, state: State, vectors: Mapping[str, NDArray[np.uint64]]) -> Step:
    """Sum the contributions to a round and make the next state; `state` was the round's input.

    Raises:
        InvalidRequestError: the vectors are not what the layout of this state asks for.
    """
    total = add([vectors[node] for node in sorted(vectors)])
    after = course.recipe.advance(course.spec, state, course.sums(state, total), len(vectors))
    return Step(aggregate=vector_digest(total), state=after)


def check_step(course: Course, state: State, closed: ClosedRound, vectors: Mapping[str, NDArray[np.uint64]]) -> State:
    """Compute a closed round again and return the state that it left.

    Raises:
        VerificationError: a contribution, the sum or the next state is not what the log says.
    """
    if vectors.keys() != closed.contributions.keys():
        raise _untrue(f"round {closed.round}: expected the contributions of those who gave, and no other")
    for node, vector in vectors.items():
        if vector_digest(vector) != closed.contributions[node]:
            raise _untrue(f"round {closed.round}: the contribution of `{node}` is not the one in the log")
    step = take_step(course, state, vectors)
    if step.aggregate != closed.aggregate:
        raise _untrue(f"round {closed.round}: the sum is not the one in the log")
    if step.state.digest() != closed.state:
        raise _untrue(f"round {closed.round}: the next state is not the one in the log")
    return step.state


def _untrue(message: str) -> VerificationError:
    return VerificationError(ErrorCode.PROOF_UNVERIFIED, message)
