"""Items of declared data sets for tests: what most of them have in common."""

from collections.abc import Sequence
from decimal import Decimal

from sandbox.catalog.model import DataItem, ItemRole, ItemType, Visibility
from yingbi.events.fields import Grade

__all__ = ["boolean_item", "code_item", "number_item", "unit_item"]


def unit_item(name: str = "uscc") -> DataItem:
    """Return what identifies units."""
    return DataItem(
        name=name,
        title=name,
        type=ItemType.TEXT,
        role=ItemRole.UNIT,
        visibility=Visibility.PUBLIC,
        grade=Grade.GENERAL_2,
        nullable=False,
    )


def code_item(
    name: str,
    domain: Sequence[str],
    *,
    visibility: Visibility = Visibility.PUBLIC,
    parent: str | None = None,
) -> DataItem:
    """Return a code, public where nothing else is said."""
    return DataItem(
        name=name,
        title=name,
        type=ItemType.CODE,
        visibility=visibility,
        grade=Grade.GENERAL_1 if visibility is Visibility.PUBLIC else Grade.GENERAL_3,
        nullable=False,
        domain=tuple(domain),
        parent=parent,
    )


def number_item(
    name: str,
    bounds: tuple[int, int],
    edges: Sequence[str] | None = None,
    *,
    visibility: Visibility = Visibility.CONFIDENTIAL,
    nullable: bool = False,
) -> DataItem:
    """Return a whole number, confidential where nothing else is said."""
    return DataItem(
        name=name,
        title=name,
        type=ItemType.INTEGER,
        visibility=visibility,
        grade=Grade.GENERAL_3,
        nullable=nullable,
        bounds=(Decimal(bounds[0]), Decimal(bounds[1])),
        edges=None if edges is None else tuple(edges),
    )


def boolean_item(name: str, *, nullable: bool = False) -> DataItem:
    """Return a confidential boolean."""
    return DataItem(name=name, title=name, type=ItemType.BOOLEAN, grade=Grade.GENERAL_3, nullable=nullable)
