"""What a log, its operator, its host or a thief of its key could try, and what the auditor's verifier says to each.

Every attack is a row: files as the attacker presents them, what the auditor holds, the verdict and the finding. Some
attacks cannot be seen by anybody who only has the log's signature; the table says so: the verdict is then
`LOG-SIGNED ONLY`, never `VERIFIED`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.lib.mini_log import (
    NOW,
    NOW_S,
    ORIGIN,
    START,
    START_S,
    MiniLog,
    NoteKey,
    b64,
    canonical,
    log_key,
    make_envelope,
    make_payload,
    make_receipt,
    make_tiles,
    signer,
    timestamp,
    witness,
)
from yingbi.verify import Finding, Name, Outcome, Report, Verdict, audit_log, load_trust, verify_receipt

BANK, ROOT = signer("bank-a"), signer("root", "")
W = [witness("w1"), witness("w2"), witness("w3")]
COSIGN = [(key, NOW_S) for key in W]
SIZE = 300

Files = dict[str, bytes]


def honest() -> MiniLog:
    log = MiniLog()
    body = {"jwk": BANK.jwk, "owner": BANK.owner, "not_before": timestamp(START), "not_after": None}
    log.append("key.registered", [ROOT, BANK], body=body)
    return log.fill(SIZE - 1)


HONEST = honest()
FILES = HONEST.export(cosign=COSIGN)
TRUST = load_trust(HONEST.trust(witnesses=W, threshold=2, roots=[ROOT]))
EVIL = make_envelope(make_payload("job.refused"), [BANK])


def edited(index: int) -> MiniLog:
    """The honest log, in which one entry says something else; the chain after it is as it was."""
    log = HONEST.copy()
    value = json.loads(log.entries[index])
    log.entries[index] = canonical({**value, "type": "job.refused", "statement": EVIL})
    return log


def retimed(index: int, at: str) -> MiniLog:
    """The honest log, in which one entry bears another time, and everything after it was hashed anew."""
    log = HONEST.copy()
    log.entries[index] = canonical({**json.loads(log.entries[index]), "time": at})
    return log.rechain(index + 1)


def forked(index: int, size: int = SIZE) -> MiniLog:
    """Another history from `index` on, well made: what a thief of the log's key can produce."""
    log = HONEST.copy()
    del log.entries[index:]
    while len(log.entries) < size:
        log.append("job.refused", envelope=EVIL)
    return log


def bundles_of(log: MiniLog) -> Files:
    """The honest log's files with the entry bundles of another."""
    return {**FILES, **{path: data for path, data in make_tiles(log.entries).items() if "/entries/" in path}}


def tiles_of(log: MiniLog) -> Files:
    """The honest checkpoint with all tiles of another log."""
    return {"checkpoint": FILES["checkpoint"], **make_tiles(log.entries)}


def changed(path: str, edit: Callable[[bytes], bytes]) -> Files:
    return {**FILES, path: edit(FILES[path])}


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def inserted() -> MiniLog:
    log = HONEST.copy()
    log.entries.insert(100, edited(100).entries[100])
    return log


def deleted() -> MiniLog:
    log = HONEST.copy()
    del log.entries[100]
    return log


def swapped() -> MiniLog:
    log = HONEST.copy()
    log.entries[100], log.entries[200] = log.entries[200], log.entries[100]
    return log


def replayed() -> MiniLog:
    log = HONEST.copy()
    log.entries[200] = log.entries[100]
    return log


@dataclass(frozen=True)
class Attack:
    """What the auditor is shown and holds, and what the verifier must say."""

    files: Files
    verdict: Verdict
    finding: Finding | None = None
    name: str | None = None
    index: int | None = None
    since: bytes | None = None
    max_age_s: int | None = None
    good_size: int | None = None
    heads: bool = False


INVALID, LOG_ONLY, MISSING = Verdict.INVALID, Verdict.LOG_SIGNED_ONLY, Verdict.COULD_NOT_CHECK

