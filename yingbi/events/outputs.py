"""Bodies of the noun `output`: verdicts name risk, rule and dimension, never a value."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from yingbi.events.fields import (
    Body,
    Commitment,
    DecimalText,
    Destruction,
    Digest,
    Few,
    Identifier,
    Noted,
    OneOf,
    Party,
    Slug,
    Some,
    Strict,
)
from yingbi.events.types import EntryType

__all__ = [
    "MODELS",
    "BudgetChange",
    "CheckVerdict",
    "DestroyedThing",
    "DisclosureMode",
    "OutputChecked",
    "OutputDelivered",
    "OutputDestroyed",
    "OutputHeld",
    "OutputReleased",
    "Remedy",
    "Risk",
    "RiskVerdict",
]


class DisclosureMode(StrEnum):
    """How a result is protected: statistical disclosure control, or differential privacy."""

    EXACT = "exact"
    PRIVATE = "private"


class CheckVerdict(StrEnum):
    """What a rule says of a candidate: it passes, a person must look, or it fails."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    REVIEW = "review"
    FAIL = "fail"


class Risk(StrEnum):
    """What a result could give away."""

    CLASS_DISCLOSURE = "class-disclosure"
    DIFFERENCING = "differencing"
    DOMINANCE = "dominance"
    MODEL_MEMORY = "model-memory"
    NEGATIVE_VALUES = "negative-values"
    QUANTILE = "quantile"
    SATURATED_MODEL = "saturated-model"
    SECONDARY_DISCLOSURE = "secondary-disclosure"
    THRESHOLD = "threshold"
    UNCHECKED = "unchecked"
    UNEXPECTED_FORM = "unexpected-form"
    ZEROS = "zeros"


class Remedy(StrEnum):
    """What could be asked instead of a result that is held."""

    COARSER_LEVEL = "coarser-level"
    FEWER_DIMENSIONS = "fewer-dimensions"
    LONGER_PERIOD = "longer-period"
    PRIVATE_MODE = "private-mode"
    SUPPRESS_CELLS = "suppress-cells"


class DestroyedThing(StrEnum):
    """What was destroyed."""

    CANDIDATE = "candidate"
    RESULT = "result"
    SEALED_STATE = "sealed-state"
    WORKING_COPY = "working-copy"


class RiskVerdict(Strict):
    """What one rule says about one risk, in one dimension where it has one."""

    risk: OneOf[Risk]
    rule: Slug
    dimension: Slug | None
    verdict: OneOf[CheckVerdict]


class BudgetChange(Strict):
    """What a budget held before a result and after it."""

    budget: Identifier
    before: DecimalText
    after: DecimalText


class _OfJob(Body):
    job: Identifier


class OutputChecked(_OfJob):
    """The release gate or a person checked a candidate under these rules."""

    candidate: Commitment
    rules: Digest
    verdict: OneOf[CheckVerdict]
    findings: Few[RiskVerdict]


class OutputHeld(_OfJob, Noted):
    """A candidate does not leave the node: why, and what could be asked instead."""

    candidate: Commitment
    rules: Digest
    findings: Some[RiskVerdict]
    remedies: Few[OneOf[Remedy]]


class OutputReleased(_OfJob):
    """A result may leave the node, encrypted: what it is, by which software and rules, and what it cost."""

    mode: OneOf[DisclosureMode]
    content: Commitment
    ciphertext: Digest
    software: Digest
    rules: Digest
    budget: BudgetChange | None


class OutputDelivered(_OfJob):
    """The recipient has fetched the encrypted result."""

    ciphertext: Digest
    recipient: Party


class OutputDestroyed(_OfJob):
    """Something that a job left behind was destroyed."""

    thing: OneOf[DestroyedThing]
    content: Commitment
    method: OneOf[Destruction]


MODELS: Final[Mapping[EntryType, type[Body]]] = {
    EntryType.OUTPUT_CHECKED: OutputChecked,
    EntryType.OUTPUT_HELD: OutputHeld,
    EntryType.OUTPUT_RELEASED: OutputReleased,
    EntryType.OUTPUT_DELIVERED: OutputDelivered,
    EntryType.OUTPUT_DESTROYED: OutputDestroyed,
}
