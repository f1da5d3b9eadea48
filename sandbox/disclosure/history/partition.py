"""Cells of a released table as sets of variables: a public part (atoms) times a set of confidential classes.

A *layer* is one level of a table (which dimensions are summed over): its public parts are disjoint, so that one integer
code an atom says everything. What varies in an atom is its values by sets of confidential classes; the sets come from
declarations and questions alone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from sandbox.catalog.model import DataItem
from sandbox.disclosure.history.scopes import Scope, Versioned
from sandbox.disclosure.history.splits import Split
from yingbi.errors import ErrorCode, RefusedError, UnavailableError
from yingbi.plan.model import Column, Dimension

__all__ = [
    "Blocks",
    "Cells",
    "Layer",
    "PublicFacet",
    "SecretFacet",
    "SecretSet",
    "Space",
    "blocks_from",
    "blocks_of",
    "cut_into_cells",
    "cut_margin",
    "public_dimensions",
]

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
SecretSet = tuple[bytes, ...]

_NOISE = 1e-14
_RANK = 1e-11
_IN_SPAN = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PublicFacet:
    """A public column over the atoms: `codes` is the class of each atom (N, int64)."""

    item: DataItem
    split: Split
    codes: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFacet:
    """A confidential column: its classes, and whether null is one of them."""

    item: DataItem
    split: Split
    has_null: bool

    @property
    def classes(self) -> int:
        """Return the number of classes that can occur."""
        return self.split.classes - (not self.has_null)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Space:
    """What cells of one system are cut from: `atoms` (how many), facets, and `present[data set, version]` (N, bool)."""

    atoms: int
    public: Mapping[Versioned, PublicFacet]
    secret: Mapping[Versioned, SecretFacet]
    present: Mapping[tuple[str, int], Bools]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """One level of a table: `codes` (N, int32) is an atom's public part, or -1; there are `parts` of them.

    `digest` is of both: the same split, asked again, is looked at once. `split` is the same for whichever numbering.
    """

    codes: NDArray[np.int32]
    parts: int
    digest: bytes
    split: bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """The cells of one answer: layer, public part in that layer, and set of confidential classes, by cell.

    `whole`: the classes that the answer's conditions leave, whatever its dimensions.
    """

    layers: tuple[Layer, ...]
    layer: Ints
    part: Ints
    secret: tuple[SecretSet, ...]
    whole: SecretSet

    def __len__(self) -> int:
        return len(self.layer)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blocks:
    """Sets of confidential classes as vectors: `forms` (k x B), one a set, whose products are the sets' overlaps.

    The overlap of two sets is the share of all combinations of classes that is in both: a product over columns, so that
    columns which no answer uses together cost nothing together. B, the rank, is how many combinations of classes
    answers can tell apart at all. Where everybody knows how many rows an atom has (`is_centred`), overlaps lose the
    product of the shares. `number`: place of each set; `classes`: of each column.
    """

    forms: Floats
    number: Mapping[SecretSet, int]
    overlaps: Floats
    classes: tuple[int, ...]
    is_centred: bool

    @property
    def free(self) -> int:
        """Return how many combinations of classes can vary in an atom."""
        return int(self.forms.shape[1])

    def forms_of(self, sets: Sequence[SecretSet]) -> tuple[Floats, Bools]:
        """Return any sets of classes as vectors, and which of them the sets in use can make up at all."""
        against = _overlaps(list(sets), list(self.number), self.classes, is_centred=self.is_centred)
        own = np.array(
            [_overlaps([one], [one], self.classes, is_centred=self.is_centred)[0, 0] for one in sets], dtype=np.float64
        )
        square = np.einsum("kb,kb->b", self.forms, self.forms)
        made = (against @ self.forms) / np.maximum(square, np.finfo(np.float64).tiny)
        return made, np.abs(own - np.einsum("nb,nb->n", made, made)) < _IN_SPAN


def cut_into_cells(space: Space, scope: Scope, keys: Sequence[tuple[str | None, ...]], is_total: Bools) -> Cells:
    """Return the cells of an answer; time O(N x levels), no look at any confidential value."""
    selected = _selected(space, scope)
    everything = _secret_conditions(space, scope)
    layer, part = np.zeros(len(keys), dtype=np.int64), np.full(len(keys), -1, dtype=np.int64)
    secret: list[SecretSet] = [()] * len(keys)
    layers: list[Layer] = []
    for pattern in sorted({tuple(map(bool, row)) for row in is_total}):
        members = np.flatnonzero((is_total == np.array(pattern, dtype=bool)).all(axis=1)).tolist()
        kept = [(place, one) for place, one in enumerate(scope.dimensions) if not pattern[place]]
        made, parts = _cut_level(space, scope, selected, kept, [keys[index] for index in members])
        layer[members], part[members] = len(layers), parts
        layers.append(made)
        asked = [(place, one) for place, one in kept if _in_version(scope, one.column) in space.secret]
        known: dict[tuple[str | None, ...], SecretSet] = {}
        for index in members:
            values = tuple(keys[index][place] for place, _ in asked)
            if values not in known:
                known[values] = _secret_set(space, scope, everything, [one for _, one in asked], values)
            secret[index] = known[values]
    whole = tuple(everything[one].tobytes() for one in space.secret)
    return Cells(layers=tuple(layers), layer=layer, part=part, secret=tuple(secret), whole=whole)


def cut_margin(space: Space, scope: Scope, kept: Sequence[Dimension]) -> Layer:
    """Return the layer of an answer added up over all public dimensions but those `kept`, whatever came out of it."""
    codes = np.zeros(space.atoms, dtype=np.int64)
    for dimension in kept:
        facet = space.public[_in_version(scope, dimension.column)]
        categories = facet.split.categories(facet.item, dimension)
        codes = codes * (int(categories.max(initial=0)) + 1) + categories[facet.codes]
        seen = np.zeros(int(codes.max(initial=0)) + 1, dtype=bool)
        seen[codes] = True
        codes = (np.cumsum(seen) - 1)[codes]
    codes = np.where(_selected(space, scope), codes, -1)
    return _make_layer(codes.astype(np.int32), int(codes.max(initial=0)) + 1)


def public_dimensions(space: Space, scope: Scope) -> tuple[Dimension, ...]:
    """Return the dimensions of an answer that split atoms."""
    return tuple(one for one in scope.dimensions if _in_version(scope, one.column) in space.public)


def blocks_of(space: Space, sets: Sequence[SecretSet], limit: int, *, is_centred: bool) -> Blocks:
    """Return vectors for all `sets`, of as few dimensions as there can be; time O(k^2 columns + k^3), k distinct sets.

    Raises:
        RefusedError: more than `limit` distinct sets.
    """
    distinct = sorted(set(sets))
    if len(distinct) > limit:
        raise RefusedError(
            ErrorCode.HISTORY_LIMIT,
            f"expected at most {limit} sets of confidential classes in one history",
            hint="ask with fewer confidential columns",
        )
    classes = tuple(facet.classes for facet in space.secret.values())
    overlaps = _overlaps(distinct, distinct, classes, is_centred=is_centred)
    return blocks_from(distinct, overlaps, classes, is_centred=is_centred)


def blocks_from(
    distinct: Sequence[SecretSet], overlaps: Floats, classes: tuple[int, ...], *, is_centred: bool
) -> Blocks:
    """Return the vectors whose products are `overlaps`."""
    sizes, axes = np.linalg.eigh(overlaps)
    kept = sizes > _RANK * max(1e-300, float(sizes.max(initial=0.0)))
    forms = axes[:, kept] * np.sqrt(sizes[kept])
    return Blocks(
        forms=np.asarray(forms),
        number={one: number for number, one in enumerate(distinct)},
        overlaps=overlaps,
        classes=classes,
        is_centred=is_centred,
    )


def _overlaps(
    one: Sequence[SecretSet], other: Sequence[SecretSet], classes: Sequence[int], *, is_centred: bool
) -> Floats:
    """Return the share of all combinations of classes that is in both sets (less chance, where centred)."""
    both, left, right = np.ones((len(one), len(other))), np.ones(len(one)), np.ones(len(other))
    for place, count in enumerate(classes):
        first, second = (
            np.array([np.frombuffer(mask[place], dtype=bool) for mask in sets]).reshape(len(sets), count).astype(float)
            for sets in (one, other)
        )
        both *= (first @ second.T) / count
        left *= first.sum(axis=1) / count
        right *= second.sum(axis=1) / count
    if is_centred:
        both -= np.outer(left, right)
        both[np.abs(both) < _NOISE] = 0.0
    return both


def _selected(space: Space, scope: Scope) -> Bools:
    selected = np.ones(space.atoms, dtype=bool)
    for dataset in scope.present:
        selected &= space.present[dataset, scope.version(dataset)]
    for condition in scope.conditions:
        facet = space.public.get(_in_version(scope, condition.column))
        if facet is not None:
            selected &= facet.split.accepted(facet.item, condition)[facet.codes]
    return selected


def _cut_level(
    space: Space,
    scope: Scope,
    selected: Bools,
    kept: Sequence[tuple[int, Dimension]],
    keys: Sequence[tuple[str | None, ...]],
) -> tuple[Layer, Ints]:
    atom_code = np.zeros(space.atoms, dtype=np.int64)
    cell_code = np.zeros(len(keys), dtype=np.int64)
    for place, dimension in kept:
        facet = space.public.get(_in_version(scope, dimension.column))
        if facet is None:
            continue
        categories = facet.split.categories(facet.item, dimension)
        radix = int(categories.max(initial=0)) + 2
        names = facet.split.category_names(dimension)
        if dimension.edges is not None:
            _check_known({one[place] for one in keys}, names)
        # A declared category that no row has is a cell without atoms.
        wanted = np.array([names.get(one[place], radix - 1) for one in keys], dtype=np.int64)
        atom_code = atom_code * radix + categories[facet.codes]
        cell_code = cell_code * radix + wanted
        cells, cell_code = np.unique(cell_code, return_inverse=True)
        atom_code = _numbered(cells, atom_code)
        selected = selected & (atom_code >= 0)
    parts = int(cell_code.max(initial=0)) + 1
    return _make_layer(np.where(selected, atom_code, -1).astype(np.int32), parts), cell_code


def _make_layer(codes: NDArray[np.int32], parts: int) -> Layer:
    digest = blake2b(codes.tobytes(), digest_size=16, key=parts.to_bytes(8, "big")).digest()
    first = np.full(parts + 1, -1, dtype=np.int32)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1, dtype=np.int32)
    first[-1] = -1
    return Layer(
        codes=codes, parts=parts, digest=digest, split=blake2b(first[codes].tobytes(), digest_size=16).digest()
    )


def _check_known(keys: Collection[str | None], names: Mapping[str | None, int]) -> None:
    # SECURITY: a cell that history cannot place would bind nothing, and be remembered as if it told nothing.
    if not names.keys() >= set(keys):
        raise UnavailableError(ErrorCode.ENGINE_FAILED, "expected cells with the keys of their dimensions")


def _numbered(known: Ints, codes: Ints) -> Ints:
    place = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    return np.where(known[place] == codes, place, -1).astype(np.int64)


def _in_version(scope: Scope, column: Column) -> Versioned:
    return column, scope.version(column.dataset)


def _secret_conditions(space: Space, scope: Scope) -> dict[Versioned, Bools]:
    masks = {one: np.ones(facet.classes, dtype=bool) for one, facet in space.secret.items()}
    for condition in scope.conditions:
        one = _in_version(scope, condition.column)
        facet = space.secret.get(one)
        if facet is not None:
            masks[one] &= facet.split.accepted(facet.item, condition)[: facet.classes]
    return masks


def _secret_set(
    space: Space,
    scope: Scope,
    everything: Mapping[Versioned, Bools],
    asked: Sequence[Dimension],
    values: Sequence[str | None],
) -> SecretSet:
    masks = dict(everything)
    for dimension, value in zip(asked, values, strict=True):
        one = _in_version(scope, dimension.column)
        facet = space.secret[one]
        categories = facet.split.categories(facet.item, dimension)[: facet.classes]
        names = facet.split.category_names(dimension)
        _check_known({value}, names)
        masks[one] = masks[one] & (categories == names[value])
    return tuple(masks[one].tobytes() for one in space.secret)
