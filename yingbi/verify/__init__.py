"""The offline verifier: a second, independent implementation of docs/spec/verification.md.

It needs public keys and files, no server and none of the log's code: only the standard library and `cryptography`.
Every check that was made, could not be made or was not asked for is listed in the report; the verdict follows from that
list alone.
"""

from yingbi.verify.audit import Progress, audit_log
from yingbi.verify.bundle import verify_bundle
from yingbi.verify.receipt import parse_path, verify_checkpoint, verify_consistency, verify_receipt
from yingbi.verify.report import Check, Finding, Name, Outcome, Report, Verdict
from yingbi.verify.source import Source, read_folder
from yingbi.verify.strict import Malformed
from yingbi.verify.trust import Trust, TrustError, load_trust

__all__ = [
    "Check",
    "Finding",
    "Malformed",
    "Name",
    "Outcome",
    "Progress",
    "Report",
    "Source",
    "Trust",
    "TrustError",
    "Verdict",
    "audit_log",
    "load_trust",
    "parse_path",
    "read_folder",
    "verify_bundle",
    "verify_checkpoint",
    "verify_consistency",
    "verify_receipt",
]
