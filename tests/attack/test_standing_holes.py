"""Attacks on the standing that worked once: each by somebody with a good key of his own."""

import pytest

from policies.model import Approvals, JobApproval, OutputApproval, terms_digest
from policies.sign import signed_payload
from policies.standing import Rule, StatementRefusedError
from tests.lib.realm import BUREAU, DATASET, DIGEST, NODE, PARTNER, UNIT, Realm
from yingbi.clock import parse_time
from yingbi.events.fields import Duty
from yingbi.ids import dataset_id, new_id
from yingbi.keys import SigningKey
from yingbi.statement import Statement, sign

OTHER = "partner:bank-b"
FREEZE = {"reason": "incident", "note": None, "drill": False}


@pytest.fixture
def realm() -> Realm:
    found = Realm()
    found.populate()
    return found


def has_no_effect(realm: Realm, statement: Statement) -> None:
    with pytest.raises(StatementRefusedError):
        realm.take(statement)


def alone(duty: Duty) -> Approvals:
    return Approvals(agreement=(duty,), job=JobApproval.AUTOMATIC, output=OutputApproval.AUTOMATIC)


# ---  the issuer need not have signed ------------------------------------------------------------------------------


@pytest.mark.parametrize("forger", [PARTNER, "person:analyst", BUREAU])
def test_nobody_signs_terms_in_another_persons_name(realm: Realm, forger: str) -> None:
    terms = realm.terms()
    realm.propose(terms)
    for person, duty in (("person:cdo", Duty.UNIT_CDO), ("person:approver", Duty.BUREAU_APPROVER)):
        at = parse_time(realm.at)
        payload = signed_payload(terms, duty=duty, issuer=person, on_behalf_of=forger, at=at)
        has_no_effect(realm, sign(payload, [realm.key(forger)]))


def test_nobody_declares_versions_in_a_nodes_name(realm: Realm) -> None:
    body = {"version": 2, "schema_digest": DIGEST, "content": DIGEST}
    has_no_effect(
        realm, realm.statement("dataset.versioned", DATASET, body, PARTNER, issuer=NODE, on_behalf_of=PARTNER)
    )


def test_one_checker_does_not_check_in_two_names(realm: Realm) -> None:
    terms = realm.agree()
    name = realm.submit()
    realm.run(name, terms)
    realm.take(realm.held(name))
    body = {"job": name, "candidate": DIGEST, "rules": DIGEST, "verdict": "pass", "findings": []}
    has_no_effect(
        realm,
        realm.statement(
            "output.checked", new_id("out"), body, "person:checker", issuer="person:cdo", on_behalf_of="person:checker"
        ),
    )


def test_a_frozen_analyst_does_not_ask_in_the_banks_name(realm: Realm) -> None:
    realm.agree()
    realm.say("access.frozen", new_id("frz"), {**FREEZE, "target": "person:analyst"}, "person:sec")
    asked, whom = realm.submitted(), {"issuer": PARTNER, "on_behalf_of": "person:analyst"}
    has_no_effect(realm, realm.statement("job.submitted", new_id("job"), asked, "person:analyst", **whom))


# ---  whose signatures terms need is not judged by nodes -----------------------------------------------------------


@pytest.mark.parametrize("duty", [Duty.PARTNER_KEY_OFFICER, Duty.BUREAU_APPROVER, Duty.UNIT_CDO])
def test_no_agreement_without_unit_and_bureau(realm: Realm, duty: Duty) -> None:
    terms = realm.terms(approvals=alone(duty))
    with pytest.raises(StatementRefusedError, match="among those who sign"):
        realm.propose(terms)


def test_another_units_officer_signs_nothing_for_the_data(realm: Realm) -> None:
    realm.admit("unit:other", "source-unit")
    realm.register("person:cdo2", "unit:other")
    realm.grant("person:cdo2", Duty.UNIT_CDO, "unit:other")
    terms = realm.terms(assigner=BUREAU)
    realm.propose(terms)
    has_no_effect(realm, realm.signature(terms, "person:cdo2", Duty.UNIT_CDO))


# ---  a stranger counters ------------------------------------------------------------------------------------------


def test_a_third_party_does_not_counter(realm: Realm) -> None:
    realm.admit(OTHER, "bank")
    realm.register("person:b", OTHER)
    terms = realm.terms()
    realm.propose(terms)
    changed = realm.terms(version=2, assignee=OTHER)
    realm.texts[terms_digest(changed)] = changed
    body = {"version": 2, "terms": terms_digest(changed), "previous_terms": terms_digest(terms), "note": None}
    has_no_effect(realm, realm.statement("agreement.countered", terms.id, body, "person:b", on_behalf_of=OTHER))


