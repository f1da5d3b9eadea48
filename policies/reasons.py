"""Why a request is refused: one function a reason (docs/spec/agreement.md, "Reasons").

A reason names the clause of the plan, the column, the missing use, what is allowed there, and the smallest extra grant
that would lift it. It speaks of terms and of what the catalogue publishes, never of data.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from policies.bureau import BUREAU, is_credit
from policies.compiled import CompiledAgreement, CompiledColumn, CompiledProhibition
from policies.decision import Grant, Reason, Rule
from policies.model import decimal_text
from policies.request import ColumnUse, Context, DatasetFacts, Request, Spending, Use
from policies.rules import declared_literals
from yingbi.events.jobs import RefusalReason

__all__ = [
    "MAX_ALLOWED",
    "bounds_not_agreed",
    "column_unknown",
    "dataset_not_granted",
    "dataset_not_open",
    "dataset_not_owned",
    "dataset_unknown",
    "exact_mode",
    "frozen",
    "function_not_granted",
    "grade_too_high",
    "identity_column",
    "intermediary",
    "limit_reached",
    "missing_values",
    "on_negative_list",
    "operation_not_granted",
    "other_agreement",
    "other_place",
    "private_mode",
    "prohibited",
    "rule_error",
    "too_few_contributors",
    "too_few_entities",
    "use_not_granted",
    "values_not_granted",
]

MAX_ALLOWED: Final = 64
_MAX_TOLD: Final = 3


def rule_error() -> Reason:
    """Return the reason where a rule could not be applied, or the request makes no sense."""
    return Reason(
        code=RefusalReason.RULE_ERROR, rule=_above("rule-error"), message="the request cannot be judged by the rules"
    )


def frozen(name: str) -> Reason:
    """Return the reason for something that is stopped."""
    return Reason(code=RefusalReason.FROZEN, rule=_above("frozen"), message=f"`{name}` is frozen")


def dataset_not_granted(
    compiled: Sequence[CompiledAgreement],
    applying: Sequence[CompiledAgreement],
    request: Request,
    context: Context,
    name: str,
) -> Iterator[Reason]:
    """Yield why no agreement that applies names a data set: other scope, or no such grant at all."""
    own = [item for item in compiled if item.assignee == request.assignee]
    if not own:
        # SECURITY: agreements of others are not spoken of.
        code = RefusalReason.SUBJECT_NOT_GRANTED if compiled else RefusalReason.AGREEMENT_NOT_ACTIVE
        yield Reason(code=code, rule=None, dataset=name, message="no agreement in force is with this party")
        return
    elsewhere = [item for item in own if name in item.datasets]
    if elsewhere:
        for item in elsewhere:
            yield from _outside_scope(item, request, context, name)
        return
    known = sorted({granted for item in applying for granted in item.datasets})
    where = applying[0].id if len(applying) == 1 else None
    uses = [use for use in request.uses if use.dataset == name]
    message = f"data set `{name}` is not granted for this purpose"
    if not uses:
        yield Reason(
            code=RefusalReason.DATASET_NOT_GRANTED,
            rule=None,
            dataset=name,
            grant=Grant(agreement=where, dataset=name),
            allowed=tuple(known[:MAX_ALLOWED]),
            message=message,
        )
    for use in uses:
        yield Reason(
            code=RefusalReason.DATASET_NOT_GRANTED,
            rule=None,
            clause=use.clause,
            dataset=name,
            column=use.column,
            missing=use.use,
            grant=_grant_of(where, use),
            allowed=tuple(known[:MAX_ALLOWED]),
            message=message,
        )


def dataset_unknown(name: str) -> Reason:
    """Return the reason for a data set that is granted but no longer in the catalogue."""
    return Reason(
        code=RefusalReason.DATASET_NOT_GRANTED,
        rule=_above("catalogue"),
        dataset=name,
        message=f"data set `{name}` is not in the catalogue",
    )


def dataset_not_open(name: str) -> Reason:
    """Return the reason for a data set that is not open, which no agreement can change."""
    return Reason(
        code=RefusalReason.DATASET_NOT_GRANTED,
        rule=_above("not-open"),
        dataset=name,
        message=f"data set `{name}` is not open, which is never negotiable",
    )


def dataset_not_owned(item: CompiledAgreement, name: str) -> Reason:
    """Return the reason for an agreement about a data set of somebody else."""
    return Reason(
        code=RefusalReason.DATASET_NOT_GRANTED,
        rule=item.datasets[name].rule,
        dataset=name,
        message=f"data set `{name}` is not the assigner's, so that agreement `{item.id}` cannot grant it",
    )


def column_unknown(use: ColumnUse) -> Reason:
    """Return the reason for a column that the catalogue does not have."""
    return _of_use(RefusalReason.COLUMN_NOT_GRANTED, "catalogue", use, "is not in the catalogue")


def on_negative_list(use: ColumnUse) -> Reason:
    """Return the reason for a column on the negative list, which always wins."""
    return _of_use(RefusalReason.NEGATIVE_LIST, "negative-list", use, "is on the negative list")


def grade_too_high(use: ColumnUse) -> Reason:
    """Return the reason for a column of a grade that no agreement may grant."""
    return _of_use(RefusalReason.GRADE_TOO_HIGH, "max-grade", use, "has a grade that may not be used")


def identity_column(use: ColumnUse) -> Reason:
    """Return the reason for anything but joining on the column that says who a row is about, and counting units."""
    return _of_use(
        RefusalReason.PARAMETER_NOT_ALLOWED,
        "identity-column",
        use,
        "identifies the privacy unit and may only be joined on and counted",
        allowed=(str(Use.JOIN),),
    )


def use_not_granted(
    item: CompiledAgreement, use: ColumnUse, column: CompiledColumn | None, facts: DatasetFacts
) -> Reason:
    """Return the reason for a use that a column is not granted for."""
    rule = item.datasets[use.dataset].rule if column is None else column.rule
    granted = () if column is None else tuple(sorted(column.uses))
    extra = missing_values(item, use, column, facts)
    return Reason(
        code=RefusalReason.COLUMN_NOT_GRANTED,
        rule=rule,
        clause=use.clause,
        dataset=use.dataset,
        column=use.column,
        missing=use.use,
        grant=_grant_of(item.id, use, extra),
        allowed=tuple(str(name) for name in granted),
        message=f"column `{use.column}` of `{use.dataset}` is not granted for {use.use}",
    )


def function_not_granted(item: CompiledAgreement, use: ColumnUse, column: CompiledColumn) -> Reason:
    """Return the reason for an aggregate function that a column is not granted for."""
    return Reason(
        code=RefusalReason.COLUMN_NOT_GRANTED,
        rule=column.rule,
        clause=use.clause,
        dataset=use.dataset,
        column=use.column,
        missing=use.use,
        grant=_grant_of(item.id, use),
        allowed=tuple(sorted(column.functions or ())),
        message=f"column `{use.column}` of `{use.dataset}` is not granted for this aggregate function",
    )


def values_not_granted(
    item: CompiledAgreement, use: ColumnUse, column: CompiledColumn, facts: DatasetFacts, missing: tuple[str, ...]
) -> Reason:
    """Return the reason for literals that a filter may not use."""
    allowed = sorted(
        column.values | (declared_literals(facts.columns[use.column]) if _takes_declared(item, use) else frozenset())
    )
    return Reason(
        code=RefusalReason.PARAMETER_NOT_ALLOWED,
        rule=column.rule,
        clause=use.clause,
        dataset=use.dataset,
        column=use.column,
        missing=use.use,
        grant=_grant_of(item.id, use, missing),
        allowed=tuple(allowed[:MAX_ALLOWED]),
        message=f"column `{use.column}` of `{use.dataset}` may not be "
        + ("cut at these edges" if use.use is Use.TRAIN else "compared with these literals"),
    )


def bounds_not_agreed(use: ColumnUse, column: CompiledColumn, facts: DatasetFacts) -> Reason:
    """Return the reason for bounds that neither the agreement nor the catalogue says."""
    known = column.bounds or facts.columns[use.column].bounds
    what = "has no declared bounds to train with" if known is None else "is trained with its public bounds only"
    return Reason(
        code=RefusalReason.PARAMETER_NOT_ALLOWED,
        rule=column.rule,
        clause=use.clause,
        dataset=use.dataset,
        column=use.column,
        allowed=() if known is None else tuple(decimal_text(bound) for bound in known),
        message=f"column `{use.column}` of `{use.dataset}` {what}",
    )


def missing_values(
    item: CompiledAgreement, use: ColumnUse, column: CompiledColumn | None, facts: DatasetFacts
) -> tuple[str, ...]:
    """Return the literals of a use that the agreement neither lists nor takes over from the catalogue."""
    listed: frozenset[str] = frozenset() if column is None else column.values
    declared = declared_literals(facts.columns[use.column]) if _takes_declared(item, use) else frozenset()
    return tuple(value for value in use.values if value not in listed and value not in declared)


def operation_not_granted(item: CompiledAgreement, operation: str) -> Reason:
    """Return the reason for an operation that an agreement does not grant."""
    return Reason(
        code=RefusalReason.OPERATION_NOT_GRANTED,
        rule=Rule(agreement=item.id, path="operations"),
        grant=Grant(agreement=item.id, operation=operation),
        allowed=tuple(sorted(item.operations)[:MAX_ALLOWED]),
        message=f"operation `{operation}` is not granted",
    )


def prohibited(prohibition: CompiledProhibition) -> Reason:
    """Return the reason for something that an agreement denies explicitly: no grant lifts it."""
    is_about_data = prohibition.dataset is not None or prohibition.column is not None or prohibition.use is not None
    code = RefusalReason.COLUMN_NOT_GRANTED if is_about_data else RefusalReason.OPERATION_NOT_GRANTED
    return Reason(
        code=code,
        rule=prohibition.rule,
        dataset=prohibition.dataset,
        column=prohibition.column,
        missing=prohibition.use,
        message="the agreement prohibits this",
    )


def intermediary(item: CompiledAgreement, request: Request, licensed: frozenset[str]) -> Iterator[Reason]:
    """Yield why the request's intermediary is not the one that the agreement and the purpose need."""
    rule = Rule(agreement=item.id, path="intermediary")
    if request.intermediary != item.intermediary:
        is_missing = request.intermediary is None
        code = RefusalReason.INTERMEDIARY_MISSING if is_missing else RefusalReason.SUBJECT_NOT_GRANTED
        allowed = () if item.intermediary is None else (item.intermediary,)
        yield Reason(code=code, rule=rule, allowed=allowed, message="the intermediary is not the agreement's")
    if is_credit(request.purpose) and (request.intermediary is None or request.intermediary not in licensed):
        yield Reason(
            code=RefusalReason.INTERMEDIARY_MISSING,
            rule=_above("licensed-intermediary"),
            message="a purpose of credit needs a licensed credit bureau as intermediary",
        )


