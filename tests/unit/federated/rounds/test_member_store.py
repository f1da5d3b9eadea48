"""What a member keeps: each thing once, nothing after its attempt is over, nothing readable after its job is."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from federated.horizontal.state import Phase, State
from federated.rounds.member_store import Computed, Joined, MemberStore
from tests.lib.nodes import new_node
from tests.lib.statements import make_statement
from yingbi.errors import ErrorCode, RefusedError, SandboxError

JOINED = Joined(job="job-1", attempt=1, federation="fed-1", public_key=b"p" * 32, private_key=b"s" * 32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemberStore]:
    home = new_node(tmp_path / "node")
    store = MemberStore(home.database)
    store.join(JOINED)
    yield store
    home.close()


def state(step: int) -> State:
    return State(phase=Phase.TRAIN, step=step, arrays={"a": np.array([step / 3])})


def computed(number: int) -> Computed:
    return Computed(input=state(number).digest(), vector=np.array([number, 2**64 - 1], np.uint64), rho="0.01")


def test_an_attempt_has_one_key(store: MemberStore) -> None:
    again = Joined(job="job-1", attempt=1, federation="fed-1", public_key=b"q" * 32, private_key=b"t" * 32)
    assert store.join(again) == JOINED
    assert store.find("job-1", 1) == JOINED
    assert store.find("job-1", 2) is None
    other = Joined(job="job-1", attempt=2, federation="fed-1", public_key=b"q" * 32, private_key=b"t" * 32)
    assert store.join(other) == other


def test_the_newest_state_takes_the_place_of_the_one_before(store: MemberStore) -> None:
    assert store.state("job-1") is None
    for step in (1, 2):
        store.put_state("job-1", step, state(step))
    found = store.state("job-1")
    assert found is not None
    assert (found[0], found[1].digest()) == (2, state(2).digest())
    assert store.state("job-2") is None


def test_a_round_is_computed_once_and_the_rounds_before_it_are_erased(store: MemberStore) -> None:
    store.put_computed("job-1", 1, computed(1))
    with pytest.raises(SandboxError):
        store.put_computed("job-1", 1, computed(2))
    found = store.computed("job-1", 1)
    assert found is not None
    assert (found.input, found.rho, found.vector.tolist()) == (computed(1).input, "0.01", [1, 2**64 - 1])
    store.put_computed("job-1", 2, computed(2))
    assert store.computed("job-1", 1) is None
    assert store.computed("job-1", 2) is not None


def test_after_an_attempt_nothing_is_kept_and_its_key_is_gone(store: MemberStore) -> None:
    """What is still being computed when a job is sealed, or erased, comes too late."""
    store.put_state("job-1", 1, state(1))
    store.put_computed("job-1", 2, computed(2))
    store.forget("job-1", with_state=False)
    found = store.find("job-1", 1)
    assert found is not None
    assert (found.private_key, found.public_key) == (None, JOINED.public_key)
    with pytest.raises(RefusedError) as caught:
        store.put_state("job-1", 2, state(2))
    assert caught.value.code is ErrorCode.ROUND_REFUSED
    with pytest.raises(RefusedError):
        store.put_computed("job-1", 3, computed(3))
    kept = store.state("job-1")
    assert kept is not None
    assert kept[0] == 1
    assert store.computed("job-1", 2) is not None
    # A new attempt has a key of its own, and goes on.
    store.join(Joined(job="job-1", attempt=2, federation="fed-1", public_key=b"q" * 32, private_key=b"t" * 32))
    store.put_state("job-1", 2, state(2))


def test_after_a_job_nothing_is_readable(store: MemberStore) -> None:
    store.put_state("job-1", 1, state(1))
    store.put_computed("job-1", 2, computed(2))
    store.forget("job-2", with_state=True)
    assert store.state("job-1") is not None
    store.forget("job-1", with_state=True)
    assert store.state("job-1") is None
    assert store.computed("job-1", 2) is None


def test_a_statement_is_made_once(store: MemberStore) -> None:
    statement = make_statement()
    assert store.sent("job-1", 1, 1) is None
    store.put_sent("job-1", 1, 1, statement)
    found = store.sent("job-1", 1, 1)
    assert found is not None
    assert found.envelope == statement.envelope
    assert store.sent("job-1", 1, 2) is None
    with pytest.raises(SandboxError):
        store.put_sent("job-1", 1, 1, statement)