ON_ENTRIES = {
    "an entry edited, tiles as they were": Attack(
        bundles_of(edited(150)), INVALID, Finding.HASH_MISMATCH, Name.TILES, 150, good_size=150
    ),
    "the first entry edited": Attack(bundles_of(edited(0)), INVALID, Finding.HASH_MISMATCH, Name.TILES, 0, good_size=0),
    "the last entry edited": Attack(
        bundles_of(edited(299)), INVALID, Finding.HASH_MISMATCH, Name.TILES, 299, good_size=299
    ),
    "an entry edited, tiles rewritten": Attack(
        tiles_of(edited(150)), INVALID, Finding.CHAIN_BROKEN, Name.CHAIN, 151, good_size=151
    ),
    "the last entry of a bundle edited, tiles rewritten": Attack(
        tiles_of(edited(255)), INVALID, Finding.CHAIN_BROKEN, Name.CHAIN, 256, good_size=256
    ),
    "the last entry edited, tiles rewritten": Attack(
        tiles_of(edited(299)), INVALID, Finding.ROOT_MISMATCH, Name.ROOT, None, good_size=None
    ),
    "an entry edited, chain and tiles rewritten": Attack(
        tiles_of(edited(150).rechain(151)), INVALID, Finding.ROOT_MISMATCH, Name.ROOT
    ),
    "the same, with a good older checkpoint below": Attack(
        tiles_of(edited(150).rechain(151)),
        INVALID,
        Finding.ROOT_MISMATCH,
        Name.ROOT,
        since=HONEST.checkpoint(150),
        good_size=150,
    ),
    "an entry deleted": Attack(tiles_of(deleted()), INVALID, Finding.WRONG_INDEX, Name.ENTRIES, 100, good_size=100),
    "an entry deleted, the rest renumbered": Attack(
        {**FILES, **make_tiles(deleted().rechain(100).entries)}, INVALID, Finding.CHAIN_BROKEN, Name.CHAIN, 256
    ),
    "an entry inserted": Attack(tiles_of(inserted()), INVALID, Finding.WRONG_INDEX, Name.ENTRIES, 101, good_size=101),
    "two entries swapped": Attack(tiles_of(swapped()), INVALID, Finding.WRONG_INDEX, Name.ENTRIES, 100, good_size=100),
    "an entry replayed in another's place": Attack(
        tiles_of(replayed()), INVALID, Finding.WRONG_INDEX, Name.ENTRIES, 200, good_size=200
    ),
    "the tail cut off the files": Attack(tiles_of(forked(280, 280)), MISSING),
    "the tail cut off the last bundle": Attack(
        changed("tile/entries/001.p/44", lambda data: data[:-1]), INVALID, Finding.MALFORMED, Name.ENTRIES, 299
    ),
    "something after the last entry": Attack(
        changed("tile/entries/001.p/44", lambda data: data + b"\0\0"), INVALID, Finding.MALFORMED, Name.ENTRIES, 300
    ),
    "a whole bundle withheld": Attack({key: data for key, data in FILES.items() if key != "tile/entries/000"}, MISSING),
    "an entry spelled otherwise": Attack(
        changed("tile/entries/000", lambda data: data.replace(b'"v":1', b'"v": ')),
        INVALID,
        Finding.MALFORMED,
        Name.ENTRIES,
        0,
    ),
    "an entry whose type is not its payload's": Attack(
        changed("tile/entries/001.p/44", lambda data: data.replace(b"job.submitted", b"job.cancelled", 1)),
        INVALID,
        Finding.MALFORMED,
        Name.ENTRIES,
        256,
    ),
}

ON_TILES = {
    "a leaf hash changed": Attack(changed("tile/0/000", flip(32 * 7)), INVALID, Finding.HASH_MISMATCH, Name.TILES, 7),
    "a leaf hash of the partial tile changed": Attack(
        changed("tile/0/001.p/44", flip(32 * 43)), INVALID, Finding.HASH_MISMATCH, Name.TILES, 299
    ),
    "a hash of level 1 changed": Attack(
        changed("tile/1/000.p/1", flip(0)), INVALID, Finding.HASH_MISMATCH, Name.TILES, 0
    ),
    "a tile cut short": Attack(
        changed("tile/0/001.p/44", lambda data: data[:-32]), INVALID, Finding.MALFORMED, Name.TILES, 256
    ),
    "a tile too long": Attack(
        changed("tile/1/000.p/1", lambda data: data * 2), INVALID, Finding.MALFORMED, Name.TILES, 0
    ),
    "a tile withheld": Attack({key: data for key, data in FILES.items() if key != "tile/0/001.p/44"}, MISSING),
}

