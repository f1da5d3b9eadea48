"""Giving the smallest extra grant: the agreement that a refusal says would be enough."""

from dataclasses import replace
from typing import TypeVar

from policies.decision import Grant
from policies.model import Agreement, ColumnGrant, DatasetGrant
from policies.request import CatalogueView, Use
from yingbi.errors import ErrorCode, InvalidRequestError

__all__ = ["apply_grant"]

_Item = TypeVar("_Item")


def apply_grant(agreement: Agreement, grant: Grant, catalogue: CatalogueView) -> Agreement:
    """Return `agreement` with `grant` added and nothing else changed: a draft that still has to be signed.

    Raises:
        InvalidRequestError: the grant names neither an operation nor a data set of the catalogue.
    """
    if grant.operation is not None:
        return _with_operation(agreement, grant.operation)
    if grant.dataset is None:
        raise InvalidRequestError(ErrorCode.AGREEMENT_INVALID, "expected a grant of an operation or of a data set")
    dataset = agreement.dataset(grant.dataset) or _new_dataset(grant.dataset, catalogue)
    if grant.column is not None and grant.use is not None:
        dataset = _with_use(dataset, grant.column, grant.use, grant)
    others = [item for item in agreement.datasets if item.name != dataset.name]
    return replace(agreement, datasets=tuple(sorted([*others, dataset], key=lambda item: item.name)))


def _with_operation(agreement: Agreement, operation: str) -> Agreement:
    if operation in agreement.operations:
        return agreement
    return replace(agreement, operations=(*agreement.operations, operation))


def _new_dataset(name: str, catalogue: CatalogueView) -> DatasetGrant:
    facts = catalogue.facts(name)
    if facts is None:
        raise InvalidRequestError(ErrorCode.AGREEMENT_INVALID, "expected a data set of the catalogue")
    return DatasetGrant(name=name, privacy_unit=facts.unit_column)


def _with_use(dataset: DatasetGrant, name: str, use: Use, grant: Grant) -> DatasetGrant:
    column = dataset.column(name) or ColumnGrant(name=name, uses=())
    functions = column.functions
    if grant.function is not None and (use not in column.uses or functions is not None):
        # A column that is newly aggregated gets this one function; one that has all keeps all.
        functions = _joined(functions or (), (grant.function,))
    column = replace(
        column, uses=_joined(column.uses, (use,)), functions=functions, values=_joined(column.values, grant.values)
    )
    others = [item for item in dataset.columns if item.name != name]
    return replace(dataset, columns=tuple(sorted([*others, column], key=lambda item: item.name)))


def _joined(one: tuple[_Item, ...], more: tuple[_Item, ...]) -> tuple[_Item, ...]:
    return tuple(dict.fromkeys((*one, *more)))
