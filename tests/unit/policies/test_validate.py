"""Validation: what contradicts the catalogue, the bureau's rules or itself, each with its line and column."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from policies.parse import read_agreement
from policies.problems import AgreementError, AgreementProblem
from policies.validate import Surroundings, check_agreement, require_valid
from tests.unit.policies.examples import DATASET, INSIDE, TEXT, agreement, catalogue, column, edited
from yingbi.errors import ErrorCode
from yingbi.events.fields import Grade, Openness, PrivacyUnit

AROUND = Surroundings(
    catalogue=catalogue(),
    datasets=frozenset({DATASET, "power/usage"}),
    operations=frozenset({"aggregate.sum", "psi", "train.vertical_logistic", "score", "model.linear_regression"}),
    licensed_intermediaries=frozenset({"partner:credit-bureau-1"}),
    at=INSIDE,
)


def check(text: str = TEXT, **around: Any) -> tuple[AgreementProblem, ...]:
    reading = read_agreement(text.encode())
    assert reading.agreement is not None, reading.problems
    return check_agreement(reading.agreement, replace(AROUND, **around), marks=reading.marks)


def test_the_example_is_valid() -> None:
    assert check() == ()
    require_valid(agreement(), AROUND)


WRONG = {
    "unknown data set": ("tax/annual_filings:", "tax/annual_filing:", 11, 3, "is not in the catalogue"),
    "unknown column": ("tax_paid:", "tax_pay:", 17, 7, "is not in the catalogue"),
    "privacy unit": ("privacy_unit: uscc", "privacy_unit: year", 12, 5, "identifies whom"),
    "identity filtered": ("uscc: [join]", "uscc: [join, group]", 14, 7, "may not be granted for group"),
    "identity aggregated": ("uscc: [join]", "uscc: [join, aggregate]", 14, 7, "units may be counted"),
    "unknown function": ("[sum, mean]", "[sum, men]", 17, 61, "is not known"),
    "functions without use": ("[aggregate, train]", "[train]", 17, 33, "functions without"),
    "values without use": ("[filter, group]", "[group]", 15, 29, "values without"),
    "filter without values": (", values: [2024, 2025]", "", 15, 7, "no literal is listed"),
    "literal outside the domain": (
        "industry: [group, train]",
        "industry: {uses: [filter], values: [C26, C99]}",
        16,
        48,
        "is not one that",
    ),
    "bounds of a code": (
        "industry: [group, train]",
        "industry: {uses: [group], bounds: [0, 1]}",
        16,
        33,
        "for numbers",
    ),
    "unknown operation": ("psi, ", "psy, ", 18, 25, "operation `psy` is not known"),
    "threshold": ("min_entities: 10", "min_entities: 4", 19, 14, "at least 5"),
    "dominance": ('share: "0.85"', 'share: "0.95"', 19, 32, "at most 0.9"),
    "p percent": ("p_percent: 10", "p_percent: 5", 19, 68, "at least 10"),
    "same duty twice": ("[unit-cdo, bureau-approver]", "[unit-cdo, unit-cdo]", 22, 35, "stands here twice"),
    "duty that does not approve": ("bureau-approver", "audit-admin", 22, 35, "does not approve"),
    "nobody of the unit": ("[unit-cdo, bureau-approver]", "[partner-key-officer]", 22, 13, "nobody signs"),
    "jobs a day": ("jobs_per_day: 50", "jobs_per_day: 501", 21, 21, "as many jobs a day"),
    "no jobs": ("jobs: 500", "jobs: 0", 21, 1, "at least one job"),
    "no intermediary": ("intermediary: partner:credit-bureau-1\n", "", 5, 1, "needs a licensed credit bureau"),
    "unlicensed intermediary": ("credit-bureau-1", "friend-1", 5, 1, "not a licensed"),
    "no reference": ('{kind: consent, reference: "授权书 2026-17"}', "consent", 7, 1, "no reference"),
    "over": ("from: 2026-11-01, until: 2027-01-31", "from: 2026-10-01, until: 2026-11-01", 8, 27, "is over already"),
    "zone": ("node:futian-tax", "unit:futian-tax-2", 9, 17, "expected a node"),
    "own partner": ("partner:bank-a", "unit:futian-tax", 4, 1, "another party"),
    "assigner": ("assigner: unit:futian-tax", "assigner: partner:bank-z", 3, 1, "expected a source unit"),
    "not the assigner's": ("assigner: unit:futian-tax", "assigner: unit:futian-power", 11, 3, "is not the assigner's"),
    "prohibition with a typing error": (
        "on_revocation",
        "prohibitions: [{dataset: tax/anual_filings}]\non_revocation",
        23,
        17,
        "does not grant",
    ),
    "prohibition of no column": (
        "on_revocation",
        "prohibitions: [{column: tax_payd}]\non_revocation",
        23,
        17,
        "is not there",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_contradiction_is_found_where_it_stands(name: str) -> None:
    old, new, line, column_, message = WRONG[name]
    found = [(item.line, item.column, item.message) for item in check(edited(old, new))]
    assert any(row[:2] == (line, column_) and message in row[2] for row in found), found


def test_private_mode_needs_a_budget() -> None:
    text = edited("mode: exact", "mode: private", edited("[aggregate, psi, train.vertical_logistic, score]", "[train]"))
    assert check(text) == ()
    (found,) = check(edited('privacy: {epsilon: "4.0", delta: "1e-6"}\n', "", text))
    assert "needs a budget" in found.message


def test_private_mode_is_for_training_only() -> None:
    text = edited("mode: exact", "mode: private")
    found = {item.path: item.message for item in check(text)}
    assert set(found) == {"operations[0]", "operations[1]", "operations[3]"}
    assert "`aggregate` has no noisy form" in found["operations[0]"]


def test_values_may_be_edges_of_a_training() -> None:
    text = edited("uses: [aggregate, train],", 'uses: [aggregate, train], values: ["100", "200"],')
    assert check(text) == ()
    text = edited("uses: [aggregate, train],", 'uses: [aggregate], values: ["100"],')
    assert ["grant nothing" in item.message for item in check(text)] == [True]


def test_hints_name_what_was_meant() -> None:
    hints = [item.hint for item in check(edited("tax/annual_filings:", "tax/annual_filing:"))]
    assert "did you mean `tax/annual_filings`" in hints
    assert check(edited("tax_paid:", "tax_pay:"))[0].hint == "did you mean `tax_paid`"


CATALOGUES: dict[str, tuple[dict[str, Any], dict[str, Any], str | None]] = {
    "negative list": ({"tax_paid": column(on_negative_list=True, type="decimal")}, {}, "negative list"),
    "core": ({"tax_paid": column(grade=Grade.CORE, type="decimal")}, {}, "may not be granted"),
    "not open": ({}, {"openness": Openness.NOT_OPEN}, "never negotiable"),
    "persons": ({}, {"privacy_unit": PrivacyUnit.PERSON}, None),
}


@pytest.mark.parametrize("name", CATALOGUES)
def test_the_catalogue_decides(name: str) -> None:
    columns, changes, message = CATALOGUES[name]
    found = [item.message for item in check(catalogue=catalogue(columns, **changes))]
    assert [message in text for text in found] == [True] if message else found == []


def test_personal_and_important_data_need_two_signatures() -> None:
    one = edited("[unit-cdo, bureau-approver]", "[unit-cdo, partner-key-officer]")
    assert check(one) == ()
    for around in (
        catalogue(privacy_unit=PrivacyUnit.PERSON),
        catalogue({"tax_paid": column(grade=Grade.IMPORTANT, type="decimal")}),
    ):
        assert ["two signatures" in item.message for item in check(one, catalogue=around)] == [True]


def test_persons_have_the_higher_threshold() -> None:
    text = edited("min_entities: 10", "min_entities: 9")
    assert check(text) == ()
    (found,) = check(text, catalogue=catalogue(privacy_unit=PrivacyUnit.PERSON))
    assert "at least 10" in found.message


def test_everything_wrong_is_told_at_once_and_raised_as_one_error() -> None:
    text = edited("min_entities: 10", "min_entities: 1", edited("tax_paid:", "tax_pay:"))
    assert len(check(text)) == 2
    with pytest.raises(AgreementError) as caught:
        require_valid(agreement(text), replace(AROUND, at=datetime(2028, 1, 1, tzinfo=UTC)))
    assert caught.value.code is ErrorCode.AGREEMENT_INVALID
    assert len(caught.value.problems) == 3


def test_a_literal_that_is_wrong_is_not_repeated() -> None:
    text = edited("industry: [group, train]", "industry: {uses: [filter], values: [canary-4711]}")
    assert "canary" not in repr(check(text))
