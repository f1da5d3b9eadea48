"""Agreements: proposed, signed by the right people, in force, stopped."""

from datetime import date

import pytest

from policies.approvals import State
from policies.model import Validity, terms_digest
from policies.sign import activated_payload, countered_payload, proposed_payload
from policies.standing import (
    AgreementStanding,
    MissingSignaturesError,
    Rule,
    StatementRefusedError,
    UnknownTermsError,
)
from tests.lib.realm import BUREAU, PARTNER, Realm
from yingbi.clock import format_time, parse_time
from yingbi.events.fields import Duty
from yingbi.statement import Statement, sign

AGREEMENT = "agr-tax-2026-01"


def found(realm: Realm) -> AgreementStanding:
    agreement = realm.standing.agreements.get(AGREEMENT)
    assert agreement is not None
    return agreement


def step(realm: Realm, verb: str, *signers: str, **more: object) -> None:
    realm.say(f"agreement.{verb}", AGREEMENT, {"terms": found(realm).terms, **more}, *signers)


def suspend(realm: Realm, *signers: str) -> None:
    step(realm, "suspended", *signers, reason="incident", running_jobs="stop", until=None, note=None)


def test_in_force_after_both_have_signed(realm: Realm) -> None:
    realm.agree()
    assert found(realm).is_active(realm.at)
    assert [one.id for one in realm.standing.agreements.active(at=realm.at)] == [AGREEMENT]


def test_in_force_within_its_days_only(realm: Realm) -> None:
    terms = realm.agree()
    begin, end = format_time(terms.valid.starts_at), format_time(terms.valid.ends_at)
    assert found(realm).is_active(begin)
    assert found(realm).is_active(end)
    assert not found(realm).is_active("2026-01-01T00:00:00.000000Z")
    assert not found(realm).is_active("2028-01-01T00:00:00.000000Z")


def test_the_text_is_needed_first_and_the_entry_is_not_read(realm: Realm) -> None:
    terms = realm.terms()
    size = realm.standing.size
    with pytest.raises(UnknownTermsError) as caught:
        realm.take(proposal_without_text(realm))
    assert (caught.value.digest, realm.standing.size) == (terms_digest(terms), size)


def proposal_without_text(realm: Realm) -> Statement:
    payload = proposed_payload(realm.terms(), issuer="person:officer", on_behalf_of=PARTNER, at=parse_time(realm.at))
    return sign(payload, [realm.key("person:officer")])


def test_an_agreement_is_not_called_as_data_sets_are(realm: Realm) -> None:
    """A freeze of the one would be a freeze of the other."""
    with pytest.raises(StatementRefusedError, match="none of a data set") as caught:
        realm.propose(realm.terms(id="ds-" + "a" * 26))
    assert caught.value.rule is Rule.TERMS


def test_a_text_of_another_digest_is_no_text(realm: Realm) -> None:
    terms = realm.terms()
    statement = proposal_without_text(realm)
    realm.texts[terms_digest(terms)] = realm.terms(jobs=9)
    with pytest.raises(StatementRefusedError) as caught:
        realm.take(statement)
    assert caught.value.rule is Rule.TERMS


@pytest.mark.parametrize(
    ("person", "duty"),
    [
        ("person:officer", Duty.PARTNER_KEY_OFFICER),
        ("person:reviewer", Duty.BUREAU_APPROVER),
        ("person:analyst", Duty.UNIT_CDO),
    ],
)
def test_who_may_not_sign(realm: Realm, person: str, duty: Duty) -> None:
    terms = realm.terms()
    realm.propose(terms)
    with pytest.raises(StatementRefusedError) as caught:
        realm.take(realm.signature(terms, person, duty))
    assert caught.value.rule in (Rule.SEPARATION, Rule.STATE, Rule.SIGNER)
    assert found(realm).life.approvals == ()


def test_nobody_signs_his_own_proposal(realm: Realm) -> None:
    terms = realm.terms()
    realm.propose(terms, "person:cdo", "unit:tax")
    with pytest.raises(StatementRefusedError) as caught:
        realm.take(realm.signature(terms, "person:cdo", Duty.UNIT_CDO))
    assert caught.value.rule is Rule.SEPARATION


def test_the_bureaus_key_does_not_put_in_force_what_is_not_signed(realm: Realm) -> None:
    terms = realm.terms()
    realm.propose(terms)
    realm.take(realm.signature(terms, "person:cdo", Duty.UNIT_CDO))
    payload = activated_payload(terms, issuer=BUREAU, on_behalf_of=None, at=parse_time(realm.at))
    with pytest.raises(StatementRefusedError) as caught:
        realm.take(sign(payload, [realm.key(BUREAU)]))
    assert caught.value.rule is Rule.STATE
    assert not found(realm).is_active(realm.at)


