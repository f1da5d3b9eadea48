"""Jobs: what each step relies on, and who records it."""

from collections.abc import Callable

import pytest

from policies.jobs import JobState
from policies.model import Agreement, Approvals, JobApproval, OutputApproval, terms_digest
from policies.standing import JobStanding, Rule, StatementRefusedError
from tests.lib.realm import BUREAU, DATASET, DIGEST, NODE, PARTNER, UNIT, Realm
from yingbi.events.fields import Duty
from yingbi.ids import new_id
from yingbi.statement import Statement


def job_of(realm: Realm, job: str) -> JobStanding:
    found = realm.standing.jobs.get(job)
    assert found is not None
    return found


def refusal(realm: Realm, statement: Statement) -> Rule:
    with pytest.raises(StatementRefusedError) as caught:
        realm.take(statement)
    return caught.value.rule


def refused_job(realm: Realm, kind: str, job: str, body: dict[str, object], *signers: str) -> Rule:
    return refusal(realm, realm.statement(kind, job, body, *signers))


@pytest.fixture
def terms(realm: Realm) -> Agreement:
    return realm.agree()


@pytest.fixture
def running(realm: Realm, terms: Agreement) -> str:
    job = realm.submit()
    realm.run(job, terms)
    return job


def test_from_submission_to_delivery(realm: Realm, running: str) -> None:
    realm.take(realm.checked(running, NODE))
    realm.take(realm.released(running))
    realm.take(realm.charge(running, "committed"))
    body = {"job": running, "ciphertext": DIGEST, "recipient": PARTNER}
    realm.say("output.delivered", new_id("out"), body, BUREAU)
    found = job_of(realm, running)
    assert (found.state, found.partner, found.node, found.ciphertext) == (JobState.DELIVERED, PARTNER, NODE, DIGEST)
    assert found.entries == tuple(range(realm.standing.size - 9, realm.standing.size))
    assert realm.standing.jobs.charged("agr-tax-2026-01") == 1


@pytest.mark.parametrize("signers", [(PARTNER,), ("person:analyst",)])
def test_a_partner_or_its_analyst_submits(realm: Realm, signers: tuple[str, ...]) -> None:
    job = new_id("job")
    on_behalf_of = None if signers == (PARTNER,) else PARTNER
    realm.say("job.submitted", job, realm.submitted(), *signers, on_behalf_of=on_behalf_of)
    assert (job_of(realm, job).partner, job_of(realm, job).submitter) == (PARTNER, signers[0])


@pytest.mark.parametrize(
    ("signer", "on_behalf_of"),
    [
        ("person:officer", PARTNER),
        ("person:analyst", "partner:other"),
        ("person:cdo", PARTNER),
        (UNIT, None),
        (BUREAU, None),
    ],
)
def test_nobody_else_submits(realm: Realm, signer: str, on_behalf_of: str | None) -> None:
    statement = realm.statement("job.submitted", new_id("job"), realm.submitted(), signer, on_behalf_of=on_behalf_of)
    assert refusal(realm, statement) in (Rule.SIGNER, Rule.PARTICIPANT)


def test_a_job_is_submitted_once(realm: Realm) -> None:
    job = realm.submit()
    assert refused_job(realm, "job.submitted", job, realm.submitted(), PARTNER) is Rule.STATE


def test_what_will_be_refused_is_recorded_too(realm: Realm) -> None:
    """A frozen partner, an agreement that does not exist: the refusal is evidence, and needs something to refuse."""
    realm.say(
        "access.frozen",
        new_id("access"),
        {"target": PARTNER, "reason": "incident", "drill": False, "note": None},
        "person:sec",
    )
    job = realm.submit(agreement="agr-none-1")
    body = {"gate": "submission", "refusals": [{"reason": "frozen", "clause": None}], "terms": None}
    realm.say("job.refused", job, {**body, "explanation": None}, BUREAU)
    assert job_of(realm, job).state is JobState.REFUSED


