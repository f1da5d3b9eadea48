"""What a change allows, refuses and touches, and how agreements and decisions are shown."""

from dataclasses import replace
from typing import Any

import pytest

from policies.codec import decision_to_json, parse_request, request_to_json
from policies.decision import Outcome
from policies.diff import Change, Effect, compare, find_flips
from policies.evaluate import evaluate
from policies.explain import explain
from policies.impact import CertificateRef, JobRef, JobStage, agreements_over, find_impact
from policies.model import Prohibition
from policies.odrl import check_odrl, to_odrl
from policies.request import Use
from tests.unit.policies.examples import DATASET, USES, agreement, context, edited, request, use
from yingbi.canonical import canonical_bytes
from yingbi.errors import InvalidRequestError
from yingbi.events.fields import RunningJobs

CHANGES = {
    "use": ("[group, train]", "[group, train, join]", Effect.ALLOWS, f"datasets.{DATASET}.columns.industry.uses"),
    "function": ("[sum, mean]", "[sum]", Effect.REFUSES, f"datasets.{DATASET}.columns.tax_paid.functions"),
    "all functions": ("functions: [sum, mean], ", "", Effect.ALLOWS, f"datasets.{DATASET}.columns.tax_paid.functions"),
    "value": ("[2024, 2025]", "[2024]", Effect.REFUSES, f"datasets.{DATASET}.columns.year.values"),
    "operation": ("psi, ", "", Effect.REFUSES, "operations"),
    "wider operation": ("train.vertical_logistic", "train", Effect.ALLOWS, "operations"),
    "longer": ("until: 2027-01-31", "until: 2027-02-28", Effect.ALLOWS, "valid.until"),
    "later": ("from: 2026-11-01", "from: 2026-11-02", Effect.REFUSES, "valid.from"),
    "zone": ("[node:futian-tax]", "[node:futian-tax, node:b]", Effect.ALLOWS, "place.zones"),
    "jobs": ("jobs: 500", "jobs: 501", Effect.ALLOWS, "limits.jobs"),
    "declared": ("values: listed", "values: declared", Effect.ALLOWS, "limits.filter_values"),
    "threshold": ("min_entities: 10", "min_entities: 9", Effect.ALLOWS, "disclosure.min_entities"),
    "no threshold": ("min_entities: 10, ", "", Effect.ALLOWS, "disclosure.min_entities"),
    "share": ('"0.85"', '"0.8"', Effect.REFUSES, "disclosure.dominance.share"),
    "zeros": ("zeros: refuse", "zeros: allow", Effect.ALLOWS, "disclosure.zeros"),
    "mode": ("mode: exact", "mode: private", Effect.REFUSES, "disclosure.mode"),
    "epsilon": ('"4.0"', '"5"', Effect.ALLOWS, "privacy.epsilon"),
    "review": ("job: automatic", "job: reviewed", Effect.REFUSES, "approvals.job"),
    "fewer eyes": ("[unit-cdo, bureau-approver]", "[unit-cdo]", Effect.ALLOWS, "approvals.agreement"),
    "finish": ("stop_running_jobs", "finish_running_jobs", Effect.ALLOWS, "on_revocation"),
    "purpose": ("credit.sme.pre-loan", "statistics", Effect.CHANGES, "purpose"),
    "prohibition": (
        "on_revocation",
        "prohibitions: [{use: train}]\non_revocation",
        Effect.REFUSES,
        "prohibitions",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_and_its_opposite(name: str) -> None:
    old, new, effect, path = CHANGES[name]
    before, after = agreement(), agreement(edited(old, new))
    there = compare(before, after)
    assert {(change.effect, change.path) for change in there.changes} >= {(effect, path)}
    assert all(change.effect is effect for change in there.changes if name != "wider operation")
    opposite = {Effect.ALLOWS: Effect.REFUSES, Effect.REFUSES: Effect.ALLOWS, Effect.CHANGES: Effect.CHANGES}[effect]
    assert any(change.effect is opposite and change.path == path for change in compare(after, before).changes)
    assert compare(before, before).changes == ()


def test_a_new_data_set_says_all_that_it_allows() -> None:
    without = agreement(datasets=())
    found = compare(without, agreement()).of(Effect.ALLOWS)
    assert Change(effect=Effect.ALLOWS, path="datasets", before=None, after=DATASET) in found
    assert len(found) == 1 + 7 + 2  # the data set, its uses, its listed values


def test_recorded_requests_that_flip_are_named() -> None:
    asked = [request(), request(uses=()), request(operations=("score",)), request(operations=("model",))]
    after = agreement(prohibitions=(Prohibition(column="tax_paid"),), operations=("aggregate", "model"))
    flips = find_flips(agreement(), after, asked, context())
    assert [(flip.index, flip.before, flip.after) for flip in flips] == [
        (0, Outcome.PERMIT, Outcome.REFUSE),
        (2, Outcome.PERMIT, Outcome.REFUSE),
    ]
    assert all(flip.reasons for flip in flips)
    assert find_flips(agreement(), agreement(version=2), asked, context()) == ()


def test_what_a_change_touches() -> None:
    jobs = [
        JobRef(id="job-1", agreements=frozenset({agreement().id}), stage=JobStage.RUNNING),
        JobRef(id="job-2", agreements=frozenset({agreement().id, "agr-x-1"}), stage=JobStage.WAITING),
        JobRef(id="job-3", agreements=frozenset({"agr-x-1"}), stage=JobStage.RUNNING),
        JobRef(id="job-4", agreements=frozenset({agreement().id}), stage=JobStage.HELD),
    ]
    certificates = [
        CertificateRef(id="dac-2", agreements=frozenset({agreement().id})),
        CertificateRef(id="dac-1", agreements=frozenset({agreement().id})),
        CertificateRef(id="dac-3", agreements=frozenset()),
    ]
    found = find_impact([agreement()], certificates, jobs)
    assert found.certificates == ("dac-1", "dac-2")
    assert (found.running, found.waiting, found.held, found.stopped) == (("job-1",), ("job-2",), ("job-4",), ("job-1",))
    assert found.counts() == {"agreements": 1, "certificates": 2, "waiting": 1, "running": 1, "held": 1, "stopped": 1}
    assert find_impact([agreement()], certificates, jobs, running_jobs=RunningJobs.FINISH).stopped == ()


def test_which_agreements_a_new_grade_touches() -> None:
    assert agreements_over([agreement()], DATASET) == (agreement(),)
    assert agreements_over([agreement()], DATASET, column="tax_paid") == (agreement(),)
    assert agreements_over([agreement()], DATASET, column="note") == ()
    assert agreements_over([agreement()], "power/usage") == ()


def test_an_explanation_names_clause_use_grant_and_what_is_allowed() -> None:
    wanted = use("tax_paid", Use.AGGREGATE, "aggregates[1]", function="variance")
    lines = "\n".join(explain(evaluate([agreement()], request(uses=(*USES, wanted)), context())))
    for part in (
        "refused",
        "aggregates[1]: column `tax_paid`",
        "column-not-granted",
        "missing use: aggregate",
        "allowed here: mean, sum",
        "grant aggregate of column `tax_paid` of `tax/annual_filings` with function `variance`",
    ):
        assert part in lines
    assert explain(evaluate([agreement()], request(), context()))[0] == "permitted"


def test_requests_come_back_from_json_and_decisions_are_canonical() -> None:
    assert parse_request(request_to_json(request())) == request()
    for asked in (request(), request(operations=("score", "nothing"))):
        canonical_bytes(decision_to_json(evaluate([agreement()], asked, context())))


@pytest.mark.parametrize("change", [{"place": 7}, {"extra": 1}, {"uses": [{}]}, {"rounds": "1"}, {"operations": "x"}])
def test_a_request_of_another_form_is_refused_without_repeating_it(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match="request member") as caught:
        parse_request({**request_to_json(request()), **change, "canary-4711": "canary-4711"})
    assert "canary" not in caught.value.message


def test_odrl_has_the_five_factors_and_the_structure_that_w3c_asks_for() -> None:
    policy: dict[str, Any] = to_odrl(
        replace(agreement(), prohibitions=(Prohibition(use=Use.TRAIN, operation="score"),))
    )
    assert check_odrl(policy) == []
    assert policy["@type"] == "Agreement"
    (rule,) = policy["permission"]
    constraints = {(item["leftOperand"], item["operator"]): item["rightOperand"] for item in rule["constraint"]}
    assert constraints["dateTime", "gteq"]["@value"] == "2026-10-31T16:00:00.000000Z"
    assert constraints["spatial", "isAnyOf"] == ["urn:yingbi:party:node:futian-tax"]
    assert constraints["purpose", "eq"] == "urn:yingbi:purpose:credit.sme.pre-loan"
    assert constraints["count", "lteq"] == 500
    assert policy["assignee"] == "urn:yingbi:party:partner:bank-a"
    assert rule["target"]["uid"] == "urn:yingbi:dataset:tax/annual_filings"
    assert "yb:aggregate" in rule["action"]
    canonical_bytes(policy)


@pytest.mark.parametrize("member", ["@context", "@type", "uid", "permission", "assigner", "assignee"])
def test_the_check_of_odrl_finds_what_is_missing(member: str) -> None:
    policy = to_odrl(agreement())
    del policy[member]
    assert member == "@type" or f"member `{member}` is missing" in check_odrl(policy)
    assert check_odrl(policy)


def test_the_check_of_odrl_looks_into_rules() -> None:
    policy: dict[str, Any] = to_odrl(agreement())
    policy["permission"][0]["constraint"].append({"leftOperand": "nothing", "operator": "about", "rightOperand": 1})
    del policy["permission"][0]["target"]
    assert len(check_odrl(policy)) == 3
