"""Federations' plans and what the policies say of them: one JSON form, one set of terms, no more by less."""

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from policies.compiled import compile_agreement
from policies.evaluate import evaluate
from policies.model import Agreement, Privacy
from policies.refusal import find_reasons
from policies.request import Request, Spending, Use
from policies.rules import applies
from tests.unit.policies.examples import agreement
from tests.unit.policies.test_training import CONTEXT, EXACT, OWN, trained
from yingbi.canonical import MAX_INT, JsonValue, canonical_bytes
from yingbi.events.jobs import RefusalReason
from yingbi.events.outputs import DisclosureMode
from yingbi.plan.check import check_plan
from yingbi.plan.codec import common_digest, common_json, parse_plan, parse_plan_bytes, plan_to_json, question_digest
from yingbi.plan.model import (
    CodedFeature,
    Member,
    NumericFeature,
    Plan,
    Recipe,
    Source,
    TrainingPrivacy,
    TrainingQuestion,
)

# --- plans ------------------------------------------------------------------------------------------------------------

names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=("C", "Z", "M"), max_codepoint=0x24F), min_size=1, max_size=6)
numbers = st.decimals(-(10**9), 10**9, places=3).map(lambda value: format(value, "f"))
scalars = texts | st.integers(-MAX_INT, MAX_INT) | st.booleans()
parameters = st.dictionaries(names, scalars | st.lists(scalars, max_size=3), max_size=4)


def ascending(least: int, most: int) -> st.SearchStrategy[tuple[str, ...]]:
    found = st.lists(numbers, min_size=least, max_size=most, unique_by=Decimal)
    return found.map(lambda items: tuple(sorted(items, key=Decimal)))


@st.composite
def features(draw: st.DrawFn, name: str) -> Any:
    if draw(st.booleans()):
        low, high = draw(ascending(2, 2))
        return NumericFeature(name=name, bounds=(low, high), edges=draw(ascending(0, 4)))
    return CodedFeature(name=name, codes=tuple(draw(st.lists(texts, min_size=1, max_size=4, unique=True))))


@st.composite
def questions(draw: st.DrawFn) -> TrainingQuestion:
    units = sorted(draw(st.lists(st.from_regex(r"[a-z]{1,5}", fullmatch=True), min_size=3, max_size=6, unique=True)))
    members = tuple(
        Member(agreement=f"agr-{unit}", dataset=f"{unit}/credit", job=f"job-{unit}", node=f"node:{unit}")
        for unit in units
    )
    privacy = draw(
        st.none()
        | st.builds(
            TrainingPrivacy,
            epsilon=st.sampled_from(("1", "1.0", "0.50", "100")),
            delta=st.sampled_from(("0", "1e-6", "0.000001")),
            clip=st.none() | st.just("1.50"),
        )
    )
    target, *columns = draw(st.lists(names, min_size=2, max_size=5, unique=True))
    return TrainingQuestion(
        source=Source(dataset=draw(st.sampled_from(members)).dataset, version=draw(st.none() | st.integers(1, 9))),
        federation="fed-1",
        members=members,
        quorum=len(members) if privacy is None else draw(st.integers(3, len(members))),
        rounds=draw(st.integers(1, 1000)),
        min_entities=draw(st.integers(1, 1000)),
        recipe=draw(st.sampled_from(Recipe)),
        parameters=canonical_bytes(draw(parameters)).decode(),
        target=target,
        positive=draw(texts),
        features=tuple(draw(features(name)) for name in columns),
        privacy=privacy,
    )


@given(questions())
def test_a_plan_survives_json(question: TrainingQuestion) -> None:
    plan = Plan(question=question)
    assert check_plan(plan) == []
    assert parse_plan(plan_to_json(plan)) == plan
    assert parse_plan_bytes(canonical_bytes(plan_to_json(plan))) == plan


@given(questions())
def test_all_members_have_the_same_terms(question: TrainingQuestion) -> None:
    asked = [replace(question, source=Source(dataset=member.dataset, version=3)) for member in question.members]
    assert {common_digest(one) for one in asked} == {common_digest(question)}
    assert len({question_digest(one) for one in asked}) == len(asked)


@given(questions(), st.data())
def test_the_terms_are_a_plan_again_with_any_members_source(question: TrainingQuestion, data: st.DataObject) -> None:
    source: JsonValue = {"dataset": data.draw(st.sampled_from(question.members)).dataset}
    again = parse_plan({"v": 1, "question": {**common_json(question), "source": source}}).question
    assert isinstance(again, TrainingQuestion)
    assert common_json(again) == common_json(question)


# --- policies ---------------------------------------------------------------------------------------------------------

