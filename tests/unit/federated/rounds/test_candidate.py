"""What a finished federation would release: the same at every member, and what a gate has to know of it."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from federated.horizontal.parameters import RecipeName
from federated.horizontal.state import State
from federated.rounds.candidate import DOCUMENT_VERSION, make_candidate
from federated.rounds.chain import Course, take_step
from policies.federations import Round
from tests.unit.federated.rounds.examples import NODES, course_of_recipe, masked
from tests.unit.federated.rounds.test_course import question
from yingbi.plan.codec import common_digest
from yingbi.plan.model import Recipe, TrainingPrivacy


def finished(course: Course) -> tuple[State, Any]:
    """Return the state that a course ends with, and the federation that went there."""
    state = course.start()
    done: list[Round] = []
    while state.phase != "done":
        step = take_step(course, state, masked(course, state))
        done.append(
            Round(
                number=len(done) + 1,
                attempt=1,
                participants=NODES,
                aggregate=step.aggregate,
                state=step.state.digest(),
            )
        )
        state = step.state
    federation = SimpleNamespace(id="fed-1", started=SimpleNamespace(app="sha256:app"), completed=tuple(done))
    return state, federation


@pytest.fixture(scope="module")
def trained() -> tuple[Course, State, Any]:
    course = course_of_recipe()
    return course, *finished(course)


def test_a_document_says_what_it_was_made_of(trained: tuple[Course, State, Any]) -> None:
    course, state, federation = trained
    candidate = make_candidate(question(), course, state, federation)
    document = candidate.document
    assert document["v"] == DOCUMENT_VERSION
    assert (document["federation"], document["terms"], document["app"], document["state"]) == (
        "fed-1",
        common_digest(question()),
        "sha256:app",
        state.digest(),
    )
    assert (document["rounds"], document["contributors"], document["privacy"]) == (3, 3, None)
    assert document["members"] == [{"dataset": one.dataset, "node": one.node} for one in question().members]
    assert json.dumps(document) == json.dumps(make_candidate(question(), course, state, federation).document)


def test_the_gate_is_told_the_smallest_class_and_how_much_is_remembered(trained: tuple[Course, State, Any]) -> None:
    course, state, federation = trained
    candidate = make_candidate(question(), course, state, federation)
    assert candidate.smallest == int(state.arrays["target_counts"].min())
    assert candidate.contributors == 3
    assert candidate.advantage is not None
    assert 0 <= candidate.advantage <= 1


def test_contributors_are_those_of_the_round_that_had_the_fewest(trained: tuple[Course, State, Any]) -> None:
    course, state, federation = trained
    rounds = (*federation.completed[:-1], SimpleNamespace(participants=("node:a", "node:b")))
    changed: Any = SimpleNamespace(**{**vars(federation), "completed": rounds})
    candidate = make_candidate(question(), course, state, changed)
    assert (candidate.contributors, candidate.document["contributors"]) == (2, 2)


def test_bins_count_as_what_is_told_apart() -> None:
    course = course_of_recipe(RecipeName.WOE_BINS)
    state, federation = finished(course)
    candidate = make_candidate(question(recipe=Recipe.WOE_BINS), course, state, federation)
    model: Any = candidate.document["model"]
    rows = [float(str(one["rows"])) for variable in model["variables"] for one in variable["bins"]]
    assert rows
    assert candidate.smallest == int(min([*rows, *state.arrays.get("target_counts", np.array([np.inf])).tolist()]))
    assert (candidate.advantage, candidate.document["evaluation"]) == (None, None)


def test_with_noise_nothing_is_told_of_sizes_but_what_was_spent() -> None:
    course = course_of_recipe(RecipeName.WOE_BINS, rho="0.5")
    state, federation = finished(course)
    noise = TrainingPrivacy(epsilon="2", delta="0.000001", clip=None)
    candidate = make_candidate(question(recipe=Recipe.WOE_BINS, privacy=noise), course, state, federation)
    assert (candidate.smallest, candidate.advantage) == (None, None)
    assert candidate.document["privacy"] == {"epsilon": "2", "delta": "0.000001", "clip": None, "rho": "0.5"}
