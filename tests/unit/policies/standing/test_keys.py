"""Keys: who registers, changes and ends them, and whose they are."""

from collections.abc import Callable

import pytest

from policies.standing import MissingSignaturesError, Rule, StatementRefusedError
from tests.lib.realm import BUREAU, NODE, PARTNER, UNIT, Realm
from yingbi.ids import new_id
from yingbi.statement import Statement


def registration(
    realm: Realm, owner: str, *signers: str, of: str | None = None, issuer: str = BUREAU, key: str | None = None
) -> Statement:
    jwk = realm.key(key or owner).public.to_jwk()
    body = {"jwk": jwk, "owner": owner, "not_before": realm.at, "not_after": None}
    return realm.statement("key.registered", new_id("key"), body, *signers, issuer=issuer, on_behalf_of=of)


def refusal(realm: Realm, statement: Statement) -> Rule:
    with pytest.raises(StatementRefusedError) as caught:
        realm.take(statement)
    return caught.value.rule


def test_a_registered_key_is_its_owners_and_says_whom_the_owner_belongs_to(realm: Realm) -> None:
    keys = realm.standing.keys
    found = keys.find(realm.thumbprint("person:cdo"), at=realm.at)
    assert found is not None
    assert (found.owner, keys.organisation("person:cdo")) == ("person:cdo", UNIT)
    assert (keys.organisation(NODE), keys.organisation(UNIT), keys.organisation("person:nobody")) == (UNIT, UNIT, None)
    assert keys.of(NODE, at=realm.at) == (realm.key(NODE).public,)


def test_a_root_owns_nothing_and_is_not_among_the_registered(realm: Realm) -> None:
    assert realm.standing.keys.find(realm.thumbprint("root"), at=realm.at) is None


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        pytest.param(
            lambda realm: registration(realm, "person:new", "root", "person:new"), Rule.KEY, id="nobody-employs"
        ),
        pytest.param(
            lambda realm: registration(realm, "person:new", "root", PARTNER, of=PARTNER),
            Rule.SIGNER,
            id="no-possession",
        ),
        pytest.param(
            lambda realm: registration(realm, "unit:new", "root", "unit:new", issuer="unit:new"),
            Rule.SIGNER,
            id="not-the-bureau-says-it",
        ),
        pytest.param(
            lambda realm: registration(realm, "bureau:other", "root", "bureau:other"), Rule.KEY, id="second-bureau"
        ),
        pytest.param(
            lambda realm: registration(realm, "person:new", "root", "person:new", of="bureau:other"),
            Rule.KEY,
            id="employed-by-a-second-bureau",
        ),
        pytest.param(
            lambda realm: registration(realm, "node:new", "root", "node:new", PARTNER, of=PARTNER),
            Rule.KEY,
            id="node-of-a-partner",
        ),
        pytest.param(lambda realm: registration(realm, "log:x", "root", "log:x"), Rule.KEY, id="log"),
        pytest.param(
            lambda realm: registration(realm, "unit:new", "root", "unit:new", of=UNIT), Rule.KEY, id="unit-of-a-unit"
        ),
        pytest.param(lambda realm: registration(realm, PARTNER, "root", PARTNER), Rule.KEY, id="registered-before"),
        pytest.param(
            lambda realm: registration(realm, "person:cdo", "root", "other", PARTNER, of=PARTNER, key="other"),
            Rule.KEY,
            id="changes-employer",
        ),
        pytest.param(
            lambda realm: registration(realm, "unit:new", "unit:new", "unknown"), Rule.KEY, id="unknown-signer"
        ),
    ],
)
def test_a_key_is_not_registered(realm: Realm, make: Callable[[Realm], Statement], rule: Rule) -> None:
    size = realm.standing.size
    assert refusal(realm, make(realm)) is rule
    assert realm.standing.size == size + 1, "the entry is read, and has no effect"


def test_a_registration_waits_for_the_organisation_and_for_a_root(realm: Realm) -> None:
    statement = registration(realm, "person:new", "person:new", of=PARTNER)
    with pytest.raises(MissingSignaturesError) as caught:
        realm.standing.judge(statement, at=realm.at)
    assert caught.value.missing == (PARTNER, "root")


