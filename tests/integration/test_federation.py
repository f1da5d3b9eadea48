"""Federations end to end in this process: three units' nodes, a hub, a bank; every entry, check and release is real."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from federated.flower.local_grid import Fault
from federated.horizontal.state import State
from federated.horizontal.table import Table
from federated.rounds.coordinator import RoundLimits
from federated.rounds.course import course_of
from tests.lib.federation import PARTNER, UNITS, FederatedWorld, open_federation
from tests.lib.waiting import wait_until
from yingbi.plan.model import Recipe, TrainingPrivacy, TrainingQuestion

_DONE = ("released", "delivered")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FederatedWorld]:
    with open_federation(tmp_path_factory.mktemp("federation")) as opened:
        opened.run_all()
        yield opened


def released(world: FederatedWorld, question: TrainingQuestion) -> list[dict[str, Any]]:
    """Return what each member released to the bank, opened with its key."""
    found = []
    for member in question.members:
        wait_until(lambda job=member.job: world.hub.hub.results.has(job), seconds=30)  # type: ignore[misc]
        answer = world.hub.ask("GET", f"/v1/jobs/{member.job}/result", by=PARTNER)
        assert answer.status_code == 200, answer.text
        opened = world.result_key.open(answer.content, {"job": member.job, "agreement": member.agreement})
        found.append(json.loads(opened)["result"])
    return found


def plain_state(question: TrainingQuestion, parts: list[Table]) -> State:
    """Return the final state of the same recipe over one table of all rows: no sums of parts, no fixed point."""
    course = course_of(question)
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    pooled = Table(
        columns=columns,
        target=np.concatenate([part.target for part in parts]),
        is_held_out=np.concatenate([part.is_held_out for part in parts]),
    )
    state = course.start()
    while state.phase != "done":
        sums = course.recipe.contribute(course.spec, state, pooled)
        state = course.recipe.advance(course.spec, state, sums, len(parts))
    return state


def test_three_units_train_one_model_and_each_releases_the_same(world: FederatedWorld) -> None:
    question = world.question()
    assert [one.status_code for one in world.submit(question)] == [202] * 3
    federation = world.wait_for(question, "completed")
    world.wait_for_jobs(question, *_DONE)
    documents = released(world, question)
    assert documents[0] | {"question": None} == documents[1] | {"question": None} == documents[2] | {"question": None}
    document = documents[0]["document"]
    assert document["federation"] == question.federation
    assert document["state"] == federation.life.result
    assert document["contributors"] == 3
    assert {one["node"] for one in document["members"]} == {f"node:{unit}" for unit in UNITS}
    metrics = document["evaluation"]["samples"]["hold_out"]["metrics"]
    assert 0.6 < float(metrics["auc"]["value"]) < 0.9
    plain = plain_state(question, world.tables()).arrays["coefficients"]
    trained = world.state(question).arrays["coefficients"]
    assert np.abs(trained - plain).max() < 1e-6


def test_every_round_is_on_the_log_by_those_who_gave_and_by_the_one_who_summed(world: FederatedWorld) -> None:
    question = world.question(recipe=Recipe.WOE_BINS)
    world.submit(question)
    federation = world.wait_for(question, "completed")
    entries = [world.hub.hub.recorder.read(index).statement for index in federation.entries]
    kinds = [one.type.value for one in entries]
    assert kinds.count("federation.joined") == 3
    assert kinds.count("federation.started") == kinds.count("federation.completed") == 1
    rounds = len(federation.completed)
    assert kinds.count("federation.round_started") == kinds.count("federation.round_completed") == rounds
    assert kinds.count("federation.contributed") == 3 * rounds
    closed = next(one for one in entries if one.type.value == "federation.round_completed").payload.body
    given = {
        one.payload.issuer: one.payload.body["contribution"]
        for one in entries
        if one.type.value == "federation.contributed" and one.payload.body["round"] == closed["round"]
    }
    assert {one["party"]: one["digest"] for one in closed["contributions"]} == given


def test_boosted_trees_are_those_of_one_pooled_trainer(world: FederatedWorld) -> None:
    question = world.question(recipe=Recipe.GRADIENT_BOOSTED_TREES, parameters='{"depth":2,"trees":3}', rounds=20)
    world.submit(question)
    world.wait_for(question, "completed")
    state = world.state(question)
    plain = plain_state(question, world.tables())
    for name in ("feature", "threshold", "missing_left"):
        assert np.array_equal(state.arrays[name], plain.arrays[name]), name
    assert np.abs(state.arrays["value"] - plain.arrays["value"]).max() < 1e-9


def test_what_was_given_is_uniform_and_means_nothing_by_itself(world: FederatedWorld) -> None:
    question = world.question(recipe=Recipe.WOE_BINS)
    world.submit(question)
    federation = world.wait_for(question, "completed")
    last = federation.completed[-1]
    vectors = world.hub.hub.federation_store.vectors(question.federation, last.number, last.attempt)
    bits = np.unpackbits(np.concatenate(list(vectors.values())).view(np.uint8))
    # Half of the bits are set, within six standard deviations: wrong in one run of a billion.
    assert abs(bits.mean() - 0.5) < 6 * 0.5 / np.sqrt(bits.size)
    assert np.abs(np.sum(list(vectors.values()), axis=0, dtype=np.uint64).view(np.int64)).max() < 1 << 53


def test_an_agreement_that_is_suspended_stops_the_run_and_resumed_it_goes_on(tmp_path: Path) -> None:
    reached = threading.Event()
    held = threading.Event()

    def fault(node: str, exchange: int) -> Fault | None:
        if exchange == 2 and node == "node:bao":
            reached.set()
            held.wait(20)
        return None

    with open_federation(tmp_path, fault=fault) as world:
        world.run_all()
        question = world.question()
        world.submit(question)
        assert reached.wait(30)
        body = {"terms": world.standing.agreements.get("agr-bao").terms, "reason": "incident", "until": None}
        suspension = world.hub.state(
            "agreement.suspended",
            body | {"running_jobs": "stop", "note": None},
            issuer="person:cdo-bao",
            name="agr-bao",
            on_behalf_of="unit:bao",
        )
        world.hub.recorded("/v1/agreements", suspension, by="person:cdo-bao")
        held.set()
        stopped = world.wait_for(question, "interrupted")
        world.wait_for_jobs(question, "interrupted")
        rounds = len(stopped.completed)
        reasons = {job_reason(world, member.job) for member in question.members}
        assert reasons <= {"agreement-suspended", "federation-interrupted"}
        resumption = world.hub.state(
            "agreement.resumed",
            {"terms": body["terms"], "note": None},
            issuer="person:cdo-bao",
            signers=("person:cdo-bao", "person:approver"),
            name="agr-bao",
            on_behalf_of="unit:bao",
        )
        world.hub.recorded("/v1/agreements", resumption, by="person:cdo-bao")
        federation = world.wait_for(question, "completed")
        world.wait_for_jobs(question, *_DONE)
        assert len(federation.completed) > rounds
        assert [one.number for one in federation.completed] == list(range(1, len(federation.completed) + 1))
        # It was charged once, whatever happened.
        assert world.standing.jobs.charged("agr-bao") == 1


def job_reason(world: FederatedWorld, job: str) -> str:
    """Return why a job was interrupted."""
    entries = [world.hub.hub.recorder.read(index).statement for index in world.standing.jobs.get(job).entries]
    return str(next(one for one in entries if one.type.value == "job.interrupted").payload.body["reason"])


def test_a_member_that_dies_and_comes_back_costs_an_attempt_and_no_second_computation(tmp_path: Path) -> None:
    dead: list[str] = []

    def fault(node: str, exchange: int) -> Fault | None:
        if exchange == 1 and node == "node:luohu":
            dead.append(node)
            return Fault.LOSE_REPLY
        return None

    with open_federation(tmp_path, fault=fault, limits=RoundLimits(deadline=timedelta(seconds=3))) as world:
        world.run_all()
        question = world.question(recipe=Recipe.WOE_BINS)
        world.submit(question)
        wait_until(lambda: dead, seconds=30)
        federation = world.wait_for(question, "completed")
        assert dead == ["node:luohu"]
        assert {one.attempt for one in federation.completed} <= {1, 2}
        assert world.apps["luohu"].runs == len(federation.completed)


def test_a_run_in_which_everybody_refuses_is_not_completed(tmp_path: Path) -> None:
    with open_federation(tmp_path, limits=RoundLimits(deadline=timedelta(seconds=3), attempts=2)) as world:
        for app in world.apps.values():
            app.lies = lambda arrays: {name: array * np.nan for name, array in arrays.items()}
        world.run_all()
        question = world.question(recipe=Recipe.WOE_BINS)
        world.submit(question)
        federation = world.wait_for(question, "interrupted")
        assert not federation.completed
        assert all(world.standing.jobs.get(one.job).state.value not in _DONE for one in question.members)


def test_noise_is_paid_for_at_the_node_and_said_on_the_log(tmp_path: Path) -> None:
    with open_federation(tmp_path, private=True) as world:
        world.run_all()
        privacy = TrainingPrivacy(epsilon="7", delta="0.000001", clip=None)
        question = world.question(recipe=Recipe.WOE_BINS, privacy=privacy, rounds=1)
        assert [one.status_code for one in world.submit(question)] == [202] * 3
        federation = world.wait_for(question, "completed")
        world.wait_for_jobs(question, *_DONE)
        course = course_of(question)
        entries = [world.hub.hub.recorder.read(index).statement for index in federation.entries]
        spent = [one.payload.body["rho"] for one in entries if one.type.value == "federation.contributed"]
        assert spent == [course.spent(1)] * 3
        # What is left of eight is too little for seven more: the nodes refuse, the others are called off, nothing ran.
        again = world.question(recipe=Recipe.WOE_BINS, privacy=privacy, rounds=1)
        world.submit(again)
        world.wait_for_jobs(again, "refused", "cancelled")
        assert world.standing.federations.get(again.federation) is None
