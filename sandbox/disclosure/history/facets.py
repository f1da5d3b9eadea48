"""From everything asked of a system to its facets: what atoms are split by, and which confidential classes there are.

Public columns split atoms: by their values, or by the edges in use. Confidential columns split variables: by their
declared domain, or by declared edges and edges in use. Being in a data set or a version splits atoms as well: what
joins a version makes a difference that a later answer can show.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sandbox.catalog.model import Catalogue, DataItem, ItemType
from sandbox.disclosure.atoms import ABSENT, AtomTable, Facet
from sandbox.disclosure.history.partition import PublicFacet, SecretFacet, Space
from sandbox.disclosure.history.scopes import Scope, Versioned, is_confidential, item_of
from sandbox.disclosure.history.splits import Ranges, Values, condition_cuts, cut_texts, is_ordered, point_of
from yingbi.errors import ErrorCode, InvalidRequestError, RefusedError, UnavailableError
from yingbi.plan.model import Column

__all__ = ["FacetPlan", "plan_facets", "secret_facet", "space_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetPlan:
    """What to ask the engine for, and what the answer means.

    `public`: column and version of each of the first facets, with its cuts (None: by values). `presence`: data set and
    version of each of the others. `secret`: confidential columns in their versions, sorted.
    """

    versions: tuple[int, ...]
    facets: tuple[Facet, ...]
    public: tuple[tuple[Column, int, tuple[int, ...] | None], ...]
    presence: tuple[tuple[str, int], ...]
    secret: tuple[tuple[Versioned, SecretFacet], ...]


def plan_facets(dataset: str, scopes: Sequence[Scope], catalogue: Catalogue) -> FacetPlan:
    """Return the facets of the rows of `dataset` that all `scopes` together need.

    Raises:
        RefusedError: a confidential column without declared classes.
    """
    used = sorted({(column, scope.version(column.dataset)) for scope in scopes for column in scope.columns()})
    public = tuple(
        (column, version, _public_cuts(column, version, scopes, catalogue))
        for column, version in used
        if not is_confidential(catalogue, column)
    )
    hidden = [one for one in used if is_confidential(catalogue, one[0])]
    versions = tuple(sorted({version for scope in scopes for name, version in scope.versions if name == dataset}))
    required = {(name, scope.version(name)) for scope in scopes for name in scope.present}
    presence = tuple(sorted(one for one in required if one[0] != dataset or len(versions) > 1))
    facets = [_facet(column, version, cuts, catalogue) for column, version, cuts in public]
    facets += [_presence_facet(name, version, catalogue) for name, version in presence]
    secret = tuple((one, _secret_facet(dataset, one, scopes, catalogue)) for one in hidden)
    return FacetPlan(versions=versions, facets=tuple(facets), public=public, presence=presence, secret=secret)


def secret_facet(one: Versioned, facet: SecretFacet, catalogue: Catalogue) -> Facet:
    """Return the facet that splits rows by the classes of a confidential column (for `AtomSource.contributions`)."""
    column, version = one
    edges = cut_texts(item_of(catalogue, column), facet.split.cuts) if isinstance(facet.split, Ranges) else None
    return Facet(column=column, version=version, edges=edges)


def space_of(plan: FacetPlan, table: AtomTable, dataset: str, catalogue: Catalogue) -> Space:
    """Return the space that the atoms of a plan make up.

    Raises:
        UnavailableError: the table is not an answer to the plan.
    """
    if table.facets != plan.facets or table.codes.shape != (len(table.rows), len(plan.facets)):
        raise UnavailableError(ErrorCode.ENGINE_FAILED, "expected atoms over the facets that were asked for")
    public: dict[tuple[Column, int], PublicFacet] = {}
    for place, (column, version, cuts) in enumerate(plan.public):
        split = Values(labels=table.labels[place]) if cuts is None else Ranges(cuts=cuts)
        codes = table.codes[:, place].astype(np.int64)
        codes[codes == ABSENT] = split.classes - 1
        public[column, version] = PublicFacet(item=item_of(catalogue, column), split=split, codes=codes)
    present = {(dataset, version): np.ones(len(table.rows), dtype=bool) for version in plan.versions}
    for place, found in enumerate(plan.presence, start=len(plan.public)):
        present[found] = table.codes[:, place] != ABSENT
    return Space(atoms=len(table.rows), public=public, secret=dict(plan.secret), present=present)


def _cuts_in_use(column: Column, item: DataItem, scopes: Iterable[Scope]) -> set[int]:
    found: set[int] = set()
    for scope in scopes:
        for condition in scope.conditions:
            if condition.column == column:
                found |= condition_cuts(item, condition)
        for dimension in scope.dimensions:
            if dimension.column == column:
                found |= {point_of(item, edge) for edge in dimension.edges or ()}
    return found


def _is_grouped_by_value(column: Column, scopes: Iterable[Scope]) -> bool:
    return any(one.column == column and one.edges is None for scope in scopes for one in scope.dimensions)


def _public_cuts(column: Column, version: int, scopes: Sequence[Scope], catalogue: Catalogue) -> tuple[int, ...] | None:
    item = item_of(catalogue, column)
    used_by = [scope for scope in scopes if (column.dataset, version) in scope.versions]
    if not is_ordered(item) or _is_grouped_by_value(column, used_by):
        return None
    return tuple(sorted(_cuts_in_use(column, item, used_by)))


def _facet(column: Column, version: int, cuts: tuple[int, ...] | None, catalogue: Catalogue) -> Facet:
    edges = None if cuts is None else cut_texts(item_of(catalogue, column), cuts)
    return Facet(column=column, version=version, edges=edges)


def _presence_facet(dataset: str, version: int, catalogue: Catalogue) -> Facet:
    declared = catalogue.dataset(dataset)
    if declared is None:
        raise InvalidRequestError(ErrorCode.NAME_UNKNOWN, "expected a data set of the catalogue")
    return Facet(column=Column(dataset=dataset, name=declared.unit_item.name), version=version, presence=True)


def _secret_facet(dataset: str, one: Versioned, every: Sequence[Scope], catalogue: Catalogue) -> SecretFacet:
    column, version = one
    scopes = [scope for scope in every if (column.dataset, version) in scope.versions]
    item = item_of(catalogue, column)
    has_null = item.nullable or column.dataset != dataset
    if item.type is ItemType.BOOLEAN:
        return SecretFacet(item=item, split=Values(labels=("false", "true")), has_null=has_null)
    if item.domain is not None:
        return SecretFacet(item=item, split=Values(labels=item.domain), has_null=has_null)
    if not is_ordered(item) or _is_grouped_by_value(column, scopes):
        raise RefusedError(
            ErrorCode.HISTORY_LIMIT,
            "expected a confidential column with declared classes",
            hint="group by declared edges, or leave the column out",
        )
    declared = {point_of(item, edge) for edge in item.edges or ()}
    cuts = tuple(sorted(declared | _cuts_in_use(column, item, scopes)))
    return SecretFacet(item=item, split=Ranges(cuts=cuts), has_null=has_null)
