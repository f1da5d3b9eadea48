"""Attack: a partner's plan of a federation that would single somebody out, or that is not what was agreed."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.engine_duckdb.engine import DuckdbEngine
from sandbox.isolation.limits import Limits
from sandbox.node.judging import Explanation
from tests.unit.sandbox.engine_duckdb.test_views import view_of
from tests.unit.sandbox.engine_duckdb.world import InProcess, home
from tests.unit.sandbox.query.training_examples import (
    INDUSTRY,
    MEMBERS,
    QUESTION,
    TAX_PAID,
    agreement,
    judged,
    plan,
)
from yingbi.canonical import JsonValue
from yingbi.plan.codec import plan_to_json
from yingbi.plan.model import CodedFeature, Member, NumericFeature, Plan, Source, TrainingPrivacy


def changed(path: str, value: JsonValue) -> dict[str, Any]:
    """Return the honest plan's JSON with one member set."""
    whole: dict[str, Any] = copy.deepcopy(plan_to_json(plan()))
    here: Any = whole["question"]
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        here = here[step]
    here[last] = value
    return whole


def told(found: Explanation) -> str:
    """Return everything that the partner is told."""
    assert found.training is None
    assert found.admitted is None
    problem = "" if found.problem is None else found.problem.message
    return " ".join([problem, *(f"{reason.clause}: {reason.message}" for reason in found.reasons)])


def test_the_honest_plan_is_admitted() -> None:
    assert judged(plan()).training is not None


# One enterprise pays 1,234,567.89: an edge or a bound beside it, or a code of its own, would cut it off from the rest.
SINGLED_OUT: dict[str, tuple[Plan, str]] = {
    "an edge of the partner's own": (
        plan(features=(replace(TAX_PAID, edges=("1000", "1234567.89")), INDUSTRY)),
        "features[0]: column `tax_paid` of `tax/credit` may not be cut at these edges",
    ),
    "an upper bound beside somebody": (
        plan(features=(replace(TAX_PAID, bounds=("0", "1234567.89")), INDUSTRY)),
        "features[0]: column `tax_paid` of `tax/credit` is trained with its public bounds only",
    ),
    "the catalogue's bound where the agreement says another": (
        plan(features=(replace(TAX_PAID, bounds=("0", "1000000000")), INDUSTRY)),
        "features[0]: column `tax_paid` of `tax/credit` is trained with its public bounds only",
    ),
    "an edge that is listed for another column": (
        plan(features=(replace(TAX_PAID, edges=("7",)), INDUSTRY)),
        "features[0]: column `tax_paid` of `tax/credit` may not be cut at these edges",
    ),
    "one code against all others": (
        plan(features=(TAX_PAID, CodedFeature(name="industry", codes=("莲花",)))),
        "features[1]: `industry` is trained on with all codes that the catalogue declares",
    ),
    "the key as target": (plan(target="uscc", positive="91440300MA5DA1XX0X"), "expected a code of the declared domain"),
    "the key as feature": (
        plan(features=(CodedFeature(name="uscc", codes=("91440300MA5DA1XX0X", "x")),)),
        "expected a code of the declared domain",
    ),
    "free text as target": (plan(target="note", positive="x"), "free text cannot be compared"),
    "a number as target": (
        plan(target="tax_paid", positive="1234567.89", features=(INDUSTRY,)),
        "target: `tax_paid` is no target",
    ),
    "the negative list": (
        plan(features=(CodedFeature(name="phone", codes=("x", "y")),)),
        "features[0]: column `phone` of `tax/credit` is on the negative list",
    ),
    "core data": (plan(target="secret", positive="true"), "has a grade that may not be used"),
    "bins of one entity": (
        plan(min_entities=1),
        "min_entities: whatever the model tells apart has at least 5 entities",
    ),
}


@pytest.mark.parametrize("name", SINGLED_OUT)
def test_nobody_is_singled_out(name: str) -> None:
    asked, expected = SINGLED_OUT[name]
    words = told(judged(asked))
    assert expected in words
    # What the partner tried is repeated nowhere: it may be somebody's.
    for secret in ("1234567.89", "91440300MA5DA1XX0X"):
        assert secret not in words


def test_conditions_are_no_part_of_a_training() -> None:
    where: JsonValue = [{"column": "staff", "is": "=", "values": ["7"]}]
    assert "$.question.where: unknown member" in told(judged(changed("where", where)))
    assert "$.question.features[0].where: unknown member" in told(judged(changed("features.0.where", where)))


def test_code_is_no_part_of_a_training() -> None:
    assert "unknown member" in told(judged(changed("code", "import os")))
    assert "$.question.recipe: expected one of" in told(judged(changed("recipe", "my_recipe")))
    assert "$.question.parameters" in told(judged(changed("parameters", {"__class__": {"a": {"a": {"a": {}}}}})))


def test_no_join_brings_further_columns() -> None:
    joins: JsonValue = [{"dataset": "market/firms", "kind": "left"}]
    assert "source.joins: expected none" in told(judged(changed("source.joins", joins)))


