"""Does an agreement fit the catalogue, the bureau's rules and itself (docs/spec/agreement.md, "Validation").

Everything that is wrong is found, each with the line and column where it stands. A decision does not rely on this: it
looks at the catalogue again at every request, because that may have changed since.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from policies.bureau import BureauRules, is_credit
from policies.compiled import covers
from policies.model import Agreement, ColumnGrant, DatasetGrant, FilterValues, Prohibition
from policies.problems import AgreementError, AgreementProblem, did_you_mean
from policies.request import CatalogueView, ColumnFacts, DatasetFacts, Use
from policies.rules import declared_literals
from yingbi.errors import ErrorCode
from yingbi.events.fields import Duty, Openness, PrivacyUnit
from yingbi.events.outputs import DisclosureMode
from yingbi.ids import parse_party
from yingbi.plan.model import Function

__all__ = ["APPROVING_DUTIES", "Surroundings", "check_agreement", "require_valid"]

# Whose signature can make an agreement: not the administrators', not the clerks', not the experts'.
APPROVING_DUTIES: Final = frozenset(
    {Duty.UNIT_CDO, Duty.BUREAU_REVIEWER, Duty.BUREAU_APPROVER, Duty.SECURITY_ADMIN, Duty.PARTNER_KEY_OFFICER}
)
_OF_ASSIGNEE: Final = frozenset({Duty.PARTNER_KEY_OFFICER})
_NUMBERS: Final = frozenset({"integer", "decimal"})
_FOUR_EYES: Final = 2
_NOISY: Final = frozenset({"train"})

_Finding = tuple[str, str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What an agreement is checked against.

    `datasets`, `operations`: all known names, for hints and for typing errors; empty where they are not known.
    `licensed_intermediaries`: absent where nobody can say. `at`: the present time.
    """

    catalogue: CatalogueView
    bureau: BureauRules = field(default_factory=BureauRules)
    datasets: frozenset[str] = frozenset()
    operations: frozenset[str] = frozenset()
    licensed_intermediaries: frozenset[str] | None = None
    at: datetime | None = None


def check_agreement(
    agreement: Agreement, around: Surroundings, *, marks: Mapping[str, tuple[int, int]] | None = None
) -> tuple[AgreementProblem, ...]:
    """Return everything that contradicts the catalogue, the bureau's rules or itself, in the order of the text.

    `marks` are those of the `Reading` that the agreement comes from.
    """
    found = [_place(marks or {}, *finding) for finding in _findings(agreement, around)]
    return tuple(sorted(found, key=lambda item: (item.line, item.column, item.path, item.message)))


def require_valid(
    agreement: Agreement, around: Surroundings, *, marks: Mapping[str, tuple[int, int]] | None = None
) -> None:
    """Refuse an agreement that contradicts the catalogue, the bureau's rules or itself.

    Raises:
        AgreementError: with every problem.
    """
    problems = check_agreement(agreement, around, marks=marks)
    if problems:
        raise AgreementError(ErrorCode.AGREEMENT_INVALID, problems)


def _place(marks: Mapping[str, tuple[int, int]], path: str, message: str, hint: str | None) -> AgreementProblem:
    at = path
    while at not in marks and at:
        at = at[: max(at.rfind("."), at.rfind("["), 0)]
    line, column = marks.get(at, (1, 1))
    return AgreementProblem(line=line, column=column, path=path, message=message, hint=hint)


def _findings(agreement: Agreement, around: Surroundings) -> Iterator[_Finding]:
    yield from _of_parties(agreement, around)
    yield from _of_time(agreement, around)
    for dataset in agreement.datasets:
        yield from _of_dataset(agreement, dataset, around)
    yield from _of_operations(agreement, around.operations)
    for at, item in enumerate(agreement.prohibitions):
        yield from _of_prohibition(agreement, item, f"prohibitions[{at}]", around.catalogue)
    yield from _of_disclosure(agreement, around)
    yield from _of_approvals(agreement, around)


def _of_parties(agreement: Agreement, around: Surroundings) -> Iterator[_Finding]:
    if parse_party(agreement.assigner)[0] not in ("unit", "bureau"):
        yield "assigner", "expected a source unit or the bureau as assigner", None
    if parse_party(agreement.assignee)[0] not in ("partner", "unit"):
        yield "assignee", "expected a partner or a unit as assignee", None
    if agreement.assignee == agreement.assigner:
        yield "assignee", "expected another party than the assigner", None
    for at, zone in enumerate(agreement.zones):
        if parse_party(zone)[0] != "node":
            yield f"place.zones[{at}]", "expected a node such as `node:futian-tax`", None
    if agreement.legal_basis.reference is None:
        hint = 'write `legal_basis: {kind: consent, reference: "…"}`'
        yield "legal_basis", "the legal basis has no reference to where it is written", hint
    licensed = around.licensed_intermediaries
    if agreement.intermediary is None:
        if is_credit(agreement.purpose):
            yield "purpose", "a purpose of credit needs a licensed credit bureau as intermediary", "name it"
    elif is_credit(agreement.purpose) and licensed is not None and agreement.intermediary not in licensed:
        yield "intermediary", "the intermediary is not a licensed credit bureau", None


