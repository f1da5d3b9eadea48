"""Bodies of the nouns `job` and `budget`."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from yingbi.events.fields import (
    Body,
    Commitment,
    Count,
    DatasetVersion,
    DecimalText,
    Digest,
    Identifier,
    Noted,
    OneOf,
    Ordinal,
    Party,
    PublicKey,
    Slug,
    Some,
    Strict,
    Time,
)
from yingbi.events.types import EntryType

__all__ = [
    "MODELS",
    "ApprovalRoute",
    "BudgetCommitted",
    "BudgetGranted",
    "BudgetMeasure",
    "BudgetRefunded",
    "BudgetReserved",
    "CancellationReason",
    "FailureReason",
    "Interruption",
    "JobApproved",
    "JobCancelled",
    "JobFailed",
    "JobGate",
    "JobInterrupted",
    "JobLeased",
    "JobRefused",
    "JobStarted",
    "JobSubmitted",
    "Refund",
    "Refusal",
    "RefusalReason",
]


class ApprovalRoute(StrEnum):
    """How a job was approved: by rule, on a declaration, with papers to follow, or by people."""

    AUTOMATIC = "automatic"
    DECLARED = "declared"
    PROVISIONAL = "provisional"
    REVIEWED = "reviewed"


class JobGate(StrEnum):
    """Where a job was refused: by the hub at submission, by the node at its start, or when its plan was admitted."""

    SUBMISSION = "submission"
    START = "start"
    ADMISSION = "admission"


class RefusalReason(StrEnum):
    """Which condition a job does not meet."""

    AGREEMENT_NOT_ACTIVE = "agreement-not-active"
    APPROVAL_MISSING = "approval-missing"
    BUDGET_EXHAUSTED = "budget-exhausted"
    CERTIFICATE_NOT_VALID = "certificate-not-valid"
    CODE_NOT_APPROVED = "code-not-approved"
    COLUMN_NOT_GRANTED = "column-not-granted"
    DATASET_NOT_GRANTED = "dataset-not-granted"
    DATASET_VERSION_MISMATCH = "dataset-version-mismatch"
    FROZEN = "frozen"
    GRADE_TOO_HIGH = "grade-too-high"
    INTERMEDIARY_MISSING = "intermediary-missing"
    LIMIT_REACHED = "limit-reached"
    MEMBER_REFUSED = "member-refused"
    NEGATIVE_LIST = "negative-list"
    OPERATION_NOT_GRANTED = "operation-not-granted"
    PARAMETER_NOT_ALLOWED = "parameter-not-allowed"
    PLACE_NOT_GRANTED = "place-not-granted"
    PLAN_NOT_ADMITTED = "plan-not-admitted"
    PURPOSE_NOT_GRANTED = "purpose-not-granted"
    RECEIPT_INVALID = "receipt-invalid"
    RULE_ERROR = "rule-error"
    SEPARATION_OF_DUTIES = "separation-of-duties"
    SIGNATURE_INVALID = "signature-invalid"
    SUBJECT_NOT_GRANTED = "subject-not-granted"
    TIME_NOT_GRANTED = "time-not-granted"


class FailureReason(StrEnum):
    """Why a run ended without a result; engines' own texts may hold data and are dropped."""

    ENGINE_ERROR = "engine-error"
    ISOLATION_ERROR = "isolation-error"
    LEASE_LOST = "lease-lost"
    OUT_OF_RESOURCES = "out-of-resources"
    PROTOCOL_ERROR = "protocol-error"
    QUORUM_LOST = "quorum-lost"
    TIME_LIMIT = "time-limit"


class CancellationReason(StrEnum):
    """Why a job was called off."""

    REQUEST = "request"
    EXPIRED = "expired"
    AGREEMENT_ENDED = "agreement-ended"
    CERTIFICATE_ENDED = "certificate-ended"
    DATASET_WITHDRAWN = "dataset-withdrawn"
    FEDERATION_ENDED = "federation-ended"
    PARTICIPANT_ENDED = "participant-ended"


class Interruption(StrEnum):
    """What stopped a running job that may go on later."""

    AGREEMENT_SUSPENDED = "agreement-suspended"
    CERTIFICATE_SUSPENDED = "certificate-suspended"
    FEDERATION_INTERRUPTED = "federation-interrupted"
    PARTICIPANT_SUSPENDED = "participant-suspended"
    FROZEN = "frozen"
    NODE_LOST = "node-lost"
    NODE_STOPPED = "node-stopped"


