"""One file of any kind that the verifier knows, told apart by how it begins."""

from datetime import datetime
from typing import Any, Final

from yingbi.verify.anchored import verify_anchored_checkpoint
from yingbi.verify.receipt import verify_checkpoint, verify_receipt
from yingbi.verify.report import Report
from yingbi.verify.trust import Trust

__all__ = ["verify_file"]

_RECEIPT: Final = b"c2sp.org/tlog-proof@"
_JSON: Final = b"{"


def verify_file(
    data: bytes,
    trust: Trust,
    *,
    entry: bytes | None = None,
    checkpoint: bytes | None = None,
    now: datetime,
    max_age_s: int | None = None,
    skew_s: int = 300,
    origin: str | None = None,
    statements: bool = True,
) -> Report:
    """Verify a receipt (with its `entry`), an anchor proof (with its `checkpoint`), or else a checkpoint.

    `statements` is about receipts: whether the signatures of the entry's statement are checked.
    """
    terms: Any = {"now": now, "max_age_s": max_age_s, "skew_s": skew_s, "origin": origin}
    if data.startswith(_RECEIPT):
        return verify_receipt(data, entry, trust, statements=statements, **terms)
    if data.startswith(_JSON):
        return verify_anchored_checkpoint(data, checkpoint, trust, **terms)
    return verify_checkpoint(data, trust, **terms)