def _of_time(agreement: Agreement, around: Surroundings) -> Iterator[_Finding]:
    if agreement.valid.last < agreement.valid.first:
        yield "valid.until", "expected a day that is not before `from`", None
    if around.at is not None and agreement.valid.ends_at < around.at:
        yield "valid.until", "the period is over already", None
    if agreement.limits.jobs < 1 or agreement.limits.jobs_per_day < 1:
        yield "limits", "expected at least one job, in all and a day", None
    elif agreement.limits.jobs_per_day > agreement.limits.jobs:
        yield "limits.jobs_per_day", "expected at most as many jobs a day as in all", None


def _of_dataset(agreement: Agreement, dataset: DatasetGrant, around: Surroundings) -> Iterator[_Finding]:
    path = f"datasets.{dataset.name}"
    facts = around.catalogue.facts(dataset.name)
    if facts is None:
        yield path, f"data set `{dataset.name}` is not in the catalogue", did_you_mean(dataset.name, around.datasets)
        return
    if facts.openness is Openness.NOT_OPEN:
        yield path, f"data set `{dataset.name}` is not open, which is never negotiable", None
    if facts.owner != agreement.assigner and parse_party(agreement.assigner)[0] != "bureau":
        yield path, f"data set `{dataset.name}` is not the assigner's", None
    if dataset.privacy_unit != facts.unit_column:
        hint = f"write `privacy_unit: {facts.unit_column}`"
        yield f"{path}.privacy_unit", "expected the column that identifies whom the rows are about", hint
    for column in dataset.columns:
        yield from _of_column(agreement, column, facts, f"{path}.columns.{column.name}", around.bureau)


def _of_column(
    agreement: Agreement, column: ColumnGrant, facts: DatasetFacts, path: str, bureau: BureauRules
) -> Iterator[_Finding]:
    about = facts.columns.get(column.name)
    if about is None:
        yield path, f"column `{column.name}` is not in the catalogue", did_you_mean(column.name, facts.columns)
        return
    if about.on_negative_list:
        yield path, f"column `{column.name}` is on the negative list, which always wins", None
    if about.grade in bureau.too_high:
        yield path, f"column `{column.name}` has a grade that may not be granted", None
    if column.name == facts.unit_column:
        yield from _of_identity(column, path)
    yield from _of_functions(column, path)
    yield from _of_values(agreement, column, about, path)
    if column.bounds is not None and about.type not in _NUMBERS:
        yield f"{path}.bounds", "bounds are for numbers only", None


def _of_identity(column: ColumnGrant, path: str) -> Iterator[_Finding]:
    for use in column.uses:
        if use not in (Use.JOIN, Use.AGGREGATE):
            yield path, f"the column that identifies the privacy unit may not be granted for {use}", "grant join only"
    if Use.AGGREGATE in column.uses and column.functions != (Function.COUNT_UNITS,):
        hint = f"write `functions: [{Function.COUNT_UNITS}]`"
        yield path, "units may be counted, and nothing else be aggregated of who they are", hint


def _of_functions(column: ColumnGrant, path: str) -> Iterator[_Finding]:
    known = [str(function) for function in Function]
    if column.functions is not None and Use.AGGREGATE not in column.uses:
        yield f"{path}.functions", "functions without the use `aggregate` grant nothing", "add the use"
    for at, function in enumerate(column.functions or ()):
        if function not in known:
            hint = did_you_mean(function, known) or f"known are {', '.join(known)}"
            yield f"{path}.functions[{at}]", f"function `{function}` is not known", hint


def _of_values(agreement: Agreement, column: ColumnGrant, about: ColumnFacts, path: str) -> Iterator[_Finding]:
    if column.values and {Use.FILTER, Use.TRAIN}.isdisjoint(column.uses):
        yield f"{path}.values", "values without the use `filter` or `train` grant nothing", "add the use"
    declared = declared_literals(about)
    for at, value in enumerate(column.values if declared else ()):
        if value not in declared:
            # SECURITY: the literal is not repeated: it may be somebody's.
            yield f"{path}.values[{at}]", f"this literal is not one that column `{column.name}` declares", None
    if Use.FILTER in column.uses and not column.values:
        if agreement.limits.filter_values is FilterValues.LISTED:
            hint = "list `values`, or set `filter_values: declared`"
            yield path, f"column `{column.name}` may be filtered, but no literal is listed", hint
        elif not declared:
            yield path, f"column `{column.name}` may be filtered, but declares no literals", "list `values`"


