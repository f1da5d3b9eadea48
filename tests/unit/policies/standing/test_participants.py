"""Organisations: admitted by two people, stopped by one."""

import pytest

from policies.standing import MissingSignaturesError, ParticipantState, Rule, StatementRefusedError
from tests.lib.realm import BUREAU, DIGEST, PARTNER, UNIT, Realm
from yingbi.ids import new_id


def say(realm: Realm, verb: str, *signers: str, party: str = PARTNER, **more: object) -> None:
    body = {"party": party, "note": None, **more}
    realm.say(f"participant.{verb}", new_id("participant"), body, *signers)


def applied(realm: Realm, party: str, kind: str, *signers: str) -> None:
    realm.register(party)
    rest = {"kind": kind, "identity": DIGEST, "licence": None, "keyid": realm.thumbprint(party)}
    say(realm, "applied", *(signers or (party,)), party=party, **rest)


def state(realm: Realm) -> ParticipantState | None:
    found = realm.standing.participants.get(PARTNER)
    return None if found is None else found.state


def test_one_suspends_two_reinstate(realm: Realm) -> None:
    say(realm, "suspended", "person:approver", reason="incident", until=None)
    assert state(realm) is ParticipantState.SUSPENDED
    with pytest.raises(MissingSignaturesError) as caught:
        say(realm, "reinstated", "person:approver")
    assert caught.value.missing == ("bureau-registrar",)
    say(realm, "reinstated", "person:approver", "person:registrar")
    assert state(realm) is ParticipantState.ADMITTED


@pytest.mark.parametrize("signer", [BUREAU, "person:reviewer", "person:cdo", PARTNER])
def test_nobody_else_suspends(realm: Realm, signer: str) -> None:
    with pytest.raises(StatementRefusedError) as caught:
        say(realm, "suspended", signer, reason="incident", until=None)
    assert caught.value.rule is Rule.DUTY


@pytest.mark.parametrize("signers", [(PARTNER,), ("person:approver", "person:registrar")])
def test_a_departure_is_for_good_until_somebody_applies_again(realm: Realm, signers: tuple[str, ...]) -> None:
    say(realm, "offboarded", *signers, reason="request", inventory=None)
    assert state(realm) is ParticipantState.OFFBOARDED
    with pytest.raises(StatementRefusedError):
        say(realm, "reinstated", "person:approver", "person:registrar")


@pytest.mark.parametrize(
    ("party", "kind", "rule"), [("partner:x", "source-unit", Rule.PARTICIPANT), ("unit:x", "bank", Rule.PARTICIPANT)]
)
def test_a_kind_of_organisation_is_a_kind_of_party(realm: Realm, party: str, kind: str, rule: Rule) -> None:
    with pytest.raises(StatementRefusedError) as caught:
        applied(realm, party, kind)
    assert caught.value.rule is rule


def test_nobody_applies_for_another(realm: Realm) -> None:
    with pytest.raises(StatementRefusedError) as caught:
        applied(realm, "partner:x", "bank", UNIT)
    assert caught.value.rule is Rule.SIGNER


def test_it_is_admitted_as_what_it_applied_as(realm: Realm) -> None:
    applied(realm, "partner:x", "bank")
    signers = ("person:approver", "person:registrar")
    with pytest.raises(StatementRefusedError) as caught:
        say(realm, "admitted", *signers, party="partner:x", kind="credit-bureau", valid_until=None)
    assert caught.value.rule is Rule.PARTICIPANT
    say(realm, "admitted", *signers, party="partner:x", kind="bank", valid_until=realm.later(days=1))
    found = realm.standing.participants
    assert found.is_admitted("partner:x", at=realm.at)
    assert not found.is_admitted("partner:x", at=realm.later(days=2))


def test_one_person_in_two_duties_is_one_person(realm: Realm) -> None:
    """The conflict of duties keeps registrar and approver apart; the count does not rely on it."""
    applied(realm, "partner:x", "bank")
    with pytest.raises(MissingSignaturesError):
        say(realm, "admitted", "person:approver", "person:cdo", party="partner:x", kind="bank", valid_until=None)


def test_a_credit_bureau_is_licensed_once_it_showed_a_licence(realm: Realm) -> None:
    for party, licence in (("partner:cb-1", DIGEST), ("partner:cb-2", None)):
        realm.register(party)
        rest = {"kind": "credit-bureau", "identity": DIGEST, "licence": licence, "keyid": realm.thumbprint(party)}
        say(realm, "applied", party, party=party, **rest)
        signers = ("person:approver", "person:registrar")
        say(realm, "admitted", *signers, party=party, kind="credit-bureau", valid_until=None)
    assert realm.standing.participants.licensed(at=realm.at) == {"partner:cb-1"}


def test_who_is_not_admitted_says_nothing(realm: Realm) -> None:
    applied(realm, "unit:x", "source-unit")
    entry = {"owner": "unit:x", "catalogue_entry": DIGEST, "privacy_unit": "person", "openness": "open"}
    with pytest.raises(StatementRefusedError) as caught:
        realm.say("dataset.registered", new_id("ds"), entry, "unit:x")
    assert caught.value.rule is Rule.PARTICIPANT
