"""Keys over time, as an auditor follows them: the same rules as the verifier's, and every fault named."""

from datetime import timedelta
from typing import Any

from tests.lib.audited_log import BANK, BUREAU, AuditedLog
from yingbi.audit.keybook import KeyFault, KeyRecord
from yingbi.clock import format_time

ANALYST = "person:ana"


def faults(log: AuditedLog) -> list[KeyFault | None]:
    return [signer.fault for signer in log.read().facts[-1].signers]


def record(log: AuditedLog, owner: str) -> KeyRecord:
    return next(item for item in log.read().keys.records if item.owner == owner)


def cancel(log: AuditedLog, by: str, issuer: str = ANALYST, **how: Any) -> None:
    log.say("job.cancelled", "job-1", issuer, {"reason": "request", "note": None}, by=(by,), on_behalf_of=BANK, **how)


def test_a_registered_key_signs_from_its_entry_on() -> None:
    log = AuditedLog().found()
    cancel(log, ANALYST)
    assert faults(log) == [None]
    assert record(log, BUREAU).registered == 0
    cancel(log, "nobody")
    assert faults(log) == [KeyFault.UNKNOWN]


def test_a_key_is_good_between_its_times() -> None:
    log = AuditedLog().found()
    log.register("person:temp", BANK, not_after=format_time(log.at + timedelta(hours=1)))
    cancel(log, "person:temp", "person:temp")
    assert faults(log) == [None]
    cancel(log.wait(hours=2), "person:temp", "person:temp")
    assert faults(log) == [KeyFault.NOT_VALID_THEN]


def test_a_rotation_ends_the_old_key_and_begins_the_new_one() -> None:
    log = AuditedLog().found()
    body = {
        "old": log.key(ANALYST).thumbprint,
        "jwk": log.key("analyst's new key").to_jwk(),
        "owner": ANALYST,
        "not_after": None,
    }
    index = log.say("key.rotated", "key-ana", BUREAU, body, by=(ANALYST, "analyst's new key"))
    cancel(log, "analyst's new key")
    assert faults(log) == [None]
    cancel(log, ANALYST)
    assert faults(log) == [KeyFault.NOT_VALID_THEN]
    old = next(item for item in log.read().keys.records if item.keyid == log.key(ANALYST).thumbprint)
    assert (old.ended, old.reason) == (index, "rotated")


def test_a_revocation_ends_a_key() -> None:
    log = AuditedLog().found()
    body = {"keyid": log.key(ANALYST).thumbprint, "reason": "lost"}
    index = log.say("key.revoked", "key-ana", BUREAU, body, by=("root",))
    cancel(log, ANALYST)
    assert faults(log) == [KeyFault.NOT_VALID_THEN]
    assert (record(log, ANALYST).ended, record(log, ANALYST).reason) == (index, "lost")


def test_a_registration_without_a_root_registers_nothing() -> None:
    log = AuditedLog().found()
    body = {
        "jwk": log.key("person:evil").to_jwk(),
        "owner": "person:evil",
        "not_before": format_time(log.at),
        "not_after": None,
    }
    log.say("key.registered", "key-evil", BUREAU, body, by=("person:evil", BUREAU), on_behalf_of=BUREAU)
    cancel(log, "person:evil", "person:evil")
    assert faults(log) == [KeyFault.UNKNOWN]


def test_a_root_owns_nothing_and_is_known_as_one() -> None:
    log = AuditedLog().found()
    signers = log.read().facts[0].signers
    assert {(signer.owner, signer.is_root) for signer in signers} == {(None, True), (BUREAU, False)}


def test_a_revoked_root_is_none_any_more() -> None:
    log = AuditedLog().found()
    body = {"keyid": log.key("root").thumbprint, "reason": "lost"}
    log.say("key.revoked", "key-root", BUREAU, body, by=("root",))
    log.register("person:late", BUREAU)
    assert KeyFault.NOT_VALID_THEN in faults(log)
    assert all(item.owner != "person:late" for item in log.read().keys.records)
