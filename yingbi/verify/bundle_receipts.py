"""Receipts and anchor proofs of a bundle, held against the bundle's own log.

A receipt says what somebody was shown at some time. Its checkpoint must be one that the log signed, its path must lead
from the entry that the bundle holds at its place, and the bundle's log must begin with its tree.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from yingbi.verify.anchored import verify_anchored_checkpoint
from yingbi.verify.archive import Archive
from yingbi.verify.bundle_log import LogContents, prefix_roots
from yingbi.verify.checkpoint import Head, Terms, examine
from yingbi.verify.merkle import ProofError, root_from_inclusion
from yingbi.verify.note import Checkpoint
from yingbi.verify.receipt import Proof, parse_receipt
from yingbi.verify.report import Check, Finding, Name, Outcome, Report, failed, missing, not_checked, passed
from yingbi.verify.strict import Malformed
from yingbi.verify.trust import Trust

__all__ = ["AskedFor", "check_anchors", "check_receipts"]

_MAX_RECEIPT_BYTES: Final = 2**21
_MAX_NOTE_BYTES: Final = 2**20
_CHECKPOINT: Final = ".checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedFor:
    """What a bundle's parts are judged by: whom to trust, on which terms, and the log that the bundle holds."""

    trust: Trust
    terms: Terms
    published: bytes
    contents: LogContents


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A receipt with its name in the bundle, and what was found of its checkpoint."""

    path: str
    proof: Proof
    head: Head
    checkpoint: Checkpoint


class _WrongError(Exception):
    """Carries a failed check, and the signed heads that contradict each other."""

    def __init__(self, check: Check, heads: tuple[bytes, ...] = ()) -> None:
        super().__init__(check.message)
        self.check = check
        self.heads = heads


def check_receipts(archive: Archive, paths: Iterable[str], asked: AskedFor) -> tuple[Check, tuple[str, ...]]:
    """Check all receipts, up to the first that is wrong; return the check and any heads that contradict each other."""
    names = sorted(paths)
    if not names:
        return not_checked(Name.RECEIPTS, "the bundle holds no receipts"), ()
    heads: dict[bytes, Head] = {}
    try:
        shown = [_read(archive, name, asked, heads) for name in names]
        roots = prefix_roots(asked.contents.leaves, (item.checkpoint.size for item in shown))
        for item in shown:
            _judge(item, asked, roots)
    except _WrongError as wrong:
        return wrong.check, tuple(head.decode(errors="replace") for head in wrong.heads)
    return passed(Name.RECEIPTS, f"{len(shown)} receipts under {len(heads)} checkpoints, all of this log"), ()


def check_anchors(archive: Archive, paths: Iterable[str], asked: AskedFor) -> Check:
    """Check all anchor proofs, each with the checkpoint beside it, or else with that of the log."""
    proofs = sorted(path for path in paths if not path.endswith(_CHECKPOINT))
    if not proofs:
        return not_checked(Name.ANCHORS, "the bundle holds no anchor proofs")
    if not asked.trust.anchors:
        return not_checked(Name.ANCHORS, "the trust file names no blocks to hold anchors against")
    try:
        signed = {path: _read_signed(archive, path, asked) for path in proofs}
    except Malformed as error:
        return failed(Name.ANCHORS, Finding.MALFORMED, str(error))
    heads = {data: examine(data, asked.trust, asked.terms) for data in signed.values()}
    sizes = (head.checkpoint.size for head in heads.values() if head.checkpoint is not None)
    roots = prefix_roots(asked.contents.leaves, sizes)
    lacking: list[str] = []
    for path in proofs:
        check = _check_anchor(archive, path, heads[signed[path]], asked, roots)
        if check.outcome is Outcome.FAILED:
            return failed(
                Name.ANCHORS,
                check.finding or Finding.NOT_ANCHORED,
                f"{path}: {check.message}",
                expected=check.expected,
                actual=check.actual,
            )
        if check.outcome is not Outcome.PASSED:
            lacking += [f"{path}: {item}" for item in check.ask_for or (check.message,)]
    if lacking:
        return missing(Name.ANCHORS, "anchors that could not be judged", lacking[:20])
    return passed(Name.ANCHORS, f"{len(proofs)} anchored heads, all of this log")


def _read(archive: Archive, path: str, asked: AskedFor, heads: dict[bytes, Head]) -> _Shown:
    try:
        if archive.size(path) > _MAX_RECEIPT_BYTES:
            raise Malformed(f"expected a receipt of at most {_MAX_RECEIPT_BYTES} bytes")
        proof = parse_receipt(archive.read(path))
    except Malformed as error:
        raise _WrongError(failed(Name.RECEIPTS, Finding.MALFORMED, f"{path}: {error}")) from None
    if proof.note not in heads:
        heads[proof.note] = examine(proof.note, asked.trust, asked.terms)
    head = heads[proof.note]
    if head.failure is not None or head.checkpoint is None:
        found = head.failure.finding if head.failure is not None else None
        message = head.failure.message if head.failure is not None else "the checkpoint cannot be read"
        wrong = failed(Name.RECEIPTS, found or Finding.MALFORMED, f"{path}: {message}", index=proof.index)
        raise _WrongError(wrong)
    return _Shown(path=path, proof=proof, head=head, checkpoint=head.checkpoint)


def _judge(shown: _Shown, asked: AskedFor, roots: Mapping[int, bytes]) -> None:
    leaves, index, size = asked.contents.leaves, shown.proof.index, shown.checkpoint.size
    both = (shown.head.data, asked.published)
    if size > len(leaves):
        message = f"{shown.path}: rollback: a receipt is of a larger log"
        expected = f"a size from {size} on"
        raise _WrongError(
            failed(Name.RECEIPTS, Finding.ROLLBACK, message, expected=expected, actual=str(len(leaves))), both
        )
    if roots[size] != shown.checkpoint.root:
        message = f"{shown.path}: split view: the log signed two trees that differ within their first {size} entries"
        expected, actual = shown.checkpoint.root.hex(), roots[size].hex()
        raise _WrongError(
            failed(Name.RECEIPTS, Finding.SPLIT_VIEW, message, index=index, expected=expected, actual=actual), both
        )
    try:
        root = root_from_inclusion(index, size, leaves[index] if index < size else b"", shown.proof.path)
    except ProofError as error:
        raise _WrongError(failed(Name.RECEIPTS, Finding.NOT_INCLUDED, f"{shown.path}: {error}", index=index)) from None
    if root != shown.checkpoint.root:
        message = f"{shown.path}: the path does not lead from the entry to the root"
        raise _WrongError(failed(Name.RECEIPTS, Finding.NOT_INCLUDED, message, index=index))


def _read_signed(archive: Archive, path: str, asked: AskedFor) -> bytes:
    """Return the signed checkpoint that an anchor proof is about."""
    beside = path.rpartition(".")[0] + _CHECKPOINT
    if beside not in archive.paths:
        return asked.published
    if archive.size(beside) > _MAX_NOTE_BYTES:
        raise Malformed(f"{beside}: expected a checkpoint of at most {_MAX_NOTE_BYTES} bytes")
    return archive.read(beside)


def _check_anchor(archive: Archive, path: str, head: Head, asked: AskedFor, roots: Mapping[int, bytes]) -> Check:
    try:
        report = _verify_anchor(archive.read(path), head.data, asked)
    except Malformed as error:
        return failed(Name.ANCHOR, Finding.MALFORMED, str(error))
    if head.failure is not None:
        return head.failure
    if head.checkpoint is not None and (wrong := _contradiction(head.checkpoint, asked, roots)) is not None:
        return wrong
    return next(check for check in report.checks if check.name == Name.ANCHOR)


def _contradiction(checkpoint: Checkpoint, asked: AskedFor, roots: Mapping[int, bytes]) -> Check | None:
    """Return how the bundle's log contradicts a head that the log signed, if it does."""
    size, leaves = checkpoint.size, asked.contents.leaves
    if size > len(leaves):
        message, expected = "rollback: the log was larger before", f"a size from {size} on"
        return failed(Name.ANCHOR, Finding.ROLLBACK, message, expected=expected, actual=str(len(leaves)))
    if roots[size] != checkpoint.root:
        message, actual = "split view: the log signed another tree than it holds here", roots[size].hex()
        return failed(Name.ANCHOR, Finding.SPLIT_VIEW, message, expected=checkpoint.root.hex(), actual=actual)
    return None


def _verify_anchor(proof: bytes, signed: bytes, asked: AskedFor) -> Report:
    now = datetime.fromtimestamp(asked.terms.now, UTC)
    return verify_anchored_checkpoint(
        proof, signed, asked.trust, now=now, skew_s=asked.terms.skew_s, origin=asked.terms.origin
    )