# ---  a root alone gives somebody else's name another key ----------------------------------------------------------


@pytest.mark.parametrize(("owner", "employer"), [("person:approver", BUREAU), (UNIT, None), (PARTNER, None)])
def test_a_root_alone_gives_no_second_key(realm: Realm, owner: str, employer: str | None) -> None:
    realm.keys["evil"] = SigningKey.generate()
    body = {"jwk": realm.key("evil").public.to_jwk(), "owner": owner, "not_before": realm.at, "not_after": None}
    has_no_effect(
        realm,
        realm.statement("key.registered", new_id("key"), body, "root", "evil", issuer=BUREAU, on_behalf_of=employer),
    )


# ---  agreements.py: a unit lifts by itself what the bureau stopped ------------------------------------------------


def test_two_officers_of_one_unit_do_not_lift_what_the_bureau_stopped(realm: Realm) -> None:
    terms = realm.agree()
    realm.register("person:cdo2", UNIT)
    realm.grant("person:cdo2", Duty.UNIT_CDO, UNIT)
    realm.say("access.frozen", new_id("frz"), {**FREEZE, "target": NODE}, "person:sec")
    lifted = {"target": NODE, "note": None, "drill": False}
    has_no_effect(realm, realm.statement("access.unfrozen", new_id("frz"), lifted, "person:cdo", "person:cdo2"))
    body = {"terms": terms_digest(terms), "reason": "incident", "running_jobs": "stop", "until": None, "note": None}
    realm.say("agreement.suspended", terms.id, body, "person:sec")
    body = {"terms": terms_digest(terms), "note": None}
    has_no_effect(realm, realm.statement("agreement.resumed", terms.id, body, "person:cdo", "person:cdo2"))


def test_a_data_sets_id_does_not_shadow_an_agreement(realm: Realm) -> None:
    terms = realm.agree()
    realm.admit("unit:other", "source-unit")
    realm.register("person:x", "unit:other")
    realm.grant("person:x", Duty.UNIT_CDO, "unit:other")
    entry = {"owner": "unit:other", "catalogue_entry": DIGEST, "privacy_unit": "enterprise", "openness": "conditional"}
    has_no_effect(realm, realm.statement("dataset.registered", terms.id, entry, "person:x", on_behalf_of="unit:other"))


# ---  keys go round the freeze -------------------------------------------------------------------------------------


def test_who_is_frozen_gives_no_keys(realm: Realm) -> None:
    realm.keys["evil"] = SigningKey.generate()
    realm.say("access.frozen", new_id("frz"), {**FREEZE, "target": "person:analyst"}, "person:sec")
    realm.say("access.frozen", new_id("frz"), {**FREEZE, "target": UNIT}, "person:sec")
    old = realm.thumbprint("person:analyst")
    body = {"jwk": realm.key("evil").public.to_jwk(), "owner": "person:analyst", "old": old, "not_after": None}
    has_no_effect(realm, realm.statement("key.rotated", new_id("key"), body, "person:analyst", "evil"))
    with pytest.raises(StatementRefusedError):
        realm.register("node:tax-2", UNIT)


def test_a_rotation_does_not_lengthen_a_keys_life(realm: Realm) -> None:
    realm.keys["person:temp"], realm.keys["evil"] = SigningKey.generate(), SigningKey.generate()
    until = realm.later(hours=1)
    first = realm.key("person:temp").public
    body = {"jwk": first.to_jwk(), "owner": "person:temp", "not_before": realm.at, "not_after": until}
    realm.say("key.registered", new_id("key"), body, "root", "person:temp", issuer=BUREAU, on_behalf_of=BUREAU)
    body = {"jwk": realm.key("evil").public.to_jwk(), "owner": "person:temp", "old": first.thumbprint}
    has_no_effect(
        realm, realm.statement("key.rotated", new_id("key"), {**body, "not_after": None}, "person:temp", "evil")
    )


# ---  what is released after a stop --------------------------------------------------------------------------------


