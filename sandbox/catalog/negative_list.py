"""The negative list: names, titles, classifications and single items that are never computed on (docs/catalogue.md).

The list only ever adds: an item that its owner declared to be on it stays so, whatever the list says. Texts are
compared after compatibility normalisation (NFKC), without case and spaces, so that `ＩＤ Card` is `idcard`.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.catalog.model import DataItem, Dataset
from sandbox.catalog.problem import CatalogueInvalidError, Problem
from sandbox.catalog.validate import MAX_LABEL, NAME_PATTERN, is_dataset_name, is_label
from yingbi.canonical import JsonValue
from yingbi.events.fields import OneOf

__all__ = [
    "MAX_RULES",
    "NegativeHit",
    "NegativeList",
    "NegativeRule",
    "RuleKind",
    "mark",
    "negative_list_to_json",
    "parse_negative_list",
]

MAX_RULES: Final = 1_000


class RuleKind(StrEnum):
    """What of an item a rule looks at."""

    NAME = "name"
    TITLE = "title"
    CLASSIFICATION = "classification"
    ITEM = "item"


@dataclass(frozen=True, slots=True, kw_only=True)
class NegativeRule:
    """One rule: a pattern in which `*` stands for any text, or for `ITEM` exactly `unit/resource#item`."""

    kind: RuleKind
    pattern: str
    reason: str

    def hits(self, dataset: Dataset, item: DataItem) -> bool:
        """Return whether the rule puts an item on the list."""
        match self.kind:
            case RuleKind.NAME:
                return _matches(self.pattern, item.name)
            case RuleKind.TITLE:
                return _matches(self.pattern, item.title)
            case RuleKind.CLASSIFICATION:
                return item.classification is not None and _matches(self.pattern, item.classification)
            case RuleKind.ITEM:
                return self.pattern == f"{dataset.name}#{item.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NegativeList:
    """All rules of a node."""

    rules: tuple[NegativeRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NegativeHit:
    """An item on the list, and the rule that put it there; no rule where its owner declared it so."""

    dataset: str
    item: str
    rule: NegativeRule | None


def mark(dataset: Dataset, negative_list: NegativeList) -> tuple[Dataset, tuple[NegativeHit, ...]]:
    """Return a data set with every item marked that is on the list, and why each is.

    INVARIANT: no mark is ever taken away, and another rule never takes away a hit.
    """
    hits = tuple(hit for item in dataset.items for hit in _hits(dataset, item, negative_list))
    hit_names = {hit.item for hit in hits}
    items = tuple(
        replace(item, on_negative_list=True) if item.name in hit_names and not item.on_negative_list else item
        for item in dataset.items
    )
    return (dataset if items == dataset.items else replace(dataset, items=items)), hits


def negative_list_to_json(negative_list: NegativeList) -> list[JsonValue]:
    """Return the JSON form of a list."""
    return [{"kind": rule.kind.value, "pattern": rule.pattern, "reason": rule.reason} for rule in negative_list.rules]


def parse_negative_list(value: JsonValue | list[Mapping[str, object]]) -> NegativeList:
    """Read the JSON form of a list.

    Raises:
        CatalogueInvalidError: not an array of rules, or a pattern that would put everything on it.
    """
    try:
        wires = _ListWire.model_validate({"rules": value}).rules
    except ValidationError:
        message = f"expected at most {MAX_RULES} rules of `kind`, `pattern` and `reason`"
        raise CatalogueInvalidError.of([Problem(path="rules", message=message)]) from None
    problems = [problem for index, wire in enumerate(wires) for problem in _check_rule(index, wire)]
    if problems:
        raise CatalogueInvalidError.of(problems)
    return NegativeList(rules=tuple(NegativeRule(**dict(wire)) for wire in wires))


class _RuleWire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    kind: OneOf[RuleKind]
    pattern: str
    reason: str


class _ListWire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    rules: Annotated[list[_RuleWire], Field(max_length=MAX_RULES)]


def _check_rule(index: int, wire: _RuleWire) -> list[Problem]:
    problems = []
    if not is_label(wire.pattern) or not _fold(wire.pattern).strip("*"):
        message = f"expected one printable line of at most {MAX_LABEL} characters with more than `*`"
        problems.append(Problem(path=f"rules[{index}].pattern", message=message))
    elif wire.kind is RuleKind.ITEM and not _is_item(wire.pattern):
        problems.append(Problem(path=f"rules[{index}].pattern", message="expected `unit/resource#item`"))
    if not is_label(wire.reason):
        message = f"expected one printable line of at most {MAX_LABEL} characters"
        problems.append(Problem(path=f"rules[{index}].reason", message=message))
    return problems


def _is_item(pattern: str) -> bool:
    dataset, _, item = pattern.partition("#")
    return is_dataset_name(dataset) and re.fullmatch(NAME_PATTERN, item) is not None


def _hits(dataset: Dataset, item: DataItem, negative_list: NegativeList) -> list[NegativeHit]:
    found: list[NegativeRule | None] = [rule for rule in negative_list.rules if rule.hits(dataset, item)]
    if item.on_negative_list and not found:
        found = [None]
    return [NegativeHit(dataset=dataset.name, item=item.name, rule=rule) for rule in found]


@lru_cache(maxsize=8192)
def _fold(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def _matches(pattern: str, text: str) -> bool:
    """Match a pattern with `*`, greedily from the left: linear, where a regular expression might not be."""
    parts, text = _fold(pattern).split("*"), _fold(text)
    if len(parts) == 1:
        return text == parts[0]
    first, *middle, last = parts
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
