"""Receipts: C2SP tlog-proof files, checked against the bytes of their entry (verification.md, Receipt)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

from yingbi.verify.checkpoint import Head, Terms, check_history, examine, latest_entry_time, make_terms
from yingbi.verify.entry import Entry, parse_entry
from yingbi.verify.keyring import KEY_TYPES, LOG_KEY_TYPE
from yingbi.verify.merkle import MAX_PATH, ProofError, hash_leaf, root_from_inclusion
from yingbi.verify.merkle import verify_consistency as prove_consistent
from yingbi.verify.note import Checkpoint, decode_hash
from yingbi.verify.report import Check, Finding, Name, Report, failed, missing, not_checked, passed
from yingbi.verify.statement import SignerKey, StatementError, check_signer, verify_signatures
from yingbi.verify.strict import Malformed, parse_decimal
from yingbi.verify.trust import Trust

__all__ = ["Proof", "parse_path", "parse_receipt", "verify_checkpoint", "verify_consistency", "verify_receipt"]

_HEADER: Final = "c2sp.org/tlog-proof@v1"
_MAX_HEAD_BYTES: Final = 4096  # header, index and 63 hashes of 45 bytes
_ENTRY_CHECKS: Final = (Name.ENTRY, Name.INCLUSION, Name.TIMES, Name.STATEMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A parsed receipt; `note` is the checkpoint as it came."""

    index: int
    path: tuple[bytes, ...]
    note: bytes


def parse_receipt(data: bytes) -> Proof:
    """Parse a C2SP tlog-proof without `extra` line (log.md, Receipt).

    Raises:
        Malformed: it has another form.
    """
    head, blank, note = data.partition(b"\n\n")
    if not blank or len(head) > _MAX_HEAD_BYTES or not head.isascii():
        raise Malformed("expected proof lines in ASCII, an empty line and a checkpoint")
    lines = head.decode().split("\n")
    if lines[0] != _HEADER or len(lines) < 2 or not lines[1].startswith("index "):
        raise Malformed(f"expected `{_HEADER}` and an index line, and nothing extra")
    index = parse_decimal(lines[1].removeprefix("index "))
    return Proof(index=index, path=_parse_hashes(lines[2:]), note=note)


def parse_path(data: bytes) -> tuple[bytes, ...]:
    """Parse a file of base64 hashes, one a line: the consistency proof lines of C2SP tlog-witness.

    Raises:
        Malformed: it has another form.
    """
    if not data:
        return ()
    if len(data) > _MAX_HEAD_BYTES or not data.isascii() or not data.endswith(b"\n"):
        raise Malformed("expected lines of base64 hashes, each ending in a newline")
    return _parse_hashes(data[:-1].decode().split("\n"))


def verify_checkpoint(
    checkpoint: bytes,
    trust: Trust,
    *,
    now: datetime,
    max_age_s: int | None = None,
    skew_s: int = 300,
    origin: str | None = None,
) -> Report:
    """Verify a signed checkpoint: form, log signature, cosignatures, quorum, age."""
    head = examine(checkpoint, trust, make_terms(now, skew_s, max_age_s, origin))
    return Report(checks=head.checks, about=head.about)


def verify_consistency(
    old: bytes,
    new: bytes,
    path: Sequence[bytes],
    trust: Trust,
    *,
    now: datetime,
    max_age_s: int | None = None,
    skew_s: int = 300,
    origin: str | None = None,
) -> Report:
    """Verify that the checkpoint `new` continues `old`, with an RFC 6962 §2.1.2 consistency proof.

    The verdict is about `new`; of `old`, the log's signature is required.
    """
    head = examine(new, trust, make_terms(now, skew_s, max_age_s, origin))
    before = examine(old, trust, make_terms(now, skew_s, None, origin))
    history = check_history(before, head, partial(_check_path, tuple(path)))
    contradicts = history.finding in (Finding.ROLLBACK, Finding.SPLIT_VIEW)
    heads = (old.decode(errors="replace"), new.decode(errors="replace")) if contradicts else ()
    return Report(checks=(*head.checks, history), about=head.about, heads=heads)