BOUNDS: Final = ((Decimal(0), Decimal(5_000_000)), (Decimal(0), Decimal(9)), None)
budgets = st.builds(Privacy, epsilon=st.sampled_from((Decimal(1), Decimal(4))), delta=st.just(Decimal("0.000001")))


@st.composite
def agreements(draw: st.DrawFn, name: str = OWN.agreement, mode: DisclosureMode | None = None) -> Agreement:
    usual = agreement(EXACT)
    (dataset,) = usual.datasets
    bounds, values = draw(st.sampled_from(BOUNDS)), draw(st.sampled_from(((), ("77",))))
    columns = [
        replace(item, bounds=bounds, values=values) if item.name == "tax_paid" else item for item in dataset.columns
    ]
    rules = replace(
        usual.disclosure,
        min_contributors=draw(st.integers(3, 5)),
        min_entities=draw(st.none() | st.integers(5, 11)),
        mode=draw(st.sampled_from(DisclosureMode)) if mode is None else mode,
    )
    return replace(
        usual,
        id=name,
        datasets=(replace(dataset, columns=tuple(columns)),),
        disclosure=rules,
        privacy=draw(st.none() | budgets),
        limits=replace(usual.limits, rounds=draw(st.integers(28, 31))),
    )


@st.composite
def requests(draw: st.DrawFn) -> Request:
    usual = trained(rounds=draw(st.integers(29, 30)))
    spent = st.builds(
        Spending,
        epsilon=st.sampled_from((Decimal(1), Decimal(2), Decimal(4))),
        delta=st.sampled_from((Decimal("0.000001"), Decimal(0))),
    )
    edges = draw(st.sampled_from(((), ("1000",), ("77",), ("5",))))
    bounds = draw(st.sampled_from((("0", "5000000"), ("0", "9"), ("0", "1000000000"))))
    training = replace(
        OWN, quorum=draw(st.integers(3, 5)), min_entities=draw(st.integers(8, 12)), privacy=draw(st.none() | spent)
    )
    uses = (usual.uses[0], replace(usual.uses[1], values=edges, bounds=bounds))
    return replace(usual, uses=uses, training=training)


def fewer(terms: Agreement, draw: Any) -> Agreement:
    """Return an agreement that grants less in one way or another, in the same mode."""
    (dataset,) = terms.datasets
    without = [replace(item, uses=tuple(use for use in item.uses if use is not Use.TRAIN)) for item in dataset.columns]
    cleared = [replace(item, values=()) for item in dataset.columns]
    spare = terms.privacy
    found: Agreement = draw(
        st.sampled_from(
            (
                replace(terms, datasets=(replace(dataset, columns=tuple(without)),)),
                replace(terms, datasets=(replace(dataset, columns=tuple(cleared)),)),
                replace(
                    terms,
                    disclosure=replace(terms.disclosure, min_contributors=terms.disclosure.min_contributors + 1),
                ),
                replace(terms, limits=replace(terms.limits, rounds=terms.limits.rounds - 1)),
                replace(terms, privacy=None if spare is None else replace(spare, epsilon=spare.epsilon / 2)),
                replace(terms, operations=("train.vertical",)),
            )
        )
    )
    return found


@given(st.data(), requests())
def test_an_agreement_that_grants_less_never_allows_more(data: st.DataObject, asked: Request) -> None:
    terms = data.draw(agreements())
    others = data.draw(st.lists(agreements("agr-other"), max_size=1))
    before = evaluate([terms, *others], asked, CONTEXT)
    after = evaluate([fewer(terms, data.draw), *others], asked, CONTEXT)
    assert before.is_permitted or not after.is_permitted


@given(st.data(), requests())
def test_several_of_one_mode_permit_what_each_of_them_permits(data: st.DataObject, asked: Request) -> None:
    mode = data.draw(st.sampled_from(DisclosureMode))
    both = [data.draw(agreements(name, mode)) for name in (OWN.agreement, "agr-other")]
    named = [replace(asked, training=replace(asked.training or OWN, agreement=item.id)) for item in both]
    each = [evaluate([item], one, CONTEXT).is_permitted for item, one in zip(both, named, strict=True)]
    assert evaluate(both, asked, CONTEXT).is_permitted is all(each)


@given(st.data(), requests())
def test_decision_and_explanation_agree(data: st.DataObject, asked: Request) -> None:
    both = [data.draw(agreements()), *data.draw(st.lists(agreements("agr-other"), max_size=1))]
    decision = evaluate(both, asked, CONTEXT)
    compiled = sorted((compile_agreement(item) for item in both), key=lambda item: item.sort_key)
    applying = tuple(item for item in compiled if applies(item, asked))
    assert decision.is_permitted is not bool(find_reasons(compiled, applying, asked, CONTEXT))
    assert RefusalReason.RULE_ERROR not in {reason.code for reason in decision.reasons}
