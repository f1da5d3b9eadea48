"""The equations of one frame: old rows that came out, new rows that ask to, and their factor, kept from check to check.

Nothing here receives a confidential value.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sandbox.disclosure.history.partition import SecretFacet
from sandbox.disclosure.history.scopes import Versioned
from sandbox.disclosure.history.suppress import NewRows
from sandbox.disclosure.history.system import Frame, Rows, empty_factor, extend, gram, joined
from sandbox.disclosure.history.worlds import Worlds, project

__all__ = ["Basis", "Lane", "empty_basis"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CHUNK = 512


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Basis:
    """What is kept of the released rows: which of them are independent, their factor, and the classes it is over.

    `seen` is how many released rows were looked at; `kept` are indices into them. Splitting atoms or adding
    confidential columns leaves it good; other classes of a column do not. `flat`: the same of their public parts alone.
    """

    seen: int
    kept: Ints
    lower: Floats
    secret: tuple[tuple[Versioned, SecretFacet], ...] = ()
    flat: "Basis | None" = None


def empty_basis() -> Basis:
    """Return the basis of no answers."""
    return Basis(seen=0, kept=np.zeros(0, dtype=np.int64), lower=empty_factor())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lane:
    """Old rows (all released) and new rows (of which some may be) in one frame."""

    frame: Frame
    old: Rows
    new: Rows

    def caught_up(self, basis: Basis) -> Basis:
        """Return the basis with all old rows looked at; time O(m^2 n) for n that were not."""
        for begin in range(basis.seen, len(self.old), _CHUNK):
            end = min(begin + _CHUNK, len(self.old))
            chunk = self.old.take(np.arange(begin, end))
            rows = self._against(basis, chunk)
            kept, factor = rows.factor(np.flatnonzero(chunk.scale > 0))
            basis = replace(basis, seen=end, kept=np.concatenate((basis.kept, begin + kept)), lower=factor.merged())
        return basis

    def new_rows(self, basis: Basis) -> NewRows:
        """Return the new rows against the basis."""
        return self._against(basis, self.new)

    def worlds(self, basis: Basis, rows: NewRows, released: Ints, start: Floats) -> Worlds:
        """Project directions onto the worlds of all old rows and the released new ones."""
        kept, factor = rows.factor(released)
        everything = joined([self.old, self.new.take(released)])
        index = np.concatenate((basis.kept, len(self.old) + np.searchsorted(released, kept)))
        return project(self.frame, start, everything, index, factor)

    def flat(self, canonical: Ints, released: Ints) -> "Lane":
        """Return the lane in which every released cell tells its whole public part.

        What is not determined there is determined nowhere: a combination of cells that is made of some atoms' values
        leaves, in any one function of classes, a combination of public parts that is made of those atoms. `canonical`:
        one name for each part, whichever layer cut it; `released`: which new rows may come out.
        """
        frame = self.frame.flat()
        parts = canonical[np.concatenate((self.old.part, self.new.part))]
        # INVARIANT: a part counts where it is first told, and a cell that is held back tells nothing.
        may_be = np.zeros(len(self.new), dtype=bool)
        may_be[released] = True
        binds = np.concatenate((self.old.scale > 0, (self.new.scale > 0) & may_be))
        _, first = np.unique(np.where(binds, parts, -1), return_index=True)
        is_first = np.zeros(len(parts), dtype=bool)
        is_first[first] = True
        scale = np.where(is_first & binds, 1 / np.sqrt(np.maximum(frame.part_rows[parts], 1.0)), 0.0)
        whole = Rows(part=parts, secret=np.zeros(len(parts), dtype=np.int64), scale=scale)
        count = len(self.old)
        return Lane(frame=frame, old=whole.take(np.arange(count)), new=whole.take(np.arange(count, len(parts))))

    def _against(self, basis: Basis, new: Rows) -> NewRows:
        old = self.old.take(basis.kept)
        coupling, schur = extend(basis.lower, gram(self.frame, old, new), gram(self.frame, new, new))
        return NewRows(old=old, lower=basis.lower, new=new, coupling=coupling, schur=schur)
