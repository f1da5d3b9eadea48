"""What the release door returns: a released table, regression or trained model, or a candidate that is held.

SECURITY: released values have one constructor, `sandbox.disclosure.release`; everything else reads them.
"""

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from enum import StrEnum
from typing import Final

from sandbox.disclosure.verdict import Finding
from yingbi.canonical import JsonValue
from yingbi.events.outputs import Remedy, Risk

__all__ = [
    "RELEASE_DOOR",
    "ColumnKind",
    "Held",
    "Outgoing",
    "ReleasedColumn",
    "ReleasedModel",
    "ReleasedRow",
    "ReleasedTable",
    "ReleasedTerm",
    "ReleasedTraining",
]

RELEASE_DOOR: Final = object()
"""What only `sandbox.disclosure.release` may pass on (a test of the architecture looks)."""


class ColumnKind(StrEnum):
    """Whether a column names the row or has a released value."""

    DIMENSION = "dimension"
    VALUE = "value"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedColumn:
    """One column of a released table."""

    name: str
    kind: ColumnKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedRow:
    """One row: categories and which of them are totals, values as decimal texts and which of them are suppressed.

    A category of `None` is null; a value of `None` is null, or suppressed where `suppressed` says so.
    """

    keys: tuple[str | None, ...]
    totals: tuple[bool, ...]
    values: tuple[str | None, ...]
    suppressed: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedTable:
    """A released table: nothing in it follows from a suppressed value.

    `columns`: dimensions, then values, as the fields of a row; `order`: their names as they are shown. `risks`: why
    values are suppressed, of the table as a whole and never of a cell. `digest`: of the canonical JSON of all else.
    """

    question: str
    rules: str
    columns: tuple[ReleasedColumn, ...]
    order: tuple[str, ...]
    rows: tuple[ReleasedRow, ...]
    risks: tuple[Risk, ...]
    rounding: int
    findings: tuple[Finding, ...]
    digest: str
    door: InitVar[object]

    def __post_init__(self, door: object) -> None:
        _check_door(door)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedTerm:
    """One parameter of a released model, as decimal texts."""

    name: str
    coefficient: str | None
    standard_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedModel:
    """A released regression; `observations` is rounded."""

    question: str
    rules: str
    family: str
    terms: tuple[ReleasedTerm, ...]
    observations: str
    r_squared: str | None
    findings: tuple[Finding, ...]
    digest: str
    door: InitVar[object]

    def __post_init__(self, door: object) -> None:
        _check_door(door)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedTraining:
    """What a federation has trained, released by this member: a model, its metrics, and how it came about."""

    question: str
    rules: str
    document: Mapping[str, JsonValue]
    findings: tuple[Finding, ...]
    digest: str
    door: InitVar[object]

    def __post_init__(self, door: object) -> None:
        _check_door(door)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A candidate that does not leave the node now: why, and what could be asked instead.

    `candidate` is the digest of its evidence (for a statement, commit to it with a salt: it is a digest of confidential
    values). `evidence` is what the reviewer sees; both stay at the node and are not shown by `repr`. `is_final`:
    nothing of it may come out, whoever looks at it.
    """

    question: str
    rules: str
    findings: tuple[Finding, ...]
    remedies: tuple[Remedy, ...]
    candidate: str = field(repr=False)
    evidence: Mapping[str, JsonValue] = field(repr=False)
    is_final: bool = False


Outgoing = ReleasedTable | ReleasedModel | ReleasedTraining
"""What may leave a node."""


def _check_door(door: object) -> None:
    if door is not RELEASE_DOOR:
        raise TypeError("released values are made by `sandbox.disclosure.release.release` only")