# --- approvals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "signer", "rule"),
    [
        ({}, PARTNER, Rule.SIGNER),
        ({}, NODE, Rule.SIGNER),
        ({"rule": None}, BUREAU, Rule.APPROVAL),
        ({"terms": DIGEST}, BUREAU, Rule.AGREEMENT),
        ({"route": "reviewed", "rule": None}, BUREAU, Rule.APPROVAL),
        ({"route": "reviewed", "rule": None}, "person:analyst", Rule.APPROVAL),
        ({"route": "reviewed", "rule": None}, "person:sec", Rule.APPROVAL),
    ],
)
def test_an_approval_has_no_effect(
    realm: Realm, terms: Agreement, change: dict[str, object], signer: str, rule: Rule
) -> None:
    job = realm.submit()
    assert refused_job(realm, "job.approved", job, realm.approval(terms, **change), signer) is rule
    assert job_of(realm, job).state is JobState.SUBMITTED


def test_the_hub_approves_nothing_that_a_person_has_to_review(realm: Realm) -> None:
    terms = realm.agree(realm.terms(job=JobApproval.REVIEWED))
    job = realm.submit()
    assert refused_job(realm, "job.approved", job, realm.approval(terms), BUREAU) is Rule.APPROVAL
    reviewed = realm.approval(terms, route="reviewed", rule=None)
    realm.say("job.approved", job, reviewed, "person:reviewer")
    assert job_of(realm, job).approvals == {Duty.BUREAU_REVIEWER}
    assert job_of(realm, job).approvers == ("person:reviewer",)


def test_an_officer_of_another_unit_reviews_nothing(realm: Realm, terms: Agreement) -> None:
    realm.admit("unit:social", "source-unit")
    realm.register("person:other", "unit:social")
    realm.grant("person:other", Duty.UNIT_CDO, "unit:social")
    job = realm.submit()
    body = realm.approval(terms, route="reviewed", rule=None)
    assert refused_job(realm, "job.approved", job, body, "person:other") is Rule.APPROVAL


def stop(what: str) -> Callable[[Realm, Agreement], None]:
    def act(realm: Realm, terms: Agreement) -> None:
        digest = terms_digest(terms)
        suspension: dict[str, object] = {"reason": "incident", "until": None, "note": None}
        match what:
            case "agreement":
                body: dict[str, object] = {"terms": digest, "running_jobs": "stop", **suspension}
                realm.say("agreement.suspended", terms.id, body, "person:sec")
            case "partner":
                realm.say("participant.suspended", "participant-1", {"party": PARTNER, **suspension}, "person:sec")
            case "data":
                body = {"reason": "incident", "running_jobs": "stop", "note": None}
                realm.say("dataset.withdrawn", DATASET, body, UNIT)
            case _:
                body = {"target": what, "reason": "incident", "drill": False, "note": None}
                realm.say("access.frozen", new_id("access"), body, "person:sec")

    return act


STOPS = {
    "agreement": Rule.AGREEMENT,
    "partner": Rule.PARTICIPANT,
    "data": Rule.VERSION,
    PARTNER: Rule.FROZEN,
    NODE: Rule.FROZEN,
    DATASET: Rule.FROZEN,
    "agr-tax-2026-01": Rule.FROZEN,
}


@pytest.mark.parametrize("what", STOPS)
@pytest.mark.parametrize("step", ["approved", "leased", "started"])
def test_nothing_goes_on_with_what_is_stopped(realm: Realm, terms: Agreement, what: str, step: str) -> None:
    job = realm.submit()
    if step != "approved":
        realm.say("job.approved", job, realm.approval(terms), BUREAU)
    if step == "started":
        realm.lease(job)
    stop(what)(realm, terms)
    lease = {"node": NODE, "attempt": 1, "expires_at": realm.later(minutes=5)}
    bodies = {"approved": realm.approval(terms), "leased": lease, "started": realm.started(terms)}
    signer = NODE if step == "started" else BUREAU
    assert refused_job(realm, f"job.{step}", job, bodies[step], signer) is STOPS[what]


