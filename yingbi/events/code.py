"""Bodies of the noun `code`: what is not ours runs only when pinned by its hash and approved."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from yingbi.events.fields import (
    Body,
    Commitment,
    Digest,
    Few,
    Noted,
    OneOf,
    ReviewOutcome,
    RevocationReason,
    RunningJobs,
    Slug,
    Time,
)
from yingbi.events.types import EntryType

__all__ = ["MODELS", "CodeApproved", "CodeProposed", "CodeReview", "CodeReviewed", "CodeRevoked"]


class CodeReview(StrEnum):
    """How code was reviewed."""

    DEPENDENCIES = "dependencies"
    READING = "reading"
    STATIC_SCAN = "static-scan"
    SYNTHETIC_RUN = "synthetic-run"


class _OfArtifact(Body):
    artifact: Digest


class CodeProposed(_OfArtifact):
    """A partner proposes code: its artifact, its manifest with dependencies and declared outputs."""

    manifest: Digest
    operation: Slug


class CodeReviewed(_OfArtifact):
    """A reviewer has judged code, with this report."""

    review: OneOf[CodeReview]
    outcome: OneOf[ReviewOutcome]
    findings: Few[Slug]
    report: Commitment


class CodeApproved(_OfArtifact):
    """Code may run as an operation until a time; reviewers of two organisations sign."""

    manifest: Digest
    operation: Slug
    valid_until: Time


class CodeRevoked(_OfArtifact, Noted):
    """Code may no longer run."""

    reason: OneOf[RevocationReason]
    running_jobs: OneOf[RunningJobs]


MODELS: Final[Mapping[EntryType, type[Body]]] = {
    EntryType.CODE_PROPOSED: CodeProposed,
    EntryType.CODE_REVIEWED: CodeReviewed,
    EntryType.CODE_APPROVED: CodeApproved,
    EntryType.CODE_REVOKED: CodeRevoked,
}
