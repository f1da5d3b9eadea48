"""The life of a certificate: total, without a way out of an end, and drawn as it is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.certificates.life import (
    ENDED,
    OPEN,
    TRANSITIONS,
    CertificateState,
    Step,
    draw_life,
    needs_notice,
    transition,
)
from yingbi.errors import ConflictError
from yingbi.events.certificates import AssetClass, Registration

DOCS = Path(__file__).resolve().parents[4] / "docs"
WAY = [
    (Step.SUBMIT, CertificateState.SUBMITTED),
    (Step.RETURN, CertificateState.RETURNED),
    (Step.SUBMIT, CertificateState.SUBMITTED),
    (Step.ACCEPT, CertificateState.ACCEPTED),
    (Step.REVIEW, CertificateState.REVIEW),
    (Step.NOTICE, CertificateState.NOTICE),
    (Step.OBJECT, CertificateState.OBJECTED),
    (Step.OBJECT, CertificateState.OBJECTED),
    (Step.SETTLE, CertificateState.OBJECTED),
    (Step.SETTLE_LAST, CertificateState.REVIEW),
    (Step.APPROVE, CertificateState.APPROVED),
    (Step.ISSUE, CertificateState.ACTIVE),
    (Step.SUSPEND, CertificateState.SUSPENDED),
    (Step.RESUME, CertificateState.ACTIVE),
    (Step.PRESENT, CertificateState.ACTIVE),
]


def test_the_table_is_total() -> None:
    assert set(TRANSITIONS) == {(state, step) for state in CertificateState for step in Step}


@pytest.mark.parametrize("end", [Step.REVOKE, Step.CANCEL, Step.SUPERSEDE, Step.EXPIRE])
def test_the_whole_way(end: Step) -> None:
    state = CertificateState.DRAFT
    for step, after in WAY:
        state = transition(state, step)
        assert state is after
    assert transition(state, end) in ENDED


@given(st.lists(st.sampled_from(Step), max_size=40))
def test_nothing_leads_out_of_an_end_and_nothing_is_issued_unapproved(steps: list[Step]) -> None:
    state, seen = CertificateState.DRAFT, [CertificateState.DRAFT]
    for step in steps:
        try:
            state = transition(state, step)
        except ConflictError:
            continue
        assert seen[-1] not in ENDED
        seen.append(state)
    if CertificateState.ACTIVE in seen:
        first = seen.index(CertificateState.ACTIVE)
        assert seen[first - 1] is CertificateState.APPROVED
        assert {CertificateState.ACCEPTED, CertificateState.REVIEW} <= set(seen[:first])
        assert not set(seen[first:]) & OPEN


def test_every_state_can_be_reached_and_left_unless_it_is_an_end() -> None:
    reached = {after for after in TRANSITIONS.values() if after is not None}
    assert reached == set(CertificateState) - {CertificateState.DRAFT}
    left = {state for (state, _), after in TRANSITIONS.items() if after not in (None, state)}
    assert left == set(CertificateState) - ENDED


def test_what_is_suspended_is_not_shown() -> None:
    for state in set(CertificateState) - {CertificateState.ACTIVE}:
        with pytest.raises(ConflictError):
            transition(state, Step.PRESENT)


@pytest.mark.parametrize("asset", list(AssetClass))
@pytest.mark.parametrize("registration", list(Registration))
def test_the_public_is_asked_about_what_is_new_and_not_about_borrowers(
    asset: AssetClass, registration: Registration
) -> None:
    is_new = registration in (Registration.FIRST, Registration.LICENCE, Registration.TRANSFER)
    assert needs_notice(asset, registration) is (is_new and asset is not AssetClass.SUBJECT_VALUE)


def test_the_drawing_has_all_arrows() -> None:
    drawn = draw_life()
    assert drawn.startswith("stateDiagram-v2\n    [*] --> draft\n")
    for (state, step), after in TRANSITIONS.items():
        if after is not None:
            (line,) = [one for one in drawn.splitlines() if one.startswith(f"    {state} --> {after}:")]
            assert step in line
    assert f"```mermaid\n{drawn}\n```" in (DOCS / "spec" / "certificate.md").read_text("utf-8")
