"""What is trained on what: the training specification that all parties sign (docs/spec/recipes.md, "Specification")."""

import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

from federated.horizontal.parameters import PARAMETERS, Missing, Parameters, RecipeName
from federated.horizontal.reading import Reading, number_text, parse_number
from yingbi.canonical import JsonValue, digest_json
from yingbi.errors import InvalidRequestError

__all__ = [
    "MAX_BINS",
    "MAX_CODES",
    "MAX_FEATURES",
    "MAX_ROWS",
    "MAX_TERMS",
    "Feature",
    "Kind",
    "PrivacySpec",
    "TrainingSpec",
    "read_features",
]

MAX_FEATURES: Final = 64
MAX_CODES: Final = 64
MAX_BINS: Final = 32
"""Bins of a numeric feature between its edges; those of missing and special values come on top."""
MAX_SPECIAL: Final = 8
MAX_TERMS: Final = 128
"""Columns of a design, the intercept included."""
MAX_ROWS: Final = 1 << 22
"""So many rows at most at one node: up to here sums of values on the grid are exact (grid.py)."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}", re.ASCII)
_CODE: Final = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
_MAX_BOUND: Final = 1e30
_FORM: Final = "yingbi-training/1"


class Kind(StrEnum):
    """What values a feature has."""

    NUMERIC = "numeric"
    CODED = "coded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One column that is learned from, described by public facts only.

    Numeric: `bounds` (values beyond are clamped), `edges` of bins (strictly ascending; bin k holds edge k-1 <= x < edge
    k), `special` values that are no quantities (bins of their own in `woe_bins`, missing elsewhere). Coded: `codes`,
    the reference first.
    """

    name: str
    kind: Kind
    bounds: tuple[float, float] = (0.0, 0.0)
    edges: tuple[float, ...] = ()
    special: tuple[float, ...] = ()
    codes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """Return the canonical JSON value."""
        if self.kind is Kind.CODED:
            return {"name": self.name, "kind": str(self.kind), "codes": list(self.codes)}
        return {
            "name": self.name,
            "kind": str(self.kind),
            "bounds": [number_text(bound) for bound in self.bounds],
            "edges": [number_text(edge) for edge in self.edges],
            "special": [number_text(value) for value in self.special],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacySpec:
    """Record-level privacy: `clip` bounds the L2 norm of what a record gives; trees and bins need no clip (None)."""

    clip: float | None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the canonical JSON value."""
        return {"clip": None if self.clip is None else number_text(self.clip)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpec:
    """One training, in full: everything that the parties agreed on and that the result depends on, but the data.

    `positive`: the code or number of `target` that is the event. `min_entities`: fewest rows behind anything that is
    told apart. `max_rows`: most rows of one node; the bounds of all sums follow from it. `hold_out`: share of the
    entities that is kept for the evaluation.
    """

    recipe: RecipeName
    parameters: Parameters
    target: str
    positive: str
    features: tuple[Feature, ...]
    min_entities: int
    max_rows: int = 1 << 20
    hold_out: float = 0.2
    privacy: PrivacySpec | None = None

    def __post_init__(self) -> None:
        """Refuse what `from_json` would refuse, however the value was made."""
        _read(self.to_json())

    def to_json(self) -> dict[str, JsonValue]:
        """Return the canonical JSON value; numbers that are not integers are decimal strings."""
        return {
            "form": _FORM,
            "recipe": str(self.recipe),
            "parameters": self.parameters.to_json(),
            "target": self.target,
            "positive": self.positive,
            "features": [feature.to_json() for feature in self.features],
            "min_entities": self.min_entities,
            "max_rows": self.max_rows,
            "hold_out": number_text(self.hold_out),
            "privacy": None if self.privacy is None else self.privacy.to_json(),
        }

    @classmethod
    def from_json(cls, value: JsonValue) -> "TrainingSpec":
        """Read a specification.

        Raises:
            InvalidRequestError: something is not as it must be; every problem is named.
        """
        return cls(**_read(value))  # type: ignore[arg-type]  # names and types are those of the class

    @property
    def digest(self) -> str:
        """Return the digest of the canonical JSON."""
        return digest_json(self.to_json())


def _read(value: JsonValue) -> dict[str, object]:
    reading = Reading(value, "")
    if reading.take("form") != _FORM:
        reading.problem("form", f"`{_FORM}`")
    recipe = reading.choice("recipe", RecipeName)
    members: dict[str, object] = {
        "recipe": recipe,
        "parameters": _read_parameters(recipe, reading),
        "target": reading.text("target", _NAME, "the name of a column"),
        "positive": reading.text("positive", _CODE, "a code or number as text"),
        "features": read_features(reading),
        "min_entities": reading.integer("min_entities", 1, 1_000_000),
        "max_rows": reading.integer("max_rows", 1, MAX_ROWS, 1 << 20),
        "hold_out": reading.number("hold_out", 0.0, 0.9, 0.2),
        "privacy": _read_privacy(recipe, reading),
    }
    _check_together(members, reading)
    reading.finish()
    return members


def _read_parameters(recipe: RecipeName, reading: Reading) -> Parameters | None:
    try:
        return PARAMETERS[recipe](reading.take("parameters"))
    except InvalidRequestError as error:
        reading.problem("parameters", f"parameters of `{recipe}` ({error.message})")
        return None


def read_features(reading: Reading) -> tuple[Feature, ...]:
    """Read the member `features` of a specification or of a model document."""
    value = reading.take("features")
    items = value if isinstance(value, list) else []
    if not 1 <= len(items) <= MAX_FEATURES:
        reading.problem("features", f"a list of 1 to {MAX_FEATURES} features")
    features = tuple(_read_feature(reading.at(item, f"features[{n}]")) for n, item in enumerate(items[:MAX_FEATURES]))
    if len({feature.name for feature in features}) < len(features):
        reading.problem("features", "different names")
    return features


def _read_feature(reading: Reading) -> Feature:
    name = reading.text("name", _NAME, "the name of a column")
    if reading.choice("kind", Kind) is Kind.CODED:
        codes = reading.many("codes", MAX_CODES, _code, "codes")
        if len(codes) < 2 or len(set(codes)) < len(codes):
            reading.problem("codes", "at least two different codes")
        reading.finish()
        return Feature(name=name, kind=Kind.CODED, codes=codes)
    bounds = reading.many("bounds", 2, parse_number, "decimal strings")
    edges = reading.many("edges", MAX_BINS - 1, parse_number, "decimal strings", is_optional=True)
    special = reading.many("special", MAX_SPECIAL, parse_number, "decimal strings", is_optional=True)
    if len(bounds) != 2 or not _is_ascending(bounds) or max(map(abs, bounds)) > _MAX_BOUND:
        reading.problem("bounds", f"two bounds within {_MAX_BOUND:g}, the lower first")
    if not _is_ascending(edges):
        reading.problem("edges", "strictly ascending edges")
    if len(set(special)) < len(special):
        reading.problem("special", "different values")
    reading.finish()
    low, high = bounds if len(bounds) == 2 else (0.0, 1.0)
    return Feature(name=name, kind=Kind.NUMERIC, bounds=(low, high), edges=edges, special=special)


def _read_privacy(recipe: RecipeName, reading: Reading) -> PrivacySpec | None:
    value = reading.take("privacy", is_optional=True)
    if value is None:
        return None
    inner = reading.at(value, "privacy")
    clip: float | None = None
    if recipe in (RecipeName.LOGISTIC_REGRESSION, RecipeName.SMALL_NETWORK):
        clip = inner.number("clip", 0.001, 64.0)
    elif inner.take("clip", is_optional=True) is not None:
        inner.problem("clip", "null, because what a record gives is bounded without,")
    inner.finish()
    return PrivacySpec(clip=clip)


def _check_together(members: dict[str, object], reading: Reading) -> None:
    features, parameters = members["features"], members["parameters"]
    if not isinstance(features, tuple):
        return
    if any(feature.name == members["target"] for feature in features):
        reading.problem("features", "features without the target")
    if members["recipe"] in (RecipeName.GRADIENT_BOOSTED_TREES, RecipeName.WOE_BINS):
        if any(feature.kind is Kind.NUMERIC and not feature.edges for feature in features):
            reading.problem("features", "at least one edge for each numeric feature")
        return
    extra = getattr(parameters, "missing", None) is Missing.INDICATOR
    terms = 1
    for feature in features:
        terms += extra + (1 if feature.kind is Kind.NUMERIC else len(feature.codes) - 1)
    if terms > MAX_TERMS:
        reading.problem("features", f"features that make at most {MAX_TERMS} columns, got {terms}")


def _is_ascending(values: tuple[float, ...]) -> bool:
    return all(one < other for one, other in pairwise(values))


def _code(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and _CODE.fullmatch(value) is not None else None
