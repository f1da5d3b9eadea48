"""Parameters of the recipes: typed, frozen, read strictly (docs/spec/recipes.md, "Parameters")."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from federated.horizontal.reading import Reading, number_text
from yingbi.canonical import JsonValue

__all__ = [
    "PARAMETERS",
    "Direction",
    "LogisticParameters",
    "Missing",
    "NetworkParameters",
    "Optimizer",
    "Parameters",
    "RecipeName",
    "TreesParameters",
    "WoeParameters",
    "parse_logistic",
    "parse_network",
    "parse_trees",
    "parse_woe",
]


class RecipeName(StrEnum):
    """The recipes there are."""

    LOGISTIC_REGRESSION = "logistic_regression"
    GRADIENT_BOOSTED_TREES = "gradient_boosted_trees"
    SMALL_NETWORK = "small_network"
    WOE_BINS = "woe_bins"


class Missing(StrEnum):
    """What a missing value becomes: an indicator of its own, or the middle of the bounds (the reference code)."""

    INDICATOR = "indicator"
    NEUTRAL = "neutral"


class Optimizer(StrEnum):
    """How a small network follows its gradient."""

    ADAM = "adam"
    MOMENTUM = "momentum"


class Direction(StrEnum):
    """How the bad rate has to go along the bins of a numeric feature."""

    AUTO = "auto"
    INCREASING = "increasing"
    DECREASING = "decreasing"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticParameters:
    """Logistic regression.

    `l2`: penalty l2/2 times the squared scaled coefficients, intercept excepted, on the sum of losses. `max_steps`:
    exchanges of training at most (in private mode: exactly). `tolerance`: largest Newton step, in standard
    errors, that counts as none.
    """

    l2: float = 0.0
    max_steps: int = 25
    tolerance: float = 1e-6
    missing: Missing = Missing.INDICATOR
    min_events_per_variable: int = 10

    def to_json(self) -> dict[str, JsonValue]:
        """Return the canonical JSON value."""
        return {
            "l2": number_text(self.l2),
            "max_steps": self.max_steps,
            "tolerance": number_text(self.tolerance),
            "missing": str(self.missing),
            "min_events_per_variable": self.min_events_per_variable,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TreesParameters:
    """Gradient-boosted trees: how many, how deep, and when a node is split."""

    trees: int = 60
    depth: int = 3
    learning_rate: float = 0.2
    l2: float = 1.0
    min_child_weight: float = 1.0
    min_gain: float = 1e-6

    def to_json(self) -> dict[str, JsonValue]:
        """Return the canonical JSON value."""
        return {
            "trees": self.trees,
            "depth": self.depth,
            "learning_rate": number_text(self.learning_rate),
            "l2": number_text(self.l2),
            "min_child_weight": number_text(self.min_child_weight),
            "min_gain": number_text(self.min_gain),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkParameters:
    """Small network: units of the hidden layer, steps (exchanges), and how a step is made.

    `l2`: l2/2 times the squared weights (biases excepted) is added to the mean loss.
    """

    units: int = 8
    steps: int = 200
    optimizer: Optimizer = Optimizer.ADAM
    learning_rate: float = 0.03
    l2: float = 1e-4
    missing: Missing = Missing.INDICATOR

    def to_json(self) -> dict[str, JsonValue]:
        """Return the canonical JSON value."""
        return {
            "units": self.units,
            "steps": self.steps,
            "optimizer": str(self.optimizer),
            "learning_rate": number_text(self.learning_rate),
            "l2": number_text(self.l2),
            "missing": str(self.missing),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class WoeParameters:
    """WOE bins: fewest events and non-events of a bin, and the direction of the bad rate."""

    min_events: int = 5
    direction: Direction = Direction.AUTO

    def to_json(self) -> dict[str, JsonValue]:
        """Return the canonical JSON value."""
        return {"min_events": self.min_events, "direction": str(self.direction)}


Parameters = LogisticParameters | TreesParameters | NetworkParameters | WoeParameters


def parse_logistic(parameters: JsonValue) -> LogisticParameters:
    """Read parameters of `logistic_regression`.

    Raises:
        InvalidRequestError: something is not as it must be; every problem is named.
    """
    reading = Reading(parameters, "parameters")
    default = LogisticParameters()
    result = LogisticParameters(
        l2=reading.number("l2", 0.0, 1e6, default.l2),
        max_steps=reading.integer("max_steps", 1, 50, default.max_steps),
        tolerance=reading.number("tolerance", 1e-12, 1e-3, default.tolerance),
        missing=reading.choice("missing", Missing, default.missing),
        min_events_per_variable=reading.integer("min_events_per_variable", 0, 100, default.min_events_per_variable),
    )
    reading.finish()
    return result


def parse_trees(parameters: JsonValue) -> TreesParameters:
    """Read parameters of `gradient_boosted_trees`.

    Raises:
        InvalidRequestError: something is not as it must be; every problem is named.
    """
    reading = Reading(parameters, "parameters")
    default = TreesParameters()
    result = TreesParameters(
        trees=reading.integer("trees", 1, 500, default.trees),
        depth=reading.integer("depth", 1, 6, default.depth),
        learning_rate=reading.number("learning_rate", 0.001, 1.0, default.learning_rate),
        l2=reading.number("l2", 0.0, 1e6, default.l2),
        min_child_weight=reading.number("min_child_weight", 0.001, 1e6, default.min_child_weight),
        min_gain=reading.number("min_gain", 0.0, 1e6, default.min_gain),
    )
    reading.finish()
    return result


def parse_network(parameters: JsonValue) -> NetworkParameters:
    """Read parameters of `small_network`.

    Raises:
        InvalidRequestError: something is not as it must be; every problem is named.
    """
    reading = Reading(parameters, "parameters")
    default = NetworkParameters()
    result = NetworkParameters(
        units=reading.integer("units", 1, 64, default.units),
        steps=reading.integer("steps", 1, 1000, default.steps),
        optimizer=reading.choice("optimizer", Optimizer, default.optimizer),
        learning_rate=reading.number("learning_rate", 1e-6, 10.0, default.learning_rate),
        l2=reading.number("l2", 0.0, 10.0, default.l2),
        missing=reading.choice("missing", Missing, default.missing),
    )
    reading.finish()
    return result


def parse_woe(parameters: JsonValue) -> WoeParameters:
    """Read parameters of `woe_bins`.

    Raises:
        InvalidRequestError: something is not as it must be; every problem is named.
    """
    reading = Reading(parameters, "parameters")
    default = WoeParameters()
    result = WoeParameters(
        min_events=reading.integer("min_events", 1, 10_000, default.min_events),
        direction=reading.choice("direction", Direction, default.direction),
    )
    reading.finish()
    return result


PARAMETERS: Final[Mapping[RecipeName, Callable[[JsonValue], Parameters]]] = MappingProxyType(
    {
        RecipeName.LOGISTIC_REGRESSION: parse_logistic,
        RecipeName.GRADIENT_BOOSTED_TREES: parse_trees,
        RecipeName.SMALL_NETWORK: parse_network,
        RecipeName.WOE_BINS: parse_woe,
    }
)
