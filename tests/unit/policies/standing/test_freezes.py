"""Freezes: one person stops, two let go on."""

import pytest

from policies.standing import MissingSignaturesError, Rule, StatementRefusedError
from tests.lib.realm import BUREAU, DATASET, NODE, PARTNER, UNIT, Realm
from yingbi.ids import new_id


def freeze(realm: Realm, target: str, *signers: str, drill: bool = False) -> None:
    body = {"target": target, "reason": "incident", "drill": drill, "note": None}
    realm.say("access.frozen", new_id("access"), body, *signers)


def unfreeze(realm: Realm, target: str, *signers: str, drill: bool = False) -> None:
    realm.say("access.unfrozen", new_id("access"), {"target": target, "drill": drill, "note": None}, *signers)


@pytest.mark.parametrize("signer", ["person:sec", "person:approver"])
def test_one_freezes_and_two_unfreeze(realm: Realm, signer: str) -> None:
    freeze(realm, PARTNER, signer)
    assert realm.standing.frozen == {PARTNER}
    with pytest.raises(MissingSignaturesError):
        unfreeze(realm, PARTNER, signer)
    unfreeze(realm, PARTNER, "person:sec", "person:approver")
    assert realm.standing.frozen == frozenset()


@pytest.mark.parametrize("target", [NODE, DATASET, "agr-tax-2026-01"])
def test_a_units_officer_freezes_what_is_the_units(realm: Realm, target: str) -> None:
    realm.agree()
    freeze(realm, target, "person:cdo")
    assert realm.standing.frozen == {target}


@pytest.mark.parametrize(
    ("target", "signer"),
    [
        (PARTNER, "person:cdo"),
        ("person:approver", "person:cdo"),
        (PARTNER, BUREAU),
        (PARTNER, "person:reviewer"),
        (NODE, PARTNER),
        (NODE, UNIT),
    ],
)
def test_nobody_else_freezes(realm: Realm, target: str, signer: str) -> None:
    with pytest.raises(StatementRefusedError) as caught:
        freeze(realm, target, signer)
    assert caught.value.rule is Rule.DUTY
    assert realm.standing.frozen == frozenset()


def test_a_drill_is_recorded_and_stops_nothing(realm: Realm) -> None:
    freeze(realm, PARTNER, "person:sec", drill=True)
    assert realm.standing.frozen == frozenset()
    unfreeze(realm, PARTNER, "person:sec", "person:approver", drill=True)


def test_what_is_not_frozen_is_not_unfrozen(realm: Realm) -> None:
    with pytest.raises(StatementRefusedError) as caught:
        unfreeze(realm, PARTNER, "person:sec", "person:approver")
    assert caught.value.rule is Rule.STATE


def test_who_is_frozen_says_nothing_more(realm: Realm) -> None:
    freeze(realm, "person:approver", "person:sec")
    with pytest.raises(StatementRefusedError) as caught:
        freeze(realm, PARTNER, "person:approver")
    assert caught.value.rule is Rule.FROZEN


def test_an_emergency_freezes_and_does_not_unfreeze(realm: Realm) -> None:
    body = {"holder": "person:reviewer", "duty": "security-admin", "reason": "incident", "drill": False, "note": None}
    until = {"expires_at": realm.later(minutes=30)}
    realm.say("access.break_glass_opened", new_id("access"), {**body, **until}, "person:reviewer")
    freeze(realm, PARTNER, "person:reviewer")
    assert realm.standing.frozen == {PARTNER}
    with pytest.raises(MissingSignaturesError):
        unfreeze(realm, PARTNER, "person:reviewer", "person:sec")


@pytest.mark.parametrize("drill", [False, True])
@pytest.mark.parametrize("target", ["partner:nobody", "node:typo", "agr-typo", "ds-" + "a" * 26, "person:ghost"])
def test_what_is_not_there_is_not_frozen(realm: Realm, target: str, drill: bool) -> None:
    with pytest.raises(StatementRefusedError) as caught:
        freeze(realm, target, "person:sec", drill=drill)
    assert caught.value.rule is Rule.STATE
    assert realm.standing.frozen == frozenset()
