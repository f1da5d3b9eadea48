"""Member jobs of federations before the policies: who else takes part, how much noise, which bounds and edges."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from policies.codec import decision_to_json, parse_request, request_to_json
from policies.decision import Decision, Grant, Reason
from policies.diff import Effect, compare
from policies.disclosure import MIN_CONTRIBUTORS, DisclosureRules, strictest
from policies.evaluate import evaluate
from policies.explain import explain
from policies.grants import apply_grant
from policies.model import Agreement, to_json
from policies.parse import parse_agreement, read_agreement, to_yaml
from policies.request import Request, Spending, Training, Use
from tests.unit.policies.examples import DATASET, TEXT, agreement, catalogue, column, context, edited, request, use
from yingbi.canonical import canonical_bytes, parse_canonical
from yingbi.errors import InvalidRequestError
from yingbi.events.jobs import RefusalReason

EXACT = edited("train.vertical_logistic", "train.horizontal")
PRIVATE = edited("mode: exact", "mode: private", edited("[aggregate, psi, train.horizontal, score]", "[train]", EXACT))
BUDGET = Spending(epsilon=Decimal(4), delta=Decimal("0.000001"))
OWN = Training(agreement="agr-tax-credit-2026-01", node="node:futian-tax", quorum=3, min_entities=10)
BOUNDS = ("0", "5000000")
NUMBERS = {"tax_paid": column(type="decimal", edges=frozenset({"1000", "2000"}), bounds=(Decimal(0), Decimal(10**9)))}
CONTEXT = context(catalogue=catalogue(NUMBERS))


def trained(**changes: Any) -> Request:
    """Return the request of a member job."""
    usual = request(
        operations=("train.horizontal.logistic_regression",),
        uses=(
            use("industry", Use.TRAIN, "target"),
            use("tax_paid", Use.TRAIN, "features[0]", values=("1000",), bounds=BOUNDS),
        ),
        rounds=30,
        training=OWN,
    )
    return replace(usual, **changes)


def with_feature(**changes: Any) -> Request:
    usual = trained()
    return replace(usual, uses=(usual.uses[0], replace(usual.uses[1], **changes)))


def with_training(**changes: Any) -> Request:
    return trained(training=replace(OWN, **changes))


def decide(asked: Request, text: str = EXACT, *others: Agreement) -> Decision:
    return evaluate([agreement(text), *others], asked, CONTEXT)


def only(decision: Decision) -> Reason:
    assert not decision.is_permitted
    (reason,) = decision.reasons
    return reason


# --- what is permitted ------------------------------------------------------------------------------------------------


def test_a_member_job_within_its_agreement_is_permitted() -> None:
    decision = decide(trained())
    assert decision.is_permitted, decision.reasons
    assert decision.disclosure is not None
    assert decision.disclosure.min_contributors == MIN_CONTRIBUTORS == 3
    assert "  sums of fewer than 3 members are not made" in explain(decision)
    assert decision_to_json(decision)["disclosure"]["min_contributors"] == 3  # type: ignore[index,call-overload]


def test_noise_within_the_budget_is_permitted_in_private_mode() -> None:
    for epsilon in ("4", "0.5"):
        asked = with_training(privacy=replace(BUDGET, epsilon=Decimal(epsilon)))
        assert decide(asked, PRIVATE).is_permitted


def test_a_declared_edge_needs_no_listing_and_a_listed_one_no_declaration() -> None:
    assert decide(with_feature(values=("1000", "2000"))).is_permitted
    listed = edited("uses: [aggregate, train],", 'uses: [aggregate, train], values: ["77"],', EXACT)
    assert decide(with_feature(values=("77", "1000")), listed).is_permitted


def test_the_catalogues_bounds_hold_where_the_agreement_says_none() -> None:
    text = edited(" bounds: [0, 5000000],", "", EXACT)
    assert decide(with_feature(bounds=("0", "1000000000")), text).is_permitted
    assert decide(with_feature(bounds=("0.0", "1e9")), text).is_permitted
    reason = only(decide(with_feature(bounds=BOUNDS), text))
    assert reason.allowed == ("0", "1000000000")


# --- what is refused, and why -----------------------------------------------------------------------------------------

MORE = edited("disclosure: {", "disclosure: {min_contributors: 5, ", EXACT)
MODES: dict[str, tuple[Request, str, str | None, str, tuple[str, ...]]] = {
    "too few contributors": (trained(), MORE, "quorum", "disclosure.min_contributors", ("5",)),
    "too few entities": (
        with_training(min_entities=9),
        EXACT,
        "min_entities",
        "disclosure.min_entities",
        ("10",),
    ),
    "noise in exact mode": (with_training(privacy=BUDGET), EXACT, "privacy", "disclosure.mode", ("exact",)),
    "no noise in private mode": (trained(), PRIVATE, "privacy", "disclosure.mode", ("4", "0.000001")),
    "more than the budget": (
        with_training(privacy=replace(BUDGET, epsilon=Decimal("4.1"))),
        PRIVATE,
        "privacy.epsilon",
        "privacy.epsilon",
        ("4",),
    ),
    "no epsilon at all": (
        with_training(privacy=replace(BUDGET, epsilon=Decimal(0))),
        PRIVATE,
        "privacy.epsilon",
        "privacy.epsilon",
        ("4",),
    ),
    "another delta": (
        with_training(privacy=replace(BUDGET, delta=Decimal(0))),
        PRIVATE,
        "privacy.delta",
        "privacy.delta",
        ("0.000001",),
    ),
    "another node": (with_training(node="node:elsewhere"), EXACT, "members", "member", ()),
    "another agreement": (with_training(agreement="agr-x"), EXACT, "members", "member", ("agr-tax-credit-2026-01",)),
}


@pytest.mark.parametrize("name", MODES)
def test_a_parameter_that_is_not_allowed_is_named(name: str) -> None:
    asked, text, clause, path, allowed = MODES[name]
    reason = only(decide(asked, text))
    assert reason.rule is not None
    assert (reason.code, reason.clause) == (RefusalReason.PARAMETER_NOT_ALLOWED, clause)
    assert (reason.rule.path, reason.allowed) == (path, allowed)


FEATURES: dict[str, tuple[dict[str, Any], str, tuple[str, ...]]] = {
    "an edge of one's own": ({"values": ("1234",)}, "may not be cut at these edges", ("1000", "2000")),
    "a bound of one's own": ({"bounds": ("0", "1234")}, "public bounds only", BOUNDS),
    "a bound that is no number": ({"bounds": ("0", "x")}, "public bounds only", BOUNDS),
    "the catalogue's bound where the agreement has one": ({"bounds": ("0", "1000000000")}, "public bounds", BOUNDS),
}


@pytest.mark.parametrize("name", FEATURES)
def test_a_feature_that_is_not_as_declared_is_refused(name: str) -> None:
    changes, message, allowed = FEATURES[name]
    reason = only(decide(with_feature(**changes)))
    assert (reason.code, reason.clause, reason.column) == (
        RefusalReason.PARAMETER_NOT_ALLOWED,
        "features[0]",
        "tax_paid",
    )
    assert message in reason.message
    assert reason.allowed == allowed


def test_bounds_that_nobody_declares_are_refused() -> None:
    text = edited("industry: [group, train]", "industry: [group, train]\n      year2: [train]", EXACT)
    around = context(catalogue=catalogue({**NUMBERS, "year2": column()}))
    asked = with_feature(column="year2", values=(), bounds=("0", "1"))
    reason = only(evaluate([agreement(text)], asked, around))
    assert "no declared bounds" in reason.message


def test_the_missing_use_and_the_smallest_grant_are_named() -> None:
    text = edited("uses: [aggregate, train],", "uses: [aggregate],", EXACT)
    reason = only(decide(with_feature(values=("1234", "1000")), text))
    grant = Grant(agreement=OWN.agreement, dataset=DATASET, column="tax_paid", use=Use.TRAIN, values=("1234",))
    assert (reason.missing, reason.clause, reason.grant) == (Use.TRAIN, "features[0]", grant)
    lifted = apply_grant(agreement(text), grant, CONTEXT.catalogue)
    assert evaluate([lifted], with_feature(values=("1234", "1000")), CONTEXT).is_permitted


def test_the_operation_is_granted_by_its_family_and_by_nothing_else() -> None:
    for family in ("train", "train.horizontal", "train.horizontal.logistic_regression"):
        assert decide(trained(), edited("train.vertical_logistic", family)).is_permitted
    reason = only(decide(trained(), TEXT))
    assert reason.code is RefusalReason.OPERATION_NOT_GRANTED
    assert reason.grant == Grant(agreement=OWN.agreement, operation="train.horizontal.logistic_regression")


def test_all_rounds_of_a_federation_are_within_the_limit() -> None:
    assert decide(trained(rounds=100)).is_permitted
    reason = only(decide(trained(rounds=101)))
    assert (reason.code, reason.rule and reason.rule.path) == (RefusalReason.LIMIT_REACHED, "limits.rounds")


SENSELESS = {
    "an operation of federations without what belongs to it": trained(training=None),
    "what belongs to federations without their operation": trained(operations=("aggregate.sum",)),
    "a table besides": trained(operations=("aggregate.sum", "train.horizontal.logistic_regression")),
    "no rounds": trained(rounds=0),
}


@pytest.mark.parametrize("name", SENSELESS)
def test_a_request_that_contradicts_itself_is_refused(name: str) -> None:
    decision = decide(SENSELESS[name])
    assert RefusalReason.RULE_ERROR in {reason.code for reason in decision.reasons}


def test_the_bureaus_threshold_holds_where_the_agreement_says_none() -> None:
    text = edited("min_entities: 10, ", "", EXACT)
    assert decide(with_training(min_entities=5), text).is_permitted
    assert only(decide(with_training(min_entities=4), text)).allowed == ("5",)


# --- several agreements -----------------------------------------------------------------------------------------------


def test_of_several_agreements_the_strictest_holds() -> None:
    other = replace(agreement(MORE), id="agr-other")
    reasons = decide(trained(), EXACT, other).reasons
    assert [(reason.rule.agreement, reason.allowed) for reason in reasons if reason.rule] == [("agr-other", ("5",))]
    many = decide(with_training(quorum=5), EXACT, other)
    assert many.is_permitted
    assert many.disclosure is not None
    assert many.disclosure.min_contributors == 5


def test_beside_a_private_agreement_an_exact_one_asks_for_noise_too() -> None:
    other = replace(agreement(PRIVATE), id="agr-other")
    assert decide(with_training(privacy=BUDGET), EXACT, other).is_permitted
    assert only(decide(trained(), EXACT, other)).rule.agreement == "agr-other"  # type: ignore[union-attr]


def test_agreements_with_different_bounds_permit_no_bounds() -> None:
    other = replace(agreement(edited("[0, 5000000]", "[0, 9]", EXACT)), id="agr-other")
    for bounds in (BOUNDS, ("0", "9")):
        assert not decide(with_feature(bounds=bounds), EXACT, other).is_permitted


def test_an_agreement_that_says_no_bounds_means_the_catalogues_whatever_another_says() -> None:
    silent = replace(agreement(edited(" bounds: [0, 5000000],", "", EXACT)), id="agr-other")
    assert decide(with_feature(bounds=BOUNDS), EXACT).is_permitted
    refused = decide(with_feature(bounds=BOUNDS), EXACT, silent)
    assert only(refused).rule.agreement == "agr-other"  # type: ignore[union-attr]


def test_the_larger_number_of_contributors_is_the_stricter_rule() -> None:
    one, other = DisclosureRules(min_contributors=7), DisclosureRules()
    assert strictest(one, other).min_contributors == strictest(other, one).min_contributors == 7


# --- terms ------------------------------------------------------------------------------------------------------------


def test_the_number_of_contributors_is_a_term() -> None:
    found = agreement(MORE)
    assert found.disclosure.min_contributors == 5
    assert agreement(EXACT).disclosure.min_contributors == 3
    assert to_json(found)["disclosure"]["min_contributors"] == 5  # type: ignore[index,call-overload]
    assert parse_agreement(to_yaml(found).encode()) == found


@pytest.mark.parametrize("number", ["2", "0", "-3", "65", '"3"'])
def test_fewer_than_three_contributors_are_no_term(number: str) -> None:
    text = edited("disclosure: {", f"disclosure: {{min_contributors: {number}, ", EXACT)
    (problem,) = read_agreement(text.encode()).problems
    assert (problem.path, problem.message) == (
        "disclosure.min_contributors",
        "expected a whole number from 3 to 64",
    )


def test_more_contributors_refuse_more() -> None:
    for before, after, effect in ((EXACT, MORE, Effect.REFUSES), (MORE, EXACT, Effect.ALLOWS)):
        (change,) = compare(agreement(before), agreement(after)).changes
        assert (change.path, change.effect) == ("disclosure.min_contributors", effect)


# --- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked", [trained(), with_training(privacy=BUDGET), request()], ids=["exact", "noise", "table"]
)
def test_a_request_survives_json(asked: Request) -> None:
    written = canonical_bytes(request_to_json(asked))
    assert parse_request(parse_canonical(written, max_bytes=10**6)) == asked


@pytest.mark.parametrize("epsilon", [1, "NaN", "1e5", "", None])
def test_a_recorded_amount_is_a_decimal(epsilon: object) -> None:
    value: Any = json.loads(json.dumps(request_to_json(with_training(privacy=BUDGET))))
    value["training"]["privacy"]["epsilon"] = epsilon
    with pytest.raises(InvalidRequestError, match=r"training\.privacy\.epsilon"):
        parse_request(value)
