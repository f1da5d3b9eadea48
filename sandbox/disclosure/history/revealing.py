"""Determined sets in which too few units contribute, or which one of them dominates.

Looked at are single atoms, and intersections and differences of a new layer's parts with every layer's, each with every
set of confidential classes that the two layers use, with what such sets have in common and do not, and (where totals
are public) with the rest; and differences of cells with something left on both sides. Which of these are determined is
found first, from directions; only those are judged.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from policies.disclosure import Zeros
from sandbox.disclosure.history.contributing import (
    ClassSet,
    Contributing,
    Doubtful,
    Figures,
    Verdicts,
    judge_largest,
    judge_quickly,
)
from sandbox.disclosure.history.partition import Blocks, SecretSet
from sandbox.disclosure.history.scopes import Versioned
from sandbox.disclosure.history.system import Frame
from sandbox.disclosure.history.targets import (
    BOTH,
    LEFT,
    RIGHT,
    AtomSet,
    Meeting,
    TargetKind,
    meeting_atoms,
    meeting_sums,
    side_sums,
)
from sandbox.disclosure.history.worlds import NEARLY
from yingbi.errors import ErrorCode, RefusedError

__all__ = ["Told", "revealing_sets"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_HALF = 0.5
_MOST_CLASS_SETS = 4096


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Told:
    """What answers tell, and what it is judged by.

    `before`, `after`: directions (N, B, r) that keep old cells, and new ones too; `flat`: directions (N, 1, r) that
    keep all public parts. `sets`: sets of classes that each layer uses; `released`: cells that come out, by the name of
    the part (`canonical`) and the number of the set: they have passed these rules. `most`: bound on targets.
    `has_versions`: answers are about several versions of some data set.
    """

    frame: Frame
    blocks: Blocks
    columns: Sequence[Versioned]
    before: Floats
    after: Floats
    flat: Floats
    sets: Mapping[int, Sequence[SecretSet]]
    released: frozenset[tuple[int, int]]
    canonical: Ints
    verdicts: Verdicts
    contributing: Contributing
    most: int
    has_versions: bool


def revealing_sets(
    told: Told, pairs: Sequence[tuple[int, int]], meetings: Callable[[int, int], Meeting]
) -> Iterator[AtomSet]:
    """Return the targets among determined sets; time O(N B r) a pair of layers, and a look at what contributes.

    Raises:
        RefusedError: a stated bound is reached (`history-limit`).
    """
    doubtful: list[_Found] = []
    count = 0
    for one in _found(told, pairs, meetings):
        if not one.is_certain:
            doubtful.append(one)
            continue
        count += 1
        if count > told.most:
            raise _at_bound(f"at most {told.most} sets to which nobody contributes")
        yield one.target(TargetKind.FEW_CONTRIBUTE)
    found = told.contributing.largest([one.doubtful for one in doubtful])
    for one, largest in zip(doubtful, found, strict=True):
        few, dominated = judge_largest(largest, told.verdicts)
        if few or dominated:
            yield one.target(TargetKind.FEW_CONTRIBUTE if few else TargetKind.DOMINATED)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Found:
    """A determined set that fails, or may."""

    doubtful: Doubtful
    atoms: Ints
    form: Floats
    is_certain: bool

    def target(self, kind: TargetKind) -> AtomSet:
        return AtomSet(kind=kind, atoms=self.atoms, is_joint=False, form=self.form)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Batch:
    """Sets of atoms: rows, sums of directions (n, B, r), figures of what contributes, and their atoms.

    `parts`: of each set that is a whole part, that part's name, elsewhere -1.
    """

    rows: Floats
    before: Floats
    after: Floats
    parts: Ints
    figures: Callable[[Figures], Figures]
    atoms: Callable[[int], Ints]


def _found(told: Told, pairs: Sequence[tuple[int, int]], meetings: Callable[[int, int], Meeting]) -> Iterator[_Found]:
    every = sorted({one for sets in told.sets.values() for one in sets})
    yield from _judged(told, _atoms_batch(told), _ClassSets(told, every, ()))
    parts, flat_parts = [told.frame.part_sums(one) for one in (told.before, told.after)], _flat_parts(told)
    known: dict[tuple[tuple[SecretSet, ...], tuple[SecretSet, ...]], _ClassSets] = {}
    for one, other in pairs:
        name = (tuple(sorted(set(told.sets[one]))), tuple(sorted(set(told.sets[other]))))
        if not any(name):
            continue
        if name not in known:
            known[name] = _ClassSets(told, *name)
        meeting = meetings(one, other)
        for batch in _batches(told, (one, other), meeting, parts, flat_parts):
            yield from _judged(told, batch, known[name])
        if told.frame.free > 1 and one != other:
            for side in (LEFT, RIGHT):
                yield from _uneven(told, (one, other), meeting, side, parts, known[name].columns)
        yield from _between(told, (one, other), meeting, parts, known[name].columns)


class _ClassSets:
    """Sets of classes to judge by: those in use, and what two of them have in common and do not."""

    def __init__(self, told: Told, one: Sequence[SecretSet], other: Sequence[SecretSet]) -> None:
        used = sorted({*one, *other})
        if len(one) * len(other) > _MOST_CLASS_SETS:
            raise _at_bound(f"at most {_MOST_CLASS_SETS} pairs of sets of confidential classes")
        full = tuple(bytes([1]) * count for count in told.blocks.classes)
        places = [place for place, whole in enumerate(full) if any(mine[place] != whole for mine in used)]
        self.columns = tuple(told.columns[place] for place in places)
        made = dict.fromkeys(used)
        for left, right in product(one, other):
            made[_common(left, right)] = None
        plain = list(made)
        forms, is_made = told.blocks.forms_of(plain)
        place = {one: number for number, one in enumerate(plain)}
        self.names: list[ClassSet] = [ClassSet(plus=one) for one in plain]
        self.forms = [forms[number] for number in range(len(plain))]
        usable = list(is_made)
        for left, right in product(one, other):
            both = place[_common(left, right)]
            for whole, part in ((left, right), (right, left)):
                if both != place[whole]:
                    self.names.append(ClassSet(plus=whole, minus=part))
                    self.forms.append(forms[place[whole]] - forms[both])
                    usable.append(bool(is_made[both]))
        if told.blocks.is_centred:
            for number in range(len(self.names)):
                self.names.append(ClassSet(plus=self.names[number].plus, minus=self.names[number].minus, is_rest=True))
                self.forms.append(self.forms[number])
                usable.append(usable[number])
        size = [float(np.sqrt(form @ form)) for form in self.forms]
        kept = [number for number in range(len(self.names)) if usable[number] and size[number] > NEARLY]
        self.names, self.forms = [self.names[number] for number in kept], [self.forms[number] for number in kept]
        self.matrix = np.array([self.forms[at] / size[number] for at, number in enumerate(kept)])
        self.matrix = self.matrix.reshape(len(kept), told.frame.free)
        # A released cell has passed the rules; what it leaves over, or differs by from another, has not.
        is_cell = [one.minus is None and not one.is_rest for one in self.names]
        numbers = told.blocks.number
        self.number = [numbers.get(one.plus, -1) if flag else -1 for one, flag in zip(self.names, is_cell, strict=True)]


def _at_bound(what: str) -> RefusedError:
    return RefusedError(
        ErrorCode.HISTORY_LIMIT, f"expected {what} in one history", hint="ask with fewer confidential columns"
    )


def _common(one: SecretSet, other: SecretSet) -> SecretSet:
    both = zip(one, other, strict=True)
    return tuple((np.frombuffer(left, dtype=bool) & np.frombuffer(right, dtype=bool)).tobytes() for left, right in both)


def _judged(told: Told, batch: _Batch | None, sets: _ClassSets) -> Iterator[_Found]:
    """Return the sets of a batch that are determined now, were not before, and fail or may."""
    if batch is None or not sets.names or not len(batch.rows):
        return
    scale = np.sqrt(batch.rows)[:, None]
    now, then = (
        np.abs(np.einsum("cb,nbr->ncr", sets.matrix, one)).max(axis=2, initial=0.0) < NEARLY * scale
        for one in (batch.after, batch.before)
    )
    fresh = now & ~then
    for at in np.flatnonzero(fresh.any(axis=0)).tolist():
        classes, number = sets.names[at], sets.number[at]
        chosen = [
            place
            for place in np.flatnonzero(fresh[:, at]).tolist()
            if (int(batch.parts[place]), number) not in told.released
        ]
        if not chosen or not (sets.columns or told.verdicts.are_totals):
            continue
        by_atom = told.contributing.figures(sets.columns, classes)
        figures = batch.figures(by_atom)
        # Nobody in all the data set is of such classes, or everybody is: no news of these.
        is_zero_told = not sets.columns or not by_atom.rows.any()
        judged = judge_quickly(figures, told.verdicts, is_zero_told=is_zero_told)
        for place in chosen:
            if not (judged.few[place] or judged.uncounted[place] or judged.unweighed[place]):
                continue
            total = None if judged.uncounted[place] else float(figures.absolute[place])
            atoms = batch.atoms(place)
            doubtful = Doubtful(pieces=((atoms, classes),), columns=sets.columns, total=total)
            yield _Found(doubtful=doubtful, atoms=atoms, form=sets.forms[at], is_certain=bool(judged.few[place]))


def _uneven(
    told: Told,
    layers: tuple[int, int],
    meeting: Meeting,
    side: int,
    parts: Sequence[Floats],
    columns: tuple[Versioned, ...],
) -> Iterator[_Found]:
    """Return differences of two cells that differ in public part and classes: no part times a set of classes.

    Of a cell P x S and another one Q x T there is left (P - Q) x S and (P and Q) x (S - T); determined when P x S is,
    and what the two have in common.
    """
    frame, at = told.frame, layers[side - 1]
    codes = meeting.first if side == LEFT else meeting.second
    is_cut = meeting.rows[side] > _HALF
    every = np.ones(len(codes), dtype=bool)
    if not is_cut.any():
        return
    both = [meeting_sums(one, meeting, every) for one in (told.before, told.after)]
    whole = [of_parts[frame.offset[at] + codes] for of_parts in parts]
    own, others = told.sets[at], told.sets[layers[2 - side]]
    for mine, theirs in product(own, others):
        common = _common(mine, theirs)
        if common == mine or not all(any(mask) for mask in common):
            continue
        forms, is_made = told.blocks.forms_of([mine, common])
        if not is_made.all():
            continue
        then, now = (
            _is_still(of_whole, forms[0], meeting.rows[BOTH] + meeting.rows[side])
            & _is_still(of_both, forms[1], meeting.rows[BOTH])
            for of_whole, of_both in zip(whole, both, strict=True)
        )
        places = np.flatnonzero(now & ~then & is_cut)
        if len(places):
            yield from _judged_uneven(told, layers, meeting, side, places, (mine, common, forms), columns)


def _between(
    told: Told, layers: tuple[int, int], meeting: Meeting, parts: Sequence[Floats], columns: tuple[Versioned, ...]
) -> Iterator[_Found]:
    """Return differences of two cells P x S and Q x T with something left on both sides: what changed, came and went.

    (Q - P) x T, and (P and Q) x (T - S), less (P - Q) x S, less (P and Q) x (S - T).
    """
    frame, rows = told.frame, meeting.rows
    codes = (frame.offset[layers[0]] + meeting.first, frame.offset[layers[1]] + meeting.second)
    is_one_sided = (rows[LEFT] < _HALF) | (rows[RIGHT] < _HALF)
    every = rows[BOTH] + rows[LEFT] + rows[RIGHT]
    for mine, theirs in product(told.sets[layers[0]], told.sets[layers[1]]):
        # The same classes and nothing left on one side: a difference of two parts, which is looked at already.
        is_wanted = ~is_one_sided if mine == theirs else np.ones(len(every), dtype=bool)
        forms, is_made = told.blocks.forms_of([mine, theirs])
        if not is_made.all():
            continue
        size = float(np.sqrt(max(forms[0] @ forms[0], forms[1] @ forms[1])))
        then, now = (
            np.abs(
                np.einsum("b,nbr->nr", forms[1], of_parts[codes[1]])
                - np.einsum("b,nbr->nr", forms[0], of_parts[codes[0]])
            ).max(axis=1, initial=0.0)
            <= NEARLY * size * np.sqrt(every)
            for of_parts in parts
        )
        places = np.flatnonzero(now & ~then & is_wanted)
        if len(places) and size > NEARLY:
            yield from _judged_between(told, layers, meeting, places, (mine, theirs, forms), columns)


def _judged_between(
    told: Told,
    layers: tuple[int, int],
    meeting: Meeting,
    places: Ints,
    sets: tuple[SecretSet, SecretSet, Floats],
    columns: tuple[Versioned, ...],
) -> Iterator[_Found]:
    mine, theirs, forms = sets
    common = _common(mine, theirs)
    moved = [ClassSet(plus=one, minus=common) for one in (theirs, mine) if one != common]
    variants = [(ClassSet(plus=theirs), ClassSet(plus=mine))]
    if told.blocks.is_centred:
        variants.append((replace(variants[0][0], is_rest=True), replace(variants[0][1], is_rest=True)))
    shared = told.contributing.figures(columns, ClassSet(plus=common))
    cancelled = _side_figures(told.frame, layers, meeting, BOTH, places)(shared).absolute
    for came, went in variants:
        pieces = [(RIGHT, came), (LEFT, went), *((BOTH, one) for one in moved)]
        figures, least = _figures_between(told, layers, meeting, places, pieces, columns)
        judged = judge_quickly(figures, told.verdicts, is_zero_told=True)
        # Both cells have passed p %; they still do together while less cancels out than is left on either side.
        is_narrow = cancelled > least
        is_left = (meeting.rows[LEFT] + meeting.rows[RIGHT])[places] > _HALF
        is_refused = told.verdicts.rules.zeros is Zeros.REFUSE and bool(columns)
        few = (figures.rows < _HALF) & is_left & is_refused
        for at in np.flatnonzero(few | judged.uncounted | (judged.unweighed & is_narrow)).tolist():
            yield _found_between(
                told, layers, meeting, int(places[at]), pieces, forms, columns,
                total=None if judged.uncounted[at] else float(figures.absolute[at]), is_certain=bool(few[at]),
            )  # fmt: skip


def _figures_between(
    told: Told,
    layers: tuple[int, int],
    meeting: Meeting,
    places: Ints,
    pieces: Sequence[tuple[int, ClassSet]],
    columns: tuple[Versioned, ...],
) -> tuple[Figures, Floats]:
    """Return figures of what is left on both sides together, and the absolute total of the smaller side.

    A unit can be on both, and what bounds it is all that it has in a version: twice that only where there are several.
    """
    rows, absolute, bound = np.zeros((3, 2, len(places)))
    for side, classes in pieces:
        by_atom = told.contributing.figures(columns, classes)
        one = _side_figures(told.frame, layers, meeting, side, places)(by_atom)
        at = 0 if side == RIGHT else 1
        rows[at] += one.rows
        absolute[at] += one.absolute
        bound[at] = np.maximum(bound[at], one.bound)
    most = bound.sum(axis=0) if told.has_versions else bound.max(axis=0)
    return Figures(rows=rows.max(axis=0), absolute=absolute.sum(axis=0), bound=most), absolute.min(axis=0)


def _found_between(
    told: Told,
    layers: tuple[int, int],
    meeting: Meeting,
    place: int,
    pieces: Sequence[tuple[int, ClassSet]],
    forms: Floats,
    columns: tuple[Versioned, ...],
    *,
    total: float | None,
    is_certain: bool,
) -> _Found:
    atoms = {side: meeting_atoms(told.frame, layers, meeting, side, place) for side in (RIGHT, LEFT, BOTH)}
    by_side = {RIGHT: forms[1], LEFT: -forms[0], BOTH: forms[1] - forms[0]}
    judged = tuple((atoms[side], classes) for side, classes in pieces if len(atoms[side]))
    return _Found(
        doubtful=Doubtful(pieces=judged, columns=columns, total=total),
        atoms=np.concatenate([atoms[side] for side in by_side]),
        form=np.concatenate([np.tile(form, (len(atoms[side]), 1)) for side, form in by_side.items()]),
        is_certain=is_certain,
    )


def _is_still(sums: Floats, form: Floats, rows: Floats) -> Bools:
    size = float(np.sqrt(form @ form))
    moved = np.abs(np.einsum("b,nbr->nr", form, sums)).max(axis=1, initial=0.0)
    return np.asarray(moved <= NEARLY * size * np.sqrt(rows))


def _judged_uneven(
    told: Told,
    layers: tuple[int, int],
    meeting: Meeting,
    side: int,
    places: Ints,
    sets: tuple[SecretSet, SecretSet, Floats],
    columns: tuple[Versioned, ...],
) -> Iterator[_Found]:
    mine, common, forms = sets
    kept = (ClassSet(plus=mine), ClassSet(plus=mine, minus=common))
    pieces = [kept]
    if told.blocks.is_centred:
        pieces.append((replace(kept[0], is_rest=True), replace(kept[1], is_rest=True)))
    for outside, inside in pieces:
        by_atom = [told.contributing.figures(columns, one) for one in (outside, inside)]
        figures = Figures(
            rows=_sum_of(told.frame, layers, meeting, side, [one.rows for one in by_atom])[places],
            absolute=_sum_of(told.frame, layers, meeting, side, [one.absolute for one in by_atom])[places],
            bound=np.maximum(
                _greatest(told.frame, layers, meeting, side, by_atom[0].bound),
                _greatest(told.frame, layers, meeting, BOTH, by_atom[1].bound),
            )[places],
        )
        is_zero_told = not any(one.rows.any() for one in by_atom)
        judged = judge_quickly(figures, told.verdicts, is_zero_told=is_zero_told)
        for at in np.flatnonzero(judged.few | judged.uncounted | judged.unweighed).tolist():
            place = int(places[at])
            apart, cut = (meeting_atoms(told.frame, layers, meeting, of, place) for of in (side, BOTH))
            form = np.concatenate([np.tile(forms[0], (len(apart), 1)), np.tile(forms[0] - forms[1], (len(cut), 1))])
            total = None if judged.uncounted[at] else float(figures.absolute[at])
            doubtful = Doubtful(pieces=((apart, outside), (cut, inside)), columns=columns, total=total)
            every = np.concatenate((apart, cut))
            yield _Found(doubtful=doubtful, atoms=every, form=form, is_certain=bool(judged.few[at]))


def _sum_of(frame: Frame, layers: tuple[int, int], meeting: Meeting, side: int, values: Sequence[Floats]) -> Floats:
    """Return the first values' sum over one side of meetings, with the second's over what is in both."""
    apart = _added(frame, layers, meeting, side, values[0])
    return np.asarray(apart + _added(frame, layers, meeting, BOTH, values[1]))


def _atoms_batch(told: Told) -> _Batch | None:
    moves = np.abs(told.flat[:, 0, :]).max(axis=1, initial=0.0) < NEARLY * np.sqrt(told.frame.rows)
    atoms = np.flatnonzero(moves)
    if not len(atoms):
        return None
    return _Batch(
        rows=told.frame.rows[atoms],
        before=told.before[atoms],
        after=told.after[atoms],
        parts=np.full(len(atoms), -1),
        figures=lambda one: Figures(rows=one.rows[atoms], absolute=one.absolute[atoms], bound=one.bound[atoms]),
        atoms=lambda place: atoms[place : place + 1],
    )


def _flat_parts(told: Told) -> Floats:
    return told.frame.flat().part_sums(told.flat)


def _batches(
    told: Told, layers: tuple[int, int], meeting: Meeting, parts: Sequence[Floats], flat_parts: Floats
) -> Iterator[_Batch]:
    """Return what is determined at all of the intersections and the two differences of two layers."""
    frame = told.frame
    flat = meeting_sums(told.flat, meeting, np.ones(len(meeting.first), dtype=bool))
    every = np.arange(len(meeting.first))
    sides = [BOTH] if layers[0] == layers[1] else [BOTH, LEFT, RIGHT]
    wanted = {}
    for side in sides:
        moved = side_sums(frame, flat_parts, layers, meeting, side, every, flat)[:, 0, :]
        rows = meeting.rows[side]
        wanted[side] = (rows > _HALF) & (np.abs(moved).max(axis=1, initial=0.0) < NEARLY * np.sqrt(rows.clip(_HALF)))
    chosen = np.logical_or.reduce(list(wanted.values()))
    if not chosen.any():
        return
    sums = [meeting_sums(one, meeting, chosen) for one in (told.before, told.after)]
    for side in sides:
        places = np.flatnonzero(wanted[side])
        if not len(places):
            continue
        before, after = (
            side_sums(frame, of_parts, layers, meeting, side, places, both[places])
            for of_parts, both in zip(parts, sums, strict=True)
        )
        yield _Batch(
            rows=meeting.rows[side][places],
            before=before,
            after=after,
            parts=_whole_parts(told, layers, meeting, side)[places],
            figures=_side_figures(frame, layers, meeting, side, places),
            atoms=_atoms_of(frame, layers, meeting, side, places),
        )


def _atoms_of(
    frame: Frame, layers: tuple[int, int], meeting: Meeting, side: int, places: Ints
) -> Callable[[int], Ints]:
    return lambda place: meeting_atoms(frame, layers, meeting, side, int(places[place]))


def _whole_parts(told: Told, layers: tuple[int, int], meeting: Meeting, side: int) -> Ints:
    """Return the name of the part that an intersection is all of, or -1."""
    found = np.full(len(meeting.first), -1, dtype=np.int64)
    if side != BOTH:
        return found
    for at, codes, rest in ((layers[0], meeting.first, meeting.rows[1]), (layers[1], meeting.second, meeting.rows[2])):
        found = np.where(rest < _HALF, told.canonical[told.frame.offset[at] + codes], found)
    return found


def _side_figures(
    frame: Frame, layers: tuple[int, int], meeting: Meeting, side: int, places: Ints
) -> Callable[[Figures], Figures]:
    """Return a function that adds up what atoms contribute over one side of some meetings."""

    def add_up(one: Figures) -> Figures:
        rows, absolute = (_added(frame, layers, meeting, side, values)[places] for values in (one.rows, one.absolute))
        bound = _greatest(frame, layers, meeting, side, one.bound)[places]
        return Figures(rows=rows, absolute=absolute, bound=bound)

    return add_up


def _added(frame: Frame, layers: tuple[int, int], meeting: Meeting, side: int, values: Floats) -> Floats:
    both = np.bincount(meeting.place, weights=values[meeting.atoms], minlength=len(meeting.first))
    if side == BOTH:
        return np.asarray(both, dtype=np.float64)
    layer, codes = _side(frame, layers, meeting, side)
    inside = layer >= 0
    whole = np.bincount(layer[inside], weights=values[inside], minlength=int(codes.max(initial=0)) + 1)
    return np.asarray(whole[codes] - both, dtype=np.float64)


def _greatest(frame: Frame, layers: tuple[int, int], meeting: Meeting, side: int, values: Floats) -> Floats:
    """Return the greatest value of the atoms of one side, pair by pair."""
    both = np.zeros(len(meeting.first))
    np.maximum.at(both, meeting.place, values[meeting.atoms])
    if side == BOTH:
        return both
    layer, codes = _side(frame, layers, meeting, side)
    alone = layer >= 0
    alone[meeting.atoms] = False
    greatest = np.zeros(int(codes.max(initial=0)) + 1)
    np.maximum.at(greatest, layer[alone & (layer < len(greatest))], values[alone & (layer < len(greatest))])
    # Of all pairs of a part, the greatest and the next: the others of a pair have one of these.
    order = np.lexsort((-both, codes))
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    first, second = np.full(len(greatest), -1), np.zeros(len(greatest))
    first[codes[order[starts]]] = order[starts]
    has_next = np.flatnonzero(np.diff(np.append(starts, len(order))) > 1)
    second[codes[order[starts[has_next]]]] = both[order[starts[has_next] + 1]]
    others = np.where(first[codes] == np.arange(len(codes)), second[codes], both[first[codes]])
    return np.asarray(np.maximum(greatest[codes], others))


def _side(frame: Frame, layers: tuple[int, int], meeting: Meeting, side: int) -> tuple[NDArray[np.int32], Ints]:
    at, codes = (layers[0], meeting.first) if side == LEFT else (layers[1], meeting.second)
    return frame.layers[at].codes, codes
