"""The error catalogue: every way to fail, with its HTTP status, title and exit code.

A refusal is a value with reasons; an error is an exception with a code. `message` and `hint` are public: one line,
lower case, no period, user input in backticks, never a data value. `detail` goes to the log only.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

__all__ = [
    "CATALOGUE",
    "AuthenticationError",
    "ConflictError",
    "ErrorCode",
    "ErrorSpec",
    "ExitCode",
    "InvalidRequestError",
    "NotFoundError",
    "RefusedError",
    "SandboxError",
    "TamperDetectedError",
    "UnavailableError",
    "VerificationError",
]


class ExitCode(IntEnum):
    """Exit codes of the command line: 0 to 3 are verdicts, the others follow BSD's sysexits."""

    OK = 0
    INVALID = 1
    LOG_SIGNED_ONLY = 2
    COULD_NOT_CHECK = 3
    USAGE = 64
    DATA = 65
    NOT_FOUND = 66
    UNAVAILABLE = 69
    INTERNAL = 70
    CONFLICT = 73
    IO = 74
    REFUSED = 77
    CONFIG = 78


class ErrorCode(StrEnum):
    """Stable codes, part of the public interface; a code is never reused for another meaning."""

    JSON_MALFORMED = "json-malformed"
    JSON_NOT_CANONICAL = "json-not-canonical"
    STATEMENT_MALFORMED = "statement-malformed"
    STATEMENT_IDENTIFYING = "statement-identifying"
    STATEMENT_UNVERIFIED = "statement-unverified"
    STATEMENT_REFUSED = "statement-refused"
    KEY_MALFORMED = "key-malformed"
    KEY_EXPOSED = "key-exposed"
    KEY_EXISTS = "key-exists"
    SEAL_BROKEN = "seal-broken"
    REQUEST_UNSIGNED = "request-unsigned"
    REQUEST_TOO_LARGE = "request-too-large"
    REQUEST_UNDER_WAY = "request-under-way"
    ACCESS_REFUSED = "access-refused"
    THING_NOT_FOUND = "thing-not-found"
    ANSWER_MALFORMED = "answer-malformed"
    MESSAGE_MALFORMED = "message-malformed"
    HUB_NOT_FOUND = "hub-not-found"
    HUB_EXISTS = "hub-exists"
    HUB_UNAVAILABLE = "hub-unavailable"
    ID_MALFORMED = "id-malformed"
    COMMITMENT_MISMATCH = "commitment-mismatch"
    OPENING_NOT_FOUND = "opening-not-found"
    ENTRY_MALFORMED = "entry-malformed"
    ENTRY_TOO_LARGE = "entry-too-large"
    NOTE_MALFORMED = "note-malformed"
    NOTE_UNVERIFIED = "note-unverified"
    CHECKPOINT_MALFORMED = "checkpoint-malformed"
    CHECKPOINT_NOT_FOUND = "checkpoint-not-found"
    CHECKPOINT_OLD = "checkpoint-old"
    TILE_MALFORMED = "tile-malformed"
    TILE_NOT_FOUND = "tile-not-found"
    PROOF_MALFORMED = "proof-malformed"
    PROOF_UNVERIFIED = "proof-unverified"
    RECEIPT_MALFORMED = "receipt-malformed"
    POLICY_MALFORMED = "policy-malformed"
    ENTRY_NOT_FOUND = "entry-not-found"
    LOG_NOT_FOUND = "log-not-found"
    LOG_EXISTS = "log-exists"
    LOG_BUSY = "log-busy"
    LOG_ROLLED_BACK = "log-rolled-back"
    LOG_FORKED = "log-forked"
    LOG_UNAVAILABLE = "log-unavailable"
    LOG_CLOSED = "log-closed"
    STORE_DAMAGED = "store-damaged"
    IDEMPOTENCY_CONFLICT = "idempotency-conflict"
    QUORUM_NOT_MET = "quorum-not-met"
    WITNESS_UNAVAILABLE = "witness-unavailable"
    WITNESS_REFUSED = "witness-refused"
    ANCHOR_MALFORMED = "anchor-malformed"
    ANCHOR_UNAVAILABLE = "anchor-unavailable"
    ANCHOR_REFUSED = "anchor-refused"
    PLAN_MALFORMED = "plan-malformed"
    SQL_NOT_SUPPORTED = "sql-not-supported"
    NAME_UNKNOWN = "name-unknown"
    LITERAL_INVALID = "literal-invalid"
    OPERATION_NOT_PERMITTED = "operation-not-permitted"
    JOB_REFUSED = "job-refused"
    ROUND_MALFORMED = "round-malformed"
    ROUND_REFUSED = "round-refused"
    AGREEMENT_MALFORMED = "agreement-malformed"
    AGREEMENT_INVALID = "agreement-invalid"
    TERMS_NOT_FOUND = "terms-not-found"
    TRANSITION_REFUSED = "transition-refused"
    DUTIES_NOT_SEPARATED = "duties-not-separated"
    CERTIFICATE_MALFORMED = "certificate-malformed"
    CERTIFICATE_UNVERIFIED = "certificate-unverified"
    CERTIFICATE_NOT_VALID = "certificate-not-valid"
    STATUS_LIST_MALFORMED = "status-list-malformed"
    STATUS_LIST_UNVERIFIED = "status-list-unverified"
    CATALOGUE_INVALID = "catalogue-invalid"
    DATASET_NOT_FOUND = "dataset-not-found"
    DATASET_EXISTS = "dataset-exists"
    VERSION_NOT_FOUND = "version-not-found"
    GRADES_NOT_CONFIRMED = "grades-not-confirmed"
    SOURCE_UNREADABLE = "source-unreadable"
    DATA_INVALID = "data-invalid"
    SNAPSHOT_DAMAGED = "snapshot-damaged"
    CAGE_UNAVAILABLE = "cage-unavailable"
    NODE_UNAVAILABLE = "node-unavailable"
    ENGINE_FAILED = "engine-failed"
    RESOURCE_LIMIT = "resource-limit"
    RUN_CANCELLED = "run-cancelled"
    HISTORY_LIMIT = "history-limit"
    HISTORY_BUSY = "history-busy"
    OUTPUT_NOT_FOUND = "output-not-found"
    NODE_NOT_FOUND = "node-not-found"
    NODE_EXISTS = "node-exists"
    CONFIG_INVALID = "config-invalid"
    INSECURE_TRANSPORT = "insecure-transport"
    EXTRA_NOT_INSTALLED = "extra-not-installed"
    USAGE = "usage"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorSpec:
    """What the outside sees of an error code."""

    status: int
    title: str
    exit_code: ExitCode


