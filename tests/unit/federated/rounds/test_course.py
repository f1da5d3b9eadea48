"""From a question to its course: the same at hub, members and auditors, and nothing of it is the asker's to bend."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from federated.horizontal.spec import Kind
from federated.rounds.course import HOLD_OUT, MOST_ROWS, check_recipe, course_of
from sandbox.privacy.zcdp import RHO_STEP, largest_rho
from yingbi.errors import InvalidRequestError
from yingbi.plan.model import (
    CodedFeature,
    Member,
    NumericFeature,
    Recipe,
    Source,
    TrainingPrivacy,
    TrainingQuestion,
)

NOISE = TrainingPrivacy(epsilon="1", delta="0.000001", clip="1")


def question(**changes: Any) -> TrainingQuestion:
    members = tuple(
        Member(agreement=f"agr-{unit}", dataset=f"{unit}/loans", job=f"job-{unit}", node=f"node:{unit}")
        for unit in ("bao", "futian", "luohu")
    )
    usual: dict[str, Any] = {
        "source": Source(dataset="bao/loans", version=1),
        "federation": "fed-1",
        "members": members,
        "quorum": 3,
        "rounds": 26,
        "min_entities": 10,
        "recipe": Recipe.LOGISTIC_REGRESSION,
        "target": "bad",
        "positive": "1",
        "features": (
            NumericFeature(name="tax", bounds=("0", "1000"), edges=("250", "500")),
            CodedFeature(name="industry", codes=("A", "B")),
        ),
    }
    return TrainingQuestion(**(usual | changes))


def test_a_course_is_what_was_asked_and_what_is_the_same_for_all() -> None:
    course = course_of(question())
    spec = course.spec
    assert (course.members, course.rho, course.recipe.name) == (3, None, "logistic_regression")
    assert (str(spec.hold_out), spec.max_rows) == (HOLD_OUT, MOST_ROWS)
    assert (spec.target, spec.positive, spec.min_entities, spec.privacy) == ("bad", "1", 10, None)
    tax, industry = spec.features
    assert (tax.name, tax.kind, tax.bounds, tax.edges) == ("tax", Kind.NUMERIC, (0.0, 1000.0), (250.0, 500.0))
    assert (industry.name, industry.codes) == ("industry", ("A", "B"))


def test_all_members_have_the_same_course() -> None:
    other = replace(question(), source=Source(dataset="luohu/loans", version=4))
    assert course_of(other).spec == course_of(question()).spec
    assert course_of(other).start().digest() == course_of(question()).start().digest()


@pytest.mark.parametrize("rounds", [26, 27, 1000])
def test_rounds_share_what_the_jobs_epsilon_holds(rounds: int) -> None:
    rho = course_of(question(privacy=NOISE, rounds=rounds)).rho
    assert rho is not None
    whole = largest_rho(Decimal("1"), Decimal("0.000001"))
    assert whole - rounds * RHO_STEP < rho * rounds <= whole
    assert rho == rho.quantize(RHO_STEP)


UNFIT: dict[str, Callable[[], TrainingQuestion]] = {
    "fewer rounds than its steps": lambda: question(rounds=25),
    "a parameter that there is not": lambda: question(parameters='{"code":"1"}'),
    "a parameter of another recipe": lambda: question(parameters='{"trees":3}'),
    "a negative parameter": lambda: question(parameters='{"l2":"-1"}'),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_a_recipe_does_not_take_is_named(name: str) -> None:
    (problem,) = check_recipe(UNFIT[name]())
    assert problem


def test_what_it_takes_is_taken() -> None:
    assert list(check_recipe(question())) == []
    with pytest.raises(InvalidRequestError):
        course_of(UNFIT["a parameter that there is not"]())
