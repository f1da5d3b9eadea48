"""What a change of an agreement newly allows and newly refuses (docs/spec/agreement.md, "Change").

`compare` reads the terms; `find_flips` asks both versions the same recorded requests. Where the two disagree, the
decisions are right: terms may differ without any request that shows it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from policies.compiled import CompiledAgreement, compile_agreement, covers
from policies.decision import Outcome, Reason
from policies.disclosure import Zeros
from policies.evaluate import evaluate
from policies.model import (
    Agreement,
    ColumnGrant,
    DatasetGrant,
    FilterValues,
    JobApproval,
    OutputApproval,
    Prohibition,
    decimal_text,
    terms_digest,
)
from policies.request import Context, Request, Use
from yingbi.events.fields import RunningJobs
from yingbi.events.outputs import DisclosureMode

__all__ = ["Change", "Comparison", "Effect", "Flip", "compare", "find_flips"]


class Effect(StrEnum):
    """What a changed term does: more becomes possible, less does, or something else does."""

    ALLOWS = "allows"
    REFUSES = "refuses"
    CHANGES = "changes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One term that differs; absent `before` is new, absent `after` is gone."""

    effect: Effect
    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All terms that differ between two versions."""

    before: str
    after: str
    changes: tuple[Change, ...]

    def of(self, effect: Effect) -> tuple[Change, ...]:
        """Return the changes with this effect."""
        return tuple(change for change in self.changes if change.effect is effect)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A recorded request that is decided otherwise: its place in the record, and the reasons of the refusing side."""

    index: int
    before: Outcome
    after: Outcome
    reasons: tuple[Reason, ...]


def compare(before: Agreement, after: Agreement) -> Comparison:
    """Compare two versions of an agreement, term by term."""
    changes = (
        *_of_names(before, after),
        *_of_sets("place.zones", before.zones, after.zones),
        *_of_period(before, after),
        *_of_datasets(before, after),
        *_of_operations(before, after),
        *_of_prohibitions(before.prohibitions, after.prohibitions),
        *_of_disclosure(before, after),
        *_of_privacy(before, after),
        *_of_limits(before, after),
        *_of_approvals(before, after),
    )
    return Comparison(before=terms_digest(before), after=terms_digest(after), changes=changes)


def find_flips(
    before: Agreement,
    after: Agreement,
    requests: Iterable[Request],
    context: Context,
    *,
    others: Sequence[Agreement | CompiledAgreement] = (),
) -> tuple[Flip, ...]:
    """Return the recorded requests that the change decides otherwise, `others` being the agreements that stay."""
    old, new = [*others, compile_agreement(before)], [*others, compile_agreement(after)]
    flips = []
    for index, request in enumerate(requests):
        one, other = evaluate(old, request, context), evaluate(new, request, context)
        if one.outcome is not other.outcome:
            flips.append(
                Flip(index=index, before=one.outcome, after=other.outcome, reasons=one.reasons + other.reasons)
            )
    return tuple(flips)


def _change(effect: Effect, path: str, before: object, after: object) -> Change:
    texts = (None if value is None else str(value) for value in (before, after))
    return Change(effect=effect, path=path, before=next(texts), after=next(texts))


def _of_names(before: Agreement, after: Agreement) -> Iterator[Change]:
    pairs: tuple[tuple[str, object, object], ...] = (
        ("agreement", before.id, after.id),
        ("assigner", before.assigner, after.assigner),
        ("assignee", before.assignee, after.assignee),
        ("intermediary", before.intermediary, after.intermediary),
        ("purpose", before.purpose, after.purpose),
        ("legal_basis.kind", before.legal_basis.kind, after.legal_basis.kind),
        ("legal_basis.reference", before.legal_basis.reference, after.legal_basis.reference),
    )
    for path, one, other in pairs:
        if one != other:
            yield _change(Effect.CHANGES, path, one, other)


def _of_sets(path: str, before: Iterable[str], after: Iterable[str]) -> Iterator[Change]:
    one, other = set(before), set(after)
    for name in sorted(other - one):
        yield _change(Effect.ALLOWS, path, None, name)
    for name in sorted(one - other):
        yield _change(Effect.REFUSES, path, name, None)


def _of_period(before: Agreement, after: Agreement) -> Iterator[Change]:
    one, other = before.valid, after.valid
    if one.first != other.first:
        effect = Effect.ALLOWS if other.first < one.first else Effect.REFUSES
        yield _change(effect, "valid.from", one.first, other.first)
    if one.last != other.last:
        effect = Effect.ALLOWS if other.last > one.last else Effect.REFUSES
        yield _change(effect, "valid.until", one.last, other.last)


def _of_datasets(before: Agreement, after: Agreement) -> Iterator[Change]:
    yield from _of_sets("datasets", (item.name for item in before.datasets), (item.name for item in after.datasets))
    for name in sorted({item.name for item in (*before.datasets, *after.datasets)}):
        one, other = (side.dataset(name) or DatasetGrant(name=name, privacy_unit="") for side in (before, after))
        path = f"datasets.{name}"
        if one.privacy_unit != other.privacy_unit and one.privacy_unit and other.privacy_unit:
            yield _change(Effect.CHANGES, f"{path}.privacy_unit", one.privacy_unit, other.privacy_unit)
        for column in sorted({item.name for item in (*one.columns, *other.columns)}):
            grants = [side.column(column) or ColumnGrant(name=column, uses=()) for side in (one, other)]
            yield from _of_columns(f"{path}.columns.{column}", *grants)