def _spec(status: int, title: str, exit_code: ExitCode) -> ErrorSpec:
    return ErrorSpec(status=status, title=title, exit_code=exit_code)


CATALOGUE: Final[dict[ErrorCode, ErrorSpec]] = {
    ErrorCode.JSON_MALFORMED: _spec(422, "JSON cannot be read", ExitCode.DATA),
    ErrorCode.JSON_NOT_CANONICAL: _spec(422, "JSON is not in canonical form", ExitCode.DATA),
    ErrorCode.STATEMENT_MALFORMED: _spec(422, "statement has a wrong form", ExitCode.DATA),
    ErrorCode.STATEMENT_IDENTIFYING: _spec(422, "statement carries an identifying value in clear", ExitCode.DATA),
    ErrorCode.STATEMENT_UNVERIFIED: _spec(400, "statement signature does not verify", ExitCode.INVALID),
    ErrorCode.STATEMENT_REFUSED: _spec(403, "statement has no effect", ExitCode.REFUSED),
    ErrorCode.KEY_MALFORMED: _spec(422, "key cannot be read", ExitCode.DATA),
    ErrorCode.KEY_EXPOSED: _spec(403, "private key file can be read by others", ExitCode.REFUSED),
    ErrorCode.KEY_EXISTS: _spec(409, "key exists", ExitCode.CONFLICT),
    ErrorCode.SEAL_BROKEN: _spec(400, "sealed result does not open", ExitCode.INVALID),
    ErrorCode.REQUEST_UNSIGNED: _spec(401, "request is not signed as it must be", ExitCode.REFUSED),
    ErrorCode.REQUEST_TOO_LARGE: _spec(422, "request is too large", ExitCode.DATA),
    ErrorCode.REQUEST_UNDER_WAY: _spec(409, "request is being answered", ExitCode.CONFLICT),
    ErrorCode.ACCESS_REFUSED: _spec(403, "access is refused", ExitCode.REFUSED),
    ErrorCode.THING_NOT_FOUND: _spec(404, "no such thing", ExitCode.NOT_FOUND),
    ErrorCode.ANSWER_MALFORMED: _spec(400, "hub sent something else than was asked", ExitCode.INVALID),
    ErrorCode.MESSAGE_MALFORMED: _spec(422, "message of a federation has a wrong form", ExitCode.DATA),
    ErrorCode.HUB_NOT_FOUND: _spec(404, "hub does not exist", ExitCode.NOT_FOUND),
    ErrorCode.HUB_EXISTS: _spec(409, "hub exists", ExitCode.CONFLICT),
    ErrorCode.HUB_UNAVAILABLE: _spec(503, "hub cannot do this now", ExitCode.UNAVAILABLE),
    ErrorCode.ID_MALFORMED: _spec(422, "identifier has a wrong form", ExitCode.DATA),
    ErrorCode.COMMITMENT_MISMATCH: _spec(400, "opening does not match its commitment", ExitCode.INVALID),
    ErrorCode.OPENING_NOT_FOUND: _spec(404, "opening is unknown or erased", ExitCode.NOT_FOUND),
    ErrorCode.ENTRY_MALFORMED: _spec(422, "log entry has a wrong form", ExitCode.DATA),
    ErrorCode.ENTRY_TOO_LARGE: _spec(422, "log entry is too large", ExitCode.DATA),
    ErrorCode.NOTE_MALFORMED: _spec(422, "signed note has a wrong form", ExitCode.DATA),
    ErrorCode.NOTE_UNVERIFIED: _spec(400, "signed note does not verify", ExitCode.INVALID),
    ErrorCode.CHECKPOINT_MALFORMED: _spec(422, "checkpoint has a wrong form", ExitCode.DATA),
    ErrorCode.CHECKPOINT_NOT_FOUND: _spec(404, "checkpoint does not exist", ExitCode.NOT_FOUND),
    ErrorCode.CHECKPOINT_OLD: _spec(400, "checkpoint is older than one that was followed", ExitCode.INVALID),
    ErrorCode.TILE_MALFORMED: _spec(422, "tile has a wrong form", ExitCode.DATA),
    ErrorCode.TILE_NOT_FOUND: _spec(404, "tile does not exist", ExitCode.NOT_FOUND),
    ErrorCode.PROOF_MALFORMED: _spec(422, "proof has a wrong form", ExitCode.DATA),
    ErrorCode.PROOF_UNVERIFIED: _spec(400, "proof does not verify", ExitCode.INVALID),
    ErrorCode.RECEIPT_MALFORMED: _spec(422, "receipt has a wrong form", ExitCode.DATA),
    ErrorCode.POLICY_MALFORMED: _spec(422, "trust policy has a wrong form", ExitCode.CONFIG),
    ErrorCode.ENTRY_NOT_FOUND: _spec(404, "log entry does not exist", ExitCode.NOT_FOUND),
    ErrorCode.LOG_NOT_FOUND: _spec(404, "log does not exist", ExitCode.NOT_FOUND),
    ErrorCode.LOG_EXISTS: _spec(409, "log exists", ExitCode.CONFLICT),
    ErrorCode.LOG_BUSY: _spec(409, "another sequencer holds the log", ExitCode.CONFLICT),
    ErrorCode.LOG_ROLLED_BACK: _spec(500, "log is behind a head it signed", ExitCode.INVALID),
    ErrorCode.LOG_FORKED: _spec(500, "log contradicts a head it signed", ExitCode.INVALID),
    ErrorCode.LOG_UNAVAILABLE: _spec(503, "log cannot write now", ExitCode.UNAVAILABLE),
    ErrorCode.LOG_CLOSED: _spec(503, "log is closed", ExitCode.UNAVAILABLE),
    ErrorCode.STORE_DAMAGED: _spec(500, "stored data has a wrong form", ExitCode.INVALID),
    ErrorCode.IDEMPOTENCY_CONFLICT: _spec(422, "idempotency key was used for another body", ExitCode.DATA),
    ErrorCode.QUORUM_NOT_MET: _spec(503, "too few witnesses cosigned", ExitCode.UNAVAILABLE),
    ErrorCode.WITNESS_UNAVAILABLE: _spec(503, "witness cannot be reached", ExitCode.UNAVAILABLE),
    ErrorCode.WITNESS_REFUSED: _spec(400, "witness refused a checkpoint", ExitCode.INVALID),
    ErrorCode.ANCHOR_MALFORMED: _spec(422, "anchor proof has a wrong form", ExitCode.DATA),
    ErrorCode.ANCHOR_UNAVAILABLE: _spec(503, "chain cannot be reached", ExitCode.UNAVAILABLE),
    ErrorCode.ANCHOR_REFUSED: _spec(500, "chain refused an anchor", ExitCode.INVALID),
    ErrorCode.PLAN_MALFORMED: _spec(422, "plan has a wrong form", ExitCode.DATA),
    ErrorCode.SQL_NOT_SUPPORTED: _spec(422, "SQL is outside what is supported", ExitCode.DATA),
    ErrorCode.NAME_UNKNOWN: _spec(422, "no such data set or column", ExitCode.DATA),
    ErrorCode.LITERAL_INVALID: _spec(422, "literal does not fit its column", ExitCode.DATA),
    ErrorCode.OPERATION_NOT_PERMITTED: _spec(403, "operation is never available", ExitCode.REFUSED),
    ErrorCode.JOB_REFUSED: _spec(403, "job is refused", ExitCode.REFUSED),
    ErrorCode.ROUND_MALFORMED: _spec(422, "message of a round has a wrong form", ExitCode.DATA),
    ErrorCode.ROUND_REFUSED: _spec(403, "round is refused", ExitCode.REFUSED),
    ErrorCode.AGREEMENT_MALFORMED: _spec(422, "agreement cannot be read", ExitCode.DATA),
    ErrorCode.AGREEMENT_INVALID: _spec(422, "agreement contradicts the catalogue or itself", ExitCode.DATA),
    ErrorCode.TERMS_NOT_FOUND: _spec(404, "text of an agreement is not here", ExitCode.NOT_FOUND),
    ErrorCode.TRANSITION_REFUSED: _spec(409, "not possible in the present state", ExitCode.CONFLICT),
    ErrorCode.DUTIES_NOT_SEPARATED: _spec(403, "duties must be in different hands", ExitCode.REFUSED),
    ErrorCode.CERTIFICATE_MALFORMED: _spec(422, "certificate has a wrong form", ExitCode.DATA),
    ErrorCode.CERTIFICATE_UNVERIFIED: _spec(400, "certificate does not verify", ExitCode.INVALID),
    ErrorCode.CERTIFICATE_NOT_VALID: _spec(403, "certificate is not valid now", ExitCode.REFUSED),
    ErrorCode.STATUS_LIST_MALFORMED: _spec(422, "status list has a wrong form", ExitCode.DATA),
    ErrorCode.STATUS_LIST_UNVERIFIED: _spec(400, "status list does not verify", ExitCode.INVALID),
    ErrorCode.CATALOGUE_INVALID: _spec(422, "catalogue entry is wrong", ExitCode.DATA),
    ErrorCode.DATASET_NOT_FOUND: _spec(404, "data set does not exist", ExitCode.NOT_FOUND),
    ErrorCode.DATASET_EXISTS: _spec(409, "data set exists", ExitCode.CONFLICT),
    ErrorCode.VERSION_NOT_FOUND: _spec(404, "version does not exist", ExitCode.NOT_FOUND),
    ErrorCode.GRADES_NOT_CONFIRMED: _spec(409, "grades are not confirmed", ExitCode.CONFLICT),
    ErrorCode.SOURCE_UNREADABLE: _spec(422, "source cannot be read", ExitCode.DATA),
    ErrorCode.DATA_INVALID: _spec(422, "data breaks its declaration", ExitCode.DATA),
    ErrorCode.SNAPSHOT_DAMAGED: _spec(500, "published data has changed", ExitCode.INVALID),
    ErrorCode.CAGE_UNAVAILABLE: _spec(503, "computations cannot be isolated here", ExitCode.CONFIG),
    ErrorCode.NODE_UNAVAILABLE: _spec(503, "node cannot use its database now", ExitCode.UNAVAILABLE),
    ErrorCode.ENGINE_FAILED: _spec(503, "computation failed", ExitCode.UNAVAILABLE),
    ErrorCode.RESOURCE_LIMIT: _spec(403, "computation exceeded its limits", ExitCode.REFUSED),
    ErrorCode.RUN_CANCELLED: _spec(409, "computation was cancelled", ExitCode.CONFLICT),
    ErrorCode.HISTORY_LIMIT: _spec(403, "history of answers is at its bound", ExitCode.REFUSED),
    ErrorCode.HISTORY_BUSY: _spec(503, "another answer is being checked", ExitCode.UNAVAILABLE),
    ErrorCode.OUTPUT_NOT_FOUND: _spec(404, "output does not exist", ExitCode.NOT_FOUND),
    ErrorCode.NODE_NOT_FOUND: _spec(404, "node does not exist", ExitCode.NOT_FOUND),
    ErrorCode.NODE_EXISTS: _spec(409, "node exists", ExitCode.CONFLICT),
    ErrorCode.CONFIG_INVALID: _spec(422, "configuration is wrong", ExitCode.CONFIG),
    ErrorCode.INSECURE_TRANSPORT: _spec(403, "network would be crossed without TLS", ExitCode.REFUSED),
    ErrorCode.EXTRA_NOT_INSTALLED: _spec(503, "an optional part is not installed", ExitCode.CONFIG),
    ErrorCode.USAGE: _spec(422, "command was not understood", ExitCode.USAGE),
    ErrorCode.INTERNAL: _spec(500, "internal error", ExitCode.INTERNAL),
}


