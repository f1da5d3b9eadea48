"""Agreements made ready for decisions: what a decision looks up is a member of a set or of a dictionary.

Compile once, when an agreement becomes active, and keep the result: `policies.evaluate.evaluate` takes both forms.
`merge` makes of several that apply together the one that permits what all of them permit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from policies.decision import Rule
from policies.disclosure import MIN_UNITS, DisclosureRules, strictest
from policies.model import (
    Agreement,
    ColumnGrant,
    DatasetGrant,
    FilterValues,
    JobApproval,
    OutputApproval,
    Prohibition,
    terms_digest,
)
from policies.request import Use
from yingbi.events.fields import Duty
from yingbi.ids import parse_party

__all__ = [
    "CompiledAgreement",
    "CompiledColumn",
    "CompiledDataset",
    "CompiledProhibition",
    "MergedAgreements",
    "MergedColumn",
    "compile_agreement",
    "covers",
    "merge",
]


@dataclass(frozen=True, slots=True)
class CompiledColumn:
    """What one column may be used for, to which bounds it is clipped, and the rule that says so."""

    uses: frozenset[Use]
    functions: frozenset[str] | None
    values: frozenset[str]
    rule: Rule
    bounds: tuple[Decimal, Decimal] | None = None


@dataclass(frozen=True, slots=True)
class CompiledDataset:
    """The columns of one data set that may be used at all."""

    columns: Mapping[str, CompiledColumn]
    rule: Rule


@dataclass(frozen=True, slots=True)
class CompiledProhibition:
    """What is denied: whatever matches all members that are there."""

    dataset: str | None
    column: str | None
    use: Use | None
    operation: str | None
    rule: Rule


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledAgreement:
    """An agreement in the form in which decisions read it; `agreement` is what it was made from.

    `owner`: the unit whose data it can grant, nothing for the bureau's own agreements, which are of all units' data.
    Compared by identity, so that it can be a key at no cost.
    """

    agreement: Agreement
    id: str
    terms: str
    sort_key: tuple[str, int, str]
    owner: str | None
    assignee: str
    intermediary: str | None
    purpose: str
    starts_at: datetime
    ends_at: datetime
    zones: frozenset[str]
    datasets: Mapping[str, CompiledDataset]
    operations: frozenset[str]
    prohibitions: tuple[CompiledProhibition, ...]
    is_declared: bool
    jobs: int
    jobs_per_day: int
    rounds: int
    job_duties: tuple[Duty, ...]
    output_duties: tuple[Duty, ...]
    rules_by_floor: Mapping[int, DisclosureRules]

    def disclosure(self, floor: int) -> DisclosureRules:
        """Return the disclosure rules under a threshold that may not be gone below."""
        return self.rules_by_floor.get(floor) or self.agreement.disclosure.rules(floor)


@dataclass(frozen=True, slots=True)
class MergedColumn:
    """What all agreements that name its data set let one column be used for.

    `literals`: for each of them what it lists, and whether it takes over what the catalogue declares. `bounds`: what
    they say, and nothing for those that say none.
    """

    uses: frozenset[Use]
    functions: frozenset[str] | None
    values: frozenset[str]
    literals: tuple[tuple[frozenset[str], bool], ...]
    rules: tuple[Rule, ...]
    bounds: frozenset[tuple[Decimal, Decimal] | None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MergedAgreements:
    """What several agreements permit together: the grants that all give, and the prohibitions and limits of each.

    `owners`: by data set, the units whose agreements grant it: nobody has, where one of them is not its owner.
    """

    agreements: tuple[CompiledAgreement, ...]
    datasets: Mapping[str, Mapping[str, MergedColumn]]
    owners: Mapping[str, frozenset[str]]
    rules: Mapping[str, tuple[Rule, ...]]
    operations: frozenset[str]
    prohibitions: tuple[CompiledProhibition, ...]
    intermediaries: frozenset[str | None]
    terms: tuple[str, ...]
    job_duties: tuple[Duty, ...]
    output_duties: tuple[Duty, ...]
    rules_by_floor: Mapping[int, DisclosureRules]

    def disclosure(self, floor: int) -> DisclosureRules:
        """Return the strictest disclosure rules under a threshold that may not be gone below."""
        return self.rules_by_floor.get(floor) or _strictest_of(self.agreements, floor)


def covers(granted: frozenset[str], operation: str) -> bool:
    """Return whether an operation or a family that it belongs to is in a set: `aggregate` covers `aggregate.sum`."""
    while operation not in granted:
        operation, dot, _ = operation.rpartition(".")
        if not dot:
            return False
    return True


def compile_agreement(agreement: Agreement) -> CompiledAgreement:
    """Make an agreement ready for decisions."""
    terms = terms_digest(agreement)
    approvals = agreement.approvals
    return CompiledAgreement(
        agreement=agreement,
        id=agreement.id,
        terms=terms,
        sort_key=(agreement.id, agreement.version, terms),
        owner=None if parse_party(agreement.assigner)[0] == "bureau" else agreement.assigner,
        assignee=agreement.assignee,
        intermediary=agreement.intermediary,
        purpose=agreement.purpose,
        starts_at=agreement.valid.starts_at,
        ends_at=agreement.valid.ends_at,
        zones=frozenset(agreement.zones),
        datasets={dataset.name: _compile_dataset(agreement.id, dataset) for dataset in agreement.datasets},
        operations=frozenset(agreement.operations),
        prohibitions=tuple(
            _compile_prohibition(agreement.id, at, item) for at, item in enumerate(agreement.prohibitions)
        ),
        is_declared=agreement.limits.filter_values is FilterValues.DECLARED,
        jobs=agreement.limits.jobs,
        jobs_per_day=agreement.limits.jobs_per_day,
        rounds=agreement.limits.rounds,
        job_duties=() if approvals.job is JobApproval.AUTOMATIC else (Duty.BUREAU_REVIEWER,),
        output_duties=() if approvals.output is OutputApproval.AUTOMATIC else (Duty.OUTPUT_CHECKER,),
        rules_by_floor={floor: agreement.disclosure.rules(floor) for floor in MIN_UNITS.values()},
    )


@lru_cache(maxsize=256)
def merge(agreements: tuple[CompiledAgreement, ...]) -> MergedAgreements:
    """Return what all of these agreements, which apply together, permit.

    Remembers the last results: the agreements of a partner change rarely, and are asked about for every job.
    """
    names = sorted({name for item in agreements for name in item.datasets})
    return MergedAgreements(
        agreements=agreements,
        datasets={name: _merge_dataset([item for item in agreements if name in item.datasets], name) for name in names},
        owners={name: _owners(agreements, name) for name in names},
        rules={name: tuple(item.datasets[name].rule for item in agreements if name in item.datasets) for name in names},
        operations=_merge_operations([item.operations for item in agreements]),
        prohibitions=tuple(prohibition for item in agreements for prohibition in item.prohibitions),
        intermediaries=frozenset(item.intermediary for item in agreements),
        terms=tuple(item.terms for item in agreements),
        job_duties=_any_duties(item.job_duties for item in agreements),
        output_duties=_any_duties(item.output_duties for item in agreements),
        rules_by_floor={floor: _strictest_of(agreements, floor) for floor in MIN_UNITS.values()},
    )


def _owners(agreements: tuple[CompiledAgreement, ...], name: str) -> frozenset[str]:
    return frozenset(item.owner for item in agreements if name in item.datasets and item.owner is not None)


def _merge_dataset(agreements: list[CompiledAgreement], name: str) -> dict[str, MergedColumn]:
    shared = set.intersection(*(set(item.datasets[name].columns) for item in agreements))
    return {column: _merge_column(agreements, name, column) for column in sorted(shared)}


def _merge_column(agreements: list[CompiledAgreement], dataset: str, name: str) -> MergedColumn:
    columns = [item.datasets[dataset].columns[name] for item in agreements]
    limited = [column.functions for column in columns if column.functions is not None]
    return MergedColumn(
        frozenset.intersection(*(column.uses for column in columns)),
        frozenset.intersection(*limited) if limited else None,
        frozenset.intersection(*(column.values for column in columns)),
        tuple((column.values, item.is_declared) for column, item in zip(columns, agreements, strict=True)),
        tuple(column.rule for column in columns),
        frozenset(column.bounds for column in columns),
    )


def _merge_operations(granted: list[frozenset[str]]) -> frozenset[str]:
    # Of the families through which all agreements cover an operation, the narrowest is covered by all of them.
    return frozenset(name for names in granted for name in names if all(covers(other, name) for other in granted))


def _any_duties(duties: Iterable[tuple[Duty, ...]]) -> tuple[Duty, ...]:
    return next((item for item in duties if item), ())


def _strictest_of(agreements: tuple[CompiledAgreement, ...], floor: int) -> DisclosureRules:
    rules = agreements[0].disclosure(floor)
    for item in agreements[1:]:
        rules = strictest(rules, item.disclosure(floor))
    return rules


def _compile_dataset(agreement: str, dataset: DatasetGrant) -> CompiledDataset:
    path = f"datasets.{dataset.name}"
    columns = {column.name: _compile_column(agreement, path, column) for column in dataset.columns}
    return CompiledDataset(columns, Rule(agreement=agreement, path=path))


def _compile_column(agreement: str, path: str, column: ColumnGrant) -> CompiledColumn:
    return CompiledColumn(
        frozenset(column.uses),
        None if column.functions is None else frozenset(column.functions),
        frozenset(column.values),
        Rule(agreement=agreement, path=f"{path}.columns.{column.name}"),
        column.bounds,
    )


def _compile_prohibition(agreement: str, at: int, item: Prohibition) -> CompiledProhibition:
    rule = Rule(agreement=agreement, path=f"prohibitions[{at}]")
    return CompiledProhibition(item.dataset, item.column, item.use, item.operation, rule)
