"""What an entry does not bring about, whoever has it recorded: people without the duty, keys that ended, lying hubs.

Each statement here may stand in the log, for a hub that lies records what it likes; none of them has an effect.
"""

from typing import Any

import pytest

from policies.jobs import JobState
from policies.model import Agreement, JobApproval, terms_digest
from policies.standing import MissingSignaturesError, StatementRefusedError
from tests.lib.realm import BUREAU, DATASET, DIGEST, NODE, PARTNER, UNIT, Realm
from yingbi.events.fields import Duty
from yingbi.ids import new_id
from yingbi.keys import SigningKey
from yingbi.statement import Statement

OTHER_UNIT, OTHER_NODE, RIVAL = "unit:other", "node:other", "partner:bank-b"
FREEZE = {"reason": "incident", "note": None, "drill": False}
STOP = {"reason": "incident", "running_jobs": "stop", "until": None, "note": None}


@pytest.fixture
def realm() -> Realm:
    found = Realm()
    found.populate()
    found.admit(OTHER_UNIT, "source-unit")
    found.register(OTHER_NODE, OTHER_UNIT)
    found.register("person:cdo2", OTHER_UNIT)
    found.grant("person:cdo2", Duty.UNIT_CDO, OTHER_UNIT)
    found.admit(RIVAL, "bank")
    found.register("person:rival", RIVAL)
    found.grant("person:rival", Duty.PARTNER_ANALYST, RIVAL)
    return found


@pytest.fixture
def terms(realm: Realm) -> Agreement:
    return realm.agree()


def has_no_effect(realm: Realm, statement: Statement) -> None:
    before = state_of(realm)
    with pytest.raises(StatementRefusedError):
        realm.take(statement)
    assert state_of(realm) == before


def state_of(realm: Realm) -> Any:
    standing, at = realm.standing, realm.at
    agreements = [(one.id, one.terms, one.life.state) for one in standing.agreements.items()]
    jobs = [(one.id, one.state, one.charge, one.checks) for one in standing.jobs.items()]
    parties = [(one.party, one.state) for one in standing.participants.items()]
    return agreements, jobs, parties, standing.frozen, standing.people.holders(at=at), list(standing.datasets.items())


def running(realm: Realm, terms: Agreement) -> str:
    job = realm.submit()
    realm.run(job, terms)
    return job


EVERYBODY = ("person:cdo2", OTHER_UNIT, OTHER_NODE, RIVAL, "person:rival", PARTNER, "person:analyst", "person:officer")


@pytest.mark.parametrize("who", [*EVERYBODY, BUREAU, "person:registrar", "person:reviewer", "person:checker"])
def test_who_has_not_the_duty_stops_and_frees_nothing(realm: Realm, terms: Agreement, who: str) -> None:
    for target in (NODE, DATASET, terms.id, UNIT, "person:approver"):
        has_no_effect(realm, realm.statement("access.frozen", new_id("frz"), {**FREEZE, "target": target}, who))
    suspended = {**STOP, "terms": terms_digest(terms)}
    has_no_effect(realm, realm.statement("agreement.suspended", terms.id, suspended, who))
    realm.say("access.frozen", new_id("frz"), {**FREEZE, "target": terms.id}, "person:sec")
    lifted = {"target": terms.id, "note": None, "drill": False}
    has_no_effect(realm, realm.statement("access.unfrozen", new_id("frz"), lifted, who, "person:sec"))


@pytest.mark.parametrize("who", [*EVERYBODY, BUREAU, "person:registrar", "person:sec", "person:checker"])
def test_who_has_not_the_duty_approves_no_job(realm: Realm, who: str) -> None:
    reviewed = realm.agree(realm.terms(job=JobApproval.REVIEWED))
    job = realm.submit()
    for route, rule in (("reviewed", None), ("automatic", "low-risk.1"), ("declared", "low-risk.1")):
        body = realm.approval(reviewed, route=route, rule=rule)
        has_no_effect(realm, realm.statement("job.approved", job, body, who))


@pytest.mark.parametrize("who", [*EVERYBODY, BUREAU, "person:registrar", "person:approver", "person:sec"])
def test_who_has_not_the_duty_lets_nothing_out(realm: Realm, terms: Agreement, who: str) -> None:
    job = running(realm, terms)
    realm.take(realm.held(job))
    has_no_effect(realm, realm.checked(job, who))
    has_no_effect(realm, realm.released(job, who))
    has_no_effect(realm, realm.released(job))


