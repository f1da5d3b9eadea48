"""A node's folder.

```
node.toml       who the node is and what a computation may use, as a file people edit
node.sqlite     catalogue, history of releases, questions, held results
data/           published snapshots, immutable
registry/       which number stands for which unit: never enters a cage, never leaves
scratch/        where computations spill; emptied when they end
```
"""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from sqlalchemy import Engine, inspect

from sandbox.catalog.store import CatalogueStore
from sandbox.database import open_database
from sandbox.engine_duckdb.registry import UnitRegistry
from sandbox.isolation.limits import Limits
from sandbox.migrations import newest_revision, read_revision, upgrade
from yingbi.clock import Clock, SystemClock
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, NotFoundError
from yingbi.ids import parse_party

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CONFIG_NAME", "NodeConfig", "NodeHome"]

CONFIG_NAME: Final = "node.toml"
_DATABASE: Final = "node.sqlite"
_FOLDERS: Final = ("data", "registry", "scratch")
_MEMBERS: Final[Mapping[str, type]] = {"name": str, "owner": str, "isolation": str, "limits": dict}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Who the node is (`node:…`), which unit owns it (`unit:…`), how computations are isolated, and their limits.

    `isolation` is `bubblewrap`, or `none-for-development`, which is logged loudly at every run.
    """

    name: str
    owner: str
    isolation: str = "bubblewrap"
    limits: Limits = field(default_factory=Limits)
