"""Block data: district, streets, communities, grids and buildings, in two versions of the hierarchy.

The ten streets and their codes are Futian's; how many communities and grids a street has, and where they run, is made
up, so that the totals are those of the two sources that disagree: 95 communities and 1,232 grids, 92 and 1,646. Nothing
here depends on seed or scale: domains are declarations.
"""

from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["STREETS", "BlockMap", "Hierarchy", "Street", "block_map", "communities", "grids"]

_BUILDINGS_A_GRID: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Street:
    """A street office: how many communities and grids it has in each version, its share of firms and persons (‰)."""

    code: str
    name: str
    communities: tuple[int, int]
    grids: tuple[int, int]
    firms: int
    persons: int

    @property
    def buildings(self) -> int:
        """Return how many buildings stand there."""
        return _BUILDINGS_A_GRID * self.grids[0]


def _street(code: str, name: str, *counts: int) -> Street:
    old, new, old_grids, new_grids, firms, persons = counts
    return Street(
        code=code, name=name, communities=(old, new), grids=(old_grids, new_grids), firms=firms, persons=persons
    )


STREETS: Final = (
    _street("440304001", "南园街道", 9, 9, 112, 148, 90, 80),
    _street("440304002", "园岭街道", 8, 8, 96, 128, 70, 75),
    _street("440304004", "福田街道", 12, 11, 168, 226, 190, 130),
    _street("440304005", "沙头街道", 12, 11, 164, 220, 170, 160),
    _street("440304006", "香蜜湖街道", 9, 9, 108, 144, 100, 95),
    _street("440304007", "梅林街道", 12, 12, 156, 208, 90, 150),
    _street("440304008", "莲花街道", 12, 11, 160, 214, 110, 140),
    _street("440304009", "华富街道", 8, 8, 94, 126, 50, 60),
    _street("440304010", "福保街道", 6, 6, 78, 104, 50, 55),
    _street("440304011", "华强北街道", 7, 7, 96, 128, 80, 55),
)


class Hierarchy(Enum):
    """A version of the hierarchy: its place in the counts of a street, and the mark in its codes."""

    BASE = (0, "")
    Y2025 = (1, "N")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockMap:
    """Where each building is, street by street: indices into `STREETS`, `communities(...)` and `grids(...)`.

    Arrays are int32 of shape (buildings,); `first` is the first building of each street, and one past the last.
    """

    first: NDArray[np.int64]
    street: NDArray[np.int32]
    community: NDArray[np.int32]
    grid: NDArray[np.int32]
    community_2025: NDArray[np.int32]
    grid_2025: NDArray[np.int32]


def communities(version: Hierarchy = Hierarchy.BASE) -> tuple[str, ...]:
    """Return the codes of all communities of a version, in order."""
    return tuple(dict.fromkeys(grid.rpartition("-")[0] for grid in grids(version)))


@cache
def grids(version: Hierarchy = Hierarchy.BASE) -> tuple[str, ...]:
    """Return the codes of all grids of a version, in order: street, community, grid."""
    place, mark = version.value
    return tuple(
        f"{street.code}-{mark}{community + 1:02}-{grid + 1:03}"
        for street in STREETS
        for community, count in enumerate(_split(street.grids[place], street.communities[place]))
        for grid in range(count)
    )


@cache
def block_map() -> BlockMap:
    """Place all buildings in both versions of the hierarchy."""
    first = np.cumsum([0, *(street.buildings for street in STREETS)], dtype=np.int64)
    street = np.repeat(np.arange(len(STREETS), dtype=np.int32), np.diff(first))
    community, grid = _cut(Hierarchy.BASE)
    community_2025, grid_2025 = _cut(Hierarchy.Y2025)
    return BlockMap(
        first=first,
        street=street,
        community=community,
        grid=grid,
        community_2025=community_2025,
        grid_2025=grid_2025,
    )


def _cut(version: Hierarchy) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Cut each street's row of buildings into communities and these into grids, as evenly as whole numbers allow."""
    place, _ = version.value
    in_community: list[int] = []
    in_grid: list[int] = []
    for street in STREETS:
        wanted = _split(street.grids[place], street.communities[place])
        for grid_count, building_count in zip(wanted, _split(street.buildings, len(wanted)), strict=True):
            in_community.append(building_count)
            in_grid += _split(building_count, grid_count)
    return _label(in_community), _label(in_grid)


def _label(sizes: list[int]) -> NDArray[np.int32]:
    return np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)


def _split(total: int, parts: int) -> list[int]:
    return [total * (part + 1) // parts - total * part // parts for part in range(parts)]
