"""Plans of federations: their form, their JSON, and the terms that all members share."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.yingbi.plan.examples import MEMBERS, TABLE, TRAINING
from yingbi.canonical import digest_json
from yingbi.errors import InvalidRequestError
from yingbi.plan.check import check_plan
from yingbi.plan.codec import common_digest, common_json, parse_plan, plan_to_json, question_digest, question_to_json
from yingbi.plan.model import (
    CodedFeature,
    Join,
    JoinKind,
    Member,
    NumericFeature,
    Plan,
    Recipe,
    Source,
    TrainingPrivacy,
    TrainingQuestion,
)

assert isinstance(TRAINING.question, TrainingQuestion)
QUESTION = TRAINING.question
PRIVACY = TrainingPrivacy(epsilon="1.0", delta="1e-6", clip="1")


def member(name: str, **changes: str) -> Member:
    usual = Member(agreement=f"agr-{name}", dataset=f"{name}/credit", job=f"job-{name}", node=f"node:{name}")
    return replace(usual, **changes)


def asked(**changes: Any) -> Plan:
    return Plan(question=replace(QUESTION, **changes))


def numeric(**changes: Any) -> Plan:
    return asked(features=(replace(QUESTION.features[0], **changes),))


def private(**changes: Any) -> Plan:
    return asked(privacy=replace(PRIVACY, **changes))


MANY = tuple(member(f"u{number:02d}") for number in range(65))
PROBLEMS = {
    "two members": (asked(members=MEMBERS[1:], quorum=2), "members: expected 3 to 64"),
    "sixty-five members": (asked(members=MANY, quorum=65, source=Source(dataset="u01/credit")), "expected 3 to 64"),
    "members out of order": (asked(members=MEMBERS[::-1]), "members: expected each node once"),
    "a node twice": (asked(members=(*MEMBERS, member("tax2", node="node:tax")), quorum=4), "each node once"),
    "a data set twice": (
        asked(members=(*MEMBERS, member("zoo", dataset="tax/credit")), quorum=4),
        "members: expected each data set once",
    ),
    "a job twice": (asked(members=(*MEMBERS, member("zoo", job="job-tax")), quorum=4), "expected each job once"),
    "without oneself": (asked(source=Source(dataset="zoo/credit")), "expected the data set of the source"),
    "a node that is a unit": (asked(members=(*MEMBERS[:2], member("tax", node="unit:tax"))), "members[2].node"),
    "an agreement that is no id": (asked(members=(*MEMBERS[:2], member("tax", agreement="x"))), "[2].agreement"),
    "a job that is no id": (asked(members=(*MEMBERS[:2], member("tax", job="job-" + "a" * 80))), "[2].job"),
    "a data set in capitals": (asked(members=(*MEMBERS[:2], member("tax", dataset="Tax/x"))), "[2].dataset"),
    "a federation that is no id": (asked(federation="fed"), "$.question.federation"),
    "a quorum below three": (asked(quorum=2, privacy=PRIVACY), "quorum: expected 3 to 3"),
    "a quorum above all": (asked(quorum=4, privacy=PRIVACY), "quorum: expected 3 to 3"),
    "fewer than all without noise": (asked(members=(*MEMBERS, member("zoo")), quorum=3), "quorum: expected all 4"),
    "no round": (asked(rounds=0), "rounds: expected 1 to 1000"),
    "too many rounds": (asked(rounds=1001), "rounds: expected 1 to 1000"),
    "no entities": (asked(min_entities=0), "min_entities: expected 1 to"),
    "a million entities and one": (asked(min_entities=10**6 + 1), "min_entities: expected 1 to"),
    "a join": (asked(source=Source(dataset="tax/credit", joins=(Join(dataset="a/b", kind=JoinKind.LEFT),))), "joins"),
    "parameters that are no object": (asked(parameters="[]"), "parameters: expected an object"),
    "parameters that are not canonical": (asked(parameters='{"b":1, "a":2}'), "parameters: expected canonical JSON"),
    "parameters with null": (asked(parameters='{"a":null}'), "parameters: expected an object of texts"),
    "parameters that are too deep": (asked(parameters='{"a":{"a":{"a":{"a":{}}}}}'), "parameters: expected an object"),
    "parameters that are too large": (asked(parameters='{"a":"' + "x" * 4096 + '"}'), "parameters: expected canonical"),
    "parameters with control characters": (asked(parameters='{"a":"\\u0007"}'), "parameters: expected an object"),
    "a surrogate in the parameters": (asked(parameters='{"a":"\ud800"}'), "parameters: expected canonical"),
    "a target that is no name": (asked(target="a b"), "$.question.target"),
    "no value of the target": (asked(positive=""), "$.question.positive"),
    "a target among the features": (asked(target="industry"), "features: expected each column once"),
    "a feature twice": (asked(features=(QUESTION.features[0],) * 2), "features: expected each column once"),
    "no feature": (asked(features=()), "features: expected 1 to 64"),
    "sixty-five features": (
        asked(features=tuple(CodedFeature(name=f"f{number}", codes=("A", "B")) for number in range(65))),
        "features: expected 1 to 64",
    ),
    "a feature that is no name": (numeric(name="TAX"), "features[0].name"),
    "bounds the wrong way round": (numeric(bounds=("2", "1")), "features[0].bounds"),
    "equal bounds": (numeric(bounds=("1", "1.0")), "features[0].bounds"),
    "a bound that is no number": (numeric(bounds=("0", "inf")), "features[0].bounds"),
    "edges out of order": (numeric(edges=("2", "1")), "features[0].edges"),
    "an edge twice": (numeric(edges=("1", "1.0")), "features[0].edges"),
    "an edge that is no number": (numeric(edges=("x",)), "features[0].edges"),
    "too many edges": (numeric(edges=tuple(map(str, range(257)))), "features[0].edges: expected at most 256"),
    "no codes": (asked(features=(CodedFeature(name="industry", codes=()),)), "features[0].codes"),
    "a code twice": (asked(features=(CodedFeature(name="industry", codes=("A", "A")),)), "features[0].codes"),
    "too many codes": (
        asked(features=(CodedFeature(name="industry", codes=tuple(map(str, range(1025)))),)),
        "features[0].codes: expected 1 to 1024",
    ),
    "no epsilon": (private(epsilon="0"), "privacy.epsilon: expected more than 0"),
    "a huge epsilon": (private(epsilon="100.1"), "privacy.epsilon: expected more than 0 and at most 100"),
    "an epsilon that is no number": (private(epsilon="NaN"), "privacy.epsilon: expected a decimal"),
    "a negative delta": (private(delta="-1"), "privacy.delta: expected a decimal"),
    "a large delta": (private(delta="0.01"), "privacy.delta: expected 0 to below"),
    "a clip of nothing": (private(clip="0"), "privacy.clip"),
    "a presentation": (replace(TRAINING, presentation=TABLE.presentation), "$.presentation: expected none"),
}


def test_a_training_of_good_form_has_no_problems() -> None:
    for plan in (TRAINING, private(), private(clip=None), numeric(edges=())):
        assert check_plan(plan) == []


@pytest.mark.parametrize(("plan", "expected"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_problem_of_form_is_found(plan: Plan, expected: str) -> None:
    found = check_plan(plan)
    assert any(expected in problem for problem in found), found


def test_with_noise_some_may_be_missing() -> None:
    assert check_plan(asked(members=(*MEMBERS, member("zoo")), quorum=3, privacy=PRIVACY)) == []


# --- JSON -------------------------------------------------------------------------------------------------------------


def changed(path: str, value: Any) -> dict[str, Any]:
    whole: dict[str, Any] = copy.deepcopy(plan_to_json(TRAINING))
    here: Any = whole
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        here = here[step]
    here[last] = value
    return whole


MALFORMED = {
    "conditions": ("question.where", [], "$.question.where: unknown member"),
    "code of the partner": ("question.code", "print()", "$.question.code: unknown member"),
    "a recipe that is none": ("question.recipe", "anything", "$.question.recipe: expected one of"),
    "a fraction in the parameters": ("question.parameters", {"l2": 0.01}, "$.question.parameters"),
    "a list of parameters": ("question.parameters", [], "$.question.parameters"),
    "a name beyond ASCII": ("question.parameters", {"学": 1}, "$.question.parameters"),
    "a boolean as rounds": ("question.rounds", True, "$.question.rounds"),
    "another kind of feature": ("question.features.0.kind", "text", "$.question.features[0]: expected one of"),
    "codes of a number": ("question.features.0.codes", ["A"], "$.question.features[0].codes: unknown member"),
    "three bounds": ("question.features.0.bounds", ["0", "1", "2"], "$.question.features[0].bounds"),
    "a number as bound": ("question.features.0.bounds", [0, 1], "$.question.features[0].bounds[0]"),
    "more of a member": ("question.members.0.weight", 2, "$.question.members[0].weight: unknown member"),
    "noise without an amount": ("question.privacy", {}, "$.question.privacy.epsilon: expected this member"),
}


@pytest.mark.parametrize(("path", "value", "expected"), MALFORMED.values(), ids=MALFORMED)
def test_another_form_is_refused(path: str, value: Any, expected: str) -> None:
    with pytest.raises(InvalidRequestError, match="expected a plan") as found:
        parse_plan(changed(path, value))
    assert expected in found.value.message


def test_what_has_a_default_can_be_left_out() -> None:
    value = plan_to_json(TRAINING)
    question: Any = value["question"]
    for name in ("parameters", "privacy"):
        del question[name]
    del question["features"][0]["edges"]
    found = parse_plan(value).question
    assert isinstance(found, TrainingQuestion)
    assert (found.parameters, found.privacy, found.features[0]) == (
        "{}",
        None,
        NumericFeature(name="tax_paid", bounds=("0", "5000000")),
    )


# --- terms ------------------------------------------------------------------------------------------------------------


def test_the_terms_are_the_question_without_its_source() -> None:
    value = question_to_json(QUESTION)
    del value["source"]
    assert common_json(QUESTION) == value
    assert common_digest(QUESTION) == digest_json(value)


def test_all_members_have_the_same_terms_and_questions_of_their_own() -> None:
    questions = [replace(QUESTION, source=Source(dataset=one.dataset, version=7)) for one in MEMBERS]
    assert {common_digest(question) for question in questions} == {common_digest(QUESTION)}
    assert len({question_digest(question) for question in questions}) == 3


def test_a_number_has_one_spelling() -> None:
    one = replace(QUESTION, privacy=PRIVACY)
    spelled = replace(
        one,
        privacy=TrainingPrivacy(epsilon="1", delta="0.000001", clip="1.00"),
        features=(NumericFeature(name="tax_paid", bounds=("-0", "5000000.0"), edges=("00", "1000.0")), one.features[1]),
    )
    assert common_digest(spelled) == common_digest(one)
    assert question_digest(spelled) == question_digest(one)


OTHER: dict[str, Any] = {
    "federation": "fed-2",
    "members": (*MEMBERS[:2], member("tax", job="job-other")),
    "quorum": 4,
    "rounds": 31,
    "min_entities": 11,
    "recipe": Recipe.WOE_BINS,
    "parameters": '{"l2":"0.1"}',
    "target": "late",
    "positive": "0",
    "features": QUESTION.features[::-1],
    "privacy": PRIVACY,
}


def test_every_member_of_the_common_part_is_among_the_terms() -> None:
    assert set(OTHER) | {"source"} == set(TrainingQuestion.__dataclass_fields__)
    for name, value in OTHER.items():
        assert common_digest(replace(QUESTION, **{name: value})) != common_digest(QUESTION), name
