"""Atoms: the finest sets of rows that released answers can tell apart.

A facet is one public way in which answers have split the rows (values of a column, or bins between edges). Rows that
agree in every facet ever used are one atom: no released answer tells them apart, so that history is decided on atoms,
of which there are far fewer than rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sandbox.operations.measure import Measure
from yingbi.plan.model import Column

__all__ = ["ABSENT", "AtomSource", "AtomTable", "Facet"]

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AtomTable:
    """Atoms of a data set over some facets.

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


class AtomSource(Protocol):
    """Where history gets atoms from: the engine, in its cage.

    Rows of several versions of a data set are one row where unit and row key agree; a facet of a joined data set is
    looked up by the unit.
    """

    def atoms(self, dataset: str, versions: Sequence[int], facets: Sequence[Facet], *, cap: int) -> AtomTable:
        """Return the atoms of the rows that are in any of `versions`, over `facets`."""

    def totals(self, table: AtomTable, dataset: str, version: int, measure: Measure) -> tuple[int, ...]:
        """Return the exact total of a measure in every atom (zero where no row contributes)."""
