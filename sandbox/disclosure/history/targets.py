"""Named targets: which sets must not be determined (finding the smallest determined set of all is NP-hard).

- every unit that is alone in atoms, and every linear combination over its atoms and their confidential blocks;
- every atom of fewer than t units, every combination over its blocks;
- every value that rules hold back, in any answer, the new one's own included (that is secondary suppression);
- intersections and differences of the parts of two layers with fewer than t units, every combination over blocks; and
  what is in one part less what is in the other, where both have fewer than t (as between two versions, or boundaries);
- pairs of lone units, every combination of the two; differences of two atoms of fewer than t units.

t counts units; sets over several atoms are taken for small while they have fewer than K*t rows (K rows a unit), which
is exact for K = 1 and overstates otherwise. What is a target depends on public parts, on thresholds over them and on
what was suppressed: nothing here receives a confidential value.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from sandbox.disclosure.history.system import Frame
from sandbox.disclosure.history.worlds import NEARLY, are_determined

__all__ = [
    "BETWEEN",
    "BOTH",
    "LEFT",
    "RIGHT",
    "AtomSet",
    "Meeting",
    "TargetKind",
    "Unions",
    "UnitAtoms",
    "determined_meetings",
    "determined_sets",
    "form_size",
    "meet",
    "meeting_atoms",
    "meeting_sums",
    "side_rows",
    "side_sums",
    "sums_of",
    "unit_atoms",
    "unit_pairs",
    "widest",
    "width_of",
]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CHUNK = 200_000
_FEWEST = 2
_HALF = 0.5
_DENSE = 4_000_000
BOTH = 0
LEFT = 1
RIGHT = 2
BETWEEN = 3
"""What is in the second part only, less what is in the first only."""


class TargetKind(StrEnum):
    """Which rule named a target."""

    LONE_UNIT = "lone-unit"
    SMALL_SET = "small-set"
    PAIR = "pair-of-units"
    HELD_BACK = "held-back"
    FEW_CONTRIBUTE = "few-contribute"
    DOMINATED = "dominated"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AtomSet:
    """A target: some atoms, added up class by class (`is_joint=False`) or each for itself (`is_joint=True`).

    Every combination of these is a target, or one `form`: of the sum of all atoms (B), or atom by atom (n x B). Atoms
    of a sum may have a `sign` (n): plus or minus one.
    """

    kind: TargetKind
    atoms: Ints
    is_joint: bool
    form: Floats | None = None
    sign: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnitAtoms:
    """Atoms under the threshold: `single` stand alone, each row of a matrix in `joint` holds all atoms of one unit."""

    single: Ints
    is_lone: Bools
    joint: tuple[NDArray[np.int64], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Meeting:
    """Parts of two layers that meet: by pair of parts (`first`, `second`).

    `rows`: in both, in the first only, in the second only; `count`: atoms in both. `atoms`, `place`: atoms in both, and
    which pair each belongs to. `unions`: parts of the first in the second, and of the second in the first.
    """

    first: Ints
    second: Ints
    rows: tuple[Floats, ...]
    count: Ints
    atoms: NDArray[np.int32]
    place: NDArray[np.int32]
    unions: "tuple[Unions, Unions]"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unions:
    """Parts of one layer (`inner`) by the part of another that they are mostly in (`outer`), one entry a part.

    `pair` is the meeting of the two. By outer part, where there are several inner ones: rows in their `union` only, and
    in the outer part only (`rest`); else zero.
    """

    inner: Ints
    outer: Ints
    pair: Ints
    union: Floats
    rest: Floats


def unit_atoms(units: Ints, solo: Ints, min_units: int) -> UnitAtoms:
    """Return the atoms of fewer than `min_units` units, those of one unit together; time O(N log N)."""
    lone = np.flatnonzero(solo >= 0)
    lone = lone[np.argsort(solo[lone], kind="stable")]
    first = np.flatnonzero(np.diff(solo[lone], prepend=-1))
    count = np.diff(first, append=len(lone))
    joint = tuple(
        lone[first[count == size][:, None] + np.arange(size)] for size in np.unique(count[count > 1]).tolist()
    )
    few = np.flatnonzero((solo < 0) & (units < min_units))
    single = np.concatenate((lone[first[count == 1]], few))
    return UnitAtoms(single=single, is_lone=np.arange(len(single)) < len(single) - len(few), joint=joint)


def widest(atoms: UnitAtoms) -> int:
    """Return the largest number of atoms that one target combines: two of a pair, or all of a unit."""
    return max([2, *(int(group.shape[1]) for group in atoms.joint)])


def width_of(frame: Frame, target: AtomSet) -> int:
    """Return how many sums a target has of which any combination must stay free."""
    if target.form is not None:
        return 1
    return frame.free * (len(target.atoms) if target.is_joint else 1)


def sums_of(frame: Frame, values: Floats, target: AtomSet) -> Floats:
    """Return the scaled sums (b, r) of directions over a target; `values` are of the frame's atoms (N, B, r)."""
    if target.form is not None:
        form = np.broadcast_to(target.form, (len(target.atoms), frame.free))
        moved = np.einsum("nb,nbr->r", form, values[target.atoms])
        return np.asarray(moved[None, :] / form_size(frame, target.atoms, target.form))
    if target.sign is not None:
        total = np.einsum("n,nbr->br", target.sign, values[target.atoms])
        return np.asarray(total / np.sqrt(frame.rows[target.atoms].sum()))
    return np.asarray(_sums(frame, values, target.atoms[None, :], is_joint=target.is_joint)[0])


