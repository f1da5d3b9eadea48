"""Who contributes to a set that answers determine: enough units, none of which dominates.

A set of many units may be determined and still give one of them away: where only one of them meets the confidential
condition of what is added up, or where one holds nearly all of the total. So every determined set is judged by the
rules that a released cell is judged by: nobody or at least t units contribute, and neither (n,k) nor p % dominance.

SECURITY: these rules look at confidential values, as threshold and dominance of a cell do; which sets fail them cannot
be simulated (docs/history.md). Sets are determined without a look at values first, and only those are judged.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from policies.disclosure import DisclosureRules, Zeros
from sandbox.disclosure.atoms import ABSENT, AtomSource, AtomTable, Contributions, Facet, Largest
from sandbox.disclosure.dominance import is_dominated, is_p_sensitive
from sandbox.disclosure.history.partition import SecretFacet, SecretSet
from sandbox.disclosure.history.scopes import Versioned
from sandbox.disclosure.history.splits import Values
from yingbi.plan.model import Column

__all__ = ["ClassSet", "Contributing", "Doubtful", "Figures", "Judged", "Verdicts", "judge_largest", "judge_quickly"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Floating sums of up to 2^40 values are off by less than this share.
_MARGIN = 1e-9
# Of a total, what cannot make a difference between one that is dominated and one that is not, but near the border.
_NEXT_TO_NOTHING = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSet:
    """Combinations of confidential classes: those in `plus` and not in `minus`; or all others (`is_rest`)."""

    plus: SecretSet
    minus: SecretSet | None = None
    is_rest: bool = False


ExactName = tuple[tuple[tuple[bytes, ClassSet], ...], tuple[Versioned, ...], float | None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Figures:
    """What contributes, by atom or by set: rows, absolute total, and a bound of the largest unit's."""

    rows: Floats
    absolute: Floats
    bound: Floats


