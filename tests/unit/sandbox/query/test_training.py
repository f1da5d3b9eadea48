"""From a member's plan to an admitted training: binding, uses, admission."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from policies.decision import Decision, Outcome
from policies.disclosure import DisclosureRules
from policies.request import ColumnUse, Request, Spending, Training, Use
from sandbox.catalog.model import ItemType
from sandbox.query.admit import AdmittedDataset, AdmittedTraining, Rejection, admit
from sandbox.query.bind import bind
from sandbox.query.recipes import refuse_recipes
from sandbox.query.separate import separate_conditions
from sandbox.query.uses import datasets, operations, rounds, training, uses
from tests.unit.sandbox.query.training_examples import (
    CREDIT,
    INDUSTRY,
    ITEMS,
    PARTNER,
    PURPOSE,
    QUESTION,
    TAX_PAID,
    agreement,
    catalogue,
    item,
    judged,
    plan,
    takes_all,
)
from yingbi.errors import ErrorCode, InvalidRequestError, NotFoundError, RefusedError
from yingbi.events.fields import Openness
from yingbi.events.jobs import RefusalReason
from yingbi.events.outputs import DisclosureMode
from yingbi.plan.codec import common_digest, question_digest
from yingbi.plan.model import CodedFeature, NumericFeature, Plan, Source, TrainingPrivacy, TrainingQuestion

PRIVACY = TrainingPrivacy(epsilon="1.0", delta="1e-6", clip="1")


def numeric(name: str = "tax_paid", **changes: Any) -> NumericFeature:
    return replace(TAX_PAID, name=name, **changes)


# --- binding ----------------------------------------------------------------------------------------------------------


def test_binding_pins_the_version_and_leaves_the_terms_as_they_are() -> None:
    asked = plan(privacy=PRIVACY, features=(numeric(edges=("0.0", "01000")), INDUSTRY))
    bound = bind(asked, catalogue())
    assert isinstance(bound.question, TrainingQuestion)
    assert isinstance(asked.question, TrainingQuestion)
    assert bound.question.source == Source(dataset=CREDIT, version=2)
    assert bound.question.features[0] == TAX_PAID
    assert common_digest(bound.question) == common_digest(asked.question)
    assert bind(bound, catalogue()) == separate_conditions(bound, catalogue()) == bound


UNBOUND: dict[str, tuple[Plan, ErrorCode, str]] = {
    "another version": (plan(source=Source(dataset=CREDIT, version=3)), ErrorCode.VERSION_NOT_FOUND, "no version 3"),
    "no such target": (plan(target="default"), ErrorCode.NAME_UNKNOWN, "no column `default`"),
    "no such feature": (plan(features=(numeric("tax"),)), ErrorCode.NAME_UNKNOWN, "no column `tax`"),
    "bounds of a code": (plan(features=(numeric("industry"),)), ErrorCode.LITERAL_INVALID, "only numbers"),
    "bounds of a date": (plan(features=(numeric("founded"),)), ErrorCode.LITERAL_INVALID, "only numbers"),
    "bounds of a boolean": (plan(features=(numeric("late"),)), ErrorCode.LITERAL_INVALID, "only numbers"),
    "codes of a number": (
        plan(features=(CodedFeature(name="staff", codes=("1", "2")),)),
        ErrorCode.LITERAL_INVALID,
        "only codes and booleans",
    ),
    "a code that is not declared": (
        plan(features=(CodedFeature(name="industry", codes=("A", "Z")),)),
        ErrorCode.LITERAL_INVALID,
        "declared domain",
    ),
    "more digits than the column has": (
        plan(features=(numeric(edges=("0.001",)),)),
        ErrorCode.LITERAL_INVALID,
        "no more digits",
    ),
    "a value that the target cannot have": (plan(positive="x"), ErrorCode.LITERAL_INVALID, "expected an integer"),
    "a value in another spelling": (plan(positive="01"), ErrorCode.LITERAL_INVALID, "canonical spelling"),
    "the unit as target": (plan(target="uscc"), ErrorCode.LITERAL_INVALID, "declared domain"),
    "text as target": (plan(target="note"), ErrorCode.LITERAL_INVALID, "cannot be compared"),
}


@pytest.mark.parametrize("name", UNBOUND)
def test_what_is_not_the_catalogues_is_not_bound(name: str) -> None:
    asked, code, message = UNBOUND[name]
    with pytest.raises((InvalidRequestError, NotFoundError), match=message) as found:
        bind(asked, catalogue())
    assert found.value.code is code


# --- uses -------------------------------------------------------------------------------------------------------------


def test_target_and_features_are_trained_on_with_their_edges_and_bounds() -> None:
    bound = bind(plan(privacy=PRIVACY, quorum=3), catalogue())
    assert uses(bound) == (
        ColumnUse(dataset=CREDIT, column="defaulted", use=Use.TRAIN, clause="target"),
        ColumnUse(
            dataset=CREDIT,
            column="tax_paid",
            use=Use.TRAIN,
            clause="features[0]",
            values=("0", "1000"),
            bounds=("0", "5000000"),
        ),
        ColumnUse(dataset=CREDIT, column="industry", use=Use.TRAIN, clause="features[1]"),
    )
    assert operations(bound) == ("train.horizontal.logistic_regression",)
    assert datasets(bound) == (CREDIT,)
    assert rounds(bound) == 30
    privacy = Spending(epsilon=Decimal(1), delta=Decimal("0.000001"))
    assert training(bound) == Training(agreement="agr-tax", node="node:tax", quorum=3, min_entities=10, privacy=privacy)


def test_a_plan_without_its_own_member_has_no_uses_of_the_federation() -> None:
    with pytest.raises(InvalidRequestError, match="among the members"):
        training(plan(source=Source(dataset="zoo/credit")))


ASKED = Plan(question=QUESTION)


# --- admission --------------------------------------------------------------------------------------------------------


def admitted(asked: Plan = ASKED, **rest: Any) -> AdmittedTraining:
    found = judged(asked, **rest)
    assert found.training is not None, (found.problem, found.reasons)
    assert found.admitted is None
    return found.training


def test_an_admitted_training_has_what_the_engine_needs() -> None:
    found = admitted()
    assert found.question.source.version == 2
    assert found.digest == question_digest(found.question)
    assert found.common == common_digest(QUESTION)
    assert isinstance(found.base, AdmittedDataset)
    assert (found.base.dataset.name, found.base.version.version, found.datasets) == (CREDIT, 2, (found.base,))
    assert (found.unit_column, found.min_units) == ("uscc", 5)
    assert found.item("tax_paid").decimals == 2
    assert found.operations == ("train.horizontal.logistic_regression",)
    assert found.plan.presentation is None
    assert found.rules.min_contributors == 3
    assert len(found.terms) == 1


def test_the_cost_counts_the_rounds() -> None:
    cost = judged(plan()).cost
    assert cost is not None
    assert (cost.rows, cost.passes) == (100, 31)


@pytest.mark.parametrize(
    ("target", "positive"), [("defaulted", "0"), ("late", "true"), ("late", "false"), ("district", "莲花")]
)
def test_a_target_is_whatever_has_few_declared_values(target: str, positive: str) -> None:
    assert admitted(plan(target=target, positive=positive, features=(TAX_PAID,))).question.target == target


def test_booleans_are_trained_on_as_codes() -> None:
    admitted(plan(features=(CodedFeature(name="late", codes=("true", "false")),)))


def test_an_edge_may_be_listed_in_the_agreement() -> None:
    admitted(plan(features=(NumericFeature(name="staff", bounds=("0", "9000"), edges=("7",)),)))


def without_bounds() -> dict[str, Any]:
    return {"items": (*ITEMS, item("free", ItemType.INTEGER))}


Change = dict[str, Any]
REFUSED: dict[str, tuple[Plan, Change, RefusalReason, str | None, str]] = {
    "several rows a unit": (
        plan(),
        {"max_rows_per_unit": 2},
        RefusalReason.PLAN_NOT_ADMITTED,
        "source",
        "several rows a unit",
    ),
    "a data set that is not open": (
        plan(),
        {"openness": Openness.NOT_OPEN},
        RefusalReason.DATASET_NOT_GRANTED,
        None,
        "not open",
    ),
    "a value outside of the target's bounds": (
        plan(positive="2"),
        {},
        RefusalReason.PARAMETER_NOT_ALLOWED,
        "positive",
        "does not have this value",
    ),
    "a target that may be missing": (
        plan(target="industry", positive="A", features=(TAX_PAID,)),
        {},
        RefusalReason.PLAN_NOT_ADMITTED,
        "target",
        "may be missing",
    ),
    "a number as target": (
        plan(target="tax_paid", positive="1", features=(INDUSTRY,)),
        {},
        RefusalReason.PLAN_NOT_ADMITTED,
        "target",
        "is no target",
    ),
    "an integer of many values as target": (
        plan(target="staff", positive="1"),
        {},
        RefusalReason.PLAN_NOT_ADMITTED,
        "target",
        "is no target",
    ),
    "some of the codes": (
        plan(features=(CodedFeature(name="industry", codes=("A", "B")),)),
        {},
        RefusalReason.PARAMETER_NOT_ALLOWED,
        "features[0]",
        "all codes",
    ),
    "one side of a boolean": (
        plan(features=(CodedFeature(name="late", codes=("true",)),)),
        {},
        RefusalReason.PARAMETER_NOT_ALLOWED,
        "features[0]",
        "all codes",
    ),
    "the negative list": (
        plan(features=(CodedFeature(name="phone", codes=("x", "y")),)),
        {},
        RefusalReason.NEGATIVE_LIST,
        "features[0]",
        "negative list",
    ),
    "core data": (
        plan(target="secret", positive="true"),
        {},
        RefusalReason.GRADE_TOO_HIGH,
        "target",
        "grade",
    ),
    "a number without bounds": (
        plan(features=(NumericFeature(name="score", bounds=("0", "1")),)),
        {},
        RefusalReason.PARAMETER_NOT_ALLOWED,
        "features[0]",
        "no declared bounds",
    ),
    "more rows than figures are proved for": (
        plan(),
        {},
        RefusalReason.PLAN_NOT_ADMITTED,
        "source",
        "larger than",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_not_be_trained_on_is_refused_by_name(name: str) -> None:
    asked, changes, code, clause, message = REFUSED[name]
    rows = 2**34 if name.startswith("more rows") else 100
    found = judged(asked, known=catalogue(rows, **changes))
    assert found.training is None
    assert [(code, clause, True)] == [(one.code, one.clause, message in one.message) for one in found.reasons], found


def test_a_refusal_does_not_depend_on_the_data() -> None:
    known = catalogue()
    uneven = {key: replace(one, max_rows_per_unit=9, units=3) for key, one in known.versions.items()}
    assert judged(plan(), known=replace(known, versions=uneven)).training is not None


# --- what admission asks of others ------------------------------------------------------------------------------------


def test_without_a_check_no_recipe_is_admitted() -> None:
    (reason,) = judged(plan(), check_recipe=refuse_recipes).reasons
    assert (reason.clause, reason.message) == ("recipe", "no recipe `logistic_regression` is installed here")


def test_what_the_recipe_does_not_take_is_refused_in_its_words() -> None:
    def check(question: TrainingQuestion, /) -> tuple[str, ...]:
        return (f"parameters: got {len(question.parameters)} letters",)

    (reason,) = judged(plan(), check_recipe=check).reasons
    assert (reason.code, reason.message) == (RefusalReason.PLAN_NOT_ADMITTED, "parameters: got 13 letters")


def test_the_recipe_is_asked_only_about_what_is_admitted_otherwise() -> None:
    asked: list[TrainingQuestion] = []

    def check(question: TrainingQuestion, /) -> tuple[str, ...]:
        asked.append(question)
        return ()

    judged(plan(positive="2"), check_recipe=check)
    assert asked == []
    judged(plan(), check_recipe=check)
    assert [question.source.version for question in asked] == [2]


def decision(**changes: Any) -> Decision:
    bound = bind(plan(), catalogue())
    request = Request(
        assignee=PARTNER,
        purpose=PURPOSE,
        operations=operations(bound),
        datasets=datasets(bound),
        uses=uses(bound),
        place="node:tax",
        rounds=rounds(bound),
        training=training(bound),
    )
    rules = DisclosureRules(min_units=5, mode=changes.pop("mode", DisclosureMode.EXACT))
    return Decision(
        outcome=Outcome.PERMIT,
        determining=(),
        disclosure=rules,
        terms=("sha256:" + "1" * 64,),
        request=replace(request, **changes),
    )


def test_a_permit_for_this_very_training_admits_it() -> None:
    found = admit(plan(), catalogue(), decision(), check_recipe=takes_all)
    assert isinstance(found, AdmittedTraining)


OTHER: dict[str, dict[str, Any]] = {
    "fewer rounds": {"rounds": 29},
    "another quorum": {"training": Training(agreement="agr-tax", node="node:tax", quorum=4, min_entities=10)},
    "no federation": {"training": None},
    "other edges": {"uses": ()},
    "private mode": {"mode": DisclosureMode.PRIVATE},
}


@pytest.mark.parametrize("name", OTHER)
def test_a_permit_for_another_training_does_not(name: str) -> None:
    found = admit(plan(), catalogue(), decision(**OTHER[name]), check_recipe=takes_all)
    assert isinstance(found, Rejection)


def test_private_mode_wants_noise() -> None:
    private = agreement("limits:", 'disclosure: {mode: private}\nprivacy: {epsilon: "4", delta: "1e-6"}\nlimits:')
    assert judged(plan(), private).training is None
    found = judged(plan(privacy=PRIVACY), private)
    assert found.training is not None, found
    assert found.training.rules.mode is DisclosureMode.PRIVATE


def test_nobody_else_admits_a_training() -> None:
    found = admitted()
    members = {name: getattr(found, name) for name in AdmittedTraining.__dataclass_fields__ if name != "seal"}
    with pytest.raises(RefusedError, match="only admission"):
        AdmittedTraining(**members, seal=object())
    with pytest.raises(RefusedError):
        replace(found, digest="x", seal=object())


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps])
def test_what_was_admitted_is_not_copied(make: Callable[[object], object]) -> None:
    with pytest.raises(RefusedError, match="neither copied nor stored"):
        make(admitted())
