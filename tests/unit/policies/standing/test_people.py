"""Duties: the ceremony, who gives what, and what never meets in one account."""

import pytest

from policies.standing import Rule, StatementRefusedError
from tests.lib.realm import BUREAU, DIGEST, PARTNER, UNIT, Realm
from yingbi.events.fields import Duty
from yingbi.ids import new_id


def refused(realm: Realm, person: str, duty: Duty, *signers: str, **options: str | None) -> Rule:
    with pytest.raises(StatementRefusedError) as caught:
        realm.grant(person, duty, *signers, **options)
    return caught.value.rule


def test_the_ceremony_makes_three_administrators_and_then_is_over(realm: Realm) -> None:
    duties = realm.standing.people.holders(at=realm.at)
    assert [duties[f"person:{name}"] for name in ("sys", "sec", "audit")] == [
        {Duty.SYSTEM_ADMIN},
        {Duty.SECURITY_ADMIN},
        {Duty.AUDIT_ADMIN},
    ]
    realm.register("person:late", BUREAU)
    assert refused(realm, "person:late", Duty.SYSTEM_ADMIN, BUREAU, "root") is Rule.SIGNER


def test_a_ceremony_that_a_first_grant_cut_short_is_over_too() -> None:
    realm = Realm()
    realm.register(BUREAU)
    for person in ("person:sec", "person:registrar", "person:sys"):
        realm.register(person, BUREAU)
    realm.grant("person:sec", Duty.SECURITY_ADMIN, BUREAU, "root")
    realm.grant("person:registrar", Duty.BUREAU_REGISTRAR, "person:sec")
    assert refused(realm, "person:sys", Duty.SYSTEM_ADMIN, BUREAU, "root") is Rule.SIGNER


def test_the_ceremony_gives_nothing_but_the_three() -> None:
    realm = Realm()
    realm.register(BUREAU)
    realm.register("person:x", BUREAU)
    assert refused(realm, "person:x", Duty.BUREAU_APPROVER, BUREAU, "root") is Rule.SIGNER
    assert refused(realm, "person:x", Duty.SECURITY_ADMIN, BUREAU) is Rule.SIGNER, "the hub's key alone gives nothing"


@pytest.mark.parametrize(
    ("person", "of", "duty", "signers", "rule"),
    [
        ("person:sec", BUREAU, Duty.BUREAU_APPROVER, ("person:sec",), Rule.SEPARATION),
        ("person:x", BUREAU, Duty.BUREAU_APPROVER, ("person:approver",), Rule.SIGNER),
        ("person:x", BUREAU, Duty.BUREAU_APPROVER, (BUREAU,), Rule.SIGNER),
        ("person:x", BUREAU, Duty.UNIT_CDO, ("person:sec",), Rule.SEPARATION),
        ("person:x", UNIT, Duty.UNIT_CDO, ("person:sec",), Rule.SIGNER),
        ("person:x", UNIT, Duty.UNIT_CDO, (PARTNER,), Rule.SIGNER),
        ("person:x", UNIT, Duty.BUREAU_APPROVER, (UNIT,), Rule.SIGNER),
        ("person:x", PARTNER, Duty.UNIT_CDO, (PARTNER,), Rule.SEPARATION),
        ("person:registrar", BUREAU, Duty.BUREAU_APPROVER, ("person:sec",), Rule.SEPARATION),
        ("person:audit", BUREAU, Duty.OUTPUT_CHECKER, ("person:sec",), Rule.SEPARATION),
        ("person:nobody", None, Duty.BUREAU_APPROVER, ("person:sec",), Rule.DUTY),
        (UNIT, None, Duty.UNIT_CDO, (UNIT,), Rule.DUTY),
    ],
)
def test_a_duty_is_not_given(
    realm: Realm, person: str, of: str | None, duty: Duty, signers: tuple[str, ...], rule: Rule
) -> None:
    if person == "person:x":
        realm.register(person, of)
    assert refused(realm, person, duty, *signers) is rule
    assert duty not in realm.standing.people.duties(person, at=realm.at)