def test_one_failed_check_outweighs_every_other(realm: Realm, terms: Agreement) -> None:
    job = running(realm, terms)
    realm.take(realm.held(job))
    realm.take(realm.checked(job, "person:checker", "fail"))
    realm.take(realm.checked(job, "person:cdo"))
    has_no_effect(realm, realm.released(job))


@pytest.mark.parametrize("duty", [Duty.OUTPUT_CHECKER, Duty.UNIT_CDO, Duty.BUREAU_REVIEWER, Duty.BUREAU_APPROVER])
@pytest.mark.parametrize("grantors", [(RIVAL,), ("person:sec",), (BUREAU,), (UNIT,), ("root",), (RIVAL, "person:sec")])
def test_a_banks_people_get_no_duty_of_bureau_or_unit(realm: Realm, duty: Duty, grantors: tuple[str, ...]) -> None:
    body = {"holder": "person:rival", "duty": duty.value, "scope": None, "valid_until": None}
    issuer = BUREAU if grantors == ("root",) else None
    has_no_effect(realm, realm.statement("duty.granted", new_id("dut"), body, *grantors, issuer=issuer))


@pytest.mark.parametrize("signers", [("person:sec",), ("root",), (BUREAU, "root"), (BUREAU,), ("person:sec", "root")])
def test_no_administrator_is_made_beside_another_or_after_the_ceremony(realm: Realm, signers: tuple[str, ...]) -> None:
    for holder, duty in (("person:sec", Duty.AUDIT_ADMIN), ("person:approver", Duty.AUDIT_ADMIN)):
        body = {"holder": holder, "duty": duty.value, "scope": None, "valid_until": None}
        has_no_effect(realm, realm.statement("duty.granted", new_id("dut"), body, *signers, issuer=BUREAU))


def test_an_emergency_approves_nothing(realm: Realm) -> None:
    realm.register("person:new", BUREAU)
    body = {"holder": "person:new", "duty": "bureau-approver", "reason": "incident", "note": None, "drill": False}
    until = realm.later(minutes=30)
    realm.say("access.break_glass_opened", new_id("bgl"), {**body, "expires_at": until}, "person:new")
    agreed = realm.terms()
    realm.propose(agreed)
    has_no_effect(realm, realm.signature(agreed, "person:new", Duty.BUREAU_APPROVER))
    realm.say("access.frozen", new_id("frz"), {**FREEZE, "target": NODE}, "person:new")
    lifted = {"target": NODE, "note": None, "drill": False}
    with pytest.raises(MissingSignaturesError):
        realm.take(realm.statement("access.unfrozen", new_id("frz"), lifted, "person:new", "person:sec"))
    realm.pass_time(minutes=31)
    has_no_effect(realm, realm.statement("access.frozen", new_id("frz"), {**FREEZE, "target": UNIT}, "person:new"))


def test_what_was_signed_once_is_not_used_again(realm: Realm, terms: Agreement) -> None:
    freeze = realm.statement("access.frozen", new_id("frz"), {**FREEZE, "target": PARTNER}, "person:sec")
    lifted = {"target": PARTNER, "note": None, "drill": False}
    unfreeze = realm.statement("access.unfrozen", new_id("frz"), lifted, "person:sec", "person:approver")
    realm.take(freeze)
    realm.take(unfreeze)
    realm.pass_time(minutes=1)
    realm.say("access.frozen", new_id("frz"), {**FREEZE, "target": PARTNER}, "person:sec")
    has_no_effect(realm, unfreeze)
    suspended = {**STOP, "terms": terms_digest(terms)}
    realm.say("agreement.suspended", terms.id, suspended, "person:cdo")
    resume = {"terms": terms_digest(terms), "note": None}
    realm.take(realm.statement("agreement.resumed", terms.id, resume, "person:cdo", "person:approver"))
    again = realm.entries[-1]
    realm.say("agreement.suspended", terms.id, suspended, "person:cdo")
    has_no_effect(realm, again)
    realm.pass_time(days=8)
    has_no_effect(realm, again)


