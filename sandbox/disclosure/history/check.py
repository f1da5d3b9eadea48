"""One system of answers: is there another world, old answers and new, and which new cells must go.

SECURITY: what is determined follows without a look at any confidential value: from questions, layouts, which cells
came out or are held back, the catalogue's declarations, and atoms over public columns; so whoever knows these computes
the same. Whether a determined set is a target can depend on values: as a small cell and a dominated cell do, who
contributes to it counts (`contributing`; docs/history.md says what that costs).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, combinations, islice

import numpy as np
from numpy.typing import NDArray

from sandbox.disclosure.atoms import AtomTable
from sandbox.disclosure.history.contributing import Contributing, Verdicts
from sandbox.disclosure.history.lanes import Basis, Lane, empty_basis
from sandbox.disclosure.history.limits import HistoryLimits
from sandbox.disclosure.history.margins import MarginName, shared_margins
from sandbox.disclosure.history.partition import Cells, Layer, SecretSet, Space, blocks_of
from sandbox.disclosure.history.protection import Equations
from sandbox.disclosure.history.revealing import Told, revealing_sets
from sandbox.disclosure.history.store import Part
from sandbox.disclosure.history.suppress import Choice, NewRows, Watch, choose
from sandbox.disclosure.history.system import build_frame, joined, rows_of
from sandbox.disclosure.history.targets import (
    AtomSet,
    Meeting,
    TargetKind,
    determined_sets,
    meet,
    unit_atoms,
    unit_pairs,
    widest,
)
from sandbox.disclosure.history.worlds import are_determined, directions
from yingbi.errors import ErrorCode, RefusedError

__all__ = ["Checked", "MeetingName", "Terms", "check"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MeetingName = tuple[bytes, bytes]

_FEWEST_DIRECTIONS = 3
_SPARE_DIRECTIONS = 2
_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Terms:
    """What a check is made under: rules, K rows a unit, whether atom sizes are public in this system.

    `meetings` and `margins` are caches, good for the very atoms that the check is over; `contributing` gives what the
    rules judge.
    """

    verdicts: Verdicts
    is_centred: bool
    limits: HistoryLimits
    seed: int
    meetings: dict[MeetingName, Meeting]
    margins: dict[MarginName, Layer]
    contributing: Contributing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checked:
    """What a check found.

    `released`: cells of each new part that may come out. `found`: targets that everything asked for would determine,
    by kind. `basis`: of the old rows; `grow()` makes the one that holds the released new rows too.
    `equations()` are what a proof of protection is over.
    `is_proved`: an independent look at the end found every target free and every released row met.
    """

    released: tuple[Bools, ...]
    found: dict[TargetKind, int]
    rounds: int
    basis: Basis
    grow: Callable[[], Basis]
    equations: Callable[[], Equations | None]
    is_proved: bool
    notes: dict[str, int]


def check(
    space: Space,
    table: AtomTable,
    old: Sequence[tuple[Cells, Part]],
    new: Sequence[tuple[Cells, Part]],
    basis: Basis,
    terms: Terms,
) -> Checked:
    """Check new parts of a system against the old ones.

    Raises:
        RefusedError: a stated bound is reached (`history-limit`).
    """
    stage = _Stage(space, table, old, new, basis, terms)
    choice, watch = _choose(stage, terms)
    found = Counter(one.kind for one in watch.sets)
    found[TargetKind.HELD_BACK] += len(watch.held)
    return Checked(
        released=stage.released(choice.released),
        found={kind: count for kind, count in sorted(found.items()) if count},
        rounds=choice.rounds,
        basis=stage.basis,
        grow=partial(stage.grown, choice.released),
        equations=partial(stage.equations, choice.released),
        is_proved=choice.is_enough and stage.is_sound,
        notes=stage.notes(),
    )


def _choose(stage: "_Stage", terms: Terms) -> tuple[Choice, Watch]:
    """Return which new rows come out, and the targets that those held back would have determined.

    Two units of which each is determined are no pair to look for; freed from that, their sum can still be. So what is
    determined is looked for again among what would come out, until nothing new is.
    """
    limits = terms.limits
    choice = Choice(released=stage.candidates, rounds=0, is_enough=True)
    watch = more = stage.determined(choice.released)
    for _ in range(limits.rounds):
        if not len(more):
            break
        bounds = {"rounds": limits.rounds, "give_back": limits.give_back}
        choice = choose(stage.lane.frame, stage.starts(watch), stage.rows, stage.candidates, watch, **bounds)
        # An independent look: other directions, projected in one go onto the worlds of everything that stays released.
        _, after = stage.looked_at(watch, choice.released, terms.seed + 1)
        stage.is_sound &= not after.any()
        more = stage.determined(choice.released)
        watch = watch.joined(more)
    stage.is_sound &= not len(more)
    return choice, watch


class _Stage:
    """The equations of one check: old rows that came out, new rows that ask to, and the variables of both."""

    def __init__(
        self,
        space: Space,
        table: AtomTable,
        old: Sequence[tuple[Cells, Part]],
        new: Sequence[tuple[Cells, Part]],
        basis: Basis,
        terms: Terms,
    ) -> None:
        self._terms, self._secret = terms, tuple(space.secret.items())
        versions = {(column.dataset, version) for column, version in space.secret} | set(space.present)
        self._has_versions = len(versions) > len({dataset for dataset, _ in versions})
        answers = [cells for cells, _ in (*old, *new)]
        sets = [one for cells in answers for one in set(cells.secret)]
        self._blocks = blocks_of(space, sets, terms.limits.sets, is_centred=terms.is_centred)
        scopes = [part.scope for _, part in (*old, *new)]
        most = terms.limits.meeting_atoms
        margins = shared_margins(space, scopes, len(old), terms.margins, most=most)
        more = _unseen([layer for cells in answers for layer in cells.layers], margins)
        frame = build_frame(table.rows, self._blocks, answers, more)
        first = np.concatenate(([0], np.cumsum([len(cells.layers) for cells in answers]))).astype(int).tolist()
        every = [rows_of(frame, self._blocks, cells, at) for cells, at in zip(answers, first, strict=False)]
        self._old_layers, self._asked_layers = first[len(old)], first[-1]
        self._answers = answers
        place = {layer.split: number for number, layer in reversed(list(enumerate(frame.layers)))}
        self._margins = [((place[one[1].split], one[0]), (place[two[1].split], two[0])) for one, two in margins]
        self._new_parts = [part for _, part in new]
        self._held = joined([rows.take(part.held) for rows, (_, part) in zip(every, (*old, *new), strict=True)])
        self._held = self._held.take(self._held.scale > 0)
        released = joined([rows.take(part.released) for rows, (_, part) in zip(every, old, strict=False)])
        self.lane = Lane(frame=frame, old=released, new=joined(every[len(old) :]))
        asked = np.concatenate([part.released for part in self._new_parts])
        self.candidates = np.flatnonzero(asked & (self.lane.new.scale > 0))
        self._empty = asked & (self.lane.new.scale == 0)
        self._units = unit_atoms(table.units, table.solo, terms.verdicts.rules.min_units)
        self._first = (np.zeros((0, 0, 0)), np.zeros((0, 0, 0)))
        self.is_sound = True
        self._directions = 0
        self._check_bounds()
        self.basis = self.lane.caught_up(self._still_good(basis))
        self.basis = replace(self.basis, secret=self._secret)
        self._check_cells(self.basis)
        self.rows: NewRows = self.lane.new_rows(self.basis)

    def _still_good(self, basis: Basis) -> Basis:
        """Return the basis, begun again where classes of a column have changed."""
        known = dict(self._secret)
        if any(known.get(column) != facet for column, facet in basis.secret):
            return Basis(seen=0, kept=basis.kept[:0], lower=basis.lower[:0, :0], flat=basis.flat)
        return basis

    def _check_bounds(self) -> None:
        if len(self.candidates) > self._terms.limits.new_cells:
            raise _at_bound(f"at most {self._terms.limits.new_cells} cells in one answer")
        self._check_directions(self.lane, _FEWEST_DIRECTIONS)

    def _check_cells(self, basis: Basis) -> None:
        if len(basis.kept) + len(self.candidates) > self._terms.limits.cells:
            raise _at_bound(f"at most {self._terms.limits.cells} cells that bind")

    def _check_directions(self, lane: Lane, count: int) -> None:
        self._directions = max(self._directions, count)
        if lane.frame.atoms * max(1, lane.frame.free) * count > self._terms.limits.variables:
            raise _at_bound(f"at most {self._terms.limits.variables} variables times directions")

    # --- what is determined -------------------------------------------------------------------------------------------

    def determined(self, released: Ints) -> Watch:
        """Return the targets that some new rows determine with the old ones, and the old ones alone do not."""
        frame = self.lane.frame
        if not frame.free or not len(released):
            return Watch(sets=[], held=self._held.take(np.zeros(0, dtype=np.int64)))
        is_flat = frame.free == 1
        least = widest(self._units) + _SPARE_DIRECTIONS
        self._first = next(self._looks(least if is_flat else _FEWEST_DIRECTIONS, self._terms.seed, released))
        flat = self._first[1] if is_flat else self._flat_worlds(least, released)
        sets = self._named(flat)
        if not is_flat:
            sets += self._pairs_of(sets)
        sets += self._revealing(flat, released)
        every = Watch(sets=sets, held=self._held).distinct()
        before, after = self.looked_at(every, released, self._terms.seed, use_first=True)
        return every.take(after & ~before)

    def starts(self, watch: Watch) -> Iterator[Floats]:
        """Return directions that keep all old rows, a few at a time, enough to tell of all watched targets."""
        return (before for before, _ in self._looks(self._needed(watch), self._terms.seed, None))

    def looked_at(self, watch: Watch, released: Ints, seed: int, *, use_first: bool = False) -> tuple[Bools, Bools]:
        """Tell which targets the old rows determine, and which the released new ones do with them."""
        needed = self._needed(watch)
        is_enough = use_first and self._first[0].shape[2] >= needed
        looks = iter([self._first]) if is_enough else self._looks(needed, seed, released)
        before: list[list[Floats]] = []
        after: list[list[Floats]] = []
        for one, other in looks:
            before.append(watch.seen_by(self.lane.frame, one))
            after.append(watch.seen_by(self.lane.frame, other))
        return _flags(before), _flags(after)

    def _needed(self, watch: Watch) -> int:
        return max(_FEWEST_DIRECTIONS, watch.width(self.lane.frame) + _SPARE_DIRECTIONS)

    def _looks(self, count: int, seed: int, released: Ints | None) -> Iterator[tuple[Floats, Floats]]:
        """Return random directions that keep the old rows, and those that keep the released new ones too."""
        frame = self.lane.frame
        self._check_directions(self.lane, count)
        width = max(_FEWEST_DIRECTIONS, _AT_ONCE // (frame.atoms * frame.free))
        for turn, begin in enumerate(range(0, count, width)):
            start = directions(frame, min(width, count - begin), (seed, turn))
            before = self.lane.worlds(self.basis, self.rows, self.candidates[:0], start)
            self.is_sound &= before.is_sound
            if released is None:
                yield before.values, before.values
                continue
            after = self.lane.worlds(self.basis, self.rows, released, before.values)
            self.is_sound &= after.is_sound
            yield before.values, after.values

    def _flat_worlds(self, count: int, released: Ints) -> Floats:
        """Return directions that keep every public part."""
        lane = self.lane.flat(self._canonical(), released)
        known = self.basis.flat
        flat = lane.caught_up(empty_basis() if known is None else known)
        self.basis = replace(self.basis, flat=flat)
        rows = lane.new_rows(flat)
        self._check_directions(lane, count)
        start = directions(lane.frame, count, (self._terms.seed, 0))
        worlds = lane.worlds(flat, rows, released[lane.new.scale[released] > 0], start)
        self.is_sound &= worlds.is_sound
        return worlds.values

    def _named(self, flat: Floats) -> list[AtomSet]:
        rules, most = self._terms.verdicts.rules, self._terms.verdicts.rows_a_unit
        small = float(rules.min_units * most)
        pairs = [*self._pairs(), *self._old_pairs(), *self._margin_pairs()]
        return list(determined_sets(self.lane.frame.flat(), flat, self._units, pairs, self._meeting, small))

    def _pairs_of(self, found: Sequence[AtomSet]) -> list[AtomSet]:
        """Return pairs of lone units of which each would be determined if all classes were one."""
        alone = [one.atoms for one in found if one.kind is TargetKind.LONE_UNIT and not one.is_joint]
        if not alone:
            return []
        lone = np.concatenate(alone)
        by_set = np.einsum("kb,nbr->nkr", self._blocks.forms, self._first[1][lone])
        pairs = unit_pairs(by_set / np.sqrt(self.lane.frame.rows[lone])[:, None, None], lone)
        return [AtomSet(kind=TargetKind.PAIR, atoms=one, is_joint=True) for one in pairs]

    def _revealing(self, flat: Floats, released: Ints) -> list[AtomSet]:
        canonical = self._canonical()
        every = joined([self.lane.old, self.lane.new.take(released)])
        sets: dict[int, set[SecretSet]] = {layer: set() for layer in range(len(self.lane.frame.layers))}
        names = list(self._blocks.number)
        layer_of = np.searchsorted(self.lane.frame.offset, canonical[every.part], side="right") - 1
        for layer, secret in set(zip(layer_of.tolist(), every.secret.tolist(), strict=True)):
            sets[layer].add(names[secret])
        for layer, answer in chain(*self._margins):
            sets[layer] |= {*self._answers[answer].secret, self._answers[answer].whole}
        told = Told(
            frame=self.lane.frame,
            blocks=self._blocks,
            columns=[column for column, _ in self._secret],
            before=self._first[0],
            after=self._first[1],
            flat=flat,
            sets={layer: sorted(ones) for layer, ones in sets.items()},
            released=frozenset(zip(canonical[every.part].tolist(), every.secret.tolist(), strict=True)),
            canonical=canonical,
            verdicts=self._terms.verdicts,
            contributing=self._terms.contributing,
            most=self._terms.limits.revealing,
            has_versions=self._has_versions,
        )
        same = ((one, one) for one in (*self._fresh(), *self._others()))
        pairs = [*self._pairs(), *same, *self._old_pairs(), *self._margin_pairs()]
        return list(revealing_sets(told, pairs, self._meeting))

    # --- layers -------------------------------------------------------------------------------------------------------

    def _meeting(self, one: int, other: int) -> Meeting:
        layers, known = self.lane.frame.layers, self._terms.meetings
        name = (layers[one].digest, layers[other].digest)
        if name not in known:
            made = meet(self.lane.frame, one, other)
            if len(known) * self.lane.frame.atoms > self._terms.limits.meeting_atoms:
                known.clear()
            known[name] = made
        return known[name]

    def _first_layers(self) -> dict[bytes, int]:
        first: dict[bytes, int] = {}
        for number, layer in enumerate(self.lane.frame.layers):
            first.setdefault(layer.digest, number)
        return first

    def _canonical(self) -> Ints:
        """Return one name for each public part: the same split has the parts of the first layer that made it."""
        frame, first = self.lane.frame, self._first_layers()
        starts = [frame.offset[first[layer.digest]] + np.arange(layer.parts) for layer in frame.layers]
        return np.concatenate([np.zeros(0, dtype=np.int64), *starts])

    def _fresh(self) -> list[int]:
        first = self._first_layers()
        layers = self.lane.frame.layers[self._old_layers : self._asked_layers]
        return sorted({first[layer.digest] for layer in layers})

    def _others(self) -> list[int]:
        fresh = set(self._fresh())
        return sorted((one for one in self._first_layers().values() if self._is_asked(one, fresh)), reverse=True)

    def _is_asked(self, layer: int, fresh: set[int]) -> bool:
        return layer < self._asked_layers and layer not in fresh

    def _margin_pairs(self) -> list[tuple[int, int]]:
        """Return pairs of layers that two answers add up to, but for pairs of layers that were asked for."""
        asked = {frozenset(pair) for pair in self._pairs()}
        pairs = dict.fromkeys((one, other) for (one, _), (other, _) in self._margins)
        return [pair for pair in pairs if frozenset(pair) not in asked]

    def _old_pairs(self) -> list[tuple[int, int]]:
        """Return pairs of layers without a new one, the newest first: a new answer may determine what they name."""
        return list(islice(combinations(self._others(), 2), self._terms.limits.layer_pairs))

    def _pairs(self) -> list[tuple[int, int]]:
        """Return all pairs of layers with a new one among them."""
        fresh = self._fresh()
        return [(one, other) for one in fresh for other in self._others()] + list(combinations(fresh, 2))

    # --- what comes out -----------------------------------------------------------------------------------------------

    def released(self, chosen: Ints) -> tuple[Bools, ...]:
        """Return which cells of each new part come out; empty ones do, they say nothing that is not public."""
        flags = self._empty.copy()
        flags[chosen] = True
        ends = np.cumsum([len(part.released) for part in self._new_parts])
        return tuple(np.split(flags, ends[:-1]))

    def grown(self, chosen: Ints) -> Basis:
        """Return the basis that holds the released new rows too, as the next check will count them."""
        kept, factor = self.rows.factor(chosen)
        flags = self._empty.copy()
        flags[chosen] = True
        place = np.cumsum(flags) - 1
        old = len(self.lane.old)
        return replace(
            self.basis,
            seen=old + int(flags.sum()),
            kept=np.concatenate((self.basis.kept, old + place[kept])),
            lower=factor.merged(),
        )

    def equations(self, chosen: Ints) -> Equations | None:
        """Return released and newly held cells over atoms, where variables are atoms and something is held.

        At most `limits.proofs` held cells, those of fewest rows first.
        """
        frame, new = self.lane.frame, self.lane.new
        if len(self._blocks.number) > 1 or self._terms.is_centred:
            return None
        flags = np.concatenate([part.held for part in self._new_parts]) & (new.scale > 0)
        held = np.flatnonzero(flags)
        held = held[np.lexsort((held, -new.scale[held]))][: self._terms.limits.proofs]
        if not len(held):
            return None
        kept, _ = self.rows.factor(chosen)
        parts = np.concatenate((self.lane.old.part[self.basis.kept], new.part[kept]))
        sums = frame.of_atom.T.tocsr()
        return Equations(released=sums[parts], held=sums[new.part[held]])

    def notes(self) -> dict[str, int]:
        """Return the size of the check, for the evidence."""
        return {
            "atoms": self.lane.frame.atoms,
            "classes": self.lane.frame.free,
            "directions": self._directions,
            "layers": len(self.lane.frame.layers),
            "released_rows": len(self.lane.old),
        }


def _unseen(asked: Sequence[Layer], margins: Sequence[tuple[tuple[int, Layer], tuple[int, Layer]]]) -> list[Layer]:
    """Return the margins that are no layer of an answer, each once."""
    seen = {layer.split for layer in asked}
    found = {layer.split: layer for _, layer in chain(*margins) if layer.split not in seen}
    return list(found.values())


def _flags(seen: Sequence[Sequence[Floats]]) -> Bools:
    """Tell which targets are determined, from their sums in several lots of directions."""
    sums = [np.concatenate(parts, axis=1) for parts in zip(*seen, strict=True)]
    return np.array([bool(are_determined(one[None])[0]) for one in sums], dtype=bool)


def _at_bound(what: str) -> RefusedError:
    return RefusedError(
        ErrorCode.HISTORY_LIMIT, f"expected {what} in one history", hint="ask a coarser table, or use private mode"
    )
