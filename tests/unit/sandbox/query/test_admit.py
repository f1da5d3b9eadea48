import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from policies.decision import Decision, Outcome, Reason
from policies.disclosure import DisclosureRules
from policies.request import Request
from sandbox.catalog.model import Catalogue, Visibility
from sandbox.operations.registry import measures_of
from sandbox.query.admit import MAX_ROWS, Admitted, Rejection, admit
from sandbox.query.bind import bind
from sandbox.query.separate import separate_conditions
from sandbox.query.sql import parse_sql
from sandbox.query.uses import datasets, operations, uses
from tests.unit.sandbox.query.examples import CATALOGUE, FILINGS, FIRMS, PERMIT, permitted, version
from yingbi.canonical import JsonValue
from yingbi.errors import RefusedError
from yingbi.events.jobs import RefusalReason
from yingbi.events.outputs import DisclosureMode
from yingbi.plan.codec import parse_plan, question_digest
from yingbi.plan.model import Column, Comparison, Condition, JoinKind, Plan, TableQuestion

COUNT = "select count(*) from tax.filings"


def asked(text: str, catalogue: Catalogue = CATALOGUE, decision: Decision = PERMIT) -> Admitted | Rejection:
    return permitted(parse_sql(text), catalogue, decision)


def reasons(answer: Admitted | Rejection) -> tuple[Reason, ...]:
    assert isinstance(answer, Rejection)
    assert answer.reasons
    return answer.reasons


def fit(family: str, target: str, *features: str) -> Plan:
    question: dict[str, JsonValue] = {
        "kind": "regression",
        "source": {"dataset": FILINGS},
        "family": family,
        "target": target,
        "features": list(features),
    }
    return parse_plan({"v": 1, "question": question})


ADMITTED = [
    COUNT,
    "select street, size, late, year, count(*), count(distinct uscc) from tax.filings group by cube (1, 2, 3, 4)",
    "select sum(tax), avg(tax), variance(tax), median(tax), quantile_cont(staff, 0.1), count(filed) from tax.filings",
    "select histogram(tax), count(*) from tax.filings",
    "select bin(tax, 0, 1000.5) b, bin(filed, '2024-01-01') c, count(*) from tax.filings group by b, c",
    "select count(*) from tax.filings where tax >= 100 and tax < 1000.5 and filed < '2025-01-01' and tax is not null",
    "select count(*) from tax.filings where tax > 99.99 and staff <= 9",
    "select count(*) from tax.filings where year = 2024 and year <> 2023 and unbounded < 17 and late",
    "select count(*) from tax.filings where size = 'micro' and street in ('east', 'west')",
    "select founded, sum(tax) from tax.filings t left join market.firms f on t.uscc = f.code group by founded",
]


@pytest.mark.parametrize("text", ADMITTED)
def test_an_ordinary_question_is_admitted(text: str) -> None:
    admitted = asked(text)
    assert isinstance(admitted, Admitted), reasons(admitted)
    asked_for = bind(parse_sql(text), CATALOGUE)
    plan = separate_conditions(asked_for, CATALOGUE)
    assert admitted.plan == plan
    assert admitted.digest == question_digest(plan.question)
    assert admitted.uses == uses(asked_for)
    assert admitted.measures == measures_of(admitted.question)
    assert admitted.rules == PERMIT.disclosure
    assert admitted.terms == PERMIT.terms


def test_an_admitted_question_carries_what_the_engine_needs() -> None:
    admitted = asked("select founded, sum(tax) from tax.filings t join market.firms f on t.uscc = f.code group by 1")
    assert isinstance(admitted, Admitted)
    assert [(item.dataset.name, item.version.version) for item in admitted.datasets] == [(FILINGS, 2), (FIRMS, 5)]
    assert admitted.base.dataset.name == FILINGS
    assert admitted.item(Column(dataset=FILINGS, name="tax")).decimals == 2
    assert admitted.operations == ("aggregate.sum",)