@pytest.mark.parametrize("stopped", ["frozen data", "withdrawn data", "suspended partner", "frozen submitter"])
def test_nothing_is_released_of_what_is_stopped(realm: Realm, stopped: str) -> None:
    terms = realm.agree()
    name = new_id("job")
    realm.say("job.submitted", name, realm.submitted(), "person:analyst", on_behalf_of=PARTNER)
    realm.run(name, terms)
    realm.take(realm.checked(name, NODE))
    match stopped:
        case "frozen data":
            realm.say("access.frozen", new_id("frz"), {**FREEZE, "target": DATASET}, "person:cdo")
        case "frozen submitter":
            realm.say("access.frozen", new_id("frz"), {**FREEZE, "target": "person:analyst"}, "person:sec")
        case "withdrawn data":
            body = {"reason": "owner-decision", "running_jobs": "stop", "note": None}
            realm.say("dataset.withdrawn", DATASET, body, "person:cdo", on_behalf_of=UNIT)
        case _:
            body = {"party": PARTNER, "reason": "incident", "until": None, "note": None}
            realm.say("participant.suspended", new_id("par"), body, "person:approver")
    has_no_effect(realm, realm.released(name))


def test_a_check_of_another_candidate_lets_nothing_out(realm: Realm) -> None:
    terms = realm.agree()
    name = realm.submit()
    realm.run(name, terms)
    other = {"candidate": "sha256:" + "8" * 64, "rules": "sha256:" + "7" * 64, "verdict": "pass", "findings": []}
    realm.say("output.checked", new_id("out"), {"job": name, **other}, "person:checker")
    realm.take(realm.held(name))
    has_no_effect(realm, realm.released(name))


def test_nothing_is_released_uncharged(realm: Realm) -> None:
    terms = realm.agree()
    name = realm.submit()
    realm.say("job.approved", name, realm.approval(terms), BUREAU)
    realm.lease(name)
    realm.say("job.started", name, realm.started(terms), NODE)
    realm.take(realm.checked(name, NODE))
    has_no_effect(realm, realm.released(name))


def test_no_measure_goes_round_the_limit_of_jobs(realm: Realm) -> None:
    terms = realm.agree(realm.terms(jobs=1))
    for number in range(2):
        name = realm.submit()
        realm.say("job.approved", name, realm.approval(terms), BUREAU)
        realm.lease(name)
        realm.say("job.started", name, realm.started(terms), NODE)
        if number:
            has_no_effect(realm, realm.charge(name, measure="rounds"))
        else:
            realm.take(realm.charge(name))


def test_a_job_is_not_charged_after_its_end(realm: Realm) -> None:
    terms = realm.agree()
    name = realm.submit()
    realm.say("job.approved", name, realm.approval(terms), BUREAU)
    realm.lease(name)
    realm.say("job.cancelled", name, {"reason": "request", "note": None}, PARTNER)
    has_no_effect(realm, realm.charge(name))


# ---  people.py ----------------------------------------------------------------------------------------------------


def test_an_admission_is_of_the_application_that_was_looked_at(realm: Realm) -> None:
    party = "partner:credit"
    realm.register(party)
    body: dict[str, object] = {
        "party": party,
        "kind": "credit-bureau",
        "identity": DIGEST,
        "licence": None,
        "note": None,
    }
    body["keyid"] = realm.thumbprint(party)
    realm.say("participant.applied", new_id("par"), body, party)
    admitted = {"party": party, "kind": "credit-bureau", "valid_until": None, "note": None}
    looked_at = realm.statement("participant.admitted", new_id("par"), admitted, "person:registrar", "person:approver")
    realm.say("participant.applied", new_id("par"), {**body, "licence": DIGEST}, party)
    has_no_effect(realm, looked_at)


def test_a_duty_within_a_scope_is_good_nowhere_else(realm: Realm) -> None:
    realm.register("person:cdo2", UNIT)
    grant = {"holder": "person:cdo2", "duty": "unit-cdo", "scope": "ds-another", "valid_until": None}
    has_no_effect(realm, realm.statement("duty.granted", new_id("dut"), grant, UNIT))


def test_an_emergency_collects_no_conflicting_duties(realm: Realm) -> None:
    realm.register("person:new", BUREAU)
    body: dict[str, object] = {"holder": "person:new", "reason": "incident", "expires_at": realm.later(minutes=30)}
    body |= {"note": None, "drill": False}
    realm.say("access.break_glass_opened", new_id("bgl"), {**body, "duty": "bureau-approver"}, "person:new")
    has_no_effect(
        realm,
        realm.statement("access.break_glass_opened", new_id("bgl"), {**body, "duty": "bureau-registrar"}, "person:new"),
    )


def test_no_lease_to_a_node_of_a_suspended_unit(realm: Realm) -> None:
    terms = realm.agree()
    name = realm.submit()
    realm.say("job.approved", name, realm.approval(terms), BUREAU)
    body = {"party": UNIT, "reason": "incident", "until": None, "note": None}
    realm.say("participant.suspended", new_id("par"), body, "person:approver")
    with pytest.raises(StatementRefusedError):
        realm.lease(name)


