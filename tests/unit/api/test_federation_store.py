"""What the hub keeps of federations: the newest state, every contribution, how each round went; each once."""

import numpy as np
from sqlalchemy import Engine

from api.federation_store import FederationStore
from federated.horizontal.state import Phase, State
from federated.rounds.coordinator import RoundFigures, RoundKept


def kept(number: int) -> RoundKept:
    state = State(phase=Phase.TRAIN, step=number, arrays={"a": np.array([number / 7, -0.0])})
    return RoundKept(round=number, state=state)


def vector(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def test_the_newest_state_takes_the_place_of_the_one_before(engine: Engine) -> None:
    store = FederationStore(engine)
    assert store.state("fed-1") is None
    for number in (1, 2):
        store.put_state("fed-1", kept(number))
    store.put_state("fed-2", kept(5))
    found = FederationStore(engine).state("fed-1")
    assert found is not None
    assert (found.round, found.state.digest()) == (2, kept(2).state.digest())


def test_contributions_are_kept_by_attempt_and_the_first_word_stands(engine: Engine) -> None:
    store = FederationStore(engine)
    store.put_vector("fed-1", 1, 1, "node:b", vector(2**64 - 1, 0))
    store.put_vector("fed-1", 1, 1, "node:a", vector(1))
    store.put_vector("fed-1", 1, 2, "node:a", vector(2))
    store.put_vector("fed-1", 2, 1, "node:a", vector(3))
    store.put_vector("fed-2", 1, 1, "node:a", vector(4))
    store.put_vector("fed-1", 1, 1, "node:a", vector(9))
    found = store.vectors("fed-1", 1, 1)
    assert {node: one.tolist() for node, one in found.items()} == {"node:a": [1], "node:b": [2**64 - 1, 0]}
    assert list(found) == ["node:a", "node:b"]
    assert all(one.dtype == np.uint64 for one in found.values())
    assert store.vectors("fed-1", 3, 1) == {}
    assert store.attempts("fed-1") == ((1, 1), (1, 2), (2, 1))
    assert store.attempts("fed-3") == ()


def test_how_a_round_went_is_said_once(engine: Engine) -> None:
    store = FederationStore(engine)
    rounds = [
        RoundFigures(round=number, began_at="a", ended_at="b", figures={"loss": f"0.{number}"}) for number in (2, 1)
    ]
    for one in rounds:
        store.note_round("fed-1", one)
    store.note_round("fed-1", RoundFigures(round=1, began_at="x", ended_at="y", figures={}))
    assert store.rounds("fed-1") == (rounds[1], rounds[0])
    assert store.rounds("fed-2") == ()
