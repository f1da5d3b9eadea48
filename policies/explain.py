"""A decision in words: which clause, which column, what is missing, what would be enough, what is allowed.

English, like every message of the library; `policies.codec.decision_to_json` gives programs the same.
"""

from collections.abc import Iterable, Iterator

from policies.decision import Decision, Grant, Reason

__all__ = ["describe_grant", "explain", "explain_reasons"]


def explain(decision: Decision) -> tuple[str, ...]:
    """Return a decision as lines of text."""
    return tuple(_permitted(decision) if decision.is_permitted else _refused(decision))


def explain_reasons(reasons: Iterable[Reason]) -> tuple[str, ...]:
    """Return why something is refused as lines of text."""
    return ("refused", *(line for reason in reasons for line in _of_reason(reason)))


def describe_grant(grant: Grant) -> str:
    """Return the smallest extra grant as one phrase."""
    where = "a new agreement" if grant.agreement is None else f"`{grant.agreement}`"
    if grant.operation is not None:
        return f"grant operation `{grant.operation}` in {where}"
    if grant.column is None:
        return f"grant data set `{grant.dataset}` in {where}"
    only = f" with function `{grant.function}`" if grant.function is not None else ""
    only += f" with {len(grant.values)} more listed values" if grant.values else ""
    return f"grant {grant.use} of column `{grant.column}` of `{grant.dataset}`{only} in {where}"


def _permitted(decision: Decision) -> Iterator[str]:
    yield "permitted"
    for rule in decision.determining:
        yield f"  by `{rule.agreement}`, {rule.path}"
    for what, duties in (("before it runs", decision.job_duties), ("before its output leaves", decision.output_duties)):
        if duties:
            yield f"  {what}, somebody must look: {', '.join(duties)}"
    if decision.disclosure is not None:
        yield f"  cells of fewer than {decision.disclosure.min_units} units stay inside"
        if decision.request is not None and decision.request.training is not None:
            yield f"  sums of fewer than {decision.disclosure.min_contributors} members are not made"


def _refused(decision: Decision) -> Iterator[str]:
    yield from explain_reasons(decision.reasons)


def _of_reason(reason: Reason) -> Iterator[str]:
    clause = f"{reason.clause}: " if reason.clause is not None else ""
    yield f"  {clause}{reason.message} ({reason.code})"
    if reason.rule is not None:
        yield f"    rule: `{reason.rule.agreement}`, {reason.rule.path}"
    if reason.missing is not None:
        yield f"    missing use: {reason.missing}"
    if reason.allowed:
        yield f"    allowed here: {', '.join(reason.allowed)}"
    if reason.grant is not None:
        yield f"    would be enough: {describe_grant(reason.grant)}"
