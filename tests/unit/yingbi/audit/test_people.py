"""Who had which duties when, from entries that have an effect."""

from tests.lib.audited_log import BANK, BUREAU, UNIT, AuditedLog
from yingbi.audit.people import Tenures
from yingbi.events.fields import Duty

REGISTRAR, CHECKER = "person:reg", "person:chk"


def revoke(log: AuditedLog, holder: str, duty: str) -> int:
    body = {"holder": holder, "duty": duty, "scope": None, "reason": "reassigned", "note": None}
    return log.say("duty.revoked", f"duty-{duty}", "person:sec", body)


def test_a_duty_holds_from_its_grant_to_its_end() -> None:
    log = AuditedLog().found()
    ended = revoke(log, CHECKER, "output-checker")
    reading = log.read()
    people = Tenures(reading.facts)
    granted = next(item for item in people.tenures if item.person == CHECKER)
    assert granted.end == ended
    assert people.duties(CHECKER, reading.facts[granted.first]) == {Duty.OUTPUT_CHECKER}
    assert people.duties(CHECKER, reading.facts[ended - 1]) == {Duty.OUTPUT_CHECKER}
    assert people.duties(CHECKER, reading.facts[ended]) == frozenset()


def test_an_attempt_gives_nothing() -> None:
    log = AuditedLog().found()
    index = log.grant("person:sec", "counter-clerk")
    reading = log.read()
    assert Tenures(reading.facts).duties("person:sec", reading.facts[index]) == {Duty.SECURITY_ADMIN}


def test_people_work_for_who_their_key_s_registration_says() -> None:
    people = Tenures(AuditedLog().found().read().facts)
    assert [people.employer(name) for name in (REGISTRAR, "person:cdo", "person:ana", "node:futian-tax", BANK)] == [
        BUREAU,
        UNIT,
        BANK,
        UNIT,
        None,
    ]


def test_an_emergency_holds_until_it_is_closed_or_over() -> None:
    log = AuditedLog().found()
    opened = log.open_glass(REGISTRAR, "output-checker")
    closed = log.close_glass(REGISTRAR, "output-checker")
    log.submit("job-0001")
    reading = log.read()
    people = Tenures(reading.facts)
    assert people.emergency(REGISTRAR, reading.facts[opened]) is not None
    assert people.emergency(REGISTRAR, reading.facts[closed]) is None
    again = log.wait(days=2).open_glass(REGISTRAR, "output-checker")
    log.wait(hours=1).submit("job-0002")
    reading = log.read()
    people = Tenures(reading.facts)
    assert people.emergency(REGISTRAR, reading.facts[again]) is not None
    assert people.emergency(REGISTRAR, reading.facts[-1]) is None
    assert [item.closed is None for item in people.emergencies] == [False, True]