# --- at the node ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"terms": DIGEST}, Rule.VERSION),
        ({"datasets": [{"dataset": DATASET, "version": 2}]}, Rule.VERSION),
        ({"attempt": 2}, Rule.STATE),
    ],
)
def test_a_start_is_of_what_was_approved(realm: Realm, terms: Agreement, change: dict[str, object], rule: Rule) -> None:
    job = realm.submit()
    realm.say("job.approved", job, realm.approval(terms), BUREAU)
    realm.lease(job)
    assert refused_job(realm, "job.started", job, realm.started(terms, **change), NODE) is rule


def test_a_start_after_the_lease_is_over(realm: Realm, terms: Agreement) -> None:
    job = realm.submit()
    realm.say("job.approved", job, realm.approval(terms), BUREAU)
    realm.lease(job)
    realm.pass_time(minutes=6)
    assert refused_job(realm, "job.started", job, realm.started(terms), NODE) is Rule.LEASE


def test_a_job_is_leased_to_the_node_of_its_data(realm: Realm, terms: Agreement) -> None:
    realm.register("node:other", UNIT)
    job = realm.submit()
    realm.say("job.approved", job, realm.approval(terms), BUREAU)
    body = {"node": "node:other", "attempt": 1, "expires_at": realm.later(minutes=5)}
    assert refused_job(realm, "job.leased", job, body, BUREAU) is Rule.LEASE


@pytest.mark.parametrize("signer", [BUREAU, PARTNER, UNIT, "person:checker"])
def test_only_the_node_says_what_its_run_gave(realm: Realm, running: str, signer: str) -> None:
    realm.take(realm.checked(running, NODE))
    assert refusal(realm, realm.released(running, by=signer)) is Rule.SIGNER
    failed = {"attempt": 1, "reason": "engine-error", "retryable": True}
    assert refused_job(realm, "job.failed", running, failed, signer) is Rule.SIGNER


def test_nothing_leaves_unchecked(realm: Realm, running: str) -> None:
    assert refusal(realm, realm.released(running)) is Rule.CHECK


def test_a_held_result_leaves_after_a_person_has_checked_it(realm: Realm, running: str) -> None:
    realm.take(realm.held(running))
    realm.take(realm.checked(running, NODE))
    assert refusal(realm, realm.released(running)) is Rule.CHECK
    realm.take(realm.checked(running, "person:checker"))
    realm.take(realm.released(running))
    assert job_of(realm, running).state is JobState.RELEASED


def test_a_check_that_failed_lets_nothing_out(realm: Realm, running: str) -> None:
    realm.take(realm.held(running))
    realm.take(realm.checked(running, "person:checker", verdict="fail"))
    realm.take(realm.checked(running, "person:cdo"))
    assert refusal(realm, realm.released(running)) is Rule.CHECK


@pytest.mark.parametrize("by", ["person:analyst", "person:approver", PARTNER, BUREAU])
def test_who_does_not_check(realm: Realm, running: str, by: str) -> None:
    realm.take(realm.held(running))
    assert refusal(realm, realm.checked(running, by)) is Rule.SIGNER


def test_where_outputs_are_checked_the_gate_alone_lets_nothing_out(realm: Realm) -> None:
    approvals = Approvals(
        agreement=(Duty.UNIT_CDO, Duty.BUREAU_APPROVER), job=JobApproval.AUTOMATIC, output=OutputApproval.CHECKED
    )
    terms = realm.agree(realm.terms(approvals=approvals))
    job = realm.submit()
    realm.run(job, terms)
    realm.take(realm.checked(job, NODE))
    assert refusal(realm, realm.released(job)) is Rule.CHECK


def test_a_second_attempt_is_checked_anew(realm: Realm, terms: Agreement, running: str) -> None:
    realm.take(realm.checked(running, NODE))
    realm.say("job.failed", running, {"attempt": 1, "reason": "engine-error", "retryable": True}, NODE)
    realm.pass_time(minutes=6)
    realm.lease(running, attempt=2)
    realm.say("job.started", running, realm.started(terms, attempt=2), NODE)
    assert refusal(realm, realm.released(running)) is Rule.CHECK


