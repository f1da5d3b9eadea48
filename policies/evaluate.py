"""The policy decision point: is this request permitted (docs/spec/agreement.md, "Decision").

Pure: the answer depends on the arguments only. Default deny: `_permit` lists what must hold and nothing else permits;
`policies.reasons` then says why not. Fail closed: whatever goes wrong inside is a refusal with the code `rule-error`.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Final

from policies.bureau import is_credit
from policies.compiled import (
    CompiledAgreement,
    MergedAgreements,
    MergedColumn,
    compile_agreement,
    covers,
    merge,
)
from policies.decision import Decision, Outcome, Reason, Rule
from policies.model import Agreement
from policies.reasons import rule_error
from policies.refusal import find_reasons
from policies.request import ColumnFacts, ColumnUse, Consumption, Context, DatasetFacts, Request, Training, Use
from policies.rules import (
    applies,
    declared_literals,
    fits_bounds,
    is_about_training,
    is_fit_for_identity,
    is_private,
    is_prohibited,
    touched,
)
from yingbi.events.fields import Duty, Openness

__all__ = ["evaluate"]

_LOG: Final = logging.getLogger(__name__)
_NOTHING: Final = Consumption()
_REVIEW: Final = (Duty.BUREAU_REVIEWER,)
_CHECK: Final = (Duty.OUTPUT_CHECKER,)


def evaluate(agreements: Iterable[Agreement | CompiledAgreement], request: Request, context: Context) -> Decision:
    """Decide on `request` under all `agreements` that are active; their order does not matter.

    An agreement applies when assignee, purpose, place and time fit and it names one of the data sets. Every data set
    needs one that applies, and all that apply must permit; of their limits the strictest holds. Never raises.
    """
    try:
        return _decide(agreements, request, context)
    except Exception as error:
        # SECURITY: an error in a rule is a refusal; its text may hold anything and goes nowhere.
        _LOG.error("a rule failed with %s", type(error).__name__)
        return _refuse([rule_error()], request)


def _decide(agreements: Iterable[Agreement | CompiledAgreement], request: Request, context: Context) -> Decision:
    compiled = [item if isinstance(item, CompiledAgreement) else compile_agreement(item) for item in agreements]
    if len(compiled) > 1:
        compiled.sort(key=_sort_key)
    at = context.at
    applying = tuple([item for item in compiled if item.starts_at <= at <= item.ends_at and applies(item, request)])
    if applying:
        decision = _permit(merge(applying), request, context)
        if decision is not None:
            return decision
    # INVARIANT: explaining never permits; where nothing can be said, the rules contradict each other.
    return _refuse(find_reasons(compiled, applying, request, context) or [rule_error()], request)


def _sort_key(item: CompiledAgreement) -> tuple[str, int, str]:
    return item.sort_key


def _permit(merged: MergedAgreements, request: Request, context: Context) -> Decision | None:
    """Return the permission, or nothing where any condition does not hold."""
    if not (_is_asked_well(merged, request, context) and _is_within_limits(merged, request, context)):
        return None
    floor = 0
    facts: dict[str, DatasetFacts] = {}
    rules: list[Rule] = []
    for name in request.datasets:
        about = context.catalogue.facts(name)
        if about is None or about.openness is Openness.NOT_OPEN or name not in merged.datasets:
            return None
        # SECURITY: who does not own a data set grants nothing of it, whatever has been signed.
        if not merged.owners[name] <= {about.owner}:
            return None
        facts[name] = about
        floor = max(floor, context.bureau.min_units[about.privacy_unit])
        rules += merged.rules[name]
    disclosure = merged.disclosure(floor)
    if request.training is not None and request.training.min_entities < disclosure.min_units:
        return None
    is_reviewed = False
    for use in request.uses:
        permitted = _check_use(merged, use, facts.get(use.dataset), context)
        if permitted is None:
            return None
        rules += permitted[0]
        is_reviewed = is_reviewed or permitted[1]
    return Decision(
        outcome=Outcome.PERMIT,
        determining=tuple({id(rule): rule for rule in rules}.values()),
        job_duties=_REVIEW if is_reviewed else merged.job_duties,
        output_duties=_CHECK if is_reviewed else merged.output_duties,
        disclosure=disclosure,
        terms=merged.terms,
        request=request,
    )


def _is_asked_well(merged: MergedAgreements, request: Request, context: Context) -> bool:
    """Return whether the request makes sense and nothing that it touches is frozen."""
    if not request.datasets or not request.operations or request.rounds < 0:
        return False
    if is_about_training(request) is None:
        return False
    return not context.frozen or context.frozen.isdisjoint(touched(merged.agreements, request))


def _is_within_limits(merged: MergedAgreements, request: Request, context: Context) -> bool:
    """Return whether operations, prohibitions, intermediary and limits of every agreement are kept."""
    for operation in request.operations:
        if not covers(merged.operations, operation):
            return False
    for prohibition in merged.prohibitions:
        if is_prohibited(prohibition, request):
            return False
    intermediary = request.intermediary
    if merged.intermediaries != {intermediary}:
        return False
    if is_credit(request.purpose) and intermediary not in context.licensed_intermediaries:
        return False
    for item in merged.agreements:
        used = context.consumption.get(item.id, _NOTHING)
        if used.jobs >= item.jobs or used.jobs_today >= item.jobs_per_day:
            return False
        if request.rounds and used.rounds + request.rounds > item.rounds:
            return False
    return request.training is None or _is_training_kept(merged, request.training, request.place)


def _is_training_kept(merged: MergedAgreements, training: Training, place: str) -> bool:
    """Return whether a member job runs where and under what its plan says, with enough others, and spends as agreed."""
    if training.node != place or all(item.id != training.agreement for item in merged.agreements):
        return False
    if any(training.quorum < item.agreement.disclosure.min_contributors for item in merged.agreements):
        return False
    private = [item.agreement for item in merged.agreements if is_private(item)]
    asked = training.privacy
    if asked is None or not private:
        return asked is None and not private
    budgets = [agreement.privacy for agreement in private]
    return all(
        budget is not None and 0 < asked.epsilon <= budget.epsilon and asked.delta == budget.delta for budget in budgets
    )


def _check_use(
    merged: MergedAgreements, use: ColumnUse, about: DatasetFacts | None, context: Context
) -> tuple[tuple[Rule, ...], bool] | None:
    """Return the rules that grant a use, and whether people must look at it; nothing where it is not permitted."""
    column = None if about is None else about.columns.get(use.column)
    if about is None or column is None or column.on_negative_list or column.grade in context.bureau.too_high:
        return None
    if use.column == about.unit_column and not is_fit_for_identity(use):
        return None
    granted = merged.datasets[use.dataset].get(use.column)
    if granted is None or not _is_granted(granted, use, column):
        return None
    return granted.rules, column.grade in context.bureau.reviewed


def _is_granted(granted: MergedColumn, use: ColumnUse, column: ColumnFacts) -> bool:
    if use.use not in granted.uses:
        return False
    if use.use is Use.AGGREGATE and granted.functions is not None and use.function not in granted.functions:
        return False
    if not fits_bounds(use, granted.bounds, column):
        return False
    if not use.values or granted.values.issuperset(use.values):
        return True
    declared = declared_literals(column)
    # What the catalogue declares is good for bins of a training whatever the agreement says of filters.
    is_trained = use.use is Use.TRAIN
    return all(
        value in listed or ((is_declared or is_trained) and value in declared)
        for listed, is_declared in granted.literals
        for value in use.values
    )


def _refuse(reasons: Sequence[Reason], request: Request) -> Decision:
    distinct = tuple(dict.fromkeys(reasons))
    rules = dict.fromkeys(reason.rule for reason in distinct if reason.rule is not None)
    return Decision(outcome=Outcome.REFUSE, determining=tuple(rules), reasons=distinct, request=request)