def form_size(frame: Frame, atoms: Ints, form: Floats) -> float:
    """Return the standard deviation of the sum of a form over atoms when nothing is released."""
    squares = (np.broadcast_to(form, (len(atoms), frame.free)) ** 2).sum(axis=1)
    return float(np.sqrt(frame.rows[atoms] @ squares))


def determined_sets(
    frame: Frame,
    values: Floats,
    atoms: UnitAtoms,
    pairs: Sequence[tuple[int, int]],
    meetings: Callable[[int, int], Meeting],
    small_rows: float,
) -> Iterator[AtomSet]:
    """Find the determined targets that are made of atoms.

    `pairs`: layers whose parts are intersected; `meetings` gives the meetings of two (see `meet`). Time O(N B r), and
    again for each pair of layers.
    """
    yield from _singles(frame, values, atoms)
    for group in atoms.joint:
        for found in _flagged(frame, values, group, is_joint=True):
            yield AtomSet(kind=TargetKind.LONE_UNIT, atoms=found, is_joint=True)
    lone = atoms.single[atoms.is_lone]
    for found in unit_pairs(values[lone], lone):
        yield AtomSet(kind=TargetKind.PAIR, atoms=found, is_joint=True)
    yield from _differences(values, atoms.single[~atoms.is_lone])
    few = values[:, :, : max(_FEWEST, frame.free + 1)]
    parts = frame.part_sums(few)
    for one, other in pairs:
        meeting = meetings(one, other)
        small = [(rows > _HALF) & (rows < small_rows) for rows in meeting.rows]
        # A meeting of one atom is a target by itself already.
        small[BOTH] &= meeting.count > 1
        small.append(small[LEFT] & small[RIGHT])
        for side, places in determined_meetings(frame, few, parts, (one, other), meeting, small):
            for place in places:
                yield _small_set(frame, (one, other), meeting, side, place)
        for layers, unions in zip(((one, other), (other, one)), meeting.unions, strict=True):
            yield from _united(frame, few, parts, layers, meeting, unions, small_rows)


def _united(
    frame: Frame,
    values: Floats,
    parts: Floats,
    layers: tuple[int, int],
    meeting: Meeting,
    unions: Unions,
    small_rows: float,
) -> Iterator[AtomSet]:
    """Return small determined differences of a part of the second layer and all parts of the first mostly in it.

    As of a street and its communities, where one of the tables leaves a few firms out.
    """
    sides = {LEFT: unions.union, RIGHT: unions.rest}
    small = {side: (rows > _HALF) & (rows < small_rows) for side, rows in sides.items()}
    wanted = small[LEFT] | small[RIGHT]
    if not wanted.any():
        return
    small[BETWEEN] = small[LEFT] & small[RIGHT]
    chosen, size = np.zeros(len(meeting.first), dtype=bool), len(wanted)
    chosen[unions.pair] = wanted[unions.outer]
    both = _grouped(meeting_sums(values, meeting, chosen)[unions.pair], unions.outer, size)
    first = _grouped(parts[frame.offset[layers[0]] + unions.inner], unions.outer, size)
    second = parts[frame.offset[layers[1]] : frame.offset[layers[1]] + size]
    sums = {LEFT: first - both, RIGHT: second - both, BETWEEN: second - first}
    rows = sides | {BETWEEN: unions.union + unions.rest}
    for side, flags in small.items():
        scaled = np.asarray(sums[side] / np.sqrt(rows[side].clip(_HALF))[:, None, None])
        for place in np.flatnonzero(flags & are_determined(scaled)).tolist():
            in_first = np.isin(frame.layers[layers[0]].codes, unions.inner[unions.outer == place])
            in_second = frame.layers[layers[1]].codes == place
            yield _small_difference(np.flatnonzero(in_second & ~in_first), np.flatnonzero(in_first & ~in_second), side)