ON_TIMES = {
    "an entry dated before the one before it": Attack(
        retimed(150, timestamp(START)).export(), INVALID, Finding.TIME_WENT_BACK, Name.TIMES, 150, good_size=150
    ),
    "the first entry of a bundle dated back": Attack(
        retimed(256, timestamp(START)).export(), INVALID, Finding.TIME_WENT_BACK, Name.TIMES, 256
    ),
    "an entry dated later than its witnesses saw it": Attack(
        HONEST.export(cosign=[(W[0], NOW_S), (W[1], START_S - 51)]), INVALID, Finding.POSTDATED, Name.TIMES, 250
    ),
    "an entry dated before a checkpoint that did not hold it": Attack(
        FILES,
        INVALID,
        Finding.BACKDATED,
        Name.TIMES,
        200,
        since=HONEST.checkpoint(200, cosign=[(W[0], START_S + 501)]),
        good_size=200,
    ),
    "an entry dated in the future": Attack(
        retimed(299, timestamp(NOW + timedelta(seconds=301))).export(), INVALID, Finding.FUTURE, Name.TIMES, 299
    ),
    "a cosignature of the future": Attack(
        HONEST.export(cosign=[(key, NOW_S + 301) for key in W]), INVALID, Finding.FUTURE, Name.COSIGNATURES
    ),
    "a stale head": Attack(
        HONEST.export(cosign=[(key, NOW_S - 3601) for key in W]),
        INVALID,
        Finding.STALE,
        Name.AGE,
        max_age_s=3600,
        good_size=SIZE,
    ),
    "a head of unknown age": Attack(HONEST.export(), MISSING, max_age_s=3600, good_size=SIZE),
    "a stale head, not asked about": Attack(
        HONEST.export(cosign=[(key, START_S + 300) for key in W]), Verdict.VERIFIED, good_size=SIZE
    ),
}


def other_origin(*, keys: list[NoteKey]) -> Files:
    text = HONEST.text().replace(ORIGIN.encode(), b"other.example")
    return {**FILES, "checkpoint": text + b"\n" + b"".join(key.sign(text) for key in keys)}


STOLEN_NAME = NoteKey("other.example", 1, log_key().private)
FORGED_ROOT = FILES["checkpoint"].replace(HONEST.text().split(b"\n")[2], b64(b"r" * 32).encode())

ON_HEADS = {
    "the root replaced, signatures kept": Attack(
        {**FILES, "checkpoint": FORGED_ROOT}, INVALID, Finding.BAD_SIGNATURE, Name.LOG_SIGNATURE
    ),
    "a head signed by a key of the thief's own": Attack(
        {**FILES, "checkpoint": MiniLog(keys=[log_key(seed="thief")], entries=HONEST.entries).checkpoint()},
        INVALID,
        Finding.NO_TRUSTED_SIGNATURE,
        Name.LOG_SIGNATURE,
    ),
    "another origin, which nobody trusts": Attack(
        other_origin(keys=[STOLEN_NAME]), INVALID, Finding.WRONG_ORIGIN, Name.NOTE
    ),
    "an extension line": Attack(
        {
            **FILES,
            "checkpoint": (text := HONEST.text() + b"more\n") + b"\n" + log_key().sign(text),
        },
        INVALID,
        Finding.MALFORMED,
        Name.NOTE,
    ),
    "cosignatures of another head": Attack(
        {
            **FILES,
            "checkpoint": HONEST.checkpoint() + b"".join(key.sign(HONEST.text(299), NOW_S) for key in W),
        },
        INVALID,
        Finding.BAD_SIGNATURE,
        Name.COSIGNATURES,
    ),
    "a cosignature whose time was changed": Attack(
        {**FILES, "checkpoint": HONEST.checkpoint() + W[0].line(b"\0" * 8 + W[0].private.sign(b"x"))},
        INVALID,
        Finding.BAD_SIGNATURE,
        Name.COSIGNATURES,
    ),
    "no checkpoint": Attack({key: data for key, data in FILES.items() if key != "checkpoint"}, MISSING),
    "cosignatures stripped": Attack(HONEST.export(), LOG_ONLY, good_size=SIZE),
}

FORK = forked(100)
LONG_FORK = forked(100, 320)
KEPT = HONEST.checkpoint(200, cosign=[(key, START_S + 200) for key in W])