def test_only_the_bureau_puts_in_force(realm: Realm) -> None:
    terms = realm.terms()
    realm.propose(terms)
    realm.take(realm.signature(terms, "person:cdo", Duty.UNIT_CDO))
    realm.take(realm.signature(terms, "person:approver", Duty.BUREAU_APPROVER))
    payload = activated_payload(terms, issuer=PARTNER, on_behalf_of=None, at=parse_time(realm.at))
    with pytest.raises(StatementRefusedError) as caught:
        realm.take(sign(payload, [realm.key(PARTNER)]))
    assert caught.value.rule is Rule.SIGNER


def test_changed_terms_void_the_signatures(realm: Realm) -> None:
    terms = realm.terms()
    realm.propose(terms)
    realm.take(realm.signature(terms, "person:cdo", Duty.UNIT_CDO))
    other = realm.terms(jobs=9, version=2)
    realm.texts[terms_digest(other)] = other
    payload = countered_payload(other, terms, issuer="person:approver", on_behalf_of=BUREAU, at=parse_time(realm.at))
    realm.take(sign(payload, [realm.key("person:approver")]))
    assert (found(realm).life.state, found(realm).life.approvals) == (State.COUNTERED, ())
    with pytest.raises(StatementRefusedError):
        realm.take(realm.signature(terms, "person:cdo", Duty.UNIT_CDO))


def test_a_stranger_proposes_nothing(realm: Realm) -> None:
    realm.admit("unit:social", "source-unit")
    realm.register("person:social", "unit:social")
    with pytest.raises(StatementRefusedError) as caught:
        realm.propose(realm.terms(), "person:social", "unit:social")
    assert caught.value.rule is Rule.SIGNER


@pytest.mark.parametrize("signer", ["person:approver", "person:sec", "person:cdo"])
def test_one_stops_and_two_let_go_on(realm: Realm, signer: str) -> None:
    realm.agree()
    suspend(realm, signer)
    assert not found(realm).is_active(realm.at)
    with pytest.raises(MissingSignaturesError):
        step(realm, "resumed", signer, note=None)
    other = "person:cdo" if signer != "person:cdo" else "person:sec"
    step(realm, "resumed", signer, other, note=None)
    assert found(realm).is_active(realm.at)


@pytest.mark.parametrize("signer", [BUREAU, PARTNER, "person:officer", "person:reviewer"])
def test_nobody_else_stops_it(realm: Realm, signer: str) -> None:
    realm.agree()
    with pytest.raises(StatementRefusedError) as caught:
        suspend(realm, signer)
    assert caught.value.rule is Rule.DUTY


@pytest.mark.parametrize("signer", [PARTNER, "person:approver", "person:cdo"])
def test_it_is_ended_by_the_partner_or_by_who_may_stop_it(realm: Realm, signer: str) -> None:
    realm.agree()
    step(realm, "revoked", signer, reason="request", running_jobs="finish", note=None)
    assert found(realm).life.state is State.REVOKED


def test_it_expires_after_its_last_day_only(realm: Realm) -> None:
    terms = realm.agree(realm.terms(valid=Validity(first=date(2026, 11, 1), last=date(2026, 11, 22))))
    until = {"valid_until": format_time(terms.valid.ends_at)}
    with pytest.raises(StatementRefusedError) as caught:
        step(realm, "expired", BUREAU, **until)
    assert caught.value.rule is Rule.TIME
    realm.pass_time(days=2)
    step(realm, "expired", BUREAU, **until)
    assert found(realm).life.state is State.EXPIRED


def test_parties_that_left_are_not_bound_anew(realm: Realm) -> None:
    terms = realm.terms()
    realm.propose(terms)
    realm.take(realm.signature(terms, "person:cdo", Duty.UNIT_CDO))
    realm.take(realm.signature(terms, "person:approver", Duty.BUREAU_APPROVER))
    body = {"party": PARTNER, "reason": "incident", "until": None, "note": None}
    realm.say("participant.suspended", "participant-1", body, "person:sec")
    payload = activated_payload(terms, issuer=BUREAU, on_behalf_of=None, at=parse_time(realm.at))
    with pytest.raises(StatementRefusedError) as caught:
        realm.take(sign(payload, [realm.key(BUREAU)]))
    assert caught.value.rule is Rule.PARTICIPANT