@pytest.mark.parametrize("what", [PARTNER, NODE, "agr-tax-2026-01", "agreement"])
def test_nothing_is_released_of_what_was_stopped_meanwhile(
    realm: Realm, terms: Agreement, running: str, what: str
) -> None:
    realm.take(realm.checked(running, NODE))
    stop(what)(realm, terms)
    assert refusal(realm, realm.released(running)) in (Rule.FROZEN, Rule.AGREEMENT)


def test_what_may_finish_finishes(realm: Realm, terms: Agreement, running: str) -> None:
    body = {"terms": terms_digest(terms), "reason": "request", "running_jobs": "finish", "note": None}
    realm.say("agreement.revoked", terms.id, body, PARTNER)
    realm.take(realm.checked(running, NODE))
    realm.take(realm.released(running))


def test_a_stopped_node_may_say_that_its_work_ended(realm: Realm, terms: Agreement, running: str) -> None:
    stop(NODE)(realm, terms)
    realm.say("job.failed", running, {"attempt": 1, "reason": "time-limit", "retryable": False}, NODE)
    assert job_of(realm, running).state is JobState.FAILED


@pytest.mark.parametrize(
    ("signer", "is_right"),
    [
        (PARTNER, True),
        (BUREAU, True),
        ("person:approver", True),
        ("person:cdo", True),
        (NODE, False),
        ("person:reviewer", False),
    ],
)
def test_who_calls_a_job_off(realm: Realm, terms: Agreement, signer: str, is_right: bool) -> None:
    del terms
    job = realm.submit()
    statement = realm.statement("job.cancelled", job, {"reason": "request", "note": None}, signer)
    if is_right:
        realm.take(statement)
        assert job_of(realm, job).state is JobState.CANCELLED
    else:
        assert refusal(realm, statement) is Rule.SIGNER


@pytest.mark.parametrize("change", [{"ciphertext": "sha256:" + "2" * 64}, {"recipient": UNIT}])
def test_a_delivery_is_of_what_was_released_to_who_asked(realm: Realm, running: str, change: dict[str, object]) -> None:
    realm.take(realm.checked(running, NODE))
    realm.take(realm.released(running))
    body = {"job": running, "ciphertext": DIGEST, "recipient": PARTNER, **change}
    assert refusal(realm, realm.statement("output.delivered", new_id("out"), body, BUREAU)) is Rule.STATE


# --- charges ----------------------------------------------------------------------------------------------------------


def test_a_job_is_charged_once_and_settled_once(realm: Realm, running: str) -> None:
    assert refusal(realm, realm.charge(running)) is Rule.BUDGET
    realm.take(realm.charge(running, "committed"))
    assert refusal(realm, realm.charge(running, "committed")) is Rule.BUDGET
    assert refusal(realm, realm.charge(running, "refunded", reason="cancelled")) is Rule.BUDGET


def test_what_has_started_is_never_refunded(realm: Realm, running: str) -> None:
    assert refusal(realm, realm.charge(running, "refunded", reason="cancelled")) is Rule.BUDGET


def test_what_never_started_is_given_back(realm: Realm, terms: Agreement) -> None:
    job = realm.submit()
    realm.say("job.approved", job, realm.approval(terms), BUREAU)
    realm.lease(job)
    realm.take(realm.charge(job))
    realm.take(realm.charge(job, "refunded", reason="refused-at-start"))
    assert realm.standing.jobs.charged(terms.id) == 0


def test_an_agreements_jobs_are_not_overspent(realm: Realm) -> None:
    terms = realm.agree(realm.terms(jobs=1))
    realm.run(realm.submit(), terms)
    job = realm.submit()
    realm.say("job.approved", job, realm.approval(terms), BUREAU)
    realm.lease(job)
    assert refusal(realm, realm.charge(job)) is Rule.BUDGET
