"""Federations that the log refuses to begin end with their reason; logs have the code of who refuses a round."""

import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.federating import Federating
from federated.rounds.coordinator import RoundLimits
from policies.standing import Rule, StatementRefusedError
from policies.standing.federations import FederationRegister
from policies.standing.said import Effect, Said
from policies.standing.sums import Sums
from tests.lib.federation import PARTNER, FederatedWorld, open_federation
from tests.lib.waiting import wait_until
from yingbi.plan.model import Recipe, TrainingQuestion


def cancellation(world: FederatedWorld, job: str) -> dict[str, object]:
    """Return the body of the entry that called a job off."""
    entries = [world.hub.hub.recorder.read(index).statement for index in world.standing.jobs.get(job).entries]
    return dict(next(one.payload.body for one in entries if one.type.value == "job.cancelled"))


def told(world: FederatedWorld, question: TrainingQuestion) -> list[object]:
    """Return what the hub keeps of why each job was called off."""
    notes = [str(cancellation(world, one.job)["note"]) for one in question.members]
    return [json.loads(world.hub.hub.store.read_opening(note).value) for note in notes]


def test_what_the_rule_of_sets_forbids_is_called_off_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_federation(tmp_path) as world:
        world.run_all()
        with monkeypatch.context() as context:
            # As after a sum of the same units, of which one has another version since.
            context.setattr(Sums, "is_close", lambda *_: True)
            question = world.question(recipe=Recipe.WOE_BINS)
            world.submit(question)
            world.wait_for_jobs(question, "cancelled")
        assert world.standing.federations.get(question.federation) is None
        assert {cancellation(world, one.job)["reason"] for one in question.members} == {"federation-ended"}
        message = "an earlier sum differs by the data of fewer than three units"
        assert told(world, question) == [{"rule": "sets", "message": message}] * 3
        status = world.hub.ask("GET", f"/v1/federations/{question.federation}", by=PARTNER).json()
        assert (status["state"], status["reason"]) == ("waiting", f"sets: {message}")
        # All of them had joined; nodes are free again, and what may be trained is.
        again = world.question(recipe=Recipe.WOE_BINS)
        world.submit(again)
        world.wait_for(again, "completed")


def test_what_holds_for_now_only_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start, tries = FederationRegister._start, []

    def refuse(register: FederationRegister, said: Said) -> Effect:
        effect = start(register, said)
        tries.append(said.about)
        if len(tries) <= 3:
            raise StatementRefusedError(Rule.FROZEN, "something that the job relies on is frozen")
        return effect

    monkeypatch.setattr(FederationRegister, "_start", refuse)
    monkeypatch.setattr("api.federating._BREAK_S", (0.2,))
    with open_federation(tmp_path) as world:
        world.run_all()
        question = world.question(recipe=Recipe.WOE_BINS)
        world.submit(question)
        world.wait_for(question, "completed")


def test_a_refused_start_is_not_tried_again_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def refuse(_: FederationRegister, said: Said) -> Effect:
        tries.append(said.about)
        raise StatementRefusedError(Rule.FROZEN, "something that the job relies on is frozen")

    bring_on, looks = Federating._bring_on, []

    def look(federating: Federating, *given: Any) -> None:
        bring_on(federating, *given)
        looks.append(len(tries))

    monkeypatch.setattr(Federating, "_bring_on", look)
    monkeypatch.setattr(FederationRegister, "_start", refuse)
    monkeypatch.setattr("api.federating._BREAK_S", (60.0,))
    with open_federation(tmp_path) as world:
        world.run_all()
        question = world.question(recipe=Recipe.WOE_BINS)
        world.submit(question)
        wait_until(lambda: bool(looks and looks[-1]), seconds=30)
        seen = len(looks)
        world.hub.hub.recorder.changes.notify()
        wait_until(lambda: len(looks) > seen + 1, seconds=30)
        assert len(tries) == 1
        world.wait_for_jobs(question, "started")


def test_whatever_no_time_mends_is_called_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules: list[Rule] = []

    def refuse(_: FederationRegister, __: Said) -> Effect:
        raise StatementRefusedError(rules[-1], "expected something else")

    monkeypatch.setattr(FederationRegister, "_start", refuse)
    with open_federation(tmp_path) as world:
        world.run_all()
        for rule in (Rule.PARTICIPANT, Rule.STATE, Rule.TERMS):
            rules.append(rule)
            question = world.question(recipe=Recipe.WOE_BINS)
            world.submit(question)
            world.wait_for_jobs(question, "cancelled")
            assert told(world, question) == [{"rule": rule.value, "message": "expected something else"}] * 3


def test_what_has_begun_once_is_not_called_off_because_it_cannot_go_on_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, tries = FederationRegister._start, []

    def refuse(register: FederationRegister, said: Said) -> Effect:
        if register.get(said.about) is not None:  # as of a hub whose program has another app meanwhile
            tries.append(said.about)
            raise StatementRefusedError(Rule.STATE, "a federation goes on as it began, with the same members")
        return start(register, said)

    with open_federation(tmp_path, limits=RoundLimits(deadline=timedelta(seconds=3), attempts=1)) as world:
        for app in world.apps.values():
            app.lies = lambda arrays: {name: array * np.nan for name, array in arrays.items()}
        monkeypatch.setattr(FederationRegister, "_start", refuse)
        world.run_all()
        question = world.question(recipe=Recipe.WOE_BINS)
        world.submit(question)
        wait_until(lambda: bool(tries), seconds=60)
        assert world.standing.federations.get(question.federation).state.value == "interrupted"
        world.wait_for_jobs(question, "started")


def test_of_who_refuses_a_round_the_code_is_in_the_text_of_both_logs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="federated")
    with open_federation(tmp_path, limits=RoundLimits(deadline=timedelta(seconds=3), attempts=1)) as world:
        for app in world.apps.values():
            app.lies = lambda arrays: {name: array * np.nan for name, array in arrays.items()}
        world.run_all()
        question = world.question(recipe=Recipe.WOE_BINS)
        world.submit(question)
        world.wait_for(question, "interrupted")
    texts = [record.getMessage() for record in caplog.records]
    assert "task refused: data-invalid" in texts
    for member in question.members:
        assert f"{question.federation} round 1: {member.node} is lost: refused: data-invalid" in texts