def limit_reached(item: CompiledAgreement, limit: str) -> Reason:
    """Return the reason for a limit of an agreement that is used up."""
    return Reason(
        code=RefusalReason.LIMIT_REACHED,
        rule=Rule(agreement=item.id, path=f"limits.{limit}"),
        message=f"the limit `{limit}` of `{item.id}` is reached",
    )


def other_place(node: str) -> Reason:
    """Return the reason for a member whose data set lies at another node than its plan says."""
    return _of_training("members", _above("member"), f"`{node}` is not the node that holds this data set")


def other_agreement(ids: Sequence[str]) -> Reason:
    """Return the reason for a member whose plan names another agreement than those that it is judged by."""
    message = "the plan names another agreement for this data set than the one that it is asked under"
    return _of_training("members", _above("member"), message, allowed=tuple(ids))


def too_few_contributors(item: CompiledAgreement, quorum: int) -> Reason:
    """Return the reason for sums over fewer members than an agreement asks for."""
    least = item.agreement.disclosure.min_contributors
    rule = Rule(agreement=item.id, path="disclosure.min_contributors")
    message = f"sums are made of at least {least} members, and the quorum is {quorum}"
    return _of_training("quorum", rule, message, allowed=(str(least),))


def too_few_entities(item: CompiledAgreement, least: int) -> Reason:
    """Return the reason for a model that would tell apart fewer entities than an agreement or the bureau asks for."""
    rule = Rule(agreement=item.id, path="disclosure.min_entities")
    message = f"whatever the model tells apart has at least {least} entities"
    return _of_training("min_entities", rule, message, allowed=(str(least),))


