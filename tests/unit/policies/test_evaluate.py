"""The decision: what permits, what refuses, with which reason and which smallest extra grant; several agreements."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from policies.bureau import BureauRules
from policies.compiled import compile_agreement
from policies.decision import Decision, Grant, Outcome, Rule
from policies.evaluate import evaluate
from policies.grants import apply_grant
from policies.model import Agreement, Prohibition
from policies.request import Consumption, Use
from tests.unit.policies.examples import (
    DATASET,
    TEXT,
    USES,
    agreement,
    catalogue,
    column,
    context,
    edited,
    request,
    use,
)
from yingbi.events.fields import Duty, Grade, Openness, PrivacyUnit
from yingbi.events.jobs import RefusalReason as Code

ID = "agr-tax-credit-2026-01"


def decide(*agreements: Agreement, asked: dict[str, Any] | None = None, **around: Any) -> Decision:
    return evaluate(agreements or (agreement(),), request(**(asked or {})), context(**around))


def codes(decision: Decision) -> list[Code]:
    assert decision.outcome is Outcome.REFUSE
    return [reason.code for reason in decision.reasons]


def test_the_example_is_permitted_and_says_by_which_rules() -> None:
    decision = decide()
    assert decision.is_permitted
    assert [rule.path for rule in decision.determining] == [
        f"datasets.{DATASET}",
        f"datasets.{DATASET}.columns.year",
        f"datasets.{DATASET}.columns.industry",
        f"datasets.{DATASET}.columns.tax_paid",
    ]
    assert (decision.job_duties, decision.output_duties) == ((), ())
    assert decision.disclosure is not None
    assert (decision.disclosure.min_units, str(decision.disclosure.dominance_share)) == (10, "0.85")
    assert decision.terms == (compile_agreement(agreement()).terms,)
    assert decision.request == request()


def test_a_decision_has_no_truth_value() -> None:
    with pytest.raises(TypeError, match="no truth value"):
        bool(decide())


SCOPES: dict[str, tuple[dict[str, Any], dict[str, Any], Code]] = {
    "other assignee": ({"assignee": "partner:bank-b"}, {}, Code.SUBJECT_NOT_GRANTED),
    "other purpose": ({"purpose": "credit.sme"}, {}, Code.PURPOSE_NOT_GRANTED),
    "other place": ({"place": "node:other"}, {}, Code.PLACE_NOT_GRANTED),
    "too early": ({}, {"at": datetime(2026, 10, 31, 15, 59, 59, 999999, tzinfo=UTC)}, Code.TIME_NOT_GRANTED),
    "too late": ({}, {"at": datetime(2027, 1, 31, 16, tzinfo=UTC)}, Code.TIME_NOT_GRANTED),
    "no operation": ({"operations": ()}, {}, Code.RULE_ERROR),
    "no data set": ({"datasets": (), "uses": ()}, {}, Code.RULE_ERROR),
    "negative rounds": ({"rounds": -5}, {}, Code.RULE_ERROR),
    "use of an unnamed data set": ({"uses": (replace(USES[0], dataset="power/usage"),)}, {}, Code.RULE_ERROR),
    "other operation": ({"operations": ("aggregate.sum", "read.rows")}, {}, Code.OPERATION_NOT_GRANTED),
    "like a granted operation": ({"operations": ("aggregates",)}, {}, Code.OPERATION_NOT_GRANTED),
    "family of a granted operation": ({"operations": ("train",)}, {}, Code.OPERATION_NOT_GRANTED),
    "no intermediary": ({"intermediary": None}, {}, Code.INTERMEDIARY_MISSING),
    "unlicensed intermediary": ({}, {"licensed_intermediaries": frozenset()}, Code.INTERMEDIARY_MISSING),
    "jobs used up": ({}, {"consumption": {ID: Consumption(jobs=500)}}, Code.LIMIT_REACHED),
    "jobs of the day used up": ({}, {"consumption": {ID: Consumption(jobs_today=50)}}, Code.LIMIT_REACHED),
    "rounds used up": ({"rounds": 2}, {"consumption": {ID: Consumption(rounds=99)}}, Code.LIMIT_REACHED),
    "frozen partner": ({}, {"frozen": frozenset({"partner:bank-a"})}, Code.FROZEN),
    "frozen agreement": ({}, {"frozen": frozenset({ID})}, Code.FROZEN),
    "frozen data set": ({}, {"frozen": frozenset({DATASET})}, Code.FROZEN),
    "frozen intermediary": ({}, {"frozen": frozenset({"partner:credit-bureau-1"})}, Code.FROZEN),
    "frozen unit": ({}, {"frozen": frozenset({"unit:futian-tax"})}, Code.FROZEN),
    "frozen node": ({}, {"frozen": frozenset({"node:futian-tax"})}, Code.FROZEN),
    "not in the catalogue": ({}, {"catalogue": type(catalogue())({})}, Code.DATASET_NOT_GRANTED),
    "not open": ({}, {"catalogue": catalogue(openness=Openness.NOT_OPEN)}, Code.DATASET_NOT_GRANTED),
    "negative list": ({}, {"catalogue": catalogue({"year": column(on_negative_list=True)})}, Code.NEGATIVE_LIST),
    "core": ({}, {"catalogue": catalogue({"year": column(grade=Grade.CORE)})}, Code.GRADE_TOO_HIGH),
    "core although the bureau says core": (
        {},
        {
            "catalogue": catalogue({"year": column(grade=Grade.CORE)}),
            "bureau": BureauRules(max_grade=Grade.CORE),
        },
        Code.GRADE_TOO_HIGH,
    ),
    "over the bureau's grade": ({}, {"bureau": BureauRules(max_grade=Grade.GENERAL_2)}, Code.GRADE_TOO_HIGH),
    "unknown column": ({"uses": (use("nothing", Use.GROUP),)}, {}, Code.COLUMN_NOT_GRANTED),
    "identity filtered": ({"uses": (use("uscc", Use.FILTER, values=("x",)),)}, {}, Code.PARAMETER_NOT_ALLOWED),
    "identity grouped": ({"uses": (use("uscc", Use.GROUP),)}, {}, Code.PARAMETER_NOT_ALLOWED),
    "naive time": ({}, {"at": datetime(2026, 12, 1)}, Code.RULE_ERROR),  # noqa: DTZ001 - what must fail closed
}


@pytest.mark.parametrize("name", SCOPES)
def test_what_does_not_hold_refuses(name: str) -> None:
    asked, around, code = SCOPES[name]
    assert code in codes(decide(asked=asked, **around))


def test_at_both_ends_of_its_period_an_agreement_is_valid() -> None:
    for at in (agreement().valid.starts_at, agreement().valid.ends_at):
        assert decide(at=at).is_permitted
    assert not decide(at=agreement().valid.ends_at + timedelta(microseconds=1)).is_permitted


def test_no_agreement_is_a_refusal() -> None:
    assert codes(evaluate((), request(), context())) == [Code.AGREEMENT_NOT_ACTIVE]


def test_the_identity_is_never_filtered_even_where_an_agreement_grants_it() -> None:
    terms = agreement(edited("uscc: [join]", "uscc: {uses: [join, filter, group, aggregate], values: [x]}"))
    for kind in (Use.FILTER, Use.GROUP, Use.TRAIN, Use.AGGREGATE):
        asked: dict[str, Any] = {
            "uses": (use("uscc", kind, values=("x",) if kind is Use.FILTER else (), function="count_values"),)
        }
        assert Code.PARAMETER_NOT_ALLOWED in codes(decide(terms, asked=asked))
    asked = {"uses": (use("uscc", Use.AGGREGATE, function="count_units"), use("uscc", Use.JOIN))}
    assert decide(terms, asked=asked).is_permitted


def test_the_negative_list_wins_over_every_grant_and_offers_none() -> None:
    decision = decide(catalogue=catalogue({"tax_paid": column(on_negative_list=True)}))
    (reason,) = decision.reasons
    assert (reason.code, reason.grant, reason.column) == (Code.NEGATIVE_LIST, None, "tax_paid")
    assert reason.rule is not None
    assert reason.rule.agreement == "bureau"


MISSING: dict[str, tuple[Any, Grant, tuple[str, ...]]] = {
    "use of a granted column": (
        use("industry", Use.AGGREGATE, "aggregates[0]", function="count_values"),
        Grant(agreement=ID, dataset=DATASET, column="industry", use=Use.AGGREGATE, function="count_values"),
        ("group", "train"),
    ),
    "column": (
        use("note", Use.GROUP, "group_by[1]"),
        Grant(agreement=ID, dataset=DATASET, column="note", use=Use.GROUP),
        (),
    ),
    "function": (
        use("tax_paid", Use.AGGREGATE, "aggregates[2]", function="variance"),
        Grant(agreement=ID, dataset=DATASET, column="tax_paid", use=Use.AGGREGATE, function="variance"),
        ("mean", "sum"),
    ),
    "literal": (
        use("year", Use.FILTER, "where[0]", values=("2025", "2019")),
        Grant(agreement=ID, dataset=DATASET, column="year", use=Use.FILTER, values=("2019",)),
        ("2024", "2025"),
    ),
    "filter with a literal": (
        use("industry", Use.FILTER, "where[3]", values=("C26",)),
        Grant(agreement=ID, dataset=DATASET, column="industry", use=Use.FILTER, values=("C26",)),
        ("group", "train"),
    ),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_refusal_names_clause_column_use_and_the_smallest_extra_grant_which_lifts_it(name: str) -> None:
    wanted, grant, allowed = MISSING[name]
    decision = decide(asked={"uses": (*USES, wanted)})
    (reason,) = decision.reasons
    assert (reason.clause, reason.dataset, reason.column) == (wanted.clause, DATASET, wanted.column)
    assert (reason.missing, reason.grant, reason.allowed) == (wanted.use, grant, allowed)
    more = apply_grant(agreement(), grant, catalogue())
    assert decide(more, asked={"uses": (*USES, wanted)}).is_permitted


def test_a_missing_operation_has_its_smallest_extra_grant() -> None:
    asked = {"operations": ("model.linear_regression",)}
    (reason,) = decide(asked=asked).reasons
    assert reason.grant == Grant(agreement=ID, operation="model.linear_regression")
    assert decide(apply_grant(agreement(), reason.grant, catalogue()), asked=asked).is_permitted


def test_null_tests_need_no_literal() -> None:
    assert decide(asked={"uses": (use("year", Use.FILTER, "where[0]"),)}).is_permitted


def test_declared_literals_are_open_where_the_agreement_says_so() -> None:
    text = edited("industry: [group, train]", "industry: [filter]", edited("values: listed", "values: declared"))
    asked = {"uses": (use("industry", Use.FILTER, values=("C26", "F51")),)}
    assert decide(agreement(text), asked=asked).is_permitted
    decision = decide(agreement(text), asked={"uses": (use("industry", Use.FILTER, values=("C99",)),)})
    assert decision.reasons[0].allowed == ("C26", "F51")
    closed = agreement(text.replace("values: declared", "values: listed"))
    assert codes(decide(closed, asked=asked)) == [Code.PARAMETER_NOT_ALLOWED]


PROHIBITIONS: dict[str, tuple[Prohibition, bool]] = {
    "operation": (Prohibition(operation="aggregate.sum"), False),
    "family": (Prohibition(operation="aggregate"), False),
    "part of what is asked": (Prohibition(operation="aggregate.sum.deep"), False),
    "other operation": (Prohibition(operation="score"), True),
    "data set": (Prohibition(dataset=DATASET), False),
    "other data set": (Prohibition(dataset="power/usage"), True),
    "column": (Prohibition(column="tax_paid"), False),
    "column of another data set": (Prohibition(dataset="power/usage", column="tax_paid"), True),
    "use": (Prohibition(use=Use.GROUP), False),
    "other use": (Prohibition(use=Use.TRAIN), True),
    "use of a column": (Prohibition(column="tax_paid", use=Use.TRAIN), True),
    "column in an operation": (Prohibition(column="tax_paid", operation="aggregate"), False),
    "column in another operation": (Prohibition(column="tax_paid", operation="train"), True),
}


@pytest.mark.parametrize("name", PROHIBITIONS)
def test_a_prohibition_denies_what_matches_all_its_members(name: str) -> None:
    prohibition, is_permitted = PROHIBITIONS[name]
    decision = decide(agreement(prohibitions=(prohibition,)))
    assert decision.is_permitted is is_permitted
    assert all(reason.grant is None and reason.rule is not None for reason in decision.reasons)


def test_the_bureau_s_threshold_holds_whatever_an_agreement_says() -> None:
    low = agreement(edited("min_entities: 10", "min_entities: 1"))
    absent = agreement(edited("min_entities: 10, ", ""))
    for terms in (low, absent):
        for unit, floor in ((PrivacyUnit.ENTERPRISE, 5), (PrivacyUnit.PERSON, 10)):
            decision = decide(terms, catalogue=catalogue(privacy_unit=unit))
            assert decision.disclosure is not None
            assert decision.disclosure.min_units == floor
    decision = decide(low, bureau=BureauRules(min_units={PrivacyUnit.ENTERPRISE: 7}))
    assert decision.disclosure is not None
    assert decision.disclosure.min_units == 7


@pytest.mark.parametrize("name", ["year", "tax_paid"])
def test_important_data_needs_people_whatever_an_agreement_says(name: str) -> None:
    """Of the first column as of the last: the others need nobody."""
    decision = decide(catalogue=catalogue({name: column(grade=Grade.IMPORTANT)}))
    assert decision.is_permitted
    assert decision.job_duties == (Duty.BUREAU_REVIEWER,)
    assert decision.output_duties == (Duty.OUTPUT_CHECKER,)


def test_credit_without_an_intermediary_in_the_agreement_is_refused() -> None:
    terms = agreement(intermediary=None)
    assert Code.INTERMEDIARY_MISSING in codes(decide(terms, asked={"intermediary": None}))
    other = {"purpose": "statistics.economy", "intermediary": None}
    assert decide(replace(terms, purpose="statistics.economy"), asked=other).is_permitted


def test_an_intermediary_that_the_agreement_does_not_know_is_refused() -> None:
    terms = agreement(intermediary=None, purpose="statistics")
    asked = {"purpose": "statistics", "intermediary": "partner:stranger"}
    assert codes(decide(terms, asked=asked)) == [Code.SUBJECT_NOT_GRANTED]


# --- several agreements


def second(text: str = TEXT, **changes: Any) -> Agreement:
    return agreement(text, **{"id": "agr-tax-credit-2026-02", **changes})


def test_all_that_apply_must_permit() -> None:
    narrow = second(edited("functions: [sum, mean]", "functions: [mean]"))
    decision = decide(agreement(), narrow)
    (reason,) = decision.reasons
    assert reason.grant is not None
    assert reason.grant.agreement == narrow.id
    assert decide(agreement(), second()).is_permitted


@pytest.mark.parametrize("text", [edited("[group, train]", "[train]"), edited("      industry: [group, train]\n", "")])
def test_a_use_must_be_granted_by_each(text: str) -> None:
    narrow = agreement(text).datasets
    assert codes(decide(agreement(), second(datasets=narrow))) == [Code.COLUMN_NOT_GRANTED]
    assert codes(decide(agreement(datasets=narrow), second())) == [Code.COLUMN_NOT_GRANTED]


def test_a_column_that_is_newly_aggregated_gets_one_function() -> None:
    grant = Grant(agreement=ID, dataset=DATASET, column="industry", use=Use.AGGREGATE, function="count_values")
    found = apply_grant(agreement(), grant, catalogue()).datasets[0].column("industry")
    assert found is not None
    assert (found.uses, found.functions) == ((Use.GROUP, Use.TRAIN, Use.AGGREGATE), ("count_values",))


def test_the_strictest_limit_wins() -> None:
    used = {"agr-tax-credit-2026-02": Consumption(jobs=3)}
    tight = second(limits=replace(agreement().limits, jobs=3))
    assert codes(decide(agreement(), tight, consumption=used)) == [Code.LIMIT_REACHED]
    strict = second(edited("min_entities: 10", "min_entities: 20", edited("job: automatic", "job: reviewed")))
    decision = decide(agreement(), strict)
    assert decision.disclosure is not None
    assert (decision.disclosure.min_units, decision.job_duties) == (20, (Duty.BUREAU_REVIEWER,))
    assert len(decision.terms) == 2


def test_operations_must_be_covered_by_each() -> None:
    narrow = second(operations=("aggregate.sum",))
    assert decide(agreement(), narrow).is_permitted
    assert codes(decide(agreement(), narrow, asked={"operations": ("aggregate.mean",)})) == [Code.OPERATION_NOT_GRANTED]


def test_literals_must_be_allowed_by_each() -> None:
    text = edited("values: [2024, 2025]", "values: [2025]")
    assert decide(agreement(), second(text)).is_permitted
    asked = {"uses": (use("year", Use.FILTER, values=("2024",)),)}
    assert codes(decide(agreement(), second(text), asked=asked)) == [Code.PARAMETER_NOT_ALLOWED]


def test_one_that_is_for_another_purpose_or_time_does_not_apply() -> None:
    other = second(purpose="statistics", operations=("score",))
    over = second(edited("until: 2027-01-31", "until: 2026-11-02"), operations=("score",))
    assert decide(agreement(), other, over).is_permitted


def test_data_sets_of_two_units_need_an_agreement_each() -> None:
    power = agreement(
        edited(
            "      uscc: [join]\n",
            "      uscc: [join]\n      kwh: [aggregate]\n",
            edited("tax/annual_filings", "power/usage"),
        ),
        id="agr-power-1",
        assigner="unit:futian-power",
    )
    kwh = use("kwh", Use.AGGREGATE, "aggregates[1]", function="sum", dataset="power/usage")
    asked = {"datasets": (DATASET, "power/usage"), "uses": (*USES, kwh)}
    assert decide(agreement(), power, asked=asked).is_permitted
    alone = decide(agreement(), asked=asked)
    assert codes(alone) == [Code.DATASET_NOT_GRANTED]
    assert alone.reasons[0].grant == Grant(
        agreement=ID, dataset="power/usage", column="kwh", use=Use.AGGREGATE, function="sum"
    )


@pytest.mark.parametrize(
    ("assigner", "is_permitted"), [("unit:futian-tax", True), ("bureau:futian", True), ("unit:futian-police", False)]
)
def test_who_does_not_own_a_data_set_grants_nothing_of_it(assigner: str, is_permitted: bool) -> None:
    decision = decide(agreement(assigner=assigner))
    assert decision.is_permitted is is_permitted
    if not is_permitted:
        assert codes(decision) == [Code.DATASET_NOT_GRANTED]
        assert decision.reasons[0].rule == Rule(agreement=ID, path=f"datasets.{DATASET}")
        assert "is not the assigner's" in decision.reasons[0].message


def test_an_agreement_of_the_owner_does_not_help_one_of_a_stranger() -> None:
    decision = decide(agreement(), second(assigner="unit:futian-police"))
    assert codes(decision) == [Code.DATASET_NOT_GRANTED]


def test_agreements_of_others_are_not_spoken_of() -> None:
    other = second(assignee="partner:bank-b", datasets=())
    decision = decide(other)
    assert codes(decision) == [Code.SUBJECT_NOT_GRANTED]
    assert other.id not in repr(decision.reasons)


def test_of_a_data_set_that_is_not_granted_nothing_is_told() -> None:
    def reasons(name: str) -> str:
        asked = {"datasets": (DATASET, name), "uses": (*USES, use("secret", Use.GROUP, dataset=name))}
        return repr(decide(asked=asked).reasons).replace(name, "?")

    assert reasons("power/usage") == reasons("power/nothing")


# --- fail closed


class Broken:
    def facts(self, dataset: str) -> Any:
        raise RuntimeError("canary-4711")


def test_an_error_in_a_rule_is_a_refusal_that_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    decision = decide(catalogue=Broken())
    assert codes(decision) == [Code.RULE_ERROR]
    assert "canary" not in repr(decision) + caplog.text
    nonsense: Any = object()
    assert codes(evaluate(nonsense, request(), context())) == [Code.RULE_ERROR]
    assert codes(evaluate([agreement()], nonsense, context())) == [Code.RULE_ERROR]
    assert codes(evaluate([agreement()], request(), nonsense)) == [Code.RULE_ERROR]