def _small_set(frame: Frame, layers: tuple[int, int], meeting: Meeting, side: int, place: int) -> AtomSet:
    if side != BETWEEN:
        atoms = meeting_atoms(frame, layers, meeting, side, place)
        return AtomSet(kind=TargetKind.SMALL_SET, atoms=atoms, is_joint=False)
    right, left = (meeting_atoms(frame, layers, meeting, of, place) for of in (RIGHT, LEFT))
    return _small_difference(right, left, side)


def _small_difference(right: Ints, left: Ints, side: int) -> AtomSet:
    if side != BETWEEN:
        return AtomSet(kind=TargetKind.SMALL_SET, atoms=right if side == RIGHT else left, is_joint=False)
    sign = np.concatenate((np.ones(len(right)), -np.ones(len(left))))
    return AtomSet(kind=TargetKind.SMALL_SET, atoms=np.concatenate((right, left)), is_joint=False, sign=sign)


def _singles(frame: Frame, values: Floats, atoms: UnitAtoms) -> Iterator[AtomSet]:
    for start in range(0, len(atoms.single), _CHUNK):
        chunk = atoms.single[start : start + _CHUNK]
        flags = are_determined(_sums(frame, values, chunk[:, None], is_joint=False))
        for place in np.flatnonzero(flags).tolist():
            kind = TargetKind.LONE_UNIT if atoms.is_lone[start + place] else TargetKind.SMALL_SET
            yield AtomSet(kind=kind, atoms=chunk[place : place + 1], is_joint=False)


def _flagged(frame: Frame, values: Floats, sets: Ints, *, is_joint: bool) -> Ints:
    return np.asarray(sets[are_determined(_sums(frame, values, sets, is_joint=is_joint))])


def _sums(frame: Frame, values: Floats, sets: Ints, *, is_joint: bool) -> Floats:
    """Return scaled sums (n, b, r) over n sets of as many atoms each (n x size)."""
    picked = values[sets]
    if is_joint:
        scaled = picked / np.sqrt(frame.rows[sets])[:, :, None, None]
        return np.asarray(scaled.reshape(len(sets), sets.shape[1] * frame.free, values.shape[2]))
    return np.asarray(picked.sum(axis=1) / np.sqrt(frame.rows[sets].sum(axis=1))[:, None, None])


def unit_pairs(values: Floats, lone: Ints) -> Ints:
    """Return pairs of lone units whose `values` (n, kinds, r) of one kind sum to zero, or are equal, in each direction.

    Sorted by size in the first direction, such a pair stands side by side; time O(N B log N).
    """
    found = [np.zeros((0, 2), dtype=np.int64)]
    for kind in range(values.shape[1]):
        moves = values[:, kind, :]
        order = np.argsort(np.abs(moves[:, 0]), kind="stable")
        ahead, behind = moves[order[1:]], moves[order[:-1]]
        # What is determined by itself is a target of its own.
        is_free = np.abs(ahead).max(axis=1, initial=0) > NEARLY
        same = np.minimum(np.abs(ahead - behind).max(axis=1), np.abs(ahead + behind).max(axis=1)) < NEARLY
        places = np.flatnonzero(same & is_free)
        found.append(np.stack((lone[order[places]], lone[order[places + 1]]), axis=1))
    return np.concatenate(found)


def _differences(values: Floats, few: Ints) -> Iterator[AtomSet]:
    """Return differences of two atoms that are determined, as of what few units had before and have now."""
    for found in unit_pairs(values[few], few):
        one, other = values[found]
        if np.abs(one - other).max(initial=0.0) < NEARLY:
            yield AtomSet(kind=TargetKind.SMALL_SET, atoms=found, is_joint=False, sign=np.array([1.0, -1.0]))


def meet(frame: Frame, one: int, other: int) -> Meeting:
    """Return the meetings of two layers; good as long as atoms stay as they are. Time O(N + parts x parts)."""
    left, right = frame.layers[one], frame.layers[other]
    both = np.flatnonzero((left.codes >= 0) & (right.codes >= 0))
    met = left.codes[both].astype(np.int64) * right.parts + right.codes[both]
    pairs, number = _numbered(met, left.parts * right.parts)
    first, second = np.divmod(pairs, right.parts)
    common: Floats = np.bincount(number, weights=frame.rows[both], minlength=len(pairs)).astype(np.float64)
    in_left, in_right = _rows_of_layer(frame, one), _rows_of_layer(frame, other)
    return Meeting(
        first=first,
        second=second,
        rows=(common, in_left[first] - common, in_right[second] - common),
        count=np.bincount(number, minlength=len(pairs)),
        atoms=both.astype(np.int32),
        place=number.astype(np.int32),
        unions=(_unite(first, second, common, in_left, in_right), _unite(second, first, common, in_right, in_left)),
    )


