"""The agreement: who lets whom do what with which data, for what, where, when (docs/spec/agreement.md).

Frozen values: data sets and columns in order of their names, lists in the order of the text, without doubles.
`policies.parse` makes them from YAML or JSON; the canonical JSON of `to_json` is what is signed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Final

from policies.disclosure import MIN_CONTRIBUTORS, DisclosureRules, Zeros
from policies.request import Use
from yingbi.canonical import JsonValue, digest_json
from yingbi.events.agreements import LegalBasis
from yingbi.events.fields import Duty, RunningJobs
from yingbi.events.outputs import DisclosureMode

__all__ = [
    "CALENDAR",
    "Agreement",
    "Approvals",
    "ColumnGrant",
    "DatasetGrant",
    "Disclosure",
    "FilterValues",
    "JobApproval",
    "Legal",
    "Limits",
    "OutputApproval",
    "Privacy",
    "Prohibition",
    "Validity",
    "decimal_text",
    "terms_digest",
    "to_json",
]

# Dates of agreements are days of China Standard Time, wherever a node or the hub stands.
CALENDAR: Final = timezone(timedelta(hours=8))


class FilterValues(StrEnum):
    """Which literals a filter may use: those listed in the agreement, or also those the catalogue declares."""

    LISTED = "listed"
    DECLARED = "declared"


class JobApproval(StrEnum):
    """Whether a job runs by rule, or only after a person has looked at it."""

    AUTOMATIC = "automatic"
    REVIEWED = "reviewed"


class OutputApproval(StrEnum):
    """Whether an output that passed the gate leaves by rule, or only after a person has checked it."""

    AUTOMATIC = "automatic"
    CHECKED = "checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Legal:
    """What makes the use lawful, and where that is written; without a reference it does not pass validation."""

    kind: LegalBasis
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """The first and the last day, both included, in China Standard Time."""

    first: date
    last: date

    @property
    def starts_at(self) -> datetime:
        """Return the first instant."""
        return datetime.combine(self.first, time(), CALENDAR).astimezone(UTC)

    @property
    def ends_at(self) -> datetime:
        """Return the last instant (microseconds are the finest that statements know)."""
        return datetime.combine(self.last, time.max, CALENDAR).astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnGrant:
    """What one column may be used for.

    `functions`: which aggregate functions, all where absent. `values`: literals that filters may use. `bounds`: to
    which its values are clipped in private mode. `unit`: of measure, for people.
    """

    name: str
    uses: tuple[Use, ...]
    functions: tuple[str, ...] | None = None
    values: tuple[str, ...] = ()
    bounds: tuple[Decimal, Decimal] | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetGrant:
    """What of one data set may be used; `privacy_unit` is the column that identifies whom its rows are about."""

    name: str
    privacy_unit: str
    columns: tuple[ColumnGrant, ...] = ()

    def column(self, name: str) -> ColumnGrant | None:
        """Return the grant for a column, or nothing."""
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prohibition:
    """What is denied although something else grants it: whatever matches all members that are there."""

    dataset: str | None = None
    column: str | None = None
    use: Use | None = None
    operation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """Parameters of disclosure control; without `min_entities` the threshold is that of the privacy unit.

    `min_contributors`: of how many units' data sets a federation's sums must be made, at least.
    """

    min_entities: int | None = None
    dominance_top: int = 2
    dominance_share: Decimal = Decimal("0.9")
    p_percent: int = 10
    zeros: Zeros = Zeros.REFUSE
    rounding: int = 1
    min_degrees_of_freedom: int = 10
    min_contributors: int = MIN_CONTRIBUTORS
    mode: DisclosureMode = DisclosureMode.EXACT

    def rules(self, floor: int) -> DisclosureRules:
        """Return the rules of exact mode under a threshold that may not be gone below."""
        return DisclosureRules(
            min_units=max(self.min_entities or 0, floor),
            dominance_top=self.dominance_top,
            dominance_share=self.dominance_share,
            p_percent=self.p_percent,
            zeros=self.zeros,
            rounding=self.rounding,
            min_degrees_of_freedom=self.min_degrees_of_freedom,
            min_contributors=self.min_contributors,
            mode=self.mode,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """The budget of private mode, for the whole agreement."""

    epsilon: Decimal
    delta: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much: jobs in all and a day, rounds of federated training in all, and which literals filters may use."""

    jobs: int
    jobs_per_day: int
    rounds: int = 0
    filter_values: FilterValues = FilterValues.LISTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """Who must sign the agreement (one person a duty), and whether people look at jobs and outputs."""

    agreement: tuple[Duty, ...]
    job: JobApproval = JobApproval.REVIEWED
    output: OutputApproval = OutputApproval.CHECKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One version of an agreement: its terms, all of them, and nothing else."""

    id: str
    version: int = 1
    assigner: str
    assignee: str
    intermediary: str | None = None
    purpose: str
    legal_basis: Legal
    valid: Validity
    zones: tuple[str, ...]
    datasets: tuple[DatasetGrant, ...]
    operations: tuple[str, ...]
    prohibitions: tuple[Prohibition, ...] = ()
    disclosure: Disclosure = field(default_factory=Disclosure)
    privacy: Privacy | None = None
    limits: Limits
    approvals: Approvals
    on_revocation: RunningJobs = RunningJobs.STOP

    def dataset(self, name: str) -> DatasetGrant | None:
        """Return the grant for a data set, or nothing."""
        return next((dataset for dataset in self.datasets if dataset.name == name), None)


def to_json(agreement: Agreement) -> dict[str, JsonValue]:
    """Return the one JSON form of an agreement: every member is there, an absent one is `null`, decimals are texts."""
    return {
        "agreement": agreement.id,
        "version": agreement.version,
        "assigner": agreement.assigner,
        "assignee": agreement.assignee,
        "intermediary": agreement.intermediary,
        "purpose": agreement.purpose,
        "legal_basis": {"kind": str(agreement.legal_basis.kind), "reference": agreement.legal_basis.reference},
        "valid": {"from": agreement.valid.first.isoformat(), "until": agreement.valid.last.isoformat()},
        "place": {"zones": list(agreement.zones)},
        "datasets": {dataset.name: _dataset_json(dataset) for dataset in agreement.datasets},
        "operations": list(agreement.operations),
        "prohibitions": [_prohibition_json(item) for item in agreement.prohibitions],
        "disclosure": _disclosure_json(agreement.disclosure),
        "privacy": _privacy_json(agreement.privacy),
        "limits": _limits_json(agreement.limits),
        "approvals": {
            "agreement": _texts(agreement.approvals.agreement),
            "job": str(agreement.approvals.job),
            "output": str(agreement.approvals.output),
        },
        "on_revocation": f"{agreement.on_revocation}_running_jobs",
    }


def terms_digest(agreement: Agreement) -> str:
    """Return the digest of the canonical JSON: what a signature, an entry and a decision name the terms by."""
    return digest_json(to_json(agreement))


def decimal_text(value: Decimal) -> str:
    """Return the one text of a decimal: no exponent, no zeros behind, no minus before zero."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def _dataset_json(dataset: DatasetGrant) -> JsonValue:
    columns: dict[str, JsonValue] = {column.name: _column_json(column) for column in dataset.columns}
    return {"privacy_unit": dataset.privacy_unit, "columns": columns}


