"""Bodies of the noun `dataset`."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from yingbi.events.fields import (
    Body,
    Commitment,
    Digest,
    Grade,
    Noted,
    OneOf,
    Openness,
    Ordinal,
    Party,
    PrivacyUnit,
    RunningJobs,
)
from yingbi.events.types import EntryType

__all__ = [
    "MODELS",
    "DatasetGraded",
    "DatasetRegistered",
    "DatasetVersioned",
    "DatasetWithdrawn",
    "WithdrawalReason",
]


class WithdrawalReason(StrEnum):
    """Why a data set is withdrawn."""

    OWNER_DECISION = "owner-decision"
    REGRADED = "regraded"
    SOURCE_ENDED = "source-ended"
    QUALITY = "quality"
    INCIDENT = "incident"
    LEGAL_ORDER = "legal-order"


class DatasetRegistered(Body):
    """A source unit lists a data set: its catalogue entry, whose contributions count in it, how open it is."""

    owner: Party
    catalogue_entry: Digest
    privacy_unit: OneOf[PrivacyUnit]
    openness: OneOf[Openness]


class DatasetVersioned(Body):
    """A version of a data set can be computed on; row counts would tell who came and went, so none is given."""

    version: Ordinal
    schema_digest: Digest
    content: Commitment


class DatasetGraded(Body):
    """A unit's CDO graded the columns of a version; `grade` is the strictest of them."""

    version: Ordinal
    grade: OneOf[Grade]
    openness: OneOf[Openness]
    column_grades: Digest
    on_negative_list: bool


class DatasetWithdrawn(Noted):
    """A data set can no longer be computed on."""

    reason: OneOf[WithdrawalReason]
    running_jobs: OneOf[RunningJobs]


MODELS: Final[Mapping[EntryType, type[Body]]] = {
    EntryType.DATASET_REGISTERED: DatasetRegistered,
    EntryType.DATASET_VERSIONED: DatasetVersioned,
    EntryType.DATASET_GRADED: DatasetGraded,
    EntryType.DATASET_WITHDRAWN: DatasetWithdrawn,
}
