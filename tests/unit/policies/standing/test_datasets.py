"""Data sets: what is registered by whom, and which versions jobs may name."""

import pytest

from policies.standing import DatasetStanding, Rule, StatementRefusedError
from tests.lib.realm import BUREAU, DATASET, DIGEST, NODE, PARTNER, UNIT, Realm
from yingbi.ids import dataset_id


def entry(**changes: object) -> dict[str, object]:
    body = {"owner": UNIT, "catalogue_entry": DIGEST, "privacy_unit": "enterprise", "openness": "conditional"}
    return {**body, **changes}


def version(number: int) -> dict[str, object]:
    return {"version": number, "schema_digest": DIGEST, "content": DIGEST}


def found(realm: Realm) -> DatasetStanding:
    dataset = realm.standing.datasets.get(DATASET)
    assert dataset is not None
    return dataset


def refusal(realm: Realm, kind: str, body: dict[str, object], *signers: str) -> Rule:
    with pytest.raises(StatementRefusedError) as caught:
        realm.say(kind, DATASET, body, *signers)
    return caught.value.rule


def test_a_version_is_usable_when_its_grades_are_confirmed(realm: Realm) -> None:
    realm.say("dataset.versioned", DATASET, version(2), NODE)
    assert (found(realm).is_usable(1), found(realm).is_usable(2), found(realm).is_usable(3)) == (True, False, False)
    realm.say("dataset.graded", DATASET, realm.grades(version=2), UNIT)
    assert found(realm).is_usable(2)


@pytest.mark.parametrize("change", [{"grade": "core"}, {"openness": "not-open"}])
def test_what_may_not_be_used_is_not_usable(realm: Realm, change: dict[str, object]) -> None:
    realm.say("dataset.graded", DATASET, realm.grades(**change), UNIT)
    assert not found(realm).is_usable(1)


def test_a_changed_entry_keeps_its_versions(realm: Realm) -> None:
    other = "sha256:" + "2" * 64
    realm.say("dataset.registered", DATASET, entry(catalogue_entry=other), UNIT)
    assert (found(realm).entry, found(realm).node, found(realm).is_usable(1)) == (other, NODE, True)


def test_a_withdrawn_data_set_is_nobodys_until_it_is_registered_again(realm: Realm) -> None:
    realm.say("dataset.withdrawn", DATASET, {"reason": "incident", "running_jobs": "stop", "note": None}, "person:cdo")
    assert not found(realm).is_usable(1)
    assert refusal(realm, "dataset.versioned", version(2), NODE) is Rule.STATE
    realm.say("dataset.registered", DATASET, entry(), UNIT)
    assert found(realm).is_usable(1)


@pytest.mark.parametrize("signer", [BUREAU, PARTNER, NODE, "person:approver", "person:analyst"])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("dataset.registered", entry()),
        ("dataset.graded", Realm.grades()),
        ("dataset.withdrawn", {"reason": "incident", "running_jobs": "stop", "note": None}),
    ],
)
def test_nobody_but_the_unit_says_what_its_data_are(
    realm: Realm, kind: str, body: dict[str, object], signer: str
) -> None:
    assert refusal(realm, kind, body, signer) is Rule.SIGNER


@pytest.mark.parametrize("signer", [UNIT, "person:cdo", BUREAU])
def test_versions_come_from_the_node(realm: Realm, signer: str) -> None:
    assert refusal(realm, "dataset.versioned", version(2), signer) is Rule.SIGNER


def test_a_node_of_another_unit_holds_other_data(realm: Realm) -> None:
    realm.admit("unit:social", "source-unit")
    realm.register("node:social", "unit:social")
    assert refusal(realm, "dataset.versioned", version(2), "node:social") is Rule.SIGNER
    assert refusal(realm, "dataset.registered", entry(owner="unit:social"), "unit:social") is Rule.STATE


@pytest.mark.parametrize("number", [1, 3])
def test_versions_come_one_after_the_other(realm: Realm, number: int) -> None:
    assert refusal(realm, "dataset.versioned", version(number), NODE) is Rule.VERSION


def test_grades_are_of_a_version_that_is_there(realm: Realm) -> None:
    assert refusal(realm, "dataset.graded", realm.grades(version=2), UNIT) is Rule.VERSION


def test_a_bank_owns_no_data_here(realm: Realm) -> None:
    with pytest.raises(StatementRefusedError) as caught:
        realm.say("dataset.registered", dataset_id("bank/loans"), entry(owner=PARTNER), PARTNER)
    assert caught.value.rule is Rule.SIGNER