def _column_json(column: ColumnGrant) -> JsonValue:
    return {
        "uses": _texts(column.uses),
        "functions": None if column.functions is None else _texts(column.functions),
        "values": _texts(column.values),
        "bounds": None if column.bounds is None else _texts(decimal_text(bound) for bound in column.bounds),
        "unit": column.unit,
    }


def _prohibition_json(item: Prohibition) -> JsonValue:
    use = None if item.use is None else str(item.use)
    return {"dataset": item.dataset, "column": item.column, "use": use, "operation": item.operation}


def _disclosure_json(rules: Disclosure) -> JsonValue:
    return {
        "min_entities": rules.min_entities,
        "dominance": {"top": rules.dominance_top, "share": decimal_text(rules.dominance_share)},
        "p_percent": rules.p_percent,
        "zeros": str(rules.zeros),
        "rounding": rules.rounding,
        "min_degrees_of_freedom": rules.min_degrees_of_freedom,
        "min_contributors": rules.min_contributors,
        "mode": str(rules.mode),
    }


def _privacy_json(privacy: Privacy | None) -> JsonValue:
    if privacy is None:
        return None
    return {"epsilon": decimal_text(privacy.epsilon), "delta": decimal_text(privacy.delta)}


def _limits_json(limits: Limits) -> JsonValue:
    return {
        "jobs": limits.jobs,
        "jobs_per_day": limits.jobs_per_day,
        "rounds": limits.rounds,
        "filter_values": str(limits.filter_values),
    }


def _texts(items: Iterable[str]) -> list[JsonValue]:
    return [str(item) for item in items]