def exact_mode(item: CompiledAgreement) -> Reason:
    """Return the reason for noise where an agreement has no budget for it."""
    rule = Rule(agreement=item.id, path="disclosure.mode")
    return _of_training("privacy", rule, "the agreement is in exact mode: ask without `privacy`", allowed=("exact",))


def private_mode(item: CompiledAgreement, asked: Spending | None) -> Iterator[Reason]:
    """Yield why what is asked of the budget of a private agreement is not within it."""
    budget = item.agreement.privacy
    if budget is None:
        message = "the agreement is in private mode and has no budget"
        yield _of_training("privacy", Rule(agreement=item.id, path="privacy"), message)
        return
    epsilon, delta = decimal_text(budget.epsilon), decimal_text(budget.delta)
    if asked is None:
        rule = Rule(agreement=item.id, path="disclosure.mode")
        message = f"the agreement is in private mode: ask with `privacy`, epsilon up to {epsilon} and delta {delta}"
        yield _of_training("privacy", rule, message, allowed=(epsilon, delta))
        return
    if not 0 < asked.epsilon <= budget.epsilon:
        rule = Rule(agreement=item.id, path="privacy.epsilon")
        yield _of_training("privacy.epsilon", rule, f"expected epsilon up to {epsilon}", allowed=(epsilon,))
    if asked.delta != budget.delta:
        rule = Rule(agreement=item.id, path="privacy.delta")
        yield _of_training("privacy.delta", rule, f"expected delta {delta}", allowed=(delta,))


