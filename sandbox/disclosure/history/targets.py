"""Named targets: which sets must not be determined (finding the smallest determined set of all is NP-hard).

- every unit that is alone in atoms, and every linear combination over its atoms and their confidential blocks;
- every atom of fewer than t units, every combination over its blocks;
- every value that rules hold back, in any answer, the new one's own included (that is secondary suppression);
- intersections and differences of the parts of two layers with fewer than t units, every combination over blocks;
- pairs of lone units, every combination of the two.

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
    "AtomSet",
    "Meeting",
    "TargetKind",
    "UnitAtoms",
    "determined_sets",
    "free_blocks",
    "meet",
    "sums_of",
    "unit_atoms",
    "widest",
]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CHUNK = 200_000
_FEWEST = 2
_HALF = 0.5
_DENSE = 4_000_000
_BOTH, _LEFT, _RIGHT = 0, 1, 2


class TargetKind(StrEnum):
    """Which rule named a target."""

    LONE_UNIT = "lone-unit"
    SMALL_SET = "small-set"
    PAIR = "pair-of-units"
    HELD_BACK = "held-back"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AtomSet:
    """A target: some atoms, added up block by block (`is_joint=False`) or each for itself (`is_joint=True`)."""

    kind: TargetKind
    atoms: Ints
    is_joint: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnitAtoms:
    """Atoms under the threshold: `single` stand alone, each row of a matrix in `joint` holds all atoms of one unit."""

    single: Ints
    is_lone: Bools
    joint: tuple[NDArray[np.int64], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Meeting:
    """Parts of two layers that meet, where that leaves a small set: by pair of parts.

    `sizes`: rows in both, in the first only, in the second only; `small`: places where each of these is small.
    `atoms`, `place`: atoms in both, and which pair each belongs to.
    """

    first: Ints
    second: Ints
    sizes: tuple[Floats, ...]
    small: tuple[Ints, ...]
    atoms: NDArray[np.int32]
    place: NDArray[np.int32]


def unit_atoms(units: Ints, solo: Ints, min_units: int) -> UnitAtoms:
    """Return the atoms of fewer than `min_units` units, those of one unit together; time O(N log N)."""
    lone = np.flatnonzero(solo >= 0)
    lone = lone[np.argsort(solo[lone], kind="stable")]
    _, first, count = np.unique(solo[lone], return_index=True, return_counts=True)
    joint = tuple(
        lone[first[count == size][:, None] + np.arange(size)] for size in np.unique(count[count > 1]).tolist()
    )
    few = np.flatnonzero((solo < 0) & (units < min_units))
    single = np.concatenate((lone[first[count == 1]], few))
    return UnitAtoms(single=single, is_lone=np.arange(len(single)) < len(single) - len(few), joint=joint)


def free_blocks(frame: Frame) -> int:
    """Return how many blocks of an atom can vary freely: one less where their sum is public."""
    return len(frame.blocks.mu) - int(frame.is_centred)


def widest(frame: Frame, atoms: UnitAtoms) -> int:
    """Return the largest number of variables that one target combines: two atoms of a pair, or all of a unit."""
    return free_blocks(frame) * max([2, *(int(group.shape[1]) for group in atoms.joint)])


def sums_of(frame: Frame, values: Floats, target: AtomSet) -> Floats:
    """Return the scaled sums (b, r) of directions over a target; `values` are of the frame's atoms (N, V, r)."""
    return np.asarray(_sums(frame, values, target.atoms[None, :], is_joint=target.is_joint)[0])


def determined_sets(
    frame: Frame,
    values: Floats,
    atoms: UnitAtoms,
    pairs: Sequence[tuple[int, int]],
    meetings: Callable[[int, int], Meeting | None],
) -> Iterator[AtomSet]:
    """Find the determined targets that are made of atoms.

    `pairs`: layers whose parts are intersected; `meetings` gives the small meetings of two (see `meet`). Time O(N V r),
    and again for each pair of layers.
    """
    yield from _singles(frame, values, atoms)
    for group in atoms.joint:
        for found in _flagged(frame, values, group, is_joint=True):
            yield AtomSet(kind=TargetKind.LONE_UNIT, atoms=found, is_joint=True)
    for found in _unit_pairs(frame, values, atoms):
        yield AtomSet(kind=TargetKind.PAIR, atoms=found, is_joint=True)
    few = values[:, :, : max(_FEWEST, free_blocks(frame) + 1)]
    parts = frame.part_sums(few)
    for one, other in pairs:
        meeting = meetings(one, other)
        for found in () if meeting is None else _determined_meetings(frame, few, parts, (one, other), meeting):
            yield AtomSet(kind=TargetKind.SMALL_SET, atoms=found, is_joint=False)


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
    free = free_blocks(frame)
    picked = values[sets][:, :, :free, :]
    share = np.sqrt(frame.blocks.mu[:free])
    if is_joint:
        scale = np.sqrt(frame.rows[sets])[:, :, None] * share
        return np.asarray((picked / scale[..., None]).reshape(len(sets), sets.shape[1] * free, -1))
    return np.asarray(picked.sum(axis=1) / _scale(np.asarray(frame.rows[sets].sum(axis=1)), share))