class SandboxError(Exception):
    """Root of all errors that people see.

    Args:
        code: entry of the catalogue.
        message: public, one line, no data value.
        hint: public, what would work.
        detail: for the operator's log only.
    """

    def __init__(self, code: ErrorCode, message: str, *, hint: str | None = None, detail: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.detail = detail

    def __reduce__(self) -> tuple[object, ...]:
        # `message` alone is in `args`; without this, no process could hand an error to another one.
        return type(self), (self.code, self.message), {"hint": self.hint, "detail": self.detail}

    @property
    def spec(self) -> ErrorSpec:
        """Return the catalogue's entry for this error."""
        return CATALOGUE[self.code]


class InvalidRequestError(SandboxError):
    """What was given cannot be read (422)."""


class AuthenticationError(SandboxError):
    """Who asks could not be established (401)."""


class NotFoundError(SandboxError):
    """There is no such thing, or its existence is secret (404)."""


class ConflictError(SandboxError):
    """The request contradicts the present state (409)."""


class RefusedError(SandboxError):
    """Policy, query, budget or disclosure rules refuse (403)."""


class VerificationError(SandboxError):
    """A signature, hash or proof does not verify (400)."""


class UnavailableError(SandboxError):
    """Something needed does not answer; the same request may work later (503)."""


class TamperDetectedError(SandboxError):
    """Stored evidence contradicts itself: stop and fail closed (500)."""