def _takes_declared(item: CompiledAgreement, use: ColumnUse) -> bool:
    # Bins of a training may be cut wherever the catalogue declares an edge.
    return item.is_declared or use.use is Use.TRAIN


def _of_training(clause: str, rule: Rule, message: str, *, allowed: tuple[str, ...] = ()) -> Reason:
    return Reason(
        code=RefusalReason.PARAMETER_NOT_ALLOWED,
        rule=rule,
        clause=clause,
        allowed=allowed[:MAX_ALLOWED],
        message=message,
    )


def _outside_scope(item: CompiledAgreement, request: Request, context: Context, name: str) -> Iterator[Reason]:
    checks: tuple[tuple[bool, RefusalReason, str, str, Collection[str]], ...] = (
        (
            item.purpose == request.purpose,
            RefusalReason.PURPOSE_NOT_GRANTED,
            "purpose",
            "is for another purpose",
            (item.purpose,),
        ),
        (
            request.place in item.zones,
            RefusalReason.PLACE_NOT_GRANTED,
            "place.zones",
            "is for another place",
            sorted(item.zones),
        ),
        (
            item.starts_at <= context.at <= item.ends_at,
            RefusalReason.TIME_NOT_GRANTED,
            "valid",
            "is not valid at this time",
            (item.agreement.valid.first.isoformat(), item.agreement.valid.last.isoformat()),
        ),
    )
    for is_met, code, path, message, allowed in checks:
        if not is_met:
            yield Reason(
                code=code,
                rule=Rule(agreement=item.id, path=path),
                dataset=name,
                allowed=tuple(allowed)[:MAX_ALLOWED],
                message=f"agreement `{item.id}` {message} (`{'`, `'.join(tuple(allowed)[:_MAX_TOLD])}`)",
            )


def _grant_of(agreement: str | None, use: ColumnUse, values: tuple[str, ...] | None = None) -> Grant:
    return Grant(
        agreement=agreement,
        dataset=use.dataset,
        column=use.column,
        use=use.use,
        function=use.function if use.use is Use.AGGREGATE else None,
        values=use.values if values is None else values,
    )


def _of_use(code: RefusalReason, path: str, use: ColumnUse, what: str, *, allowed: tuple[str, ...] = ()) -> Reason:
    return Reason(
        code=code,
        rule=_above(path),
        clause=use.clause,
        dataset=use.dataset,
        column=use.column,
        missing=use.use,
        allowed=allowed,
        message=f"column `{use.column}` of `{use.dataset}` {what}",
    )


def _above(path: str) -> Rule:
    return Rule(agreement=BUREAU, path=path)