def verify_receipt(
    receipt: bytes,
    entry: bytes | None,
    trust: Trust,
    *,
    now: datetime,
    max_age_s: int | None = None,
    skew_s: int = 300,
    origin: str | None = None,
    statements: bool = True,
) -> Report:
    """Verify that `entry` is in the log that `receipt` speaks of, and who signed its statement.

    Without the entry's bytes the inclusion cannot be checked, and the verdict is at best `COULD NOT CHECK`. With
    `statements` off, or without keys of statements in the trust file, the statement's signatures are not checked.
    """
    terms = make_terms(now, skew_s, max_age_s, origin)
    try:
        proof = parse_receipt(receipt)
    except Malformed as error:
        rest = (Name.LOG_SIGNATURE, Name.COSIGNATURES, Name.QUORUM, Name.AGE, *_ENTRY_CHECKS)
        wrong = failed(Name.NOTE, Finding.MALFORMED, f"receipt: {error}")
        return Report(checks=(wrong, *(not_checked(name, "the receipt cannot be read") for name in rest)))
    head = examine(proof.note, trust, terms)
    about = {**head.about, "index": proof.index}
    if entry is None:
        absent = (missing(name, "the entry's bytes are needed", [f"entry {proof.index}"]) for name in _ENTRY_CHECKS[:2])
        unread = (not_checked(name, "there is no entry") for name in _ENTRY_CHECKS[2:])
        return Report(checks=(*head.checks, *absent, *unread), about=about)
    known = {**trust.statement_roots, **trust.statement_keys} if statements else {}
    return Report(checks=(*head.checks, *_check_entry(entry, proof, head, known, terms)), about=about)


def _check_entry(
    data: bytes, proof: Proof, head: Head, known: Mapping[str, SignerKey], terms: Terms
) -> tuple[Check, ...]:
    inclusion = _check_inclusion(data, proof, head)
    try:
        entry = parse_entry(data)
    except Malformed as error:
        wrong = failed(Name.ENTRY, Finding.MALFORMED, str(error), index=proof.index)
        unread = (not_checked(name, "the entry cannot be read") for name in (Name.TIMES, Name.STATEMENT))
        return (wrong, inclusion, *unread)
    form = passed(Name.ENTRY, f"`{entry.type}` by {entry.payload['issuer']}")
    if entry.seq != proof.index:
        message, expected = "the entry has another place than the receipt says", str(proof.index)
        form = failed(Name.ENTRY, Finding.WRONG_INDEX, message, expected=expected, actual=str(entry.seq))
    return form, inclusion, _check_time(entry, head, terms), _check_statement(entry, known)


def _check_path(path: tuple[bytes, ...], was: Checkpoint, now: Checkpoint) -> Check | None:
    try:
        prove_consistent(was.size, now.size, was.root, now.root, path)
    except ProofError as error:
        # Not called a split view: a broken proof says nothing about the trees.
        return failed(Name.HISTORY, Finding.INCONSISTENT, f"the proof does not connect the checkpoints: {error}")
    return None


def _check_inclusion(data: bytes, proof: Proof, head: Head) -> Check:
    if head.checkpoint is None:
        return not_checked(Name.INCLUSION, "the checkpoint cannot be read")
    try:
        actual = root_from_inclusion(proof.index, head.checkpoint.size, hash_leaf(data), proof.path).hex()
    except ProofError as error:
        return failed(Name.INCLUSION, Finding.NOT_INCLUDED, str(error), index=proof.index)
    expected, message = head.checkpoint.root.hex(), "the path leads to another root"
    if actual != expected:
        wrong = failed(Name.INCLUSION, Finding.NOT_INCLUDED, message, index=proof.index)
        return replace(wrong, expected=expected, actual=actual)
    return passed(Name.INCLUSION, f"entry {proof.index} of {head.checkpoint.size}")


def _check_time(entry: Entry, head: Head, terms: Terms) -> Check:
    finding, latest = latest_entry_time(head, terms)
    if entry.time > latest:
        message, expected = "the entry bears a time later than it can be", f"at most {latest}"
        return failed(Name.TIMES, finding, message, index=entry.seq, expected=expected, actual=entry.time)
    if not head.times:
        return not_checked(Name.TIMES, f"no cosignature bounds the time of the entry, {entry.time}")
    return passed(Name.TIMES, f"{entry.time}, before it was cosigned")


def _check_statement(entry: Entry, known: Mapping[str, SignerKey]) -> Check:
    if not known:
        return not_checked(Name.STATEMENT, "not asked for, or the trust file names no keys of statements")
    unnamed = [keyid for keyid, _ in entry.signatures if keyid not in known]
    try:
        named = verify_signatures(entry, known.get, skip=unnamed)
        if not unnamed and entry.type not in KEY_TYPES | {LOG_KEY_TYPE}:
            check_signer(entry, named)
    except StatementError as error:
        return error.to_check(Name.STATEMENT, entry.seq)
    if unnamed:
        return missing(Name.STATEMENT, "signatures by keys that the trust file does not name", unnamed)
    return passed(Name.STATEMENT, f"{len(named)} signatures by named keys")


def _parse_hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    if len(lines) > MAX_PATH:
        raise Malformed(f"expected at most {MAX_PATH} hashes, got {len(lines)}")
    return tuple(decode_hash(line) for line in lines)
