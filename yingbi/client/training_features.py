"""What a federation learns from: columns as the catalogues of all its members declare them, the same at each.

Bounds, edges and codes are public declarations. A name alone takes them from the catalogue, and has to mean the same
at all members, for a sum over different bins would mean nothing. Somebody who says otherwise names what he says.
"""

import difflib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from sandbox.catalog.literals import decimal_text
from sandbox.catalog.model import DataItem, ItemRole, ItemType
from yingbi.client.catalogue import DatasetRecord
from yingbi.client.problems import UnknownNameError, plain
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.plan.model import CodedFeature, NumericFeature, TrainingFeature

__all__ = ["Asked", "declared_item", "number_text", "read_features"]

Asked = str | Mapping[str, object]
"""A feature as it is asked for: the name of a column, or a mapping of `name` and what the asker says of it."""

_NUMBERS: Final = frozenset({ItemType.INTEGER, ItemType.DECIMAL})
_CODED: Final = frozenset({ItemType.BOOLEAN, ItemType.CODE})
_NUMERIC_MEMBERS: Final = ("bounds", "edges")
_FLAGS: Final = ("false", "true")
_MAX_SHOWN: Final = 6


def read_features(
    records: Sequence[DatasetRecord], asked: Sequence[Asked], *, with_edges: bool
) -> tuple[TrainingFeature, ...]:
    """Return features as every member declares them; edges only for a recipe that takes bins.

    Raises:
        UnknownNameError: a data set has no such column.
        InvalidRequestError: a column cannot be learned from, or the members declare it differently.
    """
    return tuple(_feature(records, one, with_edges=with_edges) for one in asked)


def declared_item(record: DatasetRecord, name: str) -> DataItem:
    """Return a column of a member's data set.

    Raises:
        UnknownNameError: there is none; the hint has the nearest names.
    """
    item = record.dataset.item(name)
    if item is None:
        close = difflib.get_close_matches(name[:64], [one.name for one in record.dataset.items], n=3, cutoff=0.5)
        known = f"did you mean {_listed(close)}" if close else f"it has {_listed(_learnable(record))}"
        raise UnknownNameError(ErrorCode.NAME_UNKNOWN, f"no column `{plain(name)[:64]}` in {record.name}", hint=known)
    return item


def number_text(value: object, name: str) -> str:
    """Return a number as a plan has it: a decimal as text, never an exponent where Python wrote none.

    Raises:
        InvalidRequestError: it is no number.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        if number.is_finite():
            return decimal_text(number)
    raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, f"expected a number in `{name}`, such as '0.01'")


def _feature(records: Sequence[DatasetRecord], asked: Asked, *, with_edges: bool) -> TrainingFeature:
    name, said = _said(asked)
    first, *others = (_declared(record, name, with_edges=with_edges) for record in records)
    _check_said(name, first, said)
    for record, other in zip(records[1:], others, strict=True):
        _check_same(name, {**first, **said}, {**other, **said}, first=records[0].name, other=record.name)
    found = {**first, **said}
    if "codes" in found:
        return CodedFeature(name=name, codes=found["codes"])
    low, high = found["bounds"] if len(found["bounds"]) == 2 else ("", "")
    return NumericFeature(name=name, bounds=(low, high), edges=found["edges"])


def _said(asked: Asked) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Return a feature's name, and what its asker says of it."""
    if isinstance(asked, str):
        return asked, {}
    name, known = asked.get("name"), {"name", "kind", "codes", *_NUMERIC_MEMBERS}
    if not isinstance(name, str) or not set(asked) <= known:
        raise InvalidRequestError(
            ErrorCode.PLAN_MALFORMED,
            "expected a feature as the name of a column, or as a mapping with `name`",
            hint=f"members: {', '.join(sorted(known))}",
        )
    return name, {key: _values(value, f"{name}.{key}") for key, value in asked.items() if key not in ("name", "kind")}


def _values(value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, f"expected a list in `{plain(name)[:80]}`")
    return tuple(number_text(one, plain(name)[:80]) for one in value)


def _declared(record: DatasetRecord, name: str, *, with_edges: bool) -> dict[str, tuple[str, ...]]:
    """Return what a member's catalogue says of a column: its codes, or bounds and edges."""
    item = declared_item(record, name)
    if item.role is not ItemRole.UNIT and item.type in _CODED:
        return {"codes": _FLAGS if item.type is ItemType.BOOLEAN else item.domain or ()}
    if item.role is not ItemRole.UNIT and item.type in _NUMBERS and item.bounds is not None:
        bounds = tuple(decimal_text(bound) for bound in item.bounds)
        return {"bounds": bounds, "edges": (item.edges or ()) if with_edges else ()}
    what = "names the unit" if item.role is ItemRole.UNIT else f"is of type {item.type}"
    raise InvalidRequestError(
        ErrorCode.PLAN_MALFORMED,
        f"column `{name}` of {record.name} {what}: numbers with bounds, codes and booleans are learned from",
        hint=f"these are: {_listed(_learnable(record))}",
    )


def _check_said(name: str, declared: Mapping[str, object], said: Mapping[str, object]) -> None:
    if not set(said) <= set(declared):
        what, fits = ("a code", "codes") if "codes" in declared else ("a number", ", ".join(_NUMERIC_MEMBERS))
        raise InvalidRequestError(ErrorCode.PLAN_MALFORMED, f"column `{name}` is {what}: expected nothing but {fits}")


def _check_same(
    name: str, one: Mapping[str, tuple[str, ...]], another: Mapping[str, tuple[str, ...]], *, first: str, other: str
) -> None:
    """Refuse a column that two members declare differently; in which order codes stand is nobody's business."""
    if one.keys() != another.keys():
        kinds = ["a code" if "codes" in found else "a number" for found in (one, another)]
        raise _differing(name, f"is {kinds[1]} in {other}, and {kinds[0]} in {first}", None)
    for key, values in one.items():
        theirs = another[key]
        if set(values) != set(theirs) if key == "codes" else values != theirs:
            raise _differing(
                name, f"has other {key} in {other} ({_shown(theirs)}) than in {first} ({_shown(values)})", key
            )


def _differing(name: str, how: str, key: str | None) -> InvalidRequestError:
    hint = "take a column that all members declare alike"
    if key is not None:
        hint = f"{{'name': '{name}', '{key}': [...]}} says which, where every member's agreement allows it"
    return InvalidRequestError(ErrorCode.PLAN_MALFORMED, f"feature `{name}` {how}", hint=hint)


def _learnable(record: DatasetRecord) -> list[str]:
    items = (one for one in record.dataset.items if one.role is not ItemRole.UNIT)
    return [one.name for one in items if one.type in _NUMBERS | _CODED]


def _shown(values: Sequence[str]) -> str:
    more = f", and {len(values) - _MAX_SHOWN} more" if len(values) > _MAX_SHOWN else ""
    return (", ".join(values[:_MAX_SHOWN]) or "none") + more


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