@dataclass(slots=True, eq=False)
class Contributing:
    """What the units of a system contribute, as far as it was asked for; good for the very atoms of `table`.

    `versions`: of the system's data set, newest last, with where their rows are (`present`); `facets`: of the
    confidential columns.
    """

    source: AtomSource
    table: AtomTable
    dataset: str
    subject: Column | None
    versions: Sequence[tuple[int, Bools]]
    facets: Mapping[Versioned, tuple[SecretFacet, Facet]]
    known: dict[tuple[Versioned, ...], list[tuple[int, Contributions, Ints]]] = field(default_factory=dict)
    figured: dict[tuple[tuple[Versioned, ...], ClassSet], Figures] = field(default_factory=dict)
    exact: dict[ExactName, Largest] = field(default_factory=dict)

    def figures(self, columns: tuple[Versioned, ...], classes: ClassSet) -> Figures:
        """Return what each atom contributes within `classes`, of the newest version that the atom is in."""
        name = (columns, classes)
        if name not in self.figured:
            self.figured[name] = self._figures(columns, classes)
        return self.figured[name]

    def largest(self, wanted: Sequence["Doubtful"]) -> list[Largest]:
        """Return who contributes to sets of atoms, within classes, as exactly as each set needs."""
        names = [
            (tuple((atoms.tobytes(), classes) for atoms, classes in one.pieces), one.columns, one.total)
            for one in wanted
        ]
        missing = {name: one for name, one in zip(names, wanted, strict=True) if name not in self.exact}
        for columns in sorted({one.columns for one in missing.values()}):
            chosen = {name: one for name, one in missing.items() if one.columns == columns}
            self.exact.update(zip(chosen, self._largest(columns, list(chosen.values())), strict=True))
        return [self.exact[name] for name in names]

    def _entries(self, columns: tuple[Versioned, ...]) -> list[tuple[int, Contributions, Ints]]:
        """Return the contributions of each version, with each entry's class of each column."""
        if columns not in self.known:
            secret = [self.facets[column][1] for column in columns]
            found = []
            for version, _ in self.versions:
                one = self.source.contributions(self.table, self.dataset, version, secret, self.subject)
                found.append((version, one, self._classes(columns, one)))
            self.known[columns] = found
        return self.known[columns]

    def _classes(self, columns: tuple[Versioned, ...], found: Contributions) -> Ints:
        classes = found.codes.astype(np.int64)
        for place, column in enumerate(columns):
            split = self.facets[column][0].split
            null = split.classes - 1
            if isinstance(split, Values):
                numbers = {label: number for number, label in enumerate(split.labels)}
                own = np.array([*(numbers.get(label, null) for label in found.labels[place]), null], dtype=np.int64)
                classes[:, place] = own[found.codes[:, place]]
            else:
                classes[:, place] = np.where(found.codes[:, place] == ABSENT, null, classes[:, place])
        return classes

    def _inside(self, columns: tuple[Versioned, ...], classes: Ints, wanted: ClassSet) -> Bools:
        order = list(self.facets)
        places = [order.index(column) for column in columns]
        inside = _members(classes, places, wanted.plus)
        if wanted.minus is not None:
            inside &= ~_members(classes, places, wanted.minus)
        return ~inside if wanted.is_rest else inside

    def _figures(self, columns: tuple[Versioned, ...], wanted: ClassSet) -> Figures:
        size = len(self.table.rows)
        rows, absolute, bound = np.zeros(size), np.zeros(size), np.zeros(size)
        for (_, found, classes), (_, present) in zip(self._entries(columns), self.versions, strict=True):
            inside = self._inside(columns, classes, wanted)
            atom = found.atom[inside]
            of_version = np.zeros(size)
            np.maximum.at(of_version, atom, found.bound[inside])
            rows = np.where(present, np.bincount(atom, weights=found.rows[inside], minlength=size), rows)
            absolute = np.where(present, np.bincount(atom, weights=found.absolute[inside], minlength=size), absolute)
            bound = np.where(present, of_version, bound)
        return Figures(rows=rows, absolute=absolute, bound=bound)

    def _largest(self, columns: tuple[Versioned, ...], wanted: Sequence["Doubtful"]) -> list[Largest]:
        secret = [self.facets[column][1] for column in columns]
        total = [Largest(units=0, absolute=0, largest=0, second=0)] * len(wanted)
        newer = np.zeros(len(self.table.rows), dtype=bool)
        least = [one.least for one in wanted]
        for (version, found, classes), (_, present) in reversed(
            list(zip(self._entries(columns), self.versions, strict=True))
        ):
            sets = []
            for one in wanted:
                members = np.zeros(len(found.atom), dtype=bool)
                for atoms, of_classes in one.pieces:
                    of_set = np.zeros(len(self.table.rows), dtype=bool)
                    of_set[atoms] = True
                    of_set &= present & ~newer
                    members |= of_set[found.atom] & self._inside(columns, classes, of_classes)
                sets.append(np.flatnonzero(members))
            newer |= present
            if any(len(one) for one in sets):
                more = self.source.largest(self.table, self.dataset, version, secret, self.subject, sets, least)
                total = [_together(one, other) for one, other in zip(total, more, strict=True)]
        return [_bounded(one, found) for one, found in zip(wanted, total, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Doubtful:
    """A set that only a look at its units can judge: atoms, each lot of them within some classes (`pieces`).

    `total`: its absolute total, where only dominance is in doubt: then units that hold next to nothing of it do not
    matter. None where units must be counted.
    """

    pieces: tuple[tuple[Ints, ClassSet], ...]
    columns: tuple[Versioned, ...]
    total: float | None

    @property
    def least(self) -> int:
        """Return how large a unit must be to matter."""
        return 0 if self.total is None else int(_NEXT_TO_NOTHING * self.total)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """Which sets certainly fail (`few`), and which only a look at units can tell: by counting, or by their largest."""

    few: Bools
    uncounted: Bools
    unweighed: Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What a system is judged by: rules, most rows a unit, and whether totals can dominate (see `check`)."""

    rules: DisclosureRules
    rows_a_unit: int
    are_totals: bool


def judge_quickly(figures: Figures, verdicts: Verdicts, *, is_zero_told: bool) -> Judged:
    """Judge sets by bounds; what passes here passes exactly. `is_zero_told`: that nobody contributes is no secret.

    Rows of K units' worth prove t units; and a total of which twice the largest bound is a small share has nobody who
    dominates.
    """
    rules = verdicts.rules
    empty = figures.rows < 0.5
    few = empty & (rules.zeros is Zeros.REFUSE and not is_zero_told)
    uncounted = ~empty & (figures.rows < verdicts.rows_a_unit * rules.min_units)
    unweighed = np.zeros_like(empty)
    if verdicts.are_totals:
        total, most = figures.absolute, figures.bound * (1 + _MARGIN)
        share = float(rules.dominance_share) * (1 - _MARGIN)
        dominated = rules.dominance_top * most >= share * total
        narrow = (total - 2 * most) * (1 - _MARGIN) < rules.p_percent / 100 * most
        unweighed = ~empty & (total > 0) & (dominated | narrow)
    return Judged(few=np.asarray(few), uncounted=np.asarray(uncounted), unweighed=np.asarray(unweighed))


def judge_largest(found: Largest, verdicts: Verdicts) -> tuple[bool, bool]:
    """Return whether too few contribute to a set, and whether one or two dominate it."""
    rules = verdicts.rules
    few = 0 < found.units < rules.min_units
    if not verdicts.are_totals:
        return few, False
    sizes = (found.absolute, found.largest, found.second)
    dominated = is_dominated(*sizes, top=rules.dominance_top, share=rules.dominance_share)
    return few, dominated or is_p_sensitive(*sizes, p_percent=rules.p_percent)


def _members(classes: Ints, places: Sequence[int], wanted: SecretSet) -> Bools:
    inside = np.ones(len(classes), dtype=bool)
    for number, place in enumerate(places):
        mask = np.frombuffer(wanted[place], dtype=bool)
        # Where there is no null, what has no value is not in that version: in no set but that of all classes.
        inside &= np.append(mask, mask.all())[np.minimum(classes[:, number], len(mask))]
    return inside


def _bounded(asked: Doubtful, found: Largest) -> Largest:
    """Return figures for a set whose small units were left out: as many and as large as they can be."""
    if asked.total is None:
        return found
    return Largest(
        units=sys.maxsize,
        absolute=int(asked.total * (1 - _MARGIN)),
        largest=max(found.largest, asked.least),
        second=max(found.second, asked.least),
    )


def _together(one: Largest, other: Largest) -> Largest:
    """Return a bound for two versions together: a unit may be in both."""
    return Largest(
        units=max(one.units, other.units),
        absolute=one.absolute + other.absolute,
        largest=one.largest + other.largest,
        second=one.second + other.second,
    )