# Whoever is two of the three parties of a sum knows the third.
STACKED: dict[str, tuple[dict[str, Any], str]] = {
    "another's data set twice": (
        {"members": (*MEMBERS, Member(agreement="agr-x", dataset="power/credit", job="job-x", node="node:zoo"))},
        "members: expected each data set once",
    ),
    "one node twice": (
        {"members": (MEMBERS[0], MEMBERS[1], replace(MEMBERS[1], dataset="power/other", job="job-x"), MEMBERS[2])},
        "members: expected each node once",
    ),
    "one job twice": ({"members": (replace(MEMBERS[0], job="job-tax"), *MEMBERS[1:])}, "members: expected each job"),
    "two members": ({"members": MEMBERS[1:]}, "members: expected 3 to 64"),
    "oneself alone with a quorum of one": ({"members": MEMBERS[2:], "quorum": 1}, "members: expected 3 to 64"),
    "not all of them, without noise": (
        {"members": (*MEMBERS, Member(agreement="agr-x", dataset="zoo/x", job="job-x", node="node:zoo")), "quorum": 3},
        "quorum: expected all 4 members",
    ),
    "others without oneself": ({"source": Source(dataset="zoo/credit")}, "expected the data set of the source"),
}


@pytest.mark.parametrize("name", STACKED)
def test_no_sum_is_of_fewer_than_it_says(name: str) -> None:
    changes, expected = STACKED[name]
    members = changes.get("members", MEMBERS)
    assert expected in told(judged(plan(**{"quorum": len(members), **changes})))


def test_a_quorum_below_the_agreements_is_refused() -> None:
    more = agreement("limits:", "disclosure: {min_contributors: 4}\nlimits:")
    assert "quorum: sums are made of at least 4 members, and the quorum is 3" in told(judged(plan(), more))


BORROWED: dict[str, tuple[Plan, str]] = {
    "another job's plan": (plan(members=(*MEMBERS[:2], replace(MEMBERS[2], job="job-other"))), "another job"),
    "another agreement": (
        plan(members=(*MEMBERS[:2], replace(MEMBERS[2], agreement="agr-other"))),
        "another agreement",
    ),
    "another node": (plan(members=(*MEMBERS[:2], replace(MEMBERS[2], node="node:zoo"))), "`node:zoo` is not the node"),
}


@pytest.mark.parametrize("name", BORROWED)
def test_a_member_is_what_its_plan_says(name: str) -> None:
    asked, expected = BORROWED[name]
    assert expected in told(judged(asked))


PRIVATE = 'disclosure: {mode: private}\nprivacy: {epsilon: "2", delta: "1e-6"}\nlimits:'
NOISE: dict[str, tuple[TrainingPrivacy | None, str, str]] = {
    "no noise in private mode": (None, PRIVATE, "privacy: the agreement is in private mode"),
    "a huge epsilon": (
        TrainingPrivacy(epsilon="100", delta="1e-6"),
        PRIVATE,
        "privacy.epsilon: expected epsilon up to 2",
    ),
    "a large delta": (TrainingPrivacy(epsilon="1", delta="0.001"), PRIVATE, "privacy.delta: expected delta 0.000001"),
    "noise where members may then be missing": (
        TrainingPrivacy(epsilon="100", delta="1e-6"),
        "limits:",
        "privacy: the agreement is in exact mode",
    ),
}


@pytest.mark.parametrize("name", NOISE)
def test_nobody_chooses_the_noise(name: str) -> None:
    privacy, terms, expected = NOISE[name]
    assert expected in told(judged(plan(privacy=privacy), agreement("limits:", terms)))


def test_more_rounds_than_agreed_are_refused() -> None:
    assert "the limit `rounds`" in told(judged(plan(rounds=101)))


def test_a_table_is_not_asked_for_in_private_mode() -> None:
    terms = agreement("operations: [train.horizontal]", "operations: [aggregate]")
    private = replace(terms, disclosure=agreement("limits:", PRIVATE).disclosure)
    asked: JsonValue = {
        "v": 1,
        "question": {"kind": "table", "source": {"dataset": "tax/credit"}, "aggregates": [{"function": "count"}]},
    }
    assert "private mode, which is for training" in told(judged(asked, private))


def test_no_number_of_a_unit_is_in_a_view(tmp_path: Path) -> None:
    made, rows, _ = home(tmp_path, units=300, rows_per_unit=1)
    engine = DuckdbEngine(
        cage=InProcess(),
        snapshots=made,
        catalogue=lambda: made.catalogue,
        limits=Limits(memory_bytes=1 << 29, threads=1),
    )
    view = view_of(made, engine)
    numbers = [row["_unit"] for row in rows]
    arrays = [view.target, view.is_held_out, *view.columns.values()]
    for array in arrays:
        assert sorted(array.tolist()) != numbers
    # Nor does the order tell: it is not that of the snapshot, nor of any column.
    varied = [array.tolist() for array in arrays if len(set(array.tolist())) > 1]
    assert len(varied) == len(arrays) - 1
    assert all(values != sorted(values) for values in varied)


def test_a_numeric_feature_is_not_smuggled_as_codes() -> None:
    asked = plan(features=(CodedFeature(name="staff", codes=("7", "8")),))
    assert "only codes and booleans" in told(judged(asked))
    asked = plan(features=(NumericFeature(name="founded", bounds=("0", "1")),))
    assert "only numbers have bounds" in told(judged(asked))
    assert QUESTION.own == MEMBERS[2]