ON_HISTORY = {
    "rolled back, with the stolen key": Attack(
        HONEST.export(150), INVALID, Finding.ROLLBACK, Name.HISTORY, since=KEPT, heads=True
    ),
    "rolled back, nobody remembers": Attack(HONEST.export(150), LOG_ONLY, good_size=150),
    "rolled back by one entry": Attack(
        HONEST.export(199, cosign=COSIGN), INVALID, Finding.ROLLBACK, Name.HISTORY, since=KEPT, heads=True
    ),
    "rolled back to nothing": Attack(
        MiniLog().export(), INVALID, Finding.ROLLBACK, Name.HISTORY, since=KEPT, heads=True
    ),
    "split view at the same size": Attack(
        FORK.export(), INVALID, Finding.SPLIT_VIEW, Name.HISTORY, since=FILES["checkpoint"], heads=True
    ),
    "a fork that went on": Attack(
        LONG_FORK.export(), INVALID, Finding.SPLIT_VIEW, Name.HISTORY, since=KEPT, heads=True
    ),
    "a fork that even the witnesses cosigned": Attack(
        LONG_FORK.export(cosign=COSIGN), INVALID, Finding.SPLIT_VIEW, Name.HISTORY, since=KEPT, heads=True
    ),
    "a fork after what the auditor remembers": Attack(
        forked(200).export(), LOG_ONLY, since=HONEST.checkpoint(200), good_size=SIZE
    ),
    "a fork, nobody remembers, no witness cosigned": Attack(FORK.export(), LOG_ONLY, good_size=SIZE),
    "a fork that one witness of two needed cosigned": Attack(FORK.export(cosign=COSIGN[:1]), LOG_ONLY, good_size=SIZE),
    "a fork presented with the honest head": Attack(tiles_of(FORK), INVALID, Finding.ROOT_MISMATCH, Name.ROOT),
    "a fork presented with the honest head, remembered": Attack(
        tiles_of(FORK), INVALID, Finding.ROOT_MISMATCH, Name.ROOT, since=KEPT
    ),
    "an old head that the log never signed": Attack(
        FILES,
        INVALID,
        Finding.NO_TRUSTED_SIGNATURE,
        Name.HISTORY,
        since=MiniLog(keys=[log_key(seed="thief")], entries=HONEST.entries[:200]).checkpoint(),
    ),
}

ATTACKS = {**ON_ENTRIES, **ON_TILES, **ON_TIMES, **ON_HEADS, **ON_HISTORY}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_attack(attack: Attack) -> None:
    report = audit_log(
        attack.files.__getitem__, TRUST, now=NOW, since=attack.since, max_age_s=attack.max_age_s, statements=False
    )
    failure = report.first_failure
    found = (failure.finding, failure.name, failure.index) if failure else (None, None, None)
    assert (report.verdict, *found) == (attack.verdict, attack.finding, attack.name, attack.index), report.to_text()
    if attack.good_size is not None:
        assert report.good_size == attack.good_size
    if attack.since is not None and attack.heads:
        assert report.heads == (attack.since.decode(), attack.files["checkpoint"].decode())
    else:
        assert report.heads == ()


def test_the_honest_log_passes() -> None:
    """The control: the same questions, asked of the honest log."""
    report = audit_log(FILES.__getitem__, TRUST, now=NOW, since=KEPT, max_age_s=3600)
    assert report.verdict is Verdict.VERIFIED
    assert {check.outcome for check in report.checks} == {Outcome.PASSED}


@pytest.mark.parametrize("attack", [item for item in ATTACKS.values() if item.verdict is INVALID], ids=str.__call__)
def test_what_was_found_first_is_not_listed_as_passed(attack: Attack) -> None:
    report = audit_log(attack.files.__getitem__, TRUST, now=NOW, since=attack.since, max_age_s=attack.max_age_s)
    failure = report.first_failure
    assert failure is not None
    passed = {check.name for check in report.checks if check.outcome is Outcome.PASSED}
    assert failure.name not in passed
    if failure.name in (Name.ENTRIES, Name.CHAIN, Name.TIMES, Name.TILES):
        # Stopped there: nothing that needs all entries may have passed.
        assert not passed & {
            Name.ENTRIES,
            Name.CHAIN,
            Name.TIMES,
            Name.TILES,
            Name.ROOT,
            Name.LOG_KEYS,
            Name.STATEMENTS,
        }


def test_a_mismatch_names_both_hashes() -> None:
    report = audit_log(bundles_of(edited(150)).__getitem__, TRUST, now=NOW)
    failure = report.first_failure
    assert failure is not None
    assert failure.expected == HONEST.leaves[150].hex()
    assert failure.actual == edited(150).leaves[150].hex()


def test_a_broken_chain_names_both_hashes() -> None:
    report = audit_log(tiles_of(edited(150)).__getitem__, TRUST, now=NOW)
    failure = report.first_failure
    assert failure is not None
    assert failure.expected == edited(150).leaves[150].hex()
    assert failure.actual == HONEST.leaves[150].hex()


