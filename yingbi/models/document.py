"""Released models, read from their documents: what a partner scores with (docs/spec/recipes.md, "Model documents")."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from yingbi.canonical import JsonValue
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.models.features import ModelFeature, read_features
from yingbi.models.numbers import read_number
from yingbi.models.scorecard import Attribute, Characteristic
from yingbi.models.tolerant import Row, find, objects, row

__all__ = [
    "Column",
    "LogisticModel",
    "Model",
    "NetworkModel",
    "Role",
    "Split",
    "Tree",
    "TreesModel",
    "characteristics_of",
    "read_model",
    "woe_attributes",
]

_FORM: Final = "yingbi-model/1"
_MOST_NODES: Final = 255


class Role(StrEnum):
    """What a column of a design says of its feature."""

    VALUE = "value"
    LEVEL = "level"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One input of a model: a feature's scaled value, whether it has a code, or whether it is missing.

    `feature` and `code` are places; a scaled value is (x - middle) / half width of the bounds, and 0 where missing.
    """

    feature: int
    role: Role
    code: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticModel:
    """Log odds of the event: an intercept and a coefficient of each column."""

    features: tuple[ModelFeature, ...]
    intercept: float
    columns: tuple[Column, ...]
    coefficients: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkModel:
    """One hidden layer of tanh units over the columns, and an output: the log odds."""

    features: tuple[ModelFeature, ...]
    columns: tuple[Column, ...]
    hidden: tuple[tuple[float, ...], ...]
    hidden_bias: tuple[float, ...]
    output: tuple[float, ...]
    output_bias: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Which rows go left.

    Of a numeric feature: those below `below` (`None`: all with a number), and missing ones if `is_missing_left`. Of a
    coded one: those with the code at place `equal` (-1: those without any).
    """

    feature: int
    below: float | None = None
    equal: int = -1
    is_missing_left: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A tree: splits and values of leaves by number; the children of n are 2n + 1 (left) and 2n + 2."""

    splits: Mapping[int, Split]
    values: Mapping[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreesModel:
    """Log odds of the event: a base and the value of one leaf of each tree."""

    features: tuple[ModelFeature, ...]
    base: float
    trees: tuple[Tree, ...]


Model = LogisticModel | NetworkModel | TreesModel


def read_model(document: JsonValue) -> Model:
    """Read a model document.

    Raises:
        InvalidRequestError: another form, a recipe that has no model to score with, or anything that does not fit.
    """
    value = row(document)
    recipe = value.get("recipe")
    if value.get("form") != _FORM or not isinstance(recipe, str) or recipe not in _READERS:
        raise _malformed(f"a document of the form `{_FORM}` of a recipe that scores: {', '.join(_READERS)}")
    return _READERS[recipe](read_features(value), value)


def characteristics_of(model: LogisticModel) -> tuple[Characteristic, ...]:
    """Return a logistic regression as characteristics of a scorecard, exactly.

    A coded feature has an attribute for each code, a numeric one a line between its bounds; both have one for missing
    values.
    """
    found = []
    for place, feature in enumerate(model.features):
        pairs = zip(model.columns, model.coefficients, strict=True)
        own = {(column.role, column.code): value for column, value in pairs if column.feature == place}
        missing = Attribute(log_odds=own.get((Role.MISSING, -1), 0.0), is_missing=True)
        special = (Attribute(log_odds=missing.log_odds, special=feature.special),) if feature.special else ()
        if feature.is_coded:
            levels = ((code, own.get((Role.LEVEL, number), 0.0)) for number, code in enumerate(feature.codes))
            main = tuple(Attribute(log_odds=value, codes=(code,)) for code, value in levels)
        else:
            slope = own.get((Role.VALUE, -1), 0.0)
            low, high = feature.bounds
            main = (Attribute(log_odds=-slope, lower=low, upper=high, slope=slope / feature.half),)
        found.append(Characteristic(feature=feature.name, attributes=(*main, *special, missing)))
    return tuple(found)


def woe_attributes(document: JsonValue) -> dict[str, tuple[Attribute, ...]]:
    """Return the bins of a document of `woe_bins`, by feature, with their weights of evidence.

    A bin that has missing or special values beside its range or codes becomes several attributes of one weight. What
    they add to the log odds is nothing yet: `woe_characteristic` puts a coefficient to them.

    Raises:
        InvalidRequestError: the document is none of these, or has another form.
    """
    value = row(document)
    if value.get("form") != _FORM or value.get("recipe") != "woe_bins":
        raise _malformed("a document of the recipe `woe_bins`")
    codes = {feature.name: feature.codes for feature in read_features(value)}
    found = {}
    for item in objects(value, "variables"):
        name = item.get("feature")
        if not isinstance(name, str) or name not in codes or name in found:
            raise _malformed("each feature once")
        found[name] = tuple(part for one in objects(item, "bins") for part in _read_bin(one))
        if any(code not in codes[name] for part in found[name] for code in part.codes):
            raise _malformed(f"codes of `{name}` in its bins")
    return found


def _read_bin(item: Row) -> list[Attribute]:
    weight = _number(item.get("woe"), "woe")
    codes, special = item.get("codes", []), item.get("special", [])
    if not isinstance(codes, list) or not isinstance(special, list) or not all(isinstance(one, str) for one in codes):
        raise _malformed("bins of codes or of numbers")
    found = []
    if codes:
        found.append(Attribute(log_odds=0.0, codes=tuple(codes), woe=weight))
    if item.get("is_range") is True:
        ends = (None if item.get(end) is None else _number(item.get(end), end) for end in ("from", "to"))
        lower, upper = ends
        found.append(Attribute(log_odds=0.0, lower=lower, upper=upper, woe=weight))
    if special:
        values = tuple(_number(one, "special") for one in special)
        found.append(Attribute(log_odds=0.0, special=values, woe=weight))
    if item.get("missing") is True:
        found.append(Attribute(log_odds=0.0, is_missing=True, woe=weight))
    return found


def _read_logistic(features: tuple[ModelFeature, ...], value: Row) -> LogisticModel:
    columns = tuple(_read_column(features, item) for item in objects(value, "columns"))
    coefficients = tuple(_number(find(item, "scaled", "value"), "columns") for item in objects(value, "columns"))
    if len(set(columns)) < len(columns):
        raise _malformed("each column once")
    intercept = _number(find(value, "intercept", "scaled", "value"), "intercept")
    return LogisticModel(features=features, intercept=intercept, columns=columns, coefficients=coefficients)


def _read_column(features: tuple[ModelFeature, ...], item: Row) -> Column:
    place = _place(features, item)
    feature, role, code = features[place], item.get("role"), item.get("code")
    if role == Role.MISSING:
        return Column(feature=place, role=Role.MISSING)
    if role == Role.VALUE and not feature.is_coded:
        return Column(feature=place, role=Role.VALUE)
    if role == Role.LEVEL and code in feature.codes:
        return Column(feature=place, role=Role.LEVEL, code=feature.codes.index(str(code)))
    raise _malformed(f"a column of `{feature.name}` that it can have")


def _read_network(features: tuple[ModelFeature, ...], value: Row) -> NetworkModel:
    columns = tuple(_columns(features, has_indicators=value.get("missing") == "indicator"))
    units = objects(value, "hidden")
    hidden = tuple(_numbers(unit.get("weights"), "hidden", len(columns)) for unit in units)
    if value.get("missing") not in ("indicator", "neutral") or not units:
        raise _malformed("hidden units, and what missing values become")
    return NetworkModel(
        features=features,
        columns=columns,
        hidden=hidden,
        hidden_bias=tuple(_number(unit.get("bias"), "hidden") for unit in units),
        output=_numbers(find(value, "output", "weights"), "output", len(units)),
        output_bias=_number(find(value, "output", "bias"), "output"),
    )


def _columns(features: tuple[ModelFeature, ...], *, has_indicators: bool) -> list[Column]:
    """Return the inputs of a network in their order: of each feature its value or its codes but the first, missing."""
    found = []
    for place, feature in enumerate(features):
        if feature.is_coded:
            found += [Column(feature=place, role=Role.LEVEL, code=code) for code in range(1, len(feature.codes))]
        else:
            found.append(Column(feature=place, role=Role.VALUE))
        if has_indicators:
            found.append(Column(feature=place, role=Role.MISSING))
    return found


def _read_trees(features: tuple[ModelFeature, ...], value: Row) -> TreesModel:
    trees = tuple(_read_tree(features, objects(item, "nodes")) for item in objects(value, "trees"))
    return TreesModel(features=features, base=_number(value.get("base_margin"), "base_margin"), trees=trees)


def _read_tree(features: tuple[ModelFeature, ...], nodes: list[Row]) -> Tree:
    splits: dict[int, Split] = {}
    values: dict[int, float] = {}
    for item in nodes:
        number = item.get("node")
        if not isinstance(number, int) or not 0 <= number < _MOST_NODES or number in splits or number in values:
            raise _malformed("nodes with different numbers")
        if "value" in item:
            values[number] = _number(item["value"], "nodes")
        else:
            splits[number] = _read_split(features, item)
    if not _is_whole(splits, values):
        raise _malformed("trees whose nodes are all there, and no others")
    return Tree(splits=MappingProxyType(splits), values=MappingProxyType(values))


def _is_whole(splits: Mapping[int, Split], values: Mapping[int, float]) -> bool:
    waiting, seen = [0], 0
    while waiting:
        number = waiting.pop()
        seen += 1
        if number in splits:
            waiting += [2 * number + 1, 2 * number + 2]
        elif number not in values:
            return False
    return seen == len(splits) + len(values)


def _read_split(features: tuple[ModelFeature, ...], item: Row) -> Split:
    place = _place(features, item)
    feature = features[place]
    if feature.is_coded:
        code = item.get("equal", "")
        if code is not None and code not in feature.codes:
            raise _malformed(f"a split by a code of `{feature.name}`")
        return Split(feature=place, equal=-1 if code is None else feature.codes.index(str(code)))
    if item.get("missing") not in ("left", "right") or "below" not in item:
        raise _malformed(f"a split of `{feature.name}` and where missing values go")
    below = None if item["below"] is None else _number(item["below"], "nodes")
    return Split(feature=place, below=below, is_missing_left=item["missing"] == "left")


def _place(features: tuple[ModelFeature, ...], item: Row) -> int:
    names = [feature.name for feature in features]
    name = item.get("feature")
    if name not in names:
        raise _malformed("a feature that the document lists")
    return names.index(str(name))


def _numbers(value: object, name: str, length: int) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != length:
        raise _malformed(f"{length} numbers in `{name}`")
    return tuple(_number(item, name) for item in value)


def _number(value: object, name: str) -> float:
    return read_number(value, name)


def _malformed(expected: str) -> InvalidRequestError:
    return InvalidRequestError(ErrorCode.DATA_INVALID, f"expected {expected}")


_READERS: Final[Mapping[str, Callable[[tuple[ModelFeature, ...], Row], Model]]] = MappingProxyType(
    {
        "logistic_regression": _read_logistic,
        "gradient_boosted_trees": _read_trees,
        "small_network": _read_network,
    }
)
