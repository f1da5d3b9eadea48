"""Federations computed again from bytes: the states of the real run, and nothing for what is not its own."""

import json

import pytest

from federated.audit import Replay
from tests.lib.federation_evidence import Run, real_run
from yingbi.canonical import canonical_bytes
from yingbi.errors import InvalidRequestError


@pytest.fixture(scope="module")
def run() -> Run:
    return real_run()


def vectors(run: Run, number: int) -> dict[str, bytes]:
    return {f"node:{name}": run.file(f"{number}-1/{name}.bin") for name in ("bao", "futian", "luohu")}


def test_the_states_are_those_of_the_run(run: Run) -> None:
    replay = Replay(run.file("terms.json"))
    assert replay.state == run.rows[run.find("federation.round_started", round=1)].body["round_input"]
    closed = [run.rows[index].body for index in run.all("federation.round_completed")]
    for body in closed:
        assert not replay.is_done
        assert replay.take(vectors(run, body["round"])) == replay.state == body["state"]
    assert replay.is_done
    assert replay.state == run.result
    assert replay.spent(1) is None
    with pytest.raises(InvalidRequestError, match="no more rounds"):
        replay.take(vectors(run, 1))


def test_a_private_run_says_what_its_rounds_cost() -> None:
    private = real_run(private=True)
    replay = Replay(private.file("terms.json"))
    assert replay.spent(1) == private.rows[private.find("federation.contributed")].body["rho"]


@pytest.mark.parametrize(
    "change", [{"rounds": 41}, {"quorum": 2}, {"members": []}, {"source": {}}, {"recipe": "magic"}]
)
def test_other_terms_come_to_another_federation_or_to_none(run: Run, change: dict[str, object]) -> None:
    terms = canonical_bytes({**json.loads(run.file("terms.json")), **change})
    if change == {"rounds": 41}:
        assert Replay(terms).state == Replay(run.file("terms.json")).state, "how many at most is no part of a state"
        return
    with pytest.raises(InvalidRequestError):
        Replay(terms)


@pytest.mark.parametrize("terms", [b"", b"{", b"[]", b"1", b"{}", b'{"members":[]}', b'{"members":[{"dataset":1}]}'])
def test_what_is_no_terms_is_refused(terms: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        Replay(terms)


def test_terms_have_one_spelling(run: Run) -> None:
    value = json.loads(run.file("terms.json"))
    value["features"][0]["bounds"] = ["0.0", "1000"]
    with pytest.raises(InvalidRequestError, match="one spelling"):
        Replay(canonical_bytes(value))


@pytest.mark.parametrize("name", ["shorter", "no numbers", "too few"])
def test_what_no_round_asks_for_is_refused(run: Run, name: str) -> None:
    replay, given = Replay(run.file("terms.json")), vectors(run, 1)
    bad = {
        "shorter": {node: data[:-8] for node, data in given.items()},
        "no numbers": {node: data[:-1] for node, data in given.items()},
        "too few": dict(list(given.items())[:2]),
    }
    with pytest.raises(InvalidRequestError):
        replay.take(bad[name])
