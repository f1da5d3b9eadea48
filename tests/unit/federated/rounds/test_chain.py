"""From one state to the next: whoever has the contributions computes the same, and whatever is altered is found."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from federated.horizontal.parameters import RecipeName
from federated.rounds.chain import ClosedRound, check_step, take_step
from federated.secure_sum import add, fixed_point, vector_digest
from tests.unit.federated.rounds.examples import NODES, closed, course_of_recipe, masked, plain
from yingbi.errors import ErrorCode, InvalidRequestError, VerificationError

OTHER = "sha256:" + "0" * 64


def test_the_next_state_follows_from_masked_contributions_as_from_the_plain_sum() -> None:
    course = course_of_recipe()
    state = course.start()
    vectors = masked(course, state)
    step = take_step(course, state, vectors)
    sums = course.sums(state, add(list(plain(course, state).values())))
    assert step.state.digest() == course.recipe.advance(course.spec, state, sums, 3).digest()
    assert step.aggregate == vector_digest(add(list(vectors.values())))
    assert check_step(course, state, closed(course, state, vectors), vectors).digest() == step.state.digest()


Change = Callable[[ClosedRound, dict[str, Any]], tuple[ClosedRound, dict[str, Any]]]


def flip(vectors: dict[str, Any]) -> dict[str, Any]:
    changed = vectors[NODES[1]].copy()
    changed[3] ^= np.uint64(1)
    return vectors | {NODES[1]: changed}


def digests(vectors: dict[str, Any]) -> dict[str, str]:
    return {node: vector_digest(vector) for node, vector in vectors.items()}


CHANGES: dict[str, tuple[Change, str]] = {
    "a bit of one": (lambda log, came: (log, flip(came)), "contribution of"),
    "two swapped": (
        lambda log, came: (log, came | {NODES[0]: came[NODES[1]], NODES[1]: came[NODES[0]]}),
        "contribution of",
    ),
    "one less": (lambda log, came: (log, {node: came[node] for node in NODES[:2]}), "those who gave"),
    "one more": (lambda log, came: (log, came | {"node:n-3": came[NODES[0]]}), "those who gave"),
    "none": (lambda log, came: (log, {}), "those who gave"),
    "the sum": (lambda log, came: (replace(log, aggregate=OTHER), came), "the sum"),
    "the state": (lambda log, came: (replace(log, state=OTHER), came), "the next state"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_altered_is_found(name: str) -> None:
    course = course_of_recipe(RecipeName.WOE_BINS)
    state = course.start()
    vectors = masked(course, state)
    change, message = CHANGES[name]
    log, came = change(closed(course, state, vectors), vectors)
    with pytest.raises(VerificationError, match=message) as caught:
        check_step(course, state, log, came)
    assert caught.value.code is ErrorCode.PROOF_UNVERIFIED


def test_an_altered_contribution_with_its_digest_is_no_sum() -> None:
    course = course_of_recipe(RecipeName.WOE_BINS)
    state = course.start()
    vectors = masked(course, state)
    log = closed(course, state, vectors)
    noise = np.random.default_rng(1).integers(0, 1 << 63, vectors[NODES[0]].size, dtype=np.uint64)
    came = vectors | {NODES[0]: vectors[NODES[0]] + noise}
    with pytest.raises(InvalidRequestError):
        check_step(course, state, replace(log, contributions=digests(came)), came)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_no_step_is_of_fewer_than_three(count: int) -> None:
    course = course_of_recipe(RecipeName.WOE_BINS)
    vectors = masked(course, course.start())
    with pytest.raises(InvalidRequestError):
        take_step(course, course.start(), {node: vectors[node] for node in NODES[:count]})


@pytest.mark.parametrize("resize", [lambda vector: vector[:-1], lambda vector: np.append(vector, vector[:1])])
def test_vectors_of_another_length_are_no_sum(resize: Callable[[Any], Any]) -> None:
    course = course_of_recipe(RecipeName.WOE_BINS)
    vectors = {node: resize(vector) for node, vector in masked(course, course.start()).items()}
    with pytest.raises(InvalidRequestError):
        take_step(course, course.start(), vectors)


def test_noise_is_of_the_sensitivity_in_units() -> None:
    course = course_of_recipe(RecipeName.WOE_BINS, rho="0.01")
    layout = course.layout(course.start())
    noise, form = course.noise(layout), fixed_point(layout, parties=3)
    assert noise is not None
    # sigma = sensitivity / sqrt(2 rho), and never less.
    assert noise.deviation / form.scale == pytest.approx(layout.sensitivity / np.sqrt(0.02), rel=0.01)
    assert noise.deviation / form.scale >= layout.sensitivity / np.sqrt(0.02)
    assert course_of_recipe(RecipeName.WOE_BINS).noise(layout) is None


def test_a_sum_with_noise_may_leave_the_bounds_and_one_without_may_not() -> None:
    exact, noisy = course_of_recipe(RecipeName.WOE_BINS), course_of_recipe(RecipeName.WOE_BINS, rho="0.01")
    state = exact.start()
    total = np.full(exact.layout(state).size, -1, np.int64) * fixed_point(exact.layout(state), parties=3).scale
    most = 3 * exact.layout(state).parts[0].bound + 1
    with pytest.raises(InvalidRequestError):
        exact.sums(state, (total * int(-most)).view(np.uint64))
    assert noisy.sums(state, (total * int(-most)).view(np.uint64))


def test_what_rounds_spent() -> None:
    assert course_of_recipe(rho="0.0000000003").spent(4) == "0.0000000012"
    assert replace(course_of_recipe(), rho=Decimal("0.5")).spent(2) == "1"
    assert course_of_recipe().spent(3) is None
