"""Block data: two hierarchies over the same buildings."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sandbox.synth.geography import STREETS, Hierarchy, block_map, communities, grids
from tests.lib.shared_data import shared_data


def test_totals_are_those_of_the_two_sources() -> None:
    assert [(len(communities(version)), len(grids(version))) for version in Hierarchy] == [(95, 1_232), (92, 1_646)]
    for version in Hierarchy:
        assert len(set(grids(version))) == len(grids(version))


def test_streets_are_those_of_the_official_list() -> None:
    path = shared_data("cn-admin-divisions") / "shenzhen_streets.csv"
    official = {tuple(line.split(",")[:2]) for line in path.read_text("utf-8").splitlines()}
    assert {(street.code, street.name) for street in STREETS} <= official


def test_shares_of_streets_add_up() -> None:
    assert sum(street.firms for street in STREETS) == sum(street.persons for street in STREETS) == 1_000


@pytest.mark.parametrize("version", Hierarchy)
def test_each_grid_lies_in_one_community_and_each_community_in_one_street(version: Hierarchy) -> None:
    blocks = block_map()
    community, grid = (
        (blocks.community, blocks.grid) if version is Hierarchy.BASE else (blocks.community_2025, blocks.grid_2025)
    )
    assert set(grid.tolist()) == set(range(len(grids(version)))), "no grid is empty"
    codes, parents = grids(version), communities(version)
    for in_street, in_community, in_grid in zip(blocks.street.tolist(), community.tolist(), grid.tolist(), strict=True):
        assert codes[in_grid].startswith(parents[in_community] + "-")
        assert parents[in_community].startswith(STREETS[in_street].code + "-")


def test_neither_hierarchy_refines_the_other() -> None:
    blocks = block_map()

    def splits(finer: NDArray[np.int32], coarser: NDArray[np.int32]) -> bool:
        return len(set(zip(finer.tolist(), coarser.tolist(), strict=True))) > len(set(finer.tolist()))

    assert splits(blocks.grid, blocks.grid_2025)
    assert splits(blocks.grid_2025, blocks.grid)
    assert splits(blocks.community, blocks.community_2025)
    assert splits(blocks.community_2025, blocks.community)


def test_buildings_stand_in_order_of_their_streets() -> None:
    blocks = block_map()
    assert blocks.first[-1] == len(blocks.street) == 12_320
    for number in range(len(STREETS)):
        assert set(blocks.street[blocks.first[number] : blocks.first[number + 1]].tolist()) == {number}
