"""What a federation has trained: enough entities and units behind it, no memory of rows, and then the door."""

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import pytest

from policies.disclosure import MIN_CONTRIBUTORS, DisclosureRules
from sandbox.candidate import TrainedCandidate
from sandbox.catalog.model import Catalogue
from sandbox.disclosure.approval import Approval
from sandbox.disclosure.json_form import held_json, training_json
from sandbox.disclosure.release import ReleaseContext, release
from sandbox.disclosure.released import Held, Outgoing, ReleasedTraining
from sandbox.disclosure.rules_digest import rules_digest
from sandbox.disclosure.trained import MAX_ADVANTAGE, judge_trained, trained_evidence
from sandbox.disclosure.verdict import Finding, RuleId
from tests.unit.sandbox.disclosure.tables import RecordingHistory
from tests.unit.yingbi.plan.examples import TRAINING
from yingbi.canonical import JsonValue, digest_json
from yingbi.events.outputs import CheckVerdict, DisclosureMode, Remedy, Risk, RiskVerdict
from yingbi.plan.codec import question_digest
from yingbi.plan.model import TrainingQuestion

RULES: Final = DisclosureRules(min_units=10, min_contributors=3)
DOCUMENT: Final[dict[str, JsonValue]] = {"model": {"weights": ["0.25", "-1.5"]}, "metrics": {"auc": "0.71"}}

FEW = Finding(risk=Risk.THRESHOLD, rule=RuleId.TRAINING_ENTITIES, verdict=CheckVerdict.FAIL)
LONELY = Finding(risk=Risk.THRESHOLD, rule=RuleId.TRAINING_CONTRIBUTORS, verdict=CheckVerdict.FAIL)
REMEMBERS = Finding(risk=Risk.MODEL_MEMORY, rule=RuleId.TRAINING_MEMBERSHIP, verdict=CheckVerdict.REVIEW)
TO_BE_CHECKED = Finding(risk=Risk.UNCHECKED, rule=RuleId.AGREED_CHECK, verdict=CheckVerdict.REVIEW)


def trained(**changes: Any) -> TrainedCandidate:
    """Return a candidate in which everything is exactly at its threshold, with one thing changed."""
    question = TRAINING.question
    assert isinstance(question, TrainingQuestion)
    at = TrainedCandidate(
        question=question,
        document=DOCUMENT,
        smallest=RULES.min_units,
        contributors=RULES.min_contributors,
        advantage=MAX_ADVANTAGE,
    )
    return replace(at, **changes)


def _release(
    candidate: TrainedCandidate,
    rules: DisclosureRules = RULES,
    *,
    approval: Approval | None = None,
    is_checked: bool = False,
) -> Outgoing | Held:
    history = RecordingHistory()
    context = ReleaseContext(catalogue=Catalogue(datasets={}, versions={}), approval=approval, is_checked=is_checked)
    result = release(candidate, rules, history, context=context)
    assert (history.proposals, history.recorded) == ([], []), "a federation's sums are not of one node's data"
    return result


def _released(candidate: TrainedCandidate, rules: DisclosureRules = RULES, **more: Any) -> ReleasedTraining:
    result = _release(candidate, rules, **more)
    assert isinstance(result, ReleasedTraining)
    return result


def _held(candidate: TrainedCandidate, rules: DisclosureRules = RULES, **more: Any) -> Held:
    result = _release(candidate, rules, **more)
    assert isinstance(result, Held)
    return result


# --- the rules --------------------------------------------------------------------------------------------------------


def test_what_is_at_every_threshold_may_leave() -> None:
    assert judge_trained(trained(), RULES) == ()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"smallest": 9}, FEW),
        ({"smallest": 0}, FEW),
        ({"contributors": 2}, LONELY),
        ({"contributors": 0}, LONELY),
        ({"advantage": 0.1000001}, REMEMBERS),
        ({"advantage": 1.0}, REMEMBERS),
        ({"advantage": float("inf")}, REMEMBERS),
        ({"advantage": float("nan")}, REMEMBERS),
    ],
)
def test_each_rule_holds_by_itself(change: dict[str, Any], found: Finding) -> None:
    assert judge_trained(trained(**change), RULES) == (found,)


def test_all_that_is_wrong_is_found() -> None:
    assert judge_trained(trained(smallest=1, contributors=1, advantage=0.5), RULES) == (FEW, LONELY, REMEMBERS)


def test_what_noise_hides_is_not_judged_and_the_number_of_units_always_is() -> None:
    hidden = trained(smallest=None, advantage=None)
    assert judge_trained(hidden, RULES) == ()
    assert judge_trained(replace(hidden, contributors=2), RULES) == (LONELY,)
    assert judge_trained(trained(advantage=None, smallest=9), RULES) == (FEW,)
    assert judge_trained(trained(smallest=None, advantage=0.2), RULES) == (REMEMBERS,)


def test_an_attack_that_guesses_worse_than_a_coin_is_no_memory() -> None:
    assert judge_trained(trained(advantage=-0.5), RULES) == ()


def test_thresholds_are_those_of_the_agreement() -> None:
    strict = replace(RULES, min_units=25, min_contributors=4)
    assert judge_trained(trained(), strict) == (FEW, LONELY)
    assert judge_trained(trained(smallest=25, contributors=4), strict) == ()
    assert judge_trained(trained(smallest=5), replace(RULES, min_units=5)) == ()
    assert DisclosureRules().min_contributors == MIN_CONTRIBUTORS == 3, "two members each know the other's part"