def test_a_new_application_needs_a_new_admission(realm: Realm) -> None:
    party = "partner:credit"
    realm.register(party)
    body = {"party": party, "kind": "credit-bureau", "identity": DIGEST, "licence": DIGEST, "note": None}
    realm.say("participant.applied", new_id("par"), {**body, "keyid": realm.thumbprint(party)}, party)
    admitted = {"party": party, "kind": "credit-bureau", "valid_until": None, "note": None}
    before = realm.at
    realm.pass_time(minutes=1)
    realm.say("participant.applied", new_id("par"), {**body, "keyid": realm.thumbprint(party)}, party)
    now, realm.at = realm.at, before
    early = realm.statement("participant.admitted", new_id("par"), admitted, "person:registrar", "person:approver")
    realm.at = now
    has_no_effect(realm, early)
    realm.pass_time(seconds=1)
    realm.say("participant.admitted", new_id("par"), admitted, "person:registrar", "person:approver")
    assert realm.standing.participants.licensed(at=realm.at) == {party}


def test_a_party_that_lost_all_its_keys_gets_one_from_two_hands(realm: Realm) -> None:
    realm.say("key.revoked", new_id("key"), {"keyid": realm.thumbprint(PARTNER), "reason": "lost"}, PARTNER)
    body = {"jwk": realm.key("new").public.to_jwk(), "owner": PARTNER, "not_before": realm.at, "not_after": None}
    by_root = realm.statement("key.registered", new_id("key"), body, "root", "new", issuer=BUREAU)
    has_no_effect(realm, by_root)
    realm.say("key.registered", new_id("key"), body, "root", "new", "person:sec", issuer=BUREAU)
    assert realm.standing.keys.of(PARTNER, at=realm.at) == (realm.key("new").public,)


def test_a_text_that_is_withheld_leaves_no_older_one_in_force(realm: Realm) -> None:
    terms = realm.terms()
    realm.propose(terms)
    realm.take(realm.signature(terms, "person:cdo", Duty.UNIT_CDO))
    changed = realm.terms(version=2)
    payload = {"version": 2, "terms": terms_digest(changed), "previous_terms": terms_digest(terms), "note": None}
    countered = realm.statement("agreement.countered", terms.id, payload, "person:approver", on_behalf_of=BUREAU)
    realm.standing.block(countered, index=realm.standing.size)
    has_no_effect(realm, realm.signature(terms, "person:approver", Duty.BUREAU_APPROVER))
    with pytest.raises(StatementRefusedError):
        realm.propose(terms, "person:cdo", UNIT)
    assert realm.standing.agreements.get(terms.id) is None


def test_an_emergency_is_not_prolonged_for_ever(realm: Realm) -> None:
    body = {"holder": "person:reviewer", "duty": "security-admin", "reason": "incident", "drill": False, "note": None}
    until = {"expires_at": realm.later(minutes=30)}
    realm.say("access.break_glass_opened", new_id("bgl"), {**body, **until}, "person:reviewer")
    realm.pass_time(minutes=31)
    again = {**body, "expires_at": realm.later(minutes=30)}
    has_no_effect(realm, realm.statement("access.break_glass_opened", new_id("bgl"), again, "person:reviewer"))
    realm.pass_time(days=2)
    again = {**body, "expires_at": realm.later(minutes=30)}
    realm.say("access.break_glass_opened", new_id("bgl"), again, "person:reviewer")


def test_what_both_sides_have_stopped_both_let_go(realm: Realm) -> None:
    realm.register("person:cdo2", UNIT)
    realm.grant("person:cdo2", Duty.UNIT_CDO, UNIT)
    for who in ("person:sec", "person:cdo"):
        realm.say("access.frozen", new_id("frz"), {**FREEZE, "target": NODE}, who)
    lifted = {"target": NODE, "note": None, "drill": False}
    for pair in (("person:cdo", "person:cdo2"), ("person:sec", "person:approver")):
        has_no_effect(realm, realm.statement("access.unfrozen", new_id("frz"), lifted, *pair))
    realm.say("access.unfrozen", new_id("frz"), lifted, "person:sec", "person:cdo")
    assert realm.standing.frozen == frozenset()


def test_an_agreement_does_not_take_the_id_of_anothers_data(realm: Realm) -> None:
    """Frozen under it, the data set of another unit could never have been let go on."""
    with pytest.raises(StatementRefusedError) as caught:
        realm.propose(realm.terms(id=dataset_id("rival/water")), by="person:cdo", employer=UNIT)
    assert caught.value.rule is Rule.TERMS