def _of_columns(path: str, before: ColumnGrant, after: ColumnGrant) -> Iterator[Change]:
    yield from _of_sets(f"{path}.uses", before.uses, after.uses)
    yield from _of_sets(f"{path}.values", before.values, after.values)
    if Use.AGGREGATE in before.uses and Use.AGGREGATE in after.uses and before.functions != after.functions:
        yield from _of_functions(f"{path}.functions", before.functions, after.functions)
    for name, one, other in (("bounds", before.bounds, after.bounds), ("unit", before.unit, after.unit)):
        if one != other:
            yield _change(Effect.CHANGES, f"{path}.{name}", _bounds(one), _bounds(other))


def _bounds(value: tuple[Decimal, Decimal] | str | None) -> str | None:
    return " to ".join(decimal_text(bound) for bound in value) if isinstance(value, tuple) else value


def _of_functions(path: str, before: tuple[str, ...] | None, after: tuple[str, ...] | None) -> Iterator[Change]:
    if before is None:
        yield _change(Effect.REFUSES, path, "all", ", ".join(after or ()))
    elif after is None:
        yield _change(Effect.ALLOWS, path, ", ".join(before), "all")
    else:
        yield from _of_sets(path, before, after)


def _of_operations(before: Agreement, after: Agreement) -> Iterator[Change]:
    one, other = frozenset(before.operations), frozenset(after.operations)
    for name in sorted(other):
        if not covers(one, name):
            yield _change(Effect.ALLOWS, "operations", None, name)
    for name in sorted(one):
        if not covers(other, name):
            yield _change(Effect.REFUSES, "operations", name, None)


def _of_prohibitions(before: tuple[Prohibition, ...], after: tuple[Prohibition, ...]) -> Iterator[Change]:
    for item in after:
        if item not in before:
            yield _change(Effect.REFUSES, "prohibitions", None, _describe(item))
    for item in before:
        if item not in after:
            yield _change(Effect.ALLOWS, "prohibitions", _describe(item), None)


def _describe(item: Prohibition) -> str:
    members = (("dataset", item.dataset), ("column", item.column), ("use", item.use), ("operation", item.operation))
    return ", ".join(f"{name} {value}" for name, value in members if value is not None)


def _of_order(path: str, before: int | Decimal, after: int | Decimal, *, is_more_allowed: bool) -> Iterator[Change]:
    if before != after:
        allows = (after > before) is is_more_allowed
        yield _change(Effect.ALLOWS if allows else Effect.REFUSES, path, before, after)


def _of_disclosure(before: Agreement, after: Agreement) -> Iterator[Change]:
    one, other = before.disclosure, after.disclosure
    # Without a threshold the bureau's holds, which is the least that any threshold can be.
    entities = [rules.min_entities or 0 for rules in (one, other)]
    yield from _of_order("disclosure.min_entities", *entities, is_more_allowed=False)
    yield from _of_order("disclosure.dominance.top", one.dominance_top, other.dominance_top, is_more_allowed=False)
    yield from _of_order("disclosure.dominance.share", one.dominance_share, other.dominance_share, is_more_allowed=True)
    yield from _of_order("disclosure.p_percent", one.p_percent, other.p_percent, is_more_allowed=False)
    yield from _of_order("disclosure.rounding", one.rounding, other.rounding, is_more_allowed=False)
    degrees = (one.min_degrees_of_freedom, other.min_degrees_of_freedom)
    yield from _of_order("disclosure.min_degrees_of_freedom", *degrees, is_more_allowed=False)
    contributors = (one.min_contributors, other.min_contributors)
    yield from _of_order("disclosure.min_contributors", *contributors, is_more_allowed=False)
    yield from _of_strictness("disclosure.zeros", one.zeros, other.zeros, Zeros.REFUSE)
    yield from _of_strictness("disclosure.mode", one.mode, other.mode, DisclosureMode.PRIVATE)


def _of_strictness(path: str, before: StrEnum, after: StrEnum, strict: StrEnum) -> Iterator[Change]:
    if before is not after:
        yield _change(Effect.REFUSES if after is strict else Effect.ALLOWS, path, before, after)


def _of_privacy(before: Agreement, after: Agreement) -> Iterator[Change]:
    one, other = before.privacy, after.privacy
    budgets = [Decimal(0) if side is None else side.epsilon for side in (one, other)]
    deltas = [Decimal(0) if side is None else side.delta for side in (one, other)]
    yield from _of_order("privacy.epsilon", *budgets, is_more_allowed=True)
    yield from _of_order("privacy.delta", *deltas, is_more_allowed=True)


def _of_limits(before: Agreement, after: Agreement) -> Iterator[Change]:
    one, other = before.limits, after.limits
    yield from _of_order("limits.jobs", one.jobs, other.jobs, is_more_allowed=True)
    yield from _of_order("limits.jobs_per_day", one.jobs_per_day, other.jobs_per_day, is_more_allowed=True)
    yield from _of_order("limits.rounds", one.rounds, other.rounds, is_more_allowed=True)
    yield from _of_strictness("limits.filter_values", one.filter_values, other.filter_values, FilterValues.LISTED)


def _of_approvals(before: Agreement, after: Agreement) -> Iterator[Change]:
    one, other = before.approvals, after.approvals
    # Fewer people to ask is more that becomes possible.
    for duty in sorted(set(other.agreement) - set(one.agreement)):
        yield _change(Effect.REFUSES, "approvals.agreement", None, duty)
    for duty in sorted(set(one.agreement) - set(other.agreement)):
        yield _change(Effect.ALLOWS, "approvals.agreement", duty, None)
    yield from _of_strictness("approvals.job", one.job, other.job, JobApproval.REVIEWED)
    yield from _of_strictness("approvals.output", one.output, other.output, OutputApproval.CHECKED)
    yield from _of_strictness("on_revocation", before.on_revocation, after.on_revocation, RunningJobs.STOP)