def test_the_bureau_does_not_register_keys_without_a_root(realm: Realm) -> None:
    """SECURITY: its key is the hub's."""
    with pytest.raises(MissingSignaturesError):
        realm.take(registration(realm, "person:forged", "person:forged", BUREAU, of=BUREAU))


def test_a_rotation_ends_the_old_key(realm: Realm) -> None:
    body = {"old": realm.thumbprint(PARTNER), "jwk": realm.key("new").public.to_jwk(), "owner": PARTNER}
    realm.say("key.rotated", new_id("key"), {**body, "not_after": None}, PARTNER, "new")
    assert realm.standing.keys.of(PARTNER, at=realm.at) == (realm.key("new").public,)
    assert refusal(realm, realm.statement("job.submitted", new_id("job"), realm.submitted(), PARTNER)) is Rule.KEY


@pytest.mark.parametrize("signers", [(PARTNER,), ("new",), ("new", UNIT)])
def test_both_keys_sign_a_rotation(realm: Realm, signers: tuple[str, ...]) -> None:
    body = {"old": realm.thumbprint(PARTNER), "jwk": realm.key("new").public.to_jwk(), "owner": PARTNER}
    statement = realm.statement("key.rotated", new_id("key"), {**body, "not_after": None}, *signers, issuer=PARTNER)
    assert refusal(realm, statement) is Rule.SIGNER


def test_a_key_does_not_rotate_to_another_owner(realm: Realm) -> None:
    body = {"old": realm.thumbprint(PARTNER), "jwk": realm.key("new").public.to_jwk(), "owner": UNIT, "not_after": None}
    assert refusal(realm, realm.statement("key.rotated", new_id("key"), body, PARTNER, "new")) is Rule.KEY


@pytest.mark.parametrize(("signer", "ends"), [(PARTNER, True), ("root", True), (UNIT, False), (BUREAU, False)])
def test_a_key_is_ended_by_itself_or_a_root(realm: Realm, signer: str, ends: bool) -> None:
    body = {"keyid": realm.thumbprint(PARTNER), "reason": "lost"}
    statement = realm.statement("key.revoked", new_id("key"), body, signer, issuer=BUREAU)
    if ends:
        realm.take(statement)
        assert realm.standing.keys.of(PARTNER, at=realm.at) == ()
    else:
        assert refusal(realm, statement) is Rule.SIGNER
        assert realm.standing.keys.of(PARTNER, at=realm.at)


def test_a_key_that_ended_is_not_registered_again(realm: Realm) -> None:
    realm.say("key.revoked", new_id("key"), {"keyid": realm.thumbprint(PARTNER), "reason": "lost"}, PARTNER)
    assert refusal(realm, registration(realm, PARTNER, "root", PARTNER)) is Rule.KEY


def test_a_root_that_ended_registers_nothing(realm: Realm) -> None:
    realm.say(
        "key.revoked", new_id("key"), {"keyid": realm.thumbprint("root"), "reason": "lost"}, "root", issuer=BUREAU
    )
    assert refusal(realm, registration(realm, "unit:new", "root", "unit:new")) is Rule.KEY


def test_a_key_signs_within_its_time_only(realm: Realm) -> None:
    body = {"jwk": realm.key("unit:new").public.to_jwk(), "owner": "unit:new", "not_before": realm.later(hours=1)}
    until = {"not_after": realm.later(hours=2)}
    realm.say("key.registered", new_id("key"), {**body, **until}, "root", "unit:new", issuer=BUREAU)
    times = (realm.at, realm.later(hours=1), realm.later(hours=2), realm.later(hours=2, microseconds=1))
    assert [bool(realm.standing.keys.of("unit:new", at=at)) for at in times] == [False, True, True, False]


def test_a_signature_that_does_not_verify(realm: Realm) -> None:
    good = realm.statement("job.submitted", new_id("job"), realm.submitted(), PARTNER)
    other = realm.statement("job.submitted", new_id("job"), realm.submitted(), PARTNER)
    mixed = type(good)(
        envelope=good.envelope, payload_bytes=good.payload_bytes, payload=good.payload, signatures=other.signatures
    )
    assert refusal(realm, mixed) is Rule.SIGNATURE


def test_nobody_speaks_for_somebody_else(realm: Realm) -> None:
    statement = realm.statement("job.submitted", new_id("job"), realm.submitted(), UNIT, issuer=PARTNER)
    assert refusal(realm, statement) is Rule.SIGNER
