"""Receipts, checkpoints and consistency proofs: each step of verification.md, kept and broken."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.lib.mini_log import (
    ML_DSA_44,
    NOW,
    NOW_S,
    ORIGIN,
    START,
    START_S,
    MiniLog,
    NoteKey,
    b64,
    log_key,
    make_receipt,
    signer,
    witness,
)
from yingbi.verify import (
    Check,
    Finding,
    Malformed,
    Name,
    Outcome,
    Report,
    Verdict,
    load_trust,
    parse_path,
    verify_checkpoint,
    verify_consistency,
    verify_receipt,
)

W = [witness("w1"), witness("w2"), witness("w3", kind=ML_DSA_44)]
COSIGN = [(key, NOW_S - 60) for key in W]
LOG = MiniLog().fill(7)
LOG.append("job.approved", [signer("bank-a"), signer("officer", "person:li-4")], on_behalf_of="person:li-4")
TRUST = load_trust(LOG.trust(witnesses=W, threshold=2))
ENTRY = LOG.entries[7]


def check_of(report: Report, name: Name) -> Check:
    return next(check for check in report.checks if check.name == name)


def outcomes(report: Report) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in report.checks}


def verify(receipt: bytes | None = None, entry: bytes | None = ENTRY, trust: Any = TRUST, **options: Any) -> Report:
    given = LOG.receipt(7, cosign=COSIGN) if receipt is None else receipt
    return verify_receipt(given, entry, trust, now=options.pop("now", NOW), **options)


def test_a_good_receipt() -> None:
    report = verify(max_age_s=60)
    assert report.verdict is Verdict.VERIFIED
    assert report.about == {"origin": ORIGIN, "size": 8, "root": LOG_ROOT, "index": 7}
    assert outcomes(report) == {
        **dict.fromkeys([Name.NOTE, Name.LOG_SIGNATURE, Name.COSIGNATURES, Name.QUORUM, Name.AGE], Outcome.PASSED),
        **dict.fromkeys([Name.ENTRY, Name.INCLUSION, Name.TIMES], Outcome.PASSED),
        Name.STATEMENT: Outcome.NOT_CHECKED,
    }


LOG_ROOT = verify_checkpoint(LOG.checkpoint(), TRUST, now=NOW).about["root"]


def test_every_entry_of_every_size_has_a_receipt() -> None:
    for size in range(1, 9):
        for index in range(size):
            report = verify(LOG.receipt(index, size, cosign=COSIGN), LOG.entries[index])
            assert report.verdict is Verdict.VERIFIED


def test_without_the_entry_the_inclusion_is_missing() -> None:
    report = verify(entry=None)
    assert report.verdict is Verdict.COULD_NOT_CHECK
    assert check_of(report, Name.INCLUSION).ask_for == ("entry 7",)


def test_without_quorum_only_the_log_vouches() -> None:
    for cosign in ([], COSIGN[:1]):
        report = verify(LOG.receipt(7, cosign=cosign))
        assert report.verdict is Verdict.LOG_SIGNED_ONLY
        assert check_of(report, Name.QUORUM).outcome is Outcome.NOT_CHECKED


def test_one_witness_cannot_be_a_quorum_by_signing_twice() -> None:
    report = verify(LOG.receipt(7, cosign=[(W[0], NOW_S), (W[0], NOW_S - 1), (W[0], NOW_S)]))
    assert report.verdict is Verdict.LOG_SIGNED_ONLY


def test_two_of_three_are_enough() -> None:
    for left_out in range(3):
        cosign = [item for number, item in enumerate(COSIGN) if number != left_out]
        assert verify(LOG.receipt(7, cosign=cosign)).verdict is Verdict.VERIFIED


def test_the_age_is_that_of_the_newest_cosignature() -> None:
    receipt = LOG.receipt(7, cosign=[(W[0], NOW_S - 1000), (W[1], NOW_S - 100)])
    assert verify(receipt, max_age_s=100).verdict is Verdict.VERIFIED
    stale = verify(receipt, max_age_s=99)
    assert (stale.verdict, check_of(stale, Name.AGE).finding) == (Verdict.INVALID, Finding.STALE)
    assert check_of(verify(receipt), Name.AGE).outcome is Outcome.NOT_CHECKED


def test_every_kind_of_cosignature_tells_the_age() -> None:
    for key in W:
        report = verify(LOG.receipt(7, cosign=[(key, NOW_S - 5)]), max_age_s=5)
        assert check_of(report, Name.AGE).outcome is Outcome.PASSED


def test_without_any_time_the_age_is_missing() -> None:
    for cosign in ([], [(W[2], 0)]):
        report = verify(LOG.receipt(7, cosign=cosign), max_age_s=10**9)
        assert report.verdict is Verdict.COULD_NOT_CHECK
        assert check_of(report, Name.AGE).outcome is Outcome.MISSING


def test_time_zero_counts_for_the_quorum_but_tells_no_time() -> None:
    # Under ML-DSA-44 a witness may leave the time out (tlog-cosignature); under Ed25519, 0 is a time long ago.
    assert verify(LOG.receipt(7, cosign=[(W[0], NOW_S), (W[2], 0)])).verdict is Verdict.VERIFIED
    report = verify(LOG.receipt(7, cosign=[(W[0], NOW_S), (W[1], 0)]))
    assert check_of(report, Name.TIMES).finding is Finding.POSTDATED


def test_cosignatures_from_the_future_are_refused() -> None:
    assert verify(LOG.receipt(7, cosign=[(key, NOW_S + 300) for key in W])).verdict is Verdict.VERIFIED
    for time in (NOW_S + 301, 2**63 - 1):
        report = verify(LOG.receipt(7, cosign=[(W[0], NOW_S), (W[1], time)]))
        assert check_of(report, Name.COSIGNATURES).finding is Finding.FUTURE
    assert verify(LOG.receipt(7, cosign=[(W[1], NOW_S + 20)]), skew_s=10).verdict is Verdict.INVALID


def test_entries_bear_no_time_after_their_cosignature() -> None:
    at = START_S + 7
    good = verify(LOG.receipt(7, cosign=[(key, at - 300) for key in W]))
    assert good.verdict is Verdict.VERIFIED
    late = verify(LOG.receipt(7, cosign=[(W[0], NOW_S), (W[1], at - 301)]))
    failure = check_of(late, Name.TIMES)
    assert (late.verdict, failure.finding, failure.index) == (Verdict.INVALID, Finding.POSTDATED, 7)


def test_entries_bear_no_time_to_come() -> None:
    at = START + timedelta(seconds=7)
    assert verify(LOG.receipt(7), now=at - timedelta(seconds=300)).verdict is Verdict.LOG_SIGNED_ONLY
    report = verify(LOG.receipt(7), now=at - timedelta(seconds=301))
    assert check_of(report, Name.TIMES).finding is Finding.FUTURE


def edit_line(receipt: bytes, key: NoteKey, edit: Callable[[bytes], bytes]) -> bytes:
    lines = receipt.split(b"\n")
    return b"\n".join(edit(line) if line.startswith(f"\u2014 {key.name} ".encode()) else line for line in lines)


def forge_blob(line: bytes) -> bytes:
    return line[:-8] + b"AAAAAAA="


def test_a_bad_signature_of_a_known_key_is_never_ignored() -> None:
    good = LOG.receipt(7, cosign=COSIGN)
    for key, name in [(LOG.keys[0], Name.LOG_SIGNATURE), (W[0], Name.COSIGNATURES), (W[2], Name.COSIGNATURES)]:
        report = verify(edit_line(good, key, forge_blob))
        assert report.verdict is Verdict.INVALID
        assert check_of(report, name).finding is Finding.BAD_SIGNATURE


def test_unknown_signatures_are_ignored() -> None:
    strangers = [(witness("stranger"), NOW_S), (NoteKey(W[0].name, 4, witness("s2").private), NOW_S)]
    # Names and IDs are shared one at a time: same name with another ID, and same ID under another name.
    same_id = NoteKey("other.example", 4, W[0].private)
    line = same_id.sign(LOG.text()).replace(b64(same_id.id).encode()[:5], b64(W[0].id).encode()[:5])
    receipt = LOG.receipt(7, cosign=[*COSIGN, *strangers]) + line
    assert verify(receipt).verdict is Verdict.VERIFIED
    assert verify(LOG.receipt(7, cosign=strangers) + line).verdict is Verdict.LOG_SIGNED_ONLY


def test_a_colliding_key_id_is_a_bad_signature() -> None:
    """Name and ID of a known key, over another key: the way to spoof a name (C2SP signed-note, Signatures)."""
    for victim, name in [(LOG.keys[0], Name.LOG_SIGNATURE), (W[1], Name.COSIGNATURES)]:

        class Spoof(NoteKey):
            @property
            def id(self, stolen: bytes = victim.id) -> bytes:
                return stolen

        spoof = Spoof(victim.name, victim.kind, witness("thief").private)
        report = verify(LOG.receipt(7, cosign=[*COSIGN[:1], (spoof, NOW_S)]))
        assert check_of(report, name).finding is Finding.BAD_SIGNATURE


def test_a_log_signature_is_no_cosignature_nor_the_other_way_round() -> None:
    crossed = NoteKey(W[0].name, 1, W[0].private)
    assert verify(LOG.receipt(7, cosign=[(crossed, NOW_S), COSIGN[1]])).verdict is Verdict.LOG_SIGNED_ONLY
    log = LOG.copy()
    log.keys = [NoteKey(ORIGIN, 4, log_key().private)]
    report = verify(log.receipt(7, cosign=COSIGN))
    assert check_of(report, Name.LOG_SIGNATURE).finding is Finding.NO_TRUSTED_SIGNATURE


def test_the_origin_is_trusted_and_expected() -> None:
    other = MiniLog("other.example", [log_key("other.example", seed="other")]).fill(8)
    receipt = other.receipt(7)
    assert check_of(verify(receipt, other.entries[7]), Name.NOTE).finding is Finding.WRONG_ORIGIN
    both = load_trust(LOG.trust(keys=[*LOG.keys, *other.keys]))
    assert verify(receipt, other.entries[7], both).verdict is Verdict.LOG_SIGNED_ONLY
    assert verify(receipt, other.entries[7], both, origin="other.example").verdict is Verdict.LOG_SIGNED_ONLY
    report = verify(receipt, other.entries[7], both, origin=ORIGIN)
    assert check_of(report, Name.NOTE).finding is Finding.WRONG_ORIGIN
    assert check_of(verify(origin="nobody.example"), Name.NOTE).finding is Finding.WRONG_ORIGIN


def test_the_key_of_one_log_does_not_sign_for_another() -> None:
    other = MiniLog("other.example", [log_key("other.example", seed="other")]).fill(8)
    both = load_trust(LOG.trust(keys=[*LOG.keys, *other.keys]))
    other.keys = LOG.keys
    report = verify(other.receipt(7), other.entries[7], both)
    assert check_of(report, Name.LOG_SIGNATURE).finding is Finding.NO_TRUSTED_SIGNATURE


def test_another_entry_is_not_included() -> None:
    report = verify(entry=LOG.entries[6])
    assert check_of(report, Name.INCLUSION).finding is Finding.NOT_INCLUDED
    assert check_of(report, Name.ENTRY).finding is Finding.WRONG_INDEX
    assert check_of(report, Name.INCLUSION).expected == LOG_ROOT


def test_an_entry_in_another_place_is_refused_even_if_its_hash_is_there() -> None:
    """The tree holds entry 7 at index 0 too: only `seq` tells."""
    log = MiniLog(entries=[ENTRY, *LOG.entries[1:]])
    report = verify(log.receipt(0, cosign=COSIGN))
    assert check_of(report, Name.INCLUSION).outcome is Outcome.PASSED
    assert check_of(report, Name.ENTRY).finding is Finding.WRONG_INDEX
    assert report.verdict is Verdict.INVALID


def test_a_malformed_entry_is_refused_even_if_its_hash_is_there() -> None:
    log = MiniLog(entries=[b"{}"])
    report = verify(log.receipt(0, cosign=COSIGN), b"{}")
    assert check_of(report, Name.INCLUSION).outcome is Outcome.PASSED
    assert (report.verdict, check_of(report, Name.ENTRY).finding) == (Verdict.INVALID, Finding.MALFORMED)


NOTE = LOG.checkpoint(cosign=COSIGN)
PATH = LOG.path(7)
BAD_RECEIPTS = {
    "nothing": b"",
    "a checkpoint alone": NOTE,
    "another version": make_receipt(7, PATH, NOTE).replace(b"@v1", b"@v2", 1),
    "an extra line": make_receipt(7, PATH, NOTE).replace(b"index", b"extra AAAA\nindex", 1),
    "no index": make_receipt(7, PATH, NOTE).replace(b"index 7\n", b"", 1),
    "index with a leading zero": make_receipt("07", PATH, NOTE),
    "index with a sign": make_receipt("+7", PATH, NOTE),
    "index with a space": make_receipt(" 7", PATH, NOTE),
    "index with other digits": make_receipt("٧", PATH, NOTE),
    "negative index": make_receipt("-1", PATH, NOTE),
    "index 2^53": make_receipt(2**53, PATH, NOTE),
    "no index number": make_receipt("", PATH, NOTE),
    "carriage returns": make_receipt(7, PATH, NOTE).replace(b"\n", b"\r\n"),
    "short hash": make_receipt(7, [*PATH[:-1], PATH[-1][:-1]], NOTE),
    "long hash": make_receipt(7, [*PATH[:-1], PATH[-1] + b"\0"], NOTE),
    "hash with stray bits": make_receipt(7, PATH, NOTE).replace(b64(PATH[0]).encode(), b"A" * 42 + b"B="),
    "64 hashes": make_receipt(7, [PATH[0]] * 64, NOTE),
    "too much before the note": make_receipt(7, [], NOTE).replace(b"\n\n", b"\n" + b"A" * 5000 + b"\n\n", 1),
    "empty line in the path": make_receipt(7, PATH, NOTE).replace(b"index 7\n", b"index 7\n\n", 1),
    "no checkpoint": make_receipt(7, PATH, b""),
    "two checkpoints": make_receipt(7, PATH, NOTE + b"\n" + NOTE),
    "space at the end of a line": make_receipt(7, PATH, NOTE).replace(b"index 7", b"index 7 ", 1),
}


@pytest.mark.parametrize("receipt", BAD_RECEIPTS.values(), ids=BAD_RECEIPTS.keys())
def test_other_forms_of_receipts_are_refused(receipt: bytes) -> None:
    report = verify(receipt)
    assert report.verdict is Verdict.INVALID
    assert check_of(report, Name.NOTE).finding is Finding.MALFORMED
    assert {check.outcome for check in report.checks[1:]} <= {Outcome.NOT_CHECKED, Outcome.PASSED}


def test_an_index_beyond_the_tree_is_not_included() -> None:
    for index in (8, 2**53 - 1):
        report = verify(make_receipt(index, PATH, NOTE))
        assert check_of(report, Name.INCLUSION).finding is Finding.NOT_INCLUDED


# --- statements ----------------------------------------------------------------------------------------------------

BANK, OFFICER, STRANGER = signer("bank-a"), signer("officer", "person:li-4"), signer("stranger", "partner:bank-a")


def statement_check(*named: Any, roots: Any = (), entry: bytes = ENTRY, index: int = 7) -> Check:
    trust = load_trust(LOG.trust(witnesses=W, threshold=2, named=named, roots=roots))
    log = LOG if entry is ENTRY else MiniLog(entries=[*LOG.entries[:index], entry])
    return check_of(verify(log.receipt(index, cosign=COSIGN), entry, trust), Name.STATEMENT)


def test_statement_signatures_by_named_keys() -> None:
    assert statement_check(BANK, OFFICER).outcome is Outcome.PASSED
    assert statement_check(OFFICER, BANK, STRANGER).outcome is Outcome.PASSED


def test_keys_that_are_not_named_are_asked_for() -> None:
    check = statement_check(BANK)
    assert (check.outcome, check.ask_for) == (Outcome.MISSING, (OFFICER.thumbprint,))
    assert set(statement_check(STRANGER).ask_for) == {BANK.thumbprint, OFFICER.thumbprint}
    assert statement_check(roots=[STRANGER]).outcome is Outcome.MISSING


def test_a_root_is_nobody() -> None:
    check = statement_check(roots=[BANK, OFFICER])
    assert (check.outcome, check.finding) == (Outcome.FAILED, Finding.WRONG_SIGNER)
    assert statement_check(BANK, roots=[OFFICER]).outcome is Outcome.PASSED


def test_a_named_key_of_another_party_does_not_speak_for_the_issuer() -> None:
    bank_b = signer("bank-a", "partner:bank-b")
    other = signer("officer", "person:wang-5")
    assert statement_check(bank_b, other).finding is Finding.WRONG_SIGNER


def test_a_bad_signature_is_found_even_if_another_key_is_not_named() -> None:
    log = MiniLog(entries=LOG.entries[:7])

    class Forger(type(BANK)):  # type: ignore[misc]
        @property
        def thumbprint(self) -> str:
            return BANK.thumbprint

    log.append("job.approved", [Forger(STRANGER.private, "partner:bank-a"), OFFICER])
    check = statement_check(BANK, entry=log.entries[7])
    assert (check.finding, check.actual) == (Finding.BAD_SIGNATURE, BANK.thumbprint)


def test_statements_can_be_left_out() -> None:
    trust = load_trust(LOG.trust(witnesses=W, threshold=2, named=[BANK]))
    assert verify(trust=trust).verdict is Verdict.COULD_NOT_CHECK
    report = verify(trust=trust, statements=False)
    assert report.verdict is Verdict.VERIFIED
    assert check_of(report, Name.STATEMENT).outcome is Outcome.NOT_CHECKED


def test_key_entries_need_no_owner() -> None:
    log = MiniLog(entries=LOG.entries[:7])
    log.append("key.revoked", [BANK], issuer="bureau:futian", body={"keyid": BANK.thumbprint, "reason": "lost"})
    assert statement_check(BANK, entry=log.entries[7]).outcome is Outcome.PASSED


# --- checkpoints and consistency -----------------------------------------------------------------------------------


def consistency(old: bytes, new: bytes, path: list[bytes], **options: Any) -> Report:
    return verify_consistency(old, new, path, TRUST, now=NOW, **options)


def test_checkpoints_alone() -> None:
    assert verify_checkpoint(NOTE, TRUST, now=NOW, max_age_s=60).verdict is Verdict.VERIFIED
    assert verify_checkpoint(LOG.checkpoint(), TRUST, now=NOW).verdict is Verdict.LOG_SIGNED_ONLY
    assert verify_checkpoint(b"", TRUST, now=NOW).verdict is Verdict.INVALID


def test_consistent_checkpoints() -> None:
    for old in range(9):
        report = consistency(LOG.checkpoint(old), NOTE, LOG.consistency(old))
        assert report.verdict is Verdict.VERIFIED, old
        assert report.heads == ()


def test_a_broken_proof_is_not_called_a_split_view() -> None:
    report = consistency(LOG.checkpoint(3), NOTE, LOG.consistency(4))
    assert check_of(report, Name.HISTORY).finding is Finding.INCONSISTENT
    assert report.heads == ()


def test_rollback_and_split_view_show_both_heads() -> None:
    fork = LOG.copy()
    fork.entries[5:] = []
    fork.append("job.refused")
    fork.append("job.refused")
    fork.append("job.refused")
    old = LOG.checkpoint()
    for new, finding in [(LOG.checkpoint(5), Finding.ROLLBACK), (fork.checkpoint(), Finding.SPLIT_VIEW)]:
        report = consistency(old, new, [])
        assert (report.verdict, check_of(report, Name.HISTORY).finding) == (Verdict.INVALID, finding)
        assert report.heads == (old.decode(), new.decode())


def test_the_old_checkpoint_must_be_the_logs() -> None:
    forged = MiniLog(keys=[log_key(seed="thief")], entries=LOG.entries[:5]).checkpoint()
    report = consistency(forged, NOTE, LOG.consistency(5))
    assert check_of(report, Name.HISTORY).finding is Finding.NO_TRUSTED_SIGNATURE
    assert check_of(consistency(b"", NOTE, []), Name.HISTORY).finding is Finding.MALFORMED


def test_an_unsigned_new_checkpoint_accuses_nobody() -> None:
    fork = MiniLog(keys=[log_key(seed="thief")]).fill(8)
    report = consistency(LOG.checkpoint(), fork.checkpoint(), [])
    assert report.verdict is Verdict.INVALID
    assert check_of(report, Name.HISTORY).outcome is Outcome.NOT_CHECKED
    assert report.heads == ()


def test_checkpoints_of_two_logs_are_not_compared() -> None:
    other = MiniLog("other.example", [log_key("other.example", seed="other")], LOG.entries)
    both = load_trust(LOG.trust(keys=[*LOG.keys, *other.keys]))
    report = verify_consistency(other.checkpoint(3), NOTE, LOG.consistency(3), both, now=NOW)
    assert check_of(report, Name.HISTORY).finding is Finding.WRONG_ORIGIN


def test_proof_lines_are_parsed_strictly() -> None:
    lines = "".join(f"{b64(item)}\n" for item in PATH).encode()
    assert parse_path(lines) == tuple(PATH)
    assert parse_path(b"") == ()
    for bad in (lines[:-1], lines + b"\n", b"\n", lines.replace(b"\n", b"\r\n"), lines * 30, b"\xff\n"):
        with pytest.raises(Malformed):
            parse_path(bad)


def test_terms_are_checked() -> None:
    with pytest.raises(ValueError, match="zone"):
        verify(now=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="from 0"):
        verify(skew_s=-1)
    with pytest.raises(ValueError, match="from 0"):
        verify(max_age_s=-1)
