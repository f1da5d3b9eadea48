"""The catalogue's types: data sets, data items and versions, as a node declares them.

Everything here is a declaration that its owner makes and signs, not a finding about the data: bounds, domains and
edges are public, so that nothing that depends on them can give data away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from yingbi.events.fields import Grade, Openness, PrivacyUnit

__all__ = [
    "Catalogue",
    "DataItem",
    "Dataset",
    "DatasetVersion",
    "ItemRole",
    "ItemType",
    "UpdateCycle",
    "Visibility",
]


class ItemType(StrEnum):
    """Type of a data item; a code is a text with a declared domain, a decimal is fixed-point."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    CODE = "code"
    TEXT = "text"


class ItemRole(StrEnum):
    """What an item is to its data set: who the row is about, which row of that unit, or something said about it."""

    UNIT = "unit"
    ROW_KEY = "row-key"
    ATTRIBUTE = "attribute"


class Visibility(StrEnum):
    """Whether an attacker is assumed to know the item (or the membership) of every unit already.

    The history of releases treats public items as known to everybody: they say which units a cell is made of.
    """

    PUBLIC = "public"
    CONFIDENTIAL = "confidential"


class UpdateCycle(StrEnum):
    """How often a data set is renewed."""

    REAL_TIME = "real-time"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    YEARLY = "yearly"
    IRREGULAR = "irregular"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataItem:
    """A column.

    `decimals`: digits after the point of a DECIMAL; values are stored as integers of that scale.
    `bounds`: declared least and greatest value, inclusive. `domain`: every value of a CODE (public, complete).
    `edges`: declared bin edges of a number or date, ascending, in the item's literal form; histograms and filters on
    confidential numbers use these only. `parent`: the coarser item of a hierarchy (`community` has parent `street`).
    """

    name: str
    title: str
    type: ItemType
    role: ItemRole = ItemRole.ATTRIBUTE
    visibility: Visibility = Visibility.CONFIDENTIAL
    grade: Grade = Grade.GENERAL_4
    classification: str | None = None
    unit_of_measure: str | None = None
    decimals: int = 0
    nullable: bool = True
    bounds: tuple[Decimal, Decimal] | None = None
    domain: tuple[str, ...] | None = None
    edges: tuple[str, ...] | None = None
    parent: str | None = None
    on_negative_list: bool = False
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A resource: `name` is `unit/resource`, lower case.

    `privacy_unit`: whose contribution is protected; the item with role UNIT identifies it. `max_rows_per_unit`:
    declared bound K on the rows of one unit, held at publication. `membership`: whether it is public who is in it.
    """

    name: str
    title: str
    owner: str
    privacy_unit: PrivacyUnit
    items: tuple[DataItem, ...]
    openness: Openness = Openness.CONDITIONAL
    membership: Visibility = Visibility.CONFIDENTIAL
    max_rows_per_unit: int = 1
    update_cycle: UpdateCycle = UpdateCycle.IRREGULAR
    description: str | None = None

    def item(self, name: str) -> DataItem | None:
        """Return the item of this name, or nothing."""
        return next((item for item in self.items if item.name == name), None)

    @property
    def unit_item(self) -> DataItem:
        """Return the item that identifies the privacy unit."""
        return next(item for item in self.items if item.role is ItemRole.UNIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersion:
    """An immutable snapshot: `digest` is over its manifest (schema, files and their digests).

    `rows` and `units` stay at the node; `max_rows_per_unit` is what was found, at most what was declared.
    """

    dataset: str
    version: int
    digest: str
    schema_digest: str
    rows: int
    units: int
    max_rows_per_unit: int
    published_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All data sets of a node and the current version of each; a value, so that a decision sees one state."""

    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    versions: Mapping[tuple[str, int], DatasetVersion] = field(default_factory=dict)

    def dataset(self, name: str) -> Dataset | None:
        """Return the data set of this name, or nothing."""
        return self.datasets.get(name)

    def current(self, name: str) -> DatasetVersion | None:
        """Return the newest version of a data set, or nothing where none was published."""
        numbers = [number for dataset, number in self.versions if dataset == name]
        return self.versions[name, max(numbers)] if numbers else None
