"""Jobs, dry runs, leases, held results, budgets."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from api.schemas.wire import JsonObject, Wire

__all__ = [
    "BudgetOut",
    "DryRunIn",
    "DryRunOut",
    "HeldOut",
    "JobEntryOut",
    "JobOut",
    "JobReceiptsOut",
    "LeaseOut",
    "NewsOut",
    "PollIn",
    "ProgressIn",
    "RemainingOut",
    "ReviewersOut",
    "SubmittedOut",
]


class JobOut(Wire):
    """Where a job is; `reasons` of a refusal, `notice` of a held result."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "job": "job-0123456789abcdefghjkmnpqrs",
                    "state": "approved",
                    "submitted_at": "2026-11-21T08:00:00.000000Z",
                    "agreement": "agr-tax-2026-01",
                    "operation": "aggregate.sum",
                    "progress": None,
                    "reasons": None,
                    "notice": None,
                    "has_result": False,
                    "entries": [41, 42],
                    "expires_at": "2026-11-28T08:00:00.000000Z",
                }
            ]
        }
    )

    job: str
    state: str
    submitted_at: str
    agreement: str
    operation: str
    progress: int | None
    reasons: list[JsonObject] | None
    notice: JsonObject | None
    has_result: bool
    entries: list[int]
    expires_at: str


class SubmittedOut(JobOut):
    """A job that was just submitted, with the receipt of its submission."""

    receipt: str


class JobEntryOut(Wire):
    """An entry about a job, as it is in the log, with its receipt."""

    index: int
    type: str
    entry: JsonObject
    receipt: str


class JobReceiptsOut(Wire):
    """All entries about a job."""

    entries: list[JobEntryOut]


class DryRunIn(Wire):
    """A question, as it would be asked."""

    agreement: Annotated[str, Field(max_length=80)]
    purpose: Annotated[str, Field(max_length=64)]
    plan: Any
    intermediary: Annotated[str | None, Field(max_length=80)] = None


class ReviewersOut(Wire):
    """Whose approval a job would need, and whose check its result."""

    job: list[str]
    output: list[str]


class RemainingOut(Wire):
    """What is left of an agreement's limits."""

    jobs: int
    jobs_today: int


class DryRunOut(Wire):
    """What would be decided; nothing was recorded and nothing runs."""

    outcome: str
    reasons: list[JsonObject]
    operations: list[str]
    cost: JsonObject | None
    reviewers: ReviewersOut
    remaining: RemainingOut
    versions: dict[str, int]


class HeldOut(Wire):
    """A held result: which rules it breaks, never a value."""

    job: str
    agreement: str
    partner: str
    node: str | None
    held_at: str
    candidate: str
    rules: str
    findings: list[JsonObject]
    remedies: list[str]
    checks: list[JsonObject]


class BudgetOut(Wire):
    """How much of an agreement's limits is used."""

    agreement: str
    jobs: int
    used: int
    charged: int
    used_today: int
    remaining: RemainingOut


class PollIn(Wire):
    """How long a node is willing to wait for work."""

    wait_s: Annotated[int, Field(ge=0, le=60)] = 0


class LeaseOut(Wire):
    """A job for a node: what was asked, and where in the log it says so."""

    job: str
    attempt: int
    expires_at: str
    statement: JsonObject
    plan: JsonObject
    entries: dict[str, Any]
    size: int
    decided: list[int]
    checks: list[int]
    stops: list[str]


class NewsOut(Wire):
    """What a node has to know besides work: entries with people's checks, and jobs to stop."""

    checks: list[int]
    stops: list[str]


class ProgressIn(Wire):
    """How far a job is."""

    percent: Annotated[int, Field(ge=0, le=100)]