def _of_operations(agreement: Agreement, known: frozenset[str]) -> Iterator[_Finding]:
    families = {".".join(name.split(".")[:depth]) for name in known for depth in range(1, name.count(".") + 2)}
    for at, operation in enumerate(agreement.operations):
        if known and operation not in families:
            yield f"operations[{at}]", f"operation `{operation}` is not known", did_you_mean(operation, families)


def _of_prohibition(agreement: Agreement, item: Prohibition, path: str, catalogue: CatalogueView) -> Iterator[_Finding]:
    granted = [dataset.name for dataset in agreement.datasets]
    if item.dataset is not None and item.dataset not in granted:
        # A prohibition with a typing error would silently prohibit nothing.
        yield f"{path}.dataset", "a data set that the agreement does not grant", did_you_mean(item.dataset, granted)
        return
    if item.column is not None:
        facts = [catalogue.facts(name) for name in granted if item.dataset in (None, name)]
        columns = {name for about in facts if about is not None for name in about.columns}
        if item.column not in columns:
            yield f"{path}.column", f"column `{item.column}` is not there", did_you_mean(item.column, columns)


def _of_disclosure(agreement: Agreement, around: Surroundings) -> Iterator[_Finding]:
    rules, bureau = agreement.disclosure, around.bureau
    floors = [bureau.min_units[about.privacy_unit] for about in _facts(agreement, around.catalogue)]
    floor = max(floors, default=0)
    if rules.min_entities is not None and rules.min_entities < floor:
        hint = "leave it out to take over the bureau's"
        yield "disclosure.min_entities", f"expected at least {floor} privacy units a cell", hint
    if rules.dominance_share > bureau.max_dominance_share:
        yield "disclosure.dominance", f"expected a share of at most {bureau.max_dominance_share}", None
    if rules.dominance_top < bureau.min_dominance_top:
        yield "disclosure.dominance", f"expected a top of at least {bureau.min_dominance_top}", None
    if rules.p_percent < bureau.min_p_percent:
        yield "disclosure.p_percent", f"expected at least {bureau.min_p_percent}", None
    if rules.mode is DisclosureMode.PRIVATE and agreement.privacy is None:
        yield "disclosure.mode", "private mode needs a budget", "add `privacy` with epsilon and delta"
    for at, operation in enumerate(agreement.operations):
        if rules.mode is DisclosureMode.PRIVATE and not covers(_NOISY, operation):
            hint = "grant it in an agreement of its own, in exact mode"
            yield f"operations[{at}]", f"private mode is for training: `{operation}` has no noisy form", hint


def _of_approvals(agreement: Agreement, around: Surroundings) -> Iterator[_Finding]:
    duties = agreement.approvals.agreement
    for at, duty in enumerate(duties):
        if duty in duties[:at]:
            hint = "two people sign in two different duties"
            yield f"approvals.agreement[{at}]", f"duty `{duty}` stands here twice, so nobody can meet it", hint
        if duty not in APPROVING_DUTIES:
            yield f"approvals.agreement[{at}]", f"duty `{duty}` does not approve agreements", None
    own = set(duties) - _OF_ASSIGNEE
    if not own:
        yield "approvals.agreement", "nobody signs for the assigner or the bureau", "add `unit-cdo`"
    elif len(own) < _FOUR_EYES and _needs_four_eyes(agreement, around):
        hint = "two different duties of unit and bureau, such as `unit-cdo` and `bureau-approver`"
        yield "approvals.agreement", "personal and important data need two signatures", hint


def _needs_four_eyes(agreement: Agreement, around: Surroundings) -> bool:
    for dataset in agreement.datasets:
        facts = around.catalogue.facts(dataset.name)
        if facts is None:
            continue
        grades = [facts.columns[column.name].grade for column in dataset.columns if column.name in facts.columns]
        if facts.privacy_unit is PrivacyUnit.PERSON or not around.bureau.reviewed.isdisjoint(grades):
            return True
    return False


def _facts(agreement: Agreement, catalogue: CatalogueView) -> Iterable[DatasetFacts]:
    found = (catalogue.facts(dataset.name) for dataset in agreement.datasets)
    return (about for about in found if about is not None)
