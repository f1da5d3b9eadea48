"""Where files lie in an evidence bundle: a closed set (bundle.md, Payload), so that nothing comes along unseen."""

import re
from collections.abc import Collection
from typing import Final

from yingbi.verify.merkle import TILE_WIDTH
from yingbi.verify.source import tile_path

__all__ = ["is_known", "is_of_log"]

_KNOWN: Final = re.compile(
    r"""data/(?:
        bundle\.json | ro-crate-metadata\.json
      | log/(?:checkpoint | tile/[0-9a-z/.]+)
      | receipts/(?:[0-9]{1,16} | kept/[0-9a-f]{1,64})\.tlog-proof
      | documents/[0-9a-f]{64}\.json
      | anchors/(?P<anchor>[0-9a-f]{1,64})\.(?:json | checkpoint)
      | federations/fed(?:-[A-Za-z0-9]+)+/(?:
            terms\.json | [1-9][0-9]{0,6}-[1-9][0-9]?/[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.bin
        )
      | report/(?:
            report\.(?:en\.html | zh\.html | json) | README\.txt
          | (?:findings|jobs|approvals|checks|keys|federations|rounds)\.csv
        )
    )""",
    re.VERBOSE,
)
_TILE: Final = re.compile(r"tile/(entries|[0-9])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/[0-9]+)?")


def is_known(path: str, paths: Collection[str]) -> bool:
    """Tell whether a payload file is one of those that bundles have; a checkpoint is one beside its anchor proof."""
    match = _KNOWN.fullmatch(path)
    return match is not None and (match["anchor"] is None or f"data/anchors/{match['anchor']}.json" in paths)


def is_of_log(path: str, size: int) -> bool:
    """Tell whether a path below `log/` is of a log of this size: its checkpoint, or a tile of it, as wide as it has."""
    match = _TILE.fullmatch(path)
    if match is None:
        return path == "checkpoint"
    level = None if match[1] == "entries" else int(match[1])
    number = int(match[2].replace("x", "").replace("/", ""))
    # A tile of level L stands above 256^L entries a hash (C2SP tlog-tiles).
    width = min(TILE_WIDTH, (size >> 8 * (level or 0)) - number * TILE_WIDTH)
    return width > 0 and path == tile_path(level, number, width)
