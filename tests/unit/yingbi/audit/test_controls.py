"""Every control finds what was planted for it in a real log, at its entry, and nothing in a log without fault."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from policies.disclosure import MIN_UNITS, DisclosureRules
from policies.model import terms_digest
from policies.parse import parse_agreement
from sandbox.disclosure.rules_digest import rules_digest as gate_digest
from tests.lib.audited_log import AGREEMENT, BANK, DATASET, NODE, TERMS, UNIT, AuditedLog, digest
from yingbi.audit.control_jobs import rules_digest
from yingbi.audit.controls import CONTROLS, ControlResult, run_controls
from yingbi.audit.findings import Finding, Severity
from yingbi.audit.texts import LANGUAGES, load_texts
from yingbi.clock import format_time

SECURITY, APPROVER, REGISTRAR, CHECKER = "person:sec", "person:app", "person:reg", "person:chk"
ANALYST, OFFICER, SYSTEM, CDO = "person:ana", "person:off", "person:sys", "person:cdo"
JOB = "job-0009"


def findings(log: AuditedLog) -> dict[str, tuple[Finding, ...]]:
    return {result.control.name: result.findings for result in run_controls(log.case()) if result.findings}


@dataclass(frozen=True)
class Plant:
    """What is recorded, and where the control has to see it; some planted entries have an effect all the same."""

    name: str
    plant: Callable[[AuditedLog], int]
    has_effect: bool = False


def _duty_beside_another(log: AuditedLog) -> int:
    return log.grant(CHECKER, "audit-admin")


def _emergency_beside_another(log: AuditedLog) -> int:
    return log.open_glass(SYSTEM, "bureau-approver")


def _duty_to_oneself(log: AuditedLog) -> int:
    return log.grant(SECURITY, "counter-clerk")


def _own_proposal(log: AuditedLog) -> int:
    body = {"terms": terms_digest(log.terms), "duty": "partner-key-officer"}
    return log.say("agreement.signed", AGREEMENT, OFFICER, body, on_behalf_of=BANK)


def _own_check(log: AuditedLog) -> int:
    log.begin_job(JOB)
    return log.check(JOB, ANALYST)


def _colleagues_check(log: AuditedLog) -> int:
    log.begin_job(JOB)
    return log.check(JOB, OFFICER)


def _one_admits(log: AuditedLog) -> int:
    log.register("partner:bank-b")
    return log.admit("partner:bank-b", "bank", by=(REGISTRAR,))


def _one_signs_twice(log: AuditedLog) -> int:
    body = {"terms": terms_digest(log.terms), "duty": "bureau-approver"}
    return log.say("agreement.signed", AGREEMENT, CDO, body, on_behalf_of=UNIT)


def _check_in_an_emergency(log: AuditedLog) -> int:
    log.begin_job(JOB)
    log.hold(JOB)
    log.open_glass(REGISTRAR, "output-checker")
    return log.check(JOB, REGISTRAR)


def _glass_left_open(log: AuditedLog) -> int:
    index = log.open_glass(REGISTRAR, "output-checker")
    log.wait(hours=1).run_job(JOB)
    return index


def _unfrozen_by_one(log: AuditedLog) -> int:
    log.freeze(BANK)
    return log.unfreeze(BANK, by=(SECURITY,))


def _frozen_partner_gives_duties(log: AuditedLog) -> int:
    log.freeze(BANK)
    return log.grant(ANALYST, "partner-key-officer", by=(BANK,))


def _frozen_agreement_starts(log: AuditedLog) -> int:
    log.submit(JOB)
    log.approve(JOB)
    log.lease(JOB)
    log.freeze(AGREEMENT)
    return log.start(JOB)


def _suspended_partner(log: AuditedLog) -> int:
    log.submit(JOB)
    log.suspend()
    return log.approve(JOB)


def _no_approval(log: AuditedLog) -> int:
    log.submit(JOB)
    log.lease(JOB)
    return log.start(JOB)


def _late_approval(log: AuditedLog) -> int:
    log.submit(JOB)
    log.lease(JOB)
    log.start(JOB)
    return log.approve(JOB)


def _late_start(log: AuditedLog) -> int:
    log.submit(JOB)
    log.approve(JOB)
    log.wait(days=2)
    return log.start(JOB)


def _start_after_the_approval(log: AuditedLog) -> int:
    log.submit(JOB)
    log.approve(JOB)
    log.lease(JOB, expires_at=format_time(log.at + timedelta(days=3)))
    log.wait(days=2)
    return log.start(JOB)


def _start_by_another_node(log: AuditedLog) -> int:
    log.register("node:other", UNIT)
    log.submit(JOB)
    log.approve(JOB)
    log.lease(JOB)
    return log.start(JOB, by="node:other")


def _suspended_agreement(log: AuditedLog) -> int:
    log.submit(JOB)
    log.approve(JOB)
    log.lease(JOB)
    body = {"terms": terms_digest(log.terms), "reason": "dispute", "running_jobs": "stop", "until": None, "note": None}
    log.say("agreement.suspended", AGREEMENT, APPROVER, body)
    return log.start(JOB)


def _other_terms(log: AuditedLog) -> int:
    log.submit(JOB)
    log.approve(JOB)
    log.lease(JOB)
    return log.start(JOB, terms=digest("other terms"))


def _other_version(log: AuditedLog) -> int:
    log.publish_data(2)
    log.submit(JOB)
    log.approve(JOB)
    log.lease(JOB)
    return log.start(JOB, version=2)


def _unpublished_version(log: AuditedLog) -> int:
    log.submit(JOB, version=7)
    return log.start(JOB, version=7)


def _withdrawn_data(log: AuditedLog) -> int:
    log.submit(JOB)
    log.approve(JOB)
    log.lease(JOB)
    body = {"reason": "quality", "running_jobs": "stop", "note": None}
    log.say("dataset.withdrawn", DATASET, UNIT, body)
    return log.start(JOB)


def _other_software(log: AuditedLog) -> int:
    log.begin_job(JOB)
    log.check(JOB)
    return log.release(JOB, software=digest("patched"))


def _two_leases(log: AuditedLog) -> int:
    log.submit(JOB)
    log.approve(JOB)
    log.lease(JOB)
    return log.lease(JOB, 2)


def _too_many_a_day(log: AuditedLog) -> int:
    for number in range(5):
        log.run_job(f"job-100{number}")
    return log.size - 5  # the charge of the last one


def _committed_twice(log: AuditedLog) -> int:
    log.run_job(JOB)
    return log.charge(JOB, "committed")


def _charged_more(log: AuditedLog) -> int:
    log.begin_job(JOB)
    return log.charge(JOB, "committed", amount="2")


def _other_rules(log: AuditedLog) -> int:
    log.begin_job(JOB)
    return log.check(JOB, rules=rules_digest(DisclosureRules(min_units=5)))


def _unchecked(log: AuditedLog) -> int:
    log.begin_job(JOB)
    return log.release(JOB)


def _failed_check(log: AuditedLog) -> int:
    log.begin_job(JOB)
    log.check(JOB, verdict="fail")
    log.check(JOB)
    return log.release(JOB)


def _held_and_no_person(log: AuditedLog) -> int:
    log.begin_job(JOB)
    log.check(JOB)
    log.hold(JOB)
    return log.release(JOB)


def _released_twice(log: AuditedLog) -> int:
    log.run_job(JOB)
    return log.release(JOB)


def _delivered_elsewhere(log: AuditedLog) -> int:
    log.run_job(JOB)
    return log.deliver(JOB, recipient="partner:bank-b")


def _delivered_unreleased(log: AuditedLog) -> int:
    log.begin_job(JOB)
    return log.deliver(JOB)


def _delivered_something_else(log: AuditedLog) -> int:
    log.run_job(JOB)
    return log.deliver(JOB, ciphertext=digest("something else"))


def _nobody_decides(log: AuditedLog) -> int:
    log.begin_job(JOB)
    index = log.hold(JOB)
    log.wait(days=8).run_job("job-0010")
    return index


def _nobody_answers(log: AuditedLog) -> int:
    index = log.submit(JOB)
    log.wait(days=2).run_job("job-0010")
    return index


def _nothing_comes(log: AuditedLog) -> int:
    log.begin_job(JOB)
    log.wait(days=2).run_job("job-0010")
    return log.size - 11  # the start, before its charge and the other job


def _unknown_key(log: AuditedLog) -> int:
    return log.submit(JOB, "person:stranger")


def _ended_key(log: AuditedLog) -> int:
    keyid = log.key(ANALYST).thumbprint
    log.say("key.revoked", "key-ana", ANALYST, {"keyid": keyid, "reason": "lost"})
    return log.submit(JOB)


def _key_of_tomorrow(log: AuditedLog) -> int:
    log.register("person:new", BANK, not_before=format_time(log.at + timedelta(days=1)))
    return log.submit(JOB, "person:new")


def _no_effect(log: AuditedLog) -> int:
    return log.deliver("job-0404")


def _said_twice(log: AuditedLog) -> int:
    body = {"job": "job-0001", "ciphertext": digest("sealed job-0001"), "recipient": BANK}
    statement = log.statement("output.delivered", "out-job-0001", "bureau:futian", body)
    log.record(statement)
    return log.record(statement)


def _nonce_twice(log: AuditedLog) -> int:
    nonce = "AAAAAAAAAAAAAAAAAAAAAA"
    body = {"job": "job-0001", "ciphertext": digest("sealed job-0001"), "recipient": BANK}
    for _ in range(2):
        log.say("output.delivered", "out-job-0001", "bureau:futian", body, nonce=nonce)
        log.wait(seconds=1)
    return log.size - 1


def _old_statement(log: AuditedLog) -> int:
    body = {"job": "job-0001", "ciphertext": digest("sealed job-0001"), "recipient": BANK}
    issued_at = log.at - timedelta(days=8)
    return log.say("output.delivered", "out-job-0001", "bureau:futian", body, issued_at=issued_at)


def _early_statement(log: AuditedLog) -> int:
    body = {"job": "job-0001", "ciphertext": digest("sealed job-0001"), "recipient": BANK}
    issued_at = log.at + timedelta(minutes=10)
    return log.say("output.delivered", "out-job-0001", "bureau:futian", body, issued_at=issued_at)


def _glass_opened_again(log: AuditedLog) -> int:
    for _ in range(2):
        index = log.wait(days=1).open_glass(REGISTRAR, "output-checker")
        log.close_glass(REGISTRAR, "output-checker")
    return index


def _glass_opened_then_granted(log: AuditedLog) -> int:
    log.open_glass(REGISTRAR, "output-checker")
    log.close_glass(REGISTRAR, "output-checker")
    return log.grant(REGISTRAR, "output-checker")


PLANTS = [
    Plant("duties-in-one-account", _duty_beside_another),
    Plant("duties-in-one-account", _emergency_beside_another),
    Plant("duty-from-oneself", _duty_to_oneself),
    Plant("own-approval", _own_proposal),
    Plant("own-approval", _own_check),
    Plant("own-approval", _colleagues_check),
    Plant("two-people", _one_admits),
    Plant("two-people", _one_signs_twice),
    Plant("emergency-approval", _check_in_an_emergency),
    Plant("emergency-unclosed", _glass_left_open, has_effect=True),
    Plant("unfrozen-alone", _unfrozen_by_one),
    Plant("frozen-acted", _frozen_partner_gives_duties),
    Plant("frozen-acted", _frozen_agreement_starts),
    Plant("not-admitted", _suspended_partner),
    Plant("start-without-approval", _no_approval),
    Plant("approval-after-start", _late_approval, has_effect=True),
    Plant("start-outside-approval", _late_start),
    Plant("start-outside-approval", _start_after_the_approval),
    Plant("start-outside-approval", _start_by_another_node),
    Plant("start-without-agreement", _suspended_agreement),
    Plant("other-terms", _other_terms),
    Plant("other-version", _other_version),
    Plant("other-version", _unpublished_version),
    Plant("other-version", _withdrawn_data),
    Plant("other-software", _other_software, has_effect=True),
    Plant("lease-overlap", _two_leases),
    Plant("budget-overspent", _too_many_a_day, has_effect=True),
    Plant("budget-overspent", _committed_twice),
    Plant("budget-overspent", _charged_more, has_effect=True),
    Plant("threshold", _other_rules, has_effect=True),
    Plant("release-without-check", _unchecked),
    Plant("release-without-check", _failed_check),
    Plant("release-without-check", _held_and_no_person),
    Plant("double-release", _released_twice),
    Plant("delivered-elsewhere", _delivered_elsewhere),
    Plant("delivered-elsewhere", _delivered_something_else),
    Plant("delivered-elsewhere", _delivered_unreleased),
    Plant("hold-unanswered", _nobody_decides, has_effect=True),
    Plant("request-unanswered", _nobody_answers, has_effect=True),
    Plant("run-unfinished", _nothing_comes, has_effect=True),
    Plant("foreign-signature", _unknown_key),
    Plant("foreign-signature", _ended_key),
    Plant("foreign-signature", _key_of_tomorrow),
    Plant("without-effect", _no_effect),
    Plant("replay", _said_twice),
    Plant("replay", _nonce_twice, has_effect=True),
    Plant("clock", _old_statement),
    Plant("clock", _early_statement),
    Plant("emergency-drift", _glass_opened_again, has_effect=True),
    Plant("emergency-drift", _glass_opened_then_granted, has_effect=True),
]


@pytest.mark.parametrize("case", PLANTS, ids=lambda case: case.plant.__name__)
def test_a_control_finds_what_was_planted(case: Plant) -> None:
    log = AuditedLog().found().run_job("job-0001")
    if case.plant in (_too_many_a_day,):
        log = AuditedLog().found()
    index = case.plant(log)
    found = findings(log)
    assert case.name in found, found
    hits = [finding for finding in found[case.name] if index in finding.indexes]
    assert hits, found[case.name]
    assert hits[-1].had_effect is case.has_effect
    if not case.has_effect:
        assert any(index in finding.indexes for finding in found["without-effect"])


def test_every_control_has_something_planted_for_it() -> None:
    others = {control.name for control in CONTROLS if control.name.startswith("federation-")}
    assert {control.name for control in CONTROLS} == {plant.name for plant in PLANTS} | others


def test_a_log_without_fault_has_no_findings() -> None:
    log = AuditedLog().found().run_day().run_incidents()
    assert findings(log) == {}


def test_a_job_that_nobody_submitted_is_looked_at_like_any_other() -> None:
    log = AuditedLog().found()
    indexes = {log.approve(JOB), log.lease(JOB), log.start(JOB), log.charge(JOB), log.check(JOB), log.hold(JOB)}
    indexes |= {log.release(JOB), log.charge(JOB, "committed"), log.deliver(JOB), log.lease(JOB, 2), log.refuse(JOB)}
    found = findings(log)
    assert {finding.indexes[-1] for finding in found["without-effect"]} == indexes
    assert set(found) >= {"start-without-approval", "release-without-check", "delivered-elsewhere"}


def test_as_many_jobs_as_agreed_are_not_too_many() -> None:
    log = AuditedLog().found()
    for number in range(4):
        log.run_job(f"job-100{number}")
    log.wait(days=1).run_job("job-1004")
    assert findings(log) == {}
    log.run_job("job-1005")
    assert {finding.subject for finding in findings(log)["budget-overspent"]} == {"job-1005"}


def test_charges_that_were_given_back_and_other_measures_are_no_jobs() -> None:
    log = AuditedLog().found()
    for number in range(6):
        job = f"job-200{number}"
        log.submit(job)
        log.approve(job)
        log.lease(job)
        log.charge(job)
        log.charge(job, "refunded", reason="cancelled", remaining="5")
        log.say("job.cancelled", job, ANALYST, {"reason": "request", "note": None}, on_behalf_of=BANK)
    for number in range(5):
        log.charge(f"job-200{number}", measure="epsilon", amount="0.1", remaining="1")
    assert "budget-overspent" not in findings(log)


def test_an_agreement_that_wants_people_to_check_gets_people() -> None:
    log = AuditedLog()
    log.terms = parse_agreement(TERMS.replace("output: automatic", "output: checked").encode())
    log.found().begin_job("job-0001")
    log.check("job-0001")
    index = log.release("job-0001")
    assert [finding.indexes for finding in findings(log)["release-without-check"]] == [(index,)]
    log.check("job-0001", CHECKER)
    log.release("job-0001")
    assert [finding.indexes for finding in findings(log)["release-without-check"]] == [(index,)]


def test_of_two_agreements_the_strictest_rules_may_be_used_too() -> None:
    log = AuditedLog().found()
    stricter = TERMS.replace(AGREEMENT, "agr-tax-2026-02").replace("min_entities: 12", "min_entities: 20")
    foreign = TERMS.replace(AGREEMENT, "agr-tax-2026-03").replace("min_entities: 12", "min_entities: 30")
    log.agree(parse_agreement(stricter.encode()))
    log.agree(parse_agreement(foreign.replace("research.sme", "research.other").encode()))
    log.begin_job("job-0001")
    for entities in (12, 20):
        log.check("job-0001", rules=rules_digest(DisclosureRules(min_units=entities)))
    assert "threshold" not in findings(log)
    index = log.check("job-0001", rules=rules_digest(DisclosureRules(min_units=30)))
    assert [finding.indexes for finding in findings(log)["threshold"]] == [(index,)]


def test_a_duty_that_was_taken_away_conflicts_with_none() -> None:
    log = AuditedLog().found()
    body = {"holder": CHECKER, "duty": "output-checker", "scope": None, "reason": "reassigned", "note": None}
    log.say("duty.revoked", "duty-output-checker", SECURITY, body)
    log.grant(CHECKER, "bureau-reviewer")
    assert findings(log) == {}


def test_drills_are_no_habit() -> None:
    log = AuditedLog().found()
    for _ in range(3):
        log.open_glass(REGISTRAR, "output-checker", drill=True)
    assert "emergency-drift" not in findings(log)


def test_a_freeze_that_had_no_effect_froze_nothing() -> None:
    log = AuditedLog().found()
    log.freeze(BANK, by=ANALYST)
    log.run_job("job-0001")
    assert set(findings(log)) == {"without-effect"}


def test_what_was_said_twice_is_told_from_a_nonce_that_was_used_twice() -> None:
    messages = []
    for plant in (_said_twice, _nonce_twice):
        log = AuditedLog().found().run_job("job-0001")
        plant(log)
        messages += [finding.message for finding in findings(log)["replay"]]
    assert messages == ["one statement was recorded twice", "one nonce stands in two statements"]


def test_a_duty_whose_time_is_over_conflicts_with_none() -> None:
    log = AuditedLog().found()
    until = format_time(log.at + timedelta(hours=1))
    body = {"holder": REGISTRAR, "duty": "output-checker", "scope": None, "valid_until": until}
    log.say("duty.granted", "duty-output-checker", SECURITY, body)
    log.register("person:temp", "bureau:futian")
    body = {"holder": "person:temp", "duty": "bureau-reviewer", "scope": None, "valid_until": until}
    log.say("duty.granted", "duty-bureau-reviewer", SECURITY, body)
    log.wait(hours=2)
    log.grant("person:temp", "bureau-approver")
    assert findings(log) == {}


def test_a_signature_that_does_not_verify_is_named() -> None:
    log = AuditedLog().found()
    good = log.statement("job.cancelled", "job-0001", ANALYST, {"reason": "request", "note": None}, on_behalf_of=BANK)
    other = log.statement("job.cancelled", "job-0002", ANALYST, {"reason": "request", "note": None}, on_behalf_of=BANK)
    index = log.record_signed_by(good, other)
    (finding,) = findings(log)["foreign-signature"]
    assert finding.indexes == (index,)
    assert finding.message == "a signature that does not verify"
    assert finding.subject == ANALYST


def test_a_control_says_how_much_it_looked_at() -> None:
    results = {result.control.name: result for result in run_controls(AuditedLog().found().run_day().case())}
    assert results["start-without-approval"].population == 3
    assert results["request-unanswered"].population == 4
    assert results["emergency-approval"].population == 0


def test_numbers_and_names_are_told_apart_and_severities_are_known() -> None:
    assert len({control.id for control in CONTROLS}) == len({control.name for control in CONTROLS}) == len(CONTROLS)
    assert all(isinstance(control.severity, Severity) for control in CONTROLS)
    assert [control.id for control in CONTROLS] == [f"C{number:02}" for number in range(1, len(CONTROLS) + 1)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_control_is_told_in_both_languages(language: str) -> None:
    texts = load_texts(language)
    for control in CONTROLS:
        assert texts(f"control.{control.name}")
        assert texts(f"supports.{control.name}")


def test_some_controls_can_be_run_alone() -> None:
    results = run_controls(AuditedLog().found().case(), CONTROLS[:2])
    assert [type(result) for result in results] == [ControlResult, ControlResult]


@pytest.mark.parametrize("floor", [0, *MIN_UNITS.values()])
def test_the_auditor_reads_rules_as_the_gate_writes_them(floor: int) -> None:
    terms = AuditedLog().terms
    assert rules_digest(terms.disclosure.rules(floor)) == gate_digest(terms.disclosure.rules(floor))
    assert rules_digest(DisclosureRules()) == gate_digest(DisclosureRules())


def test_a_node_is_named_where_it_acted_without_a_lease() -> None:
    log = AuditedLog().found()
    log.submit(JOB)
    log.approve(JOB)
    index = log.start(JOB)
    found = findings(log)["start-outside-approval"]
    assert [finding.indexes for finding in found] == [(index,)]
    assert log.case().reading.facts[index].parties == {NODE}
