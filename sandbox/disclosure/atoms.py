"""Atoms: the finest sets of rows that released answers can tell apart.

A facet is one public way in which answers have split the rows (values of a column, or bins between edges). Rows that
agree in every facet ever used are one atom: no released answer tells them apart, so that history is decided on atoms,
of which there are far fewer than rows.

Atoms are public: they depend on public columns alone. What their units contribute is confidential
(`contributions`, `largest`), and is asked for sets only that answers determine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sandbox.operations.measure import Measure
from yingbi.plan.model import Column

__all__ = ["ABSENT", "AtomSource", "AtomTable", "Contributions", "Facet", "Largest", "Sameness"]

ABSENT = -1
"""Code of a row that has no value in a facet: null, not joined, or not in that version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """One way to split rows: `column` of `version` by its values, or by bins [e0, e1) between ascending `edges`.

    `presence=True` splits rows into those that are in that version of the data set (code 0) and those that are not
    (`ABSENT`), whatever the column says.
    """

    column: Column
    version: int
    edges: tuple[str, ...] | None = None
    presence: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sameness:
    """When rows of two versions are one row: where unit and row key agree, and `column` has one value in both.

    `is_near=True`: or has values that lie close together: of all that the row ever had, in order of size, each step
    between two is at most a tenth of the larger.
    """

    column: Column
    is_near: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AtomTable:
    """Atoms of a data set over some facets; `same` tells which rows of several versions are one.

    `codes`: atoms x facets, int32, an index into `labels[facet]` or `ABSENT`; for bins the code is the number of edges
    at or below the value, and `labels` is empty. `rows`: rows of the atom. `units`: distinct privacy units, exact below
    `cap`, else at least `cap`. `solo`: for atoms of one unit that unit's dense number (from 0), else -1.
    """

    facets: tuple[Facet, ...]
    labels: tuple[tuple[str, ...], ...]
    codes: NDArray[np.int32]
    rows: NDArray[np.int64]
    units: NDArray[np.int64]
    solo: NDArray[np.int64]
    same: Sameness | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contributions:
    """What contributes, by atom and confidential classes; confidential. An *entry* is an atom and one class a facet.

    `atom`: index into the table (k). `codes`: k x confidential facets, as in an `AtomTable`, with their `labels`.
    `rows`: rows that contribute (that have a value of the column added up). `absolute`: sum of their absolute values,
    `bound`: at least the absolute total of the unit that contributes most, over all the data set (float64; without a
    column, the rows).
    """

    atom: NDArray[np.int64]
    codes: NDArray[np.int32]
    labels: tuple[tuple[str, ...], ...]
    rows: NDArray[np.int64]
    absolute: NDArray[np.float64]
    bound: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Largest:
    """Who contributes to a set; confidential.

    `units`: distinct units that contribute; `absolute`: the sum of their absolute totals; `largest`, `second`: the two
    largest of those (fixed point; without a column, rows). Exact, but for units that were not asked for.
    """

    units: int
    absolute: int
    largest: int
    second: int


class AtomSource(Protocol):
    """Where history gets atoms from: the engine, in its cage.

    Rows of several versions of a data set are one row where unit and row key agree (and a value, with `same`); a facet
    of a joined data set is looked up by the unit, one of another version of the data set by the row.
    """

    def atoms(
        self,
        dataset: str,
        versions: Sequence[int],
        facets: Sequence[Facet],
        *,
        cap: int,
        same: Sameness | None = None,
    ) -> AtomTable:
        """Return the atoms of the rows that are in any of `versions`, over `facets`."""

    def totals(self, table: AtomTable, dataset: str, version: int, measure: Measure) -> tuple[int, ...]:
        """Return the exact total of a measure in every atom (zero where no row contributes)."""

    def contributions(
        self, table: AtomTable, dataset: str, version: int, secret: Sequence[Facet], subject: Column | None
    ) -> Contributions:
        """Return what the rows of a version contribute to `subject` (or to counts), by atom and class of `secret`."""

    def largest(
        self,
        table: AtomTable,
        dataset: str,
        version: int,
        secret: Sequence[Facet],
        subject: Column | None,
        sets: Sequence[NDArray[np.int64]],
        least: Sequence[int],
    ) -> tuple[Largest, ...]:
        """Return who contributes to each set of entries (indices into what `contributions` returns).

        `least`: units whose absolute total over all the data set is smaller may be left out (a number a set).
        """