def test_an_organisation_gives_duties_to_its_own_people(realm: Realm) -> None:
    assert realm.standing.people.duties("person:cdo", at=realm.at) == {Duty.UNIT_CDO}
    assert realm.standing.people.duties("person:analyst", at=realm.at) == {Duty.PARTNER_ANALYST}


def test_a_duty_ends_with_its_time(realm: Realm) -> None:
    realm.register("person:x", BUREAU)
    body = {"holder": "person:x", "duty": "expert", "scope": None, "valid_until": realm.later(days=1)}
    realm.say("duty.granted", new_id("duty"), body, "person:sec")
    assert realm.standing.people.duties("person:x", at=realm.later(days=1)) == {Duty.EXPERT}
    assert realm.standing.people.duties("person:x", at=realm.later(days=1, microseconds=1)) == frozenset()


@pytest.mark.parametrize(
    ("signer", "ends"), [("person:sec", True), ("person:approver", True), ("person:registrar", False), (BUREAU, False)]
)
def test_a_duty_is_taken_by_who_could_give_it_or_given_up(realm: Realm, signer: str, ends: bool) -> None:
    body = {"holder": "person:approver", "duty": "bureau-approver", "scope": None, "reason": "left", "note": None}
    statement = realm.statement("duty.revoked", new_id("duty"), body, signer)
    if ends:
        realm.take(statement)
    else:
        with pytest.raises(StatementRefusedError):
            realm.take(statement)
    assert (realm.standing.people.duties("person:approver", at=realm.at) == frozenset()) is ends


def opened(realm: Realm, holder: str, duty: Duty, *signers: str, minutes: float = 30, drill: bool = False) -> None:
    until = {"reason": "incident", "expires_at": realm.later(minutes=minutes), "drill": drill, "note": None}
    body = {"holder": holder, "duty": duty.value, **until}
    realm.say("access.break_glass_opened", new_id("access"), body, *signers)


def test_break_glass_gives_half_an_hour_and_approves_nothing(realm: Realm) -> None:
    opened(realm, "person:reviewer", Duty.SECURITY_ADMIN, "person:reviewer")
    people = realm.standing.people
    assert people.emergency_duties("person:reviewer", at=realm.at) == {Duty.SECURITY_ADMIN}
    assert Duty.SECURITY_ADMIN not in people.duties("person:reviewer", at=realm.at)
    assert people.emergency_duties("person:reviewer", at=realm.later(minutes=31)) == frozenset()
    realm.register("person:x", BUREAU)
    assert refused(realm, "person:x", Duty.EXPERT, "person:reviewer") is Rule.SIGNER


@pytest.mark.parametrize(
    ("holder", "duty", "signer", "minutes", "rule"),
    [
        ("person:reviewer", Duty.SECURITY_ADMIN, "person:approver", 30, Rule.SIGNER),
        ("person:reviewer", Duty.SECURITY_ADMIN, "person:reviewer", 31, Rule.TIME),
        ("person:reviewer", Duty.BUREAU_APPROVER, "person:reviewer", 30, Rule.SEPARATION),
        ("person:cdo", Duty.SECURITY_ADMIN, "person:cdo", 30, Rule.SIGNER),
    ],
)
def test_break_glass_is_not_opened(
    realm: Realm, holder: str, duty: Duty, signer: str, minutes: float, rule: Rule
) -> None:
    with pytest.raises(StatementRefusedError) as caught:
        opened(realm, holder, duty, signer, minutes=minutes)
    assert caught.value.rule is rule


def test_a_drill_gives_nothing(realm: Realm) -> None:
    opened(realm, "person:reviewer", Duty.SECURITY_ADMIN, "person:reviewer", drill=True)
    assert realm.standing.people.emergency_duties("person:reviewer", at=realm.at) == frozenset()


def test_an_emergency_ends_when_it_is_closed(realm: Realm) -> None:
    opened(realm, "person:reviewer", Duty.SECURITY_ADMIN, "person:reviewer")
    body = {"holder": "person:reviewer", "duty": "security-admin", "actions": 1, "record": DIGEST}
    realm.say("access.break_glass_closed", new_id("access"), {**body, "drill": False, "note": None}, "person:sec")
    assert realm.standing.people.emergency_duties("person:reviewer", at=realm.at) == frozenset()