REJECTED = {
    "a unit as dimension": ("select uscc, count(*) from tax.filings group by uscc", "group_by[0]", "identifies units"),
    "a filter on the unit": ("select count(*) from tax.filings where uscc is null", "where[0]", "identifies units"),
    "a count of identifiers": ("select count(uscc) from tax.filings", "aggregates[0]", "identifies units"),
    "free text as dimension": ("select note, count(*) from tax.filings group by note", "group_by[0]", "is free text"),
    "a count of texts": ("select count(note) from tax.filings", "aggregates[0]", "is free text"),
    "the negative list": ("select phone, count(*) from tax.filings group by phone", "group_by[0]", "negative list"),
    "a filter by the negative list": ("select count(*) from tax.filings where phone = 'x'", "where[0]", "negative"),
    "core data": ("select count(*) from tax.filings where secret", "where[0]", "core data"),
    "core data counted": ("select count(secret) from tax.filings", "aggregates[0]", "core data"),
    "a number as dimension": (
        "select tax, count(*) from tax.filings group by tax",
        "group_by[0]",
        "no declared values",
    ),
    "a confidential integer": (
        "select staff, count(*) from tax.filings group by 1",
        "group_by[0]",
        "no declared values",
    ),
    "a date as dimension": ("select filed, count(*) from tax.filings group by 1", "group_by[0]", "no declared values"),
    "an unbounded integer": ("select unbounded, count(*) from tax.filings group by 1", "group_by[0]", "no declared"),
    "an edge of one's own": (
        "select bin(tax, 0, 99) b, count(*) from tax.filings group by b",
        "group_by[0]",
        "edges that the catalogue declares",
    ),
    "an edge of one's own on public numbers": (
        "select bin(year, 2022) b, count(*) from tax.filings group by b",
        "group_by[0]",
        "edges that the catalogue declares",
    ),
    "a sum of codes": ("select sum(size) from tax.filings", "aggregates[0]", "is not a number"),
    "a sum of booleans": ("select sum(late) from tax.filings", "aggregates[0]", "is not a number"),
    "a mean of an indicator": ("select avg(late) from tax.filings", "aggregates[0]", "is not a number"),
    "a median of dates": ("select median(filed) from tax.filings", "aggregates[0]", "is not a number"),
    "a sum without bounds": ("select sum(unbounded) from tax.filings", "aggregates[0]", "no declared bounds"),
    "squares that do not fit": ("select variance(huge) from tax.filings", "aggregates[0]", "bounds too wide"),
    "a sum of a joined number": (
        "select sum(capital) from tax.filings t join market.firms f on t.uscc = f.code",
        "aggregates[0]",
        "of a joined data set",
    ),
    "a fraction between": (
        "select quantile_cont(tax, 0.3) from tax.filings",
        "aggregates[0]",
        "quantiles at 0.1, 0.25, 0.5, 0.75, 0.9",
    ),
    "a value of a confidential number": ("select count(*) from tax.filings where tax = 100", "where[0]", "by a range"),
    "values of a confidential number": (
        "select count(*) from tax.filings where tax in (0, 100)",
        "where[0]",
        "by a range",
    ),
    "a confidential number except": ("select count(*) from tax.filings where tax <> 100", "where[0]", "by a range"),
    "a shaved boundary": ("select count(*) from tax.filings where tax >= 101", "where[0]", "declared edges only"),
    "a boundary next to an edge": (
        "select count(*) from tax.filings where tax <= 100",
        "where[0]",
        "declared edges only",
    ),
    "a shaved date": ("select count(*) from tax.filings where filed < '2024-01-02'", "where[0]", "declared edges only"),
    "a shaved filter of an aggregate": (
        "select count(*) filter (where tax < 5) from tax.filings",
        "aggregates[0].where[0]",
        "declared edges only",
    ),
    "another kind of unit": (
        "select count(*) from tax.filings t join police.persons p on t.uscc = p.id",
        "joins[0]",
        "another kind of privacy unit",
    ),
    "several rows a unit": (
        "select count(*) from market.firms f join tax.filings t on t.uscc = f.code",
        "joins[0]",
        "several rows a unit",
    ),
    "a closed data set": ("select count(*) from justice.files", "source", "is not open"),
    "a closed data set joined": (
        "select count(*) from tax.filings join justice.files using (uscc)",
        "joins[0]",
        "not open",
    ),
}


