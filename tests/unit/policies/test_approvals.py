"""The life of an agreement, the signatures it needs, and duties that never meet."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from policies.approvals import (
    TRANSITIONS,
    Approval,
    Life,
    State,
    Step,
    approve,
    begin,
    counter,
    draw_life,
    propose,
    take,
    transition,
)
from policies.duties import ADMINISTRATORS, CONFLICTS, check_account, check_grant
from policies.model import terms_digest
from tests.unit.policies.examples import agreement
from yingbi.errors import ConflictError, ErrorCode, RefusedError
from yingbi.events.fields import Duty

TERMS = terms_digest(agreement())
DOCS = Path(__file__).resolve().parents[3] / "docs"


def approval(**changes: Any) -> Approval:
    usual = Approval(
        terms=TERMS,
        person="person:cdo",
        employer="unit:futian-tax",
        duty=Duty.UNIT_CDO,
        held=frozenset({Duty.UNIT_CDO}),
    )
    return replace(usual, **changes)


BUREAU = approval(
    person="person:approver",
    employer="bureau:futian",
    duty=Duty.BUREAU_APPROVER,
    held=frozenset({Duty.BUREAU_APPROVER}),
)


def proposed() -> Life:
    return propose(begin(agreement()), "person:analyst")


# --- the table


def test_the_table_has_an_answer_to_every_step_in_every_state() -> None:
    assert set(TRANSITIONS) == {(state, step) for state in State for step in Step}


def test_every_state_can_be_reached_and_every_end_is_an_end() -> None:
    reached = {State.DRAFTED}
    for _ in State:
        reached |= {after for (state, _), after in TRANSITIONS.items() if state in reached and after is not None}
    assert reached == set(State)
    for end in (State.REVOKED, State.SUPERSEDED, State.EXPIRED):
        assert {TRANSITIONS[end, step] for step in Step} <= {None, end}


def test_only_a_signed_agreement_becomes_active_and_only_the_last_signature_signs() -> None:
    into_active = {(state, step) for (state, step), after in TRANSITIONS.items() if after is State.ACTIVE}
    assert into_active == {
        (State.SIGNED, Step.ACTIVATE),
        (State.SUSPENDED, Step.RESUME),
        (State.ACTIVE, Step.ACTIVATE),
        (State.ACTIVE, Step.RESUME),
    }
    assert {step for (_, step), after in TRANSITIONS.items() if after is State.SIGNED} == {Step.SIGN_LAST}


def test_a_step_that_had_its_effect_changes_nothing() -> None:
    for (_, step), after in TRANSITIONS.items():
        if after is not None and step is not Step.COUNTER:
            assert TRANSITIONS[after, step] is after


def test_an_impossible_step_is_refused() -> None:
    with pytest.raises(ConflictError, match="that is revoked cannot activate") as caught:
        transition(State.REVOKED, Step.ACTIVATE)
    assert caught.value.code is ErrorCode.TRANSITION_REFUSED


def test_the_diagram_in_the_documentation_is_the_table() -> None:
    assert f"```mermaid\n{draw_life()}\n```" in (DOCS / "spec" / "agreement.md").read_text("utf-8")


# --- a whole life


def test_a_life_from_draft_to_revocation() -> None:
    life = proposed()
    assert life.missing == (Duty.UNIT_CDO, Duty.BUREAU_APPROVER)
    life = approve(life, approval())
    assert (life.state, life.missing) == (State.PARTLY_SIGNED, (Duty.BUREAU_APPROVER,))
    life = approve(life, BUREAU)
    assert (life.state, life.missing) == (State.SIGNED, ())
    for step, state in (
        (Step.ACTIVATE, State.ACTIVE),
        (Step.SUSPEND, State.SUSPENDED),
        (Step.RESUME, State.ACTIVE),
        (Step.REVOKE, State.REVOKED),
    ):
        life = take(life, step)
        assert life.state is state
        assert take(life, step) == life


def test_a_signature_that_comes_twice_counts_once() -> None:
    life = approve(proposed(), approval())
    assert approve(life, approval()) == life


def test_changed_terms_void_all_signatures() -> None:
    life = approve(proposed(), approval())
    changed = agreement(version=2)
    life = counter(life, changed, "person:other")
    assert (life.state, life.approvals, life.terms) == (State.COUNTERED, (), terms_digest(changed))
    assert counter(life, changed, "person:other") == life
    with pytest.raises(ConflictError, match="over other terms"):
        approve(life, approval())
    with pytest.raises(ConflictError, match="later version"):
        counter(life, agreement(version=2, purpose="statistics"), "person:other")


def test_a_signed_agreement_is_not_changed_any_more() -> None:
    life = approve(approve(proposed(), approval()), BUREAU)
    with pytest.raises(ConflictError):
        counter(life, agreement(version=2), "person:other")


def test_steps_that_need_a_person_cannot_be_taken_without_one() -> None:
    for step in (Step.PROPOSE, Step.COUNTER, Step.SIGN, Step.SIGN_LAST):
        with pytest.raises(ConflictError, match="who takes it"):
            take(begin(agreement()), step)


def test_one_proposer_a_proposal() -> None:
    assert propose(proposed(), "person:analyst") == proposed()
    with pytest.raises(ConflictError, match="somebody else"):
        propose(proposed(), "person:other")


# --- four eyes (journey G6)

REFUSED: dict[str, dict[str, Any]] = {
    "own proposal": {"person": "person:analyst"},
    "duty that is not held": {"held": frozenset({Duty.BUREAU_REGISTRAR})},
    "emergency": {"is_emergency": True},
    "of another unit": {"employer": "unit:futian-power"},
    "of the assignee": {"employer": "partner:bank-a"},
    "of the intermediary": {"employer": "partner:credit-bureau-1"},
    "account with duties that never meet": {"held": frozenset({Duty.UNIT_CDO, Duty.AUDIT_ADMIN})},
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_signature_that_does_not_count_is_refused(name: str) -> None:
    with pytest.raises(RefusedError) as caught:
        approve(proposed(), approval(**REFUSED[name]))
    assert caught.value.code is ErrorCode.DUTIES_NOT_SEPARATED


def test_the_same_person_does_not_sign_in_two_duties() -> None:
    life = approve(proposed(), approval())
    with pytest.raises(RefusedError, match="one duty only"):
        approve(life, replace(BUREAU, person="person:cdo"))


def test_two_people_do_not_sign_in_one_duty() -> None:
    life = approve(proposed(), approval())
    with pytest.raises(ConflictError, match="is missing"):
        approve(life, approval(person="person:cdo-2"))


def test_nobody_of_the_assignee_approves_for_the_bureau() -> None:
    life = approve(proposed(), approval())
    for employer in ("partner:bank-a", "unit:futian-tax"):
        with pytest.raises(RefusedError, match="of this employer"):
            approve(life, replace(BUREAU, employer=employer))
    assert approve(life, BUREAU).state is State.SIGNED


def test_a_partner_s_officer_signs_for_the_assignee_only() -> None:
    approvals = replace(agreement().approvals, agreement=(Duty.PARTNER_KEY_OFFICER,))
    terms = agreement(approvals=approvals)
    life = propose(begin(terms), "person:analyst")
    officer = approval(
        terms=terms_digest(terms), duty=Duty.PARTNER_KEY_OFFICER, held=frozenset({Duty.PARTNER_KEY_OFFICER})
    )
    with pytest.raises(RefusedError):
        approve(life, replace(officer, employer="partner:bank-b"))
    assert approve(life, replace(officer, employer="partner:bank-a")).state is State.SIGNED


# --- duties


def test_three_administrators_are_three_people() -> None:
    for one, other in combinations(ADMINISTRATORS, 2):
        with pytest.raises(RefusedError, match="never meet"):
            check_account([one, other])


def test_an_administrator_does_not_give_himself_the_audit() -> None:
    with pytest.raises(RefusedError, match="to himself"):
        check_grant(grantor="person:a", holder="person:a", employer="bureau:futian", duty=Duty.AUDIT_ADMIN, held=())
    with pytest.raises(RefusedError, match="never meet"):
        check_grant(
            grantor="person:b",
            holder="person:a",
            employer="bureau:futian",
            duty=Duty.AUDIT_ADMIN,
            held=[Duty.SYSTEM_ADMIN],
        )


def test_a_duty_is_for_people_of_the_right_employer() -> None:
    with pytest.raises(RefusedError, match="of this employer"):
        check_grant(
            grantor="person:b", holder="person:a", employer="partner:bank-a", duty=Duty.BUREAU_APPROVER, held=()
        )
    check_grant(grantor="person:b", holder="person:a", employer="bureau:futian", duty=Duty.BUREAU_APPROVER, held=())


def test_every_duty_can_be_held_by_somebody_and_no_duty_conflicts_with_itself() -> None:
    for duty in Duty:
        check_account([duty, duty])
    assert all(len(pair) == 2 for pair in CONFLICTS)
    for duty in set(Duty) - {Duty.AUDIT_ADMIN}:
        assert frozenset({Duty.AUDIT_ADMIN, duty}) in CONFLICTS
