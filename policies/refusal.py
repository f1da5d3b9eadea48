"""All reasons why a request is not permitted, each with what would lift it (docs/spec/agreement.md, "Reasons").

Runs only after `policies.evaluate` has refused, agreement by agreement, so that every reason names its rule.
"""

from collections.abc import Sequence

from policies import reasons as why
from policies.bureau import is_credit
from policies.compiled import CompiledAgreement, covers
from policies.decision import Reason
from policies.request import ColumnUse, Consumption, Context, DatasetFacts, Request, Training, Use
from policies.rules import fits_bounds, is_about_training, is_fit_for_identity, is_private, is_prohibited, touched
from yingbi.events.fields import Openness

__all__ = ["find_reasons"]


def find_reasons(
    compiled: Sequence[CompiledAgreement], applying: tuple[CompiledAgreement, ...], request: Request, context: Context
) -> list[Reason]:
    """Return every reason against a request, in an order that depends on the request and the agreements' ids only."""
    reasons = [why.frozen(name) for name in sorted(context.frozen & touched(applying, request))]
    is_senseless = not request.datasets or not request.operations or request.rounds < 0
    if is_senseless or is_about_training(request) is None:
        reasons.append(why.rule_error())
    facts: dict[str, DatasetFacts] = {}
    for name in request.datasets:
        reasons += _of_dataset(compiled, applying, request, context, name, facts)
    for use in request.uses:
        reasons += _of_use(applying, use, request, context, facts)
    for item in applying:
        reasons += _of_terms(item, request, context)
    if request.training is not None:
        floor = max((context.bureau.min_units[about.privacy_unit] for about in facts.values()), default=0)
        reasons += _of_training(applying, request.training, request.place, floor)
    return reasons


def _of_dataset(
    compiled: Sequence[CompiledAgreement],
    applying: tuple[CompiledAgreement, ...],
    request: Request,
    context: Context,
    name: str,
    facts: dict[str, DatasetFacts],
) -> list[Reason]:
    if not any(name in item.datasets for item in applying):
        # SECURITY: of a data set that no agreement names, nothing is told, not even whether it exists.
        return list(why.dataset_not_granted(compiled, applying, request, context, name))
    about = context.catalogue.facts(name)
    if about is None:
        return [why.dataset_unknown(name)]
    if about.openness is Openness.NOT_OPEN:
        return [why.dataset_not_open(name)]
    facts[name] = about
    strangers = [item for item in applying if name in item.datasets and item.owner not in (None, about.owner)]
    return [why.dataset_not_owned(item, name) for item in strangers]


def _of_use(
    applying: tuple[CompiledAgreement, ...],
    use: ColumnUse,
    request: Request,
    context: Context,
    facts: dict[str, DatasetFacts],
) -> list[Reason]:
    about = facts.get(use.dataset)
    if about is None:  # said already, unless the request uses what it does not name
        return [] if use.dataset in request.datasets else [why.rule_error()]
    column = about.columns.get(use.column)
    if column is None:
        return [why.column_unknown(use)]
    if column.on_negative_list:
        return [why.on_negative_list(use)]
    if column.grade in context.bureau.too_high:
        return [why.grade_too_high(use)]
    if use.column == about.unit_column and not is_fit_for_identity(use):
        return [why.identity_column(use)]
    found = [_of_grant(item, use, about) for item in applying if use.dataset in item.datasets]
    return [reason for reason in found if reason is not None]


def _of_grant(item: CompiledAgreement, use: ColumnUse, facts: DatasetFacts) -> Reason | None:
    column = item.datasets[use.dataset].columns.get(use.column)
    if column is None or use.use not in column.uses:
        return why.use_not_granted(item, use, column, facts)
    if use.use is Use.AGGREGATE and column.functions is not None and use.function not in column.functions:
        return why.function_not_granted(item, use, column)
    if not fits_bounds(use, [column.bounds], facts.columns[use.column]):
        return why.bounds_not_agreed(use, column, facts)
    missing = why.missing_values(item, use, column, facts)
    return why.values_not_granted(item, use, column, facts, missing) if missing else None


def _of_terms(item: CompiledAgreement, request: Request, context: Context) -> list[Reason]:
    reasons = [
        why.operation_not_granted(item, name) for name in request.operations if not covers(item.operations, name)
    ]
    reasons += [why.prohibited(denied) for denied in item.prohibitions if is_prohibited(denied, request)]
    if is_credit(request.purpose) or request.intermediary != item.intermediary:
        reasons += why.intermediary(item, request, context.licensed_intermediaries)
    used = context.consumption.get(item.id, Consumption())
    if used.jobs >= item.jobs:
        reasons.append(why.limit_reached(item, "jobs"))
    if used.jobs_today >= item.jobs_per_day:
        reasons.append(why.limit_reached(item, "jobs_per_day"))
    if request.rounds and used.rounds + request.rounds > item.rounds:
        reasons.append(why.limit_reached(item, "rounds"))
    return reasons


def _of_training(applying: tuple[CompiledAgreement, ...], training: Training, place: str, floor: int) -> list[Reason]:
    if not applying:
        return []
    reasons = [] if training.node == place else [why.other_place(training.node)]
    if all(item.id != training.agreement for item in applying):
        reasons.append(why.other_agreement([item.id for item in applying]))
    asking = [item for item in applying if training.quorum < item.agreement.disclosure.min_contributors]
    reasons += [why.too_few_contributors(item, training.quorum) for item in asking]
    least = [(item, item.disclosure(floor).min_units) for item in applying]
    reasons += [why.too_few_entities(item, units) for item, units in least if training.min_entities < units]
    private = [item for item in applying if is_private(item)]
    if training.privacy is not None and not private:
        reasons += [why.exact_mode(item) for item in applying]
    for item in private:
        reasons += why.private_mode(item, training.privacy)
    return reasons
