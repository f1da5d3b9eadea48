"""The stated bounds of history: what is checked up to here, and refused beyond (disclosure.md, section 2, exact).

Cost of one judgement over N atoms, B sets of confidential classes, T released layers of tables, m released cells and n
new ones: memory 8 m^2 + 12 N T + 24 N B r bytes, time O(m^2 n + n^3) for the factor and O(N T B r) a projection, where
r (3, more where something is determined) is the number of random directions made at a time.
"""

from dataclasses import dataclass

__all__ = ["HistoryLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLimits:
    """Bounds of one system of answers, and of the work on one proposal.

    `cells`: released cells that bind (a factor of 8 cells^2 bytes). `variables`: atoms x classes x directions.
    `sets`: sets of confidential classes. `tables`: answers in one system. `layer_pairs`:
    pairs of earlier tables whose intersections are named again (all pairs with the new one always are).
    `revealing`: determined sets to which nobody contributes.
    `meeting_atoms`: atoms x pairs of layers that are remembered (8 bytes each), and atoms x shared margins (4 bytes).
    `rounds`: rounds of suppression.
    `give_back`: lots of cells tried for release again. `proofs`: held cells for which another world is made.
    `pending`: judgements that wait to be recorded.
    """

    cells: int = 6_000
    new_cells: int = 4_000
    variables: int = 400_000_000
    sets: int = 512
    tables: int = 2_000
    layer_pairs: int = 256
    revealing: int = 512
    meeting_atoms: int = 16_000_000
    rounds: int = 64
    give_back: int = 24
    proofs: int = 16
    systems_in_memory: int = 64
    pending: int = 8
