"""Model documents and cards for tests, written by hand, and rows to score with them."""

import copy
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yingbi.canonical import JsonValue
from yingbi.models.evaluation import BinCounts, evaluate
from yingbi.models.histogram import ScoreHistogram, make_histogram

GOODS = (5, 40, 80, 60, 30, 10, 4, 2, 1, 0)
BADS = (0, 1, 4, 8, 12, 15, 14, 9, 6, 3)
SAMPLE = make_histogram(GOODS, BADS)

FEATURES: list[JsonValue] = [
    {"name": "tax", "kind": "numeric", "bounds": ["0.0", "1000.0"], "edges": ["10.0", "500.0"], "special": ["-1.0"]},
    {"name": "age", "kind": "numeric", "bounds": ["0.0", "40.0"], "edges": ["2.0"], "special": []},
    {"name": "industry", "kind": "coded", "codes": ["A", "B", "餐饮"]},
]

HEAD: dict[str, JsonValue] = {
    "form": "yingbi-model/1",
    "spec": "sha256:" + "0" * 64,
    "target": "defaulted",
    "positive": "1",
    "features": FEATURES,
}


def scaled(value: str) -> JsonValue:
    return {"value": value, "standard_error": None, "z": None, "p_value": None}


def column(feature: str, role: str, code: str | None, value: str) -> JsonValue:
    return {"feature": feature, "role": role, "code": code, "use": "estimated", "scaled": scaled(value)}


LOGISTIC: dict[str, JsonValue] = {
    **HEAD,
    "recipe": "logistic_regression",
    "missing": "indicator",
    "intercept": {"scaled": scaled("-1.25")},
    "columns": [
        column("tax", "value", None, "-1.5"),
        column("tax", "missing", None, "0.25"),
        column("age", "value", None, "0.5"),
        column("age", "missing", None, "0.0"),
        column("industry", "level", "B", "0.75"),
        column("industry", "level", "餐饮", "-0.125"),
        column("industry", "missing", None, "0.375"),
    ],
}

TREES: dict[str, JsonValue] = {
    **HEAD,
    "recipe": "gradient_boosted_trees",
    "base_margin": "-1.0",
    "trees": [
        {
            "nodes": [
                {"node": 0, "feature": "tax", "below": "10.0", "missing": "right", "left": 1, "right": 2},
                {"node": 1, "value": "0.7"},
                {"node": 2, "feature": "industry", "equal": "B", "left": 5, "right": 6},
                {"node": 5, "value": "0.30000001"},
                {"node": 6, "feature": "age", "below": None, "missing": "right", "left": 13, "right": 14},
                {"node": 13, "value": "-0.2"},
                {"node": 14, "value": "0.1"},
            ]
        },
        {
            "nodes": [
                {"node": 0, "feature": "industry", "equal": None, "left": 1, "right": 2},
                {"node": 1, "value": "0.05"},
                {"node": 2, "feature": "tax", "below": "500.0", "missing": "left", "left": 5, "right": 6},
                {"node": 5, "value": "-0.01"},
                {"node": 6, "value": "-0.4"},
            ]
        },
        {"nodes": [{"node": 0, "value": "0.001"}]},
    ],
}

NETWORK: dict[str, JsonValue] = {
    **HEAD,
    "recipe": "small_network",
    "missing": "neutral",
    "hidden": [
        {"bias": "0.1", "weights": ["0.5", "-0.25", "0.75", "1.5"]},
        {"bias": "-0.3", "weights": ["-1.0", "0.5", "0.0", "0.25"]},
    ],
    "output": {"bias": "-0.5", "weights": ["1.25", "-0.75"]},
}

BINS: dict[str, JsonValue] = {
    **HEAD,
    "recipe": "woe_bins",
    "woe": "ln(share of others / share of events)",
    "variables": [
        {
            "feature": "tax",
            "iv": "0.2",
            "band": "medium",
            "bins": [
                {"is_range": True, "from": None, "to": "10.0", "missing": False, "special": [], "woe": "-0.7"},
                {"is_range": True, "from": "10.0", "to": None, "missing": True, "special": [], "woe": "0.4"},
                {"is_range": False, "from": None, "to": None, "missing": False, "special": ["-1.0"], "woe": "0.2"},
            ],
        },
        {
            "feature": "industry",
            "iv": "0.1",
            "band": "weak",
            "bins": [
                {"codes": ["A"], "missing": True, "woe": "0.3"},
                {"codes": ["B", "餐饮"], "missing": False, "woe": "-0.3"},
            ],
        },
    ],
}

MODELS: dict[str, dict[str, JsonValue]] = {"logistic": LOGISTIC, "trees": TREES, "network": NETWORK}


def frame(rows: int = 400, seed: int = 1) -> dict[str, list[Any]]:
    """Make rows with values on edges, beyond bounds, special and missing ones."""
    random = np.random.default_rng(seed)
    tax = np.round(random.exponential(200, rows), 2)
    tax[: rows // 10] = random.choice([-1.0, 0.0, 10.0, 9.999999999, 500.0, 1000.0, 2500.0, np.nan], rows // 10)
    age = random.integers(0, 60, rows).astype(float)
    age[random.random(rows) < 0.1] = np.nan
    codes = random.choice(["A", "B", "餐饮", ""], rows)
    return {"tax": tax.tolist(), "age": age.tolist(), "industry": [code or None for code in codes.tolist()]}


def drawn(rows: int, lift: float = 1.2, seed: int = 5) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Draw scores and events."""
    random = np.random.default_rng(seed)
    events = random.random(rows) < 0.25
    return 1 / (1 + np.exp(1.2 - lift * events - random.normal(0, 0.9, rows))), events


def histogram(scores: NDArray[np.float64], events: NDArray[np.bool_], bins: int = 100) -> ScoreHistogram:
    goods, bads = (np.histogram(scores[mask], bins, (0, 1))[0].tolist() for mask in (~events, events))
    return make_histogram(goods, bads)


def evaluation() -> dict[str, JsonValue]:
    return copy.deepcopy(_evaluation())


@cache
def _evaluation() -> dict[str, JsonValue]:
    bins = BinCounts(
        labels=("< 10", "10 – 500", "≥ 500"), goods=(900, 700, 600), bads=(400, 200, 4), hold_out=(220, 160, 120)
    )
    return evaluate(histogram(*drawn(8000)), histogram(*drawn(2000, seed=6)), characteristics={"tax": bins})