def _scale(rows: Floats, share: Floats) -> Floats:
    return np.asarray((np.sqrt(rows)[:, None] * share)[:, :, None])


def _unit_pairs(frame: Frame, values: Floats, atoms: UnitAtoms) -> Ints:
    """Return pairs of lone units whose variables of one block sum to zero, or are equal, in every direction.

    Sorted by size in the first direction, such a pair stands side by side; time O(N V log N).
    """
    lone = atoms.single[atoms.is_lone]
    found = [np.zeros((0, 2), dtype=np.int64)]
    for block in range(free_blocks(frame)):
        moves = values[lone, block, :] / np.sqrt(frame.blocks.mu[block])
        order = np.argsort(np.abs(moves[:, 0]), kind="stable")
        ahead, behind = moves[order[1:]], moves[order[:-1]]
        # What is determined by itself is a target of its own.
        is_free = np.abs(ahead).max(axis=1, initial=0) > NEARLY
        same = np.minimum(np.abs(ahead - behind).max(axis=1), np.abs(ahead + behind).max(axis=1)) < NEARLY
        places = np.flatnonzero(same & is_free)
        found.append(np.stack((lone[order[places]], lone[order[places + 1]]), axis=1))
    return np.concatenate(found)


def meet(frame: Frame, one: int, other: int, small_rows: float) -> Meeting | None:
    """Return the small meetings of two layers; good as long as atoms stay as they are. Time O(N + parts x parts)."""
    left, right = frame.layers[one], frame.layers[other]
    both = np.flatnonzero((left.codes >= 0) & (right.codes >= 0))
    met = left.codes[both].astype(np.int64) * right.parts + right.codes[both]
    pairs, number = _numbered(met, left.parts * right.parts)
    first, second = np.divmod(pairs, right.parts)
    common: Floats = np.bincount(number, weights=frame.rows[both], minlength=len(pairs)).astype(np.float64)
    sizes = (common, _rows_of_layer(frame, one)[first] - common, _rows_of_layer(frame, other)[second] - common)
    small = [(size > _HALF) & (size < small_rows) for size in sizes]
    # A meeting of one atom is a target by itself already.
    small[_BOTH] &= np.bincount(number, minlength=len(pairs)) > 1
    wanted = small[_BOTH] | small[_LEFT] | small[_RIGHT]
    if not wanted.any():
        return None
    place = np.where(wanted, np.cumsum(wanted) - 1, -1)[number]
    return Meeting(
        first=first[wanted],
        second=second[wanted],
        sizes=tuple(size[wanted] for size in sizes),
        small=tuple(np.flatnonzero(flags[wanted]) for flags in small),
        atoms=both[place >= 0].astype(np.int32),
        place=place[place >= 0].astype(np.int32),
    )


def _determined_meetings(
    frame: Frame, values: Floats, parts: Floats, layers: tuple[int, int], meeting: Meeting
) -> Iterator[Ints]:
    left, right = (frame.layers[at] for at in layers)
    whole = [parts[frame.offset[at] : frame.offset[at + 1]] for at in layers]
    sums = _grouped(values[meeting.atoms], meeting.place, len(meeting.first))
    for side, chosen in enumerate(meeting.small):
        first, second, moved = meeting.first[chosen], meeting.second[chosen], sums[chosen]
        if side != _BOTH:
            moved = (whole[0][first] if side == _LEFT else whole[1][second]) - moved
        flags = are_determined(_scaled(frame, moved, meeting.sizes[side][chosen]))
        for at in np.flatnonzero(flags).tolist():
            in_left, in_right = left.codes == first[at], right.codes == second[at]
            yield np.flatnonzero((in_left if side != _RIGHT else ~in_left) & (in_right if side != _LEFT else ~in_right))


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


def _scaled(frame: Frame, sums: Floats, rows: Floats) -> Floats:
    free = free_blocks(frame)
    return np.asarray(sums[:, :free, :] / _scale(rows, np.sqrt(frame.blocks.mu[:free])))


def _grouped(values: Floats, number: NDArray[np.int32], count: int) -> Floats:
    flat = values.reshape(len(values), -1)
    sums = [np.bincount(number, weights=flat[:, column], minlength=count) for column in range(flat.shape[1])]
    return np.stack(sums, axis=1).astype(np.float64).reshape(count, *values.shape[1:])
