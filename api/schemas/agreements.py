"""Agreements in their lives, and what a change would touch."""

from api.schemas.wire import Wire

__all__ = ["AgreementOut", "ApprovalOut", "ImpactOut"]


class ApprovalOut(Wire):
    """One person's signature of the present terms."""

    person: str
    employer: str
    duty: str


class AgreementOut(Wire):
    """An agreement: its parties, where it is in its life, who has signed its present terms and who has not."""

    id: str
    version: int
    terms: str
    state: str
    is_active: bool
    assigner: str
    assignee: str
    intermediary: str | None
    purpose: str
    valid_from: str
    valid_until: str
    proposer: str | None
    signatures: list[ApprovalOut]
    missing: list[str]
    entries: list[int]


class ImpactOut(Wire):
    """What a step would touch."""

    agreements: list[str]
    certificates: list[str]
    waiting: list[str]
    running: list[str]
    held: list[str]
    stopped: list[str]
