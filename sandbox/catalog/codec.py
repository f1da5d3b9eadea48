"""A data set as JSON and back (docs/catalogue.md, "JSON form"); its canonical bytes name a revision.

Decimals travel as canonical text, and every member is written, so that one declaration has one digest. Reading checks
the form only; `sandbox.catalog.validate.check_dataset` checks what is meant.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.catalog.literals import MAX_DIGITS, decimal_text
from sandbox.catalog.model import DataItem, Dataset, ItemRole, ItemType, UpdateCycle, Visibility
from sandbox.catalog.problem import CatalogueInvalidError, Problem
from sandbox.catalog.validate import MAX_DOMAIN, MAX_EDGES, MAX_ITEMS
from yingbi.canonical import JsonValue, canonical_bytes, digest_json, parse_canonical
from yingbi.events.fields import Grade, OneOf, Openness, PrivacyUnit

__all__ = [
    "MAX_DATASET_BYTES",
    "dataset_digest",
    "dataset_to_json",
    "decode_dataset",
    "encode_dataset",
    "item_to_json",
    "parse_dataset",
]

MAX_DATASET_BYTES: Final = 64 << 20
# Sanity bounds of the form; what is meant has tighter ones, with better messages.
_Text = Annotated[str, Field(max_length=65_536)]
_Number = Annotated[str, Field(pattern=r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$", max_length=MAX_DIGITS)]
_Small = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]


class _Wire(BaseModel):
    # SECURITY: nothing unknown, nothing converted, and no input in messages.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class _ItemWire(_Wire):
    name: _Text
    title: _Text
    type: OneOf[ItemType]
    role: OneOf[ItemRole] = ItemRole.ATTRIBUTE
    visibility: OneOf[Visibility] = Visibility.CONFIDENTIAL
    grade: OneOf[Grade] = Grade.GENERAL_4
    classification: _Text | None = None
    unit_of_measure: _Text | None = None
    decimals: _Small = 0
    nullable: bool = True
    bounds: Annotated[list[_Number], Field(min_length=2, max_length=2)] | None = None
    domain: Annotated[list[_Text], Field(max_length=MAX_DOMAIN)] | None = None
    edges: Annotated[list[_Text], Field(max_length=MAX_EDGES)] | None = None
    parent: _Text | None = None
    on_negative_list: bool = False
    description: _Text | None = None

    def item(self) -> DataItem:
        """Return the item."""
        members = dict(self)
        for name in ("domain", "edges"):
            members[name] = None if members[name] is None else tuple(members[name])
        members["bounds"] = None if self.bounds is None else (Decimal(self.bounds[0]), Decimal(self.bounds[1]))
        return DataItem(**members)


class _DatasetWire(_Wire):
    name: _Text
    title: _Text
    owner: _Text
    privacy_unit: OneOf[PrivacyUnit]
    items: Annotated[list[_ItemWire], Field(max_length=MAX_ITEMS)]
    openness: OneOf[Openness] = Openness.CONDITIONAL
    membership: OneOf[Visibility] = Visibility.CONFIDENTIAL
    max_rows_per_unit: _Small = 1
    update_cycle: OneOf[UpdateCycle] = UpdateCycle.IRREGULAR
    description: _Text | None = None

    def dataset(self) -> Dataset:
        """Return the data set."""
        members = dict(self)
        members["items"] = tuple(item.item() for item in self.items)
        return Dataset(**members)


def dataset_to_json(dataset: Dataset) -> dict[str, JsonValue]:
    """Return the JSON form of a data set, every member written."""
    return {
        "name": dataset.name,
        "title": dataset.title,
        "owner": dataset.owner,
        "privacy_unit": dataset.privacy_unit.value,
        "items": [item_to_json(item) for item in dataset.items],
        "openness": dataset.openness.value,
        "membership": dataset.membership.value,
        "max_rows_per_unit": dataset.max_rows_per_unit,
        "update_cycle": dataset.update_cycle.value,
        "description": dataset.description,
    }


def item_to_json(item: DataItem) -> dict[str, JsonValue]:
    """Return the JSON form of an item, every member written."""
    return {
        "name": item.name,
        "title": item.title,
        "type": item.type.value,
        "role": item.role.value,
        "visibility": item.visibility.value,
        "grade": item.grade.value,
        "classification": item.classification,
        "unit_of_measure": item.unit_of_measure,
        "decimals": item.decimals,
        "nullable": item.nullable,
        "bounds": None if item.bounds is None else [decimal_text(bound) for bound in item.bounds],
        "domain": None if item.domain is None else list(item.domain),
        "edges": None if item.edges is None else list(item.edges),
        "parent": item.parent,
        "on_negative_list": item.on_negative_list,
        "description": item.description,
    }


def parse_dataset(value: JsonValue | Mapping[str, object]) -> Dataset:
    """Read the JSON form of a data set; members with a default may be absent.

    Raises:
        CatalogueInvalidError: a member is unknown, missing or of another kind; `problems` lists them all.
    """
    try:
        return _DatasetWire.model_validate(value).dataset()
    except ValidationError as error:
        raise CatalogueInvalidError.of([_as_problem(found["loc"], found["type"]) for found in error.errors()]) from None


def encode_dataset(dataset: Dataset) -> bytes:
    """Return the canonical bytes of a data set."""
    return canonical_bytes(dataset_to_json(dataset))


def decode_dataset(data: bytes) -> Dataset:
    """Read canonical bytes.

    Raises:
        InvalidRequestError: not canonical JSON, or not a data set.
    """
    return parse_dataset(parse_canonical(data, max_bytes=MAX_DATASET_BYTES))


def dataset_digest(dataset: Dataset) -> str:
    """Return the digest of a data set's canonical bytes."""
    return digest_json(dataset_to_json(dataset))


def _as_problem(location: tuple[int | str, ...], kind: str) -> Problem:
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif re.fullmatch(r"[a-z_]{1,40}", part):
            path += f".{part}" if path else part
    return Problem(path=path, message=_MESSAGES.get(kind, "expected another kind of value"))


_MESSAGES: Final = {
    "extra_forbidden": "expected only known members",
    "missing": "expected this member",
    "enum": "expected one of the known codes",
    "string_type": "expected text",
    "string_too_long": "expected a shorter text",
    "string_pattern_mismatch": "expected a decimal as text, without exponent",
    "int_type": "expected an integer",
    "bool_type": "expected true or false",
    "list_type": "expected a list",
    "too_long": "expected a shorter list",
    "too_short": "expected a longer list",
    "model_type": "expected an object",
}
