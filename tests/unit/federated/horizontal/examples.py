"""Small specifications and tables, and how a training runs without any network."""

import hashlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from federated.horizontal.guard import guard
from federated.horizontal.layout import Layout
from federated.horizontal.parameters import (
    LogisticParameters,
    NetworkParameters,
    Parameters,
    RecipeName,
    TreesParameters,
    WoeParameters,
)
from federated.horizontal.recipe import RECIPES
from federated.horizontal.spec import Feature, Kind, PrivacySpec, TrainingSpec
from federated.horizontal.state import Phase, State
from federated.horizontal.table import Table
from federated.secure_sum import add as add_vectors
from federated.secure_sum import decode, encode

AGE = Feature(name="age", kind=Kind.NUMERIC, bounds=(0.0, 50.0), edges=(5.0, 10.0, 20.0, 35.0), special=(-1.0,))
DEBT = Feature(name="debt", kind=Kind.NUMERIC, bounds=(-10.0, 10.0), edges=(-5.0, 0.0, 2.5, 5.0))
TRADE = Feature(name="trade", kind=Kind.CODED, codes=("A", "B", "C", "D"))
FEATURES = (AGE, DEBT, TRADE)

PARAMETERS: dict[RecipeName, Parameters] = {
    RecipeName.LOGISTIC_REGRESSION: LogisticParameters(),
    RecipeName.GRADIENT_BOOSTED_TREES: TreesParameters(trees=4, depth=3),
    RecipeName.SMALL_NETWORK: NetworkParameters(units=3, steps=5),
    RecipeName.WOE_BINS: WoeParameters(),
}


def make_spec(recipe: RecipeName, parameters: Parameters | None = None, **changes: Any) -> TrainingSpec:
    """Return a specification over `FEATURES`."""
    members: dict[str, Any] = {
        "recipe": recipe,
        "parameters": parameters or PARAMETERS[recipe],
        "target": "bad",
        "positive": "1",
        "features": FEATURES,
        "min_entities": 5,
        "max_rows": 1 << 16,
    }
    return TrainingSpec(**{**members, **changes})


def private(recipe: RecipeName, clip: float = 1.0) -> PrivacySpec:
    """Return record-level privacy for a recipe."""
    is_clipped = recipe in (RecipeName.LOGISTIC_REGRESSION, RecipeName.SMALL_NETWORK)
    return PrivacySpec(clip=clip if is_clipped else None)


def make_table(rows: int, seed: int = 1, *, missing: float = 0.1, held_out: float = 0.2) -> Table:
    """Return rows whose event depends on all three features; shares of values are missing, special or held out."""
    random = np.random.default_rng(seed)
    age = random.uniform(-2.0, 60.0, rows).round(1)
    debt = random.normal(0.0, 5.0, rows).round(2)
    trade = random.choice(4, rows, p=[0.4, 0.3, 0.25, 0.05])
    margin = -0.5 - 0.03 * age + 0.2 * debt + np.array([0.0, 0.8, -0.6, 0.3])[trade]
    target = (random.random(rows) < 1.0 / (1.0 + np.exp(-margin))).astype(np.int64)
    age[random.random(rows) < missing] = np.nan
    age[random.random(rows) < missing / 2] = -1.0
    debt[random.random(rows) < missing] = np.nan
    trade[random.random(rows) < missing] = -1
    columns = {"age": age, "debt": debt, "trade": trade.astype(np.int64)}
    return Table(columns=columns, target=target, is_held_out=random.random(rows) < held_out)


def split(table: Table, parties: int) -> list[Table]:
    """Deal a table's rows out."""
    bounds = np.linspace(0, table.rows, parties + 1).astype(int)
    places = np.arange(table.rows)
    return [table.part((places >= first) & (places < end)) for first, end in pairwise(bounds)]


Sums = dict[str, NDArray[Any]]


def contribution(spec: TrainingSpec, state: State, table: Table) -> Sums:
    """Return what one node sends, past its guard."""
    recipe = RECIPES[spec.recipe]
    return dict(guard(recipe.layout(spec, state), recipe.contribute(spec, state, table)))


def add(contributions: Sequence[Sums]) -> Sums:
    """Return the sums of all nodes."""
    return {name: np.sum([each[name] for each in contributions], axis=0) for name in contributions[0]}


def train(
    spec: TrainingSpec, tables: Sequence[Table], noise: Callable[[Layout, Sums], Sums] | None = None
) -> tuple[State, list[State]]:
    """Run a training to its end; return the last state, and all states before."""
    recipe, states = RECIPES[spec.recipe], []
    state = recipe.start(spec)
    while state.phase is not Phase.DONE:
        states.append(state)
        sent = [contribution(spec, state, table) for table in tables]
        if noise is not None:
            sent = [noise(recipe.layout(spec, state), each) for each in sent]
        state = recipe.advance(spec, state, add(sent), len(tables))
    assert len(states) <= recipe.max_rounds(spec)
    return state, states


class Stream:
    """Whole numbers from SHA-256, the same everywhere."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._count = 0

    def below(self, limit: int) -> int:
        """Return a number from 0 to limit - 1."""
        self._count += 1
        data = hashlib.sha256(self._seed + self._count.to_bytes(8, "big")).digest()
        return int.from_bytes(data[:8], "big") % limit


def through_fixed_point(spec: TrainingSpec, tables: Sequence[Table]) -> tuple[State, int]:
    """Run a training whose sums go the way of a secure sum; return the last state and the number of exchanges."""
    recipe = RECIPES[spec.recipe]
    state, exchanges, parties = recipe.start(spec), 0, len(tables)
    while state.phase is not Phase.DONE:
        layout = recipe.layout(spec, state)
        vectors = [encode(contribution(spec, state, table), layout, parties=parties) for table in tables]
        total = add_vectors(vectors)
        state = recipe.advance(spec, state, decode(total, layout, parties=parties), parties)
        exchanges += 1
    return state, exchanges