def test_a_signature_of_terms_that_were_countered_is_void_for_good(realm: Realm) -> None:
    first = realm.terms()
    realm.propose(first)
    early = realm.signature(first, "person:approver", Duty.BUREAU_APPROVER)
    realm.take(realm.signature(first, "person:cdo", Duty.UNIT_CDO))
    second = realm.terms(version=2, jobs=1)
    realm.texts[terms_digest(second)] = second
    body = {"version": 2, "terms": terms_digest(second), "previous_terms": terms_digest(first), "note": None}
    realm.say("agreement.countered", first.id, body, "person:officer", on_behalf_of=PARTNER)
    has_no_effect(realm, early)
    found = realm.standing.agreements.get(first.id)
    assert found is not None
    assert found.life.approvals == ()
    back = {"version": 1, "terms": terms_digest(first), "previous_terms": terms_digest(second), "note": None}
    has_no_effect(realm, realm.statement("agreement.countered", first.id, back, "person:officer", on_behalf_of=PARTNER))


def test_a_key_that_ended_signs_nothing_however_it_is_dated(realm: Realm) -> None:
    early = realm.statement("access.frozen", new_id("frz"), {**FREEZE, "target": NODE}, "person:sec")
    gone = {"keyid": realm.thumbprint("person:sec"), "reason": "compromised"}
    realm.pass_time(minutes=1)
    realm.say("key.revoked", new_id("key"), gone, "root", issuer=BUREAU)
    has_no_effect(realm, early)
    has_no_effect(realm, realm.statement("access.frozen", new_id("frz"), {**FREEZE, "target": NODE}, "person:sec"))


def test_the_bureaus_own_key_makes_nobody(realm: Realm) -> None:
    for signers in ((BUREAU, "person:ghost"), ("person:ghost", "root"), (BUREAU, "root")):
        body: dict[str, object] = {"jwk": realm.key("person:ghost").public.to_jwk(), "owner": "person:ghost"}
        body |= {"not_before": realm.at, "not_after": None}
        statement = realm.statement("key.registered", new_id("key"), body, *signers, issuer=BUREAU, on_behalf_of=UNIT)
        has_no_effect(realm, statement)
    for party, kind in (("partner:ghost", "bank"), (RIVAL, "bank")):
        admitted = {"party": party, "kind": kind, "valid_until": None, "note": None}
        has_no_effect(realm, realm.statement("participant.admitted", new_id("par"), admitted, BUREAU))


def test_a_lease_is_of_the_data_and_of_nobody_else(realm: Realm, terms: Agreement) -> None:
    job = realm.submit()
    realm.say("job.approved", job, realm.approval(terms), BUREAU)
    lease = {"node": OTHER_NODE, "attempt": 1, "expires_at": realm.later(minutes=5)}
    has_no_effect(realm, realm.statement("job.leased", job, lease, BUREAU))
    has_no_effect(realm, realm.statement("job.leased", job, {**lease, "node": NODE}, NODE))
    realm.lease(job)
    has_no_effect(realm, realm.statement("job.started", job, realm.started(terms), OTHER_NODE))
    for body in (
        realm.started(terms, datasets=[{"dataset": DATASET, "version": 2}]),
        realm.started(terms, terms=DIGEST),
        realm.started(terms, attempt=2),
    ):
        has_no_effect(realm, realm.statement("job.started", job, body, NODE))
    realm.pass_time(minutes=6)
    has_no_effect(realm, realm.statement("job.started", job, realm.started(terms), NODE))


def test_a_job_under_anothers_agreement_is_never_approved(realm: Realm, terms: Agreement) -> None:
    job = new_id("job")
    realm.say("job.submitted", job, realm.submitted(), "person:rival", on_behalf_of=RIVAL)
    has_no_effect(realm, realm.statement("job.approved", job, realm.approval(terms), BUREAU))
    body = realm.approval(terms, route="reviewed", rule=None)
    has_no_effect(realm, realm.statement("job.approved", job, body, "person:reviewer", BUREAU, "person:cdo"))