class BudgetMeasure(StrEnum):
    """What a budget counts: epsilon or rho of differential privacy, keyed evaluations, jobs, or rounds."""

    EPSILON = "epsilon"
    RHO = "rho"
    EVALUATIONS = "evaluations"
    JOBS = "jobs"
    ROUNDS = "rounds"


class Refund(StrEnum):
    """Why a reservation is given back; what has started is never refunded."""

    CANCELLED = "cancelled"
    LEASE_EXPIRED = "lease-expired"
    REFUSED_AT_START = "refused-at-start"


class Refusal(Strict):
    """One condition that is not met, and the clause of the agreement that sets it."""

    reason: OneOf[RefusalReason]
    clause: Slug | None


class JobSubmitted(Body):
    """A partner asks for a computation: the plan is committed to, the result goes to `result_key` (X25519)."""

    agreement: Identifier
    certificate: Identifier | None
    purpose: Slug
    operation: Slug
    datasets: Some[DatasetVersion]
    plan: Commitment
    code: Digest | None
    epsilon: DecimalText | None
    result_key: PublicKey
    expires_at: Time


class JobApproved(Body):
    """A job may run until `expires_at`: decided on these terms, by this rule or by the people who sign."""

    route: OneOf[ApprovalRoute]
    rule: Slug | None
    terms: Digest
    expires_at: Time


class JobRefused(Body):
    """A job may not run; all unmet conditions, and a commitment to the explanation with the smallest extra grant."""

    gate: OneOf[JobGate]
    refusals: Some[Refusal]
    terms: Digest | None
    explanation: Commitment | None


class JobLeased(Body):
    """A node takes a job for a while; if the time passes another attempt may begin."""

    node: Party
    attempt: Ordinal
    expires_at: Time


class JobStarted(Body):
    """A node has itself checked all that the job relies on, up to this head of the log, and begins."""

    attempt: Ordinal
    datasets: Some[DatasetVersion]
    terms: Digest
    software: Digest
    log_size: Ordinal
    log_root: Digest


class JobFailed(Body):
    """A run ended without a result."""

    attempt: Ordinal
    reason: OneOf[FailureReason]
    retryable: bool


class JobCancelled(Noted):
    """A job was called off before it ended."""

    reason: OneOf[CancellationReason]


class JobInterrupted(Body):
    """A running job stopped at a safe point, and its sealed state is committed to."""

    attempt: Ordinal
    reason: OneOf[Interruption]
    round: Count | None
    sealed_state: Commitment | None


class BudgetGranted(Body):
    """A holder may spend so much on a data set until a time."""

    holder: Party
    dataset: Identifier
    measure: OneOf[BudgetMeasure]
    amount: DecimalText
    delta: DecimalText | None
    valid_until: Time


class _Charge(Body):
    job: Identifier
    measure: OneOf[BudgetMeasure]
    amount: DecimalText
    remaining: DecimalText


class BudgetReserved(_Charge):
    """An amount is set aside before a job runs; `remaining` is what is left after it."""


class BudgetCommitted(_Charge):
    """A reserved amount is spent for good."""


class BudgetRefunded(_Charge):
    """A reserved amount is given back because the job never started."""

    reason: OneOf[Refund]


MODELS: Final[Mapping[EntryType, type[Body]]] = {
    EntryType.JOB_SUBMITTED: JobSubmitted,
    EntryType.JOB_APPROVED: JobApproved,
    EntryType.JOB_REFUSED: JobRefused,
    EntryType.JOB_LEASED: JobLeased,
    EntryType.JOB_STARTED: JobStarted,
    EntryType.JOB_FAILED: JobFailed,
    EntryType.JOB_CANCELLED: JobCancelled,
    EntryType.JOB_INTERRUPTED: JobInterrupted,
    EntryType.BUDGET_GRANTED: BudgetGranted,
    EntryType.BUDGET_RESERVED: BudgetReserved,
    EntryType.BUDGET_COMMITTED: BudgetCommitted,
    EntryType.BUDGET_REFUNDED: BudgetRefunded,
}
