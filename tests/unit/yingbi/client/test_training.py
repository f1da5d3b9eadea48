"""Federations before they are asked for: features from the catalogues of all members, and what is refused at once."""

import json
from decimal import Decimal
from typing import Any

import pytest

from federated.horizontal.recipe import RECIPES
from federated.horizontal.spec import TrainingSpec
from federated.rounds.course import check_recipe, course_of
from tests.lib.sdk_federation import ASKED, MEMBERS, NODES, FederationHub, credit
from tests.lib.sdk_hub import FILINGS, MARKET, PURPOSE
from yingbi.client import TrainingPlan
from yingbi.client.training_questions import _spec_json
from yingbi.errors import InvalidRequestError, NotFoundError, UnavailableError
from yingbi.plan.codec import common_digest, parse_plan
from yingbi.plan.model import CodedFeature, NumericFeature, TrainingQuestion

LOGISTIC = "logistic_regression"
TREES = "gradient_boosted_trees"


def plan_of(hub: FederationHub | None = None, recipe: str = LOGISTIC, **changes: Any) -> TrainingPlan:
    with (hub or FederationHub()).connect() as client:
        return client.training(recipe, **{**ASKED, **changes})


def features_of(plan: TrainingPlan) -> tuple[Any, ...]:
    return plan.questions[0].question.features


def test_all_members_are_asked_the_same_over_their_own_data() -> None:
    hub = FederationHub()
    plan = plan_of(hub)
    assert [one.member.node for one in plan.questions] == sorted(NODES.values())
    assert {one.member.agreement: one.member.dataset for one in plan.questions} == MEMBERS
    assert {common_digest(one.question) for one in plan.questions} == {plan.digest}
    assert {one.question.source.dataset for one in plan.questions} == set(MEMBERS.values())
    assert {one.question.source.version for one in plan.questions} == {3}
    assert len({one.digest for one in plan.questions}) == 3
    assert len({one.member.job for one in plan.questions}) == 3
    for one in plan.questions:
        assert parse_plan(json.loads(json.dumps(one.to_json()))).question == one.question
        assert one.operations == ("train.horizontal.logistic_regression",)
    assert {request.url.path.split("/")[2] for request in hub.seen} == {"datasets"}
    assert plan.id in repr(plan)
    assert "tax/credit" in plan._repr_html_()
    assert plan_of(hub).id != plan.id


def test_features_take_what_the_catalogues_declare() -> None:
    assert features_of(plan_of()) == (
        NumericFeature(name="tax_paid", bounds=("0", "1000")),
        CodedFeature(name="industry", codes=("A", "B")),
        CodedFeature(name="adjusted", codes=("false", "true")),
    )
    assert features_of(plan_of(recipe=TREES))[0].edges == ("100", "500")
    said = {"name": "tax_paid", "kind": "numeric", "edges": [250], "bounds": (0, Decimal(900))}
    assert features_of(plan_of(recipe=TREES, features=[said])) == (
        NumericFeature(name="tax_paid", bounds=("0", "900"), edges=("250",)),
    )
    turned = {"name": "industry", "codes": ["B", "A"]}
    assert features_of(plan_of(features=[turned])) == (CodedFeature(name="industry", codes=("B", "A")),)


def test_what_is_not_said_is_what_is_usual() -> None:
    question = plan_of().questions[0].question
    assert (question.quorum, question.min_entities) == (3, 10)
    assert question.rounds == RECIPES[LOGISTIC].max_rounds(course_of(question).spec)
    assert question.privacy is None
    said = plan_of(rounds=99, min_entities=25, parameters={"l2": 0.01, "max_steps": 4})
    question = said.questions[0].question
    assert (question.rounds, question.min_entities) == (99, 25)
    assert json.loads(question.parameters) == {"l2": "0.01", "max_steps": 4}
    private = plan_of(epsilon=1.0, delta="1e-6", clip=1, parameters={"max_steps": 5}).questions[0].question
    assert private.privacy is not None
    assert (private.privacy.epsilon, private.privacy.clip) == ("1", "1")


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_recipes_are_checked_here_as_they_are_at_the_hub(recipe: str) -> None:
    question = plan_of(recipe=recipe).questions[0].question
    spec = course_of(question).spec.to_json()
    assert TrainingSpec.from_json(_spec_json(question)).to_json() == {**spec, "max_rows": 1 << 20, "hold_out": "0.2"}
    assert list(check_recipe(question)) == []


def other(**changes: Any) -> FederationHub:
    return FederationHub(datasets=(credit("tax"), credit("market"), credit("social", **changes)))


