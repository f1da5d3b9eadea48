"""What a catalogue entry must satisfy before a node lists it (docs/catalogue.md, "What is checked").

Only the declaration is read, never data. Messages name members and rules, and quote nothing that was declared.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

from sandbox.catalog.literals import canonical_literal, decimal_text, order_key
from sandbox.catalog.model import DataItem, Dataset, ItemRole, ItemType
from sandbox.catalog.problem import Problem
from yingbi.ids import PARTY_PATTERN

__all__ = [
    "DATASET_PATTERN",
    "MAX_DECIMALS",
    "MAX_DESCRIPTION",
    "MAX_DOMAIN",
    "MAX_EDGES",
    "MAX_FIXED_POINT",
    "MAX_ITEMS",
    "MAX_LABEL",
    "MAX_ROWS_PER_UNIT",
    "NAME_PATTERN",
    "NUMBERS",
    "check_dataset",
    "check_item",
    "is_dataset_name",
    "is_label",
]

NAME_PATTERN: Final = r"[a-z][a-z0-9_]{0,62}"
_OWNERS: Final = ("unit:", "partner:")
_SLUG: Final = r"[a-z](?:[a-z0-9_-]{0,61}[a-z0-9])?"
DATASET_PATTERN: Final = rf"{_SLUG}/{_SLUG}"
MAX_ITEMS: Final = 512
MAX_LABEL: Final = 200
MAX_DESCRIPTION: Final = 4_000
MAX_DECIMALS: Final = 6
MAX_DOMAIN: Final = 100_000
MAX_EDGES: Final = 1_000
MAX_ROWS_PER_UNIT: Final = 1_000_000
# Values are stored as 64-bit integers of the item's scale.
MAX_FIXED_POINT: Final = 2**63 - 1

NUMBERS: Final = frozenset({ItemType.INTEGER, ItemType.DECIMAL})
_ORDERED: Final = NUMBERS | {ItemType.DATE}
_KEYS: Final = frozenset({ItemRole.UNIT, ItemRole.ROW_KEY})

_Found = Iterator[tuple[str, str]]


def check_dataset(dataset: Dataset) -> list[Problem]:
    """Return everything that is wrong with a declaration; an empty list means that it may be listed."""
    found = [Problem(path=path, message=message) for path, message in _check_head(dataset)]
    if len(dataset.items) > MAX_ITEMS:
        return found
    for index, item in enumerate(dataset.items):
        found += [
            Problem(path=f"items[{index}].{problem.path}", message=problem.message) for problem in check_item(item)
        ]
    found += [Problem(path=path, message=message) for path, message in _check_keys(dataset)]
    found += [Problem(path=path, message=message) for path, message in _check_parents(dataset)]
    return found


def check_item(item: DataItem) -> list[Problem]:
    """Return everything that is wrong with an item by itself."""
    return [Problem(path=path, message=message) for check in _ITEM_CHECKS for path, message in check(item)]


def is_dataset_name(text: str) -> bool:
    """Return whether `text` is `unit/resource`, two slugs."""
    return re.fullmatch(DATASET_PATTERN, text) is not None


def is_label(text: str, *, max_length: int = MAX_LABEL, may_have_lines: bool = False) -> bool:
    """Return whether `text` is fit to be shown: not empty, not too long, printable, NFC, without outer spaces.

    SECURITY: what is not printable (controls, bidirectional overrides, lone surrogates) could disguise what an item is.
    """
    lines = text.split("\n") if may_have_lines else [text]
    return (
        0 < len(text) <= max_length
        and text == text.strip()
        and all(line.isprintable() for line in lines)
        and unicodedata.is_normalized("NFC", text)
    )


def _check_head(dataset: Dataset) -> _Found:
    if not is_dataset_name(dataset.name):
        yield "name", "expected `unit/resource`, two slugs of lower-case letters, digits, `_` and `-`"
    if not is_label(dataset.title):
        yield "title", f"expected one printable line of at most {MAX_LABEL} characters"
    if not (re.fullmatch(PARTY_PATTERN, dataset.owner) and dataset.owner.startswith(_OWNERS)):
        yield "owner", "expected a source unit such as `unit:futian-tax`, or a partner with a node of its own"
    if not _is_description(dataset.description):
        yield "description", f"expected printable lines of at most {MAX_DESCRIPTION} characters"
    if not 1 <= dataset.max_rows_per_unit <= MAX_ROWS_PER_UNIT:
        yield "max_rows_per_unit", f"expected 1 to {MAX_ROWS_PER_UNIT}"
    if not 1 <= len(dataset.items) <= MAX_ITEMS:
        yield "items", f"expected 1 to {MAX_ITEMS} items, got {len(dataset.items)}"


def _check_keys(dataset: Dataset) -> _Found:
    roles = [item.role for item in dataset.items]
    if (units := roles.count(ItemRole.UNIT)) != 1:
        yield "items", f"expected exactly one item with role `unit`, got {units}"
    if dataset.max_rows_per_unit > 1 and ItemRole.ROW_KEY not in roles:
        # INVARIANT: history knows a row of several by its key; without one, versions could not be compared.
        yield "items", "expected an item with role `row-key` where a unit may have several rows"
    seen: set[str] = set()
    for index, item in enumerate(dataset.items):
        if item.name in seen:
            yield f"items[{index}].name", "expected each name once"
        seen.add(item.name)


def _check_parents(dataset: Dataset) -> _Found:
    # Of two items with one name (a problem of its own) the last counts.
    items = {item.name: item for item in dataset.items}
    looping = _looping(items)
    for index, item in enumerate(dataset.items):
        if item.parent is None:
            continue
        parent = items.get(item.parent)
        if parent is None:
            yield f"items[{index}].parent", "expected an item of the same data set"
        elif item.name in looping:
            yield f"items[{index}].parent", "expected a hierarchy, got a cycle"
        elif parent.type is not ItemType.CODE or item.type is not ItemType.CODE:
            yield f"items[{index}].parent", "expected a code with a code as parent"


def _looping(items: dict[str, DataItem]) -> set[str]:
    """Return the names from which the way up never ends."""
    settled: dict[str, bool] = {}
    for start in items:
        way: list[str] = []
        at: str | None = start
        while at is not None and at in items and at not in settled and at not in way:
            way.append(at)
            at = items[at].parent
        is_loop = at in way or settled.get(at or "", False)
        settled.update(dict.fromkeys(way, is_loop))
    return {name for name, is_loop in settled.items() if is_loop}


def _check_labels(item: DataItem) -> _Found:
    if not re.fullmatch(NAME_PATTERN, item.name):
        yield "name", "expected a lower-case letter and at most 62 letters, digits and `_`"
    if not is_label(item.title):
        yield "title", f"expected one printable line of at most {MAX_LABEL} characters"
    for member, text in (("classification", item.classification), ("unit_of_measure", item.unit_of_measure)):
        if text is not None and not is_label(text):
            yield member, f"expected one printable line of at most {MAX_LABEL} characters"
    if not _is_description(item.description):
        yield "description", f"expected printable lines of at most {MAX_DESCRIPTION} characters"


def _check_role(item: DataItem) -> _Found:
    if item.role in _KEYS and item.nullable:
        yield "nullable", "expected `false` for what identifies a unit or a row"
    if item.role is ItemRole.UNIT and item.type in (ItemType.DECIMAL, ItemType.BOOLEAN, ItemType.DATE):
        yield "type", "expected `text`, `integer` or `code` for what identifies a unit"


def _check_decimals(item: DataItem) -> _Found:
    if not 0 <= item.decimals <= MAX_DECIMALS:
        yield "decimals", f"expected 0 to {MAX_DECIMALS}, got {item.decimals}"
    elif item.decimals and item.type is not ItemType.DECIMAL:
        yield "decimals", "expected 0 for what is not a decimal"


def _check_bounds(item: DataItem) -> _Found:
    if item.type not in NUMBERS:
        if item.bounds is not None:
            yield "bounds", "expected bounds for numbers only"
        return
    if item.bounds is None:
        if item.role is not ItemRole.UNIT:
            yield "bounds", "expected a declared least and greatest value of a number"
        return
    least, greatest = item.bounds
    if not 0 <= item.decimals <= MAX_DECIMALS:
        return  # a problem of its own
    if not (_fits(least, item) and _fits(greatest, item)):
        yield "bounds", "expected finite numbers with at most the item's decimals that fit 64 bits at its scale"
    elif least > greatest:
        yield "bounds", "expected a least value that is not above the greatest"


def _check_domain(item: DataItem) -> _Found:
    if item.type is not ItemType.CODE:
        if item.domain is not None:
            yield "domain", "expected a domain for codes only"
        return
    if not item.domain:
        yield "domain", "expected every value of a code"
        return
    if len(item.domain) > MAX_DOMAIN:
        yield "domain", f"expected at most {MAX_DOMAIN} values, got {len(item.domain)}"
    if len(set(item.domain)) != len(item.domain):
        yield "domain", "expected each value once"
    for index, value in enumerate(item.domain):
        if not is_label(value):
            yield f"domain[{index}]", f"expected one printable line of at most {MAX_LABEL} characters"


def _check_edges(item: DataItem) -> _Found:
    if item.edges is None:
        return
    if item.type not in _ORDERED:
        yield "edges", "expected edges for numbers and dates only"
        return
    if not 1 <= len(item.edges) <= MAX_EDGES:
        yield "edges", f"expected 1 to {MAX_EDGES} edges, got {len(item.edges)}"
    malformed = [index for index, edge in enumerate(item.edges) if canonical_literal(item, edge) != edge]
    for index in malformed:
        yield f"edges[{index}]", f"expected a canonical literal of type `{item.type}`"
    if malformed:
        return
    keys = [order_key(item, edge) for edge in item.edges]
    if keys != sorted(set(keys)):
        yield "edges", "expected ascending edges, each once"
    yield from _check_edges_within(item)


def _check_edges_within(item: DataItem) -> _Found:
    if item.bounds is None or item.edges is None or not all(bound.is_finite() for bound in item.bounds):
        return
    least, greatest = item.bounds
    for index, edge in enumerate(item.edges):
        if not least <= Decimal(edge) <= greatest:
            yield f"edges[{index}]", "expected an edge within the bounds"


def _fits(bound: Decimal, item: DataItem) -> bool:
    if not bound.is_finite() or abs(bound.adjusted()) > len(str(MAX_FIXED_POINT)):
        return False
    if canonical_literal(item, decimal_text(bound)) is None:
        return False
    return bool(abs(bound) * 10**item.decimals <= MAX_FIXED_POINT)


def _is_description(text: str | None) -> bool:
    return text is None or is_label(text, max_length=MAX_DESCRIPTION, may_have_lines=True)


_ITEM_CHECKS: Final[tuple[Callable[[DataItem], _Found], ...]] = (
    _check_labels,
    _check_role,
    _check_decimals,
    _check_bounds,
    _check_domain,
    _check_edges,
)
