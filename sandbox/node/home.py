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
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, Self

from sqlalchemy import Engine

from sandbox.catalog.store import CatalogueStore
from sandbox.database import open_database, reading, writing
from sandbox.engine_duckdb.registry import UnitRegistry
from sandbox.isolation.bubblewrap import BubblewrapCage
from sandbox.isolation.cage import Cage
from sandbox.isolation.check import require_cage
from sandbox.isolation.leftovers import end_leftovers
from sandbox.isolation.limits import Limits
from sandbox.isolation.uncaged import UncagedForDevelopment
from sandbox.migrations import is_current, upgrade
from yingbi.clock import Clock, SystemClock
from yingbi.errors import (
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    SandboxError,
)
from yingbi.ids import parse_party

__all__ = ["CONFIG_NAME", "ISOLATIONS", "NodeConfig", "NodeHome", "make_cage", "upgrade_node"]

CONFIG_NAME: Final = "node.toml"
ISOLATIONS: Final = ("bubblewrap", "none-for-development")
_DATABASE: Final = "node.sqlite"
_FOLDERS: Final = ("data", "registry", "scratch")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Who the node is (`node:…`), which unit owns it (`unit:…`), how computations are isolated, and their limits.

    `isolation` is `bubblewrap`, or `none-for-development`, which is logged loudly at every run.
    """

    name: str
    owner: str
    isolation: str = "bubblewrap"
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHome:
    """An open node: its configuration and what is kept in its folder."""

    folder: Path
    config: NodeConfig
    database: Engine
    catalogue: CatalogueStore
    clock: Clock

    @classmethod
    def create(cls, folder: Path, config: NodeConfig, *, clock: Clock | None = None) -> Self:
        """Make a node in a new or empty folder; only its owner can read it.

        Raises:
            ConflictError: the folder holds something.
            InvalidRequestError: the configuration is wrong.
            UnavailableError: computations cannot be isolated here.
        """
        _check(config)
        make_cage(config, folder)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(folder.iterdir()):
            raise ConflictError(ErrorCode.NODE_EXISTS, f"folder `{folder}` is not empty")
        for name in _FOLDERS:
            (folder / name).mkdir(mode=0o700)
        database = open_database(folder / _DATABASE)
        with writing(database) as connection:
            upgrade(connection)
        database.dispose()
        # Written last: a folder without it is not a node.
        (folder / CONFIG_NAME).write_text(_render(config), "utf-8")
        return cls.open(folder, clock=clock)

    @classmethod
    def open(cls, folder: Path, *, clock: Clock | None = None) -> Self:
        """Open a node.

        Raises:
            NotFoundError: there is none.
            InvalidRequestError: its configuration is wrong, or its tables are of another version of this software.
            TamperDetectedError: its database is damaged.
        """
        config = _read(folder)
        database = open_database(folder / _DATABASE)
        with reading(database) as connection:
            if not is_current(connection):
                raise InvalidRequestError(
                    ErrorCode.CONFIG_INVALID,
                    "the node's tables are of another version",
                    hint="run `yingbi node upgrade`",
                )
        used = clock or SystemClock()
        catalogue = CatalogueStore(database, clock=used)
        # Absolute: processes of the node are known by the folder in their arguments, and others are named like it.
        return cls(folder=folder.absolute(), config=config, database=database, catalogue=catalogue, clock=used)

    @property
    def data(self) -> Path:
        """Return the folder of published snapshots."""
        return self.folder / "data"

    @property
    def scratch(self) -> Path:
        """Return the folder where computations spill."""
        return self.folder / "scratch"

    @property
    def registry(self) -> UnitRegistry:
        """Return the registry of units."""
        return UnitRegistry(self.folder / "registry" / "units.duckdb")

    def open_cage(self) -> Cage:
        """Return the cage that the configuration asks for, after trying that it holds.

        Raises:
            UnavailableError: it does not hold here.
        """
        cage = make_cage(self.config, self.folder)
        if self.config.isolation == "bubblewrap":
            require_cage(cage)
        return cage

    def clear_scratch(self) -> None:
        """Remove what dead computations left behind, processes and files; nothing may be running."""
        end_leftovers(self.scratch)
        for left in self.scratch.iterdir():
            shutil.rmtree(left, ignore_errors=True)

    def close(self) -> None:
        """Close the database."""
        self.database.dispose()


def upgrade_node(folder: Path) -> None:
    """Bring the tables of an existing node to this version of the software, in one transaction.

    Raises:
        NotFoundError: there is none.
    """
    _read(folder)
    database = open_database(folder / _DATABASE)
    try:
        with writing(database) as connection:
            upgrade(connection)
    finally:
        database.dispose()


def make_cage(config: NodeConfig, folder: Path) -> Cage:
    """Return the cage that a configuration asks for.

    Raises:
        UnavailableError: what it needs is not installed.
    """
    scratch = folder / "scratch"
    if config.isolation == "bubblewrap":
        return BubblewrapCage(scratch_root=scratch)
    return UncagedForDevelopment(scratch_root=scratch)


def _check(config: NodeConfig) -> None:
    for member, kind, party in (("name", "node", config.name), ("owner", "unit", config.owner)):
        try:
            found = parse_party(party)[0]
        except InvalidRequestError:
            found = ""
        if found != kind:
            raise _invalid(f"expected `{member}` as a party such as `{kind}:futian-tax`")
    if config.isolation not in ISOLATIONS:
        raise _invalid(f"expected `isolation` as one of: {', '.join(ISOLATIONS)}")


def _render(config: NodeConfig) -> str:
    limits = [f"{item.name} = {getattr(config.limits, item.name)}" for item in fields(Limits)]
    head = [f"{name} = {json.dumps(getattr(config, name))}" for name in ("name", "owner", "isolation")]
    return "\n".join([*head, "", "[limits]", *limits, ""])


def _read(folder: Path) -> NodeConfig:
    try:
        members = tomllib.loads((folder / CONFIG_NAME).read_text("utf-8"))
    except FileNotFoundError:
        raise NotFoundError(
            ErrorCode.NODE_NOT_FOUND,
            f"no node in folder `{folder}`",
            hint="name its folder with `--node` or in YINGBI_NODE; `yingbi node init` makes one",
        ) from None
    except OSError as error:
        raise _invalid(f"cannot be read: {os.strerror(error.errno or 0)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid("not TOML") from error
    config = _parse(members)
    _check(config)
    return config


def _parse(members: Mapping[str, object]) -> NodeConfig:
    known = {item.name for item in fields(NodeConfig)}
    limits = members.get("limits", {})
    if unknown := set(members) - known:
        raise _invalid(f"unknown member `{min(unknown)}`")
    if not isinstance(limits, dict) or not set(limits) <= {item.name for item in fields(Limits)}:
        raise _invalid(f"expected limits among: {', '.join(item.name for item in fields(Limits))}")
    texts = {name: text for name in known - {"limits"} if isinstance(text := members.get(name), str)}
    try:
        return NodeConfig(**texts, limits=Limits(**limits))
    except (TypeError, SandboxError) as error:
        raise _invalid("expected `name`, `owner` and positive limits") from error


def _invalid(what: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.CONFIG_INVALID, f"`{CONFIG_NAME}`: {what}")