def test_a_split_view_is_evidence_that_others_can_check() -> None:
    """Both heads are printed whole: each verifies by itself, and together they convict the log."""
    report = audit_log(LONG_FORK.export().__getitem__, TRUST, now=NOW, since=KEPT)
    text = report.to_text()
    for head in report.heads:
        assert all(f"    {line}\n" in text for line in head.rstrip("\n").split("\n"))
        alone = audit_log({"checkpoint": head.encode()}.__getitem__, TRUST, now=NOW)
        signature = next(check for check in alone.checks if check.name == Name.LOG_SIGNATURE)
        assert signature.outcome is Outcome.PASSED


def test_the_entries_of_one_log_under_the_origin_of_another() -> None:
    """Both logs are trusted, and one operator holds both keys: the genesis value still tells the logs apart."""
    second = log_key("other.example", seed="second")
    trust = load_trust(HONEST.trust(keys=[*HONEST.keys, second]))
    failure = audit_log(other_origin(keys=[second]).__getitem__, trust, now=NOW).first_failure
    assert failure is not None
    assert (failure.name, failure.index, failure.finding) == (Name.CHAIN, 0, Finding.CHAIN_BROKEN)
    report = audit_log(other_origin(keys=[second]).__getitem__, trust, now=NOW, origin=ORIGIN)
    assert report.checks[0].finding is Finding.WRONG_ORIGIN


def receipt_report(receipt: bytes, entry: bytes) -> Report:
    return verify_receipt(receipt, entry, TRUST, now=NOW, statements=False)


def finding_of(report: Report, name: Name) -> Finding | None:
    return next(check.finding for check in report.checks if check.name == name)


RECEIPTS: dict[str, tuple[Any, bytes, Verdict, Name | None, Finding | None]] = {
    "of a fork, with the fork's head": (
        lambda: FORK.receipt(150),
        FORK.entries[150],
        LOG_ONLY,
        None,
        None,
    ),
    "of a fork, with one cosignature of two needed": (
        lambda: FORK.receipt(150, cosign=COSIGN[:1]),
        FORK.entries[150],
        LOG_ONLY,
        None,
        None,
    ),
    "of a fork, with the honest head": (
        lambda: make_receipt(150, FORK.path(150), FILES["checkpoint"]),
        FORK.entries[150],
        INVALID,
        Name.INCLUSION,
        Finding.NOT_INCLUDED,
    ),
    "of a fork, with cosignatures of the honest head": (
        lambda: make_receipt(150, FORK.path(150), FORK.checkpoint() + b"".join(k.sign(HONEST.text()) for k in W)),
        FORK.entries[150],
        INVALID,
        Name.COSIGNATURES,
        Finding.BAD_SIGNATURE,
    ),
    "for an entry that was edited": (
        lambda: HONEST.receipt(150, cosign=COSIGN),
        edited(150).entries[150],
        INVALID,
        Name.INCLUSION,
        Finding.NOT_INCLUDED,
    ),
    "for the neighbour": (
        lambda: HONEST.receipt(151, cosign=COSIGN),
        HONEST.entries[150],
        INVALID,
        Name.ENTRY,
        Finding.WRONG_INDEX,
    ),
    "for a later entry under an older head": (
        lambda: make_receipt(150, HONEST.path(150), HONEST.checkpoint(150, cosign=COSIGN)),
        HONEST.entries[150],
        INVALID,
        Name.INCLUSION,
        Finding.NOT_INCLUDED,
    ),
    "with an inner node for the entry": (
        lambda: make_receipt(0, HONEST.path(0)[1:], FILES["checkpoint"]),
        HONEST.leaves[0] + HONEST.leaves[1],
        INVALID,
        Name.ENTRY,
        Finding.MALFORMED,
    ),
    "under the origin of another log": (
        lambda: make_receipt(150, HONEST.path(150), other_origin(keys=[STOLEN_NAME])["checkpoint"]),
        HONEST.entries[150],
        INVALID,
        Name.NOTE,
        Finding.WRONG_ORIGIN,
    ),
}


@pytest.mark.parametrize(("make", "entry", "verdict", "name", "finding"), RECEIPTS.values(), ids=RECEIPTS.keys())
def test_receipts(
    make: Callable[[], bytes], entry: bytes, verdict: Verdict, name: Name | None, finding: Finding | None
) -> None:
    report = receipt_report(make(), entry)
    assert report.verdict is verdict
    if name is not None:
        assert finding_of(report, name) is finding
    else:
        assert report.first_failure is None
