"""Which cells of a new table to hold back, so that no named target is determined that was not before.

Seen from the new cells, what old answers leave of a target is a vector; a direction in which the target moves moves
some new cells too, and those must go. Directions that move few cells and small ones are found for many targets at once
(see `_cells_to_drop`); then cells are given back, by halves, while nothing gets determined. Dropping only ever
removes equations, so that the targets determined with everything released are all there is to watch.

Deterministic, bounded, and without a look at any confidential value.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from sandbox.disclosure.history.system import DEPENDENT, Factor, Frame, Rows, forward, gram, independent, joined
from sandbox.disclosure.history.targets import AtomSet, form_size, sums_of, width_of
from sandbox.disclosure.history.worlds import NEARLY, are_determined

__all__ = ["Choice", "NewRows", "Watch", "choose"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BATCH = 64
_REWEIGHTINGS = 9
_MOVES = 1e-4
_LEAST_REACH = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NewRows:
    """A proposal's candidate rows against the released ones: Schur complement and coupling (see `system.Factor`)."""

    old: Rows
    lower: Floats
    new: Rows
    coupling: Floats
    schur: Floats

    def factor(self, released: Ints) -> tuple[Ints, Factor]:
        """Return which of the released new rows are independent, and the factor of old rows and those."""
        kept, tail = independent(self.schur, released)
        coupling = np.asfortranarray(self.coupling[:, kept])
        return kept, Factor(lower=self.lower, coupling=coupling, tail=tail)

    def basis(self, kept: Ints) -> Rows:
        """Return the old rows and the kept new ones."""
        extra = self.new.take(kept)
        return Rows(
            part=np.concatenate((self.old.part, extra.part)),
            secret=np.concatenate((self.old.secret, extra.secret)),
            scale=np.concatenate((self.old.scale, extra.scale)),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Watch:
    """Targets to watch: `sets` of atoms, and `held` values (rows of equations, scaled)."""

    sets: Sequence[AtomSet]
    held: Rows

    def __len__(self) -> int:
        return len(self.sets) + len(self.held)

    def take(self, flags: Bools) -> "Watch":
        """Return the flagged targets."""
        sets = [one for one, flag in zip(self.sets, flags, strict=False) if flag]
        return Watch(sets=sets, held=self.held.take(flags[len(self.sets) :]))

    def joined(self, other: "Watch") -> "Watch":
        """Return the targets of both, each once."""
        return Watch(sets=[*self.sets, *other.sets], held=joined([self.held, other.held])).distinct()

    def distinct(self) -> "Watch":
        """Return every target once."""
        sets: dict[object, AtomSet] = {}
        for one in self.sets:
            sets.setdefault(_name_of(one), one)
        rows = np.stack((self.held.part, self.held.secret), axis=1)
        _, first = np.unique(rows, axis=0, return_index=True)
        return Watch(sets=list(sets.values()), held=self.held.take(np.sort(first)))

    def seen_by(self, frame: Frame, values: Floats) -> list[Floats]:
        """Return the scaled sums of directions (N, B, r) over each target (b, r)."""
        held = frame.apply(self.held, values)
        return [*(sums_of(frame, values, one) for one in self.sets), *(row[None] for row in held)]

    def width(self, frame: Frame) -> int:
        """Return the largest number of sums of a target of which any combination must stay free."""
        return max([1, *(width_of(frame, one) for one in self.sets)])


def _name_of(target: AtomSet) -> tuple[bool, bytes, bytes, bytes]:
    order = np.argsort(target.atoms, kind="stable")
    form, sign = target.form, target.sign
    by_atom = form is not None and form.ndim > 1
    return (
        target.is_joint,
        target.atoms[order].tobytes(),
        b"" if form is None else (form[order] if by_atom else form).tobytes(),
        b"" if sign is None else sign[order].tobytes(),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """Which new rows stay released, in how many rounds, and whether all watched targets got free."""

    released: Ints
    rounds: int
    is_enough: bool


def choose(
    frame: Frame,
    starts: Iterable[Floats],
    rows: NewRows,
    candidates: Ints,
    watch: Watch,
    *,
    rounds: int,
    give_back: int,
) -> Choice:
    """Drop new rows until no watched target is determined, then give back what can be.

    `starts`: directions in the null space of the old rows (N, B, r), a few at a time. Time a round: O(n^3 / 3 +
    (m + n)^2 k), k targets; atoms of targets only are looked at.
    """
    probe = _Probe(frame, starts, rows, watch)
    released, left, turn = candidates, np.ones(len(watch), dtype=bool), 0
    dropped: list[int] = []
    left &= probe.determined(released)
    while left.any() and turn < rounds and len(released):
        going = _cells_to_drop(rows, released, probe, np.flatnonzero(left))
        if not len(going):
            break
        dropped += going.tolist()
        released = np.setdiff1d(released, going)
        left &= probe.determined(released)
        turn += 1
    if left.any():
        nothing = released[:0]
        return Choice(released=nothing, rounds=turn, is_enough=not probe.determined(nothing).any())
    return Choice(released=_give_back(rows, probe, released, dropped, give_back), rounds=turn, is_enough=True)


def _cells_to_drop(rows: NewRows, released: Ints, probe: "_Probe", targets: Ints) -> Ints:
    """Return released new rows without which the first few targets can move: few of them, and small ones.

    Each row resists movement with a weight; rows that move in the least costly directions are made to resist less, the
    others more (iteratively reweighted least squares, towards the fewest moving rows for all targets together).
    """
    forms, size = probe.seen_from_new(targets[:_BATCH])
    forms = forms[released]
    block = rows.schur[np.ix_(released, released)]
    # Public rows in the cell: what its loss costs. Logarithmic, so that one large cell may save many small ones.
    cost = 1 + np.log2(1 + 1 / rows.new.scale[released] ** 2)
    slack = np.ones(len(released)) / cost
    moves = np.zeros(len(released))
    for turn in range(_REWEIGHTINGS):
        factor = cho_factor(block + np.diag(slack), lower=True, check_finite=False)
        answer = cho_solve(factor, forms, check_finite=False)
        reach = np.maximum(size - (forms * answer).sum(axis=0), _LEAST_REACH)
        moves = (((slack[:, None] * answer) / reach) ** 2).sum(axis=1)
        slack = (moves + 10.0 ** (-turn)) / cost
        slack /= slack.max()
    return np.asarray(released[(moves > 0) & (moves > _MOVES * moves.max(initial=0))])


def _give_back(rows: NewRows, probe: "_Probe", released: Ints, dropped: Sequence[int], tries: int) -> Ints:
    """Release again what follows from the rest anyway, then, largest first, what determines nothing."""
    for one in _implied(rows, released, dropped):
        released = np.union1d(released, [one])
    waiting = sorted(set(dropped) - set(released.tolist()), key=lambda one: (rows.new.scale[one], one))
    lots = [waiting]
    while lots and tries:
        lot, tries = lots.pop(), tries - 1
        more = np.union1d(released, lot)
        if not lot or not probe.determined(more).any():
            released = more
        elif len(lot) > 1:
            # All at once where that can be, else by halves, the larger cells first.
            lots += [lot[len(lot) // 2 :], lot[: len(lot) // 2]]
    return released


def _implied(rows: NewRows, released: Ints, dropped: Sequence[int]) -> Ints:
    index = np.array(sorted(dropped), dtype=np.int64)
    if not len(released):
        return index[:0]
    kept, factor = rows.factor(released)
    explained = (forward(factor.tail, rows.schur[np.ix_(kept, index)]) ** 2).sum(axis=0)
    return np.asarray(index[np.diag(rows.schur)[index] - explained < DEPENDENT])


class _Probe:
    """Answers which watched targets some released new rows determine, by looking at the targets' atoms only."""

    def __init__(self, frame: Frame, starts: Iterable[Floats], rows: NewRows, watch: Watch) -> None:
        self._rows, self._watch = rows, watch
        atoms = [one.atoms for one in watch.sets]
        self._inside = np.unique(np.concatenate(atoms)) if atoms else np.zeros(0, dtype=np.int64)
        self._whole, self._frame = frame, frame.restricted(self._inside)
        places = [np.searchsorted(self._inside, one.atoms) for one in watch.sets]
        self._sets = [replace(one, atoms=place) for one, place in zip(watch.sets, places, strict=True)]
        seen = [
            (one[self._inside], *(frame.apply(of, one) for of in (rows.old, rows.new, watch.held))) for one in starts
        ]
        self._start, self._old_sums, self._new_sums, self._held_sums = (
            np.concatenate(parts, axis=-1) for parts in zip(*seen, strict=True)
        )
        self._values = self._start
        self._held_old = gram(frame, rows.old, watch.held)
        self._held_new = gram(frame, rows.new, watch.held)

    def determined(self, released: Ints) -> Bools:
        """Tell which watched targets are determined when these new rows are released."""
        sums, values = self._moves(*self._rows.factor(released))
        self._values = values
        held = np.abs(sums).max(axis=1, initial=0) < NEARLY
        sets = [bool(are_determined(sums_of(self._frame, values, one)[None])[0]) for one in self._sets]
        return np.concatenate((np.array(sets, dtype=bool), held))

    def seen_from_new(self, targets: Ints) -> tuple[Floats, Floats]:
        """Return what old rows leave of some targets: their products with the new rows (n x k), and their squares (k).

        Of a target with several determined combinations, one that moves least is taken.
        """
        held = self._watch.held.take(targets[targets >= len(self._sets)] - len(self._sets))
        old, new = [gram(self._whole, self._rows.old, held)], [gram(self._whole, self._rows.new, held)]
        size = [np.ones(len(held))]
        sets = [self._sets[place] for place in targets if place < len(self._sets)]
        if sets:
            forms = np.stack([_form(self._frame, self._values, one) for one in sets], axis=2)
            moved = self._frame.weighted(forms)
            old.append(self._frame.apply(self._rows.old, moved))
            new.append(self._frame.apply(self._rows.new, moved))
            size.append(np.einsum("nvk,nvk->k", forms, moved))
        head = forward(self._rows.lower, np.concatenate(old, axis=1))
        left = np.concatenate(new, axis=1) - self._rows.coupling.T @ head
        return left, np.concatenate(size) - (head**2).sum(axis=0)

    def _moves(self, kept: Ints, factor: Factor) -> tuple[Floats, Floats]:
        """Return what directions that give all released rows do to held values, and to the targets' atoms."""
        weights = factor.solve(np.concatenate((self._old_sums, self._new_sums[kept])))
        sums = self._held_sums - np.concatenate((self._held_old, self._held_new[kept])).T @ weights
        if not len(self._inside):
            return sums, self._start
        return sums, self._start - self._frame.adjoint(self._rows.basis(kept), weights)


def _form(frame: Frame, values: Floats, target: AtomSet) -> Floats:
    """Return the combination of a target's variables that moves least, as a linear form over variables (N, B)."""
    rows = frame.rows[target.atoms]
    form = np.zeros((frame.atoms, frame.free))
    if target.form is not None:
        form[target.atoms] = target.form / form_size(frame, target.atoms, target.form)
        return form
    sums = sums_of(frame, values, target)
    least = np.linalg.eigh(sums @ sums.T)[1][:, 0]
    if target.is_joint:
        form[target.atoms] = least.reshape(len(rows), frame.free) / np.sqrt(rows)[:, None]
    else:
        form[target.atoms] = least / np.sqrt(rows.sum())
    return form