ELSEWHERE = {**MEMBERS, "agr-x-1": "tax/annual_filings"}
WRONG: dict[str, tuple[FederationHub | None, dict[str, Any], str, str]] = {
    "a recipe that is none": (
        None,
        {"recipe": "logistic"},
        "no recipe `logistic`",
        "did you mean `logistic_regression`",
    ),
    "no recipe at all": (None, {"recipe": "x"}, "no recipe `x`", "there are `logistic_regression`"),
    "two members": (None, {"members": dict(list(MEMBERS.items())[:2])}, "expected 3 to 64 members, got 2", "each of"),
    "a data set twice": (None, {"members": {**MEMBERS, "agr-x-1": "tax/credit"}}, "each data set once", ""),
    "a data set that is none": (None, {"members": {**MEMBERS, "agr-x-1": "tax/credits"}}, "no data set", "tax/credit"),
    "a column that is none": (None, {"features": ["tax_payed"]}, "no column `tax_payed` in tax/credit", "`tax_paid`"),
    "a column of nobody": (None, {"features": ["zzz"]}, "no column `zzz`", "it has `defaulted`, `tax_paid`"),
    "a target that is none": (None, {"target": "default"}, "no column `default`", "did you mean `defaulted`"),
    "the unit's name": (None, {"features": ["uscc"]}, "names the unit", "these are: `defaulted`"),
    "the target among the features": (None, {"features": ["defaulted"]}, "not the target", ""),
    "an event that is none": (None, {"positive": 2}, "`defaulted`", ""),
    "other bounds": (
        other(bounds=(0, 900)),
        {},
        "feature `tax_paid` has other bounds in social/credit (0, 900) than in tax/credit (0, 1000)",
        "'bounds': [...]",
    ),
    "other codes": (other(codes=("A", "C")), {}, "`industry` has other codes in social/credit (A, C)", "'codes'"),
    "an override of another kind": (None, {"features": [{"name": "industry", "bounds": [0, 1]}]}, "is a code", ""),
    "an unknown member": (None, {"features": [{"name": "tax_paid", "bins": 3}]}, "expected a feature", "bounds"),
    "no list": (None, {"features": [{"name": "tax_paid", "bounds": "0"}]}, "expected a list in `tax_paid.bounds`", ""),
    "no numbers": (None, {"features": [{"name": "tax_paid", "bounds": [0, None]}]}, "expected a number", "0.01"),
    "infinite": (None, {"epsilon": float("inf"), "delta": 0}, "expected a number in `epsilon`", ""),
    "one bound": (None, {"features": [{"name": "tax_paid", "bounds": [0]}]}, "bounds", ""),
    "too few rounds": (None, {"rounds": 2}, "may take 26 rounds", "rounds=26"),
    "parameters of nobody": (None, {"parameters": {"depth": 3}}, "does not take this", "docs/spec/recipes.md"),
    "fewer than all without noise": (None, {"quorum": 2}, "quorum", "docs/spec/plan.md"),
    "delta alone": (None, {"delta": "1e-6"}, "expected `epsilon`", ""),
    "epsilon alone": (None, {"epsilon": 1}, "expected `delta`", "1e-6"),
    "private without a clip": (None, {"epsilon": 1, "delta": "1e-6"}, "clip", "recipes"),
}


@pytest.mark.parametrize(("hub", "changes", "message", "hint"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_before_anything_is_sent(
    hub: FederationHub | None, changes: dict[str, Any], message: str, hint: str
) -> None:
    hub = hub or FederationHub()
    with pytest.raises((InvalidRequestError, NotFoundError)) as error:
        plan_of(hub, **changes)
    said = f"{error.value.message}; {error.value.hint}"
    assert message in said
    assert hint in said
    assert hub.jobs == {}


def test_members_are_of_different_units_and_nodes() -> None:
    datasets = (*FederationHub().datasets, FILINGS, MARKET)
    with pytest.raises(InvalidRequestError, match=r"of one unit, `unit:futian-tax`"):
        plan_of(FederationHub(datasets=datasets), members=ELSEWHERE)
    with pytest.raises(InvalidRequestError, match=r"of one node, `node:futian-other`"):
        plan_of(FederationHub(datasets=datasets), members={**ELSEWHERE, "agr-y-1": "market/enterprises"})


def test_a_data_set_without_a_node_or_a_version_is_no_member() -> None:
    hub = FederationHub()
    listed = hub.dataset
    hub.dataset = lambda dataset: {**listed(dataset), "node": None}  # type: ignore[method-assign]
    with pytest.raises(InvalidRequestError, match="no node of `tax/credit` is known"):
        plan_of(hub)
    with pytest.raises(NotFoundError, match="no version 4") as error:
        plan_of(versions={"tax/credit": 4})
    assert error.value.hint == "there are 2, 3"
    chosen = plan_of(versions={"tax/credit": 2})
    assert sorted(one.question.source.version or 0 for one in chosen.questions) == [2, 3, 3]


def test_without_numpy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "federated.horizontal.recipe", None)
    with pytest.raises(UnavailableError) as error:
        plan_of()
    assert error.value.hint == "pip install 'yingbi[sdk]'"


def test_a_dry_run_shows_every_member_and_records_nothing() -> None:
    hub = FederationHub()
    grant = {"dataset": "tax/credit", "column": "tax_paid", "use": "train"}
    hub.decision |= {
        "outcome": "refuse",
        "reasons": [{"message": "column is not granted", "grant": grant}],
        "reviewers": {"job": ["bureau-reviewer"], "output": []},
        "remaining": {"jobs": 7},
    }
    with hub.connect() as client:
        decided = client.training(LOGISTIC, **ASKED).dry_run()
    assert not decided.is_permitted
    assert not decided
    assert len(decided.reasons) == 3
    assert decided.grants["agr-tax-1"] == (grant,)
    assert [body["agreement"] for _, body in hub.posted] == sorted(MEMBERS, key=lambda one: NODES[MEMBERS[one]])
    assert {body["purpose"] for _, body in hub.posted} == {PURPOSE}
    for word in ("refused", "bureau-reviewer", "jobs 7", "tax/credit: column is not granted; enough would be"):
        assert word in str(decided)
        assert word in decided._repr_html_()
    assert [one["dataset"] for one in decided.to_json()] == [MEMBERS[body["agreement"]] for _, body in hub.posted]
    assert hub.jobs == {}


def test_questions_to_one_node_are_none_of_a_federation() -> None:
    plan = plan_of().questions[0].to_json()
    with FederationHub().connect() as client, pytest.raises(InvalidRequestError, match="a federation's") as error:
        client.plan(plan)
    assert error.value.hint == ".training(...)"


def test_the_question_of_a_member_is_in_words() -> None:
    question = plan_of().questions[0]
    assert isinstance(question.question, TrainingQuestion)
    assert "train logistic_regression of defaulted = 1" in str(question.explain())
