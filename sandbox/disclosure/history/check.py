"""One system of answers: is there another world, old answers and new, and which new cells must go (pure).

SECURITY: nothing here receives a confidential value. Input are questions, layouts, which cells came out or are held
back, the catalogue's declarations, and atoms over public columns; so whoever knows these computes the same verdict.
(That some cells are held back by dominance is itself a fact about values; see docs/history.md.)
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, islice

import numpy as np
from numpy.typing import NDArray

from sandbox.disclosure.atoms import AtomTable
from sandbox.disclosure.history.limits import HistoryLimits
from sandbox.disclosure.history.partition import Cells, SecretFacet, Space, blocks_of
from sandbox.disclosure.history.protection import Equations
from sandbox.disclosure.history.store import Part
from sandbox.disclosure.history.suppress import Choice, NewRows, Watch, choose
from sandbox.disclosure.history.system import Rows, build_frame, empty_factor, extend, gram, rows_of
from sandbox.disclosure.history.targets import (
    AtomSet,
    Meeting,
    TargetKind,
    determined_sets,
    free_blocks,
    meet,
    unit_atoms,
    widest,
)
from sandbox.disclosure.history.worlds import directions, project
from yingbi.errors import ErrorCode, RefusedError
from yingbi.plan.model import Column

__all__ = ["Basis", "Checked", "MeetingName", "Terms", "check", "empty_basis"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MeetingName = tuple[float, bytes, bytes]

_CHUNK = 512
_FEWEST_DIRECTIONS = 3
_SPARE_DIRECTIONS = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Basis:
    """What is kept of the released rows: which of them are independent, their factor, and the classes it is over.

    `seen` is how many released rows were looked at; `kept` are indices into them. Splitting atoms or adding
    confidential columns leaves it good; other classes of a column do not.
    """

    seen: int
    kept: Ints
    lower: Floats
    secret: tuple[tuple[Column, SecretFacet], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Terms:
    """What a check is made under: threshold, K rows a unit, whether atom sizes are public in this system.

    `meetings` is a cache, good for the very atoms that the check is over.
    """

    min_units: int
    rows_a_unit: int
    is_centred: bool
    limits: HistoryLimits
    seed: int
    meetings: dict[MeetingName, Meeting | None]


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


def empty_basis() -> Basis:
    """Return the basis of no answers."""
    return Basis(seen=0, kept=np.zeros(0, dtype=np.int64), lower=empty_factor())


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
    stage = _Stage(space, table, old, new, terms)
    basis = stage.caught_up(basis)
    rows = stage.new_rows(basis)
    start, is_sound = stage.worlds(basis, rows, stage.candidates[:0], stage.start(terms.seed))
    after, is_met = stage.worlds(basis, rows, stage.candidates, start)
    watch, found = stage.determined(after, start)
    choice = Choice(released=stage.candidates, rounds=0, is_enough=True)
    if len(watch):
        limits = terms.limits
        bounds = {"rounds": limits.rounds, "give_back": limits.give_back}
        choice = choose(stage.frame, start, rows, stage.candidates, watch, **bounds)
        # An independent look: other directions, projected in one go onto the worlds of everything that stays released.
        final, is_met = stage.worlds(basis, rows, choice.released, stage.start(terms.seed + 1))
        is_met = is_met and not watch.determined(stage.frame, final).any()
    return Checked(
        released=stage.released(choice.released),
        found=found,
        rounds=choice.rounds,
        basis=basis,
        grow=partial(stage.grown, basis, rows, choice.released),
        equations=partial(stage.equations, basis, rows, choice.released),
        is_proved=choice.is_enough and is_sound and is_met,
        notes=stage.notes(),
    )


class _Stage:
    """The equations of one check: old rows that came out, new rows that ask to, and the variables of both."""

    def __init__(
        self,
        space: Space,
        table: AtomTable,
        old: Sequence[tuple[Cells, Part]],
        new: Sequence[tuple[Cells, Part]],
        terms: Terms,
    ) -> None:
        self._terms, self._space, self._table = terms, space, table
        self._secret = tuple(space.secret.items())
        answers = [cells for cells, _ in (*old, *new)]
        blocks = blocks_of(space, [one for cells in answers for one in cells.secret], terms.limits.blocks)
        self.frame = build_frame(table.rows, blocks, answers, is_centred=terms.is_centred)
        first = np.concatenate(([0], np.cumsum([len(cells.layers) for cells in answers]))).astype(int).tolist()
        every = [rows_of(self.frame, cells, at) for cells, at in zip(answers, first, strict=False)]
        self._old_layers = first[len(old)]
        self._new_parts = [part for _, part in new]
        self.old = _joined([rows.take(part.released) for rows, (_, part) in zip(every, old, strict=False)])
        self.new = _joined(every[len(old) :])
        self._held = _joined([rows.take(part.held) for rows, (_, part) in zip(every, (*old, *new), strict=True)])
        asked = np.concatenate([part.released for part in self._new_parts])
        self.candidates = np.flatnonzero(asked & (self.new.scale > 0))
        self._empty = asked & (self.new.scale == 0)
        self._units = unit_atoms(table.units, table.solo, terms.min_units)
        self._count = max(_FEWEST_DIRECTIONS, widest(self.frame, self._units) + _SPARE_DIRECTIONS)
        self._check_bounds()

    def _check_bounds(self) -> None:
        limits = self._terms.limits
        variables = self.frame.atoms * len(self.frame.blocks.mu) * self._count
        if variables > limits.variables:
            raise _at_bound(f"at most {limits.variables} variables times directions")
        if len(self.candidates) > limits.new_cells:
            raise _at_bound(f"at most {limits.new_cells} cells in one answer")

    def start(self, seed: int) -> Floats:
        """Return random directions."""
        return directions(self.frame, self._count, seed)

    def caught_up(self, basis: Basis) -> Basis:
        """Return the basis with all old rows looked at, begun again where classes of a column have changed."""
        known = dict(self._secret)
        if any(known.get(column) != facet for column, facet in basis.secret):
            basis = empty_basis()
        for begin in range(basis.seen, len(self.old), _CHUNK):
            end = min(begin + _CHUNK, len(self.old))
            chunk = self.old.take(np.arange(begin, end))
            rows = self._against(basis, chunk)
            kept, factor = rows.factor(np.flatnonzero(chunk.scale > 0))
            basis = Basis(
                seen=end, kept=np.concatenate((basis.kept, begin + kept)), lower=factor.merged(), secret=self._secret
            )
        return replace(basis, secret=self._secret)

    def new_rows(self, basis: Basis) -> NewRows:
        """Return the new rows against the basis.

        Raises:
            RefusedError: more rows than the stated bound.
        """
        if len(basis.kept) + len(self.candidates) > self._terms.limits.cells:
            raise _at_bound(f"at most {self._terms.limits.cells} cells that bind")
        return self._against(basis, self.new)

    def _against(self, basis: Basis, new: Rows) -> NewRows:
        old = self.old.take(basis.kept)
        coupling, schur = extend(basis.lower, gram(self.frame, old, new), gram(self.frame, new, new))
        return NewRows(old=old, lower=basis.lower, new=new, coupling=coupling, schur=schur)

    def worlds(self, basis: Basis, rows: NewRows, released: Ints, start: Floats) -> tuple[Floats, bool]:
        """Project directions onto the worlds of all old rows and the released new ones."""
        kept, factor = rows.factor(released)
        everything = _joined([self.old, self.new.take(released)])
        index = np.concatenate((basis.kept, len(self.old) + np.searchsorted(released, kept)))
        worlds = project(self.frame, start, everything, index, factor)
        return worlds.values, worlds.is_sound

    def determined(self, after: Floats, before: Floats) -> tuple[Watch, dict[TargetKind, int]]:
        """Return the targets that all released rows determine and the old ones alone do not."""
        if not free_blocks(self.frame) or not len(self.candidates):
            return Watch(sets=[], held=self._held.take(np.zeros(0, dtype=np.int64))), {}
        small = float(self._terms.min_units * self._terms.rows_a_unit)
        meetings = partial(self._meeting, small)
        sets = list(_distinct(determined_sets(self.frame, after, self._units, self._pairs(), meetings)))
        held = self._held.take(self._held.scale > 0)
        every = Watch(sets=sets, held=held)
        flags = every.determined(self.frame, after) & ~every.determined(self.frame, before)
        watch = every.take(flags)
        found = Counter(one.kind for one in watch.sets)
        found[TargetKind.HELD_BACK] += len(watch.held)
        return watch, {kind: count for kind, count in sorted(found.items()) if count}

    def _meeting(self, small: float, one: int, other: int) -> Meeting | None:
        layers, known = self.frame.layers, self._terms.meetings
        name = (small, layers[one].digest, layers[other].digest)
        if name not in known:
            made = meet(self.frame, one, other, small)
            if len(known) * self.frame.atoms > self._terms.limits.meeting_atoms:
                known.clear()
            known[name] = made
        return known[name]

    def _pairs(self) -> list[tuple[int, int]]:
        """Return pairs of layers to intersect: all with a new one, and as many old ones as the bound allows."""
        layers = self.frame.layers
        first: dict[bytes, int] = {}
        for number, layer in enumerate(layers):
            first.setdefault(layer.digest, number)
        fresh = sorted({first[layer.digest] for layer in layers[self._old_layers :]})
        others = sorted(set(first.values()) - set(fresh), reverse=True)
        pairs = [(one, other) for one in fresh for other in others] + list(combinations(fresh, 2))
        return pairs + list(islice(combinations(others, 2), self._terms.limits.layer_pairs))

    def released(self, chosen: Ints) -> tuple[Bools, ...]:
        """Return which cells of each new part come out; empty ones do, they say nothing that is not public."""
        flags = self._empty.copy()
        flags[chosen] = True
        ends = np.cumsum([len(part.released) for part in self._new_parts])
        return tuple(np.split(flags, ends[:-1]))

    def grown(self, basis: Basis, rows: NewRows, chosen: Ints) -> Basis:
        """Return the basis that holds the released new rows too, as the next check will count them."""
        kept, factor = rows.factor(chosen)
        flags = self._empty.copy()
        flags[chosen] = True
        place = np.cumsum(flags) - 1
        return Basis(
            seen=len(self.old) + int(flags.sum()),
            kept=np.concatenate((basis.kept, len(self.old) + place[kept])),
            lower=factor.merged(),
            secret=self._secret,
        )

    def equations(self, basis: Basis, rows: NewRows, chosen: Ints) -> Equations | None:
        """Return released and newly held cells over atoms, where variables are atoms and something is held.

        At most `limits.proofs` held cells, those of fewest rows first.
        """
        if len(self.frame.blocks.mu) > 1 or self.frame.is_centred:
            return None
        flags = np.concatenate([part.held for part in self._new_parts]) & (self.new.scale > 0)
        held = np.flatnonzero(flags)
        held = held[np.lexsort((held, -self.new.scale[held]))][: self._terms.limits.proofs]
        if not len(held):
            return None
        kept, _ = rows.factor(chosen)
        parts = np.concatenate((self.old.part[basis.kept], self.new.part[kept]))
        sums = self.frame.of_atom.T.tocsr()
        return Equations(released=sums[parts], held=sums[self.new.part[held]])

    def notes(self) -> dict[str, int]:
        """Return the size of the check, for the evidence."""
        return {
            "atoms": self.frame.atoms,
            "blocks": len(self.frame.blocks.mu),
            "directions": self._count,
            "layers": len(self.frame.layers),
            "released_rows": len(self.old),
        }


def _joined(rows: Sequence[Rows]) -> Rows:
    whole = np.zeros(0, dtype=np.int64)
    return Rows(
        part=np.concatenate([whole, *(one.part for one in rows)]),
        secret=np.concatenate([whole, *(one.secret for one in rows)]),
        scale=np.concatenate([whole.astype(np.float64), *(one.scale for one in rows)]),
    )


def _distinct(sets: Iterator[AtomSet]) -> Iterator[AtomSet]:
    seen: set[tuple[bool, bytes]] = set()
    for one in sets:
        name = (one.is_joint, np.sort(one.atoms).tobytes())
        if name not in seen:
            seen.add(name)
            yield one


def _at_bound(what: str) -> RefusedError:
    return RefusedError(
        ErrorCode.HISTORY_LIMIT, f"expected {what} in one history", hint="ask a coarser table, or use private mode"
    )