@pytest.mark.parametrize(("text", "clause", "message"), REJECTED.values(), ids=REJECTED)
def test_what_has_no_role_is_rejected_with_its_clause(text: str, clause: str, message: str) -> None:
    found = reasons(asked(text))
    assert any(reason.clause == clause and message in reason.message for reason in found), found


def test_a_rejection_says_what_would_be_allowed() -> None:
    (reason,) = reasons(asked("select count(*) from tax.filings where tax >= 101"))
    assert reason.code is RefusalReason.PARAMETER_NOT_ALLOWED
    assert (reason.dataset, reason.column, reason.allowed) == (FILINGS, "tax", ("0", "100", "1000.5"))


def with_wide_codes(values: int) -> Catalogue:
    """Return the catalogue, with so many values in two codes."""
    items = {item.name: item for item in CATALOGUE.datasets[FILINGS].items}
    domain = tuple(f"v{number}" for number in range(values))
    grown = [replace(items[name], domain=domain) for name in ("street", "size")]
    others = [item for name, item in items.items() if name not in ("street", "size")]
    dataset = replace(CATALOGUE.datasets[FILINGS], items=(*others, *grown))
    return replace(CATALOGUE, datasets={FILINGS: dataset})


def test_a_table_with_too_many_cells_is_rejected() -> None:
    text = "select street, size, count(*) from tax.filings group by 1, 2"
    assert isinstance(asked(text, with_wide_codes(999)), Admitted)
    (reason,) = reasons(asked(text, with_wide_codes(1000)))
    assert "more than 1000000 cells" in reason.message
    assert reasons(asked(text.replace("1, 2", "cube (1, 2)"), with_wide_codes(999)))


def test_a_regression_with_too_many_parameters_is_rejected() -> None:
    plan = fit("linear", "tax", "street", "staff", "late")
    assert isinstance(permitted(plan, with_wide_codes(255)), Admitted)
    (reason,) = reasons(permitted(plan, with_wide_codes(256)))
    assert (reason.clause, "more than 256 parameters" in reason.message) == ("features", True)


def test_every_reason_is_given() -> None:
    found = reasons(asked("select uscc, sum(late) from tax.filings where tax = 1 group by uscc"))
    assert {reason.clause for reason in found} == {"group_by[0]", "aggregates[0]", "where[0]"}


@pytest.mark.parametrize(
    ("family", "target", "features"),
    [("linear", "tax", ("staff", "size", "late")), ("logistic", "late", ("tax", "street"))],
)
def test_a_regression_is_admitted(family: str, target: str, features: tuple[str, ...]) -> None:
    assert isinstance(permitted(fit(family, target, *features), CATALOGUE), Admitted)


REGRESSIONS = {
    "a linear model of a boolean": (fit("linear", "late", "staff"), "target"),
    "a logistic model of a number": (fit("logistic", "tax", "staff"), "target"),
    "a date as feature": (fit("linear", "tax", "filed"), "features[0]"),
    "the unit as feature": (fit("linear", "tax", "uscc"), "features[0]"),
    "text as feature": (fit("linear", "tax", "note"), "features[0]"),
    "a feature without bounds": (fit("linear", "tax", "unbounded"), "features[0]"),
    "a feature too wide": (fit("linear", "tax", "huge"), "features[0]"),
    "a feature on the negative list": (fit("linear", "tax", "phone"), "features[0]"),
}


@pytest.mark.parametrize(("plan", "clause"), REGRESSIONS.values(), ids=REGRESSIONS)
def test_a_regression_without_roles_is_rejected(plan: Plan, clause: str) -> None:
    assert clause in {reason.clause for reason in reasons(permitted(plan, CATALOGUE))}


def test_a_target_of_a_joined_data_set_is_rejected() -> None:
    plan = parse_plan(
        {
            "v": 1,
            "question": {
                "kind": "regression",
                "source": {"dataset": FILINGS, "joins": [{"dataset": FIRMS, "kind": "inner"}]},
                "family": "linear",
                "target": "capital",
                "features": ["staff"],
            },
        }
    )
    assert {reason.clause for reason in reasons(permitted(plan, CATALOGUE))} == {"target"}


