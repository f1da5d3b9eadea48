"""Anchored checkpoints: what a chain says of a head, joined with what the log signed (docs/spec/anchor.md)."""

from datetime import datetime

from yingbi.verify.checkpoint import Head, examine, make_terms
from yingbi.verify.evm import AnchoredHead, AnchorInvalid, AnchorMissing, verify_anchor
from yingbi.verify.report import Check, Finding, Name, Report, failed, missing, not_checked, passed
from yingbi.verify.trust import Trust

__all__ = ["verify_anchored_checkpoint"]


def verify_anchored_checkpoint(
    proof: bytes,
    checkpoint: bytes | None,
    trust: Trust,
    *,
    now: datetime,
    max_age_s: int | None = None,
    skew_s: int = 300,
    origin: str | None = None,
) -> Report:
    """Verify that a signed checkpoint is the head that `proof` shows on a chain.

    Without the checkpoint nothing says that the log ever signed that head: the verdict is at best `COULD NOT CHECK`.
    """
    anchor, anchored = _check_proof(proof, trust)
    if checkpoint is None:
        absent = missing(Name.NOTE, "the signed checkpoint is needed", [_describe(anchored)])
        return Report(checks=(absent, anchor))
    head = examine(checkpoint, trust, make_terms(now, skew_s, max_age_s, origin))
    if anchored is not None:
        anchor = _compare(head, anchored, anchor)
    return Report(checks=(*head.checks, anchor), about=head.about)


def _check_proof(proof: bytes, trust: Trust) -> tuple[Check, AnchoredHead | None]:
    try:
        anchored = verify_anchor(proof, trust.anchors)
    except AnchorInvalid as error:
        message = f"{error.check}: {error}"
        wrong = failed(Name.ANCHOR, Finding.NOT_ANCHORED, message, expected=error.expected, actual=error.actual)
        return wrong, None
    except AnchorMissing as error:
        wanted = f"the hash of block {error.block_number} of chain {error.chain_id}, from a source you trust"
        return missing(Name.ANCHOR, str(error), [wanted]), None
    where = f"block {anchored.block_number} of chain {anchored.chain_id} at {anchored.block_time:%Y-%m-%dT%H:%M:%SZ}"
    return passed(Name.ANCHOR, f"size {anchored.size} is anchored in {where}"), anchored


def _compare(head: Head, anchored: AnchoredHead, anchor: Check) -> Check:
    mine = head.checkpoint
    if mine is None:
        return not_checked(Name.ANCHOR, "there is no checkpoint to compare with")
    if mine.origin != anchored.origin:
        message = "the anchor is of another log"
        return failed(Name.ANCHOR, Finding.WRONG_ORIGIN, message, expected=mine.origin, actual=anchored.origin)
    if mine.size != anchored.size:
        message = f"the anchor is of size {anchored.size}, the checkpoint of size {mine.size}"
        return missing(Name.ANCHOR, message, [_describe(anchored)])
    if mine.root != anchored.root:
        message = f"split view: the log signed another tree of size {mine.size} than is anchored"
        expected, actual = anchored.root.hex(), mine.root.hex()
        return failed(Name.ANCHOR, Finding.SPLIT_VIEW, message, expected=expected, actual=actual)
    return anchor


def _describe(anchored: AnchoredHead | None) -> str:
    if anchored is None:
        return "the checkpoint that was anchored"
    return f"the checkpoint of {anchored.origin} at size {anchored.size}"