# --- released ---------------------------------------------------------------------------------------------------------


def test_what_may_leave_is_the_document_under_its_digest() -> None:
    candidate = trained()
    training = _released(candidate)
    assert dict(training.document) == DOCUMENT
    assert training.question == question_digest(candidate.question)
    assert training.rules == rules_digest(RULES)
    assert training.findings == ()
    assert training.digest == digest_json(training_json(training))
    assert training_json(training) == {
        "v": 1,
        "kind": "training",
        "question": training.question,
        "rules": training.rules,
        "document": DOCUMENT,
    }


def test_nothing_of_the_evidence_leaves_with_it() -> None:
    one = _released(trained())
    other = _released(trained(smallest=500, contributors=7, advantage=0.0))
    assert one == other


def test_another_model_question_or_rule_has_another_digest() -> None:
    question = replace(trained().question, rounds=31)
    digests = {
        _released(trained()).digest,
        _released(trained(document={**DOCUMENT, "metrics": {"auc": "0.72"}})).digest,
        _released(trained(question=question)).digest,
        _released(trained(), replace(RULES, dominance_share=Decimal("0.8"))).digest,
    }
    assert len(digests) == 4


def test_a_private_agreement_releases_what_it_trained() -> None:
    private = replace(RULES, mode=DisclosureMode.PRIVATE)
    assert _released(trained(smallest=None, advantage=None), private).rules == rules_digest(private)
    assert _held(trained(contributors=2), private).is_final


def test_released_training_has_one_constructor() -> None:
    with pytest.raises(TypeError):
        replace(_released(trained()), document={}, door=object())


# --- held -------------------------------------------------------------------------------------------------------------


def test_what_is_held_shows_the_reviewer_everything_and_the_partner_nothing() -> None:
    candidate = trained(advantage=0.25, smallest=12)
    held = _held(candidate)
    assert held.findings == (REMEMBERS,)
    assert not held.is_final
    assert held.evidence == {
        "candidate": {"document": DOCUMENT, "smallest": 12, "contributors": 3, "advantage": "0.25"},
        "findings": [
            {
                "risk": "model-memory",
                "rule": "training.membership",
                "verdict": "review",
                "dimension": None,
                "cells": None,
            }
        ],
        "history": None,
    }
    assert held.candidate == digest_json(trained_evidence(candidate))
    assert (held.question, held.rules) == (question_digest(candidate.question), rules_digest(RULES))
    notice = held_json(held)
    assert notice["findings"] == [
        {"risk": "model-memory", "rule": "training.membership", "dimension": None, "verdict": "review"}
    ]
    assert "0.25" not in str(notice)
    assert "auc" not in str(notice) + repr(held)


def test_evidence_says_what_is_not_known() -> None:
    assert trained_evidence(trained(smallest=None, advantage=None)) == {
        "document": DOCUMENT,
        "smallest": None,
        "contributors": 3,
        "advantage": None,
    }


def test_evidence_of_another_candidate_is_other_evidence() -> None:
    digests = {
        digest_json(trained_evidence(one))
        for one in (
            trained(),
            trained(smallest=11),
            trained(contributors=4),
            trained(advantage=0.05),
            trained(advantage=None),
            trained(document={}),
        )
    }
    assert len(digests) == 6


@pytest.mark.parametrize("change", [{"smallest": 9}, {"contributors": 2}, {"smallest": 9, "advantage": 0.5}])
def test_too_few_is_final_whoever_approves_it(change: dict[str, Any]) -> None:
    held = _held(trained(**change))
    assert held.is_final
    again = _held(trained(**change), approval=Approval(candidate=held.candidate, findings=held.findings))
    assert again == held
    assert Remedy.PRIVATE_MODE in held.remedies


def test_too_few_is_told_without_saying_of_what() -> None:
    told = [held_json(_held(trained(**change)))["findings"] for change in ({"smallest": 9}, {"contributors": 2})]
    assert told[0] == told[1] == [{"risk": "threshold", "rule": "values", "dimension": None, "verdict": "fail"}]


def test_a_person_lets_out_what_remembers_and_nothing_else() -> None:
    candidate = trained(advantage=0.25)
    held = _held(candidate)
    approval = Approval(candidate=held.candidate, findings=held.findings)
    training = _released(candidate, approval=approval)
    assert training.findings == (REMEMBERS,)
    assert training.digest == _released(trained()).digest, "who looked at it changes nothing of what it is"
    assert isinstance(_release(replace(candidate, advantage=0.26), approval=approval), Held)
    assert isinstance(_release(candidate, approval=replace(approval, findings=())), Held)
    assert isinstance(_release(replace(candidate, document={}), approval=approval), Held)


def test_an_agreement_that_wants_every_result_checked_holds_a_model() -> None:
    held = _held(trained(), is_checked=True)
    assert (held.findings, held.is_final) == ((TO_BE_CHECKED,), False)
    approval = Approval(candidate=held.candidate, findings=held.findings)
    assert _released(trained(), is_checked=True, approval=approval).findings == (TO_BE_CHECKED,)
    both = _held(trained(advantage=0.5), is_checked=True, approval=approval)
    assert both.findings == (REMEMBERS, TO_BE_CHECKED)


def test_findings_fit_the_log() -> None:
    for one in _held(trained(smallest=1, contributors=1, advantage=0.5), is_checked=True).findings:
        RiskVerdict(risk=one.risk, rule=one.rule, dimension=one.dimension, verdict=one.verdict)