REFUSED = Reason(code=RefusalReason.FROZEN, rule=None, message="frozen")
DECISIONS: dict[str, Decision] = {
    "a refusal": Decision(outcome=Outcome.REFUSE, determining=(), reasons=(REFUSED,)),
    "a refusal without reason": Decision(outcome=Outcome.REFUSE, determining=()),
    "a refusal that looks like a permit": replace(PERMIT, outcome=Outcome.REFUSE),
    "a permit without rules": replace(PERMIT, disclosure=None),
    "a permit of private mode": replace(PERMIT, disclosure=DisclosureRules(mode=DisclosureMode.PRIVATE)),
    "a permit of no agreement": replace(PERMIT, terms=()),
}


@pytest.mark.parametrize("decision", DECISIONS.values(), ids=DECISIONS)
def test_nothing_is_admitted_without_a_permit(decision: Decision) -> None:
    found = reasons(asked(COUNT, decision=decision))
    assert not decision.reasons or found == decision.reasons


def test_a_version_beyond_what_sums_are_proved_for_is_rejected() -> None:
    for rows, expected in ((MAX_ROWS, Admitted), (MAX_ROWS + 1, Rejection), (-1, Rejection)):
        catalogue = replace(CATALOGUE, versions={(FILINGS, 1): version(FILINGS, 1, rows)})
        assert isinstance(asked(COUNT, catalogue), expected)


def test_rejections_do_not_depend_on_how_many_rows_there_are() -> None:
    texts = [COUNT, *ADMITTED[:-1], *(text for text, _, _ in REJECTED.values() if "join" not in text)]
    few = replace(CATALOGUE, versions={**CATALOGUE.versions, (FILINGS, 2): version(FILINGS, 2, 0)})
    for text in texts:
        one, other = asked(text), asked(text, few)
        assert getattr(one, "reasons", ()) == getattr(other, "reasons", ())


@pytest.mark.parametrize("seal", [None, True, object(), "seal"])
def test_nobody_else_admits(seal: Any) -> None:
    admitted = asked(COUNT)
    assert isinstance(admitted, Admitted)
    with pytest.raises(RefusedError, match="only admission admits"):
        replace(admitted, rules=DisclosureRules(min_units=1), seal=seal)
    with pytest.raises((TypeError, ValueError)):
        replace(admitted, rules=DisclosureRules(min_units=1))  # type: ignore[call-arg]


PERMITS_OF_OTHERS = {
    "another column": "select sum(staff) from tax.filings",
    "another function": "select avg(tax) from tax.filings",
    "another filter": "select sum(tax) from tax.filings where street = 'east'",
    "another data set": "select count(*) from market.firms",
}


@pytest.mark.parametrize("name", PERMITS_OF_OTHERS)
def test_a_permit_for_another_question_is_none(name: str) -> None:
    """SECURITY: who holds a permit for one question may not run another one on it."""
    plan = parse_sql("select sum(tax) from tax.filings")
    other = bind(parse_sql(PERMITS_OF_OTHERS[name]), CATALOGUE)
    about = Request(
        assignee="partner:bank-a",
        purpose="research.aggregate",
        operations=operations(other),
        datasets=datasets(other),
        uses=uses(other),
        place="node:futian",
    )
    for request in (about, None):
        answer = admit(plan, CATALOGUE, replace(PERMIT, request=request))
        assert isinstance(answer, Rejection)
        assert "this very question" in answer.reasons[0].message


def test_a_condition_on_a_confidential_column_is_one_of_the_measure() -> None:
    """Both spellings are one question; a condition on a public column stays with the set of rows."""
    one = asked("select sum(tax) from tax.filings where late and street = 'east'")
    other = asked("select sum(tax) filter (where late) from tax.filings where street = 'east'")
    assert isinstance(one, Admitted)
    assert isinstance(other, Admitted)
    assert one.digest == other.digest
    assert isinstance(one.question, TableQuestion)
    assert [condition.column.name for condition in one.question.where] == ["street"]
    assert [condition.column.name for condition in one.question.aggregates[0].where] == ["late"]


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps])
def test_what_was_admitted_is_not_copied(make: Callable[[Admitted], object]) -> None:
    admitted = asked(COUNT)
    assert isinstance(admitted, Admitted)
    with pytest.raises(RefusedError):
        make(admitted)
    with pytest.raises(RefusedError):
        object.__new__(Admitted).__setstate__([])


