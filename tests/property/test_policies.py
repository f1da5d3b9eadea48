"""Agreements and decisions, whatever they are: monotone, independent of order, never an exception, one text form."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policies.compiled import compile_agreement
from policies.decision import Decision
from policies.disclosure import DisclosureRules, Zeros, strictest
from policies.evaluate import evaluate
from policies.grants import apply_grant
from policies.model import (
    Agreement,
    Approvals,
    ColumnGrant,
    DatasetGrant,
    Disclosure,
    FilterValues,
    JobApproval,
    Legal,
    Limits,
    OutputApproval,
    Privacy,
    Prohibition,
    Validity,
    decimal_text,
)
from policies.parse import parse_agreement, read_agreement, to_yaml
from policies.refusal import find_reasons
from policies.request import ColumnFacts, ColumnUse, Consumption, Context, DatasetFacts, Request, Use
from tests.unit.policies.examples import INSIDE, Facts
from yingbi.events.agreements import LegalBasis
from yingbi.events.fields import Duty, Grade, Openness, PrivacyUnit, RunningJobs
from yingbi.events.jobs import RefusalReason
from yingbi.events.outputs import DisclosureMode

DATASETS: Final = ("t/a", "t/b")
COLUMNS: Final = ("unit_id", "c1", "c2", "bad")
FUNCTIONS: Final = ("sum", "mean", "count_units")
VALUES: Final = ("A", "B", "Z")
OPERATIONS: Final = ("aggregate", "aggregate.sum", "aggregate.mean", "train", "train.logistic", "score")
PURPOSES: Final = ("statistics", "credit.sme")
PARTNERS: Final = ("partner:a", "partner:b")
BUREAU_C: Final = "partner:c"

Draw = Callable[..., Any]


def some(items: tuple[Any, ...], least: int = 0) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(items), min_size=least, unique=True).map(tuple)


def often(items: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """Draw the first one most of the time, so that much is permitted."""
    return st.one_of(st.just(items[0]), st.just(items[0]), st.just(items[0]), st.sampled_from(items))


literals = st.text(
    st.characters(exclude_categories=("C", "Z")) | st.just(" "), min_size=1, max_size=8
) | st.sampled_from(("no", "01", "1e3", "null", "~", "12:30", "2026-11-01", "-", "#", "a: b", "'", '"', "Y", "0x1F"))
decimals = st.decimals(0, 10**6, places=4).map(lambda value: Decimal(decimal_text(value)))


@st.composite
def column_grants(draw: st.DrawFn, name: str) -> ColumnGrant:
    return ColumnGrant(
        name=name,
        uses=draw(some(tuple(Use), 1)),
        functions=draw(st.none() | st.none() | some(FUNCTIONS, 1)),
        values=draw(some(VALUES)),
    )


@st.composite
def agreements(draw: st.DrawFn, name: str = "agr-p-1") -> Agreement:
    datasets = []
    for dataset in sorted(draw(some(DATASETS, 1))):
        columns = [draw(column_grants(column)) for column in sorted(draw(some(COLUMNS)))]
        datasets.append(DatasetGrant(name=dataset, privacy_unit="unit_id", columns=tuple(columns)))
    first = date(2026, 11, 1) + timedelta(days=draw(st.integers(0, 40)))
    optional = st.none() | st.none()
    return Agreement(
        id=name,
        version=draw(st.integers(1, 3)),
        assigner="unit:t",
        assignee=draw(often(PARTNERS)),
        intermediary=draw(often((BUREAU_C, None))),
        purpose=draw(often(PURPOSES)),
        legal_basis=Legal(kind=LegalBasis.STATUTE, reference="x"),
        valid=Validity(first=first, last=first + timedelta(days=draw(st.integers(0, 60)))),
        zones=draw(st.just(("node:t",)) | some(("node:t", "node:u"), 1)),
        datasets=tuple(datasets),
        operations=draw(some(OPERATIONS, 1)),
        prohibitions=tuple(draw(st.lists(prohibitions(), max_size=1))),
        disclosure=draw(disclosures()),
        privacy=draw(optional | st.builds(Privacy, epsilon=st.just(Decimal(3)), delta=st.just(Decimal("0.000001")))),
        limits=Limits(
            jobs=draw(st.integers(1, 4)),
            jobs_per_day=draw(st.integers(1, 4)),
            rounds=draw(st.integers(0, 3)),
            filter_values=draw(st.sampled_from(FilterValues)),
        ),
        approvals=Approvals(
            agreement=draw(some((Duty.UNIT_CDO, Duty.BUREAU_APPROVER), 1)),
            job=draw(st.sampled_from(JobApproval)),
            output=draw(st.sampled_from(OutputApproval)),
        ),
        on_revocation=draw(st.sampled_from(RunningJobs)),
    )


def prohibitions() -> st.SearchStrategy[Prohibition]:
    found = st.builds(
        Prohibition,
        dataset=st.none() | st.sampled_from(DATASETS),
        column=st.none() | st.sampled_from(COLUMNS),
        use=st.none() | st.sampled_from(Use),
        operation=st.none() | st.sampled_from(OPERATIONS),
    )
    return found.filter(lambda item: item != Prohibition())


def disclosures() -> st.SearchStrategy[Disclosure]:
    return st.builds(
        Disclosure,
        min_entities=st.none() | st.integers(1, 30),
        dominance_top=st.integers(1, 4),
        dominance_share=st.sampled_from((Decimal("0.5"), Decimal("0.85"), Decimal(1))),
        p_percent=st.integers(0, 30),
        zeros=st.sampled_from(Zeros),
        rounding=st.integers(1, 10),
        min_degrees_of_freedom=st.integers(1, 30),
        min_contributors=st.integers(3, 64),
        mode=st.sampled_from(DisclosureMode),
    )


@st.composite
def column_uses(draw: st.DrawFn) -> ColumnUse:
    kind = draw(st.sampled_from(Use))
    return ColumnUse(
        dataset=draw(often(DATASETS)),
        column=draw(st.sampled_from(COLUMNS)),
        use=kind,
        clause=f"clause[{draw(st.integers(0, 3))}]",
        function=draw(st.sampled_from(FUNCTIONS)) if kind is Use.AGGREGATE else None,
        values=draw(some(VALUES)) if kind is Use.FILTER else (),
    )


@st.composite
def requests(draw: st.DrawFn) -> Request:
    uses = draw(st.lists(column_uses(), max_size=3))
    datasets = sorted({use.dataset for use in uses} | {draw(often(DATASETS))})
    return Request(
        assignee=draw(often(PARTNERS)),
        purpose=draw(often(PURPOSES)),
        operations=draw(some(OPERATIONS, 1)),
        datasets=tuple(datasets),
        uses=tuple(uses),
        place=draw(often(("node:t", "node:u"))),
        intermediary=draw(often((BUREAU_C, None))),
        rounds=draw(often((0, 1, 2))),
    )


@st.composite
def contexts(draw: st.DrawFn) -> Context:
    columns = {
        name: ColumnFacts(
            grade=draw(often((Grade.GENERAL_2, Grade.IMPORTANT, Grade.CORE))),
            on_negative_list=name == "bad",
            type="code",
            domain=frozenset({"A", "B"}),
        )
        for name in COLUMNS
    }
    facts = {
        name: DatasetFacts(
            owner="unit:t",
            openness=draw(often((Openness.CONDITIONAL, Openness.NOT_OPEN))),
            unit_column="unit_id",
            columns=columns,
            privacy_unit=draw(st.sampled_from(PrivacyUnit)),
        )
        for name in DATASETS
    }
    used = st.builds(Consumption, jobs=st.integers(0, 3), jobs_today=st.integers(0, 3), rounds=st.integers(0, 3))
    return Context(
        at=INSIDE,
        catalogue=Facts(facts),
        consumption=draw(st.dictionaries(st.sampled_from(("agr-p-1", "agr-p-2")), used)),
        licensed_intermediaries=draw(often((frozenset({BUREAU_C}), frozenset()))),
        frozen=draw(often((frozenset(), frozenset({"partner:a"}), frozenset({"t/a"})))),
    )


@st.composite
def fitting(draw: st.DrawFn) -> tuple[Agreement, Request, Context]:
    """Draw a request that the agreement permits: most random ones are refused for several reasons at once."""
    terms = draw(agreements())
    granted = [
        (dataset.name, column, kind)
        for dataset in terms.datasets
        for column in dataset.columns
        if column.name not in ("unit_id", "bad")
        for kind in column.uses
    ]
    uses = []
    for dataset, column, kind in draw(st.lists(st.sampled_from(granted), max_size=4)) if granted else []:
        functions = column.functions or FUNCTIONS
        uses.append(
            ColumnUse(
                dataset=dataset,
                column=column.name,
                use=kind,
                clause="x",
                function=draw(st.sampled_from(functions)) if kind is Use.AGGREGATE else None,
                values=column.values if kind is Use.FILTER else (),
            )
        )
    asked = Request(
        assignee=terms.assignee,
        purpose=terms.purpose,
        operations=terms.operations,
        datasets=tuple(dataset.name for dataset in terms.datasets),
        uses=tuple(uses),
        place=terms.zones[0],
        intermediary=terms.intermediary,
        rounds=0,
    )
    around = draw(contexts())
    around = replace(around, at=terms.valid.starts_at, consumption={}, frozen=frozenset())
    assume(evaluate([terms], asked, around).is_permitted)
    return terms, asked, around


# --- ways to tighten an agreement inside its scope, and to narrow the scope


def fewer_uses(terms: Agreement, draw: Draw) -> Agreement:
    return _of_column(terms, draw, lambda item: replace(item, uses=item.uses[1:]))


def fewer_functions(terms: Agreement, draw: Draw) -> Agreement:
    return _of_column(terms, draw, lambda item: replace(item, functions=(item.functions or FUNCTIONS)[1:]))


def fewer_values(terms: Agreement, draw: Draw) -> Agreement:
    return _of_column(terms, draw, lambda item: replace(item, values=item.values[1:]))


def _of_column(terms: Agreement, draw: Draw, change: Callable[[ColumnGrant], ColumnGrant]) -> Agreement:
    places = [(i, j) for i, dataset in enumerate(terms.datasets) for j in range(len(dataset.columns))]
    if not places:
        return terms
    at, column = draw(st.sampled_from(places))
    datasets = list(terms.datasets)
    columns = list(datasets[at].columns)
    columns[column] = change(columns[column])
    datasets[at] = replace(datasets[at], columns=tuple(columns))
    return replace(terms, datasets=tuple(datasets))


def fewer_columns(terms: Agreement, draw: Draw) -> Agreement:
    at = draw(st.integers(0, len(terms.datasets) - 1))
    datasets = list(terms.datasets)
    datasets[at] = replace(datasets[at], columns=datasets[at].columns[1:])
    return replace(terms, datasets=tuple(datasets))


def one_more_prohibition(terms: Agreement, draw: Draw) -> Agreement:
    return replace(terms, prohibitions=(*terms.prohibitions, draw(prohibitions())))


def fewer_operations(terms: Agreement, _: Draw) -> Agreement:
    return replace(terms, operations=terms.operations[1:])


def tighter_limits(terms: Agreement, draw: Draw) -> Agreement:
    limits = terms.limits
    return replace(
        terms,
        limits=Limits(
            jobs=draw(st.integers(0, limits.jobs)),
            jobs_per_day=draw(st.integers(0, limits.jobs_per_day)),
            rounds=draw(st.integers(0, limits.rounds)),
            filter_values=draw(st.sampled_from((limits.filter_values, FilterValues.LISTED))),
        ),
    )


def no_intermediary(terms: Agreement, _: Draw) -> Agreement:
    return replace(terms, intermediary=None) if terms.purpose.startswith("credit") else terms


def stricter_output(terms: Agreement, _: Draw) -> Agreement:
    rules = terms.disclosure
    stricter = replace(
        rules,
        min_entities=(rules.min_entities or 0) + 3,
        dominance_top=rules.dominance_top + 1,
        dominance_share=rules.dominance_share / 2,
        p_percent=rules.p_percent + 1,
        min_contributors=rules.min_contributors + 1,
        zeros=Zeros.REFUSE,
        mode=DisclosureMode.PRIVATE,
    )
    people = replace(terms.approvals, job=JobApproval.REVIEWED, output=OutputApproval.CHECKED)
    return replace(terms, disclosure=stricter, approvals=people)


INSIDE_SCOPE: Final = (
    fewer_uses,
    fewer_functions,
    fewer_values,
    fewer_columns,
    one_more_prohibition,
    fewer_operations,
    tighter_limits,
    no_intermediary,
    stricter_output,
)


def shorter(terms: Agreement, draw: Draw) -> Agreement:
    days = (terms.valid.last - terms.valid.first).days
    return replace(terms, valid=replace(terms.valid, first=terms.valid.first + timedelta(draw(st.integers(0, days)))))


def fewer_zones(terms: Agreement, _: Draw) -> Agreement:
    return replace(terms, zones=terms.zones[1:])


def fewer_datasets(terms: Agreement, _: Draw) -> Agreement:
    return replace(terms, datasets=terms.datasets[1:])


OF_SCOPE: Final = (shorter, fewer_zones, fewer_datasets)


def is_no_looser(rules: DisclosureRules | None, than: DisclosureRules | None) -> bool:
    return rules is not None and than is not None and strictest(rules, than) == rules


def assert_not_more(before: Decision, after: Decision) -> None:
    """Assert that `after` allows nothing that `before` does not."""
    if after.is_permitted:
        assert before.is_permitted
        assert is_no_looser(after.disclosure, before.disclosure)
        assert set(before.job_duties) <= set(after.job_duties)
        assert set(before.output_duties) <= set(after.output_duties)


@given(st.data())
def test_tightening_one_agreement_of_several_never_allows_more(data: st.DataObject) -> None:
    first, asked, around = data.draw(fitting())
    others = [replace(first, id="agr-p-2"), *data.draw(st.lists(agreements("agr-p-3"), max_size=1))]
    tightened = data.draw(st.sampled_from(INSIDE_SCOPE))(first, data.draw)
    before = evaluate([first, *others], asked, around)
    assert_not_more(before, evaluate([tightened, *others], asked, around))


@given(st.data())
def test_tightening_or_narrowing_an_agreement_never_allows_more(data: st.DataObject) -> None:
    terms, asked, around = data.draw(fitting() | st.tuples(agreements(), requests(), contexts()))
    tightened = terms
    for change in data.draw(st.lists(st.sampled_from(INSIDE_SCOPE + OF_SCOPE), min_size=1, max_size=3)):
        if tightened.datasets and tightened.zones:
            tightened = change(tightened, data.draw)
    assert_not_more(evaluate([terms], asked, around), evaluate([tightened], asked, around))


@given(st.data())
def test_several_that_all_apply_permit_what_each_of_them_permits(data: st.DataObject) -> None:
    first, asked, around = data.draw(fitting())
    others = [replace(first, id=f"agr-p-{number}") for number in (2, 3)]
    changed = [data.draw(st.sampled_from(INSIDE_SCOPE))(item, data.draw) for item in others]
    each = [evaluate([item], asked, around).is_permitted for item in changed]
    assert evaluate([first, *changed], asked, around).is_permitted is all(each)


@given(st.lists(agreements("agr-p-1") | agreements("agr-p-2"), max_size=4), requests(), contexts(), st.randoms())
def test_the_order_of_agreements_does_not_matter(
    terms: list[Agreement], asked: Request, around: Context, random: Any
) -> None:
    before = evaluate(terms, asked, around)
    random.shuffle(terms)
    assert evaluate(terms, asked, around) == before
    assert evaluate([compile_agreement(item) for item in terms], asked, around) == before


@given(st.data())
def test_decision_and_explanation_agree(data: st.DataObject) -> None:
    terms, asked, around = data.draw(fitting() | st.tuples(agreements(), requests(), contexts()))
    tightened = data.draw(st.sampled_from(INSIDE_SCOPE))(replace(terms, id="agr-p-2"), data.draw)
    both = [terms, *data.draw(st.lists(st.just(tightened) | agreements("agr-p-2"), max_size=1))]
    decision = evaluate(both, asked, around)
    compiled = sorted((compile_agreement(item) for item in both), key=lambda item: item.sort_key)
    applying = tuple(
        item
        for item in compiled
        if item.assignee == asked.assignee
        and item.purpose == asked.purpose
        and asked.place in item.zones
        and item.starts_at <= around.at <= item.ends_at
        and set(item.datasets) & set(asked.datasets)
    )
    reasons = find_reasons(compiled, applying, asked, around)
    assert decision.is_permitted is not bool(reasons)
    assert RefusalReason.RULE_ERROR not in {reason.code for reason in decision.reasons}


@given(st.data())
def test_the_smallest_extra_grant_lifts_its_reason(data: st.DataObject) -> None:
    terms, asked, around = data.draw(fitting())
    asked = replace(
        asked,
        uses=(*asked.uses, *data.draw(st.lists(column_uses(), max_size=2))),
        operations=(*asked.operations, *data.draw(some(OPERATIONS))),
    )
    asked = replace(asked, datasets=tuple(sorted({*asked.datasets, *(use.dataset for use in asked.uses)})))
    for reason in evaluate([terms], asked, around).reasons:
        if reason.grant is not None:
            more = apply_grant(terms, reason.grant, around.catalogue)
            left = evaluate([more], asked, around).reasons
            assert (reason.code, reason.clause, reason.dataset, reason.column, reason.missing, reason.grant) not in [
                (each.code, each.clause, each.dataset, each.column, each.missing, each.grant) for each in left
            ]
            assert parse_agreement(to_yaml(more).encode()) == more


@settings(max_examples=200)
@given(
    st.lists(agreements() | st.sampled_from([None, 7, "x"]), max_size=2),
    requests() | st.sampled_from([None, 7, "x"]),
    contexts() | st.sampled_from([None, 7]),
)
def test_evaluate_never_raises(terms: Any, asked: Any, around: Any) -> None:
    assert isinstance(evaluate(terms, asked, around), Decision)


@given(agreements(), st.lists(literals, max_size=4, unique=True), literals, decimals, decimals)
def test_what_is_written_is_read_back(
    terms: Agreement, values: list[str], words: str, one: Decimal, other: Decimal
) -> None:
    assume(one != other)
    column = ColumnGrant(
        name="free", uses=(Use.FILTER,), values=tuple(values), bounds=(min(one, other), max(one, other)), unit=words
    )
    dataset = DatasetGrant(name="z/z", privacy_unit="id", columns=(column,))
    terms = replace(
        terms, datasets=(*terms.datasets, dataset), legal_basis=Legal(kind=LegalBasis.CONSENT, reference=words)
    )
    assert parse_agreement(to_yaml(terms).encode()) == terms


@settings(max_examples=200)
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")))
def test_reading_never_raises(data: bytes) -> None:
    reading = read_agreement(data)
    assert reading.agreement is None
    assert reading.problems


@given(agreements(), st.data())
def test_reading_an_edited_text_never_raises(terms: Agreement, data: st.DataObject) -> None:
    text = to_yaml(terms)
    at = data.draw(st.integers(0, len(text)))
    edited = text[:at] + data.draw(st.text(max_size=4)) + text[at + data.draw(st.integers(0, 5)) :]
    reading = read_agreement(edited.encode("utf-8", "replace"))
    assert (reading.agreement is None) == bool(reading.problems)
