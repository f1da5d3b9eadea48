"""Keys over time: every rule of statement.md and log.md, kept and broken, as audits of whole little logs."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from tests.lib.mini_log import (
    NOW,
    START,
    MiniLog,
    NoteKey,
    Signer,
    as_signer,
    log_key,
    signer,
    timestamp,
    witness,
)
from yingbi.verify import Check, Finding, Name, Outcome, Report, audit_log, load_trust

ROOT, ROOT2 = signer("root", ""), signer("root2", "")
A, A2, A3, B = signer("a"), signer("a2"), signer("a3"), signer("b", "partner:bank-b")
STRANGER = signer("stranger")


def register(key: Signer, *signers: Signer, owner: str | None = None, **body: Any) -> tuple[str, Sequence[Signer], Any]:
    values = {"jwk": key.jwk, "owner": owner or key.owner, "not_before": timestamp(START), "not_after": None, **body}
    return "key.registered", signers or (ROOT, key), {"body": values}


def rotate(old: Signer, new: Signer, *signers: Signer, **body: Any) -> tuple[str, Sequence[Signer], Any]:
    values = {"old": old.thumbprint, "jwk": new.jwk, "owner": old.owner, "not_after": None, **body}
    return "key.rotated", signers or (old, new), {"body": values}


def revoke(key: Signer, *signers: Signer, **body: Any) -> tuple[str, Sequence[Signer], Any]:
    return "key.revoked", signers or (key,), {"body": {"keyid": key.thumbprint, "reason": "lost", **body}}


def submit(*signers: Signer, **members: Any) -> tuple[str, Sequence[Signer], Any]:
    return "job.submitted", signers, {"issuer": signers[0].owner or "partner:bank-a", **members}


def audit(*steps: tuple[str, Sequence[Signer], Any], roots: Sequence[Signer] = (ROOT, ROOT2)) -> Check:
    log = MiniLog()
    for entry_type, signers, members in steps:
        log.append(entry_type, list(signers), **members)
    report = audit_log(log.export().__getitem__, load_trust(log.trust(roots=roots)), now=NOW)
    return next(check for check in report.checks if check.name == Name.STATEMENTS)


LATER = timestamp(START + timedelta(hours=1))
MUCH_LATER = timestamp(START + timedelta(hours=2))
Step = tuple[str, Sequence[Signer], Any]
KEPT: dict[str, list[Step]] = {
    "a registered key signs": [register(A), submit(A)],
    "a registration with another root": [register(A, ROOT2, A), submit(A)],
    "two registered keys sign together": [register(A), register(B), submit(A, B)],
    "a root signs beside the owner": [register(A), submit(A, ROOT)],
    "a root that owns something": [register(ROOT, ROOT, owner="bureau:futian"), submit(ROOT, issuer="bureau:futian")],
    "a rotated key signs": [register(A), rotate(A, A2), submit(A2)],
    "rotated twice": [register(A), rotate(A, A2), submit(A2), rotate(A2, A3), submit(A3)],
    "the old key before its rotation": [register(A), submit(A), rotate(A, A2), submit(A2)],
    "revoked by itself, after its last statement": [register(A), submit(A), revoke(A)],
    "revoked by a root": [register(A), submit(A), revoke(A, ROOT)],
    "revoked twice": [register(A), revoke(A), revoke(A, ROOT)],
    "another key goes on after a revocation": [register(A), register(B), revoke(A), submit(B)],
    "revoked by itself after its time": [
        register(A, not_after=LATER),
        (*revoke(A)[:2], {**revoke(A)[2], "issued_at": MUCH_LATER}),
    ],
    "issued on the last moment": [register(A, not_after=LATER), submit(A, issued_at=LATER)],
    "issued on the first moment": [register(A, not_before=LATER), submit(A, issued_at=LATER)],
    "a root revoked by the other": [revoke(ROOT, ROOT2), register(A, ROOT2, A), submit(A)],
    "nothing but the empty log": [],
}


@pytest.mark.parametrize("steps", KEPT.values(), ids=KEPT.keys())
def test_the_rules_kept(steps: list[Step]) -> None:
    check = audit(*steps)
    assert check.outcome is Outcome.PASSED, check


BROKEN: dict[str, tuple[list[Step], int, Finding]] = {
    "a key that nobody registered": ([submit(A)], 0, Finding.UNKNOWN_KEY),
    "a key before its registration": ([submit(A), register(A)], 0, Finding.UNKNOWN_KEY),
    "a second signer that nobody registered": ([register(A), submit(A, STRANGER)], 1, Finding.UNKNOWN_KEY),
    "a root for somebody else": ([submit(ROOT)], 0, Finding.WRONG_SIGNER),
    "a key of another owner": ([register(B), submit(B, issuer="partner:bank-a")], 1, Finding.WRONG_SIGNER),
    "registered by no root": ([register(A, A)], 0, Finding.WRONG_SIGNER),
    "registered by a stranger": ([register(A, A, STRANGER)], 0, Finding.WRONG_SIGNER),
    "registered by another key": ([register(B), register(A, A, B)], 1, Finding.WRONG_SIGNER),
    "registered without proof of possession": ([register(A, ROOT)], 0, Finding.WRONG_SIGNER),
    "registered with a further stranger": ([register(A, A, ROOT, STRANGER)], 0, Finding.UNKNOWN_KEY),
    "registered twice": ([register(A), register(A)], 1, Finding.KEY_RULE),
    "registered again for another owner": ([register(A), register(A, owner="partner:bank-b")], 1, Finding.KEY_RULE),
    "registered again after revocation": ([register(A), revoke(A), register(A)], 2, Finding.KEY_RULE),
    "registered by a revoked root": ([revoke(ROOT, ROOT2), register(A)], 1, Finding.WRONG_SIGNER),
    "a revoked root signs beside": ([register(A), revoke(ROOT), submit(A, ROOT)], 2, Finding.UNKNOWN_KEY),
    "rotated without the old key": ([register(A), rotate(A, A2, A2, ROOT)], 1, Finding.WRONG_SIGNER),
    "rotated without the new key": ([register(A), rotate(A, A2, A, ROOT)], 1, Finding.WRONG_SIGNER),
    "rotated from an unknown key": ([rotate(A, A2)], 0, Finding.KEY_RULE),
    "rotated from a root": ([rotate(ROOT, A2, owner="bureau:futian")], 0, Finding.KEY_RULE),
    "rotated to another owner": ([register(A), rotate(A, B, owner="partner:bank-b")], 1, Finding.KEY_RULE),
    "rotated to a registered key": ([register(A), register(A2), rotate(A, A2)], 2, Finding.KEY_RULE),
    "rotated back": ([register(A), rotate(A, A2), rotate(A2, A)], 2, Finding.KEY_RULE),
    "rotated to itself": ([register(A), rotate(A, A, A)], 1, Finding.KEY_RULE),
    "rotated after rotation": ([register(A), rotate(A, A2), rotate(A, A3)], 2, Finding.UNKNOWN_KEY),
    "rotated after revocation": ([register(A), revoke(A), rotate(A, A2)], 2, Finding.UNKNOWN_KEY),
    "the old key after its rotation": ([register(A), rotate(A, A2), submit(A)], 2, Finding.UNKNOWN_KEY),
    "a key after its revocation": ([register(A), revoke(A), submit(A)], 2, Finding.UNKNOWN_KEY),
    "a key between two revocations": (
        [register(A), revoke(A), submit(A), revoke(A, ROOT)],
        2,
        Finding.UNKNOWN_KEY,
    ),
    "a rotated key before its revocation": (
        [register(A), rotate(A, A2), submit(A), revoke(A, ROOT)],
        2,
        Finding.UNKNOWN_KEY,
    ),
    "a root between two revocations": (
        [register(A), revoke(ROOT), submit(A, ROOT), revoke(ROOT, ROOT2)],
        2,
        Finding.UNKNOWN_KEY,
    ),
    "revoked by a stranger": ([register(A), revoke(A, STRANGER)], 1, Finding.WRONG_SIGNER),
    "revoked by another key": ([register(A), register(B), revoke(A, B)], 2, Finding.WRONG_SIGNER),
    "revoked before registration": ([revoke(A, ROOT)], 0, Finding.KEY_RULE),
    "issued before the key's time": (
        [register(A, not_before=LATER), submit(A, issued_at=timestamp(START))],
        1,
        Finding.UNKNOWN_KEY,
    ),
    "issued after the key's time": (
        [register(A, not_after=LATER), submit(A, issued_at=MUCH_LATER)],
        1,
        Finding.UNKNOWN_KEY,
    ),
    "a registration with another member": ([register(A, extra=1)], 0, Finding.MALFORMED),
    "a registration without time": ([register(A, not_before=None)], 0, Finding.MALFORMED),
    "a registration with a bad time": ([register(A, not_after="tomorrow")], 0, Finding.MALFORMED),
    "a registration with a bad key": ([register(A, jwk={**A.jwk, "crv": "X25519"})], 0, Finding.MALFORMED),
    "a registration without owner": ([("key.registered", (ROOT, A), {"body": {}})], 0, Finding.MALFORMED),
    "a rotation until a number": ([register(A), rotate(A, A2, not_after=1)], 1, Finding.MALFORMED),
    "a revocation of a number": ([register(A), revoke(A, keyid=1)], 1, Finding.MALFORMED),
    "an earlier bad signature before a later bad key entry": (
        [register(A), submit(STRANGER), register(A)],
        1,
        Finding.UNKNOWN_KEY,
    ),
    "an earlier bad key entry before a later bad signature": (
        [register(A), register(A), submit(STRANGER)],
        1,
        Finding.KEY_RULE,
    ),
}


@pytest.mark.parametrize(("steps", "index", "finding"), BROKEN.values(), ids=BROKEN.keys())
def test_the_rules_broken(steps: list[Step], index: int, finding: Finding) -> None:
    check = audit(*steps)
    assert (check.outcome, check.index, check.finding) == (Outcome.FAILED, index, finding), check


def test_a_signature_by_a_key_that_is_right_in_all_but_the_signature() -> None:
    forged = Signer(STRANGER.private, A.owner)

    class Forger(Signer):
        @property
        def thumbprint(self) -> str:
            return A.thumbprint

    check = audit(register(A), submit(Forger(forged.private, forged.owner)))
    assert (check.index, check.finding) == (1, Finding.BAD_SIGNATURE)


def test_rules_hold_across_bundles() -> None:
    log = MiniLog()
    log.append(register(A)[0], list(register(A)[1]), **register(A)[2])
    log.fill(0)
    for _ in range(300):
        log.append("job.submitted", [A])
    log.append(revoke(A)[0], [A], **revoke(A)[2])
    log.append("job.submitted", [A])
    report = audit_log(log.export().__getitem__, load_trust(log.trust(roots=[ROOT])), now=NOW)
    failure = report.first_failure
    assert failure is not None
    assert (failure.name, failure.index, failure.finding) == (Name.STATEMENTS, 302, Finding.UNKNOWN_KEY)
    assert report.good_size == 302


# --- the log's own keys --------------------------------------------------------------------------------------------

K1, K2, K3 = log_key(seed="k1"), log_key(seed="k2"), log_key(seed="k3")


def change(log: MiniLog, phase: str, old: NoteKey, new: NoteKey, *signers: NoteKey, **body: Any) -> None:
    values = {"phase": phase, "old_vkey": old.vkey, "new_vkey": new.vkey, **body}
    log.append("log.key_changed", [as_signer(key) for key in signers or (old, new)], body=values)


def begun() -> MiniLog:
    log = MiniLog(keys=[K1, K2])
    log.fill(2)
    change(log, "begin", K1, K2)
    return log.fill(1)


def finished() -> MiniLog:
    log = begun()
    change(log, "finish", K1, K2)
    log.keys = [K2]
    return log.fill(1)


def changed_twice() -> MiniLog:
    log = finished()
    change(log, "begin", K2, K3)
    change(log, "finish", K2, K3)
    log.keys = [K3]
    return log


def audit_keys(log: MiniLog, *trusted: NoteKey, **options: Any) -> Report:
    return audit_log(log.export().__getitem__, load_trust(log.trust(keys=trusted)), now=NOW, **options)


def failure_of(report: Report) -> tuple[str, int | None, Finding | None] | None:
    failure = report.first_failure
    return None if failure is None else (failure.name, failure.index, failure.finding)


@pytest.mark.parametrize("make", [begun, finished, changed_twice])
@pytest.mark.parametrize("trusted", [K1, K2])
def test_a_verifier_that_trusts_one_key_learns_the_others(make: Callable[[], MiniLog], trusted: NoteKey) -> None:
    report = audit_keys(make(), trusted)
    assert failure_of(report) is None
    signature = next(check for check in report.checks if check.name == Name.LOG_SIGNATURE)
    assert signature.outcome is Outcome.PASSED


@pytest.mark.parametrize("trusted", [K1, K2, K3])
def test_checkpoints_of_every_time_are_accepted_as_old_ones(trusted: NoteKey) -> None:
    log = changed_twice()
    for size, keys in [(2, [K1]), (3, [K1, K2]), (4, [K1, K2]), (5, [K2]), (7, [K2, K3]), (8, [K3])]:
        old = log.checkpoint(size, keys=keys)
        assert failure_of(audit_keys(log, trusted, since=old)) is None, size


@pytest.mark.parametrize(("size", "key"), [(2, K2), (3, K1), (3, K2), (5, K1), (8, K1), (8, K2)])
def test_an_old_checkpoint_by_a_key_of_another_time_is_refused(size: int, key: NoteKey) -> None:
    log = changed_twice()
    old = log.checkpoint(size, keys=[key])
    assert failure_of(audit_keys(log, K1, since=old)) == (Name.HISTORY, None, Finding.WRONG_SIGNER)


@pytest.mark.parametrize(
    ("make", "keys"), [(begun, [K1]), (begun, [K2]), (finished, [K1]), (changed_twice, [K1]), (changed_twice, [K2])]
)
def test_the_checkpoint_is_signed_by_the_keys_of_its_size(make: Callable[[], MiniLog], keys: list[NoteKey]) -> None:
    log = make()
    log.keys = keys
    assert failure_of(audit_keys(log, K1)) == (Name.LOG_KEYS, None, Finding.WRONG_SIGNER)


def test_changes_between_keys_that_nobody_trusts_are_refused() -> None:
    log = begun()
    log.keys = [K1, K2, K3]
    assert failure_of(audit_keys(log, K3)) == (Name.LOG_KEYS, None, Finding.UNKNOWN_KEY)
    log.keys = [K1, K2]
    assert failure_of(audit_keys(log, K3)) == (Name.LOG_SIGNATURE, None, Finding.NO_TRUSTED_SIGNATURE)


def begin_twice(log: MiniLog) -> None:
    change(log, "begin", K1, K2)
    change(log, "begin", K2, K3)


def finish_only(log: MiniLog) -> None:
    log.fill(1)
    change(log, "finish", K1, K2)


def finish_other(log: MiniLog) -> None:
    change(log, "begin", K1, K2)
    change(log, "finish", K1, K3)


def from_other(log: MiniLog) -> None:
    change(log, "begin", K1, K2)
    change(log, "finish", K1, K2)
    change(log, "begin", K1, K3)


def back(log: MiniLog) -> None:
    change(log, "begin", K1, K2)
    change(log, "finish", K1, K2)
    change(log, "begin", K2, K1)


def middle(log: MiniLog) -> None:
    change(log, "begin", K1, K2)
    change(log, "middle", K1, K2)


WRONG_CHANGES: dict[str, tuple[Callable[[MiniLog], None], int, Finding]] = {
    "begin while one is pending": (begin_twice, 1, Finding.KEY_RULE),
    "finish without begin": (finish_only, 1, Finding.KEY_RULE),
    "finish of another change": (finish_other, 1, Finding.KEY_RULE),
    "begin from a key that ended": (from_other, 2, Finding.KEY_RULE),
    "begin to a key that ended": (back, 2, Finding.KEY_RULE),
    "another phase than `finish`": (middle, 1, Finding.KEY_RULE),
    "not signed by the old key": (lambda log: change(log, "begin", K1, K2, K2), 0, Finding.WRONG_SIGNER),
    "not signed by the new key": (lambda log: change(log, "begin", K1, K2, K1), 0, Finding.WRONG_SIGNER),
    "signed by others": (lambda log: change(log, "begin", K1, K2, K3), 0, Finding.WRONG_SIGNER),
    "another phase": (lambda log: change(log, "middle", K1, K2), 0, Finding.KEY_RULE),
    "verifier key a number": (lambda log: change(log, "begin", K1, K2, old_vkey=1), 0, Finding.MALFORMED),
    "another member": (lambda log: change(log, "begin", K1, K2, extra=1), 0, Finding.MALFORMED),
    "to the same key": (lambda log: change(log, "begin", K1, K1, K1), 0, Finding.MALFORMED),
    "to a witness key": (lambda log: change(log, "begin", K1, K2, new_vkey=witness("w1").vkey), 0, Finding.MALFORMED),
    "to a key of another name": (
        lambda log: change(log, "begin", K1, log_key("other", seed="k2")),
        0,
        Finding.KEY_RULE,
    ),
    "from a key of another name": (
        lambda log: change(log, "begin", log_key("other", seed="k1"), K2),
        0,
        Finding.KEY_RULE,
    ),
}


@pytest.mark.parametrize(("edit", "index", "finding"), WRONG_CHANGES.values(), ids=WRONG_CHANGES.keys())
def test_wrong_changes_of_the_log_key(edit: Callable[[MiniLog], None], index: int, finding: Finding) -> None:
    log = MiniLog(keys=[K1])
    edit(log)
    report = audit_keys(log, K1)
    assert failure_of(report) == (Name.LOG_KEYS, index, finding)
    assert report.good_size == index


def test_a_forged_signature_of_the_old_log_key() -> None:
    class Forger(Signer):
        @property
        def thumbprint(self) -> str:
            return as_signer(K1).thumbprint

    log = MiniLog(keys=[K1])
    body = {"phase": "begin", "old_vkey": K1.vkey, "new_vkey": K2.vkey}
    log.append("log.key_changed", [Forger(as_signer(K3).private), as_signer(K2)], body=body)
    assert failure_of(audit_keys(log, K1)) == (Name.LOG_KEYS, 0, Finding.BAD_SIGNATURE)


def test_a_log_key_change_with_statement_roots() -> None:
    log = begun()
    log.entries = log.entries[:0]
    change(log, "begin", K1, K2)
    trust = load_trust(log.trust(keys=[K1], roots=[ROOT]))
    assert failure_of(audit_log(log.export().__getitem__, trust, now=NOW)) is None
    log.append(register(A)[0], list(register(A)[1]), **register(A)[2])
    body = {"phase": "finish", "old_vkey": K1.vkey, "new_vkey": K2.vkey}
    witnessed = log.copy()
    witnessed.append("log.key_changed", [as_signer(K1), as_signer(K2), A], body=body)
    assert failure_of(audit_log(witnessed.export().__getitem__, trust, now=NOW)) is None
    log.append("log.key_changed", [as_signer(K1), as_signer(K2), STRANGER], body=body)
    report = audit_log(log.export().__getitem__, trust, now=NOW)
    assert failure_of(report) == (Name.STATEMENTS, 2, Finding.UNKNOWN_KEY)


def test_keys_of_another_log_do_not_count() -> None:
    log = MiniLog(keys=[NoteKey("other.example", 1, K1.private)])
    log.fill(1)
    assert failure_of(audit_keys(log, K1)) == (Name.LOG_SIGNATURE, None, Finding.NO_TRUSTED_SIGNATURE)