# --- what would tell who is in a set ----------------------------------------------------------------------------------

SECRET_FIRMS = replace(
    CATALOGUE,
    datasets={**CATALOGUE.datasets, FIRMS: replace(CATALOGUE.datasets[FIRMS], membership=Visibility.CONFIDENTIAL)},
)
PUBLIC_FILINGS = replace(
    CATALOGUE.datasets[FILINGS],
    membership=Visibility.PUBLIC,
    items=tuple(
        replace(item, bounds=(Decimal(0), Decimal(9))) if item.name == "unbounded" else item
        for item in CATALOGUE.datasets[FILINGS].items
    ),
)
WEIGHED = replace(SECRET_FIRMS, datasets={**SECRET_FIRMS.datasets, FILINGS: PUBLIC_FILINGS})
LEFT = "from tax.filings t left join market.firms f on t.uscc = f.code"
INNER = "from tax.filings t join market.firms f on t.uscc = f.code"


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        (f"select founded, count(*) {LEFT} group by founded", "group_by[0]"),
        (f"select count(*) {LEFT} where f.founded is not null", "where[0]"),
        (f"select count(*) filter (where f.founded >= 2000) {LEFT}", "aggregates[0].where[0]"),
    ],
)
def test_a_public_column_of_a_list_that_is_left_joined_is_rejected(text: str, clause: str) -> None:
    (reason,) = reasons(asked(text, SECRET_FIRMS))
    assert (reason.clause, reason.column) == (clause, "founded")
    assert "would tell who is in" in reason.message
    assert isinstance(asked(text), Admitted), "everybody knows who is in it"
    assert isinstance(asked(text.replace("left join", "join"), SECRET_FIRMS), Admitted)


@pytest.mark.parametrize("function", ["sum", "avg", "variance", "stddev", "median"])
@pytest.mark.parametrize(
    "rest",
    [
        "from tax.filings where late",
        "from tax.filings where tax >= 100",
        ", late from tax.filings group by late",
        ", bin(tax, 0, 100) b from tax.filings group by b",
        INNER,
    ],
)
def test_a_figure_of_a_public_number_over_a_confidential_set_is_rejected(function: str, rest: str) -> None:
    (reason,) = reasons(asked(f"select {function}(unbounded) {rest}", WEIGHED))
    assert (reason.clause, reason.column) == ("aggregates[0]", "unbounded")


@pytest.mark.parametrize(
    "text",
    [
        "select sum(unbounded) from tax.filings where year = 2024",
        "select street, avg(unbounded) from tax.filings group by street",
        "select count(unbounded) from tax.filings where late",
        "select sum(tax) from tax.filings where late",
        f"select sum(unbounded) {LEFT}",
    ],
)
def test_a_figure_of_a_public_number_over_a_public_set_is_admitted(text: str) -> None:
    assert isinstance(asked(text, WEIGHED), Admitted)


def test_being_on_a_list_is_a_condition_of_the_aggregate() -> None:
    admitted = asked(f"select late, count(*), sum(tax) {INNER} group by late", WEIGHED)
    assert isinstance(admitted, Admitted)
    question = admitted.question
    assert isinstance(question, TableQuestion)
    assert [join.kind for join in question.source.joins] == [JoinKind.LEFT]
    marker = Condition(column=Column(dataset=FIRMS, name="capital"), comparison=Comparison.NOT_NULL)
    assert [aggregate.where for aggregate in question.aggregates] == [(marker,), (marker,)]


@pytest.mark.parametrize(
    ("text", "catalogue"),
    [
        (f"select count(*) {INNER}", CATALOGUE),
        (f"select count(*) {INNER}", SECRET_FIRMS),
        (f"select founded, count(*) {INNER} group by founded", WEIGHED),
        (f"select count(*) {INNER} where founded >= 2000", WEIGHED),
        (f"select bin(capital, 5), count(*) {INNER} group by 1", WEIGHED),
    ],
)
def test_a_join_stays_one_where_the_list_is_public_or_makes_cells_or_the_base_is_secret(
    text: str, catalogue: Catalogue
) -> None:
    admitted = asked(text, catalogue)
    assert isinstance(admitted, Admitted)
    assert [join.kind for join in admitted.question.source.joins] == [JoinKind.INNER]
