"""Federations that were disturbed and went on are audited without a finding: what happens to them is no fault."""

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from federated.audit import Replay
from federated.flower.local_grid import Fault
from federated.rounds.coordinator import RoundLimits
from tests.lib.federation import FederatedWorld, open_federation
from tests.lib.federation_evidence import Run, run_of
from yingbi.audit.controls import run_controls
from yingbi.audit.federation_checks import RoundOutcome
from yingbi.plan.model import Recipe, TrainingQuestion

_DONE = ("released", "delivered")


def judge(run: Run) -> tuple[list[str], list[str]]:
    """Return what an auditor finds, and what he cannot check."""
    results = run_controls(run.case(Replay))
    findings = [f"{result.control.id} {found.message}" for result in results for found in result.findings]
    return findings, [text for result in results for text in result.unchecked]


def set_agreement(world: FederatedWorld, kind: str, *signers: str) -> None:
    """Suspend or resume one member's agreement."""
    body = {"terms": world.standing.agreements.get("agr-bao").terms, "note": None}
    if kind == "suspended":
        body |= {"reason": "incident", "until": None, "running_jobs": "stop"}
    issuer = "person:cdo-bao"
    head: dict[str, Any] = {
        "issuer": issuer,
        "signers": (issuer, *signers),
        "name": "agr-bao",
        "on_behalf_of": "unit:bao",
    }
    world.hub.recorded("/v1/agreements", world.hub.state(f"agreement.{kind}", body, **head), by=issuer)


def test_an_attempt_that_was_given_up_is_no_fault(tmp_path: Path) -> None:
    lost: list[str] = []

    def fault(node: str, exchange: int) -> Fault | None:
        if exchange == 1 and node == "node:luohu":
            lost.append(node)
            return Fault.LOSE_REPLY
        return None

    with open_federation(tmp_path, fault=fault, limits=RoundLimits(deadline=timedelta(seconds=3))) as world:
        world.run_all()
        question = world.question()
        world.submit(question)
        world.wait_for(question, "completed")
        world.wait_for_jobs(question, *_DONE)
        run = run_of(world, question)
    assert lost
    assert judge(run) == ([], [])
    attempts = run.case(Replay).federations[run.federation].attempts
    assert [item.body.attempt for item in attempts if item.body.round == 2] == [1, 2]
    assert len([path for path in run.files if "/2-1/" in path]) == 2, "what came is kept, also of what was given up"


def test_a_federation_that_was_interrupted_and_went_on_is_no_fault(tmp_path: Path) -> None:
    reached, held = threading.Event(), threading.Event()

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
        set_agreement(world, "suspended")
        held.set()
        world.wait_for(question, "interrupted")
        world.wait_for_jobs(question, "interrupted")
        stopped = run_of(world, question)
        assert judge(stopped) == ([], [])
        assert stopped.case(Replay).federations[question.federation].state == "interrupted"
        set_agreement(world, "resumed", "person:approver")
        world.wait_for(question, "completed")
        world.wait_for_jobs(question, *_DONE)
        whole = run_of(world, question)
        assert judge(whole) == ([], [])
        outcomes = whole.case(Replay).federation_checks[question.federation].outcomes
        assert set(outcomes) == {RoundOutcome.RECOMPUTED}
        other = train_again(world)
        both = run_of(world, other)
        assert judge(replace(both, files={**whole.files, **both.files})) == ([], [])


def train_again(world: FederatedWorld) -> TrainingQuestion:
    """Train something else over the same data sets, which the rule of sets permits."""
    question = world.question(recipe=Recipe.WOE_BINS)
    world.submit(question)
    world.wait_for(question, "completed")
    world.wait_for_jobs(question, *_DONE)
    return question