def test_a_charge_is_made_once_and_settled_once(realm: Realm, terms: Agreement) -> None:
    job = running(realm, terms)
    has_no_effect(realm, realm.charge(job))
    has_no_effect(realm, realm.charge(job, "refunded", reason="cancelled"))
    realm.take(realm.charge(job, "committed"))
    for kind, more in (("committed", {}), ("reserved", {}), ("refunded", {"reason": "cancelled"})):
        has_no_effect(realm, realm.charge(job, kind, **more))
    assert realm.standing.jobs.charged(terms.id) == 1


def test_another_unit_does_not_take_over_data(realm: Realm) -> None:
    entry = {"owner": OTHER_UNIT, "catalogue_entry": DIGEST, "privacy_unit": "enterprise", "openness": "conditional"}
    for body in (entry, {**entry, "owner": UNIT}):
        has_no_effect(realm, realm.statement("dataset.registered", DATASET, body, "person:cdo2", OTHER_UNIT))
    version = {"version": 2, "schema_digest": DIGEST, "content": DIGEST}
    has_no_effect(realm, realm.statement("dataset.versioned", DATASET, version, OTHER_NODE))
    has_no_effect(realm, realm.statement("dataset.graded", DATASET, realm.grades(), "person:cdo2"))


def test_a_new_key_is_of_the_owner_of_the_old(realm: Realm) -> None:
    realm.keys["evil"] = SigningKey.generate()
    body = {"jwk": realm.key("evil").public.to_jwk(), "owner": "person:approver", "not_after": None}
    for old in ("person:rival", "person:approver"):
        rotation = {**body, "old": realm.thumbprint(old)}
        statement = realm.statement("key.rotated", new_id("key"), rotation, "person:rival", "evil")
        has_no_effect(realm, statement)


def test_a_result_is_delivered_to_nobody_else(realm: Realm, terms: Agreement) -> None:
    job = running(realm, terms)
    realm.take(realm.checked(job, NODE))
    realm.take(realm.released(job))
    for body in ({"ciphertext": DIGEST, "recipient": BUREAU}, {"ciphertext": "sha256:" + "9" * 64}):
        delivery = {"job": job, "recipient": PARTNER, **body}
        has_no_effect(realm, realm.statement("output.delivered", new_id("out"), delivery, BUREAU))
    found = realm.standing.jobs.get(job)
    assert found is not None
    assert found.state is JobState.RELEASED


@pytest.mark.parametrize("state", ["applied", "offboarded"])
def test_who_does_not_take_part_submits_nothing(realm: Realm, state: str) -> None:
    if state == "offboarded":
        body = {"party": RIVAL, "reason": "request", "inventory": None, "note": None}
        realm.say("participant.offboarded", new_id("par"), body, RIVAL)
        has_no_effect(realm, realm.statement("job.submitted", new_id("job"), realm.submitted(), RIVAL))
        return
    realm.register("partner:new")
    has_no_effect(realm, realm.statement("job.submitted", new_id("job"), realm.submitted(), "partner:new"))


def test_a_counter_says_what_its_terms_say(realm: Realm) -> None:
    first, second = realm.terms(), realm.terms(version=2, jobs=1)
    realm.propose(first)
    realm.texts[terms_digest(second)] = second
    body = {"version": 3, "terms": terms_digest(second), "previous_terms": terms_digest(first), "note": None}
    has_no_effect(realm, realm.statement("agreement.countered", first.id, body, "person:officer", on_behalf_of=PARTNER))


def test_what_is_not_in_force_supersedes_nothing(realm: Realm, terms: Agreement) -> None:
    later = realm.terms(id="agr-tax-2026-02")
    realm.propose(later)
    body = {"terms": terms_digest(terms), "successor": later.id, "successor_terms": terms_digest(later)}
    has_no_effect(realm, realm.statement("agreement.superseded", terms.id, {**body, "running_jobs": "stop"}, BUREAU))


def test_who_signs_for_neither_issuer_nor_whom_he_acts_for_says_nothing(realm: Realm) -> None:
    for issuer, on_behalf_of in ((NODE, None), (NODE, UNIT)):
        version = {"version": 2, "schema_digest": DIGEST, "content": DIGEST}
        for signer in (PARTNER, "person:analyst", BUREAU, OTHER_NODE):
            statement = realm.statement(
                "dataset.versioned", DATASET, version, signer, issuer=issuer, on_behalf_of=on_behalf_of
            )
            has_no_effect(realm, statement)