def _unite(inner: Ints, outer: Ints, common: Floats, in_inner: Floats, in_outer: Floats) -> Unions:
    """Return inner parts by the outer part that they are mostly in; given pairs, their rows, and all parts' rows."""
    order = np.lexsort((-common, inner))
    pair = order[np.flatnonzero(np.diff(inner[order], prepend=-1))]
    size = len(in_outer)
    is_many = np.bincount(outer[pair], minlength=size) > 1
    both = np.bincount(outer[pair], common[pair], size)
    whole = np.bincount(outer[pair], in_inner[inner[pair]], size)
    return Unions(
        inner=inner[pair],
        outer=outer[pair],
        pair=pair,
        union=np.asarray(np.where(is_many, whole - both, 0.0)),
        rest=np.asarray(np.where(is_many, in_outer - both, 0.0)),
    )


def determined_meetings(
    frame: Frame,
    values: Floats,
    parts: Floats,
    layers: tuple[int, int],
    meeting: Meeting,
    wanted: Sequence[Bools],
) -> Iterator[tuple[int, list[int]]]:
    """Return, by side (both, left, right, between), which wanted meetings have some combination that is determined.

    `parts`: the sums of `values` by public part.
    """
    chosen = wanted[BOTH] | wanted[LEFT] | wanted[RIGHT]
    if not chosen.any():
        return
    sums = meeting_sums(values, meeting, chosen)
    for side, flags in enumerate(wanted):
        places = np.flatnonzero(flags)
        rows = side_rows(meeting, side)[places]
        moved = side_sums(frame, parts, layers, meeting, side, places, sums[places])
        yield side, places[are_determined(np.asarray(moved / np.sqrt(rows)[:, None, None]))].tolist()


def meeting_sums(values: Floats, meeting: Meeting, chosen: Bools) -> Floats:
    """Return the sums of directions over what is in both parts of chosen pairs (pairs, B, r), zero for the others."""
    inside = chosen[meeting.place]
    return _grouped(values[meeting.atoms[inside]], meeting.place[inside], len(meeting.first))


def side_sums(
    frame: Frame, parts: Floats, layers: tuple[int, int], meeting: Meeting, side: int, places: Ints, both: Floats
) -> Floats:
    """Return the sums over one side of some meetings, from those over what is in both parts."""
    if side == BOTH:
        return both
    if side == BETWEEN:
        first, second = (
            frame.offset[layers[0]] + meeting.first[places],
            frame.offset[layers[1]] + meeting.second[places],
        )
        return np.asarray(parts[second] - parts[first])
    at, codes = (layers[0], meeting.first) if side == LEFT else (layers[1], meeting.second)
    return np.asarray(parts[frame.offset[at] + codes[places]] - both)


def side_rows(meeting: Meeting, side: int) -> Floats:
    """Return the rows of one side of all meetings."""
    return meeting.rows[LEFT] + meeting.rows[RIGHT] if side == BETWEEN else meeting.rows[side]


def meeting_atoms(frame: Frame, layers: tuple[int, int], meeting: Meeting, side: int, place: int) -> Ints:
    """Return the atoms of one side of a meeting."""
    in_left = frame.layers[layers[0]].codes == meeting.first[place]
    in_right = frame.layers[layers[1]].codes == meeting.second[place]
    return np.flatnonzero((in_left if side != RIGHT else ~in_left) & (in_right if side != LEFT else ~in_right))


def _numbered(codes: Ints, limit: int) -> tuple[Ints, Ints]:
    """Return the distinct codes below `limit`, and the number of each code among them."""
    if limit > _DENSE:
        distinct, number = np.unique(codes, return_inverse=True)
        return distinct, np.asarray(number)
    seen = np.zeros(limit, dtype=bool)
    seen[codes] = True
    return np.flatnonzero(seen), (np.cumsum(seen) - 1)[codes]


def _rows_of_layer(frame: Frame, layer: int) -> Floats:
    return np.asarray(frame.part_rows[frame.offset[layer] : frame.offset[layer + 1]])


def _grouped(values: Floats, number: NDArray[np.int32] | Ints, count: int) -> Floats:
    flat = values.reshape(len(values), values.shape[1] * values.shape[2])
    sums = [np.bincount(number, weights=flat[:, column], minlength=count) for column in range(flat.shape[1])]
    return np.stack(sums, axis=1).astype(np.float64).reshape(count, *values.shape[1:])
