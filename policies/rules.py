"""Single conditions of the decision, shared by the decision and by its explanation (docs/spec/agreement.md)."""

from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from typing import Final

from policies.compiled import CompiledAgreement, CompiledProhibition
from policies.request import TRAINING, ColumnFacts, ColumnUse, Request, Use
from yingbi.events.outputs import DisclosureMode

__all__ = [
    "applies",
    "declared_literals",
    "fits_bounds",
    "is_about_training",
    "is_fit_for_identity",
    "is_private",
    "is_prohibited",
    "touched",
]

_BOOLEANS: Final = frozenset({"true", "false"})
_COUNTS_OF_UNITS: Final = frozenset({"count_units"})
_NONE: Final[frozenset[str]] = frozenset()


def applies(item: CompiledAgreement, request: Request) -> bool:
    """Return whether an agreement is about this request, whenever that is made."""
    return (
        item.assignee == request.assignee
        and item.purpose == request.purpose
        and request.place in item.zones
        and not item.datasets.keys().isdisjoint(request.datasets)
    )


def is_fit_for_identity(use: ColumnUse) -> bool:
    """Return whether the column that says who a row is about may be used so: joined on, or its units counted."""
    # SECURITY: a literal against it would be a question about one unit, and a group by it a list of all.
    return use.use is Use.JOIN or (use.use is Use.AGGREGATE and use.function in _COUNTS_OF_UNITS)


def declared_literals(column: ColumnFacts) -> frozenset[str]:
    """Return the literals that the catalogue declares for a column: its domain and its edges."""
    if column.type == "boolean":
        return _BOOLEANS
    return (column.domain or _NONE) | (column.edges or _NONE)


def fits_bounds(use: ColumnUse, agreed: Collection[tuple[Decimal, Decimal] | None], column: ColumnFacts) -> bool:
    """Return whether what is trained on is clipped as agreed: at the bounds of every agreement.

    One that says none means the catalogue's, whatever others say.

    SECURITY: a bound of the partner's own choice would cut off whoever lies beyond it, one enterprise perhaps.
    """
    if use.bounds is None:
        return True
    known = [column.bounds if bounds is None else bounds for bounds in agreed]
    try:
        asked = tuple(Decimal(bound) for bound in use.bounds)
    except InvalidOperation:
        return False
    return bool(known) and all(asked == bounds for bounds in known)


def is_about_training(request: Request) -> bool | None:
    """Return whether a request is a member job of a federation; nothing where it contradicts itself."""
    found = {operation.startswith(f"{TRAINING}.") for operation in request.operations}
    is_training = request.training is not None
    if found != {is_training} or (is_training and request.rounds < 1):
        return None
    return is_training


def is_private(item: CompiledAgreement) -> bool:
    """Return whether an agreement lets out nothing without noise."""
    return item.agreement.disclosure.mode is DisclosureMode.PRIVATE


def is_prohibited(prohibition: CompiledProhibition, request: Request) -> bool:
    """Return whether a request does what is denied: the operation if one is named, and one use that fits the rest."""
    operation = prohibition.operation
    if operation is not None and not any(_is_in_family(asked, operation) for asked in request.operations):
        return False
    if prohibition.column is None and prohibition.use is None:
        return prohibition.dataset is None or prohibition.dataset in request.datasets
    return any(
        prohibition.dataset in (None, use.dataset)
        and prohibition.column in (None, use.column)
        and prohibition.use in (None, use.use)
        for use in request.uses
    )


def touched(agreements: tuple[CompiledAgreement, ...], request: Request) -> set[str]:
    """Return everything that a freeze could name: parties, place, data sets and agreements."""
    found = {request.assignee, request.place, *request.datasets}
    for item in agreements:
        found |= {item.id, item.agreement.assigner}
    if request.intermediary is not None:
        found.add(request.intermediary)
    return found


def _is_in_family(asked: str, denied: str) -> bool:
    # Both ways: who asks for a whole family asks for the part of it that is denied.
    return asked == denied or asked.startswith(f"{denied}.") or denied.startswith(f"{asked}.")
