"""Reference tables of the block data: what the codes mean. They concern nobody and are not in the catalogue."""

from typing import Final

import numpy as np
import pyarrow as pa

from sandbox.catalog.model import ItemType
from sandbox.synth.catalogue import catalogue
from sandbox.synth.columns import arrow_column, text_array
from sandbox.synth.geography import STREETS, Hierarchy, block_map, communities, grids
from sandbox.synth.units import block_columns

__all__ = ["reference_tables"]

_ENTERPRISES: Final = next(dataset for dataset in catalogue() if dataset.name == "market/enterprises")
_BUILDING_DIGITS: Final = 15
"""A standard address begins with its street office and building."""


def reference_tables() -> dict[str, pa.Table]:
    """Return streets, communities, grids and buildings, by `unit/resource`; the same for every seed and scale."""
    return {
        "block/streets": pa.table(
            {
                "code": text_array([street.code for street in STREETS]),
                "name": text_array([street.name for street in STREETS]),
            }
        ),
        "block/communities": _versions({version: communities(version) for version in Hierarchy}, "community"),
        "block/grids": _versions({version: grids(version) for version in Hierarchy}, "grid"),
        "block/buildings": _buildings(),
    }


def _versions(codes: dict[Hierarchy, tuple[str, ...]], name: str) -> pa.Table:
    listed = [(version.name.lower(), code) for version in Hierarchy for code in codes[version]]
    return pa.table(
        {
            "hierarchy": text_array([version for version, _ in listed]),
            name: text_array([code for _, code in listed]),
            "parent": text_array([code.rpartition("-")[0] for _, code in listed]),
        }
    )


def _buildings() -> pa.Table:
    blocks = block_map()
    count = len(blocks.street)
    columns = block_columns(np.arange(count), np.zeros(count, dtype=np.int64))
    building = [bytes(address[:_BUILDING_DIGITS]).decode() for address in columns["address"].data]
    items = [item for item in _ENTERPRISES.items if item.type is ItemType.CODE and item.name in columns]
    codes = {item.name: arrow_column(item, columns[item.name]) for item in items}
    return pa.table({"building": text_array(building), **codes})
